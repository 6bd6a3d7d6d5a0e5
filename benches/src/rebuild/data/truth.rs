//! Exact nearest neighbours of the queries, by comparing each with every vector, on all processors.
//!
//! Blocks of vectors stay in the cache while all queries pass over them. Ties go to the smaller row.

use std::thread;

use super::Metric;

/// Vectors in a block: 384 KiB at 768 values.
const BLOCK: usize = 128;

/// The `k` nearest of each query, nearest first.
#[derive(Debug)]
pub(super) struct Truth {
    /// Rows of the base.
    pub(super) rows: Vec<i32>,
    /// Their distances, in the measure of the set.
    pub(super) distances: Vec<f32>,
}

/// Exact neighbours; `None` if it was stopped. `k` is at most the number of base vectors.
pub(super) fn exact(
    base: &[f32],
    queries: &[f32],
    (dim, metric): (usize, Metric),
    k: usize,
    stopped: &dyn Fn() -> bool,
) -> Option<Truth> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let count = queries.len() / dim;
    // Small parts, so that a request to stop is heard soon.
    let part = count.div_ceil(threads * 8).max(1) * dim;
    let mut truth = Truth { rows: Vec::with_capacity(count * k), distances: Vec::with_capacity(count * k) };
    for parts in queries.chunks(part * threads) {
        if stopped() {
            return None;
        }
        let found: Vec<Vec<(f32, usize)>> = thread::scope(|scope| {
            let work = |part| scope.spawn(move || of_part(base, part, (dim, metric), k));
            let running: Vec<_> = parts.chunks(part).map(work).collect();
            running.into_iter().flat_map(|t| t.join().expect("a search of rows cannot panic")).collect()
        });
        for near in found {
            truth.rows.extend(near.iter().map(|(_, row)| i32::try_from(*row).unwrap_or(i32::MAX)));
            truth.distances.extend(near.iter().map(|(distance, _)| *distance));
        }
    }
    Some(truth)
}

fn of_part(
    base: &[f32],
    queries: &[f32],
    (dim, metric): (usize, Metric),
    k: usize,
) -> Vec<Vec<(f32, usize)>> {
    let measure = metric.distance();
    let mut near: Vec<Vec<(f32, usize)>> = vec![Vec::with_capacity(4 * k); queries.len() / dim];
    let mut worst = vec![f32::INFINITY; near.len()];
    for (block, rows) in base.chunks(BLOCK * dim).enumerate() {
        for (q, query) in queries.chunks_exact(dim).enumerate() {
            for (i, row) in rows.chunks_exact(dim).enumerate() {
                let distance = measure(query, row);
                if distance < worst[q] {
                    near[q].push((distance, block * BLOCK + i));
                    if near[q].len() >= 4 * k {
                        worst[q] = nearest(&mut near[q], k);
                    }
                }
            }
        }
    }
    near.iter_mut().for_each(|n| _ = nearest(n, k));
    near
}

/// Keeps the `k` nearest, in order; answers the farthest of them.
fn nearest(near: &mut Vec<(f32, usize)>, k: usize) -> f32 {
    near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    near.truncate(k);
    // One as far as the last and with a larger row would lose the tie.
    near.last().map_or(f32::INFINITY, |n| n.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_sorting_everything_gives() {
        let dim = 24;
        let rows = super::super::clustered::rows(1_100, dim, 8, 4);
        let (base, queries) = rows.split_at(1_000 * dim);
        for metric in Metric::ALL {
            let truth = exact(base, queries, (dim, metric), 10, &|| false).unwrap();
            assert_eq!(truth.rows.len(), 1_000);
            for (q, query) in queries.chunks_exact(dim).enumerate() {
                let mut all: Vec<(f32, usize)> =
                    base.chunks_exact(dim).map(|row| (metric.distance())(query, row)).zip(0..).collect();
                all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                let expected: Vec<i32> = all[..10].iter().map(|(_, row)| *row as i32).collect();
                assert_eq!(truth.rows[q * 10..][..10], expected);
                assert_eq!(truth.distances[q * 10 + 9], all[9].0);
            }
        }
    }
}
