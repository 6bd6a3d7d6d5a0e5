//! Which candidates become links: the heuristic of algorithm 4.
//!
//! A candidate is taken only if it is nearer to the base than to every one taken before. Links then point into
//! different directions, and clusters stay connected, where the plain nearest would all lie in one place.

use super::graph::Graph;
use crate::distance::Kernel;
use crate::key::Key;

/// Picks at most `room` of `candidates`, which are sorted by distance from the base, into `chosen`.
///
/// When all fit they are all taken, as hnswlib does it: a sparse start is better linked than pruned.
pub(super) fn select(graph: &Graph, kernel: Kernel, candidates: &[Key], room: usize, chosen: &mut Vec<Key>) {
    chosen.clear();
    if candidates.len() < room {
        chosen.extend_from_slice(candidates);
        return;
    }
    for &candidate in candidates {
        if chosen.len() == room {
            return;
        }
        let vector = graph.vector(candidate.position());
        let diverse = |taken: &Key| kernel.l2(vector, graph.vector(taken.position())) >= candidate.distance();
        if chosen.iter().all(diverse) {
            chosen.push(candidate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_behind_a_taken_one_is_left_out() {
        // The base sits at 0; 1.2 lies behind 1.0, -2.0 does not.
        let graph = Graph::new(1, 2, vec![0; 3], vec![1.0, 1.2, -2.0], &[0; 3]);
        let candidates = [Key::new(1.0, 0), Key::new(1.44, 1), Key::new(4.0, 2)];
        let mut chosen = Vec::new();
        select(&graph, Kernel::detect(), &candidates, 2, &mut chosen);
        assert_eq!(chosen, [candidates[0], candidates[2]]);
        select(&graph, Kernel::detect(), &candidates, 4, &mut chosen);
        assert_eq!(chosen, candidates);
    }
}
