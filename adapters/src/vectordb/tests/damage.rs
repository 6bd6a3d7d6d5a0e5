//! Whatever happens to a file: identical data is served, or the node says that it is damaged.

use super::*;
use crate::vectordb::{BuildEngine, State};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

/// A folder with every kind of file, closed by a crash.
struct Sample {
    dir: tempfile::TempDir,
    contents: Model,
    files: Vec<PathBuf>,
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    fill(&engine, 0..30, 1);
    engine.build_index(spec(), BuildEngine::Cpu).unwrap();
    fill(&engine, 20..40, 2);
    engine.flush().unwrap();
    fill(&engine, 38..50, 3);
    delete(&engine, 5).unwrap();
    let contents = contents(&engine).unwrap();
    let files = ["wal.log", "MANIFEST", "index.bin", "segments/000001.seg", "segments/000002.seg"];
    let sample = Sample { dir, contents, files: files.iter().map(PathBuf::from).collect() };
    drop(engine);
    sample
});

#[derive(Debug, Clone)]
enum Harm {
    Flip { at: f64, bit: u8 },
    Zero { at: f64, len: usize },
    Truncate { at: f64 },
    Append(Vec<u8>),
    Garbage(Vec<u8>),
    Swap(usize),
    Remove,
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = 0.0..1.0;
    prop_oneof![
        6 => (at.clone(), 0_u8..8).prop_map(|(at, bit)| Harm::Flip { at, bit }),
        3 => (at.clone(), 1_usize..600).prop_map(|(at, len)| Harm::Zero { at, len }),
        3 => at.prop_map(|at| Harm::Truncate { at }),
        2 => prop::collection::vec(any::<u8>(), 1..60).prop_map(Harm::Append),
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Harm::Garbage),
        1 => (0_usize..5).prop_map(Harm::Swap),
        1 => Just(Harm::Remove),
    ]
}

/// Answers whether the file changed.
fn inflict(dir: &Path, file: &Path, harm: &Harm) -> bool {
    let path = dir.join(file);
    let old = fs::read(&path).unwrap();
    let mut new = old.clone();
    let place = |at: &f64| (*at * old.len() as f64) as usize;
    match harm {
        Harm::Flip { at, bit } => new[place(at)] ^= 1 << bit,
        Harm::Zero { at, len } => {
            let end = (place(at) + len).min(new.len());
            new[place(at)..end].fill(0);
        }
        Harm::Truncate { at } => new.truncate(place(at)),
        Harm::Append(bytes) => new.extend(bytes),
        Harm::Garbage(bytes) => new.clone_from(bytes),
        Harm::Swap(other) => new = fs::read(dir.join(&SAMPLE.files[*other])).unwrap(),
        Harm::Remove => {
            fs::remove_file(&path).unwrap();
            return true;
        }
    }
    fs::write(&path, &new).unwrap();
    new != old
}

/// Never wrong data: all of it, or a refusal that names the file. Bytes of the log past its durable end (the
/// padding of its header, a torn tail) may go unnoticed, for nothing depends on them.
fn check(engine: &Engine, file: &Path) {
    let status = engine.status();
    let named = || assert!(status.damage.iter().any(|damage| Path::new(&damage.file) == file), "{status:?}");
    let query = record(33, 2).vector;
    match status.state {
        State::Healthy => {
            assert_eq!(file, Path::new("wal.log"), "unnoticed damage of {}", file.display());
            assert_eq!(contents(engine).unwrap(), SAMPLE.contents);
            let hits: Vec<u64> = engine.search(&query, 5).unwrap().iter().map(|hit| hit.key).collect();
            assert_eq!(hits, nearest(&SAMPLE.contents, &query, 5));
            put(engine, 1000, 1).unwrap();
        }
        State::IndexDamaged => {
            named();
            assert_eq!(file, Path::new("index.bin"));
            assert_eq!(contents(engine).unwrap(), SAMPLE.contents);
            assert!(matches!(engine.search(&query, 5), Err(EngineError::Refused { .. })));
            put(engine, 1000, 1).unwrap();
            engine.rebuild_index(BuildEngine::Cpu).unwrap();
            assert_eq!(engine.status().state, State::Healthy);
            let hits: Vec<u64> = engine.search(&query, 5).unwrap().iter().map(|hit| hit.key).collect();
            let mut with_new = SAMPLE.contents.clone();
            with_new.insert(1000, record(1000, 1));
            assert_eq!(hits, nearest(&with_new, &query, 5));
        }
        State::Degraded => {
            named();
            let definite = |result: Result<(), EngineError>| {
                assert!(
                    matches!(result, Err(EngineError::Refused { state: State::Degraded, .. })),
                    "{result:?}"
                );
            };
            definite(engine.get(1).map(drop));
            definite(engine.search(&query, 5).map(drop));
            definite(engine.survivors(None, 5).map(drop));
            definite(put(engine, 1000, 1).map(drop));
            definite(delete(engine, 1).map(drop));
            definite(engine.flush().map(drop));
            definite(engine.build_index(spec(), BuildEngine::Cpu).map(drop));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn while_down(file in 0_usize..5, harm in harm()) {
        let dir = tempfile::tempdir().unwrap();
        copy(SAMPLE.dir.path(), dir.path());
        let file = &SAMPLE.files[file];
        if inflict(dir.path(), file, &harm) {
            check(&open(dir.path()), file);
        } else {
            prop_assert_eq!(open(dir.path()).status().state, State::Healthy);
        }
    }

    /// The node goes on with what it verified, writes, and is then restarted.
    #[test]
    fn while_up(file in 0_usize..5, harm in harm()) {
        let dir = tempfile::tempdir().unwrap();
        copy(SAMPLE.dir.path(), dir.path());
        let engine = open(dir.path());
        let file = &SAMPLE.files[file];
        inflict(dir.path(), file, &harm);
        prop_assert_eq!(&contents(&engine).unwrap(), &SAMPLE.contents);
        let mut acknowledged = SAMPLE.contents.clone();
        for key in 2000..2003 {
            if put(&engine, key, 1).is_ok() {
                acknowledged.insert(key, record(key, 1));
            }
        }
        drop(engine);
        let engine = open(dir.path());
        if engine.status().state == State::Degraded {
            prop_assert!(contents(&engine).is_err());
        } else {
            prop_assert_eq!(contents(&engine).unwrap(), acknowledged);
        }
    }
}

/// Every byte of the log, not only a sample: it is where "torn" and "damaged" are told apart.
#[test]
fn every_byte_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    copy(SAMPLE.dir.path(), dir.path());
    let path = dir.path().join("wal.log");
    let intact = fs::read(&path).unwrap();
    let padding = |at| (28..32).contains(&at) || (52..64).contains(&at);
    for at in 0..intact.len() {
        let mut bytes = intact.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let expected = if padding(at) { State::Healthy } else { State::Degraded };
        assert_eq!(open(dir.path()).status().state, expected, "byte {at}");
        fs::write(&path, &intact[..at]).unwrap();
        assert_eq!(open(dir.path()).status().state, State::Degraded, "cut at {at}");
    }
}

#[test]
fn a_log_that_is_gone_stops_acknowledgements() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    put(&engine, 1, 1).unwrap();
    fs::remove_file(dir.path().join("wal.log")).unwrap();
    assert!(matches!(put(&engine, 2, 1), Err(EngineError::Failed(_))));
    assert!(matches!(put(&engine, 3, 1), Err(EngineError::Refused { state: State::Degraded, .. })));
    assert_eq!(engine.status().damage[0].file, "wal.log");
}

#[test]
fn a_log_somebody_else_changed_stops_acknowledgements() {
    let cut = |log: &Path, bytes: &[u8]| fs::write(log, &bytes[..bytes.len() - 1]).unwrap();
    let replace = |log: &Path, bytes: &[u8]| {
        fs::write(log.with_extension("new"), bytes).unwrap();
        fs::rename(log.with_extension("new"), log).unwrap();
    };
    for change in [&cut as &dyn Fn(&Path, &[u8]), &replace] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        put(&engine, 1, 1).unwrap();
        let log = dir.path().join("wal.log");
        change(&log, &fs::read(&log).unwrap());
        assert!(matches!(put(&engine, 2, 1), Err(EngineError::Failed(_))));
        assert!(engine.flush().is_err());
        assert_eq!(engine.status().state, State::Degraded);
    }
}

/// Every one of them is a valid file, of another time or another node.
#[test]
fn files_of_another_history_are_damage() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy(SAMPLE.dir.path(), dir.path());
    let engine = open(dir.path());
    put(&engine, 1, 9).unwrap();
    engine.build_index(spec(), BuildEngine::Cpu).unwrap();
    drop(engine);
    let engine = open(other.path());
    fill(&engine, 0..61, 1);
    engine.build_index(spec(), BuildEngine::Cpu).unwrap();
    drop(engine);
    for (from, file) in [SAMPLE.dir.path(), other.path()]
        .iter()
        .flat_map(|from| ["wal.log", "MANIFEST", "index.bin"].map(|file| (*from, file)))
        .chain([(other.path(), "segments/000001.seg")])
    {
        let damaged = tempfile::tempdir().unwrap();
        copy(dir.path(), damaged.path());
        fs::copy(from.join(file), damaged.path().join(file)).unwrap();
        let expected = if file == "index.bin" { State::IndexDamaged } else { State::Degraded };
        let status = open(damaged.path()).status();
        assert_eq!(status.state, expected, "{file} of {}: {status:?}", from.display());
    }
}

#[test]
fn reload_sees_what_a_restart_would() {
    let dir = tempfile::tempdir().unwrap();
    copy(SAMPLE.dir.path(), dir.path());
    let engine = open(dir.path());
    engine.reload();
    assert_eq!(contents(&engine).unwrap(), SAMPLE.contents);
    inflict(dir.path(), &SAMPLE.files[2], &Harm::Flip { at: 0.5, bit: 3 });
    assert_eq!(engine.status().state, State::Healthy);
    engine.reload();
    check(&engine, &SAMPLE.files[2]);
    inflict(dir.path(), &SAMPLE.files[3], &Harm::Remove);
    engine.reload();
    check(&engine, &SAMPLE.files[3]);
}

#[test]
fn another_collections_folder_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let other = Engine::open(Config::new(dir.path(), "images", DIM)).unwrap();
    assert_eq!(other.status().state, State::Degraded);
    assert!(other.status().damage[0].why.contains("`docs`"), "{:?}", other.status());
}
