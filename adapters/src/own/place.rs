//! A place: the source of a drill, or its scratch. What is asked of a store, whatever it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use harness::own::event::{Answers, Planted, Sum};
use harness::own::stack::{Canary, Component, Product, Witness};

use super::secrets::Secrets;
use super::{bucket::BucketPlace, by_command::CommandPlace, milvus::MilvusPlace, postgres::PostgresPlace};

/// Why a place could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// Nobody is there: the connection is refused, the database or the bucket does not exist.
    #[error("{0}")]
    Nobody(String),
    /// It answered with an error, or not in time.
    #[error("{0}")]
    Failed(String),
}

/// A record among the canaries, with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub id: String,
    /// When it was planted, in microseconds since 1970.
    pub at_unix_us: u64,
    /// A random word.
    pub value: String,
}

/// All canaries of a place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// In the order of their moments, without those of runs; the newest if there are very many.
    pub list: Vec<Planted>,
    /// How many there are.
    pub count: u64,
    /// The store's clock less ours, in microseconds.
    pub clock_ahead_us: Option<i64>,
}

/// Golden queries: vectors of users, kept in memory for the time of a drill.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Queries {
    /// By field.
    pub fields: Vec<FieldQueries>,
}

/// Golden queries of one field.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldQueries {
    /// The field of vectors.
    pub field: String,
    /// The kind of vector, in the store's own numbers.
    pub kind: i32,
    /// How distances are measured in the source: whoever asks says so.
    pub metric: String,
    /// The vectors, as they are sent.
    pub vectors: Vec<Vec<u8>>,
    /// The digest of each one's own key, where nothing is nearer to a vector than itself: an answer without it is a wrong one.
    pub own: Vec<String>,
}

/// Canaries that are kept of a listing.
pub const LISTED_MAX: usize = 10_000;
/// What the names of records of a run begin with: they are no canaries.
pub const OF_RUN: &str = "run-";

/// What is asked of a store. Every call ends within a limit of its own.
#[async_trait]
pub trait Place: Send + Sync + std::fmt::Debug {
    /// What it says of itself: facts that no address can feign.
    async fn identify(&self) -> Result<BTreeMap<String, String>, Unread>;

    /// How many things stand there that are not gameday's, and a few by name.
    async fn holds(
        &self,
        witnesses: &[(String, Witness)],
        t0_unix_us: Option<u64>,
    ) -> Result<(u64, Vec<String>), Unread>;

    /// Its canaries.
    async fn canaries(&self) -> Result<Listed, Unread>;

    /// Reads a witness. `t0_unix_us` is the moment before which everything must be back. In `newer` stand the names of what
    /// the source stored later, and the scratch place may hold or lack: the source adds to it, the scratch place heeds it.
    async fn witness(
        &self,
        witness: &Witness,
        t0_unix_us: Option<u64>,
        newer: &mut BTreeSet<String>,
    ) -> Result<Sum, Unread>;

    /// Vectors of a witness that are searched for, in the source and then in the scratch place; `None` where nothing is searched.
    async fn queries(&self, _witness: &Witness) -> Result<Option<Queries>, Unread> {
        Ok(None)
    }

    /// Searches for them.
    async fn answers(&self, _witness: &Witness, _queries: &Queries) -> Result<Vec<Answers>, Unread> {
        Ok(Vec::new())
    }

    /// What it consists of beside its records, as one figure; `None` for stores that have no such thing.
    async fn inventory(&self) -> Result<Option<Sum>, Unread>;

    /// Writes a record of the run.
    async fn mark(&self, id: &str) -> Result<(), Unread>;

    /// Whether it may be a copy that follows another place, and lags.
    fn may_lag(&self) -> bool;

    /// Keeps others from drilling on it for as long as the answer is held; `None` where it knows no locks.
    async fn lock(&self) -> Result<Option<Box<dyn std::any::Any + Send + Sync>>, Unread>;

    /// Whether the record is there, whoever wrote it.
    async fn marked(&self, id: &str) -> Result<bool, Unread>;

    /// Removes the record; that there is none is fine.
    async fn unmark(&self, id: &str) -> Result<(), Unread>;

    /// Plants a canary.
    async fn plant(&self, record: &Record) -> Result<(), Unread>;

    /// Removes canaries planted before a moment; answers how many.
    async fn prune(&self, before_unix_us: u64) -> Result<u64, Unread>;
}

/// What a place is made of.
#[derive(Debug, Clone)]
pub struct Sited<'a> {
    /// Its address.
    pub component: &'a Component,
    /// Where its canaries are.
    pub canary: Option<&'a Canary>,
    /// The values of variables.
    pub secrets: &'a Arc<Secrets>,
    /// Whether it is the scratch place of a drill.
    pub scratch: bool,
    /// The folder of the file that names its commands.
    pub dir: &'a Path,
    /// The run's id: the mark of its commands.
    pub run: &'a str,
}

/// Opens a place. Nothing is asked yet.
///
/// # Errors
/// If its address cannot be one.
pub fn open(sited: Sited<'_>) -> Result<Arc<dyn Place>, String> {
    Ok(match sited.component.product {
        Product::Postgres => Arc::new(PostgresPlace::new(&sited)?),
        Product::S3 => Arc::new(BucketPlace::new(&sited)?),
        Product::Milvus => Arc::new(MilvusPlace::new(&sited)?),
        Product::Command => Arc::new(CommandPlace::new(&sited)),
    })
}

/// The digest by which the journal knows a canary's value.
pub fn digest(value: &str) -> String {
    harness::journal::digest(value.as_bytes())
}

impl Listed {
    /// Of records that were read, in any order.
    pub fn of(mut all: Vec<Planted>, clock_ahead_us: Option<i64>) -> Listed {
        all.retain(|p| !p.id.starts_with(OF_RUN));
        all.sort_by(|a, b| (a.at_unix_us, &a.id).cmp(&(b.at_unix_us, &b.id)));
        let count = all.len() as u64;
        let list = all.split_off(all.len().saturating_sub(LISTED_MAX));
        Listed { list, count, clock_ahead_us }
    }
}
