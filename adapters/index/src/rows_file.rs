//! Vectors in a file, mapped instead of read: the build looks at them where they are, and the kernel may drop and fetch
//! their pages, so that they need not fit into memory beside the index.
//!
//! The file is little-endian `f32`, row after row; what stands before and behind the rows, such as a header, is left out.
//!
//! `unsafe` is for mapping the file, and for looking at its bytes as values.

#![expect(unsafe_code, reason = "a mapped file, and values in it")]

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

#[cfg(target_endian = "big")]
compile_error!("files of vectors are little-endian, and are looked at as they are");

/// Bytes copied at a time.
const PIECE: usize = 1 << 20;

/// The values of a file: mapped, or copied where they do not lie as values must.
#[derive(Debug)]
pub struct RowsFile(Source);

#[derive(Debug)]
enum Source {
    /// Nothing cannot be mapped.
    Nothing,
    Mapped(Mmap),
    Copied(Vec<f32>),
}

impl RowsFile {
    /// Maps a file of values and nothing else, which nobody may shorten while it is mapped: whoever looks behind its end is
    /// killed.
    ///
    /// # Errors
    /// The file cannot be opened or mapped, or its length is not that of whole values.
    pub fn open(path: &Path) -> io::Result<Self> {
        let length = std::fs::metadata(path)?.len();
        if !length.is_multiple_of(size_of::<f32>() as u64) {
            let why = format!("{}: {length} bytes are not whole values of 4", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Self::open_range(path, 0, (length / 4) as usize)
    }

    /// The same of so many values that begin at byte `offset`. They are copied into memory if that is no multiple of four.
    ///
    /// # Errors
    /// The file cannot be opened or mapped, or ends before the last value.
    pub fn open_range(path: &Path, offset: u64, values: usize) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let end = (values as u64).checked_mul(4).and_then(|bytes| bytes.checked_add(offset));
        if end.is_none_or(|end| end > length) {
            let why =
                format!("{}: {values} values at byte {offset} end behind byte {length}", path.display());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        if values == 0 {
            return Ok(Self(Source::Nothing));
        }
        if !offset.is_multiple_of(align_of::<f32>() as u64) {
            file.seek(SeekFrom::Start(offset))?;
            return copied(file, values).map(|values| Self(Source::Copied(values)));
        }
        // SAFETY: The map is only read; that the file is not shortened is asked of the caller, above.
        let map = unsafe { MmapOptions::new().offset(offset).len(4 * values).map(&file) }?;
        Ok(Self(Source::Mapped(map)))
    }

    /// The values, row after row.
    pub fn values(&self) -> &[f32] {
        let bytes = match &self.0 {
            Source::Nothing => return &[],
            Source::Copied(values) => return values,
            Source::Mapped(map) => &map[..],
        };
        // SAFETY: Any four bytes are a value.
        let (before, values, after) = unsafe { bytes.align_to() };
        assert!(
            before.is_empty() && after.is_empty(),
            "maps begin at pages, and offset and length were looked at"
        );
        values
    }

    /// Whether the values are where the file is, and not in memory of this process.
    pub fn is_mapped(&self) -> bool {
        !matches!(self.0, Source::Copied(_))
    }
}

fn copied(mut file: File, values: usize) -> io::Result<Vec<f32>> {
    let mut out = Vec::with_capacity(values);
    let mut piece = vec![0; PIECE];
    while out.len() < values {
        let piece = &mut piece[..PIECE.min(4 * (values - out.len()))];
        file.read_exact(piece)?;
        out.extend(piece.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, IndexSpec, Vectors, build};
    use std::ops::ControlFlow;

    #[test]
    fn a_mapped_file_builds_the_bytes_that_values_in_memory_build() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.f32");
        let values: Vec<f32> = (0..6_000u32).map(|n| (n * 7 % 101) as f32).collect();
        std::fs::write(&path, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
            .unwrap();
        let mapped = RowsFile::open(&path).unwrap();
        assert_eq!(mapped.values(), values);
        let ids: Vec<u64> = (0..1_000).collect();
        let built = |data: &[f32]| {
            let vectors = Vectors::new(6, &ids, data).unwrap();
            let index = build(vectors, &IndexSpec::hnsw(), Engine::Cpu, &mut |_| ControlFlow::Continue(()));
            index.unwrap().to_bytes()
        };
        assert_eq!(built(mapped.values()), built(&values));
    }

    #[test]
    fn an_empty_file_is_no_rows_and_half_a_value_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.f32");
        std::fs::write(&path, []).unwrap();
        assert!(RowsFile::open(&path).unwrap().values().is_empty());
        std::fs::write(&path, [0; 7]).unwrap();
        assert!(RowsFile::open(&path).unwrap_err().to_string().contains("7 bytes"));
        assert!(RowsFile::open(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_range_is_mapped_where_values_may_lie_and_copied_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.npy");
        let values: Vec<f32> = (0..300_000u32).map(|n| n as f32).collect();
        for header in [0usize, 4, 128, 4_096, 5_000, 3, 77] {
            let mut bytes = vec![7; header];
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            bytes.extend([7; 5]);
            std::fs::write(&path, bytes).unwrap();
            let range = RowsFile::open_range(&path, header as u64, values.len()).unwrap();
            assert!(range.values() == values, "{header}");
            assert_eq!(range.is_mapped(), header % 4 == 0, "{header}");
            assert!(RowsFile::open_range(&path, header as u64, 0).unwrap().values().is_empty());
            for (offset, values) in [(header as u64 + 8, 300_000), (u64::MAX, 1), (0, usize::MAX / 2)] {
                let error = RowsFile::open_range(&path, offset, values).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{offset}");
            }
        }
    }
}
