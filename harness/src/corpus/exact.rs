//! Exact nearest neighbours, by comparing every query with every record: the truth that recall is measured against.
//!
//! Ties at the k-th place are settled by the smaller key, as the stores settle them; where a store settles them
//! otherwise, [`Neighbours::hits`] still counts an answer that is as near as the k-th neighbour.

use std::collections::BTreeSet;

use super::Corpus;

/// The exact neighbours of one query.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Neighbours {
    /// Keys, nearest first.
    pub keys: Vec<u64>,
    /// Further keys that are as near as the last of them.
    pub ties: Vec<u64>,
}

impl Neighbours {
    /// The `k` nearest of them.
    pub fn nearest(&self, k: usize) -> Neighbours {
        if k >= self.keys.len() {
            return self.clone();
        }
        Neighbours { keys: self.keys[..k].to_vec(), ties: Vec::new() }
    }

    /// How many of the exact neighbours an answer holds; a tie for the last place counts as one.
    pub fn hits(&self, answer: &[u64]) -> u32 {
        let found: BTreeSet<u64> = answer.iter().copied().collect();
        let exact = self.keys.iter().filter(|k| found.contains(k)).count();
        let tied = self.ties.iter().filter(|k| found.contains(k)).count();
        u32::try_from((exact + tied).min(self.keys.len())).unwrap_or(u32::MAX)
    }
}

/// Squared distance, summed in sixteen lanes and then in a fixed order: vectorised, and equal on every platform.
pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    let (ca, cb) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = ca.remainder().iter().zip(cb.remainder()).map(|(x, y)| (x - y) * (x - y)).sum();
    for (x, y) in ca.zip(cb) {
        for i in 0..16 {
            let d = x[i] - y[i];
            lanes[i] += d * d;
        }
    }
    let halves: [f32; 8] = std::array::from_fn(|i| lanes[i] + lanes[i + 8]);
    let quarters: [f32; 4] = std::array::from_fn(|i| halves[i] + halves[i + 4]);
    (quarters[0] + quarters[2]) + (quarters[1] + quarters[3]) + rest
}

/// The exact neighbours of each query among `records` (key and write number), on all processors.
pub fn exact_neighbours(
    corpus: &Corpus,
    queries: &[Vec<f32>],
    records: &[(u64, u64)],
    k: usize,
) -> Vec<Neighbours> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = queries.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = queries
            .chunks(share)
            .map(|queries| scope.spawn(move || neighbours_of(corpus, queries, records, k)))
            .collect();
        workers.into_iter().flat_map(|w| w.join().expect("a search worker does not panic")).collect()
    })
}

/// How many of the `k` exact neighbours of each query its answer holds, of which the first `k` count; no answer has none.
pub fn count_hits<'a>(
    truth: &[Neighbours],
    answers: impl IntoIterator<Item = Option<&'a [u64]>>,
    k: usize,
) -> Vec<u32> {
    let hits =
        |(n, a): (&Neighbours, Option<&[u64]>)| a.map_or(0, |a| n.nearest(k).hits(&a[..a.len().min(k)]));
    truth.iter().zip(answers).map(hits).collect()
}

/// How many records are compared with all queries before the next ones are made: they stay in the cache.
const BLOCK: usize = 256;

fn neighbours_of(corpus: &Corpus, queries: &[Vec<f32>], records: &[(u64, u64)], k: usize) -> Vec<Neighbours> {
    let mut best: Vec<Best> = queries.iter().map(|_| Best { k, list: Vec::with_capacity(k * 2) }).collect();
    for block in records.chunks(BLOCK) {
        let made: Vec<(u64, Vec<f32>)> =
            block.iter().map(|(key, ver)| (*key, corpus.vector(*key, *ver))).collect();
        for (query, best) in queries.iter().zip(&mut best) {
            for (key, vector) in &made {
                best.offer(squared_distance(query, vector), *key);
            }
        }
    }
    best.into_iter().map(Best::finish).collect()
}

/// The k nearest so far, with everything tied for the last place.
struct Best {
    k: usize,
    list: Vec<(f32, u64)>,
}

impl Best {
    fn offer(&mut self, distance: f32, key: u64) {
        if self.list.len() >= self.k && distance > self.list[self.k - 1].0 {
            return;
        }
        let at = self.list.partition_point(|(d, k)| (*d, *k) < (distance, key));
        self.list.insert(at, (distance, key));
        let Some(last) = self.k.checked_sub(1).and_then(|i| self.list.get(i)).map(|l| l.0) else { return };
        let keep = self.list.partition_point(|(d, _)| *d <= last);
        self.list.truncate(keep.max(self.k));
    }

    fn finish(self) -> Neighbours {
        let mut keys: Vec<u64> = self.list.into_iter().map(|(_, key)| key).collect();
        let ties = keys.split_off(self.k.min(keys.len()));
        Neighbours { keys, ties }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_exact() {
        let corpus =
            Corpus { seed: 1, dim: 20, vectors: 700, objects: 1, object_size: 64, queries: 5, entities: 0 };
        let records: Vec<(u64, u64)> = (0..700).map(|k| (k, 0)).collect();
        let queries: Vec<Vec<f32>> = (0..5).map(|n| corpus.query(n)).collect();
        for (query, found) in queries.iter().zip(exact_neighbours(&corpus, &queries, &records, 10)) {
            let mut all: Vec<(f32, u64)> =
                records.iter().map(|(k, v)| (squared_distance(query, &corpus.vector(*k, *v)), *k)).collect();
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            assert_eq!(found.keys, all[..10].iter().map(|a| a.1).collect::<Vec<_>>());
            assert_eq!(found.hits(&found.keys), 10);
        }
    }

    #[test]
    fn ties_count() {
        let n = Neighbours { keys: vec![1, 2], ties: vec![3] };
        assert_eq!((n.hits(&[1, 3]), n.hits(&[1, 2, 3]), n.hits(&[4])), (2, 2, 0));
    }
}
