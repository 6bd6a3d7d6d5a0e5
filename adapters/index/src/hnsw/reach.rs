//! After the last link: on layer 0 every node can be reached from every other one.
//!
//! Pruning may drop the last link to a node, or the last one out of a tight group. So a tree is grown from the entry over
//! the links of layer 0, and whatever it misses is linked from the nearest node that it holds: that is the way to every
//! node. For the way back another tree is grown against the direction of the links, and whatever that misses is linked to
//! the nearest node that it holds. hnswlib and FAISS start layer 0 wherever their descent ended, so both ways count.
//!
//! Where there is no room, a link goes that the first tree does not need.

use super::graph::Graph;
use super::search::{Scratch, Walk};
use crate::bulk::prune::Lists;
use crate::distance::Kernel;
use crate::engine::{BuildError, Progress};
use std::collections::{HashSet, VecDeque};

const NOBODY: u32 = u32::MAX;

/// Makes every node reachable from every other one on layer 0.
pub(super) fn connect_all(
    graph: &mut Graph,
    kernel: Kernel,
    ef: usize,
    progress: &mut Progress<'_>,
) -> Result<(), BuildError> {
    let Some(entry) = graph.entry else { return Ok(()) };
    let n = graph.len();
    let mut near = Near { kernel, entry, ef, scratch: Scratch::default() };
    let mut there = Tree { parent: vec![NOBODY; n], last: entry };
    there.grow(entry, entry, |node| graph.links(node, 0));
    for node in 0..n as u32 {
        if !there.holds(node) {
            progress.at(n, n)?;
            // Only nodes of the tree are found, as the tree holds all that the entry reaches.
            let willing = near.of(graph, node).into_iter().find(|&near| there.adopt(graph, near, node));
            // The newest node of the tree has no children yet, so all of its links may go.
            let parent = willing.unwrap_or(there.last);
            if willing.is_none() {
                there.adopt(graph, parent, node);
            }
            there.grow(node, parent, |node| graph.links(node, 0));
        }
    }
    lead_back(graph, &there, &mut near, progress)
}

/// Makes the entry reachable from every node, which the entry reaches by the tree.
fn lead_back(
    graph: &mut Graph,
    there: &Tree,
    near: &mut Near,
    progress: &mut Progress<'_>,
) -> Result<(), BuildError> {
    let n = graph.len();
    // Links change below, but none of a node that leads back already, and others are not looked at.
    let naming = Lists::reverse(n, |node| graph.links(node as u32, 0));
    let mut back = Tree { parent: vec![NOBODY; n], last: near.entry };
    back.grow(near.entry, near.entry, |node| naming.of(node as usize));
    for node in 0..n as u32 {
        if !back.holds(node) {
            progress.at(n, n)?;
            let to = near.of(graph, node).into_iter().find(|&near| back.holds(near)).unwrap_or(near.entry);
            let from = there.adopt_below(graph, node, to);
            back.grow(from, to, |node| naming.of(node as usize));
        }
    }
    Ok(())
}

/// Nodes near another one, of those that the entry reaches.
struct Near {
    kernel: Kernel,
    entry: u32,
    ef: usize,
    scratch: Scratch,
}

impl Near {
    fn of(&mut self, graph: &Graph, node: u32) -> Vec<u32> {
        let walk = Walk { graph, kernel: self.kernel, query: graph.vector(node) };
        walk.widen(&[walk.key(self.entry)], 0, self.ef, &mut self.scratch, |_| true);
        let mut near: Vec<_> = self.scratch.found.drain().collect();
        near.sort_unstable();
        near.into_iter().map(|key| key.position()).collect()
    }
}

/// A spanning tree of what the entry reaches, or of what reaches it; the entry is its own parent.
struct Tree {
    parent: Vec<u32>,
    last: u32,
}

impl Tree {
    fn holds(&self, node: u32) -> bool {
        self.parent[node as usize] != NOBODY
    }

    /// Adds `root` below `parent`, and everything that `next` leads to from there.
    fn grow<'l>(&mut self, root: u32, parent: u32, next: impl Fn(u32) -> &'l [u32]) {
        self.parent[root as usize] = parent;
        let mut waiting = vec![root];
        while let Some(node) = waiting.pop() {
            self.last = node;
            for &next in next(node) {
                if !self.holds(next) {
                    self.parent[next as usize] = node;
                    waiting.push(next);
                }
            }
        }
    }

    /// Links `from` to `to`, or one of those it leads to; answers which. A leaf of the tree can spare all of its links, and
    /// there is one among them.
    fn adopt_below(&self, graph: &mut Graph, from: u32, to: u32) -> u32 {
        let (mut seen, mut waiting) = (HashSet::from([from]), VecDeque::from([from]));
        while let Some(node) = waiting.pop_front() {
            if self.adopt(graph, node, to) {
                return node;
            }
            waiting.extend(graph.links(node, 0).iter().copied().filter(|link| seen.insert(*link)));
        }
        unreachable!("a tree ends in leaves")
    }

    /// Links `from` to `to` if there is room, or a link that the tree can spare; the last such link goes.
    fn adopt(&self, graph: &mut Graph, from: u32, to: u32) -> bool {
        if graph.push_link(from, 0, to) {
            return true;
        }
        let mut links = graph.links(from, 0).to_vec();
        let spare = links.iter().rposition(|&link| self.parent[link as usize] != from);
        if let Some(at) = spare {
            links[at] = to;
            graph.set_links(from, 0, links.into_iter());
        }
        spare.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    fn reached(graph: &Graph, from: u32) -> usize {
        let mut tree = Tree { parent: vec![NOBODY; graph.len()], last: from };
        tree.grow(from, from, |node| graph.links(node, 0));
        tree.parent.iter().filter(|&&parent| parent != NOBODY).count()
    }

    fn connected(mut graph: Graph) {
        let mut heard = |_| ControlFlow::Continue(());
        connect_all(&mut graph, Kernel::detect(), 4, &mut Progress::new(&mut heard)).unwrap();
        for node in 0..graph.len() as u32 {
            assert_eq!(reached(&graph, node), graph.len(), "from {node}");
        }
    }

    #[test]
    fn islands_are_joined_both_ways_even_where_every_node_is_full() {
        // Two rings of full nodes, and a loner; m = 2 leaves room for four links.
        let n = 41u32;
        let rows: Vec<f32> = (0..n).map(|at| at as f32).collect();
        let mut graph = Graph::new(1, 2, (0..u64::from(n)).collect(), rows, &[0; 41]);
        for node in 0..40 {
            let ring = node / 20 * 20;
            graph.set_links(node, 0, (1..5).map(|step| ring + (node + step) % 20));
        }
        graph.entry = Some(3);
        connected(graph);
    }

    #[test]
    fn whoever_is_led_to_finds_the_way_back() {
        // A tree of full nodes: everything can be reached from the top, and nothing leads up.
        let n = 1 + 4 + 16 + 64u32;
        let rows: Vec<f32> = (0..n).map(|at| at as f32).collect();
        let mut graph = Graph::new(1, 2, (0..u64::from(n)).collect(), rows, &vec![0; n as usize]);
        for node in 0..21 {
            graph.set_links(node, 0, (1..5).map(|child| 4 * node + child));
        }
        graph.entry = Some(0);
        connected(graph);
    }
}
