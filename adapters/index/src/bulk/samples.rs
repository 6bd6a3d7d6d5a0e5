//! Samples of leaves, which are leaves themselves: neighbours at larger scales.
//!
//! Where rows lie in tight groups, the four nearest of each are of its own group, and links of those alone leave every
//! group an island. Insertion knows no such islands: whoever comes early meets the few that are there already, far apart.
//! So where the members of a leaf lie in groups, a part of them is drawn and compared once more, a part of that, and so on; in
//! one of the samples a group of any size is thinned out to one row or two, and these find the groups around them.

use super::leaf::{Leaves, NEAR, tight};
use super::rows::Rows;
use crate::crew;
use crate::draw::Draw;
use crate::engine::{BuildError, Progress};

/// A sample has more members than each of them finds neighbours.
const LEAST: usize = NEAR + 2;
/// How many times as far, squared, members of a leaf are in general as the last neighbour found; and of how many members of
/// such a leaf one is in the next sample. The tighter the groups, the less else leads out of them.
const GROUPED: [(f32, usize); 2] = [(32.0, 2), (2.5, 4)];

/// Samples of the leaves whose members lie in groups, drawn for each leaf anew; `near` is what their members found.
pub(crate) fn of_grouped(
    rows: Rows<'_>,
    leaves: &Leaves,
    near: &[u16],
    seed: u64,
    progress: &mut Progress<'_>,
) -> Result<Leaves, BuildError> {
    let mut parts = vec![None; leaves.iter().len()];
    let items = leaves.iter().zip(near_of(leaves, near)).zip(&mut parts);
    crew::each(
        items,
        progress,
        || (),
        |(), ((members, near), part)| {
            let grouped = |times| tight::radius(rows, members, near, times).is_some();
            *part = GROUPED.into_iter().find(|(times, _)| grouped(*times)).map(|(_, part)| part);
        },
    )?;
    let mut draw = Draw::new(seed, *b"samples ");
    let mut all = Leaves { starts: vec![0], members: Vec::new() };
    for (leaf, part) in leaves.iter().zip(parts).filter_map(|(leaf, part)| Some((leaf, part?))) {
        let mut drawn = draw.sample(leaf.len(), leaf.len() / part);
        while drawn.len() >= LEAST {
            let mut members: Vec<u32> = drawn.iter().map(|&at| leaf[at]).collect();
            members.sort_unstable();
            all.members.append(&mut members);
            all.starts.push(all.members.len());
            drawn.truncate(drawn.len() / part);
        }
    }
    Ok(all)
}

/// What the members of each leaf found.
fn near_of<'n>(leaves: &Leaves, near: &'n [u16]) -> impl ExactSizeIterator<Item = &'n [u16]> {
    leaves.starts.windows(2).map(move |pair| &near[pair[0] * NEAR..pair[1] * NEAR])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    /// Of two leaves, each member with the four behind it as neighbours.
    fn samples(dim: usize, data: &[f32], seed: u64) -> Leaves {
        let rows = Rows { dim, data };
        let members: Vec<u32> = (0..rows.len() as u32).collect();
        let leaves = Leaves { starts: vec![0, 300, rows.len()], members };
        let near: Vec<u16> = leaves
            .iter()
            .flat_map(|leaf| {
                let n = leaf.len() as u16;
                (0..n).flat_map(move |at| (1..5).map(move |by| (at + by) % n))
            })
            .collect();
        let mut heard = |_| ControlFlow::Continue(());
        of_grouped(rows, &leaves, &near, seed, &mut Progress::new(&mut heard)).unwrap()
    }

    #[test]
    fn a_leaf_of_groups_is_followed_by_ever_smaller_parts_of_it() {
        // Groups of ten on a line, in both leaves.
        let data: Vec<f32> = (0..330).map(|at| (at / 10 * 100 + at % 10) as f32).collect();
        let all = samples(1, &data, 1);
        let sizes: Vec<usize> = all.iter().map(<[u32]>::len).collect();
        assert_eq!(sizes, [150, 75, 37, 18, 9, 15, 7]);
        let parts: Vec<&[u32]> = all.iter().collect();
        assert!(parts.iter().all(|part| part.is_sorted_by(|a, b| a < b)));
        assert!(parts[1].iter().all(|member| parts[0].contains(member)));
        assert!(parts[0].iter().all(|member| *member < 300) && parts[5].iter().all(|member| *member >= 300));
        assert_ne!(samples(1, &data, 2).members, all.members);
    }

    #[test]
    fn a_leaf_without_groups_has_no_samples() {
        // As far from the four behind as from any other.
        let mut draw = Draw::new(1, *b"test    ");
        let data: Vec<f32> = (0..330 * 64).map(|_| (draw.next() & 1) as f32).collect();
        assert!(samples(64, &data, 1).members.is_empty());
    }
}
