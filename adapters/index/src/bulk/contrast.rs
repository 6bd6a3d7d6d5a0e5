//! How hard the data is: the relative contrast of He, Kumar and Chang (2012), of a sample.
//!
//! Where the nearest rows are hardly nearer than any others, partitions keep fewer of them together, and rows have to be
//! in more leaves for the same graph.

use super::rows::Rows;
use crate::bulk::leaf::NEAR;
use crate::distance::Kernel;
use crate::draw::Draw;

/// Rows asked, and those that they are held against.
const ASKED: usize = 64;
const AMONG: usize = 2_048;
/// Below this the mean squared distance is too little more than that of the nearest. Bits drawn at random have 1.5,
/// clustered vectors 10 and more.
const LOW: f32 = 1.75;

/// Whether near rows are hardly nearer than others.
pub(crate) fn is_low(rows: Rows<'_>, seed: u64) -> bool {
    let drawn = Draw::new(seed, *b"contrast").sample(rows.len(), AMONG);
    let mut drawn: Vec<u32> = drawn.into_iter().map(|row| row as u32).collect();
    let mut distances = Vec::new();
    let asked = drawn.len().min(ASKED);
    let mut ratios: Vec<f32> = (0..asked)
        .filter_map(|at| {
            // Not held against itself: the first one is.
            drawn.swap(0, at);
            Kernel::detect().rows(rows.row(drawn[0]), rows.data, &drawn[1..], &mut distances);
            let mean = distances.iter().sum::<f32>() / distances.len() as f32;
            let near = NEAR.min(distances.len()).checked_sub(1)?;
            let near = *distances.select_nth_unstable_by(near, f32::total_cmp).1;
            Some(if near > 0.0 { mean / near } else { f32::INFINITY })
        })
        .collect();
    let middle = ratios.len() / 2;
    middle > 0 && *ratios.select_nth_unstable_by(middle, f32::total_cmp).1 < LOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_little_contrast_and_clusters_much() {
        let mut draw = Draw::new(1, *b"test    ");
        let bits: Vec<f32> = (0..4_000 * 64).map(|_| (draw.next() & 1) as f32).collect();
        assert!(is_low(Rows { dim: 64, data: &bits }, 1));
        let far: Vec<f32> =
            bits.iter().enumerate().map(|(at, bit)| bit + (at / 64 % 20) as f32 * 9.0).collect();
        assert!(!is_low(Rows { dim: 64, data: &far }, 1));
        assert!(!is_low(Rows { dim: 3, data: &[1.0; 300] }, 1), "equal rows");
        // One row has nothing to be held against.
        assert!(!is_low(Rows { dim: 1, data: &[] }, 1) && !is_low(Rows { dim: 1, data: &[1.0] }, 1));
    }
}
