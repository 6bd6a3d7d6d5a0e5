//! Everything that the outside world can be asked to do.
//!
//! Faults and recovery steps are intentions; they compile to these acts, and a world understands nothing else.
//! A world answers an act only after its effect was *observed*: see [`Outcome`].

mod ends;
mod nature;
mod words;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    time::Dur,
    topology::{NodeId, Role},
};

pub use nature::Nature;
pub use words::{Artifact, BackupKind, CutMode, Damage, Direction, EngineChoice, LossKind, RestoreScope};

/// One primitive that a world can perform.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// The process ends at once, without warning.
    Kill {
        /// Which one.
        node: NodeId,
    },
    /// The process is asked to end, and given time to.
    Stop {
        /// Which one.
        node: NodeId,
    },
    /// The process runs and answers, if it is not running yet.
    Start {
        /// Which one.
        node: NodeId,
    },
    /// The process is ended, if it still runs, and started; it then answers.
    Restart {
        /// Which one.
        node: NodeId,
    },
    /// The process lets go of what it has in memory and reads its files again, without being ended: what a rebalance or
    /// an upgrade does. It shows what is rotten on disk; that the files can be served again is not promised.
    Reload {
        /// Which one.
        node: NodeId,
    },
    /// The process is frozen.
    Pause {
        /// Which one.
        node: NodeId,
    },
    /// The process is no longer frozen.
    Resume {
        /// Which one.
        node: NodeId,
    },
    /// A link stops passing bytes: the one between users and a node, or the one by which a region follows it.
    Cut {
        /// The region that follows the node; users, if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The node at the far end.
        to: NodeId,
        /// What a user notices.
        mode: CutMode,
        /// Which bytes are stopped.
        direction: Direction,
    },
    /// The link passes every byte late.
    Delay {
        /// The region that follows the node; users, if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The node at the far end.
        to: NodeId,
        /// By how much, each way.
        by: Dur,
    },
    /// The link works as at launch.
    Mend {
        /// The region that follows the node; users, if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The node at the far end.
        to: NodeId,
    },
    /// Stored files are damaged.
    Damage {
        /// Whose files.
        node: NodeId,
        /// Which files.
        what: Artifact,
        /// In which way.
        how: Damage,
        /// How much of each file.
        fraction: f64,
        /// Chooses the bytes.
        seed: u64,
    },
    /// The damaged state is thrown away with the stack; the undo of damage in worlds of our own.
    Discard {
        /// Whose state.
        node: NodeId,
    },
    /// The disk of a node whose process has ended is emptied.
    Wipe {
        /// Whose disk.
        node: NodeId,
    },
    /// A role that no definition grants is created in a feature store, and left behind.
    Intrude {
        /// Which one.
        node: NodeId,
    },
    /// A standby no longer applies what it is told, and goes on answering.
    Stall {
        /// Which one.
        node: NodeId,
    },
    /// It applies again.
    Unstall {
        /// Which one.
        node: NodeId,
    },
    /// A worker computes wrong results, and is sure of them.
    Miscompute {
        /// Which one.
        node: NodeId,
    },
    /// It computes right ones again.
    Compute {
        /// Which one.
        node: NodeId,
    },
    /// The node gets less of its machine.
    Limit {
        /// Which one.
        node: NodeId,
        /// Processors.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cpu: Option<f64>,
        /// Megabytes of memory.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memory_mb: Option<u32>,
    },
    /// It gets as much as at launch.
    Unlimit {
        /// Which one.
        node: NodeId,
    },
    /// The disk of a node is filled up to its last byte.
    Fill {
        /// Whose disk.
        node: NodeId,
    },
    /// It has room again.
    Free {
        /// Whose disk.
        node: NodeId,
    },
    /// The node is taken out of its network.
    Isolate {
        /// Which one.
        node: NodeId,
    },
    /// It is in its network again.
    Attach {
        /// Which one.
        node: NodeId,
    },
    /// A backup is written to the region's object store.
    Backup {
        /// Of which node.
        node: NodeId,
        /// All of it, or what has changed since the backup before.
        #[serde(default, skip_serializing_if = "BackupKind::is_full")]
        kind: BackupKind,
    },
    /// The newest backup replaces what the node holds; the node's own log is replayed on top where it is intact.
    Restore {
        /// Which node.
        node: NodeId,
        /// All of it, or what critical services need.
        #[serde(default, skip_serializing_if = "RestoreScope::is_full")]
        scope: RestoreScope,
        /// Of a feature store, the newest backup whose definitions this version of every model works with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<u32>,
    },
    /// A feature store is looked at by every detector of compromise; what each of them found is told.
    Audit {
        /// Which one.
        node: NodeId,
    },
    /// The node takes the writes of its role from now on.
    Promote {
        /// Which one.
        node: NodeId,
    },
    /// The node takes no writes any more, and no user is sent to it.
    Fence {
        /// Which one.
        node: NodeId,
    },
    /// The node throws away what it holds and follows the one that takes the writes now.
    Rejoin {
        /// Which one.
        node: NodeId,
    },
    /// The router sends the users of a service to a region.
    Route {
        /// Which service.
        service: String,
        /// Where to.
        to: String,
    },
    /// The vector index is built anew from the stored vectors.
    Rebuild {
        /// Which node.
        node: NodeId,
        /// By which engine.
        engine: EngineChoice,
    },
    /// The user's own command runs, in the run's folder.
    Command {
        /// Program and arguments.
        run: Vec<String>,
    },
    /// Everything that the run started is ended and removed; the undo of the launch.
    Teardown,
}

impl Act {
    /// The node whose state the act changes, where it is one node's.
    pub fn node(&self) -> Option<&NodeId> {
        match self {
            Act::Kill { node }
            | Act::Stop { node }
            | Act::Start { node }
            | Act::Restart { node }
            | Act::Reload { node }
            | Act::Pause { node }
            | Act::Resume { node }
            | Act::Damage { node, .. }
            | Act::Discard { node }
            | Act::Wipe { node }
            | Act::Intrude { node }
            | Act::Stall { node }
            | Act::Unstall { node }
            | Act::Miscompute { node }
            | Act::Compute { node }
            | Act::Limit { node, .. }
            | Act::Unlimit { node }
            | Act::Fill { node }
            | Act::Free { node }
            | Act::Isolate { node }
            | Act::Attach { node }
            | Act::Backup { node, .. }
            | Act::Restore { node, .. }
            | Act::Audit { node }
            | Act::Promote { node }
            | Act::Fence { node }
            | Act::Rejoin { node }
            | Act::Rebuild { node, .. } => Some(node),
            Act::Cut { to, .. } | Act::Delay { to, .. } | Act::Mend { to, .. } => Some(to),
            Act::Route { .. } | Act::Command { .. } | Act::Teardown => None,
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Kill { node } => write!(f, "kill {node}"),
            Act::Stop { node } => write!(f, "stop {node}"),
            Act::Start { node } => write!(f, "start {node}"),
            Act::Restart { node } => write!(f, "restart {node}"),
            Act::Reload { node } => write!(f, "reload {node}"),
            Act::Pause { node } => write!(f, "pause {node}"),
            Act::Resume { node } => write!(f, "resume {node}"),
            Act::Cut { from, to, mode, direction } => {
                write!(f, "cut the link {}to {to} ({mode}, {direction})", By(from))
            }
            Act::Delay { from, to, by } => write!(f, "delay the link {}to {to} by {by}", By(from)),
            Act::Mend { from, to } => write!(f, "mend the link {}to {to}", By(from)),
            Act::Damage { node, what, how, fraction, .. } => match how {
                Damage::Delete => write!(f, "delete the {what} of {node}"),
                Damage::OtherKind => write!(f, "swap the {what} of {node} for one of another kind"),
                Damage::Swap if *what != Artifact::Values => {
                    write!(f, "swap the {what} of {node} for one of other data")
                }
                how => write!(f, "{how} {:.4}% of the {what} of {node}", fraction * 100.0),
            },
            Act::Discard { node } => write!(f, "throw away the state of {node}"),
            Act::Wipe { node } => write!(f, "empty the disk of {node}"),
            Act::Intrude { node } => write!(f, "leave an intruder's role in {node}"),
            Act::Stall { node } => write!(f, "let {node} fall behind"),
            Act::Unstall { node } => write!(f, "let {node} catch up"),
            Act::Miscompute { node } => write!(f, "let {node} compute wrong results"),
            Act::Compute { node } => write!(f, "let {node} compute right results"),
            Act::Limit { node, cpu, memory_mb } => {
                write!(f, "limit {node}")?;
                cpu.map_or(Ok(()), |cpu| write!(f, " to {cpu} processors"))?;
                memory_mb.map_or(Ok(()), |mb| write!(f, " to {mb} MB of memory"))
            }
            Act::Unlimit { node } => write!(f, "lift the limits of {node}"),
            Act::Fill { node } => write!(f, "fill the disk of {node}"),
            Act::Free { node } => write!(f, "free the disk of {node}"),
            Act::Isolate { node } => write!(f, "take {node} out of its network"),
            Act::Attach { node } => write!(f, "put {node} into its network again"),
            Act::Backup { node, kind: BackupKind::Full } => write!(f, "back up {node}"),
            Act::Backup { node, kind } => write!(f, "back up {node} ({kind})"),
            Act::Restore { node, scope, model } => {
                write!(f, "restore {node} from the newest backup")?;
                if let Some(version) = model {
                    write!(f, " that fits model version {version}")?;
                }
                match scope {
                    RestoreScope::Full => Ok(()),
                    RestoreScope::Minimal => f.write_str(" (minimal)"),
                    RestoreScope::Moment if node.role == Role::Feature => {
                        f.write_str(" and its log, as of the newest moment that the audit finds nothing in")
                    }
                    RestoreScope::Moment => f.write_str(", metadata, log and objects of one moment"),
                }
            }
            Act::Audit { node } => write!(f, "audit {node}"),
            Act::Promote { node } => write!(f, "promote {node}"),
            Act::Fence { node } => write!(f, "fence {node}"),
            Act::Rejoin { node } => write!(f, "let {node} rejoin"),
            Act::Route { service, to } => write!(f, "send the users of {service} to {to}"),
            Act::Rebuild { node, engine } => write!(f, "rebuild the index of {node} (engine {engine})"),
            Act::Command { run } => write!(f, "run `{}`", run.join(" ")),
            Act::Teardown => write!(f, "tear the stack down"),
        }
    }
}

/// Whose link it is, where it is not the users'.
struct By<'a>(&'a Option<String>);

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |from| write!(f, "from region {from} "))
    }
}

/// How an act ended. A world says `Observed` only after it has seen the effect with its own eyes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The effect was seen; this is what was seen.
    Observed(String),
    /// The act was issued, but its effect could not be seen.
    NotObserved(String),
    /// The act was refused, failed, or ran out of time.
    Failed(String),
}

impl Outcome {
    /// Whether the effect was seen.
    pub fn observed(&self) -> bool {
        matches!(self, Outcome::Observed(_))
    }

    /// What was seen, or why not.
    pub fn text(&self) -> &str {
        match self {
            Outcome::Observed(t) | Outcome::NotObserved(t) | Outcome::Failed(t) => t,
        }
    }
}
