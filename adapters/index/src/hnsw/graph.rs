//! The graph in flat memory: blocks of links as hnswlib has them, vectors and ids in rows.
//!
//! A block is a count followed by room for the layer's most links. The blocks of layer 0 lie one after the other;
//! those of the upper layers follow each other node by node, layer 1 first. Unused room is zero, so that equal
//! graphs are equal bytes.

use crate::draw::Draw;

/// No node is on a higher layer: with `m >= 2` a draw of 64 bits reaches no further.
pub(super) const MAX_LEVEL: usize = 64;

#[derive(Debug)]
pub(super) struct Graph {
    pub(super) dim: usize,
    pub(super) m: usize,
    pub(super) ids: Vec<u64>,
    pub(super) data: Vec<f32>,
    /// Where the search starts; `None` when there is no node.
    pub(super) entry: Option<u32>,
    bottom: Vec<u32>,
    upper: Vec<u32>,
    /// First block of each node in `upper`, and one past the last.
    upper_at: Vec<usize>,
}

/// The links of a graph without its nodes.
#[derive(Debug)]
pub(super) struct AllLinks {
    bottom: Vec<u32>,
    upper: Vec<u32>,
}

impl Graph {
    /// Nodes without links or entry, on the given levels.
    pub(super) fn new(dim: usize, m: usize, ids: Vec<u64>, data: Vec<f32>, levels: &[usize]) -> Self {
        debug_assert!(ids.len() == levels.len() && data.len() == ids.len() * dim);
        let mut upper_at = Vec::with_capacity(levels.len() + 1);
        upper_at.push(0);
        upper_at.extend(levels.iter().scan(0, |end, level| {
            *end += level;
            Some(*end)
        }));
        let blocks = levels.iter().sum::<usize>();
        let bottom = vec![0; ids.len() * (1 + 2 * m)];
        Self { dim, m, ids, data, entry: None, bottom, upper: vec![0; blocks * (1 + m)], upper_at }
    }

    /// Replaces all links of layer 0 by blocks; nodes behind the last have none.
    pub(super) fn set_bottom(&mut self, mut blocks: Vec<u32>) {
        debug_assert!(blocks.len() <= self.bottom.len());
        let len = self.bottom.len();
        self.bottom = Vec::new();
        blocks.resize(len, 0);
        self.bottom = blocks;
    }

    /// Takes away all links of all layers.
    pub(super) fn unlink(&mut self) -> AllLinks {
        let none = AllLinks { bottom: vec![0; self.bottom.len()], upper: vec![0; self.upper.len()] };
        self.relink(none)
    }

    /// Puts back links that were taken away; answers those that were there meanwhile.
    pub(super) fn relink(&mut self, links: AllLinks) -> AllLinks {
        debug_assert_eq!((links.bottom.len(), links.upper.len()), (self.bottom.len(), self.upper.len()));
        let bottom = std::mem::replace(&mut self.bottom, links.bottom);
        AllLinks { bottom, upper: std::mem::replace(&mut self.upper, links.upper) }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The highest layer of a node.
    pub(super) fn level(&self, node: u32) -> usize {
        self.upper_at[node as usize + 1] - self.upper_at[node as usize]
    }

    pub(super) fn vector(&self, node: u32) -> &[f32] {
        &self.data[node as usize * self.dim..][..self.dim]
    }

    /// The most links a node may hold on a layer.
    pub(super) fn room(&self, level: usize) -> usize {
        if level == 0 { 2 * self.m } else { self.m }
    }

    pub(super) fn links(&self, node: u32, level: usize) -> &[u32] {
        let block = self.block(node, level);
        &block[1..][..block[0] as usize]
    }

    /// The count and room of a node's links on a layer.
    pub(super) fn block(&self, node: u32, level: usize) -> &[u32] {
        if level == 0 {
            let width = 1 + 2 * self.m;
            &self.bottom[node as usize * width..][..width]
        } else {
            let width = 1 + self.m;
            &self.upper[(self.upper_at[node as usize] + level - 1) * width..][..width]
        }
    }

    /// Replaces a node's links on a layer; there must be room for them.
    pub(super) fn set_links(&mut self, node: u32, level: usize, links: impl ExactSizeIterator<Item = u32>) {
        let block = self.block_mut(node, level);
        let count = links.len();
        block.fill(0);
        block[0] = count as u32;
        for (slot, link) in block[1..][..count].iter_mut().zip(links) {
            *slot = link;
        }
    }

    /// Adds a link where there is room; answers whether there was.
    pub(super) fn push_link(&mut self, node: u32, level: usize, link: u32) -> bool {
        let block = self.block_mut(node, level);
        let count = block[0] as usize;
        let Some(slot) = block[1..].get_mut(count) else { return false };
        *slot = link;
        block[0] += 1;
        true
    }

    fn block_mut(&mut self, node: u32, level: usize) -> &mut [u32] {
        if level == 0 {
            let width = 1 + 2 * self.m;
            &mut self.bottom[node as usize * width..][..width]
        } else {
            let width = 1 + self.m;
            &mut self.upper[(self.upper_at[node as usize] + level - 1) * width..][..width]
        }
    }
}

/// The level of each position: of every `m` nodes of a layer that follow each other one is on the next layer, until a
/// layer has at most `m`.
///
/// In a large graph nodes that follow each other are mostly neighbours in space, so that a layer seldom lacks a cluster of
/// some times `m` nodes. Were each drawn by itself, as in the paper, it would more often, and searches might miss it.
///
/// Under an inner product the longest of them rises: nearly all answers are long vectors, and a search then starts there.
pub(super) fn levels(n: usize, m: usize, seed: u64, length: Option<&dyn Fn(usize) -> f32>) -> Vec<usize> {
    let mut draw = Draw::new(seed, *b"hnsw lvl");
    let mut levels = vec![0; n];
    let mut layer: Vec<usize> = (0..n).collect();
    while layer.len() > m {
        let next = layer.chunks(m).map(|group| match length {
            Some(length) => {
                *group.iter().max_by(|a, b| length(**a).total_cmp(&length(**b))).unwrap_or(&group[0])
            }
            None => group[draw.below(group.len())],
        });
        layer = next.collect();
        layer.iter().for_each(|&node| levels[node] += 1);
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_that_follow_each_other_one_rises() {
        let levels = levels(160_001, 16, 1, None);
        let at_least = |l| levels.iter().filter(|&&level| level >= l).count();
        assert_eq!([1, 2, 3, 4, 5].map(at_least), [10_001, 626, 40, 3, 0]);
        assert!(levels.chunks(16).all(|group| group.iter().filter(|&&level| level > 0).count() == 1));
        assert!(levels.chunks(256).all(|group| group.iter().any(|&level| level > 1)));
        assert_eq!(super::levels(16, 16, 1, None), [0; 16]);
        assert_eq!(super::levels(0, 2, 1, None), []);
        assert_eq!(super::levels(1 << 16, 2, 1, None).into_iter().max(), Some(15));
    }

    #[test]
    fn links_stay_in_their_block() {
        let mut graph = Graph::new(1, 2, vec![0; 3], vec![0.0; 3], &[0, 2, 1]);
        graph.set_links(1, 0, [0, 2, 0, 2].into_iter());
        graph.set_links(1, 2, [9].into_iter());
        assert!(graph.push_link(1, 2, 8));
        assert!(!graph.push_link(1, 2, 7) && !graph.push_link(1, 0, 7));
        assert!(graph.push_link(2, 1, 5));
        let all: Vec<&[u32]> = [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
            .map(|(node, level)| graph.links(node, level))
            .into();
        assert_eq!(all, [&[][..], &[0, 2, 0, 2], &[], &[9, 8], &[], &[5]]);
        assert_eq!([0, 1, 2].map(|node| graph.level(node)), [0, 2, 1]);
    }
}
