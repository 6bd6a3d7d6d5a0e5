//! The only module that knows the index library.

use super::wire::{BuildEngine, IndexSpec, Kind};
use index::{Engine, Index, Metric, Ran, Vectors};
use std::ops::ControlFlow;

/// An immutable index over sealed records.
#[derive(Debug)]
pub(super) struct Ann(Index);

impl Ann {
    /// Builds an index of rows of `dim` values; `stop` is asked now and then whether to give up.
    pub(super) fn build(
        dim: usize,
        ids: &[u64],
        data: &[f32],
        spec: &IndexSpec,
        engine: BuildEngine,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, String> {
        let vectors = Vectors::new(dim, ids, data).map_err(|error| error.to_string())?;
        let engine = match engine {
            BuildEngine::Cpu => Engine::Cpu,
            BuildEngine::OpenCl => Engine::OpenCl,
        };
        let mut progress = |_| if stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let built = index::build(vectors, &native(spec), engine, &mut progress);
        built.map(Self).map_err(|error| error.to_string())
    }

    /// What built it; `None` if it was read from a file.
    pub(super) fn ran(&self) -> Option<(BuildEngine, &Ran)> {
        let ran = self.0.ran()?;
        let engine = match ran.engine {
            Engine::OpenCl => BuildEngine::OpenCl,
            _ => BuildEngine::Cpu,
        };
        Some((engine, ran))
    }

    /// Up to `k` of the kept ids, nearest first.
    pub(super) fn search(
        &self,
        query: &[f32],
        k: usize,
        keep: &dyn Fn(u64) -> bool,
    ) -> Result<Vec<(u64, f32)>, String> {
        let found = self.0.search(query, k, keep).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|near| (near.id, near.distance)).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Values in each vector. An empty index has none that could differ.
    pub(super) fn fits(&self, dim: usize) -> bool {
        self.0.is_empty() || self.0.dim() == dim
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8], spec: &IndexSpec) -> Result<Self, String> {
        Index::from_bytes(bytes, &native(spec)).map(Self).map_err(|error| error.to_string())
    }
}

fn native(spec: &IndexSpec) -> index::IndexSpec {
    let kind = match spec.kind {
        Kind::Hnsw { m, ef_construction, ef } => index::Kind::Hnsw { m, ef_construction, ef },
        Kind::IvfFlat { nlist, nprobe } => index::Kind::IvfFlat { nlist, nprobe },
    };
    index::IndexSpec { kind, metric: Metric::L2, seed: spec.seed }
}

/// Squared Euclidean distance, for the records no index knows yet.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_in_a_graph_half_of_whose_vectors_are_equal_is_told() {
        const DIM: usize = 32;
        // SplitMix64 (Steele et al., OOPSLA 2014): no lattice, as multiples of one number would be.
        let value = |at: usize| {
            let mut z = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z >> 40) as f32 / 16_777_216.0
        };
        // Half of all rows are one vector.
        let place = |row: usize| if row < 2_000 { 0 } else { row * DIM };
        let data: Vec<f32> =
            (0..4_000).flat_map(|row| (0..DIM).map(move |i| value(place(row) + i + 1))).collect();
        let ids: Vec<u64> = (0..4_000).collect();
        let spec =
            IndexSpec { kind: Kind::Hnsw { m: 16, ef_construction: 100, ef: 96 }, seed: 1, min_recall: 0 };
        let ann = Ann::build(DIM, &ids, &data, &spec, BuildEngine::Cpu, &|| false).unwrap();
        let (engine, ran) = ann.ran().unwrap();
        assert_eq!(engine, BuildEngine::Cpu);
        assert!(ran.note.is_none(), "{ran:?}");
        assert!(ran.recall.unwrap() > 0.95, "{ran:?}");
    }
}
