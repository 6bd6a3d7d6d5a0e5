//! Graphs built in bulk, not node by node (the family of `PiPNN`, 2026): most of the work is matrix products.
//!
//! 1. `partition`: rows join the buckets of their nearest leaders; buckets are cut into leaves that overlap.
//! 2. `leaf`: all pairs within each leaf; each member finds its four nearest.
//! 3. `prune`: candidates from all leaves of a row, in both directions, are thinned out to links.
//! 4. `prune` again: links become mutual as far as there is room.
//!
//! All steps are deterministic: lists have one order, sums one chain, and ties go to the lower number.

pub(crate) mod assign;
pub(crate) mod contrast;
pub(crate) mod exact;
pub(crate) mod leaf;
pub(crate) mod narrow;
pub(crate) mod partition;
pub(crate) mod prune;
pub(crate) mod rows;
mod samples;

use crate::crew;
use crate::device::Device;
use crate::engine::{BuildError, Progress};
use leaf::{Leaves, NEAR, NOBODY};
use prune::{Links, Lists, Rule};
use rows::Rows;

/// Up to so many rows are each compared with all others, on any layer.
pub(crate) const FEW: usize = 256;

/// Whether the rows of a whole index are so few that each is compared with all others: that takes a tenth of a second then.
pub(crate) fn few(rows: Rows<'_>) -> bool {
    let n = rows.len();
    n <= FEW || n <= 4 * leaf::LEAF && n * n * rows.dim <= 1 << 31
}

/// Rows whose neighbours are put in order at a time.
const CHUNK: usize = 4_096;

/// How one layer is built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer {
    /// Leaves each row is in.
    pub(crate) f: usize,
    /// Whether each row is compared with all others instead.
    pub(crate) all: bool,
    pub(crate) rule: Rule,
    pub(crate) seed: u64,
}

impl Layer {
    /// The links of rows that are in these buckets; without buckets they are drawn, or needless. What the rows are linked
    /// to on the layers above are candidates too.
    pub(crate) fn links(
        self,
        rows: Rows<'_>,
        buckets: Option<partition::Buckets>,
        above: &Lists,
        device: &mut Device,
        progress: &mut Progress<'_>,
    ) -> Result<Links, BuildError> {
        let n = rows.len();
        if self.all {
            let links = prune::choose_of_all(rows, self.rule, &mut progress.part(0.0, 0.9))?;
            return prune::mutual(rows, self.rule, &links, &mut progress.part(0.9, 1.0));
        }
        let leaves = match buckets {
            Some(buckets) => buckets.leaves(rows, self.seed, &mut progress.part(0.05, 0.1))?,
            None => partition::buckets(rows, self.f, self.seed, device, &mut progress.part(0.0, 0.05))?
                .leaves(rows, self.seed, &mut progress.part(0.05, 0.1))?,
        };
        let (leaves, near) = Self::near(rows, leaves, self.seed, device, &mut progress.part(0.1, 0.48))?;
        let found = Found::of(n, &leaves, near, &mut progress.part(0.48, 0.5))?;
        drop(leaves);
        let links =
            prune::choose(rows, self.rule, |row| found.list(row), above, &mut progress.part(0.5, 0.85))?;
        drop(found);
        prune::mutual(rows, self.rule, &links, &mut progress.part(0.85, 1.0))
    }
}

impl Layer {
    /// What is near in all leaves, and in samples of those where rows lie in groups.
    fn near(
        rows: Rows<'_>,
        mut leaves: Leaves,
        seed: u64,
        device: &mut Device,
        progress: &mut Progress<'_>,
    ) -> Result<(Leaves, Vec<u16>), BuildError> {
        let mut near = device.neighbours(rows, &leaves, &mut progress.part(0.0, 0.9))?;
        let samples = samples::of_grouped(rows, &leaves, &near, seed, &mut progress.part(0.9, 0.92))?;
        if !samples.members.is_empty() {
            near.extend(device.neighbours(rows, &samples, &mut progress.part(0.92, 1.0))?);
            leaves.append(samples);
        }
        Ok((leaves, near))
    }
}

/// What each row found in all of its leaves: neighbours found in several are there once, in ascending order.
struct Found {
    starts: Vec<usize>,
    lens: Vec<u32>,
    numbers: Vec<u32>,
}

impl Found {
    fn of(
        n: usize,
        leaves: &Leaves,
        near: Vec<u16>,
        progress: &mut Progress<'_>,
    ) -> Result<Self, BuildError> {
        let mut starts = vec![0; n + 1];
        for &member in &leaves.members {
            starts[member as usize + 1] += NEAR;
        }
        for row in 0..n {
            starts[row + 1] += starts[row];
        }
        let mut numbers = vec![0; starts[n]];
        let mut lens = vec![0u32; n];
        let mut places = near.chunks_exact(NEAR);
        for members in leaves.iter() {
            for (&member, places) in members.iter().zip(&mut places) {
                let (start, len) = (starts[member as usize], &mut lens[member as usize]);
                for &place in places.iter().filter(|&&place| place != NOBODY) {
                    numbers[start + *len as usize] = members[usize::from(place)];
                    *len += 1;
                }
            }
        }
        drop(near);
        let mut rest = numbers.as_mut_slice();
        let chunks = starts[1..].chunks(CHUNK).zip(lens.chunks_mut(CHUNK));
        let items: Vec<_> = chunks
            .scan(0, |from, (ends, lens)| {
                let first = *from;
                *from = *ends.last()?;
                let (piece, behind) = std::mem::take(&mut rest).split_at_mut(*from - first);
                rest = behind;
                Some((first, ends, lens, piece))
            })
            .collect();
        crew::each(
            items.into_iter(),
            progress,
            || (),
            |(), (first, ends, lens, piece)| {
                let mut from = 0;
                for (end, len) in ends.iter().zip(lens) {
                    *len = once(&mut piece[from..][..*len as usize]);
                    from = end - first;
                }
            },
        )?;
        Ok(Self { starts, lens, numbers })
    }

    fn list(&self, row: usize) -> &[u32] {
        &self.numbers[self.starts[row]..][..self.lens[row] as usize]
    }
}

/// Sorts numbers and moves each to the front once; answers how many those are.
fn once(list: &mut [u32]) -> u32 {
    list.sort_unstable();
    let mut kept = 0;
    for at in 0..list.len() {
        if at == 0 || list[at] != list[at - 1] {
            list[kept] = list[at];
            kept += 1;
        }
    }
    kept as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    #[test]
    fn what_is_found_in_several_leaves_is_there_once() {
        // More rows than a thread takes at a time; each is in two leaves and finds 7, then 7 and 3.
        let n = CHUNK + 5;
        let members: Vec<u32> = (0..n as u32).chain(0..n as u32).collect();
        let leaves = Leaves { starts: vec![0, n, 2 * n], members };
        let near: Vec<u16> =
            [[7, NOBODY, NOBODY, NOBODY].repeat(n), [7, 3, NOBODY, NOBODY].repeat(n)].concat();
        let mut heard = |_| ControlFlow::Continue(());
        let found = Found::of(n, &leaves, near, &mut Progress::new(&mut heard)).unwrap();
        assert!((0..n).all(|row| found.list(row) == [3, 7]));
    }
}
