//! Building: one function, whichever engine does the work.
//!
//! The engine is a value, so that callers choose it at run time and never change when one is added.

use crate::device::Device;
use crate::searcher::{Body, Index};
use crate::{IndexSpec, Kind, SpecError, Vectors, hnsw, ivf};
use std::fmt;
use std::ops::ControlFlow;

/// What builds the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Engine {
    /// All processors, by the widest instructions they have. The bytes are the same on every machine.
    #[default]
    Cpu,
    /// The OpenCL engine, a process of its own ([`crate::opencl`]). What it cannot do the processor does, and
    /// [`Index::ran`] says so; the bytes are those of [`Engine::Cpu`] either way.
    OpenCl,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::OpenCl => "opencl",
        })
    }
}

/// What built an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The engine that finished it.
    pub engine: Engine,
    /// Its kernels and device, such as `fp32 avx512`.
    pub tier: String,
    /// Why it is not the engine asked for.
    pub note: Option<String>,
}

/// Builds an index of `vectors`.
///
/// `progress` hears the fraction done, now and then; it cancels the build by answering
/// [`ControlFlow::Break`].
///
/// # Errors
/// An invalid spec, an `m` that does not divide the dimension, or a build that was cancelled.
pub fn build(
    vectors: Vectors<'_>,
    spec: &IndexSpec,
    engine: Engine,
    progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<Index, BuildError> {
    spec.validate()?;
    let mut progress = Progress::new(progress);
    let mut device = Device::open(engine, &mut progress.part(0.0, 0.0))?;
    let body = match spec.kind {
        Kind::IvfFlat { .. } | Kind::IvfSq8 { .. } | Kind::IvfPq { .. } => {
            Body::Ivf(ivf::build(vectors, spec, &mut device, &mut progress)?)
        }
        Kind::Hnsw { m, ef_construction, .. } => {
            Body::Hnsw(hnsw::build(vectors, spec, m, ef_construction, &mut device, &mut progress)?)
        }
    };
    progress.at(1, 1)?;
    Ok(Index::new(*spec, body, Some(device.ran())))
}

/// Why there is no index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The spec is invalid.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The vectors cannot be cut into so many parts.
    #[error("{dim} values cannot be cut into {m} equal parts: choose an `m` that divides {dim}")]
    Parts {
        /// The parts asked for.
        m: u32,
        /// Values of a vector.
        dim: usize,
    },
    /// The progress callback asked to stop.
    #[error("the index build was cancelled")]
    Cancelled,
}

/// Reports progress and turns a cancellation into an error.
pub(crate) struct Progress<'a> {
    callback: &'a mut dyn FnMut(f32) -> ControlFlow<()>,
    /// The share of the whole that this is about.
    from: f32,
    to: f32,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(callback: &'a mut dyn FnMut(f32) -> ControlFlow<()>) -> Self {
        Self { callback, from: 0.0, to: 1.0 }
    }

    /// The progress of a part that takes the share between `from` and `to` of this.
    pub(crate) fn part(&mut self, from: f32, to: f32) -> Progress<'_> {
        let share = |at: f32| self.from + (self.to - self.from) * at;
        Progress { from: share(from), to: share(to), callback: &mut *self.callback }
    }

    pub(crate) fn at(&mut self, done: usize, of: usize) -> Result<(), BuildError> {
        let share = done as f32 / of.max(1) as f32;
        match (self.callback)(self.from + (self.to - self.from) * share) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(BuildError::Cancelled),
        }
    }
}
