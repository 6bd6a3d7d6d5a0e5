//! What becomes of a build when its engine is lost, stands still, or is not wanted any more; and of programs in the cache
//! that are damaged, foreign or written by many at once.

use super::{ENGINE, alone, built, specs, without_a_device};
use index::{BuildError, Engine, Index, IndexSpec, Vectors, build};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

const DIM: usize = 48;
const ROWS: usize = 20_000;

fn rows() -> Vec<f32> {
    let mut state = 9u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 16_777_216.0
    };
    (0..ROWS * DIM).map(|_| next()).collect()
}

/// Builds a graph whose kernels take a while, and lets somebody look at every answer and at every wait for one.
fn graph(engine: Engine, look: &mut dyn FnMut() -> ControlFlow<()>) -> Result<Index, BuildError> {
    let (ids, rows): (Vec<u64>, _) = ((0..ROWS as u64).collect(), rows());
    build(Vectors::new(DIM, &ids, &rows).unwrap(), &IndexSpec::hnsw(), engine, &mut |_| look())
}

/// Engines that this process has started and that are still there, with the processor time each has had, in ticks.
fn engines() -> Vec<(Pid, u64)> {
    let mut found = Vec::new();
    for thread in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for id in list.split_whitespace() {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            // utime and stime are fields 14 and 15; the first after the name is the third.
            let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            let ticks =
                fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
            found.extend(Pid::from_raw(id.parse().unwrap()).map(|pid| (pid, ticks)));
        }
    }
    found
}

/// Sends a signal to the engine once it has worked for so many ticks; answers whether that came to be.
fn strike(signal: Signal, after: u64) -> (bool, Index) {
    let mut struck = false;
    let index = graph(Engine::OpenCl, &mut || {
        for (pid, ticks) in engines() {
            if !struck && ticks >= after {
                struck = kill_process(pid, signal).is_ok();
            }
        }
        ControlFlow::Continue(())
    });
    assert_eq!(engines(), [], "an engine was left behind");
    (struck, index.unwrap())
}

#[test]
#[ignore = "run by the test below, in a process of its own"]
fn lost_in_this_environment() {
    let cpu = graph(Engine::Cpu, &mut || ControlFlow::Continue(())).unwrap();
    let (_, whole) = strike(Signal::KILL, u64::MAX);
    assert_eq!(whole.ran().unwrap().engine, Engine::OpenCl, "{:?}", whole.ran());
    let mut lost = 0;
    for after in [0, 3, 6, 12, 24] {
        let (struck, index) = strike(Signal::KILL, after);
        let ran = index.ran().unwrap();
        assert!(index.to_bytes() == cpu.to_bytes(), "{after}: {ran:?}: other bytes");
        // It may have given its last answer just before.
        if struck && ran.engine == Engine::Cpu {
            assert!(ran.note.as_ref().unwrap().contains("gone: signal: 9"), "{ran:?}");
            lost += 1;
        }
    }
    assert!(lost >= 2, "only {lost} engines were lost in the middle of their work");
}

#[test]
fn an_engine_that_is_killed_at_work_is_replaced() {
    if !without_a_device() {
        alone("faults::lost_in_this_environment", &[]);
    }
}

#[test]
#[ignore = "run by the test below, in a process of its own"]
fn frozen_in_this_environment() {
    let cpu = graph(Engine::Cpu, &mut || ControlFlow::Continue(())).unwrap();
    let (struck, index) = strike(Signal::STOP, 3);
    let ran = index.ran().unwrap();
    assert!(struck && index.to_bytes() == cpu.to_bytes(), "{ran:?}");
    assert!(ran.note.as_ref().is_some_and(|note| note.contains("did not answer within 1 s")), "{ran:?}");
}

#[test]
fn an_engine_that_freezes_at_work_is_given_up() {
    if !without_a_device() {
        alone("faults::frozen_in_this_environment", &[("GAMEDAY_OPENCL_TIMEOUT", "1")]);
    }
}

#[test]
#[ignore = "run by the test below, in a process of its own"]
fn cancelled_in_this_environment() {
    let (mut whole, mut step) = (0usize, 1);
    graph(Engine::OpenCl, &mut || {
        whole += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    let mut working = 0;
    while step < whole {
        let mut heard = 0;
        let mut at_work = false;
        let cancelled = graph(Engine::OpenCl, &mut || {
            heard += 1;
            if heard < step {
                return ControlFlow::Continue(());
            }
            at_work = !engines().is_empty();
            ControlFlow::Break(())
        });
        // How often a build asks depends on how long it waits.
        assert!(matches!(cancelled, Err(BuildError::Cancelled)) || heard < step, "{step}");
        assert_eq!(engines(), [], "an engine outlived its build, cancelled at {step}");
        working += usize::from(at_work);
        step += (whole / 24).max(1);
    }
    assert!(working > 3, "only {working} builds were cancelled while an engine was at work");
}

#[test]
fn a_cancelled_build_leaves_neither_process_nor_file() {
    if without_a_device() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let own = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let (cache, temporary, driver) = (own("cache"), own("tmp"), own("pocl"));
    let word = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let (a, b, c) = (word(&cache), word(&temporary), word(&driver));
    let variables = [("GAMEDAY_OPENCL_CACHE", a.as_str()), ("TMPDIR", &b), ("POCL_CACHE_DIR", &c)];
    alone("faults::cancelled_in_this_environment", &variables);
    assert!(names(&cache).iter().all(|name| name.ends_with(".program")), "{:?}", names(&cache));
    assert_eq!(names(&temporary), Vec::<String>::new());
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn cached_in_this_environment() {
    // A program for each dimension.
    for dim in [19, 20] {
        let (index, cpu) = (built(&specs()[0], dim, Engine::OpenCl), built(&specs()[0], dim, Engine::Cpu));
        assert_eq!(index.ran().unwrap().engine, Engine::OpenCl, "{:?}", index.ran());
        assert!(index.to_bytes() == cpu.to_bytes());
    }
}

#[test]
fn damaged_and_foreign_programs_are_compiled_anew_and_replaced() {
    if without_a_device() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let build = || {
        let cache = folder.path().to_str().unwrap();
        alone("faults::cached_in_this_environment", &[("GAMEDAY_OPENCL_CACHE", cache)]);
    };
    build();
    let files: Vec<PathBuf> = names(folder.path()).iter().map(|name| folder.path().join(name)).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    let whole: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let inode = |file: &PathBuf| std::os::unix::fs::MetadataExt::ino(&fs::metadata(file).unwrap());
    let before: Vec<u64> = files.iter().map(inode).collect();
    build();
    assert_eq!(
        files.iter().map(inode).collect::<Vec<_>>(),
        before,
        "sound programs are used, not written again"
    );

    let mut flipped = whole[0].clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let damages: [Vec<u8>; 4] = [flipped, whole[0][..middle].to_vec(), Vec::new(), whole[1].clone()];
    for (n, damaged) in damages.iter().enumerate() {
        fs::write(&files[0], damaged).unwrap();
        build();
        let now = fs::read(&files[0]).unwrap();
        let head = |bytes: &[u8]| bytes[..bytes.len().min(90)].to_vec();
        assert!(now != *damaged && head(&now) == head(&whole[0]), "damage {n} was left in the cache");
        assert_eq!(names(folder.path()).len(), files.len());
    }
}

#[test]
fn engines_that_start_at_once_share_a_cache() {
    if without_a_device() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("new");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let variables = [("GAMEDAY_OPENCL_CACHE", cache.to_str().unwrap())];
                alone("faults::cached_in_this_environment", &variables);
            });
        }
    });
    assert!(names(&cache).iter().all(|name| name.ends_with(".program")) && names(&cache).len() == 2);
}

#[test]
fn garbage_on_its_input_ends_the_engine_and_is_answered_in_words() {
    use std::io::{Read, Write};
    use std::process::Stdio;
    for noise in [
        &b"X"[..],
        b"D",
        b"A\xff\xff\xff\xff\xff\xff\xff\xff",
        b"L\0\0\0\0",
        b"D\0\0\0\0\0\0\0\0",
        b"D\x01\0\0\0\0\0\0\0L\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0",
    ] {
        let mut child = Command::new(ENGINE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It may have refused and gone before all of it was written.
        let _ = child.stdin.take().unwrap().write_all(noise);
        let mut said = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{noise:?}: {:?}", String::from_utf8_lossy(&said));
        assert!(said.len() < 4_096, "{noise:?}");
    }
}

#[test]
#[ignore = "run by the test below, in a process of its own"]
fn whole_in_this_environment() {
    let mut whole = index::opencl::Whole::open().unwrap();
    assert!(!whole.device().is_empty());
    let mut state = 5u64;
    let mut next = |wide: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i32::try_from(i64::try_from(state >> 33).unwrap() % (2 * wide + 1) - wide).unwrap()
    };
    let limit = std::time::Duration::from_secs(60);
    // Small coordinates tie often; large ones overflow whatever is too narrow.
    for (dim, n, k, wide) in [(1, 500, 7, 3), (16, 512, 8, 5_000), (16, 300, 8, 1), (100, 64, 3, 1 << 24)] {
        let points: Vec<i32> = (0..n * dim).map(|_| next(wide)).collect();
        let centres: Vec<i32> = (0..k * dim).map(|_| next(wide)).collect();
        let by = |a: &[i32], b: &[i32]| -> i128 {
            a.iter().zip(b).map(|(a, b)| (i128::from(*a) - i128::from(*b)).pow(2)).sum()
        };
        let expected: Vec<u32> = points
            .chunks(dim)
            .map(|point| {
                let nearest = centres.chunks(dim).enumerate().min_by_key(|(_, centre)| by(point, centre));
                u32::try_from(nearest.unwrap().0).unwrap()
            })
            .collect();
        assert_eq!(whole.nearest(dim, &points, &centres, limit).unwrap(), expected, "{dim} {n} {k} {wide}");
    }
    let wide = whole.nearest(1, &[i32::MAX], &[0], limit).unwrap_err();
    assert!(wide.contains("coordinates of at most"), "{wide}");
    assert!(whole.nearest(1, &[1], &[0], limit).is_err(), "an engine that refused answers nothing any more");

    let mut lost = index::opencl::Whole::open().unwrap();
    for (pid, _) in engines() {
        kill_process(pid, Signal::KILL).unwrap();
    }
    let why = lost.nearest(1, &[1], &[0], limit).unwrap_err();
    assert!(why.contains("is gone"), "{why}");
}

#[test]
fn whole_numbers_are_exact_and_a_lost_engine_is_told() {
    if !without_a_device() {
        alone("faults::whole_in_this_environment", &[]);
    }
}
