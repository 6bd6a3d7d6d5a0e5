//! A small vector database: the product that plays the role `vector` in the world `local`.
//!
//! It is killed, paused and has its files damaged on purpose, so it keeps the promises of a good database and
//! no more: what it acknowledged is on disk, and what fails its checksum is never served.
//!
//! | module | what |
//! |---|---|
//! | `wal` | the write-ahead log `wal.log`: framed, checksummed, fsynced before the acknowledgement |
//! | `segment` | sealed records, `segments/NNNNNN.seg`: immutable and checksummed |
//! | `manifest` | `MANIFEST`: what belongs to the collection, with checksums; swapped atomically |
//! | `files` | the few disk operations all of these are made of |
//! | `load` | start-up: verify everything, or say what is damaged |
//! | `table` | the merged view in memory that answers reads |
//! | `engine` | what all parts share, and the reads |
//! | `commit` | writes, by group commit |
//! | `feed`, `census` | what changed since a point, for whoever follows; changes of others applied |
//! | `replicated` | the node as a follower and a source of others like it |
//! | `maintain`, `import` | flush, index build, restore from a backup |
//! | `ann` | the only module that knows the index library |
//! | `wire`, `server`, `client` | what is asked and answered, by `rpc` |
//! | `system` | the database as a drill's users reach it |
//! | `flaws` | defects planted on purpose, so that validators can be seen to fail |
//!
//! # Files of a node
//!
//! `wal.log`, `segments/*.seg`, `index.bin`, `MANIFEST` are the data. `LOCK` keeps a second process out and
//! holds nothing. `replica.json` is the replication's own. `*.next` are files about to be renamed; a crash leaves at most some of them, and start-up
//! finishes or removes them.
//!
//! # What damage is found
//!
//! Every byte of the four is under a checksum, and the manifest names every file, so at start-up (or
//! `reload`) a flipped, zeroed, swapped, missing or shortened file is damage. Two things cannot be told by
//! looking at one folder: that the whole folder was emptied (the node starts as a new one), and that the log
//! was put back, header included, to an earlier state of the same log.

mod ann;
mod census;
mod client;
mod codec;
mod commit;
mod engine;
mod feed;
mod files;
mod flaws;
mod import;
mod load;
mod maintain;
mod manifest;
mod replicated;
mod segment;
mod server;
mod system;
mod table;
#[cfg(test)]
mod tests;
mod wal;
mod wire;

pub use census::Census;
pub use client::{CallError, Client};
pub use engine::{Engine, EngineError, OpenError};
pub use flaws::Flaw;
pub use server::{ServeError, Server, serve};
pub use system::VectorSystem;
pub use wire::{
    BuildEngine, Change, Changes, Damage, Hit, Imported, IndexInfo, IndexSpec, Kind, Merged, Page, Point,
    Record, State, Status,
};

use crate::replica::ReplicaConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a node runs. Serialisable, so that it can be handed to the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The node's folder, made if missing.
    pub dir: PathBuf,
    /// Port on loopback; 0 lets the system choose (see [`Server::addr`]).
    pub port: u16,
    /// Name of the collection.
    pub collection: String,
    /// Values in each vector.
    pub dim: u32,
    /// Leave when standard input ends: whoever started the node is gone.
    #[serde(default)]
    pub lifeline: bool,
    /// Defects planted on purpose.
    #[serde(default)]
    pub flaws: Vec<Flaw>,
    /// How the node is replicated; `None` if it stands alone.
    #[serde(default)]
    pub replica: Option<ReplicaConfig>,
}

impl Config {
    /// A node without flaws, lifeline or replication, on a port the system chooses.
    pub fn new(dir: impl Into<PathBuf>, collection: impl Into<String>, dim: u32) -> Self {
        Self {
            dir: dir.into(),
            port: 0,
            collection: collection.into(),
            dim,
            lifeline: false,
            flaws: Vec::new(),
            replica: None,
        }
    }
}
