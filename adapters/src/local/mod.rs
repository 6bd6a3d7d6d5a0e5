//! The local world: every node a process of its own, reached over a link the harness owns.
//!
//! Building blocks, each of which breaks or mends one thing, answers only after the effect was *observed*, and knows
//! nothing of what a node is for: `port`, `link`, `proc`, `damage`, `sweep`, `lifeline`, `watchdog`. Above them:
//!
//! | module | what |
//! |---|---|
//! | `host` | the world: launch, teardown, the doors to its stores |
//! | `play` | acts on one node |
//! | `backups` | acts between a node and its backups |
//! | `feeder` | puts backups on a warm standby |
//! | `regions` | acts between regions: promote, fence, rejoin |
//! | `health` | asks every node how it is, for the router |
//! | `node` | one node: process, ports |
//! | `links` | the links in front of it, and its fence |
//! | `product` | what runs on it, asked directly |
//! | `gpu` | workers: their product, their acts, and who drives them |
//! | `artifact` | which files an act means |
//! | `command` | the user's own commands |
//! | `orders` | how a command has nodes started |
//! | `features` | a feature node, and the acts that only it knows |
//! | `defect` | what is wrong with the world on purpose |
//! | `hidden` | the subcommands that make the binary a node or the watchdog |
//! | `heal` | cleaning up a run by hand |
//! | `lock` | who plays a run |
//! | `private` | files that hold secrets |

mod artifact;
mod backups;
mod child;
pub(crate) mod command;
pub mod damage;
mod defect;
mod features;
mod feeder;
pub(crate) mod gpu;
mod heal;
mod health;
mod hidden;
mod host;
pub mod lifeline;
pub mod link;
pub(crate) mod links;
mod lock;
pub(crate) mod model;
pub(crate) mod node;
pub(crate) mod orders;
mod play;
pub mod port;
pub(crate) mod private;
pub mod proc;
mod product;
mod regions;
pub mod sweep;
pub mod watchdog;

pub use heal::{HealReport, heal};
pub use hidden::hidden_main;
#[cfg(feature = "own")]
pub(crate) use hidden::watchdog_args;
pub use host::{LocalConfig, LocalHost};
pub use lock::{Lock, played_by};
pub use orders::{Carried, Order, order};
#[cfg(feature = "docker")]
pub(crate) use {
    heal::name_run,
    hidden::{NODE, NodeConfig, WATCHDOG},
};

use std::fmt;

fn environment(what: impl fmt::Display, remedy: &str) -> harness::ports::EnvironmentError {
    harness::ports::EnvironmentError { what: what.to_string(), remedy: remedy.into() }
}

/// What was seen after an act, in words for a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed(String);

impl Observed {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
