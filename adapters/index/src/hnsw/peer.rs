//! How hnswlib walks: in small ways other than we do, and that decides what users of our files find.
//!
//! It keeps one node of each upper layer, starts layer 0 there and nowhere else, and goes on over nodes that are nearer
//! than what it has, never over those that are as near. FAISS descends alike. So whoever checks a file for them walks so,
//! and so does insertion, which is their algorithm.

use super::graph::Graph;
use super::search::{Scratch, Walk};
use crate::key::Key;
use std::cmp::Reverse;

impl Walk<'_> {
    /// The node at which a descent from `start` ends, down to the layer above `level`.
    pub(super) fn descend_alone(&self, start: Key, level: usize, scratch: &mut Scratch) -> Key {
        let Graph { data, .. } = self.graph;
        let mut at = start;
        for level in (level + 1..=self.graph.level(start.position())).rev() {
            loop {
                let links = self.graph.links(at.position(), level);
                self.kernel.rows(self.query, data, links, &mut scratch.distances);
                let keys = links.iter().zip(&scratch.distances).map(|(node, far)| Key::new(*far, *node));
                match keys.min().filter(|nearest| nearest.distance() < at.distance()) {
                    Some(nearest) => at = nearest,
                    None => break,
                }
            }
        }
        at
    }

    /// Leaves in `scratch.found` the `ef` nearest nodes of those reached from `starts`.
    pub(super) fn widen_strictly(&self, starts: &[Key], level: usize, ef: usize, scratch: &mut Scratch) {
        let Scratch { visited, frontier, found, fresh, distances } = scratch;
        visited.clear(self.graph.len());
        frontier.clear();
        found.clear();
        for &start in starts {
            if visited.insert(start.position()) {
                frontier.push(Reverse(start));
                found.push(start);
            }
        }
        while let Some(Reverse(nearest)) = frontier.pop() {
            let farthest = found.peek().map_or(f32::INFINITY, |key| key.distance());
            if found.len() >= ef && nearest.distance() > farthest {
                break;
            }
            let links = self.graph.links(nearest.position(), level);
            fresh.clear();
            fresh.extend(links.iter().filter(|link| visited.insert(**link)));
            self.kernel.rows(self.query, &self.graph.data, fresh, distances);
            for (&node, &distance) in fresh.iter().zip(&*distances) {
                let farthest = found.peek().map_or(f32::INFINITY, |key| key.distance());
                if found.len() < ef || distance < farthest {
                    let key = Key::new(distance, node);
                    frontier.push(Reverse(key));
                    found.push(key);
                    if found.len() > ef {
                        found.pop();
                    }
                }
            }
        }
    }
}
