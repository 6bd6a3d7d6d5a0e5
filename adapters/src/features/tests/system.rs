//! The store as a drill's users reach it.

use harness::corpus::LOADED_KEYS;
use harness::ports::{Reading, System, Write};

use super::*;
use crate::features::{FeatureSystem, Strike};

const ENTITIES: u64 = 30;

fn put(key: u64, ver: u64) -> Write {
    Write { key, ver, delete: false }
}

async fn seeded(node: &Node) -> (FeatureSystem, Arc<Corpus>) {
    let corpus = corpus(ENTITIES);
    let system = FeatureSystem::new(node.client.clone(), corpus.clone());
    for key in 0..ENTITIES + corpus.catalogue_count() {
        system.write(put(key, 0)).await.unwrap();
    }
    (system, corpus)
}

async fn survivors(system: &FeatureSystem, limit: usize) -> Vec<(u64, Reading)> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = system.survivors(after, limit).await.unwrap();
        assert!(page.items.len() <= limit);
        assert!(page.items.iter().all(|(key, _)| Some(*key) > after), "{after:?}: {page:?}");
        all.extend(page.items);
        match page.next {
            Some(next) => {
                assert!(Some(next) > after && all.last().is_none_or(|(last, _)| *last <= next));
                after = Some(next);
            }
            None => break,
        }
    }
    assert!(all.is_sorted_by_key(|(key, _)| *key));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_listed_under_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let (system, corpus) = seeded(&node).await;
    let behind = ENTITIES + corpus.catalogue_count();
    for write in [put(3, 5), put(LOADED_KEYS + 2, 6), put(LOADED_KEYS + 9, 7), put(behind, 8)] {
        system.write(write).await.unwrap();
    }
    system.write(Write { key: 4, ver: 9, delete: true }).await.unwrap();
    assert_eq!(system.read(3).await.unwrap(), Some(Reading::Ver(5)));
    assert_eq!(system.read(4).await.unwrap(), None);
    assert_eq!(system.read(ENTITIES + 1).await.unwrap(), Some(Reading::Ver(0)));
    assert_eq!(system.read(LOADED_KEYS).await.unwrap(), None);
    let all = survivors(&system, 7).await;
    let mut expected: Vec<(u64, Reading)> = (0..behind).map(|key| (key, Reading::Ver(0))).collect();
    expected[3].1 = Reading::Ver(5);
    expected.remove(4);
    expected.extend([
        (behind, Reading::Ver(8)),
        (LOADED_KEYS + 2, Reading::Ver(6)),
        (LOADED_KEYS + 9, Reading::Ver(7)),
    ]);
    assert_eq!(all, expected);
    for limit in [1, 30, 1000] {
        assert_eq!(survivors(&system, limit).await, expected, "pages of {limit}");
    }
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
