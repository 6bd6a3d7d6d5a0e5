//! Walking the graph: down the layers, then a best-first search of the `ef` nearest (algorithm 2 of the paper).
//!
//! Every walk ends: on no layer is a node visited twice.

use super::graph::Graph;
use crate::distance::{Kernel, prefetch};
use crate::key::Key;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Nodes kept on each of the upper layers.
const BEAM: usize = 4;

/// Memory of a walk, kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) visited: Visited,
    pub(super) frontier: BinaryHeap<Reverse<Key>>,
    /// What [`Walk::widen`] found, farthest on top.
    pub(super) found: BinaryHeap<Key>,
    pub(super) fresh: Vec<u32>,
    pub(super) distances: Vec<f32>,
}

/// One query in one graph.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk<'a> {
    pub(super) graph: &'a Graph,
    pub(super) kernel: Kernel,
    pub(super) query: &'a [f32],
}

impl Walk<'_> {
    /// A node and how far it is.
    pub(super) fn key(&self, node: u32) -> Key {
        Key::new(self.kernel.distance(self.query, self.graph.vector(node)), node)
    }

    /// Leaves in `scratch.found` some of the nearest nodes of layer 1; nothing where there is no such layer.
    ///
    /// The paper keeps one node of each layer. That node may be nearer to the query than all that it is linked to and
    /// still lie in another cluster, at whose borders the layers below end too; four found the way out each time.
    pub(super) fn descend(&self, entry: u32, scratch: &mut Scratch) {
        scratch.found.clear();
        let mut starts = vec![self.key(entry)];
        for level in (1..=self.graph.level(entry)).rev() {
            self.widen(&starts, level, BEAM, scratch, |_| true);
            starts.clear();
            starts.extend(scratch.found.iter());
        }
    }

    /// Leaves in `scratch.found` the `ef` nearest nodes for which `keep` is true, of those reached from `starts`.
    pub(super) fn widen(
        &self,
        starts: &[Key],
        level: usize,
        ef: usize,
        scratch: &mut Scratch,
        keep: impl Fn(u32) -> bool,
    ) {
        let Scratch { visited, frontier, found, fresh, distances } = scratch;
        visited.clear(self.graph.len());
        frontier.clear();
        found.clear();
        for &start in starts {
            if visited.insert(start.position()) {
                frontier.push(Reverse(start));
                if keep(start.position()) && found.len() < ef {
                    found.push(start);
                }
            }
        }
        while let Some(Reverse(nearest)) = frontier.pop() {
            let full = found.len() == ef;
            if full && found.peek().is_some_and(|farthest| nearest > *farthest) {
                break;
            }
            if let Some(Reverse(next)) = frontier.peek() {
                prefetch(self.graph.block(next.position(), level));
            }
            let links = self.graph.links(nearest.position(), level);
            fresh.clear();
            fresh.extend(links.iter().filter(|link| visited.insert(**link)));
            self.kernel.rows(self.query, &self.graph.data, fresh, distances);
            for (&node, &distance) in fresh.iter().zip(&*distances) {
                let key = Key::new(distance, node);
                if found.len() == ef {
                    let Some(mut farthest) = found.peek_mut() else { continue };
                    if key < *farthest {
                        frontier.push(Reverse(key));
                        if keep(node) {
                            *farthest = key;
                        }
                    }
                } else {
                    frontier.push(Reverse(key));
                    if keep(node) {
                        found.push(key);
                    }
                }
            }
        }
    }
}

/// A set of nodes that is emptied by counting up, not by writing.
#[derive(Debug, Default)]
pub(super) struct Visited {
    epoch: u32,
    stamps: Vec<u32>,
}

impl Visited {
    pub(super) fn clear(&mut self, nodes: usize) {
        self.stamps.resize(nodes, 0);
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.stamps.fill(0);
            self.epoch = 1;
        }
    }

    /// Answers whether the node is new.
    pub(super) fn insert(&mut self, node: u32) -> bool {
        let stamp = &mut self.stamps[node as usize];
        let new = *stamp != self.epoch;
        *stamp = self.epoch;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visited_forgets_even_when_the_epoch_wraps() {
        let mut visited = Visited::default();
        visited.clear(2);
        assert!(visited.insert(0) && !visited.insert(0) && visited.insert(1));
        visited.epoch = u32::MAX;
        visited.insert(1);
        visited.clear(2);
        assert!(visited.insert(0) && visited.insert(1) && !visited.insert(1));
    }
}
