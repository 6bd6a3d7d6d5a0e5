//! Why a file gave no vectors: each error names the file, the place in it, and what to do.

use crate::memory::human;
use index::VectorsError;
use std::io;
use std::path::PathBuf;

/// What to do about a file that is not what its writer wrote.
const ANEW: &str = "copy it again, or write it anew";

/// Why a file gave no vectors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file system refused.
    #[error("cannot read {}: {source}; name a file that can be read", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A folder, or a device.
    #[error("{} is no regular file; name the file of vectors itself", path.display())]
    NoFile {
        /// What was named.
        path: PathBuf,
    },
    /// Not a byte.
    #[error("{} is empty: it has 0 bytes; {ANEW}", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// Neither name nor bytes say what it is.
    #[error(
        "{} is in no known format, by its name and its first bytes; say which it is with --format: {}",
        path.display(),
        crate::Format::names()
    )]
    Unknown {
        /// Which file.
        path: PathBuf,
    },
    /// The file ends before what its header claims.
    #[error(
        "{} ends early: {what} at byte {at} takes {}, and the file ends at byte {length}; {ANEW}",
        path.display(),
        human(*needed)
    )]
    Short {
        /// Which file.
        path: PathBuf,
        /// What should stand there.
        what: &'static str,
        /// Where it begins.
        at: u64,
        /// How many bytes it takes.
        needed: u128,
        /// How many bytes there are in all.
        length: u64,
    },
    /// Bytes that make no sense.
    #[error("{}: byte {at}: {what}; {ANEW}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        at: u64,
        /// What is wrong there.
        what: String,
    },
    /// A file of the right format that cannot be taken as it is.
    #[error("{} holds {found}; {remedy}", path.display())]
    Unsuitable {
        /// Which file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// How to make of it what is taken.
        remedy: &'static str,
    },
    /// No vector at all.
    #[error("{} holds no vectors: it has 0 rows; an index needs at least one", path.display())]
    NoRows {
        /// Which file.
        path: PathBuf,
    },
    /// Rows of different lengths.
    #[error(
        "{}: row {row} has {found} values, those before it have {dim}; all vectors must come from one model",
        path.display()
    )]
    Uneven {
        /// Which file.
        path: PathBuf,
        /// Which row, from 0.
        row: usize,
        /// Its length.
        found: usize,
        /// The length of the rows before it.
        dim: usize,
    },
    /// A missing value.
    #[error("{}: row {row} is null, or has a null in it; mend it, or leave it out", path.display())]
    Null {
        /// Which file.
        path: PathBuf,
        /// Which row, from 0.
        row: usize,
    },
    /// The one that is meant was not named, or is not there.
    #[error("{}: {why}; name one with {option}: {}", path.display(), names.join(", "))]
    Choose {
        /// Which file.
        path: PathBuf,
        /// Why it cannot be told which is meant.
        why: String,
        /// The option that names it.
        option: &'static str,
        /// What there is.
        names: Vec<String>,
    },
    /// An id below zero.
    #[error("{}: row {row} has the id {id}; ids are whole numbers from 0", path.display())]
    Negative {
        /// Which file.
        path: PathBuf,
        /// Which row, from 0.
        row: usize,
        /// The id.
        id: i64,
    },
    /// An id of two rows.
    #[error("{}: rows {first} and {second} have the same id {id}; keep only its newest vector", path.display())]
    Repeated {
        /// Which file.
        path: PathBuf,
        /// The id.
        id: u64,
        /// Which row, from 0.
        first: usize,
        /// And which other.
        second: usize,
    },
    /// Not one id for each vector.
    #[error("{} holds {ids} ids for {rows} vectors; there must be one for each row", path.display())]
    IdCount {
        /// The file of the ids.
        path: PathBuf,
        /// How many ids.
        ids: usize,
        /// How many vectors.
        rows: usize,
    },
    /// The vectors cannot be indexed.
    #[error("{}: {source}", path.display())]
    Vectors {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: VectorsError,
    },
}
