//! The grid of a leaf: rows rounded to whole numbers of at most 127, so that products of bytes will do to compare them.
//!
//! Products and squared lengths are whole numbers that a float holds exactly, added up in any order: an engine that
//! knows no bytes multiplies the same numbers as floats and finds the same neighbours. Where too little would be left of
//! the rows, or sums could become too large, there is no grid, and floats it is.
//!
//! Rounding decides which members of a leaf become candidates, and nothing else: links are chosen by exact distances.

use super::super::narrow::moderate;
use super::super::rows::Rows;
use crate::distance::{AHEAD, prefetch};
use crate::tile::{Form, LANES, Micro, Tier, on_tier};
use std::ops::RangeInclusive;

/// Values of rows that leaves may compare rounded, as bytes. Of fewer the errors do not level out, and floats are as fast;
/// the square of 127 times the greatest number is the last below 2^24.
pub const BYTES: RangeInclusive<usize> = 32..=1_040;
/// Steps of the grid that values of an ordinary row are away from the origin in the mean, at least.
const FINE: f64 = 6.0;

/// How the rows of a leaf are rounded: their distances from `origin`, times `scale`.
#[derive(Debug)]
pub(crate) struct Grid {
    pub(crate) origin: Vec<f32>,
    /// 0 where they are not rounded.
    pub(crate) scale: f32,
}

impl Grid {
    pub(crate) fn of(tier: Tier, rows: Rows<'_>, members: &[u32]) -> Self {
        let origin = rows.centre(members.iter().copied());
        let scale = if BYTES.contains(&rows.dim) { scale(tier, rows, members, &origin) } else { 0.0 };
        Self { origin, scale }
    }
}

/// Steps for a distance of 1: all values of nearly all rows are within the grid.
fn scale(tier: Tier, rows: Rows<'_>, members: &[u32], origin: &[f32]) -> f32 {
    let (mut peaks, mut sums): (Vec<f32>, Vec<f32>) = members
        .iter()
        .enumerate()
        .map(|(place, &at)| {
            if let Some(&coming) = members.get(place + AHEAD) {
                prefetch(rows.row(coming));
            }
            let mut found = (0.0, 0.0);
            extent(tier, rows.row(at), origin, &mut found);
            found
        })
        .unzip();
    let at = |values: &mut [f32], place: usize| *values.select_nth_unstable_by(place, f32::total_cmp).1;
    let (peak, sum) = (at(&mut peaks, members.len() * 49 / 50), at(&mut sums, members.len() / 2));
    let scale = Form::Signed.ends().1 / peak;
    let steps = f64::from(sum) / rows.dim as f64 * f64::from(scale);
    if moderate(f64::from(peak)) && steps >= FINE { scale } else { 0.0 }
}

on_tier!(fn extent = extent_body(row: &[f32], origin: &[f32], found: &mut (f32, f32)));

/// The greatest distance of a value from the origin, and the sum of all: in sixteen lanes, whose order is
/// the same on every tier.
#[inline(always)]
fn extent_body<M: Micro>(row: &[f32], origin: &[f32], found: &mut (f32, f32)) {
    let (mut peaks, mut sums) = ([0.0f32; LANES], [0.0f32; LANES]);
    let ((row, row_rest), (origin, origin_rest)) = (row.as_chunks::<LANES>(), origin.as_chunks::<LANES>());
    for (row, origin) in row.iter().zip(origin) {
        for lane in 0..LANES {
            let value = (row[lane] - origin[lane]).abs();
            peaks[lane] = if value > peaks[lane] { value } else { peaks[lane] };
            sums[lane] += value;
        }
    }
    for (lane, (value, origin)) in row_rest.iter().zip(origin_rest).enumerate() {
        let value = (value - origin).abs();
        peaks[lane] = if value > peaks[lane] { value } else { peaks[lane] };
        sums[lane] += value;
    }
    *found = (peaks.into_iter().fold(0.0, f32::max), sums.into_iter().sum());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_grid_where_enough_is_left_of_the_rows() {
        let grid = |dim: usize, value: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
            let data: Vec<f32> = (0..100 * dim).map(|at| value(at / dim, at % dim)).collect();
            let rows = Rows { dim, data: &data };
            let members: Vec<u32> = (0..100).collect();
            Tier::available().into_iter().map(|tier| Grid::of(tier, rows, &members).scale).collect()
        };
        let spread = |row: usize, k: usize| ((row * 31 + k * 17) % 101) as f32;
        let same = |scales: Vec<f32>| {
            assert!(scales.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits()), "{scales:?}");
            scales[0]
        };
        for dim in [32, 45, 1_040] {
            let scale = same(grid(dim, &spread));
            assert!((1.0..3.0).contains(&scale), "{dim}: {scale}");
        }
        assert_eq!(same(grid(31, &spread)), 0.0, "few values");
        assert_eq!(same(grid(1_041, &spread)), 0.0, "sums that a float does not hold");
        assert_eq!(same(grid(64, &|_, _| 7.5)), 0.0, "rows that are all alike");
        assert_eq!(same(grid(64, &|row, k| spread(row, k) * 1e30)), 0.0, "boundless rows");
        // One value that is far larger than the others would leave nothing of them.
        assert_eq!(
            same(grid(64, &|row, k| if k == 0 { 100.0 * row as f32 } else { spread(row, k) / 50.0 })),
            0.0
        );
        // A row of a hundred far away is cut off.
        let with_one_far = |row: usize, k: usize| if row == 99 { 1e6 } else { spread(row, k) };
        assert!((1.0..3.0).contains(&same(grid(64, &with_one_far))));
    }
}
