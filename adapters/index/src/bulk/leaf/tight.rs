//! Tight groups within a leaf are compared anew, pair by pair.
//!
//! A grid that holds groups far apart puts all members of one group on one point, and sums of squares less twice a product
//! leave little of their differences either: which four of a group are nearest would be left to chance. So some members of
//! each leaf are asked: is the last neighbour found for them much nearer than members are in general? Where it is, members
//! are put into groups, and each is compared with its own group by differences of values.

use super::grid::BYTES;
use super::{LEAF, NEAR, NOBODY};
use crate::bulk::rows::Rows;
use crate::distance::Kernel;
use crate::key::Key;

/// Members asked in each leaf.
const ASKED: usize = 6;
/// Others that one is held against.
const OTHERS: usize = 3;
/// How many times as far, squared, members of different groups are: where leaves are compared by bytes, and by floats.
const TIGHT: [f32; 2] = [256.0, 65_536.0];

/// Finds the neighbours within tight groups anew; `near` has [`NEAR`] places for each member of the leaf.
pub(super) fn mend(rows: Rows<'_>, members: &[u32], near: &mut [u16]) {
    let kernel = Kernel::detect();
    if members.len() > 4 * NEAR
        && let Some(radius) = radius(rows, members, near, TIGHT[usize::from(!BYTES.contains(&rows.dim))])
    {
        for group in groups(kernel, rows, members, radius).iter().filter(|group| group.len() > NEAR + 1) {
            compare(kernel, rows, members, group, near);
        }
    }
}

/// The squared distance within groups, where there are any: members in general are so many `times` as far.
pub(crate) fn radius(rows: Rows<'_>, members: &[u32], near: &[u16], times: f32) -> Option<f32> {
    let (kernel, n) = (Kernel::detect(), members.len());
    let distance = |a: usize, b: usize| kernel.distance(rows.row(members[a]), rows.row(members[b]));
    let mut radius = None;
    for this in (0..ASKED).map(|asked| asked * n / ASKED) {
        // Quarters of the leaf farther on: not those beside it, which are near.
        let mut others: [f32; OTHERS] =
            std::array::from_fn(|at| distance(this, (this + (at + 1) * n / (OTHERS + 1)) % n));
        others.sort_unstable_by(f32::total_cmp);
        let within = others[OTHERS / 2] / times;
        let last = near[this * NEAR + NEAR - 1];
        if last != NOBODY && distance(this, usize::from(last)) < within {
            radius = Some(radius.map_or(within, |radius: f32| radius.max(within)));
        }
    }
    radius
}

/// Places of members that lie within the radius of the first of their group.
fn groups(kernel: Kernel, rows: Rows<'_>, members: &[u32], radius: f32) -> Vec<Vec<u16>> {
    debug_assert!(members.len() <= LEAF);
    let (mut firsts, mut groups): (Vec<u32>, Vec<Vec<u16>>) = Default::default();
    let mut distances = Vec::new();
    for (place, &member) in (0..).zip(members) {
        kernel.near_rows(rows.row(member), rows.data, &firsts, &mut distances);
        match distances.iter().position(|distance| *distance <= radius) {
            Some(group) => groups[group].push(place),
            None => {
                firsts.push(member);
                groups.push(vec![place]);
            }
        }
    }
    groups
}

/// The nearest of its group for each member of one.
fn compare(kernel: Kernel, rows: Rows<'_>, members: &[u32], group: &[u16], near: &mut [u16]) {
    let (mut distances, mut keys) = (Vec::new(), Vec::new());
    let all: Vec<u32> = group.iter().map(|&place| members[usize::from(place)]).collect();
    for (at, &this) in group.iter().enumerate() {
        kernel.near_rows(rows.row(all[at]), rows.data, &all, &mut distances);
        keys.clear();
        keys.extend(group.iter().zip(&distances).map(|(place, far)| Key::new(*far, u32::from(*place))));
        keys.swap_remove(at);
        keys.select_nth_unstable(NEAR - 1);
        keys[..NEAR].sort_unstable();
        for (near, key) in near[usize::from(this) * NEAR..][..NEAR].iter_mut().zip(&keys) {
            *near = key.position() as u16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;

    #[test]
    fn a_tight_group_is_compared_pair_by_pair_and_others_are_left_alone() {
        let mut draw = Draw::new(1, *b"tight   ");
        let mut value = || (draw.next() >> 40) as f32 / 16_777_216.0;
        // Ten groups of ten, a thousandth as wide as they are apart.
        const DIM: usize = 40;
        let towns: Vec<f32> = (0..10 * DIM).map(|_| value()).collect();
        let data: Vec<f32> =
            (0..100 * DIM).map(|at| towns[at / (10 * DIM) * DIM + at % DIM] + 1e-3 * value()).collect();
        let rows = Rows { dim: DIM, data: &data };
        let members: Vec<u32> = (0..100).collect();
        let wrong: Vec<u16> =
            (0..100u16).flat_map(|at| (1..5).map(move |by| at / 10 * 10 + (at + by) % 10)).collect();
        let mut near = wrong.clone();
        mend(rows, &members, &mut near);
        for (this, near) in near.chunks_exact(NEAR).enumerate() {
            let far = |at: u16| Kernel::detect().distance(rows.row(this as u32), rows.row(u32::from(at)));
            let mut exact: Vec<u16> = (0..100).filter(|&at| usize::from(at) != this).collect();
            exact.sort_by(|a, b| far(*a).total_cmp(&far(*b)));
            assert_eq!(near, &exact[..NEAR]);
        }
        // Without groups what was found stays, right or wrong.
        let data: Vec<f32> = (0..100 * DIM).map(|_| value()).collect();
        let mut near = wrong.clone();
        mend(Rows { dim: DIM, data: &data }, &members, &mut near);
        assert_eq!(near, wrong);
    }
}
