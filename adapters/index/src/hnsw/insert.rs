//! Building the graph: vectors are inserted one after the other (algorithm 1).
//!
//! Levels depend on seed and position alone, so all memory is laid out before the first insertion.

use super::graph::{Graph, levels};
use super::search::{Scratch, Walk};
use super::select::select;
use super::{Hnsw, reach};
use crate::Vectors;
use crate::distance::Kernel;
use crate::engine::{BuildError, Progress};
use crate::key::Key;

/// Insertions between two reports of progress.
const REPORT_EVERY: usize = 256;

pub(crate) fn build(
    vectors: Vectors<'_>,
    m: u32,
    ef_construction: u32,
    seed: u64,
    progress: &mut Progress<'_>,
) -> Result<Hnsw, BuildError> {
    let levels = levels(vectors.len(), m as usize, seed);
    let (ids, data) = (vectors.ids().to_vec(), vectors.data().to_vec());
    let mut builder = Builder {
        graph: Graph::new(vectors.dim(), m as usize, ids, data, &levels),
        kernel: Kernel::detect(),
        ef: ef_construction.max(m) as usize,
        scratch: Scratch::default(),
        candidates: Vec::new(),
        chosen: Vec::new(),
        pruned: Vec::new(),
        distances: Vec::new(),
    };
    for node in 0..vectors.len() {
        if node % REPORT_EVERY == 0 {
            progress.at(node, vectors.len())?;
        }
        builder.insert(node as u32);
    }
    reach::connect_all(&mut builder.graph, builder.kernel, builder.ef, progress)?;
    Ok(Hnsw::new(builder.graph))
}

struct Builder {
    graph: Graph,
    kernel: Kernel,
    ef: usize,
    scratch: Scratch,
    candidates: Vec<Key>,
    chosen: Vec<Key>,
    pruned: Vec<Key>,
    distances: Vec<f32>,
}

impl Builder {
    fn insert(&mut self, node: u32) {
        let level = self.graph.level(node);
        let Some(entry) = self.graph.entry else {
            self.graph.entry = Some(node);
            return;
        };
        let top = self.graph.level(entry);
        let walk = Walk { graph: &self.graph, kernel: self.kernel, query: self.graph.vector(node) };
        let mut start = walk.descend(entry, top, level, &mut self.scratch);
        for level in (0..=level.min(top)).rev() {
            let walk = Walk { graph: &self.graph, kernel: self.kernel, query: self.graph.vector(node) };
            walk.widen(&[start], level, self.ef, &mut self.scratch, |_| true);
            self.candidates.clear();
            self.candidates.extend(self.scratch.found.drain());
            self.candidates.sort_unstable();
            start = self.candidates[0];
            self.connect(node, level);
        }
        if level > top {
            self.graph.entry = Some(node);
        }
    }

    /// Links `node` with the best of `candidates`, both ways.
    fn connect(&mut self, node: u32, level: usize) {
        select(&self.graph, self.kernel, &self.candidates, self.graph.m, &mut self.chosen);
        self.graph.set_links(node, level, self.chosen.iter().map(|key| key.position()));
        for at in 0..self.chosen.len() {
            let (neighbor, distance) = (self.chosen[at].position(), self.chosen[at].distance());
            if !self.graph.push_link(neighbor, level, node) {
                self.prune(neighbor, level, Key::new(distance, node));
            }
        }
    }

    /// Chooses the links of a full `node` anew, with `newcomer` among the candidates.
    fn prune(&mut self, node: u32, level: usize, newcomer: Key) {
        let links = self.graph.links(node, level);
        self.kernel.l2_rows(self.graph.vector(node), &self.graph.data, links, &mut self.distances);
        self.candidates.clear();
        self.candidates.extend(links.iter().zip(&self.distances).map(|(link, d)| Key::new(*d, *link)));
        self.candidates.push(newcomer);
        self.candidates.sort_unstable();
        select(&self.graph, self.kernel, &self.candidates, self.graph.room(level), &mut self.pruned);
        self.graph.set_links(node, level, self.pruned.iter().map(|key| key.position()));
    }
}
