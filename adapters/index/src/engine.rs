//! Building: one function, whichever engine does the work.
//!
//! The engine is a value, so that callers choose it at run time and never change when one is added.

use crate::device::Device;
use crate::hnsw::{Found, Outcome};
use crate::searcher::{Body, Index};
use crate::tile::Tier;
use crate::vectors::too_far;
use crate::{IndexSpec, Kind, Metric, SpecError, Vectors, hnsw, ivf};
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
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// The engine that finished it.
    pub engine: Engine,
    /// Its kernels and device, such as `fp32 avx512`.
    pub tier: String,
    /// Why it is not the engine asked for, or why a graph was not built in bulk.
    pub note: Option<String>,
    /// The share of true neighbours that hnswlib's way of searching finds in a graph, with an `ef` of 100; measured by 200
    /// searches at the end of the build. `None` of other kinds, and of no vectors at all.
    pub recall: Option<f64>,
}

impl Ran {
    /// The same with what the searches at the end of the build found, and led to.
    fn asked(mut self, outcome: Option<Outcome>) -> Self {
        let Some(Outcome { found, inserted }) = outcome else { return self };
        self.recall = Some(found.recall);
        if let Some((kept, other)) = inserted {
            let bulk = format!("the graph that {} built in bulk", self.engine);
            let why = if kept {
                let (before, after) = (seen(other), seen(found));
                format!(
                    "in {bulk} hnswlib's search finds {before}, so vectors were inserted one by one: {after}"
                )
            } else {
                let (before, after) = (seen(found), seen(other));
                format!(
                    "in {bulk} hnswlib's search finds {before}; inserted one by one {after}, so it stays as it was"
                )
            };
            if kept {
                self.engine = Engine::Cpu;
                self.tier = Tier::detect().name().to_owned();
            }
            self.note = Some(self.note.map_or(why.clone(), |note| format!("{note}; {why}")));
        }
        self
    }
}

/// What is found in a graph, in words; never more than there is.
fn seen(found: Found) -> String {
    let share = (found.recall * 1_000.0).floor() / 10.0;
    let short = match found.short {
        0 => String::new(),
        short => format!(" (too few of any in {short} of {} searches)", hnsw::QUERIES),
    };
    format!("{share} % of true neighbours{short}")
}

/// Builds an index of `vectors`.
///
/// `progress` hears the fraction done, now and then; it cancels the build by answering
/// [`ControlFlow::Break`].
///
/// A graph is searched when it is done, as hnswlib and FAISS search it. Where they would not find what is there, its
/// vectors are inserted one by one instead, which takes many times as long; [`Ran::note`] says so.
///
/// # Errors
/// An invalid spec, an `m` that does not divide the dimension, vectors so long that their distances are infinite, or a
/// build that was cancelled.
pub fn build(
    vectors: Vectors<'_>,
    spec: &IndexSpec,
    engine: Engine,
    progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<Index, BuildError> {
    spec.validate()?;
    // Under cosine all vectors are scaled to length one.
    if spec.metric != Metric::Cosine
        && let Some(row) = too_far(vectors)
    {
        return Err(BuildError::TooFar { row, id: vectors.ids()[row] });
    }
    let mut progress = Progress::new(progress);
    let mut device = Device::open(engine, &mut progress.part(0.0, 0.0))?;
    let (body, outcome) = match spec.kind {
        Kind::IvfFlat { .. } | Kind::IvfSq8 { .. } | Kind::IvfPq { .. } => {
            (Body::Ivf(ivf::build(vectors, spec, &mut device, &mut progress)?), None)
        }
        Kind::Hnsw { m, ef_construction, .. } => {
            let (graph, outcome) =
                hnsw::build(vectors, spec, m, ef_construction, &mut device, &mut progress)?;
            (Body::Hnsw(graph), outcome)
        }
    };
    progress.at(1, 1)?;
    Ok(Index::new(*spec, body, Some(device.ran().asked(outcome))))
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
    /// A vector is so long that its distances are no numbers any more.
    #[error(
        "row {row} (id {id}) is longer than 9e18: distances from it overflow; scale all vectors down, or leave it out"
    )]
    TooFar {
        /// Which row, from 0.
        row: usize,
        /// Whose vector.
        id: u64,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_searches_led_to_is_told() {
        let ran = |note: Option<&str>| Ran {
            engine: Engine::OpenCl,
            tier: "fp32 on testium".into(),
            note: note.map(str::to_owned),
            recall: None,
        };
        let good = Found { recall: 0.9987, wide: None, short: 0 };
        let poor = Found { recall: 0.1425, wide: Some(0.145), short: 88 };
        let fine = ran(None).asked(Some(Outcome { found: good, inserted: None }));
        assert_eq!(fine, Ran { recall: Some(0.9987), ..ran(None) });
        assert_eq!(ran(None).asked(None), ran(None));

        let mended = ran(None).asked(Some(Outcome { found: good, inserted: Some((true, poor)) }));
        assert_eq!((mended.engine, mended.recall), (Engine::Cpu, Some(0.9987)));
        assert_eq!(
            mended.note.unwrap(),
            "in the graph that opencl built in bulk hnswlib's search finds 14.2 % of true neighbours (too few of any in \
             88 of 200 searches), so vectors were inserted one by one: 99.8 % of true neighbours"
        );

        let less = Found { recall: 0.1, ..poor };
        let kept = ran(Some("before")).asked(Some(Outcome { found: poor, inserted: Some((false, less)) }));
        assert_eq!((kept.engine, kept.recall), (Engine::OpenCl, Some(0.1425)));
        let note = kept.note.unwrap();
        assert!(
            note.starts_with("before; in the graph") && note.ends_with("so it stays as it was"),
            "{note}"
        );
    }
}
