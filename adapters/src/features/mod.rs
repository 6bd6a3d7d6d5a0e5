//! A small feature store and model registry on SQLite: the product that plays the role `feature` in the world `local`.
//!
//! | module | what |
//! |---|---|
//! | `item` | rows and catalogue records, their digests, and which of two states is the newer one |
//! | `schema` | the tables |
//! | `store`, `query` | the database: one writer, several readers |
//! | `commit` | writes: many in one transaction, the newest state of a key wins |
//! | `wire`, `server`, `client` | what is asked and answered, by `rpc` |
//! | `holder` | what users and operators need of whatever product holds the features |
//! | `system` | the store as a drill's users reach it |
//! | `inventory` | what the store consists of beside its rows, and strangers |
//! | `intruder` | damage by direct SQL, past digests and log |
//! | `backup` | backups in an object store, and restores from them |
//! | `replace` | the node's side of a restore |
//! | `replicated` | the store as a product that can be replicated |
//! | `acts` | what operators and intruders do, with what was seen of it |
//! | `audit`, `drift` | every detector of compromise by itself |
//! | `flaws` | defects planted on purpose |
//!
//! # What holds
//!
//! - What was acknowledged is durable (write-ahead log, `synchronous = FULL`) and in the table `changes`, which is
//!   written in the same transaction and has each key once, with the number of its newest change.
//! - Every row has a digest over all that it says. It is checked by whoever audits, backs up, restores or replicates,
//!   and never by a plain read: as in the products this one is modelled after, poisoned values are served.
//! - A state replaces another one only if it is newer, by the time its values were true, then by its write number. So
//!   applying states twice, late or in another order ends in the same place. Deletions are states too.
//!
//! The tables follow Feast's online store and MLflow's registry; definitions, dependencies, compatibility and roles
//! lie beside them, since a restore that brings back values only is no restore.

pub mod acts;
mod audit;
pub mod backup;
mod client;
mod commit;
mod drift;
mod flaws;
mod holder;
mod intruder;
mod inventory;
mod item;
mod query;
mod replace;
mod replicated;
mod schema;
mod server;
mod store;
mod system;
#[cfg(test)]
mod tests;
mod wire;

pub use audit::{Audit, AuditError, audit};
pub use client::{CallError, Client};
pub use flaws::Flaw;
pub use holder::{Holder, Operated};
#[cfg(feature = "docker")]
pub(crate) use item::Misfit;
pub use item::{Digest, Item, Key, Record, Row, Stored, Table};
#[cfg(feature = "docker")]
pub(crate) use replace::{Own, Staging};
pub use replace::{Replaced, Rules};
pub use server::{ServeError, Server, serve};
pub use store::{Store, StoreError};
pub use system::FeatureSystem;
pub use wire::{Applied, Changes, Point, Rows, Status, Strike, Struck};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::replica::ReplicaConfig;

/// How a node runs. Serialisable, so that it can be handed to the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The node's folder, made if missing.
    pub dir: PathBuf,
    /// Port on loopback; 0 lets the system choose (see [`Server::addr`]).
    pub port: u16,
    /// Leave when standard input ends: whoever started the node is gone.
    #[serde(default)]
    pub lifeline: bool,
    /// The node's part in replication; none, if it has none.
    #[serde(default)]
    pub replica: Option<ReplicaConfig>,
}

impl Config {
    /// A node without lifeline and replication, on a port the system chooses.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), port: 0, lifeline: false, replica: None }
    }
}
