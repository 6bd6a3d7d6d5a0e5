//! Vectors in a file, mapped instead of read: the build looks at them where they are, and the kernel may drop and fetch
//! their pages, so that they need not fit into memory beside the index.
//!
//! The file is rows of little-endian `f32`, nothing else.
//!
//! `unsafe` is for mapping the file, and for looking at its bytes as values.

#![expect(unsafe_code, reason = "a mapped file, and values in it")]

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

#[cfg(target_endian = "big")]
compile_error!("files of vectors are little-endian, and are looked at as they are");

/// A file of values, mapped.
#[derive(Debug)]
pub struct RowsFile(Option<Mmap>);

impl RowsFile {
    /// Maps a file, which nobody may shorten while it is mapped: whoever looks behind its end is killed.
    ///
    /// # Errors
    /// The file cannot be opened or mapped, or its length is not that of whole values.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        if !length.is_multiple_of(size_of::<f32>() as u64) {
            let why = format!("{}: {length} bytes are not whole values of 4", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if length == 0 {
            // Nothing cannot be mapped.
            return Ok(Self(None));
        }
        // SAFETY: The map is only read; that the file is not shortened is asked of the caller, above.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self(Some(map)))
    }

    /// The values, row after row.
    pub fn values(&self) -> &[f32] {
        let bytes = self.0.as_deref().unwrap_or_default();
        // SAFETY: Any four bytes are a value.
        let (before, values, after) = unsafe { bytes.align_to() };
        assert!(before.is_empty() && after.is_empty(), "maps begin at pages, and the length was looked at");
        values
    }
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
}
