//! The client: the questions that a node answers. Each error says whether the call could have happened.

use super::wire::{
    BuildEngine, Change, Changes, Hit, Imported, IndexInfo, IndexSpec, Merged, Page, Point, Record, Request,
    Response, State, Status,
};
use crate::rpc::{Caller, Unanswered};
use std::net::SocketAddr;
use std::time::Duration;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The node refused: definitely not done.
    #[error("refused ({state}): {why}")]
    Refused {
        /// What the node is able to do.
        state: State,
        /// Why, and the remedy.
        why: String,
    },
    /// A changes feed cannot go on from the point that was named: read everything from `lsn` 0.
    #[error("full resync needed: {0}")]
    Resync(String),
    /// The request was never sent: definitely not done.
    #[error("not sent: {0}")]
    NotSent(String),
    /// Nobody knows whether it was done.
    #[error("no answer: {0}")]
    Indefinite(String),
}

impl CallError {
    /// Whether the request was surely not done.
    pub fn is_definite(&self) -> bool {
        !matches!(self, Self::Indefinite(_))
    }
}

impl From<Unanswered> for CallError {
    fn from(why: Unanswered) -> Self {
        match why {
            Unanswered::NotSent(why) => Self::NotSent(why),
            Unanswered::Indefinite(why) => Self::Indefinite(why),
        }
    }
}

/// A handle to a node. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Client(Caller<Response>);

impl Client {
    /// A client of the node at `addr`, each of whose calls ends within `limit`. Connects with the first call.
    pub fn new(addr: SocketAddr, limit: Duration) -> Self {
        Self(Caller::new(addr, limit))
    }

    /// The same connection with another limit.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self(self.0.within(limit))
    }

    async fn call(&self, request: Request) -> Result<Response, CallError> {
        match self.0.call(request).await? {
            Response::Refused { state, why } => Err(CallError::Refused { state, why }),
            Response::Resync { why } => Err(CallError::Resync(why)),
            Response::Failed { why } => Err(CallError::Indefinite(why)),
            answer => Ok(answer),
        }
    }
}

/// An answer of another kind than the question's.
fn confused<T>(response: &Response) -> Result<T, CallError> {
    Err(CallError::Indefinite(format!("an answer to another question: {response:?}")))
}

impl Client {
    /// Asks whether the process answers at all; tells nothing about its data.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn ping(&self) -> Result<(), CallError> {
        match self.call(Request::Ping).await? {
            Response::Pong => Ok(()),
            other => confused(&other),
        }
    }

    /// Stores a record, replacing the key's previous one. Answers its log sequence number; it is durable then.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn put(&self, record: Record) -> Result<u64, CallError> {
        match self.call(Request::Put(record)).await? {
            Response::Written { lsn } => Ok(lsn),
            other => confused(&other),
        }
    }

    /// Removes a key.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delete(&self, key: u64, ver: u64) -> Result<u64, CallError> {
        match self.call(Request::Delete { key, ver }).await? {
            Response::Written { lsn } => Ok(lsn),
            other => confused(&other),
        }
    }

    /// The newest record of a key.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get(&self, key: u64) -> Result<Option<Record>, CallError> {
        match self.call(Request::Get { key }).await? {
            Response::Found(record) => Ok(record),
            other => confused(&other),
        }
    }

    /// The `k` nearest records.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn search(&self, query: Vec<f32>, k: u32) -> Result<Vec<Hit>, CallError> {
        match self.call(Request::Search { query, k }).await? {
            Response::Hits(hits) => Ok(hits),
            other => confused(&other),
        }
    }

    /// Everything live after a key, in the order of keys; go on with [`Page::next`].
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn survivors(&self, after: Option<u64>, limit: u32) -> Result<Page, CallError> {
        match self.call(Request::Survivors { after, limit }).await? {
            Response::Page(page) => Ok(page),
            other => confused(&other),
        }
    }

    /// What changed after `since`, up to `limit` keys; go on with [`Changes::point`]. From `lsn` 0 of the node's own
    /// timeline on it is everything.
    ///
    /// # Errors
    /// [`CallError::Resync`] if `since` is of another history; else see [`CallError`].
    pub async fn changes(&self, since: Point, limit: u32) -> Result<Changes, CallError> {
        match self.call(Request::Changes { since, limit }).await? {
            Response::Changes(changes) => Ok(changes),
            other => confused(&other),
        }
    }

    /// Stores those changes whose write number is higher than what the key shows, a deletion's included. All of it
    /// is durable then, and doing it again changes nothing. Lsns are not looked at: they are another node's.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Merged, CallError> {
        match self.call(Request::Apply { changes }).await? {
            Response::Merged(merged) => Ok(merged),
            other => confused(&other),
        }
    }

    /// What the node says about itself; answered in every state.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn status(&self) -> Result<Status, CallError> {
        match self.call(Request::Status).await? {
            Response::Status(status) => Ok(*status),
            other => confused(&other),
        }
    }

    /// Seals everything written so far. Answers the last sealed write.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn flush(&self) -> Result<u64, CallError> {
        match self.call(Request::Flush).await? {
            Response::Flushed { lsn } => Ok(lsn),
            other => confused(&other),
        }
    }

    /// Builds an index of everything; takes as long as it takes, so give it a limit with [`Client::within`].
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn build_index(&self, spec: IndexSpec, engine: BuildEngine) -> Result<IndexInfo, CallError> {
        match self.call(Request::BuildIndex { spec, engine }).await? {
            Response::Built(info) => Ok(info),
            other => confused(&other),
        }
    }

    /// Builds the index again, with the spec it had.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn rebuild_index(&self, engine: BuildEngine) -> Result<IndexInfo, CallError> {
        match self.call(Request::RebuildIndex { engine }).await? {
            Response::Built(info) => Ok(info),
            other => confused(&other),
        }
    }

    /// Makes the node verify and load its files again, as a restart would.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn reload(&self) -> Result<Status, CallError> {
        match self.call(Request::Reload).await? {
            Response::Status(status) => Ok(*status),
            other => confused(&other),
        }
    }

    /// Begins a restore. Answers the import's number.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn import_begin(&self) -> Result<u64, CallError> {
        match self.call(Request::ImportBegin).await? {
            Response::Begun { import } => Ok(import),
            other => confused(&other),
        }
    }

    /// Adds a part of the backup; of several states of one key the newest counts. Answers how many keys are staged.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn import_page(&self, import: u64, changes: Vec<Change>) -> Result<u64, CallError> {
        match self.call(Request::ImportPage { import, changes }).await? {
            Response::Staged { records } => Ok(records),
            other => confused(&other),
        }
    }

    /// Replaces the node's data by the staged backup of the point `since`, its own newer writes on top; with
    /// `None` nothing is replayed.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn import_commit(&self, import: u64, since: Option<Point>) -> Result<Imported, CallError> {
        match self.call(Request::ImportCommit { import, since }).await? {
            Response::Imported(imported) => Ok(imported),
            other => confused(&other),
        }
    }
}
