//! After the last insertion: no node is out of reach.
//!
//! Pruning may drop the last link to a node. It is rare among different vectors, but of a thousand equal vectors
//! only the first few dozen keep links to them, and no search would ever see the rest. So a tree is grown from
//! the entry over the links of layer 0, and whatever it misses is linked from the nearest node that it holds,
//! in place of a link the tree does not need.

use super::graph::Graph;
use super::search::{Scratch, Walk};
use crate::distance::Kernel;
use crate::engine::{BuildError, Progress};

const NOBODY: u32 = u32::MAX;

/// Makes every node reachable from the entry on layer 0.
pub(super) fn connect_all(
    graph: &mut Graph,
    kernel: Kernel,
    ef: usize,
    progress: &mut Progress<'_>,
) -> Result<(), BuildError> {
    let Some(entry) = graph.entry else { return Ok(()) };
    let n = graph.len();
    let mut tree = Tree { parent: vec![NOBODY; n], last: entry };
    let mut scratch = Scratch::default();
    tree.grow(graph, entry, entry);
    for node in 0..n as u32 {
        if tree.parent[node as usize] == NOBODY {
            progress.at(n, n)?;
            // Only nodes of the tree are found, as the tree holds all that the entry reaches.
            let walk = Walk { graph, kernel, query: graph.vector(node) };
            walk.widen(&[walk.key(entry)], 0, ef, &mut scratch, |_| true);
            let mut near: Vec<_> = scratch.found.drain().collect();
            near.sort_unstable();
            let willing = near.iter().map(|key| key.position()).find(|&near| tree.adopt(graph, near, node));
            // The newest node of the tree has no children yet, so all of its links may go.
            let parent = willing.unwrap_or(tree.last);
            if willing.is_none() {
                tree.adopt(graph, parent, node);
            }
            tree.grow(graph, node, parent);
        }
    }
    Ok(())
}

/// A spanning tree of what the entry reaches; the entry is its own parent.
struct Tree {
    parent: Vec<u32>,
    last: u32,
}

impl Tree {
    /// Adds `root` below `parent`, and everything reachable from it.
    fn grow(&mut self, graph: &Graph, root: u32, parent: u32) {
        self.parent[root as usize] = parent;
        let mut waiting = vec![root];
        while let Some(node) = waiting.pop() {
            self.last = node;
            for &link in graph.links(node, 0) {
                if self.parent[link as usize] == NOBODY {
                    self.parent[link as usize] = node;
                    waiting.push(link);
                }
            }
        }
    }

    /// Links `parent` to `node` if there is room, or a link that the tree can spare; the last such link goes.
    fn adopt(&self, graph: &mut Graph, parent: u32, node: u32) -> bool {
        if graph.push_link(parent, 0, node) {
            return true;
        }
        let mut links = graph.links(parent, 0).to_vec();
        let spare = links.iter().rposition(|&link| self.parent[link as usize] != parent);
        if let Some(at) = spare {
            links[at] = node;
            graph.set_links(parent, 0, links.into_iter());
        }
        spare.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    #[test]
    fn islands_are_joined_even_where_every_node_is_full() {
        // Two rings of full nodes, and a loner; m = 2 leaves room for four links.
        let n = 41u32;
        let rows: Vec<f32> = (0..n).map(|at| at as f32).collect();
        let mut graph = Graph::new(1, 2, (0..u64::from(n)).collect(), rows, &[0; 41]);
        for node in 0..40 {
            let ring = node / 20 * 20;
            graph.set_links(node, 0, (1..5).map(|step| ring + (node + step) % 20));
        }
        graph.entry = Some(3);
        let mut heard = |_| ControlFlow::Continue(());
        connect_all(&mut graph, Kernel::detect(), 4, &mut Progress::new(&mut heard)).unwrap();
        let mut tree = Tree { parent: vec![NOBODY; 41], last: 3 };
        tree.grow(&graph, 3, 3);
        assert!(!tree.parent.contains(&NOBODY));
    }
}
