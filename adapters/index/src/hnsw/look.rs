//! A finished graph, looked at from outside: what hnswlib's search finds in it, and who is out of its reach.

use super::Hnsw;
use super::graph::Graph;
use super::search::{Scratch, Walk};
use crate::distance::Kernel;
use crate::searcher::{Neighbor, Reach, nearest};

impl Hnsw {
    pub(crate) fn ids(&self) -> &[u64] {
        &self.graph.ids
    }

    pub(crate) fn vectors(&self) -> &[f32] {
        &self.graph.data
    }

    /// Searches as hnswlib and FAISS do.
    pub(crate) fn search_as_peers(
        &self,
        kernel: Kernel,
        query: &[f32],
        k: usize,
        ef: usize,
    ) -> Vec<Neighbor> {
        let Some(entry) = self.graph.entry else { return Vec::new() };
        let walk = Walk { graph: &self.graph, kernel, query };
        let mut scratch = Scratch::default();
        let start = walk.descend_alone(walk.key(entry), 0, &mut scratch);
        walk.widen_strictly(&[start], 0, ef.max(k), &mut scratch);
        let neighbor = |key: crate::key::Key| Neighbor {
            id: self.graph.ids[key.position() as usize],
            distance: key.distance(),
        };
        nearest(scratch.found.into_iter().map(neighbor).collect(), k)
    }

    pub(crate) fn reach(&self) -> Reach {
        let graph = &self.graph;
        let Some(entry) = graph.entry else { return Reach { unreached: 0, blind: 0 } };
        let n = graph.len();
        let reached = walked(n, entry, |node| graph.links(node, 0));
        // Who leads to the entry sees all that the entry sees.
        let back = backwards(graph);
        let sees = walked(n, entry, |node| back.of(node));
        let blind = (0..n as u32).filter(|&node| graph.level(node) > 0 && !sees[node as usize]).count();
        Reach { unreached: reached.iter().filter(|reached| !**reached).count(), blind }
    }
}

/// Which of `n` nodes a walk from `start` comes to.
fn walked<'a>(n: usize, start: u32, links: impl Fn(u32) -> &'a [u32]) -> Vec<bool> {
    let mut met = vec![false; n];
    met[start as usize] = true;
    let mut waiting = vec![start];
    while let Some(node) = waiting.pop() {
        for &link in links(node) {
            if !std::mem::replace(&mut met[link as usize], true) {
                waiting.push(link);
            }
        }
    }
    met
}

/// Who leads to each node on layer 0.
struct Backwards {
    starts: Vec<usize>,
    from: Vec<u32>,
}

impl Backwards {
    fn of(&self, node: u32) -> &[u32] {
        &self.from[self.starts[node as usize]..self.starts[node as usize + 1]]
    }
}

fn backwards(graph: &Graph) -> Backwards {
    let nodes = 0..graph.len() as u32;
    let mut starts = vec![0; graph.len() + 1];
    for link in nodes.clone().flat_map(|node| graph.links(node, 0)) {
        starts[*link as usize + 1] += 1;
    }
    for node in 0..graph.len() {
        starts[node + 1] += starts[node];
    }
    let (mut ends, mut from) = (starts.clone(), vec![0; starts[graph.len()]]);
    for node in nodes {
        for &link in graph.links(node, 0) {
            from[ends[link as usize]] = node;
            ends[link as usize] += 1;
        }
    }
    Backwards { starts, from }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes on a line, each leading to the next one; some are on layer 1, the last is the entry's way back.
    fn line(levels: &[usize], back: bool) -> Hnsw {
        let n = levels.len();
        let rows = (0..n).map(|at| at as f32).collect();
        let mut graph = Graph::new(1, 2, (0..n as u64).collect(), rows, levels);
        for node in 0..n as u32 - 1 {
            graph.set_links(node, 0, [node + 1].into_iter());
        }
        if back {
            graph.set_links(n as u32 - 1, 0, [0].into_iter());
        }
        graph.entry = levels.iter().position(|level| *level > 0).map(|node| node as u32);
        Hnsw::new(graph)
    }

    #[test]
    fn who_is_out_of_reach_and_who_sees_too_little_is_counted() {
        assert_eq!(line(&[1, 0, 0, 1], true).reach(), Reach { unreached: 0, blind: 0 });
        // Nobody leads back: from the last one nothing is seen.
        assert_eq!(line(&[1, 0, 0, 1], false).reach(), Reach { unreached: 0, blind: 1 });
        // The entry is the second, so the first is out of reach.
        assert_eq!(line(&[0, 1, 0, 0], false).reach(), Reach { unreached: 1, blind: 0 });
    }
}
