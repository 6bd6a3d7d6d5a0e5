//! k-means (Lloyd): seeded, a fixed number of rounds, the same centroids on every machine.
//!
//! Centroids start as sampled vectors; a round assigns the training set and takes means, in double precision and
//! in the order of positions. A centroid that attracts nobody stays where it is. Ties go to the first centroid.

use crate::bulk::rows::Rows;
use crate::device::Device;
use crate::draw::Draw;
use crate::engine::{BuildError, Progress};

const ROUNDS: usize = 10;

/// More training vectors for each centroid than this do not improve it (FAISS's `max_points_per_centroid`).
const TRAINING_PER_CENTROID: usize = 256;

/// The centroids, row after row, and the centroid of each row.
pub(super) fn cluster(
    rows: Rows<'_>,
    lists: usize,
    seed: u64,
    device: &mut Device,
    progress: &mut Progress<'_>,
) -> Result<(Vec<f32>, Vec<u32>), BuildError> {
    let dim = rows.dim;
    if rows.len() == 0 {
        progress.at(0, 1)?;
        return Ok((Vec::new(), Vec::new()));
    }
    let mut sample: Vec<u32> = Draw::new(seed, *b"ivf kmns")
        .sample(rows.len(), lists * TRAINING_PER_CENTROID)
        .into_iter()
        .map(|at| at as u32)
        .collect();
    let mut centroids = rows.gather(&sample[..lists]);
    sample.sort_unstable();
    let taken = (sample.len() < rows.len()).then(|| rows.gather(&sample));
    let training = Rows { dim, data: taken.as_deref().unwrap_or(rows.data) };
    let total = (sample.len() * ROUNDS + rows.len()) as f32;
    let share = |rounds: usize| (rounds * sample.len()) as f32 / total;
    for round in 0..ROUNDS {
        let mut progress = progress.part(share(round), share(round + 1));
        let assigned = device.nearest_centres(training, Rows { dim, data: &centroids }, 1, &mut progress)?;
        move_to_means(&mut centroids, dim, training.data.chunks_exact(dim).zip(assigned));
    }
    let mut progress = progress.part(share(ROUNDS), 1.0);
    let assigned = device.nearest_centres(rows, Rows { dim, data: &centroids }, 1, &mut progress)?;
    Ok((centroids, assigned))
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
