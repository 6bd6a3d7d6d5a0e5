//! A sample of searches beside the exact answers: what share of its true neighbours does an index find?

use crate::bulk::rows::Rows;
use crate::crew;
use crate::distance::Kernel;
use crate::draw::Draw;
use crate::engine::{BuildError, Progress};
use crate::vectors::unit_rows;
use crate::{Metric, Neighbor, Vectors};
use std::borrow::Cow;
use std::ops::ControlFlow;

/// Searches that one thread does at a time.
const GROUP: usize = 8;
/// Values of rows that stay in a cache while a group of queries passes over them.
const BLOCK: usize = 32 << 10;

/// Queries, and how far their true neighbours are.
#[derive(Debug)]
pub struct Sample<'a> {
    vectors: Vectors<'a>,
    metric: Metric,
    k: usize,
    queries: Vec<f32>,
    /// How far the last true neighbour of each is: whatever is as near counts, for equal vectors are worth the same.
    farthest: Vec<f32>,
    /// The rows in the order of their ids.
    by_id: Vec<u32>,
}

/// What a sample of searches found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answered {
    /// The share of true neighbours.
    pub recall: f64,
    /// Searches that found fewer neighbours than there are, or than they asked for.
    pub short: usize,
}

impl<'a> Sample<'a> {
    /// Asks for the `k` nearest of `count` rows drawn from all; of all rows where there are fewer.
    ///
    /// # Errors
    /// `progress` asked to stop.
    pub fn drawn(
        vectors: Vectors<'a>,
        metric: Metric,
        k: usize,
        count: usize,
        seed: u64,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Self, BuildError> {
        let drawn = Draw::new(seed, *b"recall  ").sample(vectors.len(), count);
        let rows: Vec<u32> = drawn.into_iter().map(|row| row as u32).collect();
        let queries = Rows { dim: vectors.dim(), data: vectors.data() }.gather(&rows);
        Self::of(vectors, metric, k, queries, progress)
    }

    /// Asks for the `k` nearest of each of these queries, row after row.
    ///
    /// # Panics
    /// The queries are no whole rows of the vectors' dimension.
    ///
    /// # Errors
    /// `progress` asked to stop.
    pub fn of(
        vectors: Vectors<'a>,
        metric: Metric,
        k: usize,
        mut queries: Vec<f32>,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Self, BuildError> {
        let dim = vectors.dim();
        assert!(queries.len().is_multiple_of(dim), "queries are rows of {dim} values");
        if metric == Metric::Cosine {
            queries = unit_rows(&queries, dim);
        }
        let k = k.min(vectors.len());
        let mut farthest = vec![f32::INFINITY; queries.len() / dim];
        let groups = queries.chunks(GROUP * dim).zip(farthest.chunks_mut(GROUP));
        let mut progress = Progress::new(progress);
        crew::each(groups, &mut progress, Vec::new, |distances, (queries, farthest)| {
            exact(vectors, metric, queries, k, farthest, distances);
        })?;
        let mut by_id: Vec<u32> = (0..vectors.len() as u32).collect();
        by_id.sort_unstable_by_key(|&row| vectors.ids()[row as usize]);
        Ok(Self { vectors, metric, k, queries, farthest, by_id })
    }

    /// The queries asked.
    pub fn len(&self) -> usize {
        self.farthest.len()
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.farthest.is_empty()
    }

    /// Asks `search` for the `k` nearest of each query.
    ///
    /// # Errors
    /// `progress` asked to stop.
    pub fn ask(
        &self,
        search: impl Fn(&[f32], usize) -> Vec<Neighbor> + Sync,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Answered, BuildError> {
        let mut found = vec![(0, 0); self.len()];
        let asked = self.queries.chunks_exact(self.vectors.dim()).zip(&self.farthest).zip(&mut found);
        crew::each(
            asked,
            &mut Progress::new(progress),
            || (),
            |(), ((query, &farthest), out)| {
                let answer = search(query, self.k);
                let near =
                    |neighbor: &&Neighbor| self.distance(query, neighbor.id).is_some_and(|d| d <= farthest);
                *out = (answer.iter().filter(near).count().min(self.k), answer.len());
            },
        )?;
        let hits: usize = found.iter().map(|(hits, _)| hits).sum();
        let asked = self.len() * self.k;
        let recall = if asked == 0 { 1.0 } else { hits as f64 / asked as f64 };
        Ok(Answered { recall, short: found.iter().filter(|(_, all)| *all < self.k).count() })
    }

    /// How far the vector of an id really is.
    fn distance(&self, query: &[f32], id: u64) -> Option<f32> {
        let ids = self.vectors.ids();
        let at = self.by_id.binary_search_by_key(&id, |&row| ids[row as usize]).ok()?;
        let dim = self.vectors.dim();
        let row = &self.vectors.data()[self.by_id[at] as usize * dim..][..dim];
        Some(Kernel::of(self.metric).distance(query, &scaled(row, dim, self.metric)))
    }
}

/// Rows as distances of the metric are measured from them.
fn scaled(rows: &[f32], dim: usize, metric: Metric) -> Cow<'_, [f32]> {
    match metric {
        Metric::L2 | Metric::InnerProduct => Cow::Borrowed(rows),
        Metric::Cosine => Cow::Owned(unit_rows(rows, dim)),
    }
}

/// How far the `k`-th nearest row of each query is.
fn exact(
    vectors: Vectors<'_>,
    metric: Metric,
    queries: &[f32],
    k: usize,
    farthest: &mut [f32],
    distances: &mut Vec<f32>,
) {
    let (dim, kernel) = (vectors.dim(), Kernel::of(metric));
    let mut near = vec![Vec::with_capacity(8 * k); farthest.len()];
    for block in vectors.data().chunks((BLOCK / dim).max(1) * dim) {
        let block = scaled(block, dim, metric);
        for ((query, near), farthest) in queries.chunks_exact(dim).zip(&mut near).zip(&mut *farthest) {
            kernel.all(query, &block, distances);
            for &distance in &*distances {
                if distance < *farthest {
                    near.push(distance);
                    if near.len() == 8 * k {
                        *farthest = last(near, k);
                    }
                }
            }
        }
    }
    for (farthest, near) in farthest.iter_mut().zip(&mut near) {
        *farthest = last(near, k);
    }
}

/// The `k`-th of the nearest, which are all that stay; infinite where there are fewer.
pub(crate) fn last(near: &mut Vec<f32>, k: usize) -> f32 {
    if k == 0 || near.len() < k {
        return f32::INFINITY;
    }
    let (.., last, _) = near.select_nth_unstable_by(k - 1, f32::total_cmp);
    let last = *last;
    near.truncate(k);
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(_: f32) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn exact_answers_are_all_found_and_wrong_ones_are_not() {
        let (dim, n, k) = (5, 9_000, 10);
        let mut draw = Draw::new(1, *b"test    ");
        let data: Vec<f32> = (0..n * dim).map(|_| draw.below(7) as f32 - 3.0).collect();
        let ids: Vec<u64> = (0..n as u64).rev().map(|at| 3 * at + 1).collect();
        let vectors = Vectors::new(dim, &ids, &data).unwrap();
        for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
            let sample = Sample::drawn(vectors, metric, k, 30, 7, &mut go).unwrap();
            let rows = scaled(&data, dim, metric);
            let sorted = |query: &[f32], from: usize, k: usize| {
                let far = |row: &[f32]| Kernel::of(metric).distance(query, row);
                let all = ids.iter().zip(rows.chunks_exact(dim));
                let mut all: Vec<_> = all.map(|(&id, row)| Neighbor { id, distance: far(row) }).collect();
                all.sort_by(|a, b| a.distance.total_cmp(&b.distance));
                all[from..][..k].to_vec()
            };
            let right = sample.ask(|query, k| sorted(query, 0, k), &mut go).unwrap();
            assert_eq!(right, Answered { recall: 1.0, short: 0 }, "{metric:?}");
            let half = sample.ask(|query, k| sorted(query, 0, k / 2), &mut go).unwrap();
            assert_eq!(half, Answered { recall: 0.5, short: 30 }, "{metric:?}");
            let wrong = sample.ask(|query, k| sorted(query, n / 2, k), &mut go).unwrap();
            assert_eq!(wrong, Answered { recall: 0.0, short: 0 }, "{metric:?}");
            let nobody = |_: &[f32], k| vec![Neighbor { id: 0, distance: 0.0 }; k];
            assert!(sample.ask(nobody, &mut go).unwrap().recall < 0.01, "no such id");
        }
    }

    #[test]
    fn of_few_rows_or_none_fewer_are_asked_for() {
        let vectors = Vectors::new(2, &[4], &[1.0, 0.0]).unwrap();
        let sample = Sample::drawn(vectors, Metric::L2, 10, 200, 0, &mut go).unwrap();
        assert_eq!((sample.len(), sample.k), (1, 1));
        let none = Vectors::new(2, &[], &[]).unwrap();
        let sample = Sample::drawn(none, Metric::L2, 10, 200, 0, &mut go).unwrap();
        assert!(sample.is_empty());
        assert_eq!(sample.ask(|_, _| Vec::new(), &mut go).unwrap().recall, 1.0);
        let stopped = Sample::drawn(vectors, Metric::L2, 10, 1, 0, &mut |_| ControlFlow::Break(()));
        assert_eq!(stopped.unwrap_err(), BuildError::Cancelled);
    }
}
