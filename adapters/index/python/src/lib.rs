//! Index builds as a Python extension module, `gameday_index._native`.
//!
//! Users call `gameday_index/__init__.py`, which prepares the arrays and looks after the file. Here is only what Python
//! cannot do: the build, without the interpreter lock, and the bytes of the finished index.

use index::{Engine, Index, IndexSpec, Kind, Metric, Vectors};
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::fmt::Display;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How often a build takes the interpreter lock, to ask for signals and to tell its progress.
const EVERY: Duration = Duration::from_millis(50);

#[pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use super::{Built, build};
}

/// A finished index.
#[pyclass(frozen)]
#[derive(Debug)]
struct Built(Index);

/// Builds an index of the rows of `vectors`; `nlist` and `nprobe` are heeded by lists, `ef_construction` and `ef` by HNSW.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "those of the function that users call")]
fn build(
    py: Python<'_>,
    vectors: PyReadonlyArray2<'_, f32>,
    ids: PyReadonlyArray1<'_, u64>,
    kind: &str,
    metric: &str,
    m: u32,
    ef_construction: u32,
    ef: u32,
    nlist: u32,
    nprobe: u32,
    seed: u64,
    progress: Option<Py<PyAny>>,
) -> PyResult<Built> {
    let kind = match kind {
        "hnsw" => Kind::Hnsw { m, ef_construction, ef },
        "ivf_flat" => Kind::IvfFlat { nlist, nprobe },
        "ivf_sq8" => Kind::IvfSq8 { nlist, nprobe },
        "ivf_pq" => Kind::IvfPq { nlist, nprobe, m },
        other => return Err(refused(format!("kind is '{other}': use hnsw, ivf_flat, ivf_sq8 or ivf_pq"))),
    };
    let metric = match metric {
        "l2" => Metric::L2,
        "ip" => Metric::InnerProduct,
        "cosine" => Metric::Cosine,
        other => return Err(refused(format!("metric is '{other}': use l2, ip or cosine"))),
    };
    let spec = IndexSpec { kind, metric, seed };
    // A slice of another order would be given too.
    if !vectors.is_c_contiguous() {
        return Err(refused("the vectors do not lie row after row"));
    }
    let (dim, data, ids) = (vectors.shape()[1], vectors.as_slice()?, ids.as_slice()?);
    py.detach(|| {
        let vectors = Vectors::new(dim, ids, data).map_err(refused)?;
        let mut ear = Ear { progress, asked: Instant::now(), told: 0.0 };
        let mut raised = None;
        let built = index::build(vectors, &spec, Engine::Cpu, &mut |done| match ear.hear(done) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                raised = Some(error);
                ControlFlow::Break(())
            }
        });
        built.map(Built).map_err(|error| raised.unwrap_or_else(|| refused(error)))
    })
}

#[pymethods]
impl Built {
    /// The share of true neighbours that is found; `None` of kinds that are not asked, and of no vectors at all.
    #[getter]
    fn recall(&self) -> Option<f64> {
        self.0.ran().and_then(|ran| ran.recall)
    }

    /// What is worth knowing about the build.
    #[getter]
    fn note(&self) -> Option<&str> {
        self.0.ran().and_then(|ran| ran.note.as_deref())
    }

    /// Calls `write` with the bytes of the file, about a megabyte at a time.
    fn write(&self, py: Python<'_>, faiss: bool, write: Py<PyAny>) -> PyResult<()> {
        py.detach(|| {
            let to = &mut Pieces(write);
            if faiss { self.0.write_faiss(to) } else { self.0.write(to) }
        })?;
        Ok(())
    }
}

fn refused(why: impl Display) -> PyErr {
    PyValueError::new_err(why.to_string())
}

/// Who hears of a build's progress.
struct Ear {
    progress: Option<Py<PyAny>>,
    asked: Instant,
    told: f32,
}

impl Ear {
    /// Lets Python handle its signals, and tells it a fraction that is larger than the last, now and then; the end always.
    fn hear(&mut self, done: f32) -> PyResult<()> {
        if self.asked.elapsed() < EVERY && done < 1.0 {
            return Ok(());
        }
        Python::attach(|py| {
            py.check_signals()?;
            if let Some(progress) = &self.progress
                && done > self.told
            {
                progress.call1(py, (done,))?;
                self.told = done;
            }
            self.asked = Instant::now();
            Ok(())
        })
    }
}

/// A function of Python's that takes bytes.
struct Pieces(Py<PyAny>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = Python::attach(|py| self.0.call1(py, (PyBytes::new(py, bytes),)));
        // What it raises goes back to Python as it is.
        written.map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
