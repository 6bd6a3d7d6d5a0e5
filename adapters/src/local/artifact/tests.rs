//! Damage to objects and backups: as many as asked for, the same ones for the same seed, and nothing else.

use std::collections::BTreeMap;

use harness::act::Outcome;
use harness::diagnose::load;
use proptest::prelude::*;

use super::*;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A store with 40 files of backups, some in deep folders, and one object that is none.
fn store() -> (tempfile::TempDir, Files) {
    let dir = tempfile::tempdir().unwrap();
    let backups = dir.path().join(BACKUPS).join("vector-backups/c/full");
    for n in 0..40u8 {
        let folder = backups.join((n / 10).to_string());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("records-{n}")), vec![n % 20 + 1; 600]).unwrap();
    }
    std::fs::create_dir_all(dir.path().join("gameday")).unwrap();
    std::fs::write(dir.path().join("gameday/00000000000000000001"), "an object").unwrap();
    let files = contents(dir.path());
    (dir, files)
}

fn contents(dir: &Path) -> Files {
    let mut files = Vec::new();
    below(dir, &mut files).unwrap();
    files
        .into_iter()
        .map(|file| (file.strip_prefix(dir).unwrap().to_owned(), std::fs::read(file).unwrap()))
        .collect()
}

/// Damages backups in a fresh store; answers what is in it then.
fn hit(how: How, fraction: f64, seed: u64) -> (Effect, Files, Files) {
    let (dir, before) = store();
    let scratch = tempfile::tempdir().unwrap();
    let order = Order {
        folder: dir.path().to_owned(),
        scratch: scratch.path().join("scratch"),
        objects: dir.path().join("gameday"),
        what: Artifact::Backup,
        how,
        fraction,
        seed,
    };
    let text = include_str!("../../../../scenarios/vector_index_corruption.toml");
    let other = Other {
        collection: "c".into(),
        corpus: Corpus::of(&load(text.as_bytes(), &[]).unwrap().scenario),
        spec: crate::local::product::plain(harness::scenario::IndexKind::Hnsw, 10, 1),
    };
    let effect = order.execute(&other);
    (effect, before, contents(dir.path()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_fraction_says_how_many_backups_are_hit_and_the_seed_which(
        how in prop::sample::select(vec![How::Flip, How::Truncate, How::Zero, How::Delete, How::Swap]),
        fraction in 0.001f64..=1.0, seed in any::<u64>()
    ) {
        let (effect, before, after) = hit(how, fraction, seed);
        prop_assert!(matches!(effect.outcome, Outcome::Observed(_)), "{:?}", effect.outcome);
        let changed: Vec<_> = before.keys().filter(|file| before.get(*file) != after.get(*file)).collect();
        prop_assert_eq!(changed.len(), (40.0 * fraction).ceil() as usize);
        prop_assert!(changed.iter().all(|file| file.starts_with(BACKUPS)));
        prop_assert!(after.keys().all(|file| before.contains_key(file)), "nothing is left beside them");
        for file in &changed {
            match how {
                How::Delete => prop_assert!(!after.contains_key(*file)),
                How::Truncate => prop_assert!(after[*file].is_empty()),
                How::Swap => prop_assert!(before.values().any(|body| *body == after[*file])),
                _ => prop_assert!(after[*file].iter().zip(&before[*file]).all(|(a, b)| a != b)),
            }
        }
        prop_assert_eq!(hit(how, fraction, seed).2, after);
    }
}

#[test]
fn without_backups_there_is_nothing_to_damage() {
    let (dir, _) = store();
    std::fs::remove_dir_all(dir.path().join(BACKUPS)).unwrap();
    let order = Order {
        folder: dir.path().to_owned(),
        scratch: dir.path().join("scratch"),
        objects: dir.path().join("gameday"),
        what: Artifact::Backup,
        how: How::Flip,
        fraction: 0.5,
        seed: 1,
    };
    assert!(order.files().is_err());
    std::fs::create_dir(dir.path().join(BACKUPS)).unwrap();
    assert!(order.files().unwrap_err().contains("no backup is stored"));
}
