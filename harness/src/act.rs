//! Everything that the outside world can be asked to do.
//!
//! Faults and recovery steps are intentions; they compile to these acts, and a world understands nothing else.
//! A world answers an act only after its effect was *observed*: see [`Outcome`].

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{time::Dur, topology::NodeId};

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
    /// The link between users and a node stops passing bytes.
    Cut {
        /// The node at the far end.
        to: NodeId,
        /// What a user notices.
        mode: CutMode,
        /// Which bytes are stopped.
        direction: Direction,
    },
    /// The link passes every byte late.
    Delay {
        /// The node at the far end.
        to: NodeId,
        /// By how much, each way.
        by: Dur,
    },
    /// The link works as at launch.
    Mend {
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
    /// A full backup is written to the object store.
    Backup {
        /// Of which node.
        node: NodeId,
    },
    /// The newest backup replaces what the node holds; the node's own log is replayed on top where it is intact.
    Restore {
        /// Which node.
        node: NodeId,
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
            | Act::Pause { node }
            | Act::Resume { node }
            | Act::Damage { node, .. }
            | Act::Discard { node }
            | Act::Backup { node }
            | Act::Restore { node }
            | Act::Rebuild { node, .. } => Some(node),
            Act::Cut { to, .. } | Act::Delay { to, .. } | Act::Mend { to } => Some(to),
            Act::Command { .. } | Act::Teardown => None,
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
            Act::Pause { node } => write!(f, "pause {node}"),
            Act::Resume { node } => write!(f, "resume {node}"),
            Act::Cut { to, mode, direction } => write!(f, "cut the link to {to} ({mode}, {direction})"),
            Act::Delay { to, by } => write!(f, "delay the link to {to} by {by}"),
            Act::Mend { to } => write!(f, "mend the link to {to}"),
            Act::Damage { node, what, how, fraction, .. } => match how {
                Damage::Delete => write!(f, "delete the {what} of {node}"),
                Damage::Swap => write!(f, "swap the {what} of {node} for one of other data"),
                how => write!(f, "{how} {:.4}% of the {what} of {node}", fraction * 100.0),
            },
            Act::Discard { node } => write!(f, "throw away the state of {node}"),
            Act::Backup { node } => write!(f, "back up {node}"),
            Act::Restore { node } => write!(f, "restore {node} from the newest backup"),
            Act::Rebuild { node, engine } => write!(f, "rebuild the index of {node} (engine {engine})"),
            Act::Command { run } => write!(f, "run `{}`", run.join(" ")),
            Act::Teardown => write!(f, "tear the stack down"),
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$variant => $word),+ })
            }
        }
    };
}

words! {
    /// What a user notices when a link is cut.
    CutMode {
        /// Connections are reset, new ones refused.
        Refuse = "refuse",
        /// Bytes vanish; nothing is closed.
        Blackhole = "blackhole",
    }
}

words! {
    /// Which bytes of a link a cut stops.
    Direction {
        /// Both ways.
        Both = "both",
        /// Requests are lost.
        ToNode = "to_node",
        /// Answers are lost.
        FromNode = "from_node",
    }
}

words! {
    /// Which stored files a fault damages.
    Artifact {
        /// The index file of a vector node.
        Index = "index",
        /// Segment files of a vector node.
        Segment = "segment",
        /// The write-ahead log.
        Log = "log",
        /// The manifest that names all other files.
        Manifest = "manifest",
        /// Stored objects.
        Object = "object",
    }
}

words! {
    /// How files are damaged.
    Damage {
        /// Single bits are flipped.
        Flip = "flip",
        /// The end is cut off.
        Truncate = "truncate",
        /// A range is zeroed.
        Zero = "zero",
        /// The file is gone.
        Delete = "delete",
        /// The file is replaced by a valid one of other data.
        Swap = "swap",
    }
}

words! {
    /// Which engine builds an index.
    EngineChoice {
        /// The fastest one that this machine offers.
        Auto = "auto",
        /// The CPU engine.
        Cpu = "cpu",
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
