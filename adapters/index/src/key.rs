//! A distance and a position packed into one integer that sorts by distance, then by position.
//!
//! Heaps of integers are fast, and a total order without ties is what makes builds deterministic.

/// Sorts by distance (IEEE total order), ties by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u64);

const SIGN: u32 = 1 << 31;

impl Key {
    pub(crate) fn new(distance: f32, position: u32) -> Self {
        let bits = distance.to_bits();
        let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
        Self(u64::from(ordered) << 32 | u64::from(position))
    }

    pub(crate) fn distance(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        f32::from_bits(if ordered & SIGN == 0 { !ordered } else { ordered ^ SIGN })
    }

    pub(crate) fn position(self) -> u32 {
        self.0 as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_by_distance_then_position_and_nothing_is_lost() {
        let pairs =
            [(-2.0, 0), (-0.5, 9), (0.0, 1), (0.0, 2), (1.5, 0), (f32::MAX, 7), (f32::INFINITY, u32::MAX)];
        let keys: Vec<Key> = pairs.iter().map(|&(distance, position)| Key::new(distance, position)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        for (key, pair) in keys.iter().zip(pairs) {
            assert_eq!((key.distance(), key.position()), pair);
        }
    }
}
