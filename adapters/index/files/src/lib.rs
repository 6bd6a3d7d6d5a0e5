//! Vectors from the files people have, as an index is built from them.
//!
//! ```
//! use index_files::{Options, open};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("vectors.fvecs");
//! # std::fs::write(&path, [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128, 63])?;
//! let table = open(&path, &Options::default())?;
//! let vectors = table.vectors()?;
//! assert_eq!((vectors.len(), vectors.dim(), vectors.data()), (1, 2, &[0.0, 1.0][..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Promises
//!
//! - **Looked at where they are**: contiguous little-endian `f32` are mapped, so that they need no memory of their own;
//!   everything else is converted. [`Table::mapped`] says which.
//! - **Garbage is refused**: no file, however damaged, makes [`open`] panic, hang or allocate more than a small multiple of
//!   its length. Every [`FileError`] names file, place and remedy.
//! - **Nothing is guessed**: integers, other byte orders and other orders of values are refused, not converted; where several
//!   arrays could be meant, one must be named.
//!
//! # Modules
//!
//! | module | what |
//! |---|---|
//! | `format` | which format it is: [`Format`] |
//! | `input` | a file that is not trusted |
//! | `npy`, `vecs`, `parquet`, `safetensors`, `faiss` | one format each |
//! | `ids` | ids of their own, and whether they are different ones |
//! | `memory` | how much a build needs, and how much there is: [`need`], [`available`] |
//! | `error` | [`FileError`] |
//!
//! Of foreign code there is what is hard to do right and well kept: the crates `parquet` and `safetensors`, and `half` for short
//! floats. Headers of NumPy and FAISS are a screen each; crates that read them bring parsers of their own.

mod error;
mod faiss;
mod format;
mod ids;
mod input;
mod memory;
mod npy;
mod parquet;
mod safetensors;
mod vecs;

pub use error::FileError;
pub use format::Format;
pub use memory::{available, human, need};

use index::{RowsFile, Vectors};
use input::{Input, Stored};
use std::path::{Path, PathBuf};

/// What a file does not say by itself. By default nothing.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Its format, where neither its name nor its first bytes say it.
    pub format: Option<Format>,
    /// Values of a vector; for raw values, which have no header.
    pub dim: Option<usize>,
    /// The tensor of a `.safetensors`, or the column of a `.parquet`.
    pub name: Option<String>,
    /// The column of a `.parquet` that has the ids.
    pub id_column: Option<String>,
    /// A `.npy` of ids.
    pub ids: Option<PathBuf>,
}

/// Vectors and their ids.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    dim: usize,
    ids: Vec<u64>,
    rows: Rows,
}

/// Where the values are.
#[derive(Debug)]
pub(crate) enum Rows {
    File(RowsFile),
    Memory(Vec<f32>),
}

/// What a format's reader answers: without ids of their own, rows are numbered.
#[derive(Debug)]
pub(crate) struct Found {
    dim: usize,
    rows: Rows,
    ids: Option<Vec<u64>>,
}

/// Opens a file of vectors.
///
/// # Errors
/// There is no such file, it is in no known format, or it is damaged; it holds something else than vectors of floats; or ids are
/// negative, repeated, or not one for each vector. Whether all values are finite is found out by [`Table::vectors`].
pub fn open(path: &Path, options: &Options) -> Result<Table, FileError> {
    let input = Input::open(path)?;
    let format = match options.format {
        Some(format) => format,
        None => Format::of(&input)?,
    };
    let found = match format {
        Format::Npy => npy::read(&input)?,
        Format::Fvecs => vecs::read(&input, Stored::F32)?,
        Format::Bvecs => vecs::read(&input, Stored::U8)?,
        Format::Parquet => parquet::read(&input, options.name.as_deref(), options.id_column.as_deref())?,
        Format::Safetensors => safetensors::read(&input, options.name.as_deref())?,
        Format::Faiss => faiss::read(&input)?,
        Format::Raw => raw(&input, options.dim)?,
    };
    let path = path.to_owned();
    let count = found.rows.values().len() / found.dim;
    if count == 0 {
        return Err(FileError::NoRows { path });
    }
    let ids = match (&options.ids, found.ids) {
        (Some(named), _) => ids::read(named, count)?,
        (None, Some(ids)) => ids::different(&path, ids)?,
        (None, None) => (0..count as u64).collect(),
    };
    Ok(Table { path, dim: found.dim, ids, rows: found.rows })
}

/// Values and nothing else.
fn raw(input: &Input, dim: Option<usize>) -> Result<Found, FileError> {
    let width = match dim {
        Some(dim) if dim > 0 => 4 * dim as u64,
        _ => return Err(input.unsuitable("raw values", "say with --dim how many of them are a vector")),
    };
    if !input.length().is_multiple_of(width) {
        let found = format!("{} bytes, which are no whole rows of {width}", input.length());
        return Err(input.unsuitable(found, "say with --dim how many values of 4 bytes are a vector"));
    }
    let dim = (width / 4) as usize;
    Ok(Found { dim, rows: input.rows(0, Stored::F32, input.length() / width, dim)?, ids: None })
}

impl Rows {
    fn values(&self) -> &[f32] {
        match self {
            Self::File(file) => file.values(),
            Self::Memory(values) => values,
        }
    }
}

impl Table {
    /// The vectors, looked through once: all values are finite.
    ///
    /// # Errors
    /// A value is not finite, or there are too many values in a vector or too many vectors.
    pub fn vectors(&self) -> Result<Vectors<'_>, FileError> {
        Vectors::new(self.dim, &self.ids, self.rows.values())
            .map_err(|source| FileError::Vectors { path: self.path.clone(), source })
    }

    /// Values in each vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no vector at all; never so of a table that was opened.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether the values are where the file is, and take no memory of their own.
    pub fn mapped(&self) -> bool {
        matches!(&self.rows, Rows::File(file) if file.is_mapped())
    }
}
