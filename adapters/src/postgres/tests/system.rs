//! The store as a drill's users reach it: the laws of a feature store, kept by PostgreSQL.

use super::*;
use crate::features::{Holder as _, Item, Operated as _, Row, Strike};

const ENTITIES: u64 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_listed_under_its_key() {
    let Some(mut stand) = Stand::new() else { return };
    let node = stand.single().await;
    let corpus = corpus(ENTITIES);
    let system = system(&node, &corpus);
    seed(&system, &corpus).await;
    assert!(system.write(put(u64::MAX, 1)).await.is_err());
    crate::trials::everything_is_listed_under_its_key(&system, &corpus).await;
    // The same in the shapes that other tools know.
    let online: i64 = node.users().value("SELECT count(*) FROM feast_online_store").await.unwrap();
    assert_eq!(online, 8 * (29 + 3));
    let models: i64 = node
        .users()
        .value("SELECT count(*) FROM model_versions WHERE version = 1 AND current_stage = 'production'")
        .await
        .unwrap();
    assert_eq!(models, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_state_wins_in_whatever_order() {
    let Some(mut stand) = Stand::new() else { return };
    let node = stand.single().await;
    let corpus = corpus(ENTITIES);
    let system = system(&node, &corpus);
    let put_late = |ver: u64| system.write(Write { key: 1, ver, delete: ver == 40 });
    // All at once: whoever comes last to the row decides nothing.
    let all = futures::future::join_all((0..=40).rev().map(put_late)).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(system.read(1).await.unwrap(), None);
    put_late(39).await.unwrap();
    assert_eq!(system.read(1).await.unwrap(), None);
    put_late(41).await.unwrap();
    put_late(41).await.unwrap();
    assert_eq!(system.read(1).await.unwrap(), Some(Reading::Ver(41)));
    // Row and log agree, whoever won.
    let (rows, _) = node.users().page(0, 100, 100).await.unwrap();
    assert!(rows.iter().all(crate::features::Stored::verifies), "{rows:?}");
    // Several at once: all of them or none.
    let item = |key, ver| {
        let row = corpus.features(key, ver);
        Item::Row(Row { key, ver, event_us: row.event_us, values: Some(row.values) })
    };
    node.users().put(vec![item(9, 1), item(8, 1), item(1, 7)]).await.unwrap();
    let (bad, good) =
        (Item::Row(Row { key: 5, ver: 1, event_us: 0, values: Some([f64::NAN; 8]) }), item(6, 1));
    assert!(node.users().put(vec![good, bad]).await.unwrap_err().is_definite());
    let found: Vec<u64> = survivors(&system, 100).await.iter().map(|(key, _)| *key).collect();
    assert_eq!(found, [1, 8, 9]);
    assert_eq!(system.read(1).await.unwrap(), Some(Reading::Ver(41)));
}

#[tokio::test(flavor = "multi_thread")]
async fn strikes_are_corrupt_gone_or_strange() {
    let Some(mut stand) = Stand::new() else { return };
    let node = stand.single().await;
    let corpus = corpus(ENTITIES);
    let system = system(&node, &corpus);
    assert!(node.operators().strike(Strike::ShiftValues(0.1), 1).await.unwrap_err().is_definite());
    seed(&system, &corpus).await;
    let behind = ENTITIES + corpus.catalogue_count();
    let strike = async |strike| node.operators().strike(strike, 1).await.unwrap().count;
    let corrupt = async |of: std::ops::Range<u64>| {
        let all = survivors(&system, 8).await;
        all.iter().filter(|(key, reading)| of.contains(key) && *reading == Reading::Corrupt).count()
    };
    assert_eq!(strike(Strike::ShiftValues(0.1)).await, 3);
    assert_eq!(corrupt(0..ENTITIES).await, 3);
    assert_eq!(strike(Strike::AlterDefinitions(0.25)).await, 2);
    assert_eq!(corrupt(ENTITIES..behind).await, 2);
    assert_eq!(strike(Strike::DeleteDefinitions(0.1)).await, 1);
    assert_eq!(strike(Strike::LeaveRole).await, 1);
    assert_eq!(strike(Strike::LeaveRole).await, 1);
    assert_eq!(survivors(&system, 100).await.last(), Some(&(1 << 52, Reading::Corrupt)));
    assert_eq!(corrupt(1 << 52..u64::MAX).await, 1);
    // A known user who was made more than it is, is strange, too.
    node.operators().run("ALTER ROLE replicator SUPERUSER").await.unwrap();
    assert_eq!(corrupt(1 << 52..u64::MAX).await, 2);
    assert_eq!(strike(Strike::DeleteRows(0.5)).await, 15);
    assert_eq!(survivors(&system, 100).await.iter().filter(|(key, _)| *key < ENTITIES).count(), 15);
    assert_eq!(strike(Strike::ForgeValues(1.0)).await, 15);
    assert_eq!(corrupt(0..ENTITIES).await, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_operation_says_whether_it_is_well() {
    let Some(mut stand) = Stand::new() else { return };
    let (east, west) = stand.pair().await;
    let corpus = corpus(ENTITIES);
    seed(&system(&east, &corpus), &corpus).await;
    east.caught_up(&west, LIMIT).await.unwrap();
    let health = east.health().await.unwrap();
    assert_eq!((health.standby, health.entities, health.checksum_failures), (false, ENTITIES, 0));
    let health = west.health().await.unwrap();
    assert!(health.standby && health.stale_seconds.is_some() && health.entities == ENTITIES, "{health:?}");
    assert_eq!(survivors(&system(&west, &corpus), 100).await, survivors(&system(&east, &corpus), 100).await);
    stand.kill(&east);
    assert!(east.health().await.is_err());
}
