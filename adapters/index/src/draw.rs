//! Randomness from a seed, made of integers only so that every platform draws the same.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of draws; `purpose` keeps streams with the same seed apart.
#[derive(Debug)]
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    pub(crate) fn new(seed: u64, purpose: [u8; 8]) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&purpose);
        Self(ChaCha8Rng::from_seed(key))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// One of the numbers below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        // The high half of the product is uniform up to a bias of n / 2^64.
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// `count` different positions below `n`, in random order (all of them if `count >= n`).
    pub(crate) fn sample(&mut self, n: usize, count: usize) -> Vec<usize> {
        let mut positions: Vec<usize> = (0..n).collect();
        let count = count.min(n);
        for taken in 0..count {
            let offset = self.below(n - taken);
            positions.swap(taken, taken + offset);
        }
        positions.truncate(count);
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_distinct_seeded_and_bounded() {
        let sample = |seed, count| Draw::new(seed, *b"test    ").sample(100, count);
        let mut once = sample(1, 40);
        assert_eq!(once, sample(1, 40));
        assert_ne!(once, sample(2, 40));
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), 40);
        assert_eq!(sample(1, 1_000).len(), 100);
    }
}
