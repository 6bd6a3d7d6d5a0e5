//! A file whose header is not trusted: nothing is allocated, read or mapped before the file is known to be that long.

use crate::{FileError, Rows};
use half::{bf16, f16};
use index::RowsFile;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes converted at a time.
const PIECE: usize = 1 << 20;

/// How a value is stored; always little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    U8,
    F16,
    Bf16,
    F32,
    F64,
}

impl Stored {
    fn width(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Appends the values of whole bytes.
    pub(crate) fn convert(self, bytes: &[u8], out: &mut Vec<f32>) {
        match self {
            Self::U8 => out.extend(bytes.iter().map(|byte| f32::from(*byte))),
            Self::F16 => out.extend(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32())),
            Self::Bf16 => out.extend(bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32())),
            Self::F32 => out.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
            Self::F64 => out.extend(bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32)),
        }
    }
}

/// An open file and its length.
#[derive(Debug)]
pub(crate) struct Input {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Io { path: path.to_owned(), source };
        // Opening a pipe would wait for somebody to write into it.
        let there = fs::metadata(path).map_err(failed)?;
        if !there.is_file() {
            return Err(FileError::NoFile { path: path.to_owned() });
        }
        if there.len() == 0 {
            return Err(FileError::Empty { path: path.to_owned() });
        }
        let file = File::open(path).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, length: there.len() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The bytes of something at a place.
    pub(crate) fn bytes(&self, what: &'static str, at: u64, count: u64) -> Result<Vec<u8>, FileError> {
        let count = self.holds(what, at, count.into())?;
        let mut bytes = vec![0; count];
        self.read(at, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&self, what: &'static str, at: u64) -> Result<[u8; N], FileError> {
        self.holds(what, at, N as u128)?;
        let mut bytes = [0; N];
        self.read(at, &mut bytes)?;
        Ok(bytes)
    }

    /// Rows of values at a place: mapped if they can be looked at as they are, else converted.
    pub(crate) fn rows(&self, at: u64, stored: Stored, rows: u64, dim: usize) -> Result<Rows, FileError> {
        let needed = u128::from(rows) * dim as u128 * stored.width() as u128;
        let count = self.holds("the rows", at, needed)? / stored.width();
        if stored == Stored::F32 {
            let mapped = RowsFile::open_range(&self.path, at, count);
            return mapped.map(Rows::File).map_err(|source| self.failed(source));
        }
        let mut out = Vec::with_capacity(count);
        let mut at = at;
        while out.len() < count {
            let take = (count - out.len()).min(PIECE / stored.width()) * stored.width();
            stored.convert(&self.bytes("the rows", at, take as u64)?, &mut out);
            at += take as u64;
        }
        Ok(Rows::Memory(out))
    }

    /// Refuses what goes beyond the end; answers the count as a size in memory.
    pub(crate) fn holds(&self, what: &'static str, at: u64, needed: u128) -> Result<usize, FileError> {
        if u128::from(at) + needed > u128::from(self.length) {
            let path = self.path.clone();
            return Err(FileError::Short { path, what, at, needed, length: self.length });
        }
        usize::try_from(needed).map_err(|_| self.damaged(at, "more than this machine can address"))
    }

    /// Refuses what follows the end.
    pub(crate) fn ends(&self, at: u64) -> Result<(), FileError> {
        match self.length.saturating_sub(at) {
            0 => Ok(()),
            more => Err(self.damaged(at, format!("{more} bytes follow what should be the end"))),
        }
    }

    pub(crate) fn damaged(&self, at: u64, what: impl Into<String>) -> FileError {
        FileError::Damaged { path: self.path.clone(), at, what: what.into() }
    }

    pub(crate) fn unsuitable(&self, found: impl Into<String>, remedy: &'static str) -> FileError {
        FileError::Unsuitable { path: self.path.clone(), found: found.into(), remedy }
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> Result<(), FileError> {
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(bytes));
        read.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> FileError {
        FileError::Io { path: self.path.clone(), source }
    }
}
