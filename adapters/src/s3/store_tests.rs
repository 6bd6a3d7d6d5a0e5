//! The store without a network: groups, crashes between log and move, and damage to the log.

use std::path::Path;

use proptest::prelude::*;

use super::change::{Name, Stamp, State};
use super::staging::Staged;
use super::store::{Change, Store, StoreError};

fn name(key: &str) -> Name {
    Name::new("drill", key)
}

async fn stored(root: &Path) -> Store {
    let store = Store::open(root).unwrap();
    let bucket = Change { name: name(""), state: State::Bucket, staged: None, stamp: None };
    store.change(bucket).await.unwrap();
    store
}

fn staged(store: &Store, body: &[u8]) -> Staged {
    let mut file = store.staging().begin().unwrap();
    file.write(body).unwrap();
    file.finish().unwrap()
}

fn put(store: &Store, key: &str, body: &[u8]) -> Change {
    let staged = staged(store, body);
    Change { name: name(key), state: staged.state, staged: Some(staged), stamp: None }
}

fn deletion(key: &str) -> Change {
    Change { name: name(key), state: State::Deleted, staged: None, stamp: None }
}

fn read(root: &Path, key: &str) -> Option<Vec<u8>> {
    std::fs::read(root.join("drill").join(key)).ok()
}

fn leftovers(root: &Path) -> usize {
    std::fs::read_dir(root.join(".changes/staged")).unwrap().count()
}

#[tokio::test]
async fn writes_of_the_same_name_side_by_side_end_as_the_log_says() {
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path()).await;
    let bodies: Vec<String> = (0..50).map(|i| format!("body {i}")).collect();
    let all = bodies.iter().map(|body| store.change(put(&store, "k", body.as_bytes())));
    let lsns: Vec<u64> = futures::future::try_join_all(all).await.unwrap();
    let last = (0..50).max_by_key(|i| lsns[*i]).unwrap();
    assert_eq!(read(dir.path(), "k").unwrap(), bodies[last].as_bytes());
    assert_eq!(store.newest(name("k")).await.unwrap(), 51);
    assert_eq!((store.position().1, leftovers(dir.path())), (51, 0));
}

#[tokio::test]
async fn what_cannot_lie_side_by_side_is_refused_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path()).await;
    let (a, b) = tokio::join!(store.change(put(&store, "a", b"1")), store.change(put(&store, "a/b", b"2")));
    assert!(a.is_ok() && matches!(b, Err(StoreError::Refused(_))), "{a:?} {b:?}");
    store.change(put(&store, "x/y/z", b"3")).await.unwrap();
    assert!(matches!(store.change(put(&store, "x/y", b"4")).await, Err(StoreError::Refused(_))));
    store.change(deletion("x/y/z")).await.unwrap();
    store.change(put(&store, "x", b"5")).await.expect("folders go with their last object");
    assert_eq!(leftovers(dir.path()), 0);
}

#[tokio::test]
async fn the_newer_version_wins_in_whatever_order_they_come() {
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path()).await;
    let at = |micros| Some(Stamp { micros, origin: 1 });
    let newer = Change { stamp: at(20), ..put(&store, "k", b"newer") };
    let lsn = store.change(newer).await.unwrap();
    let older = Change { stamp: at(10), ..put(&store, "k", b"older") };
    assert_eq!(store.change(older).await.unwrap(), lsn);
    let late_deletion = Change { stamp: at(15), ..deletion("k") };
    assert_eq!(store.change(late_deletion).await.unwrap(), lsn);
    assert_eq!(store.position().1, lsn, "what is older is no change");
    assert_eq!((read(dir.path(), "k").unwrap(), leftovers(dir.path())), (b"newer".to_vec(), 0));
    store.change(put(&store, "k", b"here and now")).await.unwrap();
    assert_eq!(read(dir.path(), "k").unwrap(), b"here and now");
}

#[tokio::test]
async fn a_crash_between_log_and_move_is_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path()).await;
    for (key, body) in [("moved", "1"), ("overwritten", "2"), ("removed", "3")] {
        store.change(put(&store, key, body.as_bytes())).await.unwrap();
    }
    let kept = tempfile::tempdir().unwrap();
    for key in ["moved", "removed"] {
        std::fs::copy(dir.path().join("drill").join(key), kept.path().join(key)).unwrap();
    }
    store.change(put(&store, "overwritten", b"4")).await.unwrap();
    store.change(deletion("removed")).await.unwrap();
    drop(store);
    // As if it had died before it moved and removed; a file whose change was never logged is there too.
    let root = dir.path();
    std::fs::rename(root.join("drill/moved"), root.join(".changes/staged/1")).unwrap();
    std::fs::copy(kept.path().join("removed"), root.join("drill/removed")).unwrap();
    std::fs::write(root.join(".changes/staged/2"), "2").unwrap();
    std::fs::write(root.join(".changes/staged/99"), "never logged").unwrap();
    let store = Store::open(root).unwrap();
    assert_eq!(read(root, "moved").unwrap(), b"1");
    assert_eq!(read(root, "overwritten").unwrap(), b"4");
    assert_eq!(read(root, "removed"), None);
    assert_eq!(leftovers(root), 0);
    store.change(put(&store, "moved", b"5")).await.unwrap();
    assert_eq!(read(root, "moved").unwrap(), b"5");
}

#[tokio::test]
async fn a_wiped_store_is_empty_and_on_another_timeline() {
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path()).await;
    store.change(put(&store, "a/b", b"1")).await.unwrap();
    let before = store.position();
    store.wipe().await.unwrap();
    let after = store.position();
    assert!(after.0 != before.0 && after.1 == 0 && *store.durable().borrow() == 0);
    assert!(!dir.path().join("drill").exists());
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().position(), after);
}

#[tokio::test]
async fn a_damaged_or_missing_log_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path()).await;
    store.change(put(&store, "k", b"1")).await.unwrap();
    drop(store);
    let log = dir.path().join(".changes/log");
    let mut bytes = std::fs::read(&log).unwrap();
    let at = bytes.len() - 3;
    bytes[at] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let found = Store::open(dir.path()).unwrap_err().to_string();
    assert!(found.contains("damaged") && found.contains("empty the folder"), "{found}");
    std::fs::remove_file(&log).unwrap();
    let found = Store::open(dir.path()).unwrap_err().to_string();
    assert!(found.contains("no change log"), "{found}");
    std::fs::remove_dir_all(dir.path().join("drill")).unwrap();
    Store::open(dir.path()).unwrap();
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "a/b", "a/c/d", "e/f"]).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is written, in groups of any size and with restarts anywhere: the log and the folder agree.
    #[test]
    fn log_and_folder_agree(
        groups in prop::collection::vec(prop::collection::vec((key(), prop::option::of(0u8..9)), 1..6), 1..6)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            drop(stored(dir.path()).await);
            let mut model: std::collections::HashMap<String, (u64, Option<u8>)> = Default::default();
            for group in groups {
                let store = Store::open(dir.path()).unwrap();
                let all = group.iter().map(|(key, body)| store.change(match body {
                    Some(byte) => put(&store, key, &[*byte]),
                    None => deletion(key),
                }));
                let done = futures::future::join_all(all).await;
                for ((key, body), done) in group.into_iter().zip(done) {
                    match done {
                        Ok(lsn) if model.get(&key).is_none_or(|old| old.0 < lsn) => {
                            model.insert(key, (lsn, body));
                        }
                        Ok(_) => {}
                        Err(e) => assert!(matches!(e, StoreError::Refused(_)), "{e}"),
                    }
                }
            }
            let store = Store::open(dir.path()).unwrap();
            for (key, (lsn, body)) in &model {
                assert_eq!(store.newest(name(key)).await.unwrap(), *lsn);
                assert_eq!(read(dir.path(), key), body.map(|byte| vec![byte]), "{key}");
            }
        });
    }
}
