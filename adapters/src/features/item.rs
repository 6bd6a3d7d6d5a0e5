//! What a feature store holds: rows of entities, and the catalogue beside them.
//!
//! A deletion is a state like any other, so that nothing older can bring the key back.

use std::cmp::Ordering;

use harness::corpus::{self, FEATURES};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// SHA-256 over all that an item says.
pub type Digest = [u8; 32];

const NAME_MAX: usize = 512;
const BODY_MAX: usize = 64 << 10;

/// What stands for a value in a database that no write can have stored there, such as a NULL or a text where a number
/// belongs. Whatever shows one of these equals no write's state, and so is seen to be altered, instead of hiding all
/// that is read with it.
pub(crate) struct Misfit;

impl Misfit {
    /// For a write number or a key.
    pub(crate) const NUMBER: u64 = u64::MAX;
    /// For a time.
    pub(crate) const TIME: i64 = i64::MIN;
    /// For the value of a feature.
    pub(crate) const VALUE: f64 = f64::MAX;
}

/// One table of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Feature definitions, with versions.
    Definitions,
    /// What depends on what.
    Dependencies,
    /// Which model version works with which definitions.
    Compatibility,
    /// The model registry.
    Models,
    /// Roles and their grants.
    Roles,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 5] =
        [Self::Definitions, Self::Dependencies, Self::Compatibility, Self::Models, Self::Roles];

    /// Its name in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Definitions => "definitions",
            Self::Dependencies => "dependencies",
            Self::Compatibility => "compatibility",
            Self::Models => "registered_models",
            Self::Roles => "roles",
        }
    }
}

impl From<corpus::Table> for Table {
    fn from(table: corpus::Table) -> Self {
        match table {
            corpus::Table::Definition => Self::Definitions,
            corpus::Table::Dependency => Self::Dependencies,
            corpus::Table::Compatibility => Self::Compatibility,
            corpus::Table::Model => Self::Models,
            corpus::Table::Role => Self::Roles,
        }
    }
}

/// The features of one entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The entity.
    pub key: u64,
    /// Write number, chosen by the writer.
    pub ver: u64,
    /// When the values were true, in microseconds since 1970.
    pub event_us: i64,
    /// The values; `None` if the entity was removed.
    pub values: Option<[f64; FEATURES]>,
}

/// One record of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Where it is.
    pub table: Table,
    /// Unique within the table.
    pub name: String,
    /// Write number, chosen by the writer.
    pub ver: u64,
    /// When it was true, in microseconds since 1970.
    pub event_us: i64,
    /// What it says, as JSON; `None` if it was removed.
    pub body: Option<String>,
}

/// The state of a key, whatever kind of key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Item {
    /// An entity's.
    Row(Row),
    /// A catalogue record's.
    Record(Record),
}

/// An item as the database has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// What it says.
    pub item: Item,
    /// The digest stored beside it.
    pub digest: Digest,
    /// Its write number by the table `changes`; `None` if no write ever made it.
    pub logged: Option<u64>,
}

impl Stored {
    /// Whether this is what a write stored, unaltered.
    pub fn verifies(&self) -> bool {
        self.digest == self.item.digest() && self.logged == Some(self.item.ver())
    }
}

/// A key, in the order in which stores list them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// An entity.
    Row(u64),
    /// A catalogue record.
    Record(Table, String),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Row(key) => write!(f, "entity {key}"),
            Self::Record(table, name) => write!(f, "{} {name:?}", table.sql()),
        }
    }
}

impl Item {
    /// Whose state it is.
    pub fn key(&self) -> Key {
        match self {
            Self::Row(row) => Key::Row(row.key),
            Self::Record(record) => Key::Record(record.table, record.name.clone()),
        }
    }

    /// The write number.
    pub fn ver(&self) -> u64 {
        match self {
            Self::Row(row) => row.ver,
            Self::Record(record) => record.ver,
        }
    }

    /// When it was true.
    pub fn event_us(&self) -> i64 {
        match self {
            Self::Row(row) => row.event_us,
            Self::Record(record) => record.event_us,
        }
    }

    /// Whether it is a deletion.
    pub fn deleted(&self) -> bool {
        match self {
            Self::Row(row) => row.values.is_none(),
            Self::Record(record) => record.body.is_none(),
        }
    }

    /// About how many bytes it travels as.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Row(_) => 100,
            Self::Record(record) => 32 + record.name.len() + record.body.as_ref().map_or(0, String::len),
        }
    }

    /// Over a canonical form: every field with a fixed width or with its length before it.
    pub fn digest(&self) -> Digest {
        let mut sha = Sha256::new();
        match self {
            Self::Row(row) => {
                sha.update(b"row\0");
                sha.update(row.key.to_le_bytes());
                head(&mut sha, row.ver, row.event_us, row.values.is_some());
                for value in row.values.iter().flatten() {
                    sha.update(value.to_bits().to_le_bytes());
                }
            }
            Self::Record(record) => {
                sha.update(record.table.sql());
                sha.update(b"\0");
                text(&mut sha, &record.name);
                head(&mut sha, record.ver, record.event_us, record.body.is_some());
                text(&mut sha, record.body.as_deref().unwrap_or_default());
            }
        }
        sha.finalize().into()
    }

    /// Whether this state replaces that one. Total: of two different states exactly one is newer.
    pub fn newer_than(&self, event_us: i64, ver: u64, digest: &Digest) -> bool {
        let order = (self.event_us(), self.ver()).cmp(&(event_us, ver));
        order.then_with(|| self.digest().cmp(digest)) == Ordering::Greater
    }

    /// The form in which it is stored, or why it cannot be.
    pub(crate) fn checked(mut self) -> Result<Self, String> {
        if i64::try_from(self.ver()).is_err() {
            return Err(format!("write number {} is too large", self.ver()));
        }
        match &mut self {
            Self::Row(row) => {
                if i64::try_from(row.key).is_err() {
                    return Err(format!("key {} is too large", row.key));
                }
                for value in row.values.iter_mut().flatten() {
                    if !value.is_finite() {
                        return Err(format!("entity {}: {value} is no value of a feature", row.key));
                    }
                    // The database knows no negative zero.
                    *value += 0.0;
                }
            }
            Self::Record(record) => {
                let body = record.body.as_ref().map_or(0, String::len);
                if record.name.is_empty() || record.name.len() > NAME_MAX || body > BODY_MAX {
                    let most = format!("a name has 1 to {NAME_MAX} bytes, a body {BODY_MAX} at most");
                    return Err(format!("{} {:?}: {most}", record.table.sql(), record.name));
                }
            }
        }
        Ok(self)
    }
}

fn head(sha: &mut Sha256, ver: u64, event_us: i64, there: bool) {
    sha.update(ver.to_le_bytes());
    sha.update(event_us.to_le_bytes());
    sha.update([u8::from(there)]);
}

fn text(sha: &mut Sha256, text: &str) {
    sha.update((text.len() as u64).to_le_bytes());
    sha.update(text);
}
