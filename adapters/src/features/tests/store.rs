//! The store by itself: order, deletions, the log, damage.

use std::time::Instant;

use super::*;
use crate::features::{Key, StoreError, Strike};

#[test]
fn the_newest_state_wins_in_whatever_order() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let states = [row(7, 1), gone(7, 2), row(7, 3)];
        for at in order {
            run(store.apply(vec![states[at].clone()])).unwrap();
        }
        assert_eq!(contents(&store), [row(7, 3)]);
        let lsn = store.point().lsn;
        assert_eq!(run(store.apply(states.to_vec())).unwrap().stored, 0);
        assert_eq!(store.point().lsn, lsn, "what changes nothing is no change");
    }
}

#[test]
fn equal_versions_of_different_content_agree_everywhere() {
    let [a, b] =
        [row(7, 1), Item::Row(Row { key: 7, ver: 1, event_us: 1000, values: Some([1.0; FEATURES]) })];
    let mut seen = Vec::new();
    for order in [[&a, &b], [&b, &a]] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for item in order {
            run(store.apply(vec![item.clone()])).unwrap();
        }
        seen.push(contents(&store));
    }
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn what_cannot_be_stored_is_refused_and_nothing_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut bad = [1.0; FEATURES];
    bad[3] = f64::NAN;
    let bad = [
        Item::Row(Row { key: 1, ver: 1, event_us: 1, values: Some(bad) }),
        Item::Row(Row { key: u64::MAX, ver: 1, event_us: 1, values: None }),
        Item::Row(Row { key: 1, ver: u64::MAX, event_us: 1, values: None }),
        record(Table::Roles, "", "{}"),
        record(Table::Roles, "r", &"x".repeat(70_000)),
    ];
    for bad in bad {
        let done = run(store.apply(vec![row(1, 1), bad]));
        assert!(matches!(done, Err(StoreError::Refused(_))), "{done:?}");
    }
    assert_eq!((contents(&store), store.point().lsn), (vec![], 0));
}

#[test]
fn negative_zero_is_zero() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    run(store.apply(vec![Item::Row(Row { key: 1, ver: 1, event_us: 1, values: Some([-0.0; FEATURES]) })]))
        .unwrap();
    assert!(store.row(1).unwrap().unwrap().verifies());
}

#[test]
fn a_closed_store_is_as_it_was_and_so_is_its_history() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    run(store.apply((0..50).map(|key| row(key, 1)).collect())).unwrap();
    run(store.apply(vec![gone(3, 2), record(Table::Roles, "admin", "{}")])).unwrap();
    let (before, point) = (contents(&store), store.point());
    drop(store);
    let store = open(dir.path());
    assert_eq!((contents(&store), store.point()), (before, point));
    assert_eq!(point.lsn, 52);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(open(other.path()).point().timeline, point.timeline);
}

#[test]
fn the_changes_feed_tells_each_key_once_and_only_what_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    run(store.apply((0..10).map(|key| row(key, 1)).collect())).unwrap();
    run(store.apply(vec![row(2, 2), gone(5, 2)])).unwrap();
    let all = store.changes(0, 100).unwrap();
    assert_eq!((all.items.len(), all.upto, all.more), (10, 12, false));
    assert_eq!(all.items[8..], [row(2, 2), gone(5, 2)]);
    let (mut since, mut told) = (0, Vec::new());
    loop {
        let page = store.changes(since, 3).unwrap();
        told.extend(page.items);
        since = page.upto;
        if !page.more {
            break;
        }
    }
    assert_eq!((told, since), (all.items, 12));
    assert_eq!(store.changes(12, 5).unwrap().items, []);
    run(store.strike(Strike::ShiftValues(1.0), 1)).unwrap();
    assert_eq!(store.changes(0, 100).unwrap().items, [gone(5, 2)]);
}

#[test]
fn every_strike_is_seen_and_no_digest_survives_it() {
    let strikes = [
        (Strike::ShiftValues(0.2), 20, 20),
        (Strike::SwapValues(0.05), 4, 4),
        (Strike::DeleteRows(0.1), 10, 10),
        (Strike::AlterDefinitions(0.5), 4, 4),
        (Strike::DeleteDefinitions(0.25), 2, 2),
        (Strike::LeaveRole, 1, 1),
    ];
    for (strike, count, caught) in strikes {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        run(store.apply((0..100).map(|key| row(key, 1)).collect())).unwrap();
        let definitions = (0..8).map(|f| record(Table::Definitions, &format!("f{f}"), r#"{"source":"a"}"#));
        run(store.apply(definitions.collect())).unwrap();
        let point = store.point();
        let struck = run(store.strike(strike, 5)).unwrap();
        assert_eq!(struck.count, count, "{strike:?}: {struck:?}");
        assert_eq!(store.point(), point, "{strike:?} left a trace in the log");
        let rows = store.rows(0, u64::MAX, usize::MAX).unwrap().rows;
        let bad = rows.iter().chain(&store.catalogue().unwrap()).filter(|stored| !stored.verifies()).count();
        assert_eq!(bad + store.missing().unwrap().len(), caught, "{strike:?}");
    }
}

#[test]
fn nothing_to_strike_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    run(store.apply(vec![gone(1, 1)])).unwrap();
    for strike in [
        Strike::ShiftValues(1.0),
        Strike::SwapValues(1.0),
        Strike::DeleteRows(1.0),
        Strike::AlterDefinitions(1.0),
    ] {
        assert!(matches!(run(store.strike(strike, 1)), Err(StoreError::Refused(_))), "{strike:?}");
    }
}

#[test]
fn missing_keys_are_those_that_were_written_and_never_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    run(store.apply(vec![row(1, 1), row(2, 1), gone(2, 2)])).unwrap();
    assert_eq!(store.missing().unwrap(), []);
    run(store.strike(Strike::DeleteRows(1.0), 1)).unwrap();
    assert_eq!(store.missing().unwrap(), [Key::Row(1)]);
}

#[test]
fn another_schema_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let db = rusqlite::Connection::open(dir.path().join("features.db")).unwrap();
    db.pragma_update(None, "user_version", 77).unwrap();
    drop(db);
    let why = Store::open(dir.path()).unwrap_err();
    assert!(why.contains("version 77"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_share_transactions() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let began = Instant::now();
    let writers = (0..64_u64).map(|writer| {
        let client = node.client.clone();
        tokio::spawn(async move {
            for round in 0..50 {
                client.apply(vec![row(writer * 1000 + round, 1)]).await.unwrap();
            }
        })
    });
    futures::future::try_join_all(writers.collect::<Vec<_>>()).await.unwrap();
    let status = node.client.status().await.unwrap();
    assert_eq!((status.rows, status.writes, status.point.lsn), (3200, 3200, 3200));
    assert!(status.commits < 1600, "{} commits", status.commits);
    eprintln!("{:.0} writes/s {} commits", 3200.0 / began.elapsed().as_secs_f64(), status.commits);
    node.end().await;
    assert_eq!(contents(&open(dir.path())).len(), 3200);
}
