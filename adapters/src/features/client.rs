//! The client: the questions that a node answers. Each error says whether the call could have happened.

use std::net::SocketAddr;
use std::time::Duration;

use harness::inventory::Inventory;

use super::item::{Item, Key, Stored, Table};
use super::replace::{Replaced, Rules};
use super::wire::{Applied, Changes, Request, Response, Rows, Status, Strike, Struck};
use crate::rpc::{Caller, Unanswered};

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The node refused: definitely not done.
    #[error("refused: {0}")]
    Refused(String),
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

/// One method for each question: its request, and the one answer that fits.
macro_rules! questions {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $out:ty {
        $request:expr => $answer:pat => $value:expr
    })+) => {
        impl Client {
            $($(#[$doc])*
            ///
            /// # Errors
            /// See [`CallError`].
            pub async fn $name(&self, $($arg: $type),*) -> Result<$out, CallError> {
                match self.call($request).await? {
                    $answer => Ok($value),
                    other => Err(CallError::Indefinite(format!("an answer to another question: {other:?}"))),
                }
            })+
        }
    };
}

questions! {
    /// Asks whether the process answers at all.
    ping() -> () { Request::Ping => Response::Pong => () }
    /// What the node says about itself.
    status() -> Status { Request::Status => Response::Status(status) => status }
    /// Stores states, each if it is newer than what is there. They are durable then.
    apply(items: Vec<Item>) -> Applied { Request::Apply { items } => Response::Applied(applied) => applied }
    /// One entity; a deletion is something, too.
    row(key: u64) -> Option<Stored> { Request::Row { key } => Response::Found(found) => found }
    /// One record of the catalogue.
    record(table: Table, name: String) -> Option<Stored> {
        Request::Record { table, name } => Response::Found(found) => found
    }
    /// Rows of `from..=to`, in the order of keys.
    rows(from: u64, to: u64, limit: u32) -> Rows { Request::Rows { from, to, limit } => Response::Rows(rows) => rows }
    /// The whole catalogue, in the order of tables and names.
    catalogue() -> Vec<Stored> { Request::Catalogue => Response::Catalogue(records) => records }
    /// Keys that were written and are not there, not even as a deletion.
    missing() -> Vec<Key> { Request::Missing => Response::Missing(keys) => keys }
    /// What the store consists of beside its rows.
    inventory() -> Inventory { Request::Inventory => Response::Inventory(all) => all }
    /// What is stored and has no key, by name.
    strangers() -> Vec<String> { Request::Strangers => Response::Strangers(names) => names }
    /// The newest state of keys that changed after `since`.
    changes(since: u64, limit: u32) -> Changes {
        Request::Changes { since, limit } => Response::Changes(changes) => changes
    }
    /// Lets an intruder strike. Answered after the database was read again.
    strike(strike: Strike, seed: u64) -> Struck { Request::Strike { strike, seed } => Response::Struck(struck) => struck }
    /// Begins a restore, and ends any that is under way. Answers its number.
    begin() -> u64 { Request::Begin => Response::Begun(restore) => restore }
    /// Hands over a part of a backup. Answers how many items are staged.
    stage(restore: u64, items: Vec<Item>) -> u64 {
        Request::Stage { restore, items } => Response::Staged(count) => count
    }
    /// Replaces what the node holds by what was staged, in one transaction.
    replace(restore: u64, rules: Rules) -> Replaced {
        Request::Replace { restore, rules } => Response::Replaced(replaced) => replaced
    }
}

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
            Response::Refused { why } => Err(CallError::Refused(why)),
            Response::Failed { why } => Err(CallError::Indefinite(why)),
            answer => Ok(answer),
        }
    }
}
