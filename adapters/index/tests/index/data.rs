//! Data, exact answers and recall for the tests.

use index::{Engine, Index, IndexSpec, Kind, Vectors, build};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::ops::ControlFlow;

pub(crate) struct Data {
    pub(crate) dim: usize,
    pub(crate) ids: Vec<u64>,
    pub(crate) rows: Vec<f32>,
    pub(crate) queries: Vec<f32>,
}

impl Data {
    /// Overlapping clusters of about 100 vectors; queries come from the same clusters.
    pub(crate) fn clustered(n: usize, dim: usize, queries: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let centers: Vec<f32> = (0..n.div_ceil(100).max(1) * dim).map(|_| 2.0 * bell(&mut rng)).collect();
        let mut draw = |count: usize| -> Vec<f32> {
            let clusters = centers.len() / dim;
            let mut rows = Vec::with_capacity(count * dim);
            for _ in 0..count {
                let center = rng.next_u64() as usize % clusters * dim;
                rows.extend(centers[center..][..dim].iter().map(|value| value + bell(&mut rng)));
            }
            rows
        };
        let rows = draw(n);
        let queries = draw(queries);
        Self { dim, ids: (0..n as u64).map(|at| at * 7 + 3).collect(), rows, queries }
    }

    /// Clusters that do not touch, each of a few latent dimensions, as embeddings have; queries come from them all.
    pub(crate) fn apart(n: usize, dim: usize, clusters: usize, queries: usize, seed: u64) -> Self {
        const LATENT: usize = 12;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let centers: Vec<f32> = (0..clusters * dim).map(|_| 5.0 * bell(&mut rng)).collect();
        let mut draw = |count: usize| -> Vec<f32> {
            let point = |at: usize| {
                let latent: [f32; LATENT] = std::array::from_fn(|_| bell(&mut rng));
                let center = &centers[at % clusters * dim..][..dim];
                center
                    .iter()
                    .enumerate()
                    .map(move |(i, value)| value + latent[i % LATENT])
                    .collect::<Vec<f32>>()
            };
            (0..count).flat_map(point).collect()
        };
        let rows = draw(n);
        let queries = draw(queries);
        Self { dim, ids: (0..n as u64).collect(), rows, queries }
    }

    /// Groups of `size` vectors that are equal, or equal up to `noise`, in drawn order; queries are off by `away`.
    pub(crate) fn groups(groups: usize, size: usize, dim: usize, noise: f32, away: f32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let centers: Vec<f32> = (0..groups * dim).map(|_| 2.0 * bell(&mut rng)).collect();
        let mut near = |center: usize, noise: f32| -> Vec<f32> {
            centers[center * dim..][..dim].iter().map(|value| value + noise * bell(&mut rng)).collect()
        };
        // Steps of a number that has no divisor in common with theirs go to each of them once.
        let n = groups * size;
        let rows = (0..n).flat_map(|at| near(at * 7_919 % n / size, noise)).collect();
        let queries = (0..100).flat_map(|at| near(at * 31 % groups, away)).collect();
        Self { dim, ids: (0..n as u64).collect(), rows, queries }
    }

    /// Vectors without any structure.
    pub(crate) fn shapeless(n: usize, dim: usize, queries: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut draw = |count: usize| (0..count * dim).map(|_| bell(&mut rng)).collect();
        Self { dim, ids: (0..n as u64).collect(), rows: draw(n), queries: draw(queries) }
    }

    pub(crate) fn build(&self, spec: &IndexSpec) -> Index {
        let vectors = Vectors::new(self.dim, &self.ids, &self.rows).unwrap();
        build(vectors, spec, Engine::Cpu, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    pub(crate) fn exact(&self, query: &[f32], k: usize, keep: &dyn Fn(u64) -> bool) -> Vec<u64> {
        let distance = |row: &[f32]| -> f64 {
            row.iter().zip(query).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
        };
        let rows = self.ids.iter().zip(self.rows.chunks_exact(self.dim)).filter(|(id, _)| keep(**id));
        let mut all: Vec<(f64, u64)> = rows.map(|(id, row)| (distance(row), *id)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.iter().take(k).map(|(_, id)| *id).collect()
    }

    pub(crate) fn recall(&self, index: &Index, k: usize, keep: &dyn Fn(u64) -> bool) -> f64 {
        let (mut hits, mut wanted) = (0, 0);
        for query in self.queries.chunks_exact(self.dim) {
            let exact = self.exact(query, k, keep);
            let found = index.search(query, k, keep).unwrap();
            hits += found.iter().filter(|neighbor| exact.contains(&neighbor.id)).count();
            wanted += exact.len();
        }
        hits as f64 / wanted as f64
    }
}

/// Roughly normal, from integers.
fn bell(rng: &mut ChaCha8Rng) -> f32 {
    let sum: i64 = (0..4).map(|_| (rng.next_u64() >> 48) as i64 - 32_768).sum();
    sum as f32 / 37_800.0
}

/// One spec of each kind, small enough for small data.
pub(crate) fn both() -> [IndexSpec; 2] {
    let ivf = IndexSpec { kind: Kind::IvfFlat { nlist: 16, nprobe: 4 }, ..IndexSpec::hnsw() };
    [IndexSpec::hnsw(), ivf]
}

/// One spec of every kind, those whose answers are approximate in value too.
pub(crate) fn all() -> [IndexSpec; 4] {
    let [hnsw, flat] = both();
    let of = |kind| IndexSpec { kind, ..hnsw };
    // One part fits every dimension.
    [hnsw, flat, of(Kind::IvfSq8 { nlist: 16, nprobe: 4 }), of(Kind::IvfPq { nlist: 16, nprobe: 4, m: 1 })]
}
