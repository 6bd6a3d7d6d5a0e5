//! The job that workers share: mini-batch k-means, a step at a time, each step cut into shards.
//!
//! A step assigns a batch of points to their nearest centroids and moves the centroids; the batch is a function of the
//! seed and the step. All arithmetic is on integers, so the sums of a shard are the same on every machine and add up
//! in any order: a job that was disturbed a hundred times must end, bit for bit, where an undisturbed one ends.
//! (Sculley, "Web-scale k-means clustering", WWW 2010, with a batch's points taken together.)

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Dimensions of a point.
pub const DIM: usize = 16;
/// Centroids.
pub const CLUSTERS: usize = 8;
/// Shards of a step.
pub const SHARDS: u32 = 8;
/// Points of a shard.
pub const SHARD_POINTS: usize = 512;

/// A point: each coordinate is far below 2^15, so that squared distances and sums cannot overflow.
pub type Point = [i32; DIM];

/// What one shard of a step adds up to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sums {
    /// By centroid: the sums of the points that are nearest to it.
    pub sums: [[i64; DIM]; CLUSTERS],
    /// By centroid: how many points are nearest to it.
    pub counts: [u64; CLUSTERS],
}

impl Sums {
    /// The sums of points, each with its centroid.
    pub fn of<'a>(points: impl IntoIterator<Item = (usize, &'a Point)>) -> Sums {
        let mut out = Sums::default();
        for (nearest, point) in points {
            out.counts[nearest] += 1;
            for (sum, x) in out.sums[nearest].iter_mut().zip(point) {
                *sum += i64::from(*x);
            }
        }
        out
    }

    /// Adds the sums of another shard.
    pub fn add(&mut self, other: &Sums) {
        for c in 0..CLUSTERS {
            self.counts[c] = self.counts[c].wrapping_add(other.counts[c]);
            for d in 0..DIM {
                self.sums[c][d] = self.sums[c][d].wrapping_add(other.sums[c][d]);
            }
        }
    }
}

/// The state of the job after a number of steps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The steps that went into it.
    pub step: u64,
    /// Everything that was ever assigned to each centroid.
    pub total: Sums,
}

/// The job of one drill.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Job {
    /// All points come from here.
    pub seed: u64,
}

impl Job {
    fn rng(self, stream: u64, a: u64, b: u64) -> ChaCha8Rng {
        let mut key = [0u8; 32];
        for (chunk, word) in key.chunks_exact_mut(8).zip([self.seed, 0x6a6f_6200 + stream, a, b]) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }

    fn point(rng: &mut ChaCha8Rng) -> Point {
        // Around one of a few corners of a cube, so that there is something to find.
        let corner = rng.next_u32();
        std::array::from_fn(|d| {
            let side = if corner >> (d % 3) & 1 == 1 { 4000 } else { -4000 };
            side + i32::try_from(rng.next_u32() % 2000).expect("small") - 1000
        })
    }

    /// Before the first step: each centroid is one point.
    pub fn start(self) -> Checkpoint {
        let mut rng = self.rng(0, 0, 0);
        let sums = std::array::from_fn(|_| Job::point(&mut rng).map(i64::from));
        Checkpoint { step: 0, total: Sums { sums, counts: [1; CLUSTERS] } }
    }

    /// The points of a shard of a step.
    pub fn points(self, step: u64, shard: u32) -> Vec<Point> {
        let mut rng = self.rng(1, step, shard.into());
        (0..SHARD_POINTS).map(|_| Job::point(&mut rng)).collect()
    }

    /// What a worker computes: one shard of the step after `before`.
    pub fn shard(self, before: &Checkpoint, shard: u32) -> Sums {
        let centroids = before.centroids();
        let points = self.points(before.step + 1, shard);
        Sums::of(points.iter().map(|point| (nearest(&centroids, point), point)))
    }

    /// The step after `before`, undisturbed.
    pub fn step(self, before: &Checkpoint) -> Checkpoint {
        before.after((0..SHARDS).map(|shard| self.shard(before, shard)))
    }
}

impl Checkpoint {
    /// Where the centroids are: means, rounded towards zero.
    pub fn centroids(&self) -> [Point; CLUSTERS] {
        std::array::from_fn(|c| {
            let count = i64::try_from(self.total.counts[c].max(1)).unwrap_or(i64::MAX);
            self.total.sums[c].map(|sum| i32::try_from(sum / count).unwrap_or(0))
        })
    }

    /// With the sums of every shard of the next step.
    pub fn after(&self, shards: impl IntoIterator<Item = Sums>) -> Checkpoint {
        let mut next = Checkpoint { step: self.step + 1, total: self.total.clone() };
        shards.into_iter().for_each(|s| next.total.add(&s));
        next
    }

    /// As it is stored: a checkpoint is right if it has the very bytes of the undisturbed job's.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("gameday checkpoint {}\n", self.step).into_bytes();
        for c in 0..CLUSTERS {
            bytes.extend(self.total.counts[c].to_le_bytes());
            self.total.sums[c].iter().for_each(|s| bytes.extend(s.to_le_bytes()));
        }
        bytes
    }

    /// Reads what [`Checkpoint::bytes`] wrote; `None` for anything else.
    pub fn parse(bytes: &[u8]) -> Option<Checkpoint> {
        let end = bytes.iter().position(|b| *b == b'\n')?;
        let step = std::str::from_utf8(&bytes[..end]).ok()?.strip_prefix("gameday checkpoint ")?;
        let step = step.parse().ok()?;
        let (words, rest) = bytes[end + 1..].as_chunks::<8>();
        if !rest.is_empty() || words.len() != CLUSTERS * (DIM + 1) {
            return None;
        }
        let mut total = Sums::default();
        for (c, words) in words.chunks_exact(DIM + 1).enumerate() {
            total.counts[c] = u64::from_le_bytes(words[0]);
            for (sum, word) in total.sums[c].iter_mut().zip(&words[1..]) {
                *sum = i64::from_le_bytes(*word);
            }
        }
        Some(Checkpoint { step, total })
    }
}

fn nearest(centroids: &[Point; CLUSTERS], point: &Point) -> usize {
    let distance =
        |c: &Point| -> i64 { c.iter().zip(point).map(|(a, b)| i64::from(a - b) * i64::from(a - b)).sum() };
    // The first of equals, on every machine.
    (0..CLUSTERS).min_by_key(|c| distance(&centroids[*c])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up_in_any_order() {
        let job = Job { seed: 3 };
        let before = job.step(&job.start());
        let backwards = before.after((0..SHARDS).rev().map(|s| job.shard(&before, s)));
        assert_eq!(job.step(&before), backwards);
        let dropped = before.after((1..SHARDS).map(|s| job.shard(&before, s)));
        assert_ne!(job.step(&before), dropped);
    }

    #[test]
    fn checkpoints_read_as_written() {
        let job = Job { seed: 3 };
        let checkpoint = job.step(&job.step(&job.start()));
        let bytes = checkpoint.bytes();
        assert_eq!(Checkpoint::parse(&bytes), Some(checkpoint));
        for end in 0..bytes.len() {
            assert_eq!(Checkpoint::parse(&bytes[..end]), None);
        }
    }
}
