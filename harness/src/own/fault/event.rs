//! What a fault drill writes down: one JSON object a line, chained as every journal of gameday.

use serde::{Deserialize, Serialize};

use super::Fault;
use crate::{
    journal::{self, Ending, Kind, Probed},
    own::{
        event::{Asked, Planted, Sum},
        stack::Stack,
    },
};

/// One line.
pub type Event = journal::Event<FaultEvent>;

/// The version of the format below.
pub const FORMAT: u32 = 1;

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultEvent {
    /// The drill began. Self-contained: drill and stack are inside.
    FaultBegan(Box<FaultBegan>),
    /// The next stage began.
    Entered(Stage),
    /// A command of a step is about to be started: flushed before it is, so that it is known what has to be undone.
    Starts(Command),
    /// It has ended.
    Ran(Ran),
    /// It was looked whether the effect of a fault is there.
    Looked(Looked),
    /// A service was asked on behalf of an alarm.
    Asked(Asked),
    /// A service was asked as its users ask it.
    Probed(Probed),
    /// Three probes in a row of a service were bad.
    Detected {
        /// Which service.
        service: String,
    },
    /// A canary was planted, or could not be.
    Planted(Sown),
    /// The canaries of this drill that a component holds after recovery.
    Canaries(Box<Canaries>),
    /// One reading of a witness.
    Witnessed(Box<Witnessed>),
    /// The harness itself stood still: what was sent or answered in this span may bear a stamp that is too late.
    Stalled {
        /// It surely ran until here.
        from_us: u64,
        /// It ran again.
        to_us: u64,
    },
    /// Something worth telling the reader.
    Noted(String),
    /// The drill was given up.
    Aborted(String),
    /// The drill ended.
    Ended(Ending),
}

impl Kind for FaultEvent {
    fn synced(&self) -> bool {
        matches!(self, FaultEvent::Starts(_) | FaultEvent::Ended(_))
    }

    fn closes(&self) -> bool {
        matches!(self, FaultEvent::Ended(_))
    }
}

/// How the drill was set up.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultBegan {
    /// [`FORMAT`].
    pub format: u32,
    /// Names the run, its folder, and the processes that it starts.
    pub run: String,
    /// The wall clock at the start, RFC 3339.
    pub started: String,
    /// The same in microseconds since 1970: stamp 0 of this journal.
    pub started_unix_us: u64,
    /// The version of gameday.
    pub gameday: String,
    /// SHA-256 of the drill's file as it was read.
    pub drill_sha256: String,
    /// SHA-256 of the stack's file as it was read.
    pub stack_sha256: String,
    /// The drill, with `--set` applied.
    pub drill: Fault,
    /// The stack.
    pub stack: Stack,
    /// What was set on the command line.
    pub overrides: Vec<String>,
    /// The machine, in words.
    pub machine: String,
    /// Nothing was broken: alarms, witnesses, probes and `observe` alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsed: bool,
}

/// The stages of a fault drill, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Alarms; no fault is there yet.
    Prepare,
    /// Witnesses are read.
    Before,
    /// Probes and canaries begin; every service must be good.
    Settle,
    /// Faults and recovery.
    Storm,
    /// What users would read is read, before any undo.
    ReadBack,
    /// Every fault is undone.
    Undo,
    /// What is there now is read once more.
    After,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::Prepare => "prepare",
            Stage::Before => "read the data",
            Stage::Settle => "settle",
            Stage::Storm => "storm",
            Stage::ReadBack => "read the data again",
            Stage::Undo => "undo",
            Stage::After => "read it once more",
        })
    }
}

/// A command of a step.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// What it is for.
    pub task: Task,
    /// The step's name.
    pub step: String,
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.task, self.step)
    }
}

/// What a command is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Breaks.
    Inject,
    /// Undoes, at the end of the fault's own time or of the drill.
    Undo,
    /// The runbook.
    Recover,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Task::Inject => "inject",
            Task::Undo => "undo",
            Task::Recover => "recover",
        })
    }
}

/// A command that has ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ran {
    /// Which.
    pub command: Command,
    /// When it was started.
    pub began_us: u64,
    /// Its exit status; absent if it did not end by itself.
    pub code: Option<i32>,
    /// How it ended, in words.
    pub how: String,
    /// Bytes that it printed.
    pub printed: u64,
}

/// Why somebody looks whether a fault's effect is there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// Before anything: it must not be.
    Before,
    /// After it was injected: it must be.
    Struck,
    /// When its own time is over: it must still be.
    Held,
    /// After it was lifted or undone: it must not be.
    Gone,
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Look::Before => "before",
            Look::Struck => "after it was injected",
            Look::Held => "at the end of its time",
            Look::Gone => "after the undo",
        })
    }
}

/// The last of the answers of `observe`, which is asked until it answers as it must, or its limit is over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Looked {
    /// Which fault.
    pub fault: String,
    /// Why.
    pub look: Look,
    /// When it was first looked.
    pub began_us: u64,
    /// Whether the effect is there; absent if nobody could tell.
    pub there: Option<bool>,
    /// How the command ended, in words.
    pub how: String,
}

/// A record that was planted while the drill ran.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sown {
    /// In which component.
    pub component: String,
    /// Its number in that component: 0, 1, 2, ...
    pub n: u64,
    /// Its name.
    pub id: String,
    /// SHA-256 of its value.
    pub digest: String,
    /// When it was sent.
    pub sent_us: u64,
    /// When it was acknowledged, or given up.
    pub done_us: u64,
    /// Why it was not acknowledged; it may be there all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// Which reading this is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// While all was well.
    Before,
    /// After recovery, before any undo.
    Recovered,
    /// After the undo.
    Undone,
}

impl std::fmt::Display for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Pass::Before => "before",
            Pass::Recovered => "after recovery",
            Pass::Undone => "after the undo",
        })
    }
}

/// What a component holds of the canaries that were planted in it while the drill ran.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canaries {
    /// Which component.
    pub component: String,
    /// Which reading: after recovery, or after the undo.
    pub pass: Pass,
    /// Those of this drill, in the order of their moments.
    pub list: Vec<Planted>,
    /// Why they could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none: Option<String>,
}

/// One reading of a witness.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witnessed {
    /// Which witness.
    pub witness: String,
    /// Which reading.
    pub pass: Pass,
    /// What was read; absent if it could not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<Sum>,
    /// Why it could not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none: Option<String>,
}
