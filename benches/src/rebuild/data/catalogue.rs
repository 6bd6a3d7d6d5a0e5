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
    CLUSTERED_128,
    CLUSTERED_768,
    GLOVE_100,
    WORDNET_384,
    QUICK,
    TINY,
    scale("scale-10k", 10_000, Some("45b7cc0f77806dcf3a976664a4fd2e0af78913fb008386f8528fd59d6e7981ca")),
    scale("scale-100k", 100_000, Some("002d9ee327e72cc5c04707763b51a5a2dcd06524e66256efbabcebb943305fec")),
    scale("scale-1m", 1_000_000, Some("164744d967c02e3a0c632ddd652ac6f7d038d3814342e113d341dfac0c674d3e")),
];

const CLUSTERED_128: Spec = Spec {
    name: "clustered-128",
    vectors: 200_000,
    dim: 128,
    queries: 2_000,
    about: "overlapping clusters",
    pinned: Some("4658a7f96987f97df8b9f60079e2457097dcfbad771efe80f7506f74903cc4e9"),
    source: Source::Clustered { intrinsic: 16, seed: 1234 },
};
const CLUSTERED_768: Spec = Spec {
    name: "clustered-768",
    vectors: 100_000,
    dim: 768,
    pinned: Some("9b0dfef73b19c5253672d7da31c066cd0776c5ebb3974a12a33149c4817e680a"),
    source: Source::Clustered { intrinsic: 24, seed: 4321 },
    ..CLUSTERED_128
};
const GLOVE_100: Spec = Spec {
    name: "glove-100",
    dim: 100,
    about: "GloVe word vectors, unit length",
    pinned: Some("ec14dfe0083387c5002b322586f63cd685a97fe047c1ee525ed05b8ce4f2b556"),
    source: Source::Real { file: "glove.f32", half: false },
    ..CLUSTERED_128
};
/// Its embeddings differ in their last bits from machine to machine: see `real`.
const WORDNET_384: Spec = Spec {
    name: "wordnet-384",
    vectors: 115_659,
    dim: 384,
    about: "MiniLM embeddings of WordNet's glosses",
    pinned: None,
    source: Source::Real { file: "wordnet-minilm.f16", half: true },
    ..CLUSTERED_128
};
const QUICK: Spec = Spec {
    name: "quick",
    vectors: 20_000,
    queries: 500,
    pinned: Some("b8f312ff401575e50cef289029f2224eff9b9157262d5b7a11680cb09e364cfa"),
    ..CLUSTERED_128
};
const TINY: Spec = Spec {
    name: "tiny",
    vectors: 2_000,
    dim: 32,
    queries: 200,
    pinned: Some("3ea0471a2917b4e9f00f47b5752bfed4d60bd7f0bd6cb1f7093cae223b232145"),
    source: Source::Clustered { intrinsic: 8, seed: 7 },
    ..CLUSTERED_128
};

const fn scale(name: &'static str, vectors: usize, pinned: Option<&'static str>) -> Spec {
    let source = Source::Clustered { intrinsic: 16, seed: 99 };
    Spec { name, vectors, queries: 500, pinned, source, ..CLUSTERED_128 }
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
