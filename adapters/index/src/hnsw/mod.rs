//! HNSW: a hierarchical navigable small world graph (Malkov, Yashunin 2016), compatible with hnswlib.
//!
//! Every vector is a node of layer 0, one in `m` of layer 1, one in `m * m` of layer 2, and so on. A search walks
//! down from the top, keeping the few best of each layer, and then widens on layer 0 to the `ef` best. A node holds at
//! most `m` links on upper layers and `2 * m` on layer 0.
//!
//! `graph` is the flat memory, `build` fills it, `search` walks, `format` is the file. How the links of a layer are found is
//! in `bulk`; of equal vectors one is linked, and the `copies` hang below it; under an inner product all are linked to the
//! `longest`; `reach` sees to it that nothing is out of reach. `check` asks the finished graph as `peer`s would, and where
//! they would not find their neighbours, `insert` makes it anew.
//!
//! Invariants: every link of a layer leads to a node of that layer; the entry is a node of the top layer; in a graph
//! built here every node can be reached from every other one on layer 0.

mod build;
mod check;
mod copies;
mod faiss;
mod format;
mod from_faiss;
mod graph;
mod insert;
mod longest;
mod look;
mod peer;
mod reach;
mod search;

use crate::distance::Kernel;
use crate::searcher::{Neighbor, nearest};
use graph::Graph;
use search::Scratch;
use std::sync::{Mutex, PoisonError};

pub(crate) use build::{build, leaves};
pub(crate) use check::{Found, Outcome, QUERIES};
pub(crate) use from_faiss::begins as is_faiss;

/// A built graph, and the memory its searches reuse.
#[derive(Debug)]
pub(crate) struct Hnsw {
    graph: Graph,
    idle: Mutex<Vec<Scratch>>,
}

impl Hnsw {
    fn new(graph: Graph) -> Self {
        Self { graph, idle: Mutex::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.graph.len()
    }

    pub(crate) fn dim(&self) -> usize {
        self.graph.dim
    }

    pub(crate) fn search(
        &self,
        kernel: Kernel,
        query: &[f32],
        k: usize,
        ef: usize,
        keep: &dyn Fn(u64) -> bool,
    ) -> Vec<Neighbor> {
        let Some(entry) = self.graph.entry else { return Vec::new() };
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = idle().pop().unwrap_or_default();
        let walk = search::Walk { graph: &self.graph, kernel, query };
        walk.descend(entry, &mut scratch);
        // Every node is reachable from the entry, not from where the descent ends.
        let mut starts: Vec<_> = scratch.found.drain().collect();
        starts.push(walk.key(entry));
        let id = |node: u32| self.graph.ids[node as usize];
        walk.widen(&starts, 0, ef.max(k), &mut scratch, |node| keep(id(node)));
        let found =
            scratch.found.drain().map(|key| Neighbor { id: id(key.position()), distance: key.distance() });
        let answer = nearest(found.collect(), k);
        idle().push(scratch);
        answer
    }
}
