//! The engine against the processor: the same bytes, and an index even if it dies.
//!
//! On a machine without an OpenCL device the first test says so and checks that the processor takes over.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails or is skipped says so")]

mod faults;
mod prepared;

use index::{Engine, Index, IndexSpec, Kind, Metric, Vectors, build};
use std::ops::ControlFlow;
use std::process::{Command, Stdio};

const ENGINE: &str = env!("CARGO_BIN_EXE_gameday-opencl");
const DIM: usize = 19;
const ROWS: usize = 6_000;

fn rows(dim: usize) -> Vec<f32> {
    // Clusters far from the origin, from integers.
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 16_777_216.0
    };
    let centres: Vec<f32> = (0..50 * dim).map(|_| 20.0 + 4.0 * next()).collect();
    (0..ROWS * dim).map(|at| centres[at / dim % 50 * dim + at % dim] + next()).collect()
}

fn specs() -> [IndexSpec; 4] {
    // Few lists are trained exactly; of many, the rounds of k-means are counted in whole numbers.
    let ivf = |nlist| Kind::IvfFlat { nlist, nprobe: 8 };
    [
        IndexSpec::hnsw(),
        IndexSpec { kind: ivf(60), ..IndexSpec::hnsw() },
        IndexSpec { kind: ivf(130), ..IndexSpec::hnsw() },
        IndexSpec { metric: Metric::InnerProduct, ..IndexSpec::hnsw() },
    ]
}

fn built(spec: &IndexSpec, dim: usize, engine: Engine) -> Index {
    let (ids, rows): (Vec<u64>, _) = ((0..ROWS as u64).collect(), rows(dim));
    let vectors = Vectors::new(dim, &ids, &rows).unwrap();
    build(vectors, spec, engine, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Not a test by itself: the environment of a process is its own only in a process of its own.
#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn in_this_environment() {
    let expected = std::env::var("EXPECT").unwrap();
    // The second has more values than a kernel takes at a time.
    for (spec, dim) in specs().into_iter().flat_map(|spec| [(spec, DIM), (spec, 3 * DIM + 8)]) {
        let (index, cpu) = (built(&spec, dim, Engine::OpenCl), built(&spec, dim, Engine::Cpu));
        let ran = index.ran().unwrap();
        let shown = format!("{} {} {}", ran.engine, ran.tier, ran.note.as_deref().unwrap_or(""));
        assert!(shown.contains(&expected), "{shown}");
        assert!(
            index.to_bytes() == cpu.to_bytes(),
            "{shown}: {spec:?} {dim}: other bytes than the processor's"
        );
    }
}

/// Groups of equal vectors, and of nearly equal ones far apart: whatever an engine cannot tell apart the processor looks at
/// again, and the bytes are the same.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn in_groups() {
    let (groups, ids): (Vec<f32>, Vec<u64>) = (rows(DIM), (0..ROWS as u64).collect());
    let equal: Vec<f32> = (0..ROWS).flat_map(|at| &groups[at * 5 / 6 * DIM..][..DIM]).copied().collect();
    let near = |at: usize| {
        let group = &groups[at / 20 * DIM..][..DIM];
        group.iter().zip(&groups[at * DIM..][..DIM]).map(|(group, own)| 1_000.0 * group + 1e-2 * own)
    };
    let near: Vec<f32> = (0..ROWS).flat_map(near).collect();
    for rows in [equal, near] {
        let vectors = Vectors::new(DIM, &ids, &rows).unwrap();
        let [index, cpu] = [Engine::OpenCl, Engine::Cpu]
            .map(|engine| build(vectors, &specs()[0], engine, &mut |_| ControlFlow::Continue(())).unwrap());
        let ran = index.ran().unwrap();
        assert!(ran.engine == Engine::OpenCl && ran.note.is_none() && ran.recall > Some(0.95), "{ran:?}");
        assert!(index.to_bytes() == cpu.to_bytes(), "other bytes than the processor's");
    }
}

/// Rows of whole steps of the matrix unit, of a part of one, and of as many values as it is asked about.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn by_the_matrix_unit() {
    for dim in [32, 63, 64, 1_040] {
        let (index, cpu) = (built(&specs()[0], dim, Engine::OpenCl), built(&specs()[0], dim, Engine::Cpu));
        let ran = index.ran().unwrap();
        assert!(ran.engine == Engine::OpenCl && ran.tier.contains("int8 amx"), "{ran:?}");
        assert!(index.to_bytes() == cpu.to_bytes(), "{dim}: other bytes than the processor's");
    }
}

fn child(expect: &str, variables: &[(&str, &str)]) {
    alone("in_this_environment", &[variables, &[("EXPECT", expect)]].concat());
}

/// Runs an ignored test in a process of its own, with the real engine unless the variables name another.
fn alone(test: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored"]);
    let output = command.env("GAMEDAY_OPENCL", ENGINE).envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn without_a_device() -> bool {
    let output = Command::new(ENGINE).stdin(Stdio::null()).output().unwrap();
    let none = output.stdout.first() != Some(&0);
    if none {
        println!("skipped: this machine has no OpenCL device (ci/setup installs one)");
    }
    none
}

#[test]
fn the_kernels_give_the_bytes_of_the_processor() {
    if without_a_device() {
        return child("cpu fp32", &[]);
    }
    child("opencl fp32 float16 vectors", &[]);
    alone("in_groups", &[]);
    child("opencl fp32 local memory", &[("GAMEDAY_OPENCL_TIER", "local")]);
    if index::matrix_unit() {
        alone("by_the_matrix_unit", &[("GAMEDAY_OPENCL_TIER", "matrix")]);
        child("opencl fp32 float16 vectors on", &[("GAMEDAY_OPENCL_TIER", "vector")]);
    }
    child("opencl: GAMEDAY_OPENCL_TIER is `amx`", &[("GAMEDAY_OPENCL_TIER", "amx")]);
}

#[test]
fn the_processor_takes_over_where_the_engine_fails() {
    child("opencl: cannot start", &[("GAMEDAY_OPENCL", "/nowhere/at/all")]);
    child("opencl: gameday-opencl is gone", &[("GAMEDAY_OPENCL", "/bin/true")]);
    let nobody = tempfile::tempdir().unwrap();
    child("opencl: no OpenCL platform", &[("OCL_ICD_VENDORS", nobody.path().to_str().unwrap())]);
    if !without_a_device() {
        child("opencl: no OpenCL device has", &[("GAMEDAY_OPENCL_DEVICE", "a name no device has")]);
        // PoCL has no such driver; it has no device then, or ends its process.
        child("cpu fp32", &[("POCL_DEVICES", "nonsense")]);
    }
}

#[test]
fn an_engine_that_never_answers_is_given_up_and_killed() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("deaf");
    std::fs::write(&script, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    let mut mode = std::fs::metadata(&script).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    let deaf = script.to_str().unwrap();
    child("did not answer within 1 s", &[("GAMEDAY_OPENCL", deaf), ("GAMEDAY_OPENCL_TIMEOUT", "1")]);
}
