//! How many of the true neighbours an answer holds; `peer.py` counts the same way.

use std::{fs, path::Path};

use crate::rebuild::data::{KEPT, Metric, read_rows};

/// Neighbours that a query asks for.
pub(super) const K: usize = 10;

/// The true neighbours of all queries.
#[derive(Debug)]
pub(super) struct Truth<'a> {
    rows: Vec<i32>,
    near: Vec<f32>,
    kept: usize,
    /// Where more vectors than were kept are as near as the tenth: what measures the others.
    more: Option<More<'a>>,
}

#[derive(Debug)]
struct More<'a> {
    base: Vec<f32>,
    queries: &'a [f32],
    dim: usize,
    metric: Metric,
}

impl Truth<'_> {
    /// That of a data set in the cache, with `kept` neighbours of each query.
    pub(super) fn read<'a>(
        data: &Path,
        (dim, metric): (usize, Metric),
        queries: &'a [f32],
        kept: usize,
    ) -> std::io::Result<Truth<'a>> {
        let near = read_rows(&data.join("near.f32"))?;
        let bytes = fs::read(data.join("truth.i32"))?;
        let rows = bytes.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b)).collect();
        let overflows =
            |near: &[f32]| near.last().zip(tenth(near)).is_some_and(|(last, tenth)| *last <= tenth);
        let more = match kept == KEPT && near.chunks(kept).any(overflows) {
            true => Some(More { base: read_rows(&data.join("base.f32"))?, queries, dim, metric }),
            false => None,
        };
        Ok(Truth { rows, near, kept, more })
    }

    /// Hits among the true ten; what is as near as the tenth counts as one of them.
    pub(super) fn recall(&self, found: impl Iterator<Item = Vec<u64>>) -> f64 {
        let (mut hits, mut count) = (0usize, 0usize);
        let known = self.rows.chunks(self.kept).zip(self.near.chunks(self.kept));
        for (q, (answer, (rows, near))) in found.zip(known).enumerate() {
            let Some(tenth) = tenth(near) else { continue };
            let exact = |id: &&u64| {
                let mut all = rows.iter().zip(near);
                all.any(|(row, distance)| *distance <= tenth && i64::from(*row) == **id as i64)
                    || self.more.as_ref().is_some_and(|more| more.distance(q, **id) <= tenth)
            };
            let k = K.min(self.kept);
            hits += answer.iter().filter(exact).count().min(k);
            count += k;
        }
        hits as f64 / count.max(1) as f64
    }
}

/// Up to where a vector counts as one of the ten.
fn tenth(near: &[f32]) -> Option<f32> {
    near.get(K.min(near.len()).saturating_sub(1)).map(|d| Metric::as_near_as(*d))
}

impl More<'_> {
    fn distance(&self, query: usize, id: u64) -> f32 {
        let row = usize::try_from(id)
            .ok()
            .and_then(|id| self.base.get(id.checked_mul(self.dim)?..)?.get(..self.dim));
        row.map_or(f32::INFINITY, |row| {
            (self.metric.distance())(&self.queries[query * self.dim..][..self.dim], row)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_near_as_the_last_counts_and_no_more_than_all() {
        let near = vec![0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 9., 10.];
        let truth = Truth { rows: (0..12).collect(), near, kept: 12, more: None };
        let of = |ids: &[u64]| truth.recall([ids.to_vec()].into_iter());
        assert_eq!(of(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), 1.0);
        assert_eq!(of(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 10]), 1.0);
        assert_eq!(of(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 11]), 0.9);
        assert_eq!(of(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), 1.0);
        assert_eq!(of(&[99, 98]), 0.0);
        assert_eq!(of(&[]), 0.0);
    }

    #[test]
    fn equal_vectors_that_were_not_kept_count_too() {
        // 150 times the same vector, then one far away.
        let folder = tempfile::tempdir().unwrap();
        let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let mut base = vec![1.0; 300];
        base.extend([9.0, 9.0]);
        fs::write(folder.path().join("base.f32"), floats(&base)).unwrap();
        fs::write(folder.path().join("near.f32"), floats(&[0.0; KEPT])).unwrap();
        let rows: Vec<u8> = (0..KEPT as i32).flat_map(i32::to_le_bytes).collect();
        fs::write(folder.path().join("truth.i32"), rows).unwrap();
        let truth = Truth::read(folder.path(), (2, Metric::L2), &[1.0, 1.0], KEPT).unwrap();
        let of = |ids: Vec<u64>| truth.recall([ids].into_iter());
        assert_eq!(of((140..150).collect()), 1.0);
        assert_eq!(of((141..151).collect()), 0.9);
        assert_eq!(of(vec![u64::MAX; 10]), 0.0);
    }
}
