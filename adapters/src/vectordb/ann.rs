//! The only module that knows the index library.
//!
//! TEMPORARY STAND-IN: an exact scan with the interface the library will have. Replace the bodies, nothing else.

use super::wire::{BuildEngine, IndexSpec};
use std::ops::ControlFlow;

/// An immutable index over sealed records.
#[derive(Debug)]
pub(super) struct Ann {
    dim: usize,
    ids: Vec<u64>,
    data: Vec<f32>,
}

impl Ann {
    /// Builds an index of rows of `dim` values; `stop` is asked now and then whether to give up.
    pub(super) fn build(
        dim: usize,
        ids: &[u64],
        data: &[f32],
        _spec: &IndexSpec,
        BuildEngine::Cpu: BuildEngine,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, String> {
        let progress = |_done: f32| if stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        if progress(0.0).is_break() || ids.len() * dim != data.len() {
            return Err("the index build was cancelled".into());
        }
        Ok(Self { dim, ids: ids.to_vec(), data: data.to_vec() })
    }

    /// Up to `k` of the kept ids, nearest first.
    pub(super) fn search(
        &self,
        query: &[f32],
        k: usize,
        keep: &dyn Fn(u64) -> bool,
    ) -> Result<Vec<(u64, f32)>, String> {
        let rows = self.ids.iter().zip(self.data.chunks_exact(self.dim));
        let mut found: Vec<_> =
            rows.filter(|(id, _)| keep(**id)).map(|(id, row)| (*id, distance(query, row))).collect();
        found.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        found.truncate(k);
        Ok(found)
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (self.dim as u64).to_le_bytes().to_vec();
        bytes.extend((self.ids.len() as u64).to_le_bytes());
        bytes.extend(self.ids.iter().flat_map(|id| id.to_le_bytes()));
        bytes.extend(self.data.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8], _spec: &IndexSpec) -> Result<Self, String> {
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 8).ok_or("too short")?;
            Ok::<u64, String>(u64::from_le_bytes(bytes.try_into().map_err(|_| "too short")?))
        };
        let (dim, count) = (word(0)? as usize, word(8)? as usize);
        let ids = (0..count).map(|row| word(16 + row * 8)).collect::<Result<Vec<_>, _>>()?;
        let data: Vec<f32> = bytes
            .get(16 + count * 8..)
            .unwrap_or_default()
            .as_chunks()
            .0
            .iter()
            .map(|value| f32::from_le_bytes(*value))
            .collect();
        if dim == 0 || data.len() != count.saturating_mul(dim) {
            return Err("not an index file".into());
        }
        Ok(Self { dim, ids, data })
    }
}

/// Squared Euclidean distance, for the records no index knows yet.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0_f32; LANES];
    let (a, b) = (a.chunks(LANES), b.chunks(LANES));
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    }
    sums.iter().sum()
}
