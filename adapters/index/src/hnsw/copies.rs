//! Equal vectors: one of each is built into the graph, the others hang below it.
//!
//! Built like all others they would fill each other's links, and nobody would find the way past ten thousand of them:
//! neither here nor in hnswlib's own graph. So the first of each comes first, in the numbers of nodes too, and the copies
//! behind; a copy is on layer 0 alone, where a search that meets its first meets it next.
//!
//! Vectors of length zero hang too where directions are compared. They are at distance one from everything, so they may be
//! anywhere; in space they lie in the middle of all, and links to them would take the place of links between clusters.
//!
//! Invariant: every copy leads back to its first, and the first to all of its copies.

use super::graph::Graph;
use crate::bulk::prune::{Pruner, Rule};
use crate::bulk::rows::Rows;
use crate::crew;
use crate::engine::{BuildError, Progress};

/// Rows hashed at a time, and groups looked around at a time.
const CHUNK: usize = 1_024;
/// Copies right below the first: it needs its links for others.
const BELOW: usize = 2;
/// Copies of a group for which other neighbours than the first's are chosen, so that a search sees as much on its way
/// through them as it would of different vectors; and how many neighbours of neighbours these are chosen from.
const APART: usize = 4;
const AROUND: usize = 128;
/// As many of those left over does each copy get that comes later.
const SOME: usize = 16;

/// Which rows are there more than once.
#[derive(Debug)]
pub(super) struct Copies {
    /// The first row of each vector, ascending.
    pub(super) firsts: Vec<u32>,
    /// All other rows, each with the place of its first in `firsts`; by place, then by row.
    pub(super) others: Vec<(u32, u32)>,
}

impl Copies {
    /// Finds rows that are equal, bit by bit; those of length zero are copies of any other row where `directions` are
    /// compared.
    pub(super) fn find(
        rows: Rows<'_>,
        directions: bool,
        progress: &mut Progress<'_>,
    ) -> Result<Self, BuildError> {
        let n = rows.len();
        let mut hashed = vec![(0u64, 0u32); n];
        let items = hashed.chunks_mut(CHUNK).enumerate();
        crew::each(
            items,
            progress,
            || (),
            |(), (chunk, hashed)| {
                for (row, hashed) in ((chunk * CHUNK) as u32..).zip(hashed) {
                    *hashed = (hash(rows.row(row)), row);
                }
            },
        )?;
        hashed.sort_unstable();
        let bits = |row: u32| rows.row(row).iter().map(|value| value.to_bits());
        let mut first_of: Vec<u32> = (0..n as u32).collect();
        for alike in hashed.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
            // Nearly always one vector; what has the same hash by chance is kept apart.
            let mut firsts: Vec<u32> = Vec::new();
            for &(_, row) in alike {
                match firsts.iter().find(|&&first| bits(first).eq(bits(row))) {
                    Some(&first) => first_of[row as usize] = first,
                    None => firsts.push(row),
                }
            }
        }
        let is_zero = |row: u32| rows.row(row).iter().all(|value| *value == 0.0);
        if let Some(any) = (0..n as u32).find(|row| !is_zero(*row)).filter(|_| directions) {
            (0..n as u32).filter(|row| is_zero(*row)).for_each(|row| first_of[row as usize] = any);
        }
        let firsts: Vec<u32> = (0..n as u32).filter(|&row| first_of[row as usize] == row).collect();
        let place = |row: u32| firsts.binary_search(&row).map_or(0, |place| place as u32);
        let others = (0..n as u32).filter(|&row| first_of[row as usize] != row);
        let mut others: Vec<(u32, u32)> = others.map(|row| (place(first_of[row as usize]), row)).collect();
        others.sort_unstable();
        Ok(Self { firsts, others })
    }
}

/// A hash of the bits of a row: multiplications of odd numbers, each of which keeps apart what was apart.
fn hash(row: &[f32]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    row.iter().fold(ODD, |hash, value| (hash.rotate_left(23) ^ u64::from(value.to_bits())).wrapping_mul(ODD))
}

/// Hangs nodes from `distinct` on below their firsts, `firsts` of them ascending.
pub(super) fn hang_all(
    graph: &mut Graph,
    firsts: &[u32],
    progress: &mut Progress<'_>,
) -> Result<(), BuildError> {
    let distinct = graph.len() - firsts.len();
    let mut next = distinct as u32;
    let groups: Vec<(u32, Vec<u32>)> = firsts
        .chunk_by(|a, b| a == b)
        .map(|group| {
            let copies = (next..next + group.len() as u32).collect();
            next += group.len() as u32;
            (group[0], copies)
        })
        .collect();
    let mut around: Vec<Vec<Vec<u32>>> = vec![Vec::new(); groups.len()];
    // By their distances in space under every metric: which of them a search under an inner product meets is no matter.
    let rows = Rows { dim: graph.dim, data: &graph.data };
    let rule = Rule { room: graph.room(0) - graph.m, alpha: super::build::ALPHA };
    let items = groups.chunks(CHUNK).zip(around.chunks_mut(CHUNK));
    let graph_ = &*graph;
    crew::each(
        items,
        progress,
        || Pruner::new(rows, rule),
        |pruner, (groups, around)| {
            for ((first, copies), around) in groups.iter().zip(around) {
                *around = neighbours(graph_, pruner, rule, *first, copies.len().min(APART));
            }
        },
    )?;
    for ((first, copies), around) in groups.iter().zip(&around) {
        hang(graph, *first, copies, around);
    }
    Ok(())
}

/// Neighbours of the first few copies, different ones for each: those of the neighbours of their first.
fn neighbours(graph: &Graph, pruner: &mut Pruner<'_>, rule: Rule, first: u32, count: usize) -> Vec<Vec<u32>> {
    let near = graph.links(first, 0);
    let mut left: Vec<u32> = near.iter().flat_map(|&near| graph.links(near, 0)).copied().collect();
    left.retain(|node| *node != first && !near.contains(node));
    left.sort_unstable();
    left.dedup();
    let mut all = Vec::new();
    let mut block = vec![0; 1 + rule.room];
    for _ in 0..count {
        pruner.candidates.clear();
        pruner.candidates.extend(left.iter().take(AROUND));
        pruner.prune(first, &mut block);
        let chosen = block[1..][..block[0] as usize].to_vec();
        left.retain(|node| !chosen.contains(node));
        all.push(chosen);
    }
    all.extend(left.chunks(SOME).map(<[u32]>::to_vec));
    all
}

/// Hangs copies below their first: two right below it, `m` below each of these, and so on. A copy leads to those below it,
/// back to the one above, and to neighbours: others than the first's as long as there are any.
fn hang(graph: &mut Graph, first: u32, copies: &[u32], around: &[Vec<u32>]) {
    let (m, room) = (graph.m, graph.room(0));
    let mut near = graph.links(first, 0).to_vec();
    let around: Vec<&[u32]> = around.iter().map(Vec::as_slice).filter(|some| !some.is_empty()).collect();
    near.truncate(room - BELOW.min(copies.len()));
    let below_first = copies.iter().take(BELOW).copied();
    let links: Vec<u32> = near.iter().copied().chain(below_first).collect();
    graph.set_links(first, 0, links.into_iter());
    for (at, &copy) in copies.iter().enumerate() {
        let above = if at < BELOW { first } else { copies[(at - BELOW) / m] };
        let below = copies.iter().skip(BELOW + at * m).take(m).copied();
        let around = around.get(at % around.len().max(1)).copied().unwrap_or(&near);
        let links: Vec<u32> = below.chain([above]).chain(around.iter().copied()).take(room).collect();
        graph.set_links(copy, 0, links.into_iter());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ops::ControlFlow;

    fn found(dim: usize, data: &[f32], directions: bool) -> Copies {
        let mut heard = |_| ControlFlow::Continue(());
        Copies::find(Rows { dim, data }, directions, &mut Progress::new(&mut heard)).unwrap()
    }

    proptest! {
        #[test]
        fn each_row_is_the_first_of_its_kind_or_a_copy_of_it(values in prop::collection::vec(0u8..3, 0..60)) {
            let data: Vec<f32> = values.iter().flat_map(|value| [f32::from(*value), 1.0]).collect();
            let Copies { firsts, others } = found(2, &data, false);
            prop_assert_eq!(firsts.len() + others.len(), values.len());
            prop_assert!(firsts.is_sorted_by(|a, b| a < b) && others.is_sorted_by(|a, b| a < b));
            for &first in &firsts {
                prop_assert!(!values[..first as usize].contains(&values[first as usize]));
            }
            for &(place, row) in &others {
                let first = firsts[place as usize];
                prop_assert!(first < row && values[first as usize] == values[row as usize]);
            }
        }
    }

    #[test]
    fn rows_without_a_direction_are_copies_of_any_other() {
        let Copies { firsts, others } = found(1, &[0.0, -0.0, 3.0, 0.0, 4.0], true);
        assert_eq!((firsts, others), (vec![2, 4], vec![(0, 0), (0, 1), (0, 3)]));
        let Copies { firsts, others } = found(1, &[0.0, 0.0], true);
        assert_eq!((firsts, others), (vec![0], vec![(0, 1)]), "nothing else is there");
    }

    #[test]
    fn copies_hang_below_their_first_and_each_is_met_on_the_way() {
        // Five different nodes, all linked; forty copies of the last one.
        let rows: Vec<f32> = [1.0, 2.0, 3.0, 9.0, 5.0].into_iter().chain([5.0; 40]).collect();
        let mut graph = Graph::new(1, 2, (0..45).collect(), rows, &[0; 45]);
        for node in 0..5u32 {
            graph.set_links(node, 0, (1..5).map(|step| (node + step) % 5));
        }
        let mut heard = |_| ControlFlow::Continue(());
        hang_all(&mut graph, &[4; 40], &mut Progress::new(&mut heard)).unwrap();
        for start in (0..4).chain(5..45) {
            let mut met = [false; 45];
            let mut waiting = vec![start];
            while let Some(node) = waiting.pop() {
                if !std::mem::replace(&mut met[node as usize], true) {
                    waiting.extend(graph.links(node, 0));
                }
            }
            assert!(met[4..].iter().all(|met| *met), "from {start}: {met:?}");
        }
        assert!(graph.links(4, 0).iter().any(|&node| node < 4), "they do not fill its links");
    }
}
