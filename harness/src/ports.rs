//! The two doors to the outside: [`Host`] runs nodes, [`System`] is one product as its users reach it.
//!
//! Every world, simulated or real, implements both and passes [`crate::contract`]. The ledger asks exactly one
//! question of a failed write: could it have happened? [`PortError`] is that question's answer, and nothing else.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    act::{Act, Outcome},
    inventory::Inventory,
    topology::Role,
};

/// Why a request did not succeed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PortError {
    /// It surely did not happen: refused before it was processed.
    #[error("{0}")]
    Definite(String),
    /// Nobody knows whether it happened: timed out, connection broken half-way, garbled answer.
    #[error("{0}")]
    Indefinite(String),
}

/// The environment failed us: no port, no memory, no engine. Not the system under test's doing.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{what}\n  remedy: {remedy}")]
pub struct EnvironmentError {
    /// What went wrong.
    pub what: String,
    /// What the operator can do.
    pub remedy: String,
}

/// One write to a store. Its value is a function of seed, key and write number: see [`crate::corpus`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Write {
    /// Which record.
    pub key: u64,
    /// The write's number, unique within its store; 0 for seeded records.
    pub ver: u64,
    /// Whether the record is removed instead of stored.
    pub delete: bool,
}

/// What a store holds under a key, its bytes compared with what was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// Exactly the value of this write.
    Ver(u64),
    /// A value that no write ever had, or one that fails its checksum.
    Corrupt,
}

/// One page of everything that a store holds, in key order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Page {
    /// Keys and values. A key that is stored twice is listed twice.
    pub items: Vec<(u64, Reading)>,
    /// Ask for the next page after this key; `None` at the end.
    pub next: Option<u64>,
}

/// The fact of a recovery act that lists the items of an inventory which it changed on purpose, one a line.
pub const EXPLAINED: &str = "inventory";

/// What an act did, beside its outcome: numbers and names for the report, such as the engine that ran.
#[derive(Clone, PartialEq, Debug)]
pub struct Effect {
    /// Whether the effect was seen.
    pub outcome: Outcome,
    /// `engine` = `cpu`, `build_seconds` = `3.1`, ...
    pub facts: Vec<(String, String)>,
}

impl Effect {
    /// The effect was seen.
    pub fn observed(what: impl Into<String>) -> Self {
        Effect { outcome: Outcome::Observed(what.into()), facts: Vec::new() }
    }

    /// It was not seen.
    pub fn not_observed(why: impl Into<String>) -> Self {
        Effect { outcome: Outcome::NotObserved(why.into()), facts: Vec::new() }
    }

    /// The act failed.
    pub fn failed(why: impl Into<String>) -> Self {
        Effect { outcome: Outcome::Failed(why.into()), facts: Vec::new() }
    }

    /// With one more fact for the report.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.facts.push((name.into(), value.to_string()));
        self
    }
}

/// Where nodes run.
#[async_trait]
pub trait Host: Send + Sync + Debug {
    /// Starts every node of the stack, empty, and waits until each answers. Answers with a line for each node:
    /// what runs, and where.
    async fn launch(&self) -> Result<Vec<String>, EnvironmentError>;

    /// Performs one act and answers after its effect was observed. The caller sets the time limit by dropping
    /// the call; the world must then be left so that `teardown` still works.
    async fn act(&self, act: &Act) -> Effect;

    /// The product that plays a role, as writers and readers of everything reach it: wherever the router sends them
    /// at the moment of each call.
    fn system(&self, role: Role) -> Option<Arc<dyn System>>;

    /// The product that plays a role, as the users of a service reach it: in the region to which the router sends
    /// that service at the moment of each call.
    fn system_for(&self, service: &str, role: Role) -> Option<Arc<dyn System>> {
        let _ = service;
        self.system(role)
    }

    /// A region's own copy of a store, whoever takes the writes.
    fn system_in(&self, region: &str, role: Role) -> Option<Arc<dyn System>> {
        let _ = region;
        self.system(role)
    }

    /// Where the router sends users and writers at this moment.
    fn routes(&self) -> Routes;

    /// Whether the effect of an act, which was seen before, is still there; `None` where this world cannot tell.
    async fn holds(&self, act: &Act) -> Option<bool> {
        let _ = act;
        None
    }

    /// Ends and removes everything that the run started. May be called at any time, and more than once.
    async fn teardown(&self) -> Result<(), EnvironmentError>;

    /// Waits until the drill can no longer be run safely, or no longer means anything (the watchdog is gone, the
    /// container engine is gone, the disk is full), and says why.
    async fn unsafe_to_continue(&self) -> EnvironmentError {
        std::future::pending().await
    }
}

/// Where the router sends whom.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routes {
    /// By role: the region of the newest writer, whose copy of a store counts where no service uses it.
    pub homes: BTreeMap<Role, String>,
    /// By service: the region that its users are sent to.
    pub services: BTreeMap<String, String>,
}

/// One product, as its users reach it: through links and router. The caller sets time limits by dropping calls.
#[async_trait]
pub trait System: Send + Sync + Debug {
    /// Stores or removes one record; `Ok` means acknowledged as durable.
    async fn write(&self, write: Write) -> Result<(), PortError>;

    /// What is stored under a key, at the strongest consistency; `None` if nothing is.
    async fn read(&self, key: u64) -> Result<Option<Reading>, PortError>;

    /// Everything that is stored, a page at a time, at the strongest consistency.
    async fn survivors(&self, after: Option<u64>, limit: usize) -> Result<Page, PortError>;

    /// The nearest stored keys to a query vector, nearest first. Only vector stores can.
    async fn search(&self, query: &[f32], k: usize) -> Result<Vec<u64>, PortError> {
        let _ = (query, k);
        Err(PortError::Definite("this store cannot search".into()))
    }

    /// Takes up the job anew, as workers do that know nothing but what is stored: finds the newest checkpoint that can
    /// be resumed from, and computes the step after it. Answers with the step that it resumed from; 0 is the start of
    /// the job. Only workers can.
    async fn resume_job(&self) -> Result<u64, PortError> {
        Err(PortError::Definite("this store keeps no job".into()))
    }

    /// What the store consists of for its users, beside its records; `None` where nothing is that could be listed,
    /// since no product plays the role.
    async fn inventory(&self) -> Result<Option<Inventory>, PortError> {
        Ok(None)
    }

    /// What a model answers to an input. Only workers can.
    async fn infer(&self, input: &[f32]) -> Result<Vec<f32>, PortError> {
        let _ = input;
        Err(PortError::Definite("this store cannot infer".into()))
    }
}

/// How far the values of an inference may be from the known ones.
pub const INFERENCE_TOLERANCE: f32 = 1e-5;

/// How a world is described in the journal.
#[derive(Clone, PartialEq, Debug)]
pub struct WorldCard {
    /// Its name.
    pub name: crate::scenario::WorldName,
    /// What a verdict from it counts as.
    pub counts_as: CountsAs,
}

/// What a verdict counts as.
///
/// Nobody but the user can vouch for the level of a stack of theirs, so it is on record, and signed, before the drill.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountsAs {
    /// A rehearsal in a world of gameday's own: never evidence of anybody's stack.
    Rehearsal,
    /// A user's own stack that may be thrown away.
    Disposable,
    /// A user's own stack that stands for production.
    Staging,
    /// What users depend on.
    Production,
}

impl CountsAs {
    /// All, the least first.
    pub const ALL: [CountsAs; 4] =
        [CountsAs::Rehearsal, CountsAs::Disposable, CountsAs::Staging, CountsAs::Production];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            CountsAs::Rehearsal => "rehearsal",
            CountsAs::Disposable => "disposable",
            CountsAs::Staging => "staging",
            CountsAs::Production => "production",
        }
    }
}

impl std::fmt::Display for CountsAs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}
