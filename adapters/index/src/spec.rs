//! What to build: the kind of index, its parameters, the metric and the seed.
//!
//! Parameters carry the names FAISS and hnswlib gave them. A spec is plain data: it is checked by
//! [`IndexSpec::validate`], which [`build`](crate::build) and [`load`](crate::load) call first.

/// How the distance between two vectors is measured; smaller is nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Metric {
    /// Squared Euclidean distance.
    #[default]
    L2,
    /// One less the inner product; may be negative.
    InnerProduct,
    /// One less the cosine of the angle: vectors and queries are scaled to length one. A vector of length zero stays as
    /// it is, at distance one from everything.
    Cosine,
}

/// The kind of index and its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Inverted lists of uncompressed vectors (`IVF_FLAT`).
    IvfFlat {
        /// Number of lists; never more than there are vectors.
        nlist: u32,
        /// Number of lists a search reads.
        nprobe: u32,
    },
    /// Inverted lists of vectors in eight bits a value (`IVF_SQ8`), less the centre of their list.
    IvfSq8 {
        /// Number of lists; never more than there are vectors.
        nlist: u32,
        /// Number of lists a search reads.
        nprobe: u32,
    },
    /// Inverted lists of product-quantized vectors (`IVF_PQ`), less the centre of their list: eight bits a part.
    IvfPq {
        /// Number of lists; never more than there are vectors.
        nlist: u32,
        /// Number of lists a search reads.
        nprobe: u32,
        /// Parts a vector is cut into; they must be of one length.
        m: u32,
    },
    /// Hierarchical navigable small world graph.
    Hnsw {
        /// Links a node makes when inserted; twice as many are kept on the bottom layer.
        m: u32,
        /// Candidates considered when a node is inserted.
        ef_construction: u32,
        /// Candidates considered by a search (raised to `k` where `k` is larger).
        ef: u32,
    },
}

/// Everything that decides the bytes of an index, apart from the vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IndexSpec {
    /// The kind of index and its parameters.
    pub kind: Kind,
    /// How distances are measured.
    pub metric: Metric,
    /// Seed of the HNSW levels or of the k-means samples.
    pub seed: u64,
}

impl IndexSpec {
    /// HNSW with m = 16, `ef_construction` = 100, ef = 96.
    pub fn hnsw() -> Self {
        Self::of(Kind::Hnsw { m: 16, ef_construction: 100, ef: 96 })
    }

    /// `IVF_FLAT` for `n` vectors: about `4 * sqrt(n)` lists, an eighth of them read by a search.
    pub fn ivf_flat(n: usize) -> Self {
        let root = u32::try_from(n.isqrt()).unwrap_or(u32::MAX);
        let nlist = root.saturating_mul(4).clamp(1, 16_384);
        Self::of(Kind::IvfFlat { nlist, nprobe: nlist.div_ceil(8).max(nlist.min(4)) })
    }

    /// The same spec with another seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    fn of(kind: Kind) -> Self {
        Self { kind, metric: Metric::L2, seed: 0 }
    }

    /// Refuses values that cannot work or would only waste memory and time.
    ///
    /// # Errors
    /// The first parameter outside its range.
    pub fn validate(&self) -> Result<(), SpecError> {
        match self.kind {
            Kind::IvfFlat { nlist, nprobe } | Kind::IvfSq8 { nlist, nprobe } => lists(nlist, nprobe),
            Kind::IvfPq { nlist, nprobe, m } => {
                within("m", m, 1, 65_536)?;
                lists(nlist, nprobe)
            }
            Kind::Hnsw { m, ef_construction, ef } => {
                within("m", m, 2, 256)?;
                within("ef_construction", ef_construction, 1, 65_536)?;
                within("ef", ef, 1, 65_536)
            }
        }
    }
}

/// A parameter of an [`IndexSpec`] is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("index parameter `{name}` is {value}: use {min} to {max}")]
pub struct SpecError {
    /// The parameter, by the name FAISS or hnswlib gave it.
    pub name: &'static str,
    /// What it was.
    pub value: u32,
    /// The least it may be.
    pub min: u32,
    /// The most it may be.
    pub max: u32,
}

fn lists(nlist: u32, nprobe: u32) -> Result<(), SpecError> {
    within("nlist", nlist, 1, 65_536)?;
    within("nprobe", nprobe, 1, nlist)
}

fn within(name: &'static str, value: u32, min: u32, max: u32) -> Result<(), SpecError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(SpecError { name, value, min, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_for_any_size() {
        IndexSpec::hnsw().validate().unwrap();
        for n in [0, 1, 2, 10, 1_000, 50_000, 1_000_000, usize::MAX] {
            IndexSpec::ivf_flat(n).validate().unwrap();
        }
        assert_eq!(IndexSpec::ivf_flat(50_000).kind, Kind::IvfFlat { nlist: 892, nprobe: 112 });
    }

    #[test]
    fn absurd_values_are_named() {
        let refused = |kind| IndexSpec { kind, ..IndexSpec::hnsw() }.validate().unwrap_err().to_string();
        assert_eq!(
            refused(Kind::IvfFlat { nlist: 8, nprobe: 9 }),
            "index parameter `nprobe` is 9: use 1 to 8"
        );
        assert!(refused(Kind::IvfFlat { nlist: 0, nprobe: 0 }).contains("`nlist`"));
        assert!(refused(Kind::IvfSq8 { nlist: 8, nprobe: 0 }).contains("`nprobe`"));
        assert!(refused(Kind::IvfPq { nlist: 8, nprobe: 8, m: 0 }).contains("`m`"));
        assert!(refused(Kind::Hnsw { m: 1, ef_construction: 100, ef: 96 }).contains("`m`"));
        assert!(refused(Kind::Hnsw { m: 16, ef_construction: 0, ef: 96 }).contains("`ef_construction`"));
        assert!(refused(Kind::Hnsw { m: 16, ef_construction: 100, ef: u32::MAX }).contains("`ef`"));
    }
}
