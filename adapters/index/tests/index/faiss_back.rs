//! Files of FAISS are read back: a graph is the same as before; garbage is refused and never panics.

use crate::data::Data;
use index::{Index, IndexSpec, Kind, LoadError, Metric};
use proptest::prelude::*;
use std::sync::LazyLock;

const KIND: Kind = Kind::Hnsw { m: 3, ef_construction: 10, ef: 100 };

static INTACT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    Data::clustered(60, 3, 1, 1).build(&IndexSpec { kind: KIND, ..IndexSpec::hnsw() }).to_faiss()
});

fn exercise(bytes: &[u8]) -> bool {
    let Ok(index) = Index::from_faiss(bytes, Metric::L2) else { return false };
    let found = index.search_as_peers(&vec![0.5; index.dim()], 10, 100).unwrap();
    assert!(found.len() <= index.len());
    assert!(index.reach().is_some());
    assert!(Index::from_bytes(&index.to_bytes(), index.spec()).is_ok());
    true
}

#[test]
fn a_graph_comes_back_as_it_was() {
    let data = Data::clustered(2_000, 12, 1, 3);
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
        let index = data.build(&IndexSpec { metric, ..IndexSpec::hnsw() });
        let back = Index::from_faiss(&index.to_faiss(), metric).unwrap();
        assert_eq!(back.spec(), &IndexSpec { seed: 0, ..*index.spec() });
        assert!(back.to_bytes() == index.to_bytes() && back.to_faiss() == index.to_faiss());
    }
    let l2 = data.build(&IndexSpec::hnsw()).to_faiss();
    assert!(matches!(Index::from_faiss(&l2, Metric::Cosine), Err(LoadError::Mismatch { .. })));
}

#[test]
fn without_a_map_rows_are_numbered() {
    let ids = 8 + 8 * 60;
    let plain = &INTACT[37..INTACT.len() - ids];
    let index = Index::from_faiss(plain, Metric::L2).unwrap();
    assert!(index.ids().iter().copied().eq(0..60));
}

#[test]
fn truncations_and_extremes_are_refused_or_harmless() {
    assert!(exercise(&INTACT));
    for length in 0..INTACT.len() {
        assert!(!exercise(&INTACT[..length]), "{length}");
    }
    let mut damaged = INTACT.clone();
    for at in 0..INTACT.len() - 8 {
        for value in [0, 1, u64::MAX, u64::MAX / 2, 1 << 32, 1 << 61] {
            damaged[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
            exercise(&damaged);
        }
        damaged[at..at + 8].copy_from_slice(&INTACT[at..at + 8]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_anywhere(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = INTACT.clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        exercise(&bytes);
    }

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise(&bytes);
        exercise(&[b"IHNf", &bytes[..]].concat());
    }
}
