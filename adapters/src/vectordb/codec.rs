//! The bytes of one stored write, the same in the log and in segments.
//!
//! `kind: u8 (1 put, 0 delete) | key: u64 | lsn: u64 | ver: u64 | dim x f32 (puts only)`, little endian. Reading
//! answers `None` for anything that is not exactly that: checksums have been verified by then, so `None` means a
//! file of another program or another dimension.

use std::sync::Arc;

/// The newest write of a key. Tombstones have no vector and are kept, so that a restore cannot resurrect.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) lsn: u64,
    pub(super) ver: u64,
    pub(super) vector: Option<Arc<[f32]>>,
}

pub(super) fn write_entry(out: &mut Vec<u8>, key: u64, entry: &Entry) {
    out.push(u8::from(entry.vector.is_some()));
    for number in [key, entry.lsn, entry.ver] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for value in entry.vector.iter().flat_map(|vector| vector.iter()) {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// A cursor that never reads past its end.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// The whole rest must be `count` entries.
    pub(super) fn entries(mut self, count: u64, dim: usize) -> Option<Vec<(u64, Entry)>> {
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(self.entry(dim)?);
        }
        self.0.is_empty().then_some(entries)
    }

    fn entry(&mut self, dim: usize) -> Option<(u64, Entry)> {
        let kind = self.u8()?;
        let (key, lsn, ver) = (self.u64()?, self.u64()?, self.u64()?);
        let vector = match kind {
            0 => None,
            1 => {
                let (values, _) = self.take(dim.checked_mul(4)?)?.as_chunks();
                let vector: Arc<[f32]> = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
                if vector.iter().any(|value| !value.is_finite()) {
                    return None;
                }
                Some(vector)
            }
            _ => return None,
        };
        Some((key, Entry { lsn, ver, vector }))
    }
}
