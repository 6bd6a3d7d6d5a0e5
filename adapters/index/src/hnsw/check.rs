//! After the build: what would others find? 200 searches, walked as hnswlib and FAISS walk, beside the exact answers.
//!
//! Bulk building fails in silence on some data: of five equal vectors each holds on to the four others, and a descent that
//! ends there sees nothing else. Our own search starts at the entry too and does not show it. So the sample decides:
//!
//! 1. At least nine of ten are found with an `ef` of 100, and nobody is left with fewer than `k`: sound.
//! 2. Fewer, but a search of a hundredth of all finds them: the data is hard, the graph is sound. Without structure in
//!    128 dimensions hnswlib's own graph does no better.
//! 3. Else all nodes are inserted anew, one by one ([`insert`](super::insert)), and the same sample is asked again. The
//!    better graph stays, and its maker is told in [`Outcome`].

use super::graph::Graph;
use super::search::{Scratch, Walk};
use super::{copies, insert, reach};
use crate::bulk::rows::Rows;
use crate::crew;
use crate::distance::Kernel;
use crate::draw::Draw;
use crate::engine::{BuildError, Progress};
use crate::sample;
use crate::vectors::unit_rows;
use crate::{IndexSpec, Metric};

/// Searches of a sample.
pub(crate) const QUERIES: usize = 200;
/// Searches that one thread does at a time.
const GROUP: usize = 8;
/// Neighbours asked for.
const K: usize = 10;
/// Candidates of a search.
const EF: usize = 100;
/// The least share of true neighbours that a sound graph finds.
const LEAST: f64 = 0.9;
/// Draws of rows, in the hope for different ones: a thousand equal rows would be found, and hide that others are not.
const TRIES: usize = 10 * QUERIES;
/// Queries lie on a row, and so far from it towards another one.
const AWAY: [f32; 4] = [0.0, 0.01, 0.03, 0.1];
/// Bytes of rows that stay in a cache while a group of queries passes over them.
const BLOCK: usize = 128 << 10;
/// Rounding may move a distance so far, relative to it.
const ROUNDING: f32 = 1e-6;

/// What a sample of searches found in a graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    /// The share of true neighbours with an `ef` of 100.
    pub(crate) recall: f64,
    /// The share with a much wider search; not known where that of above is enough.
    pub(crate) wide: Option<f64>,
    /// Searches that found fewer neighbours than they asked for: hnswlib raises an error.
    pub(crate) short: usize,
}

impl Found {
    fn sound(self) -> bool {
        self.short == 0 && self.recall.max(self.wide.unwrap_or(0.0)) >= LEAST
    }

    /// Whether the other one serves its users better.
    fn worse_than(self, other: Self) -> bool {
        let rank = |found: Self| found.recall + found.wide.unwrap_or(found.recall);
        self.short > other.short || self.short == other.short && rank(self) < rank(other)
    }
}

/// Which graph a build ends with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    /// What is found in it.
    pub(crate) found: Found,
    /// Where nodes were inserted one by one: whether that graph stayed, and what is found in the other.
    pub(crate) inserted: Option<(bool, Found)>,
}

/// Asks the graph, and makes it anew where it fails; `None` of an empty one.
pub(super) fn mend(
    graph: &mut Graph,
    spec: &IndexSpec,
    ef_construction: usize,
    firsts: &[u32],
    progress: &mut Progress<'_>,
) -> Result<Option<Outcome>, BuildError> {
    if graph.len() == 0 {
        return Ok(None);
    }
    let kernel = Kernel::of(spec.metric);
    let sample = Sample::draw(graph, spec, kernel, &mut progress.part(0.0, 0.3))?;
    let bulk = sample.ask(graph, kernel, &mut progress.part(0.3, 0.4))?;
    if bulk.sound() {
        return Ok(Some(Outcome { found: bulk, inserted: None }));
    }
    let links = graph.unlink();
    let distinct = graph.len() - firsts.len();
    insert::insert_all(graph, kernel, ef_construction, spec.seed, distinct, &mut progress.part(0.4, 0.95))?;
    copies::hang_all(graph, firsts, &mut progress.part(0.95, 0.95))?;
    reach::connect_all(graph, kernel, EF, &mut progress.part(0.95, 0.95))?;
    let inserted = sample.ask(graph, kernel, &mut progress.part(0.95, 1.0))?;
    if inserted.worse_than(bulk) {
        graph.relink(links);
        return Ok(Some(Outcome { found: bulk, inserted: Some((false, inserted)) }));
    }
    Ok(Some(Outcome { found: inserted, inserted: Some((true, bulk)) }))
}

/// Queries, and how far their true neighbours are.
struct Sample {
    dim: usize,
    k: usize,
    queries: Vec<f32>,
    /// How far the last true neighbour of each is: whatever is as near counts, for equal vectors are worth the same.
    farthest: Vec<f32>,
}

impl Sample {
    fn draw(
        graph: &Graph,
        spec: &IndexSpec,
        kernel: Kernel,
        progress: &mut Progress<'_>,
    ) -> Result<Self, BuildError> {
        let (dim, n) = (graph.dim, graph.len());
        let mut draw = Draw::new(spec.seed, *b"hnsw ask");
        let mut queries = Vec::with_capacity(QUERIES * dim);
        let mut drawn: Vec<&[f32]> = Vec::with_capacity(QUERIES);
        let mut left = TRIES;
        while drawn.len() < QUERIES {
            let [row, other] = [draw.below(n), draw.below(n)].map(|row| graph.vector(row as u32));
            left = left.saturating_sub(1);
            if left > 0 && drawn.contains(&row) {
                continue;
            }
            let away = AWAY[drawn.len() % AWAY.len()];
            drawn.push(row);
            queries.extend(row.iter().zip(other).map(|(value, other)| value + away * (other - value)));
        }
        if spec.metric == Metric::Cosine {
            queries = unit_rows(&queries, dim);
        }
        let k = K.min(n);
        let mut farthest = vec![0.0; QUERIES];
        let rows = Rows { dim, data: &graph.data };
        let groups = queries.chunks(GROUP * dim).zip(farthest.chunks_mut(GROUP));
        crew::each(groups, progress, Vec::new, |distances, (queries, farthest)| {
            exact(rows, kernel, queries, k, farthest, distances);
        })?;
        Ok(Self { dim, k, queries, farthest })
    }

    /// What a graph finds, and by a wider search if that is not enough.
    fn ask(&self, graph: &Graph, kernel: Kernel, progress: &mut Progress<'_>) -> Result<Found, BuildError> {
        let (recall, short) = self.searched(graph, kernel, EF, &mut progress.part(0.0, 0.5))?;
        let mut found = Found { recall, wide: None, short };
        if !found.sound() {
            let ef = (graph.len() / 100).max(10 * EF);
            found.wide = Some(self.searched(graph, kernel, ef, &mut progress.part(0.5, 1.0))?.0);
        }
        Ok(found)
    }

    /// The share of true neighbours found, and how many searches found too few of any.
    fn searched(
        &self,
        graph: &Graph,
        kernel: Kernel,
        ef: usize,
        progress: &mut Progress<'_>,
    ) -> Result<(f64, usize), BuildError> {
        let Some(entry) = graph.entry else { return Ok((1.0, 0)) };
        let mut found = vec![(0, 0); QUERIES];
        let queries = self.queries.chunks_exact(self.dim).zip(&self.farthest).zip(&mut found);
        crew::each(queries, progress, Scratch::default, |scratch, ((query, &farthest), out)| {
            let walk = Walk { graph, kernel, query };
            let start = walk.descend_alone(walk.key(entry), 0, scratch);
            walk.widen_strictly(&[start], 0, ef, scratch);
            let hits = scratch.found.iter().filter(|key| key.distance() <= farthest).count();
            *out = (hits.min(self.k), scratch.found.len());
        })?;
        let hits: usize = found.iter().map(|(hits, _)| hits).sum();
        let short = found.iter().filter(|(_, all)| *all < self.k).count();
        Ok((hits as f64 / (QUERIES * self.k) as f64, short))
    }
}

/// How far the `k`-th nearest row of each query is, and what rounding may add.
fn exact(
    rows: Rows<'_>,
    kernel: Kernel,
    queries: &[f32],
    k: usize,
    farthest: &mut [f32],
    distances: &mut Vec<f32>,
) {
    let mut near = vec![Vec::with_capacity(8 * k); farthest.len()];
    let block = (BLOCK / 4 / rows.dim).max(1) * rows.dim;
    for block in rows.data.chunks(block) {
        for (query, near) in queries.chunks_exact(rows.dim).zip(&mut near) {
            kernel.all(query, block, distances);
            let mut last = sample::last(near, k);
            for &distance in &*distances {
                if distance < last {
                    near.push(distance);
                    if near.len() == 8 * k {
                        last = sample::last(near, k);
                    }
                }
            }
        }
    }
    for (out, near) in farthest.iter_mut().zip(&mut near) {
        let last = sample::last(near, k);
        *out = last + ROUNDING * last.abs();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    const GOOD: Found = Found { recall: 0.95, wide: None, short: 0 };

    #[test]
    fn sound_is_nine_of_ten_and_nobody_without_an_answer() {
        assert!(GOOD.sound() && Found { recall: 0.5, wide: Some(0.9), short: 0 }.sound());
        let poor = Found { recall: 0.5, wide: Some(0.6), short: 0 };
        assert!(!poor.sound() && !Found { short: 1, ..GOOD }.sound());
        assert!(!Found { recall: 0.89, wide: None, short: 0 }.sound());
        assert!(poor.worse_than(GOOD) && !GOOD.worse_than(poor));
        // An error for some is worse than less for all.
        let broken = Found { recall: 0.99, wide: Some(0.99), short: 3 };
        assert!(broken.worse_than(poor) && !poor.worse_than(broken) && !poor.worse_than(poor));
    }

    #[test]
    fn the_exact_answer_is_what_sorting_everything_gives() {
        // More rows than a block, and many of one distance.
        let (dim, n, k) = (40, 2_000, 10);
        let mut draw = Draw::new(1, *b"test    ");
        let data: Vec<f32> = (0..n * dim).map(|_| draw.below(3) as f32).collect();
        let queries = data[..7 * dim].to_vec();
        let mut farthest = [0.0; 7];
        exact(Rows { dim, data: &data }, Kernel::detect(), &queries, k, &mut farthest, &mut Vec::new());
        for (query, farthest) in queries.chunks_exact(dim).zip(farthest) {
            let mut all = Vec::new();
            Kernel::detect().all(query, &data, &mut all);
            all.sort_by(f32::total_cmp);
            assert!(all[k - 1] <= farthest && farthest < all[k - 1] + 0.5, "{farthest}: {:?}", &all[..k]);
        }
        assert_eq!(sample::last(&mut vec![3.0, 1.0], 3), f32::INFINITY);
    }

    #[test]
    fn a_graph_that_nobody_can_walk_is_made_anew_and_of_two_the_better_one_stays() {
        let n = 1_500;
        let mut draw = Draw::new(2, *b"test    ");
        let data: Vec<f32> = (0..n * 4).map(|_| draw.below(1_000) as f32).collect();
        let mut graph = Graph::new(4, 8, (0..n as u64).collect(), data, &vec![0; n]);
        graph.entry = Some(0);
        let mut heard = |_| ControlFlow::Continue(());
        let spec = IndexSpec::hnsw();
        // No links at all: whoever starts finds the entry, and nothing else.
        let mended = mend(&mut graph, &spec, 50, &[], &mut Progress::new(&mut heard)).unwrap().unwrap();
        let Some((true, before)) = mended.inserted else { panic!("{mended:?}") };
        assert!(before.short == QUERIES && before.recall < 0.01, "{before:?}");
        assert!(mended.found.sound() && mended.found.recall > 0.95, "{mended:?}");
        let again = mend(&mut graph, &spec, 50, &[], &mut Progress::new(&mut heard)).unwrap().unwrap();
        assert_eq!(again, Outcome { inserted: None, ..mended });
    }
}
