//! k-means (Lloyd): seeded, a fixed number of rounds, the same centroids on every machine.
//!
//! Centroids start as sampled vectors; a round assigns the training set and takes means, in double precision and
//! in the order of positions. A centroid that attracts nobody stays where it is. Ties go to the first centroid.

use crate::Vectors;
use crate::distance::Kernel;
use crate::draw::Draw;
use crate::engine::{BuildError, Progress};

const ROUNDS: usize = 10;

/// More training vectors for each centroid than this do not improve it (FAISS's `max_points_per_centroid`).
const TRAINING_PER_CENTROID: usize = 256;

/// Vectors assigned between two reports of progress.
const REPORT_EVERY: usize = 1_024;

/// The centroids, row after row, and the centroid of each vector.
pub(super) fn cluster(
    vectors: Vectors<'_>,
    lists: usize,
    seed: u64,
    progress: &mut Progress<'_>,
) -> Result<(Vec<f32>, Vec<u32>), BuildError> {
    let dim = vectors.dim();
    let row = |at: usize| &vectors.data()[at * dim..][..dim];
    let mut sample = Draw::new(seed, *b"ivf kmns").sample(vectors.len(), lists * TRAINING_PER_CENTROID);
    let mut centroids: Vec<f32> = sample[..lists].iter().flat_map(|&at| row(at)).copied().collect();
    sample.sort_unstable();
    let total = sample.len() * ROUNDS + vectors.len();
    let mut assigner = Assigner { kernel: Kernel::detect(), distances: Vec::new(), progress, done: 0, total };
    for _ in 0..ROUNDS {
        let assigned = assigner.assign(sample.iter().map(|&at| row(at)), &centroids)?;
        move_to_means(&mut centroids, dim, sample.iter().map(|&at| row(at)).zip(assigned));
    }
    let assigned = assigner.assign(vectors.data().chunks_exact(dim), &centroids)?;
    Ok((centroids, assigned))
}

struct Assigner<'a, 'p> {
    kernel: Kernel,
    distances: Vec<f32>,
    progress: &'a mut Progress<'p>,
    done: usize,
    total: usize,
}

impl Assigner<'_, '_> {
    /// The nearest centroid of each row.
    fn assign<'r>(
        &mut self,
        rows: impl Iterator<Item = &'r [f32]>,
        centroids: &[f32],
    ) -> Result<Vec<u32>, BuildError> {
        let mut assigned = Vec::with_capacity(rows.size_hint().0);
        for row in rows {
            if self.done.is_multiple_of(REPORT_EVERY) {
                self.progress.at(self.done, self.total)?;
            }
            self.done += 1;
            self.kernel.all(row, centroids, &mut self.distances);
            assigned.push(first_least(&self.distances));
        }
        Ok(assigned)
    }
}

fn first_least(distances: &[f32]) -> u32 {
    let least = (0..).zip(distances).min_by(|(_, a), (_, b)| a.total_cmp(b));
    least.map_or(0, |(at, _)| at)
}

fn move_to_means<'r>(centroids: &mut [f32], dim: usize, members: impl Iterator<Item = (&'r [f32], u32)>) {
    let mut sums = vec![0.0f64; centroids.len()];
    let mut counts = vec![0u32; centroids.len() / dim];
    for (row, list) in members {
        counts[list as usize] += 1;
        for (sum, value) in sums[list as usize * dim..][..dim].iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
    let means = sums.chunks_exact(dim).zip(counts).zip(centroids.chunks_exact_mut(dim));
    for ((sum, count), centroid) in means.filter(|((_, count), _)| *count > 0) {
        for (value, sum) in centroid.iter_mut().zip(sum) {
            *value = (sum / f64::from(count)) as f32;
        }
    }
}
