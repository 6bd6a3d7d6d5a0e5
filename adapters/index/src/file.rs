//! Index files on disk: checksummed, replaced atomically, refused when damaged.
//!
//! The checksum is kept by the caller, beside the file and not in it: hnswlib refuses files with anything extra.
//! A file is written under another name, synced and renamed, so its name holds the old bytes or the new ones,
//! never a mixture.

use crate::{Index, IndexSpec, SpecError, hnsw, ivf};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// SHA-256 of a file; written and read as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum([u8; 32]);

impl Checksum {
    /// The checksum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The checksum of a file, which is read in pieces.
    ///
    /// # Errors
    /// Those of reading.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut to = Summed { file: io::sink(), digest: Sha256::new() };
        io::copy(&mut File::open(path)?, &mut to)?;
        Ok(Self(to.digest.finalize().into()))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({self})")
    }
}

impl FromStr for Checksum {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        let refused = || ChecksumError(text.chars().take(80).collect());
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(refused()) };
        let digit = |byte: u8| (byte as char).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let bytes: Option<Vec<u8>> = pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(refused)
    }
}

/// A text that is no checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no SHA-256 checksum: 64 hexadecimal digits are")]
pub struct ChecksumError(String);

/// Writes the index to `path`, replacing what was there at once, and returns the checksum to keep beside it.
///
/// When it returns, the file and its name are on disk. One writer to a path at a time.
///
/// # Errors
/// At `path` is something that is no regular file, such as a device; or the file system refused: `path` then holds the old
/// bytes, or the new ones if only the last sync failed.
pub fn save(index: &Index, path: &Path) -> Result<Checksum, SaveError> {
    save_with(path, &mut |to| index.write(to))
}

/// The same with whatever `write` writes, such as [`Index::write_faiss`]; if it fails, `path` holds the old bytes.
///
/// # Errors
/// Those of [`save`], and of `write`.
pub fn save_with(
    path: &Path,
    write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> Result<Checksum, SaveError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    replace(write, &temporary, path).map_err(|source| {
        // Best effort: the error being reported says more than a failure to tidy up.
        let _ = fs::remove_file(&temporary);
        SaveError { path: path.to_owned(), source }
    })
}

fn replace(
    write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    temporary: &Path,
    path: &Path,
) -> io::Result<Checksum> {
    // Whoever may rename into /dev would take the device away from everybody.
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is something that is no regular file",
        ));
    }
    let mut to = Summed { file: File::create(temporary)?, digest: Sha256::new() };
    write(&mut to)?;
    to.file.sync_all()?;
    fs::rename(temporary, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync_folder(folder.unwrap_or(Path::new(".")))?;
    Ok(Checksum(to.digest.finalize().into()))
}

/// Where bytes are written to, and their digest.
struct Summed<W> {
    file: W,
    digest: Sha256,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Reads the index that [`save`] wrote with the checksum `expected`; for `spec` see [`Index::from_bytes`].
///
/// # Errors
/// No such file, other bytes than were saved, or no index of this spec.
pub fn load(path: &Path, expected: Checksum, spec: &IndexSpec) -> Result<Index, LoadError> {
    let bytes = fs::read(path).map_err(|source| LoadError::Io { path: path.to_owned(), source })?;
    let found = Checksum::of(&bytes);
    if found != expected {
        return Err(LoadError::Checksum { expected, found });
    }
    Index::from_bytes(&bytes, spec)
}

/// What an index file was built with, as its own first bytes say: hnswlib's or ours, by whomever it was written. Of what is not
/// in it, the metric is [`Metric::L2`](crate::Metric::L2), the seed 0, and a search looks at a hundred candidates or an
/// eighth of the lists.
///
/// # Errors
/// No index file, or one built with parameters that are not supported.
pub fn spec_of(bytes: &[u8]) -> Result<IndexSpec, LoadError> {
    let kind = match ivf::Ivf::kind_of(bytes) {
        Some(kind) => kind?,
        None => hnsw::Hnsw::kind_of(bytes)?,
    };
    let spec = IndexSpec { kind, ..IndexSpec::hnsw() };
    spec.validate()?;
    Ok(spec)
}

/// The index could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the index file {}: {source}", path.display())]
pub struct SaveError {
    path: PathBuf,
    source: io::Error,
}

/// Why a file is not the index that was asked for. The remedy is a rebuild from the vectors, or a backup.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the index file {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The bytes are not those that were saved.
    #[error("the index file is damaged: its checksum is {found}, saved was {expected}; rebuild the index")]
    Checksum {
        /// What was saved.
        expected: Checksum,
        /// What is there.
        found: Checksum,
    },
    /// The bytes are no index file.
    #[error("this is no intact index file: {0}; rebuild the index")]
    Malformed(&'static str),
    /// The file was built with other parameters.
    #[error(
        "the index file was built with {name} = {found}, expected was {expected}; rebuild it, or load it so"
    )]
    Mismatch {
        /// The parameter.
        name: &'static str,
        /// Its value in the spec.
        expected: u64,
        /// Its value in the file.
        found: u64,
    },
    /// The spec itself is invalid.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_its_hexadecimal_text() {
        let sum = Checksum::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sum.to_string(), text);
        assert_eq!(text.parse(), Ok(sum));
        for wrong in ["", "ba78", &text[1..], &text.replace('b', "g"), &text.replace("ba", "+1")] {
            assert!(wrong.parse::<Checksum>().is_err(), "{wrong}");
        }
    }
}
