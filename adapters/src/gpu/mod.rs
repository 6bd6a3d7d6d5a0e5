//! Workers that share a job and answer inference, and the driver that hands the job out: the product that plays the
//! role `gpu` in the world `local`.
//!
//! A worker keeps no state: it answers pure questions, so anything asked twice, by anybody, has one right answer. All
//! state is the job's, and the driver keeps it where a lost driver does not matter: as checkpoints in an object store.
//!
//! | module | what |
//! |---|---|
//! | `engine` | what a worker computes with; the only module that knows the device |
//! | `wire`, `server`, `client` | postcard frames over TCP, one call at a time on a connection |
//! | `roster` | the workers as a driver sees them: trusted, suspected, quarantined |
//! | `step` | one step: shards handed out side by side, and a sample checked by others |
//! | `checkpoints` | the job's state in an object store, with checksums |
//! | `driver` | step after step, each stored before the next begins |
//! | `truth` | the undisturbed job, to compare with |
//! | `system` | all of it as a drill's users reach it |
//!
//! # What is masked, and what is not
//!
//! Lost, hung and slow workers are masked as long as one works. Workers that compute wrong are masked as long as one
//! computes right: of each step, the last shard of every worker is computed by another one and compared, and where two
//! differ the driver decides. What two workers agree upon is believed, and so is what the last one says that is not in
//! quarantine: if all of them lie, nothing here finds out.

mod checkpoints;
mod client;
mod driver;
mod engine;
mod roster;
mod server;
mod step;
mod system;
#[cfg(test)]
mod tests;
mod truth;
mod wire;

use std::net::Ipv4Addr;

use harness::corpus::Corpus;
use harness::job::Job;
use serde::{Deserialize, Serialize};

pub use client::{CallError, Client};
pub use engine::{Cpu, Engine, OpenCl};
pub use server::{ServeError, Server, serve};
pub use system::GpuSystem;
pub use wire::Status;

/// How a worker runs. Serialisable, so that it can be handed to the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it listens: on loopback, unless it has a network of its own, as in a container.
    #[serde(default = "loopback")]
    pub listen: Ipv4Addr,
    /// Its port there; 0 lets the system choose (see [`Server::addr`]).
    pub port: u16,
    /// Where the weights of the network come from.
    pub corpus: Corpus,
    /// Where the points of the job come from.
    pub job: Job,
    /// Whether it computes wrong from the start: its device is broken, and a restart does not mend that.
    #[serde(default)]
    pub miscompute: bool,
    /// Leave when standard input ends: whoever started the worker is gone.
    #[serde(default)]
    pub lifeline: bool,
}

impl Config {
    /// A sound worker without lifeline, on a port the system chooses.
    pub fn new(corpus: Corpus, job: Job) -> Self {
        Self { listen: loopback(), port: 0, corpus, job, miscompute: false, lifeline: false }
    }
}

fn loopback() -> Ipv4Addr {
    Ipv4Addr::LOCALHOST
}

/// A defect planted in a driver, so that validators can be seen to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The first shard whose worker is lost is left out of its step.
    LostShard,
}
