//! What this machine is, from the system's own files.

use std::{fs, thread};

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// A figure of `/proc/meminfo`, in bytes.
pub(crate) fn memory(figure: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(figure)?.strip_prefix(':'))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// Bytes as a person reads them.
pub(crate) fn human_bytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

/// The machine in words, for a journal.
pub(crate) fn words() -> String {
    let memory = memory("MemTotal").map_or("unknown memory".into(), human_bytes);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{os} {} {arch}, {} cores, {memory}", kernel.trim(), cores())
}
