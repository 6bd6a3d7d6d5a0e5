//! Overlapping clusters, as embeddings have them: sizes by a power law, each cluster stretched along a few directions,
//! a little noise in all of them.
//!
//! The bytes are the same on every machine: randomness is drawn as integers, what is done with it are additions,
//! multiplications and square roots in a fixed order, which IEEE 754 rounds alike everywhere; no sine, no logarithm.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// Shared sets of directions along which clusters are stretched.
const BASES: usize = 32;
/// Vectors in a cluster, on average.
const IN_CLUSTER: usize = 100;

/// `n` rows of `dim` values; `intrinsic` directions a cluster.
pub(super) fn rows(n: usize, dim: usize, intrinsic: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let clusters = (n / IN_CLUSTER).max(1);
    let centres: Vec<f32> = (0..clusters * dim).map(|_| 0.6 * bell(&mut rng)).collect();
    let stretch: Vec<f32> = (0..clusters).map(|_| 0.5 + unit(&mut rng)).collect();
    // Of unit length on average, so that `intrinsic` of them carry most of a vector's way from its centre.
    let scale = 0.9 / (intrinsic as f32).sqrt();
    let bases: Vec<f32> = (0..BASES * intrinsic * dim).map(|_| scale * bell(&mut rng)).collect();
    let upto = upto(clusters);
    let mut rows = Vec::with_capacity(n * dim);
    let mut along = vec![0.0f32; intrinsic];
    for _ in 0..n {
        let cluster = draw(&upto, &mut rng);
        along.iter_mut().for_each(|z| *z = stretch[cluster] * bell(&mut rng));
        let start = rows.len();
        rows.extend_from_slice(&centres[cluster * dim..][..dim]);
        let row = &mut rows[start..];
        let base = &bases[cluster % BASES * intrinsic * dim..][..intrinsic * dim];
        for (direction, z) in base.chunks_exact(dim).zip(&along) {
            row.iter_mut().zip(direction).for_each(|(x, d)| *x += z * d);
        }
        row.iter_mut().for_each(|x| *x += 0.25 * bell(&mut rng));
    }
    rows
}

/// Sums of weights that fall with the square root of a cluster's rank.
fn upto(clusters: usize) -> Vec<u64> {
    let mut sum = 0u64;
    let weight = |rank: usize| (1e9 / (rank as f64).sqrt()) as u64;
    (1..=clusters).map(|rank| (sum += weight(rank), sum).1).collect()
}

fn draw(upto: &[u64], rng: &mut ChaCha8Rng) -> usize {
    let all = u128::from(upto.last().copied().unwrap_or(1));
    let at = ((u128::from(rng.next_u64()) * all) >> 64) as u64;
    upto.partition_point(|sum| *sum <= at).min(upto.len() - 1)
}

/// Roughly normal, mean 0, deviation 1: four uniform numbers of 16 bits in one draw.
fn bell(rng: &mut ChaCha8Rng) -> f32 {
    let bits = rng.next_u64();
    let sum: i32 = (0..4).map(|i| ((bits >> (16 * i)) & 0xffff) as i32 - 32_768).sum();
    // The deviation of the sum: 2 * 65536 / sqrt(12).
    sum as f32 / 37_837.0
}

/// Between 0 and 1.
fn unit(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u64() >> 40) as f32 / (1u32 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_rows_and_another_seed_others() {
        let a = rows(500, 24, 8, 1);
        assert_eq!(a.len(), 500 * 24);
        assert_eq!(a, rows(500, 24, 8, 1));
        assert_ne!(a, rows(500, 24, 8, 2));
        assert!(a.iter().all(|x| x.is_finite()));
    }

    #[test]
    fn the_bell_has_mean_zero_and_deviation_one() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(bell(&mut rng))).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let deviation = (draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5).sqrt();
        assert!(mean.abs() < 0.02 && (deviation - 1.0).abs() < 0.02, "{mean} {deviation}");
    }

    #[test]
    fn large_clusters_come_first() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let upto = upto(100);
        let mut count = [0; 100];
        (0..20_000).for_each(|_| count[draw(&upto, &mut rng)] += 1);
        assert!(count[0] > 5 * count[99], "{count:?}");
        assert!(count.iter().all(|c| *c > 0));
    }
}
