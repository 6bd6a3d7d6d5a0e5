//! What the stores hold before the fault.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is stored before the fault.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The vector collection.
    #[serde(default)]
    pub vectors: Vectors,
    /// The objects, each of which refers to a vector.
    #[serde(default)]
    pub objects: Objects,
    /// The feature store: entities with values, and the definitions, dependencies, models and roles beside them.
    #[serde(default)]
    pub features: Features,
}

/// The feature store before the fault.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Features {
    /// How many entities have values.
    pub entities: u64,
}

impl Default for Features {
    fn default() -> Self {
        Features { entities: 2_000 }
    }
}

/// The vector collection before the fault.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Vectors {
    /// How many.
    pub count: u64,
    /// Dimensions of each.
    pub dim: u32,
    /// The kind of index.
    pub index: IndexKind,
    /// How many queries judge quality; at least 200.
    pub queries: u32,
    /// Neighbours asked for by each of them.
    pub k: u32,
}

impl Default for Vectors {
    fn default() -> Self {
        Vectors { count: 10_000, dim: 64, index: IndexKind::Hnsw, queries: 500, k: 10 }
    }
}

/// The objects before the fault.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Objects {
    /// How many.
    pub count: u64,
    /// Bytes of each.
    pub size: u32,
}

impl Default for Objects {
    fn default() -> Self {
        Objects { count: 200, size: 4096 }
    }
}

/// Kinds of vector index.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IndexKind {
    /// Hierarchical navigable small world graph.
    Hnsw,
    /// Inverted file of uncompressed vectors.
    IvfFlat,
}

impl fmt::Display for IndexKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IndexKind::Hnsw => "hnsw",
            IndexKind::IvfFlat => "ivf_flat",
        })
    }
}
