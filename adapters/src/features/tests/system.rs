//! The store as a drill's users reach it.

use harness::ports::{Reading, System};

use super::*;
use crate::features::{FeatureSystem, Strike};
use crate::trials::{everything_is_listed_under_its_key, put, seed, survivors};

const ENTITIES: u64 = 30;

async fn seeded(node: &Node) -> (FeatureSystem, Arc<Corpus>) {
    let corpus = corpus(ENTITIES);
    let system = FeatureSystem::new(node.client.clone(), corpus.clone());
    seed(&system, &corpus).await;
    (system, corpus)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let (system, corpus) = seeded(&node).await;
    everything_is_listed_under_its_key(&system, &corpus).await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strikes_are_corrupt_gone_or_strange() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let (system, corpus) = seeded(&node).await;
    let behind = ENTITIES + corpus.catalogue_count();
    let count = |all: &[(u64, Reading)], of: std::ops::Range<u64>| {
        all.iter().filter(|(key, reading)| of.contains(key) && *reading == Reading::Corrupt).count()
    };
    node.client.strike(Strike::ShiftValues(0.1), 1).await.unwrap();
    assert_eq!(count(&survivors(&system, 8).await, 0..ENTITIES), 3);
    node.client.strike(Strike::AlterDefinitions(0.25), 1).await.unwrap();
    assert_eq!(count(&survivors(&system, 8).await, ENTITIES..behind), 2);
    node.client.strike(Strike::LeaveRole, 1).await.unwrap();
    // A definition, a row under a key of the catalogue, and one under a key that no entity has.
    let mut strange =
        vec![record(Table::Definitions, "feature_99", "{}"), row(ENTITIES + 2, 3), row(1 << 53, 3)];
    node.client.apply(strange.clone()).await.unwrap();
    for limit in [2, 1000] {
        let all = survivors(&system, limit).await;
        assert_eq!(count(&all, 1 << 52..u64::MAX), 4);
        assert_eq!(
            all[all.len() - 4..].iter().map(|(key, _)| key - (1 << 52)).collect::<Vec<_>>(),
            [0, 1, 2, 3]
        );
    }
    strange.truncate(0);
    node.client.strike(Strike::DeleteRows(0.5), 1).await.unwrap();
    assert!(survivors(&system, 100).await.iter().filter(|(key, _)| *key < ENTITIES).count() < 30);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_known_by_their_bits_and_not_by_their_number() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let (system, corpus) = seeded(&node).await;
    let good = corpus.features(1, 5);
    let item = |event_us, values| Item::Row(Row { key: 1, ver: 5, event_us, values: Some(values) });
    let mut bent = good.values;
    bent[7] = f64::from_bits(bent[7].to_bits() ^ 1);
    for (bad, then) in [(item(good.event_us - 1, good.values), 0), (item(good.event_us, bent), 1)] {
        node.client.apply(vec![bad]).await.unwrap();
        assert_eq!(system.read(1).await.unwrap(), Some(Reading::Corrupt), "{then}");
    }
    system.write(put(1, 6)).await.unwrap();
    assert_eq!(system.read(1).await.unwrap(), Some(Reading::Ver(6)));
    node.end().await;
}
