//! Damaged bytes are refused, or make an index that answers something; they never panic, hang or exhaust memory.

use crate::data::{Data, all};
use index::{Index, IndexSpec, Kind};
use proptest::prelude::*;
use std::sync::LazyLock;

/// Small `m`, so that there are upper layers.
fn specs() -> [IndexSpec; 4] {
    let mut all = all();
    all[0].kind = Kind::Hnsw { m: 3, ef_construction: 10, ef: 10 };
    all
}

static INTACT: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    let data = Data::clustered(60, 3, 1, 1);
    specs().map(|spec| data.build(&spec).to_bytes())
});

/// Loads, and uses what was loaded in every way there is.
fn exercise(bytes: &[u8], spec: &IndexSpec) -> bool {
    let Ok(index) = Index::from_bytes(bytes, spec) else { return false };
    let query = vec![0.5; index.dim()];
    for k in [1, 10, usize::MAX] {
        let found = index.search(&query, k, &|id| id % 3 != 0).unwrap();
        assert!(found.len() <= k.min(index.len()));
        assert!(found.is_sorted_by(|a, b| (a.distance, a.id) < (b.distance, b.id)));
        assert!(found.iter().all(|neighbor| neighbor.id % 3 != 0));
    }
    let again = index.to_bytes();
    assert!(Index::from_bytes(&again, spec).unwrap().to_bytes() == again);
    true
}

#[test]
fn intact_bytes_load() {
    for (bytes, spec) in INTACT.iter().zip(specs()) {
        assert!(exercise(bytes, &spec));
    }
}

#[test]
fn every_truncation_and_every_addition_is_refused() {
    for (bytes, spec) in INTACT.iter().zip(specs()) {
        for len in 0..bytes.len() {
            assert!(!exercise(&bytes[..len], &spec), "{len} of {} bytes were taken", bytes.len());
        }
        assert!(!exercise(&[bytes, &[0][..]].concat(), &spec));
    }
}

#[test]
fn every_byte_may_be_any_extreme() {
    for (bytes, spec) in INTACT.iter().zip(specs()) {
        let mut damaged = bytes.clone();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at].wrapping_add(1)] {
                damaged[at] = value;
                exercise(&damaged, &spec);
            }
            damaged[at] = bytes[at];
        }
    }
}

#[test]
fn every_word_of_the_header_may_be_any_extreme() {
    for (bytes, spec) in INTACT.iter().zip(specs()) {
        let mut damaged = bytes.clone();
        for at in 0..100 {
            for value in [0, 1, 61, u64::MAX, u64::MAX / 2, 1 << 32, u64::from(u32::MAX), 1 << 61] {
                damaged[at..at + 8].copy_from_slice(&value.to_le_bytes());
                exercise(&damaged, &spec);
            }
            damaged[at..at + 8].copy_from_slice(&bytes[at..at + 8]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_anywhere(
        which in 0..4usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = INTACT[which].clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        exercise(&bytes, &specs()[which]);
    }

    #[test]
    fn noise(which in 0..4usize, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise(&bytes, &specs()[which]);
    }
}
