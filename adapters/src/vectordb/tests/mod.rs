//! Tests of the database as a whole.

mod crash;
mod damage;
mod feed;
mod flawed;
mod killed;
mod model;
mod network;
mod process;
mod replicated;
mod restore;

use super::codec::Entry;
use super::files::{Folder, Watch};
use super::{Change, Config, Engine, EngineError, IndexSpec, Kind, Point, Record};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

const DIM: u32 = 4;

type Model = BTreeMap<u64, Record>;

fn spec() -> IndexSpec {
    IndexSpec { kind: Kind::Hnsw { m: 8, ef_construction: 50, ef: 50 }, seed: 7, min_recall: 0 }
}

fn config(dir: &Path) -> Config {
    Config::new(dir, "docs", DIM)
}

fn open(dir: &Path) -> Engine {
    Engine::open(config(dir)).unwrap()
}

fn record(key: u64, ver: u64) -> Record {
    Record {
        key,
        ver,
        vector: (0..u64::from(DIM)).map(|i| ((key * 31 + ver * 7 + i * 3) % 101) as f32).collect(),
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn put(engine: &Engine, key: u64, ver: u64) -> Result<u64, EngineError> {
    run(engine.put(record(key, ver)))
}

fn fill(engine: &Engine, keys: std::ops::Range<u64>, ver: u64) {
    for key in keys {
        put(engine, key, ver).unwrap();
    }
}

fn delete(engine: &Engine, key: u64) -> Result<u64, EngineError> {
    run(engine.delete(key, 0))
}

/// Everything a node serves, read page by page.
fn contents(engine: &Engine) -> Result<Model, EngineError> {
    let (mut all, mut after) = (Model::new(), None);
    loop {
        let page = engine.survivors(after, 7)?;
        for record in page.records {
            assert!(all.insert(record.key, record).is_none(), "a key came twice");
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// Everything a node ever told its followers.
fn history(engine: &Engine) -> Vec<Change> {
    let timeline = engine.status().point.timeline;
    let told = engine.changes(Point { timeline, lsn: 0 }, usize::MAX).unwrap();
    assert!(!told.more);
    told.records
}

fn model(records: impl IntoIterator<Item = (u64, u64)>) -> Model {
    records.into_iter().map(|(key, ver)| (key, record(key, ver))).collect()
}

/// The nearest by brute force; vectors that are equally far are told apart by key.
fn nearest(model: &Model, query: &[f32], k: usize) -> Vec<u64> {
    let far = |record: &Record| record.vector.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let mut all: Vec<_> = model.values().map(|record| (far(record), record.key)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.into_iter().take(k).map(|(_, key)| key).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy(&item.path(), &target);
        } else {
            std::fs::copy(item.path(), target).unwrap();
        }
    }
}

/// An engine that calls `watch` before every step that changes the disk.
fn open_watched(dir: &Path, watch: impl Fn(&Path) + Send + Sync + 'static) -> Engine {
    let mut folder = Folder::new(dir);
    folder.watch = Watch(Some(Arc::new(watch)));
    Engine::open_in(config(dir), folder).unwrap()
}

#[test]
fn the_newest_write_wins_in_whatever_order() {
    let entry = |lsn, vector: Option<f32>| Entry { lsn, ver: lsn, vector: vector.map(|v| vec![v].into()) };
    let writes = [entry(1, Some(1.0)), entry(2, None), entry(3, Some(3.0))];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        let mut table = super::table::Table::new(0);
        order.iter().for_each(|at| table.apply(7, writes[*at].clone()));
        assert_eq!((table.get(7).unwrap().ver, table.live(), table.last()), (3, 1, 3));
    }
}

#[test]
fn entries_survive_their_bytes() {
    let entry = Entry { lsn: 3, ver: 9, vector: Some(vec![1.0, -2.5].into()) };
    let grave = Entry { lsn: 4, ver: 1, vector: None };
    let mut bytes = Vec::new();
    super::codec::write_entry(&mut bytes, 5, &entry);
    super::codec::write_entry(&mut bytes, 6, &grave);
    let read = |bytes: &[u8], count| super::codec::Reader(bytes).entries(count, 2);
    assert_eq!(read(&bytes, 2), Some(vec![(5, entry), (6, grave)]));
    assert_eq!(read(&bytes, 1), None);
    assert_eq!(read(&bytes, 3), None);
    assert_eq!(read(&bytes[..bytes.len() - 1], 2), None);
}
