//! A follower that polls the feed holds what the node holds; changes are applied once, and the newest wins.

use super::*;
use crate::vectordb::{BuildEngine, Census, Changes, Flaw, Merged};
use proptest::prelude::*;
use std::fs;

/// Key to write number and vector, tombstones included.
type States = BTreeMap<u64, (u64, Option<Vec<f32>>)>;

/// Who polls in pages and keeps the newest of every key.
#[derive(Default)]
struct Follower {
    at: Option<Point>,
    states: States,
}

impl Follower {
    fn poll(&mut self, engine: &Engine, limit: usize) -> Changes {
        loop {
            let start = || Point { timeline: engine.status().point.timeline, lsn: 0 };
            let since = self.at.unwrap_or_else(start);
            let told = match engine.changes(since, limit) {
                Err(EngineError::Resync(_)) => {
                    *self = Self::default();
                    continue;
                }
                told => told.unwrap(),
            };
            assert!(told.records.len() <= limit);
            assert!(told.records.is_sorted_by(|a, b| a.lsn < b.lsn));
            assert!(told.records.iter().all(|change| change.lsn > since.lsn && change.lsn <= told.point.lsn));
            self.at = Some(told.point);
            for Change { key, ver, vector, .. } in told.records.clone() {
                self.states.insert(key, (ver, vector));
            }
            if !told.more {
                return told;
            }
        }
    }

    fn live(&self) -> Model {
        let live = |(key, (ver, vector)): (&u64, &(u64, Option<Vec<f32>>))| {
            Some((*key, Record { key: *key, ver: *ver, vector: vector.clone()? }))
        };
        self.states.iter().filter_map(live).collect()
    }

    fn census(&self) -> Census {
        let mut census = Census::default();
        self.states.iter().for_each(|(key, (ver, vector))| census.add(*key, *ver, vector.is_some()));
        census
    }
}

fn change(key: u64, ver: u64, live: bool) -> Change {
    Change { vector: live.then(|| record(key, ver).vector), ..record(key, ver).at(0) }
}

fn apply(engine: &Engine, changes: Vec<Change>) -> Merged {
    run(engine.apply(changes)).unwrap()
}

#[derive(Debug, Clone)]
enum Op {
    Put(u64),
    Delete(u64),
    Poll(usize),
    Flush,
    Reopen,
    Reload,
    /// Backed up and restored, its own newer writes on top (true) or not.
    Restore(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0_u64..16).prop_map(Op::Put),
        5 => (0_u64..16).prop_map(Op::Delete),
        5 => (1_usize..9).prop_map(Op::Poll),
        2 => Just(Op::Flush),
        1 => Just(Op::Reopen),
        1 => Just(Op::Reload),
        1 => any::<bool>().prop_map(Op::Restore),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_follower_holds_what_the_node_holds(ops in prop::collection::vec(op(), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = open(dir.path());
        let mut follower = Follower::default();
        for (ver, op) in (1..).zip(ops.into_iter().chain([Op::Poll(3)])) {
            match op {
                Op::Put(key) => drop(put(&engine, key, ver).unwrap()),
                Op::Delete(key) => drop(run(engine.delete(key, ver)).unwrap()),
                Op::Flush => drop(engine.flush().unwrap()),
                Op::Reload => engine.reload(),
                Op::Reopen => {
                    drop(engine);
                    engine = open(dir.path());
                }
                Op::Restore(own) => {
                    let (backup, point) = (history(&engine), engine.status().point);
                    put(&engine, 3, ver).unwrap();
                    let import = engine.import_begin();
                    engine.import_page(import, backup).unwrap();
                    let imported = engine.import_commit(import, own.then_some(point)).unwrap();
                    prop_assert_eq!(imported.point.timeline == point.timeline, own);
                }
                Op::Poll(limit) => {
                    let told = follower.poll(&engine, limit);
                    prop_assert_eq!(told.point, engine.status().point);
                    prop_assert_eq!(follower.live(), contents(&engine).unwrap());
                    prop_assert_eq!(told.census, Some(follower.census()));
                    prop_assert_eq!(engine.status().census, follower.census());
                    let again = engine.changes(told.point, limit).unwrap();
                    prop_assert_eq!((again.records.len(), again.point, again.more), (0, told.point, false));
                }
            }
            prop_assert_eq!(*engine.durable().borrow(), engine.status().point.lsn);
        }
    }

    /// In whatever order batches come, however often, the highest write number stays.
    #[test]
    fn applied_in_any_order_is_the_same(
        batches in prop::collection::vec(prop::collection::vec((0_u64..6, 0_u64..9), 0..12), 1..6),
        order in any::<prop::sample::Index>(),
    ) {
        let live = |key: u64, ver: u64| !(key + ver).is_multiple_of(3);
        let batch = |batch: &Vec<(u64, u64)>| batch.iter().map(|(k, v)| change(*k, *v, live(*k, *v))).collect();
        let dir = tempfile::tempdir().unwrap();
        let mut engine = open(dir.path());
        let start = order.index(batches.len());
        for at in (0..batches.len()).chain(0..batches.len()).map(|at| (start + at) % batches.len()) {
            let merged = apply(&engine, batch(&batches[at]));
            prop_assert_eq!(merged.lsn, engine.status().point.lsn);
            let point = engine.status().point;
            prop_assert_eq!(apply(&engine, batch(&batches[at])), Merged { stored: 0, lsn: point.lsn });
            prop_assert_eq!(engine.status().point, point, "a second time advances nothing");
        }
        let mut newest = BTreeMap::new();
        for (key, ver) in batches.iter().flatten() {
            newest.entry(*key).and_modify(|old: &mut u64| *old = (*old).max(*ver)).or_insert(*ver);
        }
        let wanted = model(newest.into_iter().filter(|(key, ver)| live(*key, *ver)));
        for _ in 0..2 {
            prop_assert_eq!(&contents(&engine).unwrap(), &wanted);
            drop(engine);
            engine = open(dir.path());
        }
    }
}

#[test]
fn only_what_is_durable_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let engine =
        Engine::open(Config { flaws: vec![Flaw::DropAcked { n: 3 }], ..config(dir.path()) }).unwrap();
    fill(&engine, 0..10, 1);
    let mut follower = Follower::default();
    assert_eq!((follower.poll(&engine, 4).census, follower.at.unwrap().lsn), (None, 7));
    drop(engine);
    let engine = open(dir.path());
    assert_eq!(follower.live(), contents(&engine).unwrap());
    put(&engine, 50, 1).unwrap();
    assert_eq!(follower.poll(&engine, 4).records, [record(50, 1).at(8)]);
}

#[test]
fn a_waiting_follower_is_woken() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let mut durable = engine.durable();
    run(async {
        let wait = tokio::time::timeout(std::time::Duration::from_secs(10), durable.changed());
        let (woken, lsn) = tokio::join!(wait, engine.put(record(1, 1)));
        woken.unwrap().unwrap();
        assert_eq!(*durable.borrow_and_update(), lsn.unwrap());
    });
    let timeline = engine.status().point.timeline;
    assert_eq!(engine.changes(Point { timeline, lsn: 0 }, 9).unwrap().records.len(), 1);
}

#[test]
fn points_of_another_history_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    fill(&engine, 0..9, 1);
    let point = engine.status().point;
    let resync = |point| matches!(engine.changes(point, 9), Err(EngineError::Resync(_)));
    assert!(resync(Point { lsn: point.lsn + 1, ..point }), "a write that never was");
    assert!(resync(Point { timeline: point.timeline ^ 1, lsn: 0 }));
    assert!(!resync(point));
    let import = engine.import_begin();
    engine.import_commit(import, None).unwrap();
    assert!(resync(point));
    assert!(!resync(Point { lsn: 0, ..engine.status().point }));
    drop(engine);
    let log = dir.path().join("wal.log");
    fs::write(&log, &fs::read(&log).unwrap()[..40]).unwrap();
    let engine = open(dir.path());
    assert!(matches!(engine.changes(point, 9), Err(EngineError::Refused { .. })), "damaged: nothing is told");
}

#[test]
fn a_repaired_node_tells_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    fill(&engine, 0..9, 1);
    let all = history(&engine);
    drop(engine);
    let log = dir.path().join("wal.log");
    let intact = fs::read(&log).unwrap();
    fs::write(&log, &intact[..40]).unwrap();
    let engine = open(dir.path());
    let mut durable = engine.durable();
    assert_eq!(*durable.borrow_and_update(), 0);
    fs::write(&log, intact).unwrap();
    engine.reload();
    assert!(durable.has_changed().unwrap());
    assert_eq!((history(&engine), *durable.borrow()), (all, 9));
}

/// A poll without news must not look at everything.
#[test]
fn an_idle_poll_is_cheap() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let all: Vec<_> = (0..100_000).map(|key| record(key, 1).at(key + 1)).collect();
    let import = engine.import_begin();
    engine.import_page(import, all).unwrap();
    let point = engine.import_commit(import, None).unwrap().point;
    let began = std::time::Instant::now();
    for _ in 0..10_000 {
        assert!(engine.changes(point, 1000).unwrap().records.is_empty());
    }
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(5), "{took:?} for 10 000 polls of 100 000 keys");
}

#[test]
fn applied_changes_are_indexed_flushed_and_told_like_writes() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (primary, standby) = (open(dir.path()), open(other.path()));
    fill(&primary, 0..30, 1);
    run(primary.delete(4, 2)).unwrap();
    put(&standby, 5, 9).unwrap();
    assert_eq!(apply(&standby, history(&primary)), Merged { stored: 29, lsn: 30 });
    let mut expected = contents(&primary).unwrap();
    expected.insert(5, record(5, 9));
    assert_eq!(contents(&standby).unwrap(), expected);
    standby.build_index(spec(), BuildEngine::Cpu).unwrap();
    apply(&primary, history(&standby));
    assert_eq!(contents(&primary).unwrap(), expected);
    assert_eq!(primary.status().census, standby.status().census);
    assert_eq!(apply(&primary, vec![change(4, 1, true)]).stored, 0, "a late write stays deleted");
    let short = Change { vector: Some(vec![1.0]), ..change(1, 99, true) };
    let refused = run(primary.apply(vec![change(2, 99, true), short]));
    assert!(matches!(refused, Err(EngineError::Refused { .. })));
    assert_eq!(primary.get(2).unwrap(), Some(record(2, 1)), "all of a batch or nothing");
}
