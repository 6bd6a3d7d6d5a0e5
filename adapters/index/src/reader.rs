//! Reading little-endian numbers from bytes that may be garbage.
//!
//! Nothing here trusts a count: a slice is taken, and refused, before anything is allocated for it.

use crate::file::LoadError;

/// A position in the bytes of a file.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// The next `count` items of `size` bytes each.
    pub(crate) fn items(&mut self, count: usize, size: usize) -> Result<&'a [u8], LoadError> {
        let taken = count.checked_mul(size).and_then(|len| self.left.split_at_checked(len));
        let (head, rest) = taken.ok_or(LoadError::Malformed("the file ends early"))?;
        self.left = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let (head, rest) =
            self.left.split_first_chunk().ok_or(LoadError::Malformed("the file ends early"))?;
        self.left = rest;
        Ok(*head)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, LoadError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, LoadError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A 64-bit count or size.
    pub(crate) fn size(&mut self) -> Result<usize, LoadError> {
        usize::try_from(self.u64()?).map_err(|_| LoadError::Malformed("a size exceeds the address space"))
    }

    pub(crate) fn end(&self) -> Result<(), LoadError> {
        if self.left.is_empty() { Ok(()) } else { Err(LoadError::Malformed("bytes follow the end")) }
    }
}

pub(crate) fn u32s(bytes: &[u8]) -> impl ExactSizeIterator<Item = u32> + '_ {
    bytes.as_chunks().0.iter().map(|chunk| u32::from_le_bytes(*chunk))
}

pub(crate) fn u64s(bytes: &[u8]) -> impl ExactSizeIterator<Item = u64> + '_ {
    bytes.as_chunks().0.iter().map(|chunk| u64::from_le_bytes(*chunk))
}

/// Appends finite values.
pub(crate) fn finite_f32s(bytes: &[u8], out: &mut Vec<f32>) -> Result<(), LoadError> {
    for bits in u32s(bytes) {
        let value = f32::from_bits(bits);
        if !value.is_finite() {
            return Err(LoadError::Malformed("a vector contains NaN or infinity"));
        }
        out.push(value);
    }
    Ok(())
}
