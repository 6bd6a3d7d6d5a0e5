//! What travels between client and node, by `rpc`.

use harness::inventory::Inventory;
use serde::{Deserialize, Serialize};

use super::item::{Item, Key, Stored, Table};
use super::replace::{Replaced, Rules};

/// A moment in a node's history. Log sequence numbers of different timelines cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Which history.
    pub timeline: u64,
    /// The newest change that belongs to it.
    pub lsn: u64,
}

/// What became of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// States that were newer than what was stored; the others changed nothing.
    pub stored: u64,
    /// The node's newest change afterwards.
    pub lsn: u64,
}

/// A page of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// The rows, deletions among them.
    pub rows: Vec<Stored>,
    /// Whether there may be later ones.
    pub more: bool,
    /// Where the node was before the page was read.
    pub point: Point,
}

/// A page of the changes feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// The newest state of each key that changed.
    pub items: Vec<Item>,
    /// Who has applied them has everything up to this lsn.
    pub upto: u64,
    /// Whether there are later ones already.
    pub more: bool,
}

/// What a node says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Which history, and its newest change.
    pub point: Point,
    /// The version of its tables.
    pub schema: u32,
    /// Entities with values.
    pub rows: u64,
    /// Records of the catalogue.
    pub records: u64,
    /// Writes acknowledged by this process.
    pub writes: u64,
    /// Transactions it took.
    pub commits: u64,
}

/// What an intruder with the database's password does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Strike {
    /// Adds a constant to two features of a share of the rows.
    ShiftValues(f64),
    /// Values of a share of the rows are overwritten through the store's own door: digests and log are right.
    ForgeValues(f64),
    /// Lets a share of the rows exchange their values, two at a time.
    SwapValues(f64),
    /// Removes a share of the rows.
    DeleteRows(f64),
    /// Alters a share of the definitions.
    AlterDefinitions(f64),
    /// Removes a share of the definitions.
    DeleteDefinitions(f64),
    /// Leaves a role behind that may do everything.
    LeaveRole,
}

/// What an intruder did, read back from the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Struck {
    /// Rows or records hit.
    pub count: u64,
    /// In words.
    pub text: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Ping,
    Status,
    Apply { items: Vec<Item> },
    Row { key: u64 },
    Record { table: Table, name: String },
    Rows { from: u64, to: u64, limit: u32 },
    Catalogue,
    Missing,
    Inventory,
    Strangers,
    Changes { since: u64, limit: u32 },
    Strike { strike: Strike, seed: u64 },
    Begin,
    Stage { restore: u64, items: Vec<Item> },
    Replace { restore: u64, rules: Rules },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Response {
    Pong,
    Status(Status),
    Applied(Applied),
    Found(Option<Stored>),
    Rows(Rows),
    Catalogue(Vec<Stored>),
    Missing(Vec<Key>),
    Inventory(Inventory),
    Strangers(Vec<String>),
    Changes(Changes),
    Struck(Struck),
    Begun(u64),
    Staged(u64),
    Replaced(Replaced),
    /// Definitely not done.
    Refused {
        why: String,
    },
    /// Perhaps done.
    Failed {
        why: String,
    },
}
