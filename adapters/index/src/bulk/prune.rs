//! From candidates to links: the robust prune of Vamana (Jayaram Subramanya and others, 2019).
//!
//! The nearest candidate becomes a link, and every candidate clearly nearer to it than to the base goes; then the nearest
//! of those left, and so on. Links point into different directions, some of them far.

use super::rows::Rows;
use crate::crew;
use crate::distance::Kernel;
use crate::engine::{BuildError, Progress};
use crate::key::Key;

/// Candidates looked at for one row: so many of the nearest ones, and as many as are missing to `MOST` of those farther on.
const NEAREST: usize = 96;
const MOST: usize = 128;
/// With fewer candidates than this share of the room for links, those of the candidates are taken too, until there are so
/// many.
const FEW: (usize, usize) = (3, 4);
const ENOUGH: usize = 96;
/// Squared distances from here on are of another scale: twice as far.
const SCALE: f32 = 4.0;
/// Rows handled between two looks at the queue.
const CHUNK: usize = 128;

/// How links are chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// Links a row may hold.
    pub(crate) room: usize,
    /// How many times nearer to a link than to the base a candidate must be to go.
    pub(crate) alpha: f32,
}

/// Links of each row, as hnswlib lays them out: a count, then room for as many as there may be.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) room: usize,
    pub(crate) blocks: Vec<u32>,
}

impl Links {
    pub(crate) fn of(&self, row: usize) -> &[u32] {
        let block = &self.blocks[row * (1 + self.room)..][..1 + self.room];
        &block[1..][..block[0] as usize]
    }

    fn len(&self) -> usize {
        self.blocks.len() / (1 + self.room)
    }
}

/// Lists of numbers, one for each row.
#[derive(Debug)]
pub(crate) struct Lists {
    starts: Vec<usize>,
    numbers: Vec<u32>,
}

impl Lists {
    pub(crate) fn of(&self, row: usize) -> &[u32] {
        &self.numbers[self.starts[row]..self.starts[row + 1]]
    }

    /// What each of `n` rows is paired with, in the order of the pairs.
    pub(crate) fn of_pairs(n: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut starts = vec![0; n + 1];
        pairs.clone().for_each(|(row, _)| starts[row as usize + 1] += 1);
        for row in 0..n {
            starts[row + 1] += starts[row];
        }
        let (mut ends, mut numbers) = (starts.clone(), vec![0; starts[n]]);
        for (row, with) in pairs {
            numbers[ends[row as usize]] = with;
            ends[row as usize] += 1;
        }
        Self { starts, numbers }
    }

    /// Who names each row: for each of `n` rows those whose list it is in, in their order.
    pub(crate) fn reverse<'l>(n: usize, list: impl Fn(usize) -> &'l [u32]) -> Self {
        let mut starts = vec![0; n + 1];
        for row in 0..n {
            list(row).iter().for_each(|&named| starts[named as usize + 1] += 1);
        }
        for row in 0..n {
            starts[row + 1] += starts[row];
        }
        let mut numbers = vec![0; starts[n]];
        let mut ends = starts.clone();
        for row in 0..n {
            for &named in list(row) {
                let end = &mut ends[named as usize];
                numbers[*end] = row as u32;
                *end += 1;
            }
        }
        Self { starts, numbers }
    }
}

/// Chooses the links of every row among its candidates, in both directions: those it found and those that found it.
pub(crate) fn choose<'l>(
    rows: Rows<'_>,
    rule: Rule,
    found: impl Fn(usize) -> &'l [u32] + Sync,
    above: &Lists,
    progress: &mut Progress<'_>,
) -> Result<Links, BuildError> {
    let naming = Lists::reverse(rows.len(), &found);
    each_block(rows, rule, progress, |pruner, row, block| {
        let candidates = &mut pruner.candidates;
        candidates.clear();
        candidates.extend_from_slice(found(row));
        candidates.extend_from_slice(naming.of(row));
        candidates.extend_from_slice(above.of(row));
        once(candidates);
        // Leaves that are much alike find the same few again and again; what these found lies near too.
        if candidates.len() < rule.room * FEW.0 / FEW.1 {
            for at in 0..candidates.len() {
                let near = candidates[at] as usize;
                if candidates.len() < ENOUGH {
                    candidates.extend_from_slice(found(near));
                }
            }
            candidates.retain(|&near| near as usize != row);
        }
        pruner.prune(row as u32, block);
    })
}

/// Chooses the links of every row among all others.
pub(crate) fn choose_of_all(
    rows: Rows<'_>,
    rule: Rule,
    progress: &mut Progress<'_>,
) -> Result<Links, BuildError> {
    each_block(rows, rule, progress, |pruner, row, block| {
        pruner.candidates.clear();
        pruner.candidates.extend((0..rows.len() as u32).filter(|&other| other as usize != row));
        pruner.prune(row as u32, block);
    })
}

/// Adds to the links of each row those that lead to it, choosing anew where there is no room for all.
pub(crate) fn mutual(
    rows: Rows<'_>,
    rule: Rule,
    links: &Links,
    progress: &mut Progress<'_>,
) -> Result<Links, BuildError> {
    let naming = Lists::reverse(links.len(), |row| links.of(row));
    each_block(rows, rule, progress, |pruner, row, block| {
        let own = links.of(row);
        let candidates = &mut pruner.candidates;
        candidates.clear();
        candidates.extend_from_slice(own);
        candidates.extend(naming.of(row).iter().filter(|from| !own.contains(from)));
        if candidates.len() <= rule.room {
            block[0] = candidates.len() as u32;
            block[1..=candidates.len()].copy_from_slice(candidates);
        } else {
            pruner.prune(row as u32, block);
        }
    })
}

fn each_block(
    rows: Rows<'_>,
    rule: Rule,
    progress: &mut Progress<'_>,
    work: impl Fn(&mut Pruner<'_>, usize, &mut [u32]) + Sync,
) -> Result<Links, BuildError> {
    let width = 1 + rule.room;
    let mut blocks = vec![0; rows.len() * width];
    let items = blocks.chunks_mut(CHUNK * width).enumerate();
    crew::each(
        items,
        progress,
        || Pruner::new(rows, rule),
        |pruner, (chunk, blocks)| {
            for (at, block) in blocks.chunks_exact_mut(width).enumerate() {
                work(pruner, chunk * CHUNK + at, block);
            }
        },
    )?;
    Ok(Links { room: rule.room, blocks })
}

#[derive(Debug)]
pub(crate) struct Pruner<'a> {
    rows: Rows<'a>,
    rule: Rule,
    kernel: Kernel,
    pub(crate) candidates: Vec<u32>,
    distances: Vec<f32>,
    keys: Vec<Key>,
    /// Candidates still there: which, and how far from the base, nearest first.
    left: Vec<u32>,
    far: Vec<f32>,
}

impl<'a> Pruner<'a> {
    pub(crate) fn new(rows: Rows<'a>, rule: Rule) -> Self {
        let kernel = Kernel::detect();
        let (candidates, distances, keys) = Default::default();
        Self { rows, rule, kernel, candidates, distances, keys, left: Vec::new(), far: Vec::new() }
    }

    /// Chooses among `candidates`, which may hold a row twice, into `block`.
    pub(crate) fn prune(&mut self, base: u32, block: &mut [u32]) {
        let Self { rows, rule, kernel, candidates, distances, keys, left, far } = self;
        once(candidates);
        kernel.rows(rows.row(base), rows.data, candidates, distances);
        // Of those equally far every base prefers others, or all would be linked to the same few.
        let turn = base.wrapping_mul(0x9e37_79b1);
        keys.clear();
        keys.extend(candidates.iter().zip(&*distances).map(|(at, distance)| Key::new(*distance, at ^ turn)));
        if keys.len() > MOST {
            thin_out(keys);
        }
        keys.sort_unstable();
        left.clear();
        far.clear();
        left.extend(keys.iter().map(|key| key.position() ^ turn));
        far.extend(keys.iter().map(|key| key.distance()));
        let nearer = rule.alpha * rule.alpha;
        let (links, mut count) = (&mut block[1..], 0);
        while !left.is_empty() && count < rule.room {
            let (link, reached) = (left[0], far[0]);
            links[count] = link;
            count += 1;
            kernel.near_rows(rows.row(link), rows.data, &left[1..], distances);
            let mut kept = 0;
            for at in 1..left.len() {
                let behind = nearer * distances[at - 1] < far[at];
                if !behind {
                    (left[kept], far[kept]) = (left[at], far[at]);
                    kept += 1;
                }
            }
            left.truncate(kept);
            far.truncate(kept);
            // A tight group would take all of the room, and nobody would find the way out of it.
            if 4 * count == 3 * rule.room || 8 * count == 7 * rule.room {
                let next = far.partition_point(|far| *far < SCALE * reached);
                if next < far.len() {
                    left.drain(..next);
                    far.drain(..next);
                }
            }
        }
        block[0] = count as u32;
    }
}

fn once(list: &mut Vec<u32>) {
    list.sort_unstable();
    list.dedup();
}

/// Leaves the nearest candidates, and some of all those at a larger scale, if there are any.
fn thin_out(keys: &mut Vec<Key>) {
    keys.sort_unstable();
    let last = keys[NEAREST - 1].distance();
    let next = keys.partition_point(|key| key.distance() < SCALE * last).max(NEAREST);
    if next < keys.len() {
        keys.drain(NEAREST..next);
        let far = keys.split_off(NEAREST);
        let stride = far.len().div_ceil(MOST - NEAREST);
        let from = far[0].position() as usize % stride;
        keys.extend(far.into_iter().skip(from).step_by(stride));
    }
    keys.truncate(MOST);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    #[test]
    fn a_candidate_behind_a_link_is_left_out_and_links_are_mutual() {
        // The base sits at 0; 1.2 lies behind 1.0, -2.0 does not.
        let rows = Rows { dim: 1, data: &[0.0, 1.0, 1.2, -2.0] };
        let rule = Rule { room: 3, alpha: 1.0 };
        let found: [&[u32]; 4] = [&[1, 2, 3], &[], &[], &[]];
        let mut heard = |_| ControlFlow::Continue(());
        let mut progress = Progress::new(&mut heard);
        let above = Lists::of_pairs(4, std::iter::empty());
        let links = choose(rows, rule, |row| found[row], &above, &mut progress).unwrap();
        // The others were found by the base alone, and look at what it found.
        assert_eq!([0, 1, 2, 3].map(|row| links.of(row)), [&[1, 3][..], &[2, 0], &[1], &[0]]);
        let links = mutual(rows, rule, &links, &mut progress).unwrap();
        assert_eq!([0, 1, 2, 3].map(|row| links.of(row)), [&[1, 3][..], &[2, 0], &[1], &[0]]);
        let loose = Rule { room: 4, alpha: 10.0 };
        assert_eq!(choose(rows, loose, |row| found[row], &above, &mut progress).unwrap().of(0), [1, 2, 3]);
        // From the layer above: whatever it is linked to there is a candidate here.
        let above = Lists::of_pairs(4, [(3, 2)].into_iter());
        let links = choose(rows, loose, |_| &[], &above, &mut progress).unwrap();
        assert_eq!([0, 1, 2, 3].map(|row| links.of(row)), [&[][..], &[], &[], &[2]]);
    }

    #[test]
    fn a_tight_group_leaves_room_for_the_way_out() {
        // Two hundred rows around the base, none behind another, and forty far away, none behind another either.
        let dim = 240;
        let mut data = vec![0.0; 241 * dim];
        for row in 1..241 {
            data[row * dim + row - 1] = if row <= 200 { 0.001 } else { 1.0 };
        }
        let rows = Rows { dim, data: &data };
        let mut pruner = Pruner::new(rows, Rule { room: 32, alpha: 1.05 });
        pruner.candidates.extend(1..241);
        let mut block = vec![0; 33];
        pruner.prune(0, &mut block);
        let far = block[1..].iter().filter(|&&link| link > 200).count();
        assert_eq!((block[0], far), (32, 8));
        // Of those equally near others are chosen by others.
        pruner.candidates.clear();
        pruner.candidates.extend(0..240);
        let mut other = vec![0; 33];
        pruner.prune(240, &mut other);
        assert_ne!(block[1..][..24], other[1..][..24]);
    }
}
