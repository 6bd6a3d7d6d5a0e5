//! Damaged files are refused, or are other vectors; they never panic, hang or exhaust memory.

use crate::made::{Made, f32s, faiss, fvecs, ids, lists, parquet, safetensors, saved, values};
use index_files::{Format, Options};
use parquet::basic::Compression;
use proptest::prelude::*;
use std::fs;
use std::sync::LazyLock;

/// Far more than all of this needs; one file that is believed takes gigabytes.
const MOST: u64 = 600 << 20;

static INTACT: LazyLock<Vec<(Format, Vec<u8>)>> = LazyLock::new(|| {
    let numbers: Vec<i64> = (0..40).collect();
    let table = |compression| parquet(&numbers, &lists(40, 3), None, compression);
    vec![
        (Format::Npy, saved(40, 3)),
        (Format::Fvecs, fvecs(40, 3)),
        (Format::Bvecs, [3, 0, 0, 0, 1, 2, 3].repeat(40)),
        (Format::Parquet, table(Compression::UNCOMPRESSED)),
        (Format::Parquet, table(Compression::SNAPPY)),
        (Format::Safetensors, safetensors(&[("a", "F32", &[40, 3], &f32s(&values(40, 3)))])),
        (Format::Faiss, faiss(40, 3, Some(&numbers))),
        (Format::Raw, f32s(&values(40, 3))),
    ]
});

/// Opens it as what it is not told to be, and uses what was opened.
fn exercise(format: Format, bytes: &[u8]) -> bool {
    let made = Made::new("garbage", bytes);
    let id_column = (format == Format::Parquet).then(|| "id".into());
    let options = Options { format: Some(format), dim: Some(3), id_column, ..Options::default() };
    let opened = made.open_with(&options);
    match opened.and_then(|table| table.vectors().map(|vectors| (vectors.len(), vectors.data().len()))) {
        Ok((rows, values)) => {
            // Parquet may repeat what it holds once; nobody else can.
            assert!(rows > 0 && (format == Format::Parquet || values <= bytes.len()));
            true
        }
        Err(error) => {
            assert!(error.to_string().contains("garbage"), "{error}");
            false
        }
    }
}

/// The most memory that this process ever held.
fn held() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

#[test]
fn intact_files_open_and_no_truncation_panics() {
    for (format, bytes) in INTACT.iter() {
        assert!(exercise(*format, bytes), "{format:?}");
        for length in 0..bytes.len() {
            exercise(*format, &bytes[..length]);
        }
    }
    assert!(held() < MOST);
}

#[test]
fn every_word_may_be_any_extreme() {
    for (format, bytes) in INTACT.iter() {
        let mut damaged = bytes.clone();
        let words: Vec<usize> = match format {
            Format::Parquet => (bytes.len() - 8..bytes.len() - 3).collect(),
            _ => (0..bytes.len().min(160)).collect(),
        };
        for at in words {
            for value in [0, u32::MAX, u32::MAX / 2, 1 << 28, 41] {
                damaged[at..at + 4].copy_from_slice(&value.to_le_bytes());
                exercise(*format, &damaged);
            }
            damaged[at..at + 4].copy_from_slice(&bytes[at..at + 4]);
        }
    }
    assert!(held() < MOST);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_anywhere(
        which in 0..8usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (format, mut bytes) = INTACT[which].clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        exercise(format, &bytes);
        prop_assert!(held() < MOST);
    }

    #[test]
    fn noise(which in 0..8usize, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise(INTACT[which].0, &bytes);
        let made = Made::new("garbage", &saved(3, 3));
        let ids = Some(made.beside("ids.npy", &bytes));
        let options = Options { ids, ..Options::default() };
        prop_assert!(made.open_with(&options).is_err());
    }

    #[test]
    fn damaged_ids(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let made = Made::new("garbage", &saved(3, 3));
        let mut bytes = ids("'<i8'", &[5i64, 6, 7].map(i64::to_le_bytes).concat());
        let at = at.index(bytes.len());
        bytes[at] = value;
        let ids = Some(made.beside("ids.npy", &bytes));
        // Refused or other ids: both are fine.
        let _ = made.open_with(&Options { ids, ..Options::default() });
    }
}
