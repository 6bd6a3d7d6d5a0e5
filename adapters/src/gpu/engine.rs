//! What a worker computes with: the door behind which a device stands, and the CPU behind it.

use std::fmt;

use harness::corpus::Corpus;
use harness::job::{Checkpoint, Job, Sums};

/// A device. Sums are integers and the same on every device; inference may sum in another order than the reference,
/// and agrees with it to 1e-5.
pub trait Engine: Send + Sync + fmt::Debug {
    /// What it is, in a word.
    fn name(&self) -> &'static str;

    /// One shard of the step after `before`, both of which have been checked.
    fn shard(&self, before: &Checkpoint, shard: u32) -> Sums;

    /// How many values an input has.
    fn inputs(&self) -> usize;

    /// What the network answers to an input of the right length.
    fn infer(&self, input: &[f32]) -> Vec<f32>;
}

/// The processor that the worker runs on.
#[derive(Debug)]
pub struct Cpu {
    job: Job,
    layers: [Vec<Vec<f32>>; 2],
}

impl Cpu {
    /// With the network's weights loaded.
    pub fn new(corpus: &Corpus, job: Job) -> Self {
        Self { job, layers: corpus.weights() }
    }
}

impl Engine for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn shard(&self, before: &Checkpoint, shard: u32) -> Sums {
        self.job.shard(before, shard)
    }

    fn inputs(&self) -> usize {
        self.layers[0].first().map_or(0, Vec::len)
    }

    fn infer(&self, input: &[f32]) -> Vec<f32> {
        let layer = |weights: &Vec<Vec<f32>>, input: &[f32]| -> Vec<f32> {
            weights.iter().map(|row| row.iter().zip(input).map(|(w, x)| w * x).sum()).collect()
        };
        let hidden: Vec<f32> = layer(&self.layers[0], input).into_iter().map(|x| x.max(0.0)).collect();
        layer(&self.layers[1], &hidden)
    }
}
