//! The single source of truth: what happened, in order, one JSON object a line.
//!
//! Verdict, reports and live view are pure functions of these events. Each line carries the SHA-256 of the line
//! before it, so a changed, dropped or inserted line is found. A torn last line (the harness died while writing)
//! is dropped; cutting a journal anywhere leaves it readable, and it never yields a pass, since the event that says
//! that the drill ended is then missing.

mod asked;
mod grammar;
mod read;
mod write;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    act::{Act, Outcome},
    inventory::Inventory,
    plan::StepKind,
    ports::{CountsAs, Routes},
    scenario::{Scenario, WorldName},
    topology::{NodeId, Role},
};

pub use asked::{Acked, Probed, Shown, Wrote};
pub use grammar::Breach;
pub(crate) use grammar::{CUT_OFF, Grammar};
pub use read::{JournalError, Reader};
pub use write::{Journal, Observer, Onlooker, Progress, digest};

/// The version of the format below.
pub const FORMAT: u32 = 2;

/// What the events of a journal are about: each kind of drill has its own.
pub trait Kind: Serialize + DeserializeOwned + fmt::Debug + Send + 'static {
    /// It must be on the disk before anything that follows from it is done.
    fn synced(&self) -> bool;

    /// Nothing follows it.
    fn closes(&self) -> bool;
}

impl Kind for EventKind {
    fn synced(&self) -> bool {
        matches!(self, EventKind::Intended(_) | EventKind::Ended(_))
    }

    fn closes(&self) -> bool {
        matches!(self, EventKind::Ended(_))
    }
}

/// One line.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event<K = EventKind> {
    /// 0, 1, 2, ...
    pub seq: u64,
    /// Microseconds since the drill began.
    pub at_us: u64,
    /// SHA-256 of the line before, without its newline; empty on the first.
    pub prev: String,
    /// What happened.
    pub kind: K,
}

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The drill began. Self-contained: the scenario is inside.
    Began(Box<Began>),
    /// The next phase began.
    Entered(Phase),
    /// About to act: written and flushed before the first act, so that the undo is known whatever happens.
    Intended(Intent),
    /// One act was performed.
    Acted(Acted),
    /// One undo act was performed; `step` names the intent that it pays.
    Undone(Acted),
    /// A service was asked.
    Probed(Probed),
    /// A write ended.
    Wrote(Wrote),
    /// A store was filled before the fault; all of it acknowledged, with write number 0 and keys `0..count`.
    Seeded {
        /// Which store.
        store: Role,
        /// How many records.
        count: u64,
    },
    /// Three probes in a row of a service were bad.
    Detected {
        /// Which service.
        service: String,
    },
    /// A fault that was to hold no longer does, and no step of the drill ended it.
    LiftedEarly {
        /// The fault.
        step: String,
        /// The act whose effect is gone.
        act: Act,
    },
    /// The load has stopped: where users are routed from here on, and so whose copies are read back.
    Routes(Routes),
    /// One page of what a store holds after recovery.
    ReadBack(ReadBack),
    /// A job was taken up anew from what is stored.
    Resumed(Resumed),
    /// The answers to the frozen query set.
    Quality(Box<Quality>),
    /// The harness itself stood still: what was sent or answered in this span may bear a stamp that is too late.
    Stalled {
        /// It surely ran until here.
        from_us: u64,
        /// It ran again.
        to_us: u64,
    },
    /// What a copy of a store consists of, beside its records.
    Inventoried(Box<Inventoried>),
    /// Something worth telling the reader: a node's address, a backup's name.
    Noted(String),
    /// The drill was given up.
    Aborted(String),
    /// The drill ended.
    Ended(Ending),
}

/// How the drill was set up.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Began {
    /// [`FORMAT`].
    pub format: u32,
    /// Names the run, its folder, and everything that it starts.
    pub run: String,
    /// The wall clock at the start, RFC 3339. All other stamps are monotonic.
    pub started: String,
    /// The version of gameday.
    pub gameday: String,
    /// Where it ran.
    pub world: WorldName,
    /// What the verdict counts as.
    pub counts_as: CountsAs,
    /// SHA-256 of the scenario file as it was read.
    pub scenario_sha256: String,
    /// The scenario, with `--seed` and `--set` applied.
    pub scenario: Scenario,
    /// What was set on the command line.
    pub overrides: Vec<String>,
    /// A defect planted on purpose, to test gameday itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaw: Option<String>,
    /// The machine, in words.
    pub machine: String,
}

/// The phases of a drill, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nodes start.
    Launch,
    /// Stores are filled, indexes built, backups taken.
    Seed,
    /// Load and probes start; everything must be steady.
    Settle,
    /// Faults and recovery.
    Storm,
    /// Load has stopped; everything is read back as a user would, before any undo.
    ReadBack,
    /// The frozen queries are asked again.
    Quality,
    /// Every copy that users are routed to is restarted, and read back again.
    Restart,
    /// Debts are paid.
    Undo,
    /// Everything is read once more, to report divergence.
    SecondReadBack,
    /// The stack is thrown away.
    Teardown,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Launch => "launch",
            Phase::Seed => "seed",
            Phase::Settle => "settle",
            Phase::Storm => "storm",
            Phase::ReadBack => "read-back",
            Phase::Quality => "quality",
            Phase::Restart => "restart",
            Phase::Undo => "undo",
            Phase::SecondReadBack => "last read-back",
            Phase::Teardown => "teardown",
        })
    }
}

/// A debt: what is about to be done, and how to undo it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// The step's name.
    pub step: String,
    /// Fault, recovery, or the harness's own preparation.
    pub why: StepKind,
    /// In this order.
    pub acts: Vec<Act>,
    /// In this order.
    pub undo: Vec<Act>,
}

/// One act's end.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acted {
    /// The step's name.
    pub step: String,
    /// What was done.
    pub act: Act,
    /// When it was issued.
    pub began_us: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Engine, durations, file names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
}

/// One page of a read-back.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadBack {
    /// Which reading: [`ReadBack::USERS`], [`ReadBack::RESTARTED`], [`ReadBack::UNDONE`] or [`ReadBack::COPIES`].
    pub pass: u8,
    /// Which store.
    pub store: Option<Role>,
    /// Whose copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A copy that lags behind is read again: which attempt this is. The last one counts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u32,
    /// Keys whose value is the seeded one, as inclusive ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seeded: Vec<(u64, u64)>,
    /// Keys with the number of the write whose value they have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<(u64, u64)>,
    /// Keys with a value that no write had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrupt: Vec<u64>,
    /// Keys that were stored more than once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicate: Vec<u64>,
    /// On the last page: whether everything was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<ReadEnd>,
}

impl ReadBack {
    /// What users read after recovery, before any undo.
    pub const USERS: u8 = 1;
    /// The same after every copy was restarted.
    pub const RESTARTED: u8 = 2;
    /// The same after the undo.
    pub const UNDONE: u8 = 3;
    /// Every region's copy, where all of them take writes; before any undo.
    pub const COPIES: u8 = 4;
}

/// How a job was taken up anew.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resumed {
    /// Which store keeps its checkpoints.
    pub store: Role,
    /// Of which region.
    pub region: String,
    /// The step that it was resumed from; 0 is the start of the job. Absent if it could not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Why it could not be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// How a read-back ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadEnd {
    /// Everything was read.
    Complete,
    /// It broke off, for this reason.
    Incomplete(String),
}

/// One pass over the frozen query set.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// 1 and 2 before the fault, 3 after recovery, 4 after the restart of every copy.
    pub pass: u8,
    /// Whose copy was asked; that of the router's home, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Neighbours asked for.
    pub k: u32,
    /// For each query, how many of the exact neighbours among everything acknowledged were returned.
    pub hits: Vec<u32>,
    /// The same with the exact neighbours among what is stored.
    pub hits_stored: Vec<u32>,
    /// For each query, the keys returned: raw data from which both can be computed again.
    pub answers: Vec<Vec<u64>>,
    /// Queries that got no answer; they count as no hit.
    pub failed: u32,
}

/// What one copy of a store consists of, as its users had it at that moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventoried {
    /// Before the faults, or after recovery.
    pub when: When,
    /// Which store.
    pub store: Role,
    /// Whose copy.
    pub region: String,
    /// What it consists of; absent if nobody could tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Inventory>,
    /// Why nobody could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none: Option<String>,
}

/// When something was listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// While all was well.
    Before,
    /// After recovery, before any undo.
    After,
    /// The same after every copy was restarted.
    Restarted,
}

/// How a drill ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All phases were played.
    Complete,
    /// Ctrl-C, or an abort condition.
    Aborted,
    /// The environment failed.
    Environment,
}

/// The debts that a journal leaves open: intents whose undo was not played to its end, newest first.
pub fn open_debts<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Intent> {
    let mut open: Vec<Intent> = Vec::new();
    for event in events {
        match &event.kind {
            EventKind::Intended(intent) if !intent.undo.is_empty() => open.push(intent.clone()),
            EventKind::Undone(done) if done.outcome.observed() => {
                if let Some(debt) = open.iter_mut().rev().find(|d| d.step == done.step) {
                    debt.undo.retain(|a| a != &done.act);
                }
                open.retain(|d| !d.undo.is_empty());
            }
            _ => {}
        }
    }
    open.reverse();
    open
}

/// The nodes that a step's acts touch, each once, in order.
pub fn touched(acts: &[Act]) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = Vec::new();
    for node in acts.iter().filter_map(Act::node) {
        if !nodes.contains(node) {
            nodes.push(node.clone());
        }
    }
    nodes
}
