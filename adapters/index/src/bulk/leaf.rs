//! All pairs within each leaf: the four nearest of its members for each of them.
//!
//! Members are compared on a grid of their leaf ([`Grid`]), by bytes where the processor has a matrix unit (`matrix`).
//! Each product is made once for its two rows: a tile of rows with columns to their right gives the columns their rows
//! (a sorted list in each lane) and the rows their columns (a list in each lane, merged at the end of the row). Lists
//! are four deep, so the four least keys are exact, whatever the order they were met in: an engine may do it otherwise
//! and must find the same.

mod grid;
#[cfg(target_arch = "x86_64")]
mod matrix;
pub(crate) mod tight;

use super::assign::{INDEX_BITS, insert, keys};
use super::rows::Rows;
use crate::crew;
use crate::engine::{BuildError, Progress};
use crate::tile::{LANES, Lane, Micro, Panels, ROWS, Tier, Tile, WIDE, on_tier};
use std::ops::Range;

pub use grid::BYTES;
pub(crate) use grid::Grid;

/// Members of a leaf, at most: what a packed key can number.
pub(crate) const LEAF: usize = 1 << INDEX_BITS;
/// Neighbours found for each member.
pub(crate) const NEAR: usize = 4;
/// The place of no member.
pub(crate) const NOBODY: u16 = u16::MAX;
const INDEX: u32 = (1 << INDEX_BITS) - 1;
/// Keys from here on say infinity: a filling row, or values that overflow.
const FAR: u32 = 0x7f80_0000;

type Lists = [[u32; LANES]; NEAR];
const NONE: Lists = [[u32::MAX; LANES]; NEAR];

/// Leaves: members of each, one leaf after the other.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    pub(crate) starts: Vec<usize>,
    pub(crate) members: Vec<u32>,
}

impl Leaves {
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.starts.windows(2).map(|pair| &self.members[pair[0]..pair[1]])
    }

    /// Puts other leaves behind these.
    pub(crate) fn append(&mut self, mut other: Self) {
        let before = self.members.len();
        self.starts.extend(other.starts[1..].iter().map(|start| before + start));
        self.members.append(&mut other.members);
    }

    /// All leaves in groups of at most `most` members, or of one leaf that has more.
    pub(crate) fn groups(&self, most: usize) -> Vec<Range<usize>> {
        let (mut groups, mut first) = (Vec::new(), 0);
        while first < self.iter().len() {
            let from = self.starts[first];
            let some = self.starts[first + 1..].partition_point(|end| end - from <= most).max(1);
            groups.push(first..first + some);
            first += some;
        }
        groups
    }
}

/// For each member of each leaf up to four nearest other members, as places in the leaf: rows of `NEAR` of them, nearest
/// first, with [`NOBODY`] where there are fewer.
pub(crate) fn neighbours(
    rows: Rows<'_>,
    leaves: &Leaves,
    progress: &mut Progress<'_>,
) -> Result<Vec<u16>, BuildError> {
    let tier = Tier::detect();
    let mut out = vec![NOBODY; leaves.members.len() * NEAR];
    let items: Vec<_> = pieces(leaves, &mut out).collect();
    crew::each(items.into_iter(), progress, Scratch::default, |scratch, (members, out)| {
        leaf(tier, rows, members, scratch, out);
    })?;
    Ok(out)
}

/// The grid of each leaf.
pub(crate) fn grids(
    rows: Rows<'_>,
    leaves: &Leaves,
    progress: &mut Progress<'_>,
) -> Result<Vec<Grid>, BuildError> {
    let tier = Tier::detect();
    let mut grids: Vec<Option<Grid>> = Vec::new();
    grids.resize_with(leaves.iter().len(), || None);
    let items = leaves.iter().zip(&mut grids);
    crew::each(items, progress, || (), |(), (members, grid)| *grid = Some(Grid::of(tier, rows, members)))?;
    Ok(grids.into_iter().flatten().collect())
}

#[derive(Default)]
struct Scratch {
    panels: Panels,
    #[cfg(target_arch = "x86_64")]
    bytes: matrix::Bytes,
    columns: Vec<Lists>,
    keys: Vec<u32>,
}

#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "a function compiled for a detected instruction set")
)]
fn leaf(tier: Tier, rows: Rows<'_>, members: &[u32], scratch: &mut Scratch, out: &mut [u16]) {
    let grid = Grid::of(tier, rows, members);
    scratch.keys.resize(out.len(), 0);
    match tier {
        // SAFETY: the tier exists only where all that it needs was detected.
        #[cfg(target_arch = "x86_64")]
        Tier::Amx if grid.scale > 0.0 => unsafe {
            scratch.bytes.pairs(rows, members, &grid, &mut scratch.columns, &mut scratch.keys);
        },
        _ => {
            let Scratch { panels, columns, keys, .. } = scratch;
            let each = members.iter().map(|&at| rows.row(at));
            panels.fill_rounded(tier, rows.dim, each, Some(&grid.origin), grid.scale);
            columns.clear();
            columns.resize(panels.count(), NONE);
            pairs(tier, panels, columns, keys);
        }
    }
    for (near, &key) in out.iter_mut().zip(&scratch.keys) {
        *near = if key < FAR { (key & INDEX) as u16 } else { NOBODY };
    }
    tight::mend(rows, members, out);
}

/// Does for what an engine found what [`neighbours`] does by itself: leaves of tight groups are compared anew.
pub(crate) fn mend(
    rows: Rows<'_>,
    leaves: &Leaves,
    near: &mut [u16],
    progress: &mut Progress<'_>,
) -> Result<(), BuildError> {
    let items: Vec<_> = pieces(leaves, near).collect();
    crew::each(items.into_iter(), progress, || (), |(), (members, near)| tight::mend(rows, members, near))
}

/// Each leaf with its piece of what is found.
fn pieces<'l>(leaves: &'l Leaves, near: &'l mut [u16]) -> impl Iterator<Item = (&'l [u32], &'l mut [u16])> {
    let mut rest = near;
    leaves.iter().map(move |members| {
        let (piece, behind) = std::mem::take(&mut rest).split_at_mut(members.len() * NEAR);
        rest = behind;
        (members, piece)
    })
}

on_tier!(fn pairs = pairs_body(panels: &Panels, columns: &mut [Lists], out: &mut [u32]));

/// Leaves the four least keys of each row in `out`.
#[inline(always)]
fn pairs_body<M: Micro>(panels: &Panels, columns: &mut [Lists], out: &mut [u32]) {
    let mut tile: Tile = [[Lane::ZERO; WIDE]; ROWS];
    for first in (0..panels.len()).step_by(ROWS) {
        let own = first / LANES;
        let norms = panels.norms()[own].0;
        let mut rows = [NONE; ROWS];
        let mut at = own;
        while at < panels.count() {
            let wide = WIDE.min(panels.count() - at);
            M::tile(panels.panel(own), first % LANES / ROWS, panels.panels(at, wide), &mut tile);
            for panel in 0..wide {
                let lengths = &panels.norms()[at + panel];
                let mut below = columns[at + panel];
                for (row, tile) in tile.iter().enumerate() {
                    let this = first + row;
                    let norm = norms[this % LANES];
                    meet(&tile[panel], norm, this, lengths, at + panel, &mut rows[row], &mut below);
                }
                columns[at + panel] = below;
            }
            at += wide;
        }
        let count = ROWS.min(panels.len() - first);
        finish(&mut rows[..count], &columns[own], first % LANES, &mut out[first * NEAR..]);
    }
}

/// The keys of row `this` with the columns of a panel, taken into the row's list and into those of the columns.
#[inline(always)]
fn meet(
    products: &Lane,
    norm: f32,
    this: usize,
    lengths: &Lane,
    panel: usize,
    row: &mut Lists,
    below: &mut Lists,
) {
    let base = (panel * LANES) as u32;
    let column: [u32; LANES] = std::array::from_fn(|lane| base + lane as u32);
    let mut to = keys(products, norm, lengths, column);
    if this / LANES == panel {
        // Each pair once, and none with itself.
        for lane in 0..LANES {
            to[lane] = if column[lane] > this as u32 { to[lane] } else { u32::MAX };
        }
    }
    let mut back = [0; LANES];
    for lane in 0..LANES {
        back[lane] = (to[lane] & !INDEX) | this as u32;
    }
    insert(below, back);
    insert(row, to);
}

/// Writes the four least keys of rows that have met all columns; their own columns' lists begin at `lane`.
#[inline(always)]
fn finish(rows: &mut [Lists], own: &Lists, lane: usize, out: &mut [u32]) {
    for (lane, (lists, out)) in (lane..).zip(rows.iter_mut().zip(out.chunks_exact_mut(NEAR))) {
        let above: [u32; NEAR] = std::array::from_fn(|place| own[place][lane]);
        let mut above = above.iter().peekable();
        // Merge of two sorted sequences: the column's list, and the least of the lanes over and over.
        let mut least = take_least(lists);
        for out in out {
            match above.peek() {
                Some(&&key) if key <= least => {
                    *out = key;
                    above.next();
                }
                _ => {
                    *out = least;
                    least = take_least(lists);
                }
            }
        }
    }
}

/// Takes the least key out of sorted lists.
#[expect(clippy::needless_range_loop, reason = "lanes of several arrays side by side become vectors")]
#[inline(always)]
fn take_least(lists: &mut Lists) -> u32 {
    let mut least = u32::MAX;
    for key in lists[0] {
        least = least.min(key);
    }
    for lane in 0..LANES {
        let hit = lists[0][lane] == least;
        for place in 0..NEAR {
            let next = if place + 1 < NEAR { lists[place + 1][lane] } else { u32::MAX };
            lists[place][lane] = if hit { next } else { lists[place][lane] };
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;
    use proptest::prelude::*;
    use std::ops::ControlFlow;

    fn found(dim: usize, data: &[f32], leaves: &Leaves) -> Vec<u16> {
        let mut heard = |_| ControlFlow::Continue(());
        neighbours(Rows { dim, data }, leaves, &mut Progress::new(&mut heard)).unwrap()
    }

    /// Checked in double precision: each neighbour is a different other member, and as near as it should be.
    fn check(dim: usize, data: &[f32], leaves: &Leaves) {
        let rows = Rows { dim, data };
        let out = found(dim, data, leaves);
        let mut out = out.chunks_exact(NEAR);
        for members in leaves.iter() {
            for &this in members {
                let distance = |other: u32| -> f64 {
                    let pairs = rows.row(this).iter().zip(rows.row(other));
                    pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
                };
                let others = members.iter().copied().filter(|&other| other != this);
                let mut exact: Vec<f64> = others.map(distance).collect();
                exact.sort_by(f64::total_cmp);
                let near = out.next().unwrap().iter().filter(|&&at| at != NOBODY);
                let near: Vec<u32> = near.map(|&at| members[usize::from(at)]).collect();
                assert_eq!(near.len(), exact.len().min(NEAR), "of {} members", members.len());
                for (exact, &near) in exact.iter().zip(&near) {
                    assert!(near != this && members.contains(&near));
                    assert!(distance(near) <= exact * (1.0 + 1.0 / 4_096.0) + 1e-4);
                }
                assert!((1..near.len()).all(|at| !near[..at].contains(&near[at])), "nobody twice");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_nearest_members_are_found(sizes in prop::collection::vec(1usize..150, 1..4), dim in 1usize..32, seed: u64) {
            let mut draw = Draw::new(seed, *b"leaf    ");
            let n: usize = sizes.iter().sum();
            let data: Vec<f32> =
                (0..n * dim).map(|_| 100.0 + (draw.next() >> 40) as f32 / 1_048_576.0).collect();
            let mut starts = vec![0];
            starts.extend(sizes.iter().scan(0, |end, size| { *end += size; Some(*end) }));
            check(dim, &data, &Leaves { starts, members: (0..n as u32).rev().collect() });
        }
    }

    #[test]
    fn a_rounded_leaf_is_the_same_on_every_tier_and_hardly_worse() {
        let mut draw = Draw::new(9, *b"rounded ");
        // A sum of four draws: bell-shaped, as values of vectors are.
        let mut value = || (0..4).map(|_| (draw.next() >> 48) as f32 / 65_536.0 - 0.5).sum::<f32>();
        let (mut hits, mut all) = (0, 0);
        for (n, dim) in [(1, 32), (2, 40), (17, 33), (300, 64), (LEAF, 100), (33, 130), (50, 1_040)] {
            let data: Vec<f32> = (0..n * dim).map(|_| 20.0 + value()).collect();
            let (rows, members) = (Rows { dim, data: &data }, (0..n as u32).rev().collect::<Vec<_>>());
            assert!(n < 3 || Grid::of(Tier::Portable, rows, &members).scale > 0.0, "{n} x {dim}");
            let of_tier = |tier| {
                let mut out = vec![NOBODY; n * NEAR];
                leaf(tier, rows, &members, &mut Scratch::default(), &mut out);
                out
            };
            let found = of_tier(Tier::Portable);
            assert!(Tier::available().into_iter().all(|tier| of_tier(tier) == found), "{n} x {dim}");
            for (&this, found) in members.iter().zip(found.chunks_exact(NEAR)) {
                let distance = |other: &u32| -> f64 {
                    let pairs = rows.row(this).iter().zip(rows.row(*other));
                    pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
                };
                let mut exact: Vec<u32> = members.iter().copied().filter(|&other| other != this).collect();
                exact.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
                exact.truncate(NEAR);
                let there = found.iter().filter(|&&near| near != NOBODY);
                let there = there.map(|&near| members[usize::from(near)]);
                assert_eq!(there.clone().count(), exact.len());
                all += exact.len();
                hits += there.clone().filter(|near| exact.contains(near)).count();
                for (near, exact) in there.zip(&exact) {
                    assert!(distance(&near) <= distance(exact) * 1.03, "{n} x {dim}");
                }
            }
        }
        assert!(hits * 100 >= all * 97, "{hits} of {all}");
    }

    #[test]
    fn groups_of_leaves_have_room_for_one_at_least_and_leave_none_out() {
        let leaves = |starts: &[usize]| Leaves { starts: starts.to_vec(), members: Vec::new() };
        assert_eq!(leaves(&[0, 3, 5, 15, 16, 20]).groups(5), [0..2, 2..3, 3..5]);
        assert_eq!(leaves(&[0, 3, 5, 15, 16, 20]).groups(100), vec![0..5; 1]);
        assert_eq!(leaves(&[0, 9]).groups(1), vec![0..1; 1]);
        assert!(leaves(&[0]).groups(7).is_empty() && Leaves::default().groups(7).is_empty());
    }

    #[test]
    fn a_full_leaf_and_equal_rows() {
        let mut draw = Draw::new(3, *b"leaf    ");
        let data: Vec<f32> = (0..LEAF * 24).map(|_| (draw.next() >> 40) as f32 / 65_536.0).collect();
        check(24, &data, &Leaves { starts: vec![0, LEAF], members: (0..LEAF as u32).collect() });
        let equal = found(3, &[7.5; 300], &Leaves { starts: vec![0, 100], members: (0..100).collect() });
        assert_eq!(equal[..8], [1, 2, 3, 4, 0, 2, 3, 4], "of equals the first");
    }
}
