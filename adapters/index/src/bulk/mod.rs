//! Graphs built in bulk, not node by node (the family of `PiPNN`, 2026): most of the work is matrix products.
//!
//! 1. `partition`: rows join the buckets of their nearest leaders; buckets are cut into leaves that overlap.
//! 2. `leaf`: all pairs within each leaf; each member finds its four nearest.
//! 3. `prune`: candidates from all leaves of a row, in both directions, are thinned out to links.
//! 4. `prune` again: links become mutual as far as there is room.
//!
//! All steps are deterministic: lists have one order, sums one chain, and ties go to the lower number.

pub(crate) mod assign;
pub(crate) mod leaf;
pub(crate) mod narrow;
pub(crate) mod partition;
pub(crate) mod prune;
pub(crate) mod rows;

use crate::device::Device;
use crate::engine::{BuildError, Progress};
use leaf::{Leaves, NEAR, NOBODY};
use prune::{Links, Rule};
use rows::Rows;

/// Up to so many rows are each compared with all others.
pub(crate) const ALL: usize = 4 * leaf::LEAF;

/// How one layer is built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer {
    /// Leaves each row is in.
    pub(crate) f: usize,
    pub(crate) rule: Rule,
    pub(crate) seed: u64,
}

impl Layer {
    /// The links of rows that are in these buckets; without buckets they are drawn, or needless.
    pub(crate) fn links(
        self,
        rows: Rows<'_>,
        buckets: Option<partition::Buckets>,
        device: &mut Device,
        progress: &mut Progress<'_>,
    ) -> Result<Links, BuildError> {
        let n = rows.len();
        if n <= ALL {
            let links = prune::choose_of_all(rows, self.rule, &mut progress.part(0.0, 0.9))?;
            return prune::mutual(rows, self.rule, &links, &mut progress.part(0.9, 1.0));
        }
        let leaves = match buckets {
            Some(buckets) => buckets.leaves(rows, self.seed, &mut progress.part(0.05, 0.1))?,
            None => partition::buckets(rows, self.f, self.seed, device, &mut progress.part(0.0, 0.05))?
                .leaves(rows, self.seed, &mut progress.part(0.05, 0.1))?,
        };
        let found = Found::of(n, &leaves, device.neighbours(rows, &leaves, &mut progress.part(0.1, 0.5))?);
        drop(leaves);
        let links = prune::choose(rows, self.rule, |row| found.list(row), &mut progress.part(0.5, 0.85))?;
        drop(found);
        prune::mutual(rows, self.rule, &links, &mut progress.part(0.85, 1.0))
    }
}

/// What each row found in all of its leaves.
struct Found {
    starts: Vec<usize>,
    numbers: Vec<u32>,
}

impl Found {
    fn of(n: usize, leaves: &Leaves, near: Vec<u32>) -> Self {
        let mut starts = vec![0; n + 1];
        for &member in &leaves.members {
            starts[member as usize + 1] += NEAR;
        }
        for row in 0..n {
            starts[row + 1] += starts[row];
        }
        let mut numbers = vec![0; starts[n]];
        let mut ends = starts.clone();
        for (&member, near) in leaves.members.iter().zip(near.chunks_exact(NEAR)) {
            let end = &mut ends[member as usize];
            for &near in near.iter().filter(|&&near| near != NOBODY) {
                numbers[*end] = near;
                *end += 1;
            }
        }
        drop(near);
        // Neighbours found in several leaves are there once.
        let (mut from, mut to) = (0, 0);
        for row in 0..n {
            let end = ends[row];
            let list = &mut numbers[from..end];
            list.sort_unstable();
            let first = to;
            for at in from..end {
                if to == first || numbers[to - 1] != numbers[at] {
                    numbers[to] = numbers[at];
                    to += 1;
                }
            }
            from = starts[row + 1];
            starts[row] = first;
        }
        starts[n] = to;
        numbers.truncate(to);
        Self { starts, numbers }
    }

    fn list(&self, row: usize) -> &[u32] {
        &self.numbers[self.starts[row]..self.starts[row + 1]]
    }
}
