//! A backup comes back, and the node's own newer writes on top of it as far as they are intact.

use super::*;
use crate::vectordb::{BuildEngine, Imported, State};
use std::fs;

/// The backups of these tests hold records whose key is one less than their lsn.
fn restore(engine: &Engine, backup: &Model, since: Option<Point>) -> Imported {
    let import = engine.import_begin();
    let changes: Vec<_> = backup.values().map(|record| record.clone().at(record.key + 1)).collect();
    for page in changes.chunks(3) {
        engine.import_page(import, page.to_vec()).unwrap();
    }
    engine.import_commit(import, since).unwrap()
}

/// A node, a backup of it, and writes after the backup: some sealed, some only in the log.
fn node(dir: &Path) -> (Engine, Model, Point, Model) {
    let engine = open(dir);
    fill(&engine, 0..10, 1);
    engine.flush().unwrap();
    let (backup, point) = (contents(&engine).unwrap(), engine.status().point);
    put(&engine, 3, 2).unwrap();
    delete(&engine, 4).unwrap();
    engine.build_index(spec(), BuildEngine::Cpu).unwrap();
    put(&engine, 20, 1).unwrap();
    delete(&engine, 5).unwrap();
    let all = contents(&engine).unwrap();
    (engine, backup, point, all)
}

fn flip(dir: &Path, file: &str) {
    let path = dir.join(file);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() - 10;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn served_after_restart(engine: Engine, dir: &Path) -> Model {
    drop(engine);
    let engine = open(dir);
    assert_eq!(engine.status().state, State::Healthy, "{:?}", engine.status());
    put(&engine, 77, 7).unwrap();
    engine.rebuild_index(BuildEngine::Cpu).ok();
    let mut served = contents(&engine).unwrap();
    served.remove(&77).unwrap();
    served
}

#[test]
fn damaged_segments_come_back_from_backup_and_log() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, backup, point, all) = node(dir.path());
    drop(engine);
    flip(dir.path(), "segments/000001.seg");
    let engine = open(dir.path());
    assert_eq!(engine.status().state, State::Degraded);
    let imported = restore(&engine, &backup, Some(point));
    assert_eq!(contents(&engine).unwrap(), all);
    assert!(imported.complete);
    assert_eq!((imported.live, imported.replayed, imported.point.lsn), (all.len() as u64, 4, 14));
    assert_eq!(imported.point.timeline, point.timeline);
    assert_eq!(served_after_restart(engine, dir.path()), all);
}

#[test]
fn a_damaged_index_of_restored_data_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, backup, point, all) = node(dir.path());
    drop(engine);
    flip(dir.path(), "index.bin");
    let engine = open(dir.path());
    assert_eq!(engine.status().state, State::IndexDamaged);
    restore(&engine, &backup, Some(point));
    assert_eq!(engine.status().state, State::Healthy);
    assert_eq!(engine.search(&record(20, 1).vector, 1).unwrap()[0].key, 20);
    assert_eq!(engine.rebuild_index(BuildEngine::Cpu).unwrap().spec, spec());
    assert_eq!(served_after_restart(engine, dir.path()), all);
}

#[test]
fn writes_in_damaged_files_are_lost_and_admitted() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, backup, point, all) = node(dir.path());
    drop(engine);
    flip(dir.path(), "wal.log");
    let engine = open(dir.path());
    let imported = restore(&engine, &backup, Some(point));
    assert!(!imported.complete);
    assert_ne!(imported.point.timeline, point.timeline);
    let mut expected = all.clone();
    expected.remove(&20);
    expected.insert(5, record(5, 1));
    assert_eq!(contents(&engine).unwrap(), expected);
    assert_eq!(served_after_restart(engine, dir.path()), expected);
}

#[test]
fn a_damaged_manifest_leaves_backup_and_log() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, backup, point, all) = node(dir.path());
    drop(engine);
    flip(dir.path(), "MANIFEST");
    let engine = open(dir.path());
    let imported = restore(&engine, &backup, Some(point));
    assert!(!imported.complete, "writes 11 and 12 are sealed in segments nobody names");
    assert_ne!(imported.point.timeline, point.timeline, "who saw them has to start over");
    let mut expected = all.clone();
    expected.insert(3, record(3, 1));
    expected.insert(4, record(4, 1));
    assert_eq!(contents(&engine).unwrap(), expected);
    assert_eq!(served_after_restart(engine, dir.path()), expected);
}

#[test]
fn another_node_takes_the_backup_and_nothing_else() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_engine, backup, point, _) = node(dir.path());
    let standby = open(other.path());
    put(&standby, 500, 1).unwrap();
    let imported = restore(&standby, &backup, Some(point));
    assert_eq!((imported.replayed, imported.live), (0, backup.len() as u64));
    assert_eq!(contents(&standby).unwrap(), backup);
    assert_eq!(served_after_restart(standby, other.path()), backup);
}

#[test]
fn without_a_point_nothing_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, backup, _, _) = node(dir.path());
    restore(&engine, &backup, None);
    assert_eq!(contents(&engine).unwrap(), backup);
    assert_eq!(served_after_restart(engine, dir.path()), backup);
    let empty = open(dir.path());
    restore(&empty, &Model::new(), None);
    assert_eq!(served_after_restart(empty, dir.path()), Model::new());
}

#[test]
fn imports_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    put(&engine, 1, 1).unwrap();
    let first = engine.import_begin();
    let second = engine.import_begin();
    let short = Record { key: 1, ver: 1, vector: vec![1.0] }.at(1);
    assert!(matches!(engine.import_page(second, vec![short]), Err(EngineError::Refused { .. })));
    assert!(matches!(engine.import_page(first, vec![record(2, 1).at(1)]), Err(EngineError::Refused { .. })));
    assert!(matches!(engine.import_commit(first, None), Err(EngineError::Refused { .. })));
    assert_eq!(contents(&engine).unwrap(), model([(1, 1)]));
    engine.import_commit(second, None).unwrap();
    assert!(matches!(engine.import_commit(second, None), Err(EngineError::Refused { .. })));
}

#[test]
fn imports_without_a_possible_history_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    put(&engine, 1, 1).unwrap();
    let point = engine.status().point;
    for lsns in [[0, 1], [1, 1], [1, 2], [1, u64::MAX]] {
        let import = engine.import_begin();
        let changes = (5..).zip(lsns).map(|(key, lsn)| record(key, 1).at(lsn)).collect();
        engine.import_page(import, changes).unwrap();
        let refused = engine.import_commit(import, Some(point));
        assert!(matches!(refused, Err(EngineError::Refused { .. })), "{lsns:?}: {refused:?}");
    }
    assert_eq!((contents(&engine).unwrap(), engine.status().point), (model([(1, 1)]), point));
}

/// No graph finds more than all: what is served goes on being served.
#[test]
fn an_index_that_finds_less_than_was_asked_for_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    fill(&engine, 0..50, 1);
    let built = engine.build_index(IndexSpec { min_recall: 900, ..spec() }, BuildEngine::Cpu).unwrap();
    put(&engine, 50, 1).unwrap();
    let demanding = IndexSpec { min_recall: 1_001, ..spec() };
    let refused = engine.build_index(demanding, BuildEngine::Cpu).unwrap_err().to_string();
    assert!(refused.contains("100.0 % of true neighbours") && refused.contains("not served"), "{refused}");
    let status = engine.status();
    assert_eq!((status.state, status.index.unwrap().lsn), (State::Healthy, built.lsn));
    assert_eq!(engine.search(&record(50, 1).vector, 1).unwrap()[0].key, 50);
}
