//! A finished index: immutable, searched from any number of threads.

use crate::distance::Kernel;
use crate::file::LoadError;
use crate::vectors::unit_rows;
use crate::{IndexSpec, Kind, Metric, Ran, hnsw, ivf, sink};
use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

/// An index that answers searches.
pub struct Index {
    spec: IndexSpec,
    kernel: Kernel,
    body: Body,
    ran: Option<Ran>,
}

pub(crate) enum Body {
    Hnsw(hnsw::Hnsw),
    Ivf(ivf::Ivf),
}

/// One answer of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// Which vector.
    pub id: u64,
    /// How far it is from the query, in the index's metric.
    pub distance: f32,
}

/// Who is out of reach in a graph, on its bottom layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Vectors that no way leads to from the entry: no search for them can find them from there.
    pub unreached: usize,
    /// Vectors of layer 1, where hnswlib and FAISS may start, from which fewer are reached than from the entry.
    pub blind: usize,
}

impl Index {
    pub(crate) fn new(spec: IndexSpec, body: Body, ran: Option<Ran>) -> Self {
        Self { kernel: Kernel::of(spec.metric), spec, body, ran }
    }

    /// Up to `k` approximate nearest neighbours for which `keep(id)` is true, nearest first, ties by id.
    ///
    /// Vectors that are not kept are still traversed, so deleted ids never cut the way to living ones. The
    /// more are filtered out, the longer the search looks: it gives up only when it has seen everything it
    /// can reach.
    ///
    /// # Errors
    /// A query of the wrong dimension, or with NaN or infinity in it.
    pub fn search(
        &self,
        query: &[f32],
        k: usize,
        keep: &dyn Fn(u64) -> bool,
    ) -> Result<Vec<Neighbor>, SearchError> {
        let query = &*self.asked(query)?;
        let k = k.min(self.len());
        if k == 0 {
            return Ok(Vec::new());
        }
        Ok(match (&self.body, self.spec.kind) {
            (Body::Hnsw(hnsw), Kind::Hnsw { ef, .. }) => {
                hnsw.search(self.kernel, query, k, ef as usize, keep)
            }
            (
                Body::Ivf(ivf),
                Kind::IvfFlat { nprobe, .. } | Kind::IvfSq8 { nprobe, .. } | Kind::IvfPq { nprobe, .. },
            ) => ivf.search(self.kernel, query, k, nprobe as usize, keep),
            _ => unreachable!("spec and body are made together, by `build` and `from_bytes`"),
        })
    }

    /// The same as hnswlib and FAISS search a graph, considering `ef` candidates: what users of the file find. Other kinds
    /// of index are searched as by [`search`](Self::search).
    ///
    /// # Errors
    /// Those of [`search`](Self::search).
    pub fn search_as_peers(&self, query: &[f32], k: usize, ef: usize) -> Result<Vec<Neighbor>, SearchError> {
        let Body::Hnsw(hnsw) = &self.body else { return self.search(query, k, &|_| true) };
        let (k, query) = (k.min(self.len()), self.asked(query)?);
        Ok(if k == 0 { Vec::new() } else { hnsw.search_as_peers(self.kernel, &query, k, ef) })
    }

    /// The query as distances are measured from it.
    fn asked<'q>(&self, query: &'q [f32]) -> Result<Cow<'q, [f32]>, SearchError> {
        if query.len() != self.dim() {
            return Err(SearchError::Dim { expected: self.dim(), found: query.len() });
        }
        if query.iter().any(|value| !value.is_finite()) {
            return Err(SearchError::NotFinite);
        }
        Ok(match self.spec.metric {
            Metric::L2 | Metric::InnerProduct => Cow::Borrowed(query),
            Metric::Cosine => Cow::Owned(unit_rows(query, query.len())),
        })
    }

    /// Who is out of reach, where this is a graph.
    pub fn reach(&self) -> Option<Reach> {
        match &self.body {
            Body::Hnsw(hnsw) => Some(hnsw.reach()),
            Body::Ivf(_) => None,
        }
    }

    /// The ids, in the order of the file.
    pub fn ids(&self) -> &[u64] {
        match &self.body {
            Body::Hnsw(hnsw) => hnsw.ids(),
            Body::Ivf(ivf) => ivf.ids(),
        }
    }

    /// The vectors as they are stored, in the order of [`ids`](Self::ids); `None` where only codes are. Under
    /// [`Metric::Cosine`] they have length one.
    pub fn vectors(&self) -> Option<&[f32]> {
        match &self.body {
            Body::Hnsw(hnsw) => Some(hnsw.vectors()),
            Body::Ivf(ivf) => ivf.vectors(),
        }
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        match &self.body {
            Body::Hnsw(hnsw) => hnsw.len(),
            Body::Ivf(ivf) => ivf.len(),
        }
    }

    /// Whether there is no vector at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values in each vector.
    pub fn dim(&self) -> usize {
        match &self.body {
            Body::Hnsw(hnsw) => hnsw.dim(),
            Body::Ivf(ivf) => ivf.dim(),
        }
    }

    /// What the index was built or loaded with.
    pub fn spec(&self) -> &IndexSpec {
        &self.spec
    }

    /// What built the index; `None` if it was loaded.
    pub fn ran(&self) -> Option<&Ran> {
        self.ran.as_ref()
    }

    /// Writes the index's file, in pieces of a megabyte: hnswlib's layout for HNSW, our own for IVF.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        match (&self.body, self.spec.kind) {
            (Body::Hnsw(hnsw), Kind::Hnsw { ef_construction, .. }) => hnsw.write(ef_construction, to),
            (Body::Ivf(ivf), kind) => ivf.write(kind, to),
            _ => unreachable!("spec and body are made together, by `build` and `from_bytes`"),
        }
    }

    /// The bytes of the index's file, all of them in memory.
    pub fn to_bytes(&self) -> Vec<u8> {
        sink::bytes(|to| self.write(to))
    }

    /// Writes the same index as FAISS reads it; see [`to_hnswlib`](Self::to_hnswlib) for hnswlib.
    ///
    /// Under [`Metric::Cosine`] FAISS knows an inner product: scale your queries to length one.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_faiss(&self, to: &mut dyn Write) -> io::Result<()> {
        match (&self.body, self.spec.kind) {
            (Body::Hnsw(hnsw), Kind::Hnsw { ef_construction, ef, .. }) => {
                hnsw.write_faiss(self.spec.metric, ef_construction, ef, to)
            }
            (Body::Ivf(ivf), kind) => ivf.write_faiss(self.spec.metric, kind, to),
            _ => unreachable!("spec and body are made together, by `build` and `from_bytes`"),
        }
    }

    /// What [`write_faiss`](Self::write_faiss) writes, all of it in memory.
    pub fn to_faiss(&self) -> Vec<u8> {
        sink::bytes(|to| self.write_faiss(to))
    }

    /// The bytes of the same index as hnswlib's `load_index` opens it, in the space `l2`, `ip` or `cosine`; `None` if
    /// this is no HNSW index. Our own file is that file.
    pub fn to_hnswlib(&self) -> Option<Vec<u8>> {
        matches!(self.spec.kind, Kind::Hnsw { .. }).then(|| self.to_bytes())
    }

    /// The index in a file's bytes.
    ///
    /// The file must have been built with `spec`'s kind and build parameters (`m` and `ef_construction`, or
    /// `nlist`, and `m` of `IVF_PQ`). `ef`, `nprobe` and `seed` are not in the file: they are taken from `spec`, so a file may be
    /// searched with another `ef` than before.
    ///
    /// # Errors
    /// An invalid spec, a file of another spec, or bytes that are no such file.
    pub fn from_bytes(bytes: &[u8], spec: &IndexSpec) -> Result<Self, LoadError> {
        spec.validate()?;
        let body = match spec.kind {
            Kind::Hnsw { m, ef_construction, .. } => {
                Body::Hnsw(hnsw::Hnsw::from_bytes(bytes, m, ef_construction)?)
            }
            kind => Body::Ivf(ivf::Ivf::from_bytes(bytes, kind)?),
        };
        Ok(Self::new(*spec, body, None))
    }

    /// The graph in a file of FAISS: an `IndexHNSWFlat`, by itself or in an `IndexIDMap`. The file must have been built with
    /// `metric`, of which [`Metric::Cosine`] is an inner product there.
    ///
    /// # Errors
    /// Bytes that are no such file, or a file of another metric.
    pub fn from_faiss(bytes: &[u8], metric: Metric) -> Result<Self, LoadError> {
        let (hnsw, kind) = hnsw::Hnsw::from_faiss(bytes, metric)?;
        Ok(Self::new(IndexSpec { kind, metric, seed: 0 }, Body::Hnsw(hnsw), None))
    }

    /// Whether bytes begin as a file of FAISS does, of which [`from_faiss`](Self::from_faiss) reads some.
    pub fn is_faiss(bytes: &[u8]) -> bool {
        hnsw::is_faiss(bytes)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = f.debug_struct("Index");
        parts.field("spec", &self.spec).field("len", &self.len()).field("dim", &self.dim());
        parts.finish_non_exhaustive()
    }
}

/// Sorts nearest first, ties by id, and keeps `k`.
pub(crate) fn nearest(mut found: Vec<Neighbor>, k: usize) -> Vec<Neighbor> {
    found.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.id.cmp(&b.id)));
    found.truncate(k);
    found
}

/// Why a search was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// The query has another dimension than the index.
    #[error(
        "the query has {found} values, the index {expected}: ask with the model the index was built from"
    )]
    Dim {
        /// Values in each vector of the index.
        expected: usize,
        /// Values in the query.
        found: usize,
    },
    /// The query contains NaN or infinity.
    #[error("the query contains NaN or infinity: only finite values have distances")]
    NotFinite,
}
