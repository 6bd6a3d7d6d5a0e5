//! Export to FAISS: the bytes that its `read_index` opens (`index_write.cpp` of FAISS 1.7 to 1.15).
//!
//! All little-endian; a vector is a 64-bit count and its items. Ids are kept: what has none of its own in FAISS (HNSW)
//! is wrapped in an `IndexIDMap`.
//!
//! | index | FAISS |
//! |---|---|
//! | HNSW | `IndexIDMap` of `IndexHNSWFlat` |
//! | `IVF_FLAT` | `IndexIVFFlat` with a flat quantizer |
//! | `IVF_SQ8` | `IndexIVFScalarQuantizer` (`QT_8bit`, by residual) with a flat quantizer |
//! | `IVF_PQ` | `IndexIVFPQ` (8 bits, by residual) with a flat quantizer |
//!
//! Cosine is an inner product of vectors of length one there: queries must be scaled by whoever asks.

use crate::Metric;
use crate::sink::Sink;
use std::io;

const L2: i32 = 1;
const INNER_PRODUCT: i32 = 0;

impl Sink<'_> {
    pub(crate) fn flag(&mut self, value: bool) {
        self.bytes(&[u8::from(value)]);
    }

    /// A count and its items.
    pub(crate) fn vector<const N: usize>(
        &mut self,
        items: impl ExactSizeIterator<Item = [u8; N]>,
    ) -> io::Result<()> {
        self.size(items.len());
        self.items(items)
    }

    /// What every index begins with, after its word.
    pub(crate) fn header(&mut self, dim: usize, n: usize, metric: Metric) {
        self.int(dim as i32);
        self.size(n);
        // Two numbers that FAISS once used and still writes.
        self.size(1 << 20);
        self.size(1 << 20);
        self.flag(true);
        self.int(match metric {
            Metric::L2 => L2,
            Metric::InnerProduct | Metric::Cosine => INNER_PRODUCT,
        });
    }

    /// A flat index of rows.
    pub(crate) fn flat(&mut self, dim: usize, data: &[f32], metric: Metric) -> io::Result<()> {
        self.bytes(match metric {
            Metric::L2 => b"IxF2",
            Metric::InnerProduct | Metric::Cosine => b"IxFI",
        });
        self.header(dim, data.len() / dim, metric);
        self.size(data.len());
        self.floats(data)
    }
}
