//! What a build is said to need, against what it takes: each in a process of its own, whose peak the system knows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use index::{Engine, IndexSpec, Kind, Metric, Vectors, build};
use index_files::need;
use std::ops::ControlFlow;
use std::process::Command;
use std::{env, fs};

const N: usize = 60_000;
const DIM: usize = 96;
const WHICH: &str = "INDEX_FILES_BUILD";

fn specs() -> Vec<IndexSpec> {
    let of = |kind, metric| IndexSpec { kind, metric, seed: 0 };
    let hnsw = Kind::Hnsw { m: 16, ef_construction: 200, ef: 100 };
    vec![
        of(hnsw, Metric::L2),
        of(hnsw, Metric::InnerProduct),
        of(Kind::Hnsw { m: 48, ef_construction: 100, ef: 100 }, Metric::Cosine),
        of(Kind::IvfFlat { nlist: 200, nprobe: 8 }, Metric::L2),
        of(Kind::IvfSq8 { nlist: 200, nprobe: 8 }, Metric::L2),
        of(Kind::IvfPq { nlist: 200, nprobe: 8, m: 16 }, Metric::Cosine),
    ]
}

/// A figure of this process, in bytes.
fn figure(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// In a process of its own: builds, and says how much more it held meanwhile.
#[test]
fn one_build() {
    let Ok(which) = env::var(WHICH) else { return };
    let mut state = 7u32;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let data: Vec<f32> = (0..N * DIM).map(|_| draw()).collect();
    let ids: Vec<u64> = (0..N as u64).collect();
    let before = figure("VmRSS");
    let vectors = Vectors::new(DIM, &ids, &data).unwrap();
    let spec = specs()[which.parse::<usize>().unwrap()];
    build(vectors, &spec, Engine::Cpu, &mut |_| ControlFlow::Continue(())).unwrap();
    println!("\ntook {}", figure("VmHWM") - before);
}

#[test]
fn what_is_said_to_be_needed_is_about_what_is_taken() {
    let given = (4 * N * DIM) as u64;
    for (at, spec) in specs().iter().enumerate() {
        let mut child = Command::new(env::current_exe().unwrap());
        let output =
            child.args(["one_build", "--exact", "--nocapture"]).env(WHICH, at.to_string()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let took = said.lines().find_map(|line| line.strip_prefix("took ")?.parse::<u64>().ok());
        let took = took.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
        // What does not grow with the vectors is in both.
        let (low, high) = (need(spec, N, DIM, true), need(spec, N, DIM, false));
        assert_eq!(high - low, given, "{spec:?}");
        println!("{spec:?}: {} MiB said, {} MiB taken", low >> 20, took >> 20);
        assert!(low >= took, "{spec:?}: {low} said, {took} taken");
        assert!(low <= 2 * took + (64 << 20), "{spec:?}: {low} said, {took} taken");
    }
}
