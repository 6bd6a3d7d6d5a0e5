//! Replication between the regions of the world `local`: one mechanism for all products.
//!
//! Every node has a *replication port* beside its users' one. A standby pulls, as PostgreSQL's walreceiver does: it
//! asks its source for the changes after a position, applies them durably, and asks again; the next question
//! acknowledges everything before it. Control requests of the harness ([`ReplicaClient`]) arrive on the same port.
//!
//! | module | what |
//! |---|---|
//! | `wire` | frames, requests, answers, and what a node says about itself |
//! | `saved` | what outlives the process (`replica.json`), and which changes of role are allowed: pure |
//! | `standing` | the role in force: who may write, and which writes the follower has |
//! | `server` | the replication port |
//! | `follow` | the pulling side; and, on a promoted node, the herald that tells the old primary |
//! | `node` | starts and ends all of these |
//! | `client` | the harness's side |
//!
//! # What holds
//!
//! - A node that is not primary acknowledges no write, not even one that began while it was ([`Permit`]).
//! - In mode [`Mode::Sync`] nothing is acknowledged that the follower has not made durable. In [`Mode::Mutual`] the
//!   same, until a write has waited for `degrade_after`: then the node acknowledges alone, says so in its status,
//!   and stops doing so once its follower has caught up.
//! - Of two primaries that hear of each other the one with the lower epoch fences itself. A promoted node tells the
//!   one it followed, for as long as it is primary. (In [`Mode::Mutual`] all are primaries, whatever the epoch.)
//! - Changes are states, not operations: the newest of each key, ordered by version. So applying them twice, late or
//!   in another order ends in the same place, and a position that is too old costs only time.
//! - A position is of one history of one node. When either side's history is another than before (restored, emptied,
//!   shortened), the follower starts from zero and merges; it drops its own data only when told to ([`ReplicaClient::follow`]).
//! - Every wait has a limit and every loop a pause; a frame that is none closes its connection and nothing more.

mod client;
mod follow;
mod node;
mod saved;
mod server;
mod standing;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod trials;
mod wire;

pub use client::{ReplicaClient, ReplicaError};
pub use node::{Replica, StartError};
pub use standing::{NotWritable, Permit, Standing, Unconfirmed};
pub use wire::{Follower, Following, Mode, Position, Role, Status};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tokio::sync::watch;

/// What a batch should not exceed by much: a follower behind a slow link must get through with one.
pub const BATCH_BYTES: usize = 1 << 20;

/// How a node takes part in replication.
///
/// Role, epoch and source are of the very first start only; afterwards `replica.json` in the node's folder is the
/// truth, and is changed by requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaConfig {
    /// The replication port on loopback; 0 lets the system choose (see [`Replica::addr`]).
    pub port: u16,
    /// What an acknowledgement waits for while this node is primary. A standby needs the mode it is to have once
    /// it is promoted, usually [`Mode::Async`], for then nobody follows it.
    pub mode: Mode,
    /// The first role: primary or standby.
    pub start_as: Role,
    /// Replication port of the node to follow: by a standby, and by a primary in [`Mode::Mutual`].
    pub follow: Option<SocketAddr>,
    /// In [`Mode::Mutual`], how long a write waits for the follower.
    #[serde(default = "degrade_after_ms")]
    pub degrade_after_ms: u32,
}

fn degrade_after_ms() -> u32 {
    1000
}

/// Changes of a product, and how far they reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The changes, in the product's own encoding, whose meaning only [`Replicable::apply`] knows.
    pub ops: Vec<Bytes>,
    /// Who has applied them has everything up to this log sequence number.
    pub upto: u64,
    /// Whether there are later ones already.
    pub more: bool,
}

/// A product that can be replicated.
///
/// A log sequence number (lsn) counts a node's own durable changes, those it applied for others included. Ordering
/// *between* nodes is by version, which the users' writes carry.
#[async_trait::async_trait]
pub trait Replicable: Send + Sync + 'static {
    /// The history this node's lsns belong to, and the last durable one. A new, emptied or restored node begins
    /// another timeline (any number nobody else has).
    fn position(&self) -> Position;

    /// The lsn of [`Replicable::position`] as it grows; waiting followers are woken by it.
    fn durable(&self) -> watch::Receiver<u64>;

    /// The newest state (a deletion is one too) of keys changed after `since`, oldest change first, `limit` keys at
    /// most and about [`BATCH_BYTES`]; at least one if there is any. Never anything that is not durable.
    ///
    /// With `more`, `upto` is the lsn of the last change given, otherwise everything that was durable. A key that
    /// changed again since is left to a later batch.
    ///
    /// # Errors
    /// In words; the follower asks again.
    async fn changes(&self, since: u64, limit: usize) -> Result<Batch, String>;

    /// Makes changes durable, each where its version is newer than what is here. A change that is not newer must
    /// advance nothing, or two primaries that follow each other would echo for ever. Versions must order states
    /// totally (equal versions of different content: by content), or the two would never agree.
    ///
    /// Called again with the same changes after an error or a crash; never cancelled but by the end of the node, or
    /// after a minute.
    ///
    /// # Errors
    /// In words; nothing counts as applied.
    async fn apply(&self, ops: Vec<Bytes>) -> Result<(), String>;

    /// Drops everything and begins another timeline; no user's write is under way.
    ///
    /// # Errors
    /// In words; called again later.
    async fn wipe(&self) -> Result<(), String>;
}
