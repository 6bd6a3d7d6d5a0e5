//! What a restore drill writes down: one JSON object a line, chained as every journal of gameday.
//!
//! Raw readings are kept as counts and digests, never as data of users; canaries as moments and digests. From these alone
//! every finding is made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{restore::Restore, stack::Stack};
use crate::journal::{self, Ending, Kind};

/// One line.
pub type Event = journal::Event<RestoreEvent>;

/// The version of the format below.
pub const FORMAT: u32 = 1;

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreEvent {
    /// The drill began. Self-contained: drill and stack are inside.
    RestoreBegan(Box<RestoreBegan>),
    /// The next stage began.
    Entered(Stage),
    /// Something of ours is about to stand somewhere: flushed before it does.
    Intended(Debt),
    /// It no longer does, and that was seen.
    Paid(Debt),
    /// Which place this is, by its own word.
    Identified(Identified),
    /// A record of ours was written in one place and looked for in the other.
    Nonce(Nonce),
    /// What the scratch place holds that is not ours; it has to be empty before anything is restored.
    Holds(Holds),
    /// A command of the user has ended.
    Ran(Ran),
    /// The canaries of a place.
    Canaries(Box<Canaries>),
    /// One reading of a witness.
    Witnessed(Box<Witnessed>),
    /// Golden queries of a witness were asked.
    Searched(Box<Searched>),
    /// A service was asked on behalf of an alarm.
    Asked(Asked),
    /// Something worth telling the reader.
    Noted(String),
    /// The drill was given up.
    Aborted(String),
    /// The drill ended.
    Ended(Ending),
}

impl Kind for RestoreEvent {
    fn synced(&self) -> bool {
        matches!(self, RestoreEvent::Intended(_) | RestoreEvent::Ended(_))
    }

    fn closes(&self) -> bool {
        matches!(self, RestoreEvent::Ended(_))
    }
}

/// How the drill was set up.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreBegan {
    /// [`FORMAT`].
    pub format: u32,
    /// Names the run, its folder, and everything of ours.
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
    pub drill: Restore,
    /// The stack.
    pub stack: Stack,
    /// What was set on the command line.
    pub overrides: Vec<String>,
    /// The machine, in words.
    pub machine: String,
    /// Nothing was run: targets, witnesses and probes alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsed: bool,
}

/// The stages of a restore drill, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Alarms, targets, and the proof that the scratch place is another one.
    Prepare,
    /// The source is read.
    Before,
    /// The user's command restores.
    Restore,
    /// What was restored is read, until it is right.
    Verify,
    /// The scratch place is restarted.
    Restart,
    /// What is still there is read.
    VerifyAgain,
    /// The scratch place is emptied, and what is ours removed.
    Cleanup,
    /// The source is read once more: last of all, so that no command of the drill comes after it.
    After,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::Prepare => "prepare",
            Stage::Before => "read the source",
            Stage::Restore => "restore",
            Stage::Verify => "verify",
            Stage::Restart => "restart",
            Stage::VerifyAgain => "verify again",
            Stage::After => "read the source again",
            Stage::Cleanup => "clean up",
        })
    }
}

/// Where something stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The component whose backup is restored.
    Source,
    /// Where it is restored to.
    Scratch,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Place::Source => "source",
            Place::Scratch => "scratch",
        })
    }
}

/// Something of ours in a store of the user's, or a command of the user's that may still be running.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debt {
    /// Names it within the run.
    pub id: String,
    /// Where it stands.
    pub place: Place,
    /// What it is: `canary` (a record among the canaries of the source), `marker` (a thing of its own in the scratch place).
    pub what: String,
}

/// Which of both places, before or after the restore.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identified {
    /// Which place.
    pub place: Place,
    /// After the restore.
    pub after: bool,
    /// What it says of itself: system identifier, oid of the database, start of the server, version. Empty where nobody answers.
    pub facts: BTreeMap<String, String>,
    /// Why nobody answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none: Option<String>,
}

/// A record of ours that must not be seen at the other place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nonce {
    /// Where it was written.
    pub written: Place,
    /// After the restore.
    pub after: bool,
    /// Whether it was seen at the other place; absent if nobody could look.
    pub seen: Option<bool>,
    /// Why nobody could look, or where.
    pub why: String,
}

/// What stands in the scratch place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holds {
    /// At the end of the drill, after the clean-up.
    pub after: bool,
    /// Things that are not ours, at most a few by name.
    pub things: Vec<String>,
    /// How many there are; absent if nobody could look.
    pub count: Option<u64>,
    /// Nobody answers there: a place that is not running holds nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
}

/// A command of the user's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ran {
    /// Which.
    pub what: Task,
    /// When it was started.
    pub began_us: u64,
    /// Its exit status; absent if it did not end by itself.
    pub code: Option<i32>,
    /// How it ended, in words.
    pub how: String,
    /// Bytes that it printed.
    pub printed: u64,
}

/// What a command is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Empties the scratch place, before.
    CleanupBefore,
    /// Restores.
    Restore,
    /// Restarts the scratch place.
    Restart,
    /// Empties the scratch place, after.
    CleanupAfter,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Task::CleanupBefore => "cleanup before",
            Task::Restore => "restore",
            Task::Restart => "restart",
            Task::CleanupAfter => "cleanup after",
        })
    }
}

/// Which reading this is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Of the source, before.
    Before,
    /// Of the scratch place while it is empty: what reads there as in the source proves nothing later.
    Empty,
    /// Of what was restored.
    Restored,
    /// Of what is there after the restart.
    Restarted,
    /// Of the source, after.
    After,
}

impl std::fmt::Display for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Pass::Before => "in the source before",
            Pass::Empty => "in the empty scratch place",
            Pass::Restored => "after the restore",
            Pass::Restarted => "after the restart",
            Pass::After => "in the source after",
        })
    }
}

/// One canary.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planted {
    /// When it was planted, by the clock of who planted it, in microseconds since 1970.
    pub at_unix_us: u64,
    /// The same by the clock of the store, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_unix_us: Option<u64>,
    /// Its name.
    pub id: String,
    /// SHA-256 of its value.
    pub digest: String,
}

/// The canaries of a place, without those of runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canaries {
    /// Which reading.
    pub pass: Pass,
    /// In the order of their moments; the newest if there are very many.
    pub list: Vec<Planted>,
    /// How many there are in all.
    pub count: u64,
    /// The store's clock less ours, in microseconds, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_us: Option<i64>,
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

/// Many lines as one figure that does not depend on their order: a multiset hash, kept apart for groups of lines so that it
/// can be said how many of them differ.
///
/// Each line's SHA-256 is added, as a number modulo 2^256, to the group that its first two bytes name (Clarke et al.,
/// "Incremental Multiset Hash Functions", 2003, additive form). It finds accidents, not somebody who can choose many lines.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    /// Lines.
    pub rows: u64,
    /// Bytes of all lines.
    pub bytes: u64,
    /// For each group that has lines: its number, how many, and the sum in hexadecimal.
    pub groups: Vec<(u16, u64, String)>,
}

/// Golden queries: vectors of the source, and the nearest to each as a place answers. The same vectors in every pass.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// The field of vectors.
    pub field: String,
    /// For each vector the keys of the hits, best first: of each the first 16 hexadecimal digits of a keyed SHA-256, without
    /// a blank. As many as were asked for, and those after them that are no worse than the last of these.
    pub hits: Vec<String>,
}

/// The answers of one place at one time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Searched {
    /// Which witness.
    pub witness: String,
    /// Which reading.
    pub pass: Pass,
    /// What was answered, by field; nothing if it could not be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answers>,
    /// Why it could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none: Option<String>,
}

/// One question on behalf of an alarm.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Which service.
    pub service: String,
    /// When it was to be asked.
    pub due_us: u64,
    /// When it was asked.
    pub sent_us: u64,
    /// When it was answered, or given up.
    pub done_us: u64,
    /// Why the answer was a bad one; absent if it was good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
}
