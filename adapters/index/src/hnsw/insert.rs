//! The graph by insertion, node by node, as the paper and hnswlib have it: slow, and good on data that defeats the bulk
//! builder, such as groups of nearly equal vectors.
//!
//! Of equal vectors one is inserted; the others hang below it as a tree. Inserted too, they would fill each other's links,
//! and nobody would find the way past ten thousand of them: neither here nor in hnswlib's own graph.
//!
//! Nodes keep their numbers, levels and entry; they are inserted in an order drawn from the seed, since the order in which
//! they lie goes from neighbour to neighbour. One thread does it: what it finds depends on all that was inserted before.

use super::graph::Graph;
use super::search::{Scratch, Walk};
use crate::distance::Kernel;
use crate::draw::Draw;
use crate::engine::{BuildError, Progress};
use crate::key::Key;
use std::cmp::Reverse;

/// Nodes inserted between two looks at whether the build is still wanted.
const LOOK: usize = 64;

/// Copies right below the one that was inserted: it needs its links for others.
const FIRST: usize = 2;

/// Links the nodes of a graph without links.
pub(super) fn insert_all(
    graph: &mut Graph,
    kernel: Kernel,
    ef: usize,
    seed: u64,
    progress: &mut Progress<'_>,
) -> Result<(), BuildError> {
    let Some(entry) = graph.entry else { return Ok(()) };
    let n = graph.len();
    progress.at(0, n)?;
    let groups = Groups::of(graph, entry);
    let mut scratch = Scratch::default();
    let order = Draw::new(seed, *b"hnsw ins").sample(n, n);
    for (done, node) in order.into_iter().map(|node| node as u32).enumerate() {
        if done.is_multiple_of(LOOK) {
            progress.at(done, n)?;
        }
        if node != entry && !groups.copy[node as usize] {
            insert(graph, kernel, ef, entry, node, &mut scratch);
        }
    }
    for group in &groups.all {
        hang(graph, group[0], &group[1..]);
    }
    progress.at(n, n)
}

/// Nodes with equal vectors.
struct Groups {
    /// Those of at least two, the one to insert first: it is on the highest layer that any of them is on.
    all: Vec<Vec<u32>>,
    /// Whether a node is one of the others.
    copy: Vec<bool>,
}

impl Groups {
    fn of(graph: &Graph, entry: u32) -> Self {
        let bits = |node: u32| graph.vector(node).iter().map(|value| value.to_bits());
        let rank = |node: u32| (node != entry, Reverse(graph.level(node)), node);
        let mut nodes: Vec<u32> = (0..graph.len() as u32).collect();
        nodes.sort_unstable_by(|&a, &b| bits(a).cmp(bits(b)).then_with(|| rank(a).cmp(&rank(b))));
        let equal = nodes.chunk_by(|&a, &b| bits(a).eq(bits(b))).filter(|group| group.len() > 1);
        let all: Vec<Vec<u32>> = equal.map(<[u32]>::to_vec).collect();
        let mut copy = vec![false; nodes.len()];
        all.iter().flat_map(|group| &group[1..]).for_each(|&node| copy[node as usize] = true);
        Self { all, copy }
    }
}

/// Hangs copies below the node that was inserted: the first two below it, `m` below each of these, and so on. A copy leads
/// to those below it, back to the one above, and to neighbours of all of them.
fn hang(graph: &mut Graph, top: u32, copies: &[u32]) {
    let (m, room) = (graph.m, graph.room(0));
    let mut around = graph.links(top, 0).to_vec();
    around.truncate(room - FIRST.min(copies.len()));
    let below_top = copies.iter().take(FIRST).copied();
    let links: Vec<u32> = around.iter().copied().chain(below_top).collect();
    graph.set_links(top, 0, links.into_iter());
    for (at, &copy) in copies.iter().enumerate() {
        let above = if at < FIRST { top } else { copies[(at - FIRST) / m] };
        let below = copies.iter().skip(FIRST + at * m).take(m).copied();
        let links: Vec<u32> = below.chain([above]).chain(around.iter().copied()).take(room).collect();
        graph.set_links(copy, 0, links.into_iter());
    }
}

fn insert(graph: &mut Graph, kernel: Kernel, ef: usize, entry: u32, node: u32, scratch: &mut Scratch) {
    let (m, level) = (graph.m, graph.level(node));
    let walk = Walk { graph, kernel, query: graph.vector(node) };
    let mut starts = vec![walk.descend_alone(walk.key(entry), level, scratch)];
    for level in (0..=level).rev() {
        let walk = Walk { graph, kernel, query: graph.vector(node) };
        walk.widen_strictly(&starts, level, ef.max(m), scratch);
        starts.clear();
        starts.extend(scratch.found.drain());
        starts.sort_unstable();
        let links = apart(graph, kernel, &starts, m);
        graph.set_links(node, level, links.iter().copied());
        for to in links {
            link_back(graph, kernel, level, to, node);
        }
    }
}

/// Links `from` to `node`; where there is no room, the links are chosen anew.
fn link_back(graph: &mut Graph, kernel: Kernel, level: usize, from: u32, node: u32) {
    if graph.push_link(from, level, node) {
        return;
    }
    let far = |to: u32| Key::new(kernel.distance(graph.vector(from), graph.vector(to)), to);
    let mut all: Vec<Key> = graph.links(from, level).iter().copied().chain([node]).map(far).collect();
    all.sort_unstable();
    let links = apart(graph, kernel, &all, graph.room(level));
    graph.set_links(from, level, links.into_iter());
}

/// Up to `room` of the nodes near a base, nearest first: each nearer to the base than to any chosen before (the
/// heuristic of the paper's algorithm 4). What is as near to one of these stays, so that copies do not hide each other.
fn apart(graph: &Graph, kernel: Kernel, near: &[Key], room: usize) -> Vec<u32> {
    let mut chosen: Vec<u32> = Vec::with_capacity(room);
    for key in near {
        let vector = graph.vector(key.position());
        let all = near.len() <= room;
        if all || chosen.iter().all(|&other| kernel.distance(vector, graph.vector(other)) >= key.distance()) {
            chosen.push(key.position());
            if chosen.len() == room {
                break;
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    fn inserted(rows: Vec<f32>, m: usize, levels: &[usize]) -> Graph {
        let mut graph = Graph::new(1, m, (0..rows.len() as u64).collect(), rows, levels);
        graph.entry = levels.iter().position(|level| Some(level) == levels.iter().max()).map(|at| at as u32);
        let mut heard = |_| ControlFlow::Continue(());
        insert_all(&mut graph, Kernel::detect(), 10, 1, &mut Progress::new(&mut heard)).unwrap();
        graph
    }

    #[test]
    fn links_point_into_different_directions_and_back() {
        // Seen from 0, both 2 and 3 lie behind 1, and -1 on the other side.
        let graph = inserted(vec![0.0, 1.0, 2.0, 3.0, -1.0], 2, &[0, 1, 0, 0, 0]);
        let near = [1, 4, 2, 3]
            .map(|node| Key::new(Kernel::detect().distance(graph.vector(0), graph.vector(node)), node));
        assert_eq!(apart(&graph, Kernel::detect(), &near, 3), [1, 4]);
        assert_eq!(apart(&graph, Kernel::detect(), &near, 1), [1]);
        assert_eq!(apart(&graph, Kernel::detect(), &near, 4), [1, 4, 2, 3], "there is room for all");
        for node in 0..5 {
            assert!(!graph.links(node, 0).is_empty() && !graph.links(node, 0).contains(&node));
        }
    }

    #[test]
    fn copies_hang_below_one_of_them_and_each_is_met_on_the_way() {
        // Number 3 is on an upper layer, so it is the one that is inserted.
        let mut rows = vec![5.0; 40];
        rows.extend([1.0, 2.0, 3.0, 9.0]);
        let mut levels = vec![0; 44];
        levels[3] = 1;
        let graph = inserted(rows, 2, &levels);
        for start in 0..44 {
            let mut met = [false; 44];
            let mut waiting = vec![start];
            while let Some(node) = waiting.pop() {
                if !std::mem::replace(&mut met[node as usize], true) {
                    waiting.extend(graph.links(node, 0));
                }
            }
            assert!(met[..40].iter().all(|met| *met), "from {start}: {met:?}");
        }
        assert!(graph.links(3, 0).iter().any(|&node| node >= 40), "they do not fill its links");
    }
}
