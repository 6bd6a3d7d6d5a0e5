//! A crash at any moment loses nothing that was acknowledged.

use super::*;
use crate::vectordb::{BuildEngine, State};
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn what_was_acknowledged_survives() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    for key in 0..50 {
        put(&engine, key, 1).unwrap();
    }
    engine.flush().unwrap();
    put(&engine, 3, 2).unwrap();
    delete(&engine, 4).unwrap();
    let before = contents(&engine).unwrap();
    let point = engine.status().point;
    drop(engine);

    let engine = open(dir.path());
    assert_eq!(contents(&engine).unwrap(), before);
    assert_eq!(engine.status().point, point);
    assert_eq!(engine.get(3).unwrap(), Some(record(3, 2)));
    assert_eq!(engine.get(4).unwrap(), None);
    assert_eq!(put(&engine, 4, 5).unwrap(), point.lsn + 1);
}

/// Copies the folder before every step of `work`, then opens each copy.
fn at_every_step(work: impl Fn(&Engine)) {
    let (dir, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let steps = Arc::new(AtomicUsize::new(0));
    let armed = Arc::new(Mutex::new(false));
    let engine = open_watched(dir.path(), {
        let (steps, armed, copies) = (steps.clone(), armed.clone(), copies.path().to_owned());
        move |root| {
            if *armed.lock().unwrap() {
                copy(root, &copies.join(steps.fetch_add(1, Ordering::Relaxed).to_string()));
            }
        }
    });
    for key in 0..40 {
        put(&engine, key, 1).unwrap();
    }
    engine.build_index(spec(), BuildEngine::Cpu).unwrap();
    for key in 20..60 {
        put(&engine, key, 2).unwrap();
    }
    delete(&engine, 7).unwrap();
    let before = contents(&engine).unwrap();
    *armed.lock().unwrap() = true;
    work(&engine);
    *armed.lock().unwrap() = false;
    assert_eq!(contents(&engine).unwrap(), before);
    copy(dir.path(), &copies.path().join("end"));
    let steps = steps.load(Ordering::Relaxed);
    assert!(steps >= 5, "{steps} steps were watched");
    for name in (0..steps).map(|step| step.to_string()).chain(["end".to_owned()]) {
        let crashed = open(&copies.path().join(&name));
        assert_eq!(crashed.status().state, State::Healthy, "step {name}: {:?}", crashed.status());
        assert_eq!(contents(&crashed).unwrap(), before, "step {name}");
        let query = record(33, 2).vector;
        let hits: Vec<u64> = crashed.search(&query, 5).unwrap().iter().map(|hit| hit.key).collect();
        assert_eq!(hits, nearest(&before, &query, 5), "step {name}");
        put(&crashed, 99, 9).unwrap();
        crashed.flush().unwrap();
        drop(crashed);
        let again = open(&copies.path().join(&name));
        assert_eq!(again.get(99).unwrap(), Some(record(99, 9)), "step {name}");
        assert_eq!(again.status().notes, Vec::<String>::new(), "step {name}");
    }
}

#[test]
fn a_crash_during_a_flush_loses_nothing() {
    at_every_step(|engine| {
        engine.flush().unwrap();
    });
}

#[test]
fn a_crash_during_a_build_loses_nothing() {
    at_every_step(|engine| {
        engine.build_index(spec(), BuildEngine::Cpu).unwrap();
    });
}

#[test]
fn a_crash_during_a_merge_loses_nothing() {
    at_every_step(|engine| {
        for round in 0..10 {
            let same = engine.get(50).unwrap().unwrap();
            assert_eq!(run(engine.put(same)).unwrap(), 82 + round);
            engine.flush().unwrap();
        }
        assert!(engine.status().segments < 9);
    });
}

#[test]
fn a_crash_during_a_restore_leaves_the_old_data_or_the_new() {
    at_every_step(|engine| {
        let import = engine.import_begin();
        engine.import_page(import, history(engine)).unwrap();
        engine.import_commit(import, None).unwrap();
    });
}

#[test]
fn a_crash_during_the_first_start_is_a_first_start() {
    let (dir, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let steps = Arc::new(AtomicUsize::new(0));
    let (to, count) = (copies.path().to_owned(), steps.clone());
    drop(open_watched(dir.path(), move |root| {
        copy(root, &to.join(count.fetch_add(1, Ordering::Relaxed).to_string()));
    }));
    for step in 0..steps.load(Ordering::Relaxed) {
        let engine = open(&copies.path().join(step.to_string()));
        assert_eq!(engine.status().state, State::Healthy, "step {step}");
    }
}

#[test]
fn a_torn_tail_is_dropped_and_noted() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    put(&engine, 1, 1).unwrap();
    let log = dir.path().join("wal.log");
    let acknowledged = fs::read(&log).unwrap();
    put(&engine, 2, 1).unwrap();
    drop(engine);
    let whole = fs::read(&log).unwrap();
    // A frame that was being appended: its bytes without the tip that is set after the sync.
    for cut in acknowledged.len() + 1..whole.len() {
        let mut torn = acknowledged.clone();
        torn.extend(&whole[acknowledged.len()..cut]);
        fs::write(&log, &torn).unwrap();
        let engine = open(dir.path());
        assert_eq!(contents(&engine).unwrap(), model([(1, 1)]), "cut at {cut}");
        assert_eq!(engine.status().notes.len(), 1, "cut at {cut}");
        drop(engine);
        assert_eq!(fs::read(&log).unwrap(), acknowledged);
    }
}

#[test]
fn two_processes_never_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let second = Engine::open(config(dir.path())).unwrap_err();
    assert!(second.to_string().contains("another process"), "{second}");
    drop(engine);
    drop(open(dir.path()));
}

#[test]
fn an_index_of_replaced_data_is_not_installed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    fill(&engine, 0..20, 1);
    let import = engine.import_begin();
    engine.import_page(import, vec![record(1, 2).at(1)]).unwrap();
    let replaced = std::sync::Once::new();
    let result = engine.core.build(spec(), BuildEngine::Cpu, |ids| {
        replaced.call_once(|| assert_eq!(engine.import_commit(import, None).unwrap().live, 1));
        ids
    });
    assert!(matches!(result, Err(EngineError::Refused { .. })), "{result:?}");
    assert_eq!(engine.search(&record(1, 2).vector, 3).unwrap().len(), 1);
}
