//! What a worker computes with: the door behind which a device stands, and the CPU behind it.
//!
//! The device is the OpenCL engine of the crate `index`, a process of its own. It is opened beside the work: until it
//! answers, and where there is none or it is lost, the CPU computes, and the worker says so. All sums are of whole
//! numbers, so nobody can tell from a result which of the two it was.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use harness::corpus::Corpus;
use harness::job::{Checkpoint, DIM, Job, Sums};
use index::opencl::Whole;

/// A device that takes longer for a shard is lost; whoever waits for the shard waits longer.
const SHARD_LIMIT: Duration = Duration::from_millis(500);

/// A device. Sums are integers and the same on every device; inference may sum in another order than the reference,
/// and agrees with it to 1e-5.
pub trait Engine: Send + Sync + fmt::Debug {
    /// What it is, in words.
    fn name(&self) -> String;

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
    fn name(&self) -> String {
        "cpu".into()
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

/// An OpenCL device, and the processor while there is none.
#[derive(Debug)]
pub struct OpenCl {
    cpu: Cpu,
    device: Arc<Mutex<Device>>,
    /// Shards that the device computed.
    shards: AtomicU64,
}

/// The device of a worker. It computes one shard at a time.
#[derive(Debug)]
enum Device {
    Opening,
    Open(Whole),
    /// Why there is none.
    Lost(String),
}

impl OpenCl {
    /// With the network's weights loaded; the device is opened on a thread of its own.
    pub fn new(corpus: &Corpus, job: Job) -> Self {
        let device = Arc::new(Mutex::new(Device::Opening));
        let opened = Arc::downgrade(&device);
        thread::spawn(move || {
            let found = Whole::open().and_then(|mut whole| {
                // Compiled before anybody waits for it. No shard needs it yet, so it may take its time.
                whole.nearest(DIM, &[0; DIM], &[0; DIM], Duration::from_secs(60))?;
                Ok(whole)
            });
            // The worker may be gone meanwhile.
            if let Some(device) = opened.upgrade() {
                *held(&device) = found.map_or_else(Device::Lost, Device::Open);
            }
        });
        Self { cpu: Cpu::new(corpus, job), device, shards: AtomicU64::new(0) }
    }

    /// What the device makes of a shard; `None` if it is busy, not there yet, or lost.
    fn on_device(&self, before: &Checkpoint, shard: u32) -> Option<Sums> {
        let mut device = match self.device.try_lock() {
            Ok(device) => device,
            Err(TryLockError::WouldBlock) => return None,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        };
        let Device::Open(whole) = &mut *device else { return None };
        let (points, centroids) = (self.cpu.job.points(before.step + 1, shard), before.centroids());
        match whole.nearest(DIM, points.as_flattened(), centroids.as_flattened(), SHARD_LIMIT) {
            Ok(nearest) => {
                self.shards.fetch_add(1, Ordering::Relaxed);
                Some(Sums::of(points.iter().zip(nearest).map(|(point, c)| (c as usize, point))))
            }
            Err(why) => {
                tracing::warn!("the device is lost: {why}");
                *device = Device::Lost(why);
                None
            }
        }
    }
}

fn held(device: &Mutex<Device>) -> MutexGuard<'_, Device> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine for OpenCl {
    fn name(&self) -> String {
        let shards = self.shards.load(Ordering::Relaxed);
        // Whoever asks does not wait for a shard.
        let device = match self.device.try_lock() {
            Ok(device) => device,
            Err(TryLockError::WouldBlock) => {
                return format!("opencl, at work, {shards} shards computed there");
            }
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        };
        match &*device {
            Device::Opening => "cpu (an OpenCL device is being opened)".into(),
            Device::Open(whole) => format!("opencl on {}, {shards} shards computed there", whole.device()),
            Device::Lost(why) if shards == 0 => format!("cpu (opencl: {why})"),
            Device::Lost(why) => format!("cpu (opencl, after {shards} shards: {why})"),
        }
    }

    fn shard(&self, before: &Checkpoint, shard: u32) -> Sums {
        self.on_device(before, shard).unwrap_or_else(|| self.cpu.shard(before, shard))
    }

    fn inputs(&self) -> usize {
        self.cpu.inputs()
    }

    fn infer(&self, input: &[f32]) -> Vec<f32> {
        self.cpu.infer(input)
    }
}
