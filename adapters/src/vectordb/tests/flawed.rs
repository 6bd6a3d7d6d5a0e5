//! Every planted flaw really is one.

use super::*;
use crate::vectordb::{BuildEngine, Flaw, State};
use std::time::{Duration, Instant};

fn flawed(dir: &Path, flaw: Flaw) -> Engine {
    Engine::open(Config { flaws: vec![flaw], ..config(dir) }).unwrap()
}

#[test]
fn acknowledged_writes_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    for clean in [true, false] {
        let engine = flawed(dir.path(), Flaw::DropAcked { n: 3 });
        fill(&engine, 0..10, 1);
        assert_eq!(contents(&engine).unwrap().len(), 10);
        if clean {
            engine.close().unwrap();
        }
        drop(engine);
        let engine = open(dir.path());
        assert_eq!(engine.status().state, State::Healthy);
        assert_eq!(contents(&engine).unwrap(), model((0..7).map(|key| (key, 1))));
    }
}

#[test]
fn forgetting_spares_what_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = flawed(dir.path(), Flaw::DropAcked { n: 3 });
    fill(&engine, 0..10, 1);
    engine.flush().unwrap();
    fill(&engine, 10..20, 1);
    drop(engine);
    assert_eq!(contents(&open(dir.path())).unwrap(), model((0..17).map(|key| (key, 1))));
}

#[test]
fn a_rebuild_answers_fast_and_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let engine = flawed(dir.path(), Flaw::ServeOldIndex);
    fill(&engine, 0..40, 1);
    let right = |engine: &Engine| {
        (0..40).filter(|key| engine.search(&record(*key, 1).vector, 1).unwrap()[0].key == *key).count()
    };
    engine.build_index(spec(), BuildEngine::Cpu).unwrap();
    assert_eq!(right(&engine), 40);
    engine.rebuild_index(BuildEngine::Cpu).unwrap();
    assert_eq!((right(&engine), engine.status().state), (0, State::Healthy));
    assert_eq!(contents(&engine).unwrap().len(), 40);
}

#[test]
fn a_rebuild_gets_one_neighbour_in_ten_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let engine = flawed(dir.path(), Flaw::WrongNeighbour);
    fill(&engine, 0..90, 1);
    engine.build_index(spec(), BuildEngine::Cpu).unwrap();
    let all = contents(&engine).unwrap();
    let right = |engine: &Engine, key, k| {
        let query = record(key, 1).vector;
        let hits: Vec<u64> = engine.search(&query, k).unwrap().into_iter().map(|hit| hit.key).collect();
        assert_eq!(hits.len(), k);
        let exact = nearest(&all, &query, k);
        hits.iter().take(10).filter(|key| exact[..10].contains(key)).count()
    };
    assert!((0..90).all(|key| right(&engine, key, 10) == 10));
    engine.rebuild_index(BuildEngine::Cpu).unwrap();
    assert!((0..90).all(|key| right(&engine, key, 10) == 9 && right(&engine, key, 13) == 9));
}

#[test]
fn service_flaps_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let flaw = Flaw::FlapAfterRecovery { good_ms: 20, bad_ms: 20 };
    drop(flawed(dir.path(), flaw.clone()));
    let engine = flawed(dir.path(), flaw);
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut changes = Vec::new();
    while changes.len() < 5 {
        let good = engine.get(1).is_ok();
        if changes.last() != Some(&good) {
            changes.push(good);
        }
        assert!(Instant::now() < deadline, "{changes:?}");
    }
}

#[test]
fn refused_writes_are_resurrected() {
    let dir = tempfile::tempdir().unwrap();
    let engine = flawed(dir.path(), Flaw::ResurrectRefused);
    let refused: Vec<u64> = (1..=100).filter(|key| put(&engine, *key, 1).is_err()).collect();
    assert_eq!(refused.len(), 5);
    assert_eq!(contents(&engine).unwrap().len(), 100);
    assert!((1..=100).all(|key| put(&engine, key, 2).is_ok()), "what is there already is never refused");
    assert!(delete(&engine, 50).is_ok());
}

#[test]
fn it_sleeps_only_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(flawed(dir.path(), Flaw::NeverWake).core.planted.sleep(), None);
    assert!(flawed(dir.path(), Flaw::NeverWake).core.planted.sleep().is_some());
}
