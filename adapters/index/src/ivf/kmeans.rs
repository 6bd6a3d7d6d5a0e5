//! k-means (Lloyd): seeded, a fixed number of rounds, the same centroids on every machine.
//!
//! Centroids start as sampled vectors; a round assigns the training set and takes means, in double precision and in one
//! order. Rounds assign by bytes (`narrow::coarse`): a vector between two centroids may go to either, which moves neither.
//! The last assignment, that of all vectors, is exact. A list that lost its members takes a share of the longest one. Ties
//! go to the first centroid.

use crate::bulk::exact::will_do;
use crate::bulk::narrow::coarse::Coarse;
use crate::bulk::rows::Rows;
use crate::device::Device;
use crate::draw::Draw;
use crate::engine::{BuildError, Progress};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Fewer lists than this are found by floats.
const WORTH_A_GRID: usize = 64;

/// As FAISS's coarse quantizers.
const ROUNDS: usize = 10;

/// More training vectors for each centroid than this do not improve it (FAISS's `max_points_per_centroid`).
const TRAINING_PER_CENTROID: usize = 256;

/// The first rounds look at fewer vectors.
const EARLY_ROUNDS: usize = 3;
const EARLY_PER_CENTROID: usize = 96;

/// By how much the two halves of a list are moved apart, as in FAISS.
const APART: f32 = 1.0 / 1_024.0;

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
    device.prepare(dim, 1, false, &mut progress.part(0.0, 0.0))?;
    let sample: Vec<u32> = Draw::new(seed, *b"ivf kmns")
        .sample(rows.len(), lists * TRAINING_PER_CENTROID)
        .into_iter()
        .map(|at| at as u32)
        .collect();
    let mut centroids = rows.gather(&sample[..lists]);
    train(rows, &sample, &mut centroids, device, &mut progress.part(0.0, 0.75))?;
    let mut part = progress.part(0.75, 1.0);
    let assigned = device.nearest_centres(rows, Rows { dim, data: &centroids }, 1, &mut part)?;
    Ok((centroids, assigned))
}

fn train(
    rows: Rows<'_>,
    sample: &[u32],
    centroids: &mut [f32],
    device: &mut Device,
    progress: &mut Progress<'_>,
) -> Result<(), BuildError> {
    let dim = rows.dim;
    let lists = centroids.len() / dim;
    let coarse =
        if lists < WORTH_A_GRID { None } else { Coarse::of(rows, sample, &mut progress.part(0.0, 0.1))? };
    let mut sums = Sums::default();
    let mut assigned: Vec<u32> = Vec::new();
    let total: usize = (0..ROUNDS).map(|round| taken(round, lists, sample.len())).sum();
    let mut done = 0;
    for round in 0..ROUNDS {
        let part = &sample[..taken(round, lists, sample.len())];
        let share = |done: usize| 0.1 + 0.9 * done as f32 / total as f32;
        let mut progress = progress.part(share(done), share(done + part.len()));
        done += part.len();
        let around = Rows { dim, data: centroids };
        let again = match &coarse {
            Some(coarse) => coarse.nearest(around, part.len(), &mut progress.part(0.0, 1.0))?,
            None => None,
        };
        let again = match again {
            Some(again) if will_do(rows, part, around, 1, &again) => again,
            _ => {
                let data = rows.gather(part);
                device.nearest_centres(Rows { dim, data: &data }, around, 1, &mut progress)?
            }
        };
        if assigned.len() == again.len() {
            sums.follow(rows, part, &assigned, &again);
        } else {
            sums = Sums::of(rows, part, &again, lists);
        }
        assigned = again;
        sums.means(centroids);
    }
    Ok(())
}

/// How many of the sampled vectors a round looks at: the first rounds only find the way.
fn taken(round: usize, lists: usize, sample: usize) -> usize {
    if round < EARLY_ROUNDS { sample.min(lists * EARLY_PER_CENTROID) } else { sample }
}

/// Sums of the members of each list, in double precision and one order of additions.
#[derive(Default)]
pub(super) struct Sums {
    dim: usize,
    sums: Vec<f64>,
    counts: Vec<u32>,
}

impl Sums {
    pub(super) fn of(rows: Rows<'_>, list: &[u32], assigned: &[u32], lists: usize) -> Self {
        let mut all = Self { dim: rows.dim, sums: vec![0.0; lists * rows.dim], counts: vec![0; lists] };
        for (&row, &list) in list.iter().zip(assigned) {
            all.counts[list as usize] += 1;
            all.sum(list).zip(rows.row(row)).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        all
    }

    fn sum(&mut self, list: u32) -> impl Iterator<Item = &mut f64> {
        self.sums[list as usize * self.dim..][..self.dim].iter_mut()
    }

    /// Moves the rows whose list changed.
    pub(super) fn follow(&mut self, rows: Rows<'_>, list: &[u32], before: &[u32], now: &[u32]) {
        let lists = before.iter().zip(now);
        for (&row, (&from, &to)) in list.iter().zip(lists).filter(|(_, (from, to))| from != to) {
            let row = rows.row(row);
            self.counts[from as usize] -= 1;
            self.counts[to as usize] += 1;
            self.sum(from).zip(row).for_each(|(sum, value)| *sum -= f64::from(*value));
            self.sum(to).zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
    }

    /// Moves the centroids to the means, and those of empty lists beside that of the longest.
    pub(super) fn means(&self, centroids: &mut [f32]) {
        let dim = self.dim;
        let means = self.sums.chunks_exact(dim).zip(&self.counts).zip(centroids.chunks_exact_mut(dim));
        for ((sum, &count), centroid) in means.filter(|((_, count), _)| **count > 0) {
            for (value, sum) in centroid.iter_mut().zip(sum) {
                *value = (sum / f64::from(count)) as f32;
            }
        }
        let mut longest: BinaryHeap<(u32, Reverse<usize>)> =
            self.counts.iter().zip(0..).map(|(&count, list)| (count, Reverse(list))).collect();
        for empty in (0..self.counts.len()).filter(|&list| self.counts[list] == 0) {
            let Some((count, Reverse(list))) = longest.pop().filter(|(count, _)| *count > 1) else { return };
            let [near, far] = [1.0 - APART, 1.0 + APART];
            for at in 0..dim {
                let value = centroids[list * dim + at];
                let (here, there) = if at % 2 == 0 { (near, far) } else { (far, near) };
                centroids[list * dim + at] = value * here;
                centroids[empty * dim + at] = value * there;
            }
            longest.push((count - count / 2, Reverse(list)));
            longest.push((count / 2, Reverse(empty)));
        }
    }
}
