//! PostgreSQL as the feature store and model registry: the product that plays the role `feature` in containers.
//!
//! | module | what |
//! |---|---|
//! | `login` | who connects where |
//! | `outcome` | which errors are definite |
//! | `database` | connections: one for each need, none for two at once |
//! | `schema` | the tables, and views after Feast and MLflow |
//! | `rows` | what users and audits ask, in SQL ([`crate::features::Holder`]) |
//! | `replace` | restores ([`crate::features::Operated`]) |
//! | `inventory` | what a server consists of beside its rows |
//! | `intruder` | damage by direct SQL, past digests and log |
//! | `settings` | configuration and commands, as pure functions |
//! | `shell` | the seam through which commands run inside a node |
//! | `node` | one server: made, cloned, started, stopped |
//! | `replication` | synchronous or not, lag, a frozen receiver |
//! | `standing` | who takes writes, how far a log goes, a fence |
//! | `failover` | fencing, promotion, rejoining |
//! | `pages` | damage to heap and index pages |
//! | `archive`, `ship` | point-in-time recovery, from the node's folder or from an object store |
//! | `health` | what a user's operation says of a server |
//!
//! # What holds
//!
//! - The rules are those of [`crate::features`], whose logic this shares: the newest state of a key wins, deletions are
//!   states, every row has a digest that plain reads do not check, and a log knows the newest write of each key. Row and
//!   log change in one statement, so there is no moment at which only one of them has.
//! - Nothing is tried twice. A request that was not sent is definite; once it was sent, only a plain `ERROR` of the
//!   server is. See `outcome`.
//! - A standby is promoted only with proof that the old primary takes no writes any more ([`Fenced`]).
//! - Commands inside a node run by [`Shell`], so containers and child processes are operated alike.

mod archive;
mod database;
mod failover;
mod health;
mod intruder;
mod inventory;
mod login;
mod node;
mod outcome;
mod pages;
mod replace;
mod replication;
mod rows;
mod schema;
pub mod settings;
mod shell;
mod ship;
mod standing;
#[cfg(test)]
mod tests;

pub use archive::RestorePoint;
pub use database::Database;
pub use failover::{Fenced, Promoted};
pub use health::Health;
pub use login::{Login, Secret};
pub use node::{Credentials, Node, NodeError, Peer};
pub use pages::{Damaged, Pages, Seen};
pub use replication::{Lag, Mode};
pub use shell::{Command, Output, Shell, ShellError};
pub use ship::Shipped;

/// The feature store in PostgreSQL, as a drill's users reach it.
pub type PostgresSystem = crate::features::FeatureSystem<Database>;
