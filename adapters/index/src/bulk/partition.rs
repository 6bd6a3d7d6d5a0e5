//! Cutting the rows into overlapping leaves of neighbours.
//!
//! Some rows, drawn at random, lead; each row joins the buckets of its `f` nearest leaders. A bucket too large for a leaf
//! is cut the same way, each member then joining one part. Parts are much smaller than a leaf, for some turn out far
//! larger than others; those beside each other are put together until a leaf is well filled.
//! Buckets are walked along a chain of leaders, each the nearest of those left: rows sorted by it lie in memory as
//! they lie in space, and what is worked on together is fetched together.

use super::assign::{Centres, MOST_CENTRES, MOST_NEAREST};
use super::exact::will_do;
use super::leaf::{LEAF, Leaves};
use super::narrow::coarse::Coarse;
use super::rows::Rows;
use crate::crew;
use crate::device::Device;
use crate::distance::Kernel;
use crate::draw::Draw;
use crate::engine::{BuildError, Progress};
use crate::tile::{Panels, Tier};

/// Rows for each leader of the first cut.
const FOLLOWING: usize = 200;
/// Leaves smaller than this are put together.
const SMALL: usize = 64;
/// Rows for each leader of a part of a bucket.
const PART: usize = 154;
/// Parts are put together up to so many rows.
const FILLED: usize = 700;

/// Rows packed at a time.
const BLOCK: usize = 256;

/// The buckets each row belongs to.
#[derive(Debug)]
pub(crate) struct Buckets {
    /// Buckets of each row.
    f: usize,
    count: usize,
    /// `f` buckets for each row, nearest first, as places in the chain.
    of: Vec<u32>,
}

/// How many buckets `n` rows have, and in how many of them each row is where `f` are wanted.
pub(crate) fn sizes(n: usize, f: usize) -> (usize, usize) {
    let f = f.clamp(1, MOST_NEAREST);
    // Of few rows each is in half of the buckets.
    let count = (n / FOLLOWING).clamp(2 * f, MOST_CENTRES).min(n);
    (count, f.min(count.div_ceil(2)))
}

/// Draws leaders and finds the `f` nearest of each row.
pub(crate) fn buckets(
    rows: Rows<'_>,
    f: usize,
    seed: u64,
    device: &mut Device,
    progress: &mut Progress<'_>,
) -> Result<Buckets, BuildError> {
    let n = rows.len();
    let (count, f) = sizes(n, f);
    let mut leaders: Vec<u32> =
        Draw::new(seed, *b"leaders ").sample(n, count).into_iter().map(|at| at as u32).collect();
    leaders.sort_unstable();
    let centres = rows.gather(&leaders);
    let centres = Rows { dim: rows.dim, data: &centres };
    let mut of = device.nearest_centres(rows, centres, f, progress)?;
    let places = chain(centres);
    of.iter_mut().for_each(|bucket| *bucket = places[*bucket as usize]);
    Ok(Buckets { f, count, of })
}

/// The place of each row in a chain that goes on to the nearest row not yet in it.
fn chain(rows: Rows<'_>) -> Vec<u32> {
    let kernel = Kernel::detect();
    let mut places = vec![0; rows.len()];
    let mut left: Vec<u32> = (0..rows.len() as u32).collect();
    let mut distances = Vec::new();
    let mut next = 0;
    for place in 0..rows.len() as u32 {
        let this = left.swap_remove(next);
        places[this as usize] = place;
        kernel.rows(rows.row(this), rows.data, &left, &mut distances);
        let nearest = (0..).zip(&distances).min_by(|(_, a), (_, b)| a.total_cmp(b));
        next = nearest.map_or(0, |(at, _)| at);
    }
    places
}

impl Buckets {
    /// The rows in the order of their nearest leaders: which row comes first, second, ...
    pub(crate) fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..(self.of.len() / self.f) as u32).collect();
        order.sort_by_key(|&row| self.of[row as usize * self.f]);
        order
    }

    /// The same rows under new numbers: `order[new]` was the old one.
    pub(crate) fn renumber(self, order: &[u32]) -> Self {
        let of = order.iter().flat_map(|&row| &self.of[row as usize * self.f..][..self.f]);
        Self { of: of.copied().collect(), ..self }
    }

    /// Leaves of all buckets.
    pub(crate) fn leaves(
        self,
        rows: Rows<'_>,
        seed: u64,
        progress: &mut Progress<'_>,
    ) -> Result<Leaves, BuildError> {
        let Leaves { starts, mut members } = self.members();
        let mut sizes = vec![Vec::new(); starts.len() - 1];
        let mut rest = members.as_mut_slice();
        let items: Vec<_> = starts
            .windows(2)
            .zip(&mut sizes)
            .map(|(pair, sizes)| {
                let (bucket, behind) = std::mem::take(&mut rest).split_at_mut(pair[1] - pair[0]);
                rest = behind;
                (bucket, sizes)
            })
            .collect();
        crew::each(
            items.into_iter().enumerate(),
            progress,
            Panels::default,
            |panels, (at, (bucket, sizes))| {
                let mut draw = Draw::new(seed ^ (at as u64) << 32, *b"parts   ");
                let parts = cut(rows, bucket.to_vec(), &mut draw, panels);
                // Back to where they were: what thousands of lists held would stay with the allocator.
                *sizes = parts.iter().map(Vec::len).collect();
                bucket.iter_mut().zip(parts.iter().flatten()).for_each(|(to, member)| *to = *member);
            },
        )?;
        Ok(gather(&members, sizes.into_iter().flatten()))
    }

    /// The rows of each bucket, in ascending order.
    fn members(self) -> Leaves {
        let mut starts = vec![0; self.count + 1];
        for &bucket in &self.of {
            starts[bucket as usize + 1] += 1;
        }
        for bucket in 0..self.count {
            starts[bucket + 1] += starts[bucket];
        }
        let (mut ends, mut members) = (starts.clone(), vec![0; self.of.len()]);
        for (row, of) in (0..).zip(self.of.chunks_exact(self.f)) {
            for &bucket in of {
                let end = &mut ends[bucket as usize];
                members[*end] = row;
                *end += 1;
            }
        }
        Leaves { starts, members }
    }
}

/// Cuts members until no part is larger than a leaf.
fn cut(rows: Rows<'_>, members: Vec<u32>, draw: &mut Draw, panels: &mut Panels) -> Vec<Vec<u32>> {
    let mut done = Vec::new();
    let mut waiting = vec![members];
    while let Some(members) = waiting.pop() {
        if members.len() <= LEAF {
            done.push(members);
            continue;
        }
        let parts = members.len().div_ceil(PART).min(MOST_CENTRES);
        let mut leaders: Vec<u32> =
            draw.sample(members.len(), parts).into_iter().map(|at| members[at]).collect();
        leaders.sort_unstable();
        let data = rows.gather(&leaders);
        let centres = Rows { dim: rows.dim, data: &data };
        let mut cut = vec![Vec::new(); parts];
        join(rows, &members, centres, panels, &mut cut);
        if cut.iter().any(|part| part.len() == members.len()) {
            // Equal rows: nothing tells them apart, so any parts do.
            done.extend(members.chunks(LEAF).map(<[u32]>::to_vec));
        } else {
            waiting.extend(together(cut, centres).into_iter().rev());
        }
    }
    done
}

/// Each member joins the part of its nearest centre, or one hardly farther: by bytes where they will do.
fn join(rows: Rows<'_>, members: &[u32], centres: Rows<'_>, panels: &mut Panels, parts: &mut [Vec<u32>]) {
    let mut nearest = vec![0; members.len()];
    let coarse = Coarse::alone_of_any(Tier::detect(), rows, members);
    let found = coarse.and_then(|coarse| coarse.nearest_alone(centres, &mut nearest));
    if found.is_none() || !will_do(rows, members, centres, 1, &nearest) {
        let centres = Centres::of(centres);
        for (members, nearest) in members.chunks(BLOCK).zip(nearest.chunks_mut(BLOCK)) {
            centres.nearest(rows, members, 1, panels, nearest);
        }
    }
    for (&member, &part) in members.iter().zip(&nearest) {
        parts[part as usize].push(member);
    }
}

/// Parts put together with those beside them: along the chain of their centres.
fn together(mut parts: Vec<Vec<u32>>, centres: Rows<'_>) -> Vec<Vec<u32>> {
    let places = chain(centres);
    let mut along: Vec<usize> = (0..parts.len()).collect();
    along.sort_unstable_by_key(|&part| places[part]);
    let mut filled: Vec<Vec<u32>> = Vec::new();
    for part in along {
        let part = &mut parts[part];
        match filled.last_mut() {
            Some(last) if last.len() + part.len() <= FILLED => last.append(part),
            _ => filled.push(std::mem::take(part)),
        }
    }
    filled
}

/// One list of leaves of parts of such sizes, the small ones put together in their order.
fn gather(mut members: &[u32], sizes: impl Iterator<Item = usize>) -> Leaves {
    let mut leaves = Leaves { starts: vec![0], members: Vec::with_capacity(members.len()) };
    let mut small: Vec<u32> = Vec::new();
    let close = |leaves: &mut Leaves, members: &mut Vec<u32>| {
        members.sort_unstable();
        members.dedup();
        if members.len() > 1 {
            leaves.members.append(members);
            leaves.starts.push(leaves.members.len());
        }
        members.clear();
    };
    for size in sizes {
        let (part, behind) = members.split_at(size);
        members = behind;
        if size >= SMALL {
            close(&mut leaves, &mut part.to_vec());
        } else {
            small.extend_from_slice(part);
            if small.len() > LEAF / 2 {
                close(&mut leaves, &mut small);
            }
        }
    }
    close(&mut leaves, &mut small);
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use std::ops::ControlFlow;

    #[test]
    fn every_row_is_in_leaves_of_bounded_size_and_none_twice_in_one() {
        let mut draw = Draw::new(5, *b"cut     ");
        // Half of the rows are equal.
        let data: Vec<f32> = (0..20_000u32)
            .flat_map(|at| [0; 3].map(|_| if at % 2 == 0 { 1.0 } else { (draw.next() >> 40) as f32 }))
            .collect();
        let rows = Rows { dim: 3, data: &data };
        let mut heard = |_| ControlFlow::Continue(());
        let mut progress = Progress::new(&mut heard);
        let mut device = Device::open(Engine::Cpu, &mut progress).unwrap();
        let buckets = buckets(rows, 4, 1, &mut device, &mut progress).unwrap();
        let mut order = buckets.order();
        let leaves = buckets.leaves(rows, 1, &mut progress).unwrap();
        let mut seen = vec![false; 20_000];
        for leaf in leaves.iter() {
            assert!((2..=LEAF).contains(&leaf.len()));
            let mut members = leaf.to_vec();
            members.sort_unstable();
            members.dedup();
            assert_eq!(members.len(), leaf.len());
            leaf.iter().for_each(|&member| seen[member as usize] = true);
        }
        assert!(seen.iter().all(|&seen| seen));
        order.sort_unstable();
        assert!(order.into_iter().eq(0..20_000));
    }
}
