//! What the tests of several stores have in common: the laws that every feature store keeps for a drill's users.

use std::sync::Arc;

use harness::corpus::{Corpus, LOADED_KEYS};
use harness::diagnose::load;
use harness::ports::{Reading, System, Write};

/// The corpus of a small drill with this many entities.
pub(crate) fn corpus(entities: u64) -> Arc<Corpus> {
    let text = include_str!("../../scenarios/vector_index_corruption.toml");
    let mut corpus = Corpus::of(&load(text.as_bytes(), &[]).unwrap().scenario);
    (corpus.entities, corpus.object_size) = (entities, 256);
    Arc::new(corpus)
}

pub(crate) fn put(key: u64, ver: u64) -> Write {
    Write { key, ver, delete: false }
}

/// Writes every entity and the catalogue.
pub(crate) async fn seed(system: &impl System, corpus: &Corpus) {
    let all = (0..corpus.entities + corpus.catalogue_count()).map(|key| system.write(put(key, 0)));
    for done in futures::future::join_all(all).await {
        done.unwrap();
    }
}

/// Everything that a store lists, in pages of this many, each in the order of its keys.
pub(crate) async fn survivors(system: &impl System, limit: usize) -> Vec<(u64, Reading)> {
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

/// Writes, changes and removes; then everything is listed under its key, in pages of any size. Needs a seeded store of
/// at least five entities.
pub(crate) async fn everything_is_listed_under_its_key(system: &impl System, corpus: &Corpus) {
    let entities = corpus.entities;
    let behind = entities + corpus.catalogue_count();
    for write in [put(3, 5), put(LOADED_KEYS + 2, 6), put(LOADED_KEYS + 9, 7), put(behind, 8)] {
        system.write(write).await.unwrap();
    }
    system.write(Write { key: 4, ver: 9, delete: true }).await.unwrap();
    assert_eq!(system.read(3).await.unwrap(), Some(Reading::Ver(5)));
    assert_eq!(system.read(4).await.unwrap(), None);
    assert_eq!(system.read(entities + 1).await.unwrap(), Some(Reading::Ver(0)));
    assert_eq!(system.read(LOADED_KEYS).await.unwrap(), None);
    let mut expected: Vec<(u64, Reading)> = (0..behind).map(|key| (key, Reading::Ver(0))).collect();
    expected[3].1 = Reading::Ver(5);
    expected.remove(4);
    let later = [(behind, 8), (LOADED_KEYS + 2, 6), (LOADED_KEYS + 9, 7)];
    expected.extend(later.map(|(key, ver)| (key, Reading::Ver(ver))));
    for limit in [1, 7, 30, 1000] {
        assert_eq!(survivors(system, limit).await, expected, "pages of {limit}");
    }
}
