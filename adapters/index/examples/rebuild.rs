//! How long a build takes on vectors of your own, judged by whatever searcher you like.
//!
//! ```text
//! cargo run --release -p index --example rebuild -- base.f32 dim KIND [rounds] [out] [cpu|opencl] [l2|ip|cosine]
//! ```
//!
//! `base.f32` holds rows of little-endian `f32`; KIND is `hnsw`, `ivf_flat`, `ivf_sq8` or `ivf_pq`. With `out` the index is written
//! to `out` (our file; for HNSW hnswlib opens it) and to `out.faiss`. CPU seconds burnt by other processes meanwhile (the
//! OpenCL engine is one) are printed too: a figure from a busy machine is no figure.

#![expect(clippy::print_stdout, reason = "it reports to a person")]

use index::{Engine, IndexSpec, Kind, Metric, RowsFile, Vectors, build, save};
use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [base, dim, kind, ..] = args.as_slice() else {
        return Err("usage: base.f32 dim KIND [rounds] [out]".into());
    };
    let dim: usize = dim.parse()?;
    let rounds: usize = args.get(3).map_or(Ok(1), |text| text.parse())?;
    let file = RowsFile::open(Path::new(base))?;
    let data = file.values();
    let ids: Vec<u64> = (0..(data.len() / dim) as u64).collect();
    let metric = match args.get(6).map(String::as_str) {
        None | Some("l2") => Metric::L2,
        Some("ip") => Metric::InnerProduct,
        Some("cosine") => Metric::Cosine,
        Some(other) => return Err(format!("`{other}` is no metric").into()),
    };
    let kind = match kind.as_str() {
        "hnsw" => Kind::Hnsw { m: 16, ef_construction: 200, ef: 96 },
        "ivf_flat" => Kind::IvfFlat { nlist: 1_024, nprobe: 16 },
        "ivf_sq8" => Kind::IvfSq8 { nlist: 1_024, nprobe: 16 },
        "ivf_pq" => Kind::IvfPq { nlist: 1_024, nprobe: 16, m: u32::try_from(dim / 8)? },
        other => return Err(format!("`{other}` is no kind of index").into()),
    };
    let engine = match args.get(5).map(String::as_str) {
        None | Some("cpu") => Engine::Cpu,
        Some("opencl") => Engine::OpenCl,
        Some(other) => return Err(format!("`{other}` is no engine").into()),
    };
    let spec = IndexSpec { kind, metric, seed: 1 };
    let vectors = Vectors::new(dim, &ids, data)?;
    for round in 0..rounds {
        let (before, own) = (busy(), mine());
        let start = Instant::now();
        let mut stages = Vec::new();
        let index = build(vectors, &spec, engine, &mut |done| {
            stages.push((done, start.elapsed().as_secs_f32()));
            ControlFlow::Continue(())
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let own = mine() - own;
        let others = busy() - before - own;
        println!("{seconds:.3} s, {own:.2} CPU seconds, {others:.2} of other processes; peak {} MB", peak());
        println!("  {:?}", index.ran());
        if env::var_os("STAGES").is_some() {
            for at in [0.1, 0.14, 0.17, 0.21, 0.5, 0.74, 0.85, 0.97, 1.0] {
                let time = stages.iter().rev().find(|(done, _)| *done <= at).map_or(0.0, |(_, time)| *time);
                println!("  to {at}: {time:.3} s");
            }
        }
        if let (Some(path), true) = (args.get(4), round + 1 == rounds) {
            println!("saved, sha256 {}", save(&index, Path::new(path))?);
            index.write_faiss(&mut File::create(format!("{path}.faiss"))?)?;
        }
    }
    Ok(())
}

/// CPU seconds spent by everybody since the machine started.
fn busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> =
        stat.lines().next().unwrap_or("").split_whitespace().filter_map(|word| word.parse().ok()).collect();
    [0, 1, 2, 5, 6].iter().filter_map(|&at| fields.get(at)).sum::<f64>() / 100.0
}

/// CPU seconds spent by this process.
fn mine() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    behind.skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The most memory this process ever held, in MB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}
