//! Full and incremental backups of a vector collection in an object store, and restores from them.
//!
//! ```text
//! vector-backups/{collection}/full/{timestamp}/changes-000000         pages: every key's state, tombstones too
//! vector-backups/{collection}/incremental/{timestamp}/changes-000000  pages: what changed since its base
//! vector-backups/{collection}/index-metadata/{timestamp}/index        what to build after a restore
//! vector-backups/{collection}/{full|incremental}/{timestamp}/MANIFEST names every object with size and SHA-256
//! vector-backups/{collection}/latest                                  names the newest manifest, written last
//! ```
//!
//! A backup is a *link*: a full one begins a chain, and an incremental's manifest names its base, the link before
//! it, by timestamp and SHA-256 of the base's manifest. `latest` names the newest link in the same way, so every byte
//! of the newest chain is under a checksum that leads to `latest`, and what is missing is told from what never was:
//!
//! - A backup is finished once `latest` names it, or a link that goes back to it. What is newer than that was
//!   interrupted, and is no backup. What such a link names and is not there, or is not what was written, is damage.
//! - A missing `latest` beside any manifest is damage too. (The first backup ever, cut off just before it wrote
//!   `latest`, looks the same: it had not been acknowledged, and is refused.)
//!
//! A restore takes the newest chain and verifies every byte of it before the node overwrites anything: what does not
//! verify is named, and an older backup never takes its place silently. Not found: that all of a collection's
//! objects are gone, and a chain and `latest` put back together to what they were.
//!
//! Backups of one collection are taken one at a time: of two that run at once, one may end up outside the chain.
//!
//! Timestamps are UTC and sort as text. `take` makes links, `manifest` and `chain` know their format and order,
//! `rows` makes them of a store that has no feed of changes, `state` merges their changes, `restore` brings them back.

mod chain;
mod manifest;
mod restore;
mod rows;
mod state;
mod take;
#[cfg(test)]
mod tests;

pub use manifest::{Kind, Link};
pub use restore::{catch_up, restore, restore_into};
pub use rows::{Chain, Rows, Seen, back_up_rows, read_chain};
pub use take::{back_up, back_up_incremental};

use std::time::Duration;

use crate::s3::S3Error;
use crate::vectordb::{CallError, Imported, IndexInfo};

/// Keys of one object.
const PAGE: u32 = 10_000;
/// Objects of one collection's backups that are listed, links of a chain, pages of a link.
const LISTED_MAX: usize = 1_000_000;
const LINKS_MAX: usize = 100_000;
const PAGES_MAX: usize = 100_000;
/// Committing an import, or building an index, takes as long as it takes.
const LONG: Duration = Duration::from_secs(1800);

/// Why a backup was not taken or not restored. Whatever the node held before a failed restore, it still holds, except
/// after [`BackupError::NotVerified`].
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The object store failed.
    #[error("{0}")]
    Store(#[from] S3Error),
    /// The node failed.
    #[error("the vector node: {0}")]
    Node(#[from] CallError),
    /// A store that is looked at row by row failed.
    #[error("the vector store: {0}")]
    Rows(String),
    /// There is nothing to restore.
    #[error("there is no complete backup of `{0}`; take one before the fault")]
    Missing(String),
    /// An incremental has nothing to stand on.
    #[error("no incremental backup of `{collection}`: {why}; take a full one")]
    NeedsFull {
        /// The collection.
        collection: String,
        /// Why.
        why: String,
    },
    /// A standby holds a link that the newest chain does not go through.
    #[error(
        "the standby holds backup {0}, and the newest chain does not go through it; restore into it anew"
    )]
    NotInChain(String),
    /// An object is not what the backup wrote.
    #[error("backup object {object}: {why}; nothing was overwritten")]
    Damaged {
        /// The object.
        object: String,
        /// What is wrong with it.
        why: String,
    },
    /// The clock stands where no backup can be named after it.
    #[error("{0}; set the clock")]
    NoClock(#[from] harness::time::ClockWrong),
    /// The clock stands still or went back.
    #[error(
        "the newest backup is of {newest}, and the clock says {now}: it would not be the newest; set the clock"
    )]
    Clock {
        /// The newest backup.
        newest: String,
        /// The time.
        now: String,
    },
    /// A backup holds, or a node shows after a restore, something else than it should.
    #[error("backup {timestamp} did not verify: {why}")]
    NotVerified {
        /// The backup.
        timestamp: String,
        /// What was found.
        why: String,
    },
}

/// A backup that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its name.
    pub timestamp: String,
    /// Full or incremental.
    pub kind: Kind,
    /// Records that a restore of it brings back.
    pub records: u64,
    /// Changes that it holds itself, deletions included.
    pub changes: u64,
    /// Objects it is made of, the manifest left aside.
    pub objects: usize,
    /// Their size.
    pub bytes: u64,
}

/// A restore that was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    /// The newest link's name.
    pub timestamp: String,
    /// Records in the chain's state.
    pub records: u64,
    /// What the node made of it.
    pub imported: Imported,
    /// The index that was built from the backup's metadata.
    pub index: Option<IndexInfo>,
    /// Newer backups that were never finished.
    pub unfinished: Vec<String>,
    /// How far the chain went.
    pub applied: Applied,
}

/// How far along a chain a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The newest link whose changes the node holds.
    pub link: Link,
    /// Incrementals that the call put on.
    pub incrementals: usize,
    /// Changes that the call put on.
    pub changes: u64,
}
