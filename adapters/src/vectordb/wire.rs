//! What travels between client and node, by `rpc`.

use super::census::Census;
use serde::{Deserialize, Serialize};

/// A page of records stays well below the largest frame.
pub(super) const PAGE_BYTES: usize = 8 << 20;

/// One stored vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The key.
    pub key: u64,
    /// Write number, chosen by the writer, who gives no two writes of a key the same; only
    /// [`Engine::apply`](super::Engine::apply) compares it.
    pub ver: u64,
    /// The values.
    pub vector: Vec<f32>,
}

impl Record {
    /// The record as the change that write `lsn` made.
    pub fn at(self, lsn: u64) -> Change {
        Change { lsn, key: self.key, ver: self.ver, vector: Some(self.vector) }
    }
}

/// The latest state of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The write that made it, in the history of the node that tells it.
    pub lsn: u64,
    /// The key.
    pub key: u64,
    /// Write number, as the writer chose it.
    pub ver: u64,
    /// The values; `None` if the key is deleted.
    pub vector: Option<Vec<f32>>,
}

/// A page of the changes feed, in the order of lsns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Every key changed after the point that was asked for, once, with its latest durable state.
    pub records: Vec<Change>,
    /// The `since` of the next page: everything up to it has been told.
    pub point: Point,
    /// Whether there was more to tell. A state is whole only once there is no more.
    pub more: bool,
    /// The node's whole state at `point`; known if there was no more to tell and every write is durable.
    pub census: Option<Census>,
}

/// What became of a batch of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// Changes that were newer than what was stored; the others changed nothing.
    pub stored: u64,
    /// The node's last write afterwards.
    pub lsn: u64,
}

/// One answer of a search.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// The key.
    pub key: u64,
    /// Write number of the record.
    pub ver: u64,
    /// Squared Euclidean distance.
    pub distance: f32,
}

/// What a node is able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Everything was verified.
    Healthy,
    /// The index failed verification: searches are refused until it is rebuilt; reads and writes go on.
    IndexDamaged,
    /// Data failed verification: no search, read or write until a backup is imported.
    Degraded,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::IndexDamaged => "index damaged",
            Self::Degraded => "degraded",
        })
    }
}

/// A file that failed verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Path within the node's folder.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file, self.why)
    }
}

/// A moment in a node's history.
///
/// Log sequence numbers of different timelines cannot be compared: a new node and one restored without its own
/// log each begin one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Which history.
    pub timeline: u64,
    /// The last write that belongs to it.
    pub lsn: u64,
}

/// The kind of index and its parameters, by the names FAISS and hnswlib gave them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Hierarchical navigable small world graph.
    Hnsw {
        /// Links of a node.
        m: u32,
        /// Candidates considered by an insertion.
        ef_construction: u32,
        /// Candidates considered by a search.
        ef: u32,
    },
    /// Inverted lists of uncompressed vectors.
    IvfFlat {
        /// Number of lists.
        nlist: u32,
        /// Lists a search reads.
        nprobe: u32,
    },
}

/// What to build. The same spec over the same records gives the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSpec {
    /// The kind and its parameters.
    pub kind: Kind,
    /// Seed of everything drawn by the build.
    pub seed: u64,
    /// Thousandths of true neighbours that searches at the end of a build must find in it, or it is not served.
    pub min_recall: u16,
}

impl std::fmt::Display for IndexSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Hnsw { m, ef_construction, ef } => {
                write!(f, "hnsw m={m} ef_construction={ef_construction} ef={ef}")?;
            }
            Kind::IvfFlat { nlist, nprobe } => write!(f, "ivf_flat nlist={nlist} nprobe={nprobe}")?,
        }
        write!(f, " seed={}", self.seed)
    }
}

/// Who builds an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildEngine {
    /// The node's own processor.
    Cpu,
    /// The OpenCL engine; the processor where that cannot be had.
    #[serde(rename = "opencl")]
    OpenCl,
}

impl std::fmt::Display for BuildEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::OpenCl => "opencl",
        })
    }
}

/// The index that answers searches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexInfo {
    /// What was built.
    pub spec: IndexSpec,
    /// Who built it: who finished it, if that is not who was asked.
    pub engine: BuildEngine,
    /// Kernels and device that ran, such as `fp32 avx512`; empty if that was not written down.
    #[serde(default)]
    pub tier: String,
    /// Why it was not the engine that was asked, or why the graph was not built in bulk.
    #[serde(default)]
    pub note: Option<String>,
    /// The share of true neighbours that 200 searches found in the graph when it was built.
    #[serde(default)]
    pub recall: Option<f64>,
    /// Records in it.
    pub records: u64,
    /// The last write it knows; newer ones are searched exactly.
    pub lsn: u64,
    /// Seconds the build took.
    pub build_seconds: f64,
}

/// What a node says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The collection's name.
    pub collection: String,
    /// Values of each vector.
    pub dim: u32,
    /// What it is able to do.
    pub state: State,
    /// Which files are damaged, and why.
    pub damage: Vec<Damage>,
    /// What start-up repaired.
    pub notes: Vec<String>,
    /// Timeline and last write.
    pub point: Point,
    /// The last write that is in segments.
    pub flushed_lsn: u64,
    /// Records that can be read.
    pub live: u64,
    /// Counts and digest of the whole state.
    pub census: Census,
    /// Records newer than the index, searched exactly.
    pub unindexed: u64,
    /// Segment files.
    pub segments: u64,
    /// The index, if there is one.
    pub index: Option<IndexInfo>,
    /// Whether an index is being built.
    pub building: bool,
    /// Writes acknowledged by this process.
    pub writes: u64,
    /// Times this process synced its log.
    pub fsyncs: u64,
    /// Requests this process has begun, this one among them.
    pub requests: u64,
}

/// A page of the merged view in the order of keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// The `after` of the next page; `None` after the last one.
    pub next: Option<u64>,
    /// The newest write when the page was read. A backup is of the first page's point.
    pub point: Point,
}

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Records now live.
    pub live: u64,
    /// Newer writes of the node's own that were replayed on top of the backup.
    pub replayed: u64,
    /// Whether every write after the backup was found; `false` when files that held some were damaged.
    pub complete: bool,
    /// The moment the node is at.
    pub point: Point,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Ping,
    Put(Record),
    Delete { key: u64, ver: u64 },
    Get { key: u64 },
    Search { query: Vec<f32>, k: u32 },
    Survivors { after: Option<u64>, limit: u32 },
    Changes { since: Point, limit: u32 },
    Apply { changes: Vec<Change> },
    Status,
    Flush,
    BuildIndex { spec: IndexSpec, engine: BuildEngine },
    RebuildIndex { engine: BuildEngine },
    Reload,
    ImportBegin,
    ImportPage { import: u64, changes: Vec<Change> },
    ImportCommit { import: u64, since: Option<Point> },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Response {
    Pong,
    Written {
        lsn: u64,
    },
    Found(Option<Record>),
    Hits(Vec<Hit>),
    Page(Page),
    Changes(Changes),
    Merged(Merged),
    Status(Box<Status>),
    Flushed {
        lsn: u64,
    },
    Built(IndexInfo),
    Begun {
        import: u64,
    },
    Staged {
        records: u64,
    },
    Imported(Imported),
    /// Definitely not done.
    Refused {
        state: State,
        why: String,
    },
    /// A changes feed cannot go on from there.
    Resync {
        why: String,
    },
    /// Perhaps done.
    Failed {
        why: String,
    },
}
