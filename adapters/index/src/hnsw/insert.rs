//! The graph by insertion, node by node, as the paper and hnswlib have it: slow, and good on data that defeats the bulk
//! builder, such as groups of nearly equal vectors.
//!
//! Equal vectors are inserted once; see [`copies`](super::copies).
//!
//! Nodes keep their numbers, levels and entry; they are inserted in an order drawn from the seed, since the order in which
//! they lie goes from neighbour to neighbour. One thread does it: what it finds depends on all that was inserted before.

use super::graph::Graph;
use super::search::{Scratch, Walk};
use crate::distance::Kernel;
use crate::draw::Draw;
use crate::engine::{BuildError, Progress};
use crate::key::Key;

/// Nodes inserted between two looks at whether the build is still wanted.
const LOOK: usize = 64;

/// Links the first `distinct` nodes of a graph without links.
pub(super) fn insert_all(
    graph: &mut Graph,
    kernel: Kernel,
    ef: usize,
    seed: u64,
    distinct: usize,
    progress: &mut Progress<'_>,
) -> Result<(), BuildError> {
    let Some(entry) = graph.entry else { return Ok(()) };
    let mut scratch = Scratch::default();
    let order = Draw::new(seed, *b"hnsw ins").sample(distinct, distinct);
    for (done, node) in order.into_iter().map(|node| node as u32).enumerate() {
        if done.is_multiple_of(LOOK) {
            progress.at(done, distinct)?;
        }
        if node != entry {
            insert(graph, kernel, ef, entry, node, &mut scratch);
        }
    }
    progress.at(distinct, distinct)
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
        let n = graph.len();
        insert_all(&mut graph, Kernel::detect(), 10, 1, n, &mut Progress::new(&mut heard)).unwrap();
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
}
