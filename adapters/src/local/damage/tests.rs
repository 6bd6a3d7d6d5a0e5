//! Damage that does what it says, always something, and nowhere else.

use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(bytes: &[u8]) -> (Self, PathBuf) {
        let folder = Self(tempfile::tempdir().unwrap());
        let file = folder.0.path().join("index");
        std::fs::write(&file, bytes).unwrap();
        (folder, file)
    }

    fn hit(&self, file: &Path, how: &Damage, fraction: f64, seed: u64) -> Result<Damaged, DamageError> {
        damage(self.0.path(), file, how, fraction, seed)
    }
}

fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + 7) as u8).collect()
}

fn differing(a: &[u8], b: &[u8]) -> u64 {
    a.iter().zip(b).filter(|(x, y)| x != y).count() as u64
}

proptest! {
    #[test]
    fn bits_flip_in_exactly_the_fraction_and_the_seed_decides_where(
        length in 1usize..5_000, fraction in 0.0001f64..=1.0, seed in any::<u64>()
    ) {
        let clean = sample(length);
        let (folder, file) = Folder::with(&clean);
        let seen = folder.hit(&file, &Damage::FlipBits, fraction, seed).unwrap();
        let rotten = std::fs::read(&file).unwrap();
        prop_assert_eq!(rotten.len(), length);
        prop_assert_eq!(differing(&clean, &rotten), part_of(length as u64, fraction));
        prop_assert_eq!(seen.bytes_changed, differing(&clean, &rotten));
        prop_assert!(clean.iter().zip(&rotten).all(|(a, b)| (a ^ b).count_ones() <= 1));
        let (folder, file) = Folder::with(&clean);
        let again = folder.hit(&file, &Damage::FlipBits, fraction, seed).unwrap();
        prop_assert_eq!(again.after, seen.after);
    }

    #[test]
    fn zeros_always_change_something_or_say_that_they_cannot(
        length in 0usize..20_000, islands in proptest::collection::vec(0usize..20_000, 0..3),
        fraction in 0.001f64..=1.0, seed in any::<u64>()
    ) {
        let mut clean = vec![0; length];
        for at in islands.iter().filter(|&&at| at < length) {
            clean[*at] = 1;
        }
        let (folder, file) = Folder::with(&clean);
        let seen = folder.hit(&file, &Damage::Zero, fraction, seed);
        let rotten = std::fs::read(&file).unwrap();
        prop_assert_eq!(rotten.len(), length);
        if clean.contains(&1) {
            prop_assert_eq!(seen.unwrap().bytes_changed, differing(&clean, &rotten));
            prop_assert!(differing(&clean, &rotten) > 0);
        } else {
            let no_effect = matches!(seen, Err(DamageError::NoEffect { .. }));
            prop_assert!(no_effect);
        }
    }

    #[test]
    fn truncation_keeps_a_prefix(length in 1usize..5_000, fraction in 0.0001f64..=1.0) {
        let clean = sample(length);
        let (folder, file) = Folder::with(&clean);
        let seen = folder.hit(&file, &Damage::Truncate, fraction, 0).unwrap();
        let rest = std::fs::read(&file).unwrap();
        prop_assert!(clean.starts_with(&rest) && rest.len() < length);
        prop_assert_eq!(seen.bytes_changed as usize, length - rest.len());
    }
}

#[test]
fn damage_reaches_beyond_the_first_chunk() {
    let clean = sample(3 * CHUNK + 17);
    let (folder, file) = Folder::with(&clean);
    folder.hit(&file, &Damage::FlipBits, 0.001, 1).unwrap();
    let rotten = std::fs::read(&file).unwrap();
    for (a, b) in clean.chunks(CHUNK / 2).zip(rotten.chunks(CHUNK / 2)).take(6) {
        assert!(differing(a, b) > 0);
    }
}

#[test]
fn a_deleted_file_is_gone_even_if_it_was_empty() {
    for bytes in [&b"x"[..], b""] {
        let (folder, file) = Folder::with(bytes);
        let seen = folder.hit(&file, &Damage::Delete, 1.0, 0).unwrap();
        assert_eq!((seen.after, seen.bytes_changed), (None, bytes.len() as u64));
        assert!(!file.exists());
    }
}

#[test]
fn a_swapped_file_has_the_bytes_of_the_other() {
    let (folder, file) = Folder::with(b"current!");
    let (_other, yesterday) = Folder::with(b"yesterday");
    let seen = folder.hit(&file, &Damage::Swap(yesterday.clone()), 1.0, 0).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"yesterday");
    assert_eq!(seen.bytes_changed, 8, "one letter of both is the same");
    let same = folder.hit(&file, &Damage::Swap(yesterday), 1.0, 0);
    assert!(matches!(same, Err(DamageError::NoEffect { .. })));
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 1);
}

#[test]
fn nothing_can_be_done_to_an_empty_file_or_with_an_empty_fraction() {
    let (folder, file) = Folder::with(b"");
    for how in [Damage::FlipBits, Damage::Truncate, Damage::Zero] {
        assert!(matches!(folder.hit(&file, &how, 0.5, 0), Err(DamageError::NoEffect { .. })), "{how:?}");
    }
    for fraction in [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY] {
        assert!(matches!(folder.hit(&file, &Damage::FlipBits, fraction, 0), Err(DamageError::Fraction(_))));
    }
}

#[test]
fn only_plain_files_inside_the_folder_are_touched() {
    let (folder, file) = Folder::with(b"mine");
    let (outside, precious) = Folder::with(b"precious");
    let root = folder.0.path();
    symlink(&precious, root.join("link")).unwrap();
    symlink(outside.0.path(), root.join("way")).unwrap();
    std::fs::hard_link(&precious, root.join("twin")).unwrap();
    std::fs::create_dir(root.join("dir")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), rustix::fs::FileType::Fifo, Mode::from(0o600), 0)
        .unwrap();
    let climbing = root.join("dir").join("..").join("index");
    let outward = [precious.clone(), root.to_owned(), climbing, root.join("link"), root.join("way/index")];
    let odd = ["twin", "pipe"].map(|name| root.join(name));
    for path in outward.iter().chain(&odd) {
        let refused = folder.hit(path, &Damage::Delete, 1.0, 0);
        assert!(matches!(refused, Err(DamageError::Refused { .. })), "{path:?}: {refused:?}");
    }
    assert!(folder.hit(&root.join("dir"), &Damage::Delete, 1.0, 0).is_err());
    assert!(matches!(folder.hit(&root.join("none"), &Damage::Zero, 1.0, 0), Err(DamageError::Io { .. })));
    assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}
