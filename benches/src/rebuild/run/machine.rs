//! What machine this is, as far as it decides how long a build takes.

use std::{fs, thread};

use super::noise::figure_of;
use crate::rebuild::result::Machine;

/// Instruction sets that vector kernels are chosen by.
const TELLING: [&str; 8] =
    ["avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "asimd"];

/// This machine; `device` is what an OpenCL engine says it computes on.
pub fn here(device: Option<String>) -> Machine {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let (cpu, features) = cpu(&info);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Machine {
        cpu,
        features,
        cores: u32::try_from(cores).unwrap_or(u32::MAX),
        memory: figure_of(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal"),
        kernel: kernel.trim().to_owned(),
        device,
    }
}

/// Model and telling instruction sets. The name is often a family's, so its numbers are part of the model.
fn cpu(info: &str) -> (String, String) {
    let field = |name: &str| {
        let mut values = info.lines().filter_map(|l| l.split_once(':'));
        values.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    let name = field("model name").or_else(|| field("CPU part")).unwrap_or_else(|| "unknown".into());
    let model = match (field("cpu family"), field("model")) {
        (Some(family), Some(model)) => format!("{name} (family {family} model {model})"),
        _ => name,
    };
    let flags = field("flags").or_else(|| field("Features")).unwrap_or_default();
    let has = |f: &&str| flags.split_whitespace().any(|flag| flag == *f);
    let telling: Vec<&str> = TELLING.into_iter().filter(|f| has(f)).collect();
    (model, telling.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_and_what_it_can_do() {
        let info = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon\nflags\t\t: fpu avx2 avx512f amx_bf16\n";
        assert_eq!(cpu(info), ("Xeon (family 6 model 143)".into(), "avx2 avx512f amx_bf16".into()));
        assert_eq!(cpu(""), ("unknown".into(), String::new()));
        assert!(here(None).cores >= 1 && here(None).memory > 0);
    }
}
