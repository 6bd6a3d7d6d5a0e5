//! Damage to files: bits that rot, sectors that read as zeros, files cut short, gone or replaced.
//!
//! Invariants: what is hit follows from the seed and the file's length alone; at least one byte really changes, or the
//! answer is an error; only a plain file with a single name inside the given folder is touched, and no symbolic
//! link is followed. The calls block. A running node may write at the same time, or over the damage.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Zeros come in sectors.
const SECTOR: usize = 512;
/// Bytes read at a time; a multiple of a sector.
const CHUNK: usize = 1 << 20;

/// What happens to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// One bit flips in each of a fraction of the bytes.
    FlipBits,
    /// A fraction of the file is cut off its end.
    Truncate,
    /// A fraction of the sectors of 512 bytes becomes zeros.
    Zero,
    /// The file is removed.
    Delete,
    /// The file is replaced by the bytes of this one.
    Swap(PathBuf),
}

/// What was done to a file, as found by reading it before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// The file.
    pub file: PathBuf,
    /// SHA-256 before.
    pub before: String,
    /// SHA-256 after; none if the file is gone.
    pub after: Option<String>,
    /// Bytes that changed or went.
    pub bytes_changed: u64,
}

/// Why a file was not damaged.
#[derive(Debug, thiserror::Error)]
pub enum DamageError {
    /// The fraction is not one.
    #[error("a fraction of {0} cannot be damaged; it has to be above 0 and at most 1")]
    Fraction(f64),
    /// The file is not ours to damage.
    #[error("will not damage {path}: {why}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// The rule it breaks.
        why: &'static str,
    },
    /// The damage would not change a byte.
    #[error("damaging {path} would change nothing: {why}")]
    NoEffect {
        /// The file.
        path: PathBuf,
        /// What stands against it.
        why: &'static str,
    },
    /// The file could not be read or written.
    #[error("damaging {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
}

/// Damages `file`, which has to lie inside `folder`, and reads back what became of it.
///
/// `fraction` and `seed` say how much and where; [`Damage::Delete`] and [`Damage::Swap`] take the whole file.
pub fn damage(
    folder: &Path,
    file: &Path,
    damage: &Damage,
    fraction: f64,
    seed: u64,
) -> Result<Damaged, DamageError> {
    if !(fraction > 0.0 && fraction <= 1.0) {
        return Err(DamageError::Fraction(fraction));
    }
    inside(folder, file)?;
    let io = |source| DamageError::Io { path: file.to_owned(), source };
    let mut target = open_plain(file, OFlags::RDWR)?;
    let length = target.metadata().map_err(io)?.len();
    let before = digest(&mut target).map_err(io)?;
    let bytes_changed = match damage {
        Damage::FlipBits => flip(&target, length, fraction, seed).map_err(io)?,
        Damage::Zero => zero(&target, length, fraction, seed).map_err(io)?,
        Damage::Truncate => truncate(&target, length, fraction).map_err(io)?,
        Damage::Delete => delete(file, length).map_err(io)?,
        Damage::Swap(other) => {
            swap(file, &mut target, &mut open_plain(other, OFlags::RDONLY)?).map_err(io)?
        }
    };
    let no_effect = |why| DamageError::NoEffect { path: file.to_owned(), why };
    if bytes_changed == 0 && *damage != Damage::Delete {
        return Err(no_effect("it is empty, all zeros, or the same already"));
    }
    let after = if *damage == Damage::Delete { gone(file).map_err(io)? } else { Some(reread(file)?) };
    if after.as_ref() == Some(&before) {
        return Err(no_effect("it reads the same after it was written"));
    }
    Ok(Damaged { file: file.to_owned(), before, after, bytes_changed })
}

/// Refuses what lies outside `folder` or is reached through a symbolic link.
fn inside(folder: &Path, file: &Path) -> Result<(), DamageError> {
    let refused = |why| Err(DamageError::Refused { path: file.to_owned(), why });
    let Ok(rest) = file.strip_prefix(folder) else { return refused("it is outside the node's folder") };
    if rest.as_os_str().is_empty() || !rest.components().all(|part| matches!(part, Component::Normal(_))) {
        return refused("it is outside the node's folder");
    }
    let mut path = folder.to_owned();
    for part in rest.components() {
        path.push(part);
        let meta = std::fs::symlink_metadata(&path)
            .map_err(|source| DamageError::Io { path: path.clone(), source })?;
        if meta.is_symlink() {
            return refused("a symbolic link leads to it");
        }
    }
    Ok(())
}

fn open_plain(path: &Path, access: OFlags) -> Result<File, DamageError> {
    let io = |source| DamageError::Io { path: path.to_owned(), source };
    // Without NONBLOCK, opening a pipe would wait for its other end.
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|e| io(e.into()))?);
    let meta = file.metadata().map_err(io)?;
    let refused = |why| Err(DamageError::Refused { path: path.to_owned(), why });
    if !meta.is_file() {
        return refused("it is not a plain file");
    }
    if access.contains(OFlags::RDWR) && meta.nlink() != 1 {
        return refused("it has other names (hard links), which would be damaged too");
    }
    Ok(file)
}

/// How many of `all` a fraction is: at least one, if there is one.
fn part_of(all: u64, fraction: f64) -> u64 {
    ((all as f64 * fraction).ceil() as u64).clamp(1, all.max(1)).min(all)
}

/// Walks `wanted` of `all` places in order: one at random in each of `wanted` stretches of the same length.
struct Spots {
    all: u64,
    wanted: u64,
    taken: u64,
    next: Option<u64>,
    rng: ChaCha8Rng,
}

impl Spots {
    fn new(all: u64, fraction: f64, seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let mut spots = Self { all, wanted: part_of(all, fraction), taken: 0, next: None, rng };
        spots.advance();
        spots
    }

    fn advance(&mut self) {
        self.next = (self.taken < self.wanted).then(|| {
            let begin = self.stretch(self.taken);
            let length = self.stretch(self.taken + 1) - begin;
            self.taken += 1;
            begin + self.rng.next_u64() % length
        });
    }

    /// Where a stretch begins. There are never more stretches than places, so none is empty.
    fn stretch(&self, k: u64) -> u64 {
        let begin = u128::from(self.all) * u128::from(k) / u128::from(self.wanted);
        u64::try_from(begin).unwrap_or(self.all)
    }

    /// The next place, if it lies before `end`.
    fn before(&mut self, end: u64) -> Option<u64> {
        let place = self.next.filter(|&place| place < end)?;
        self.advance();
        Some(place)
    }
}

/// Rewrites a file in place, chunk by chunk; `edit` answers how many bytes it changed.
fn rewrite(file: &File, length: u64, mut edit: impl FnMut(u64, &mut [u8]) -> u64) -> io::Result<u64> {
    let mut buf = vec![0; CHUNK];
    let mut changed = 0;
    let mut at = 0;
    while at < length {
        let chunk = &mut buf[..CHUNK.min(usize::try_from(length - at).unwrap_or(CHUNK))];
        file.read_exact_at(chunk, at)?;
        let edits = edit(at, chunk);
        if edits > 0 {
            file.write_all_at(chunk, at)?;
            changed += edits;
        }
        at += chunk.len() as u64;
    }
    file.sync_all()?;
    Ok(changed)
}

fn flip(file: &File, length: u64, fraction: f64, seed: u64) -> io::Result<u64> {
    let mut spots = Spots::new(length, fraction, seed);
    rewrite(file, length, |at, chunk| {
        let mut flipped = 0;
        while let Some(place) = spots.before(at + chunk.len() as u64) {
            chunk[(place - at) as usize] ^= 1 << (spots.rng.next_u64() % 8);
            flipped += 1;
        }
        flipped
    })
}

fn zero(file: &File, length: u64, fraction: f64, seed: u64) -> io::Result<u64> {
    let mut spots = Spots::new(length.div_ceil(SECTOR as u64), fraction, seed);
    let changed = rewrite(file, length, |at, chunk| {
        let first = at / SECTOR as u64;
        let sectors = chunk.len().div_ceil(SECTOR);
        let mut zeroed = 0;
        while let Some(place) = spots.before(first + sectors as u64) {
            let begin = (place - first) as usize * SECTOR;
            let end = chunk.len().min(begin + SECTOR);
            zeroed += set_bytes(&chunk[begin..end]);
            chunk[begin..end].fill(0);
        }
        zeroed
    })?;
    if changed > 0 {
        return Ok(changed);
    }
    // Every sector that was picked had nothing in it: the first that has something stands in for them.
    let mut found = false;
    rewrite(file, length, |_, chunk| {
        let sector = chunk.chunks_mut(SECTOR).find(|sector| !found && set_bytes(sector) > 0);
        sector.map_or(0, |sector| {
            found = true;
            let zeroed = set_bytes(sector);
            sector.fill(0);
            zeroed
        })
    })
}

fn set_bytes(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte != 0).count() as u64
}

fn truncate(file: &File, length: u64, fraction: f64) -> io::Result<u64> {
    let cut = part_of(length, fraction);
    if cut > 0 {
        file.set_len(length - cut)?;
        file.sync_all()?;
    }
    Ok(cut)
}

fn delete(path: &Path, length: u64) -> io::Result<u64> {
    std::fs::remove_file(path)?;
    sync_parent(path)?;
    Ok(length)
}

/// Writes the other file's bytes beside this one and renames, so that no reader sees half of each.
fn swap(path: &Path, mine: &mut File, other: &mut File) -> io::Result<u64> {
    let changed = difference(mine, other)?;
    if changed == 0 {
        return Ok(0);
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".swap");
    let beside = PathBuf::from(beside);
    let mut fresh = OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let written = (|| {
        other.rewind()?;
        io::copy(other, &mut fresh)?;
        fresh.set_permissions(mine.metadata()?.permissions())?;
        fresh.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written?;
    sync_parent(path)?;
    Ok(changed)
}

/// Places at which two files differ, and what one has more than the other.
fn difference(a: &mut File, b: &mut File) -> io::Result<u64> {
    let (len_a, len_b) = (a.metadata()?.len(), b.metadata()?.len());
    let (mut buf_a, mut buf_b) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut differ = len_a.abs_diff(len_b);
    let mut at = 0;
    let common = len_a.min(len_b);
    while at < common {
        let n = CHUNK.min(usize::try_from(common - at).unwrap_or(CHUNK));
        a.read_exact_at(&mut buf_a[..n], at)?;
        b.read_exact_at(&mut buf_b[..n], at)?;
        differ += buf_a[..n].iter().zip(&buf_b[..n]).filter(|(x, y)| x != y).count() as u64;
        at += n as u64;
    }
    Ok(differ)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

fn gone(path: &Path) -> io::Result<Option<String>> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
        Ok(_) => Err(io::Error::other("it was removed and is there again")),
    }
}

fn reread(path: &Path) -> Result<String, DamageError> {
    let mut file = open_plain(path, OFlags::RDONLY)?;
    digest(&mut file).map_err(|source| DamageError::Io { path: path.to_owned(), source })
}

fn digest(file: &mut File) -> io::Result<String> {
    use std::fmt::Write as _;
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Sha256::new();
    let mut buf = vec![0; CHUNK];
    loop {
        match file.read(&mut buf)? {
            0 => break,
            n => hasher.update(&buf[..n]),
        }
    }
    let mut hex = String::with_capacity(64);
    for byte in hasher.finalize() {
        write!(hex, "{byte:02x}").map_err(io::Error::other)?;
    }
    Ok(hex)
}

#[cfg(test)]
mod tests;
