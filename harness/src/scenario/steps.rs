//! Faults and recovery steps as a scenario writes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Priority;
use crate::{
    act::{Artifact, CutMode, Damage, Direction, EngineChoice, LossKind, RestoreScope},
    time::Dur,
};

/// One fault on the timetable. Give either `at` or `after`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(example = serde_json::json!({ "at": "5s", "inject": { "kill": { "node": "east/vector" } } }))]
#[serde(deny_unknown_fields)]
pub struct FaultStep {
    /// A name that other steps may wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When, counted from the start of the storm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Dur>,
    /// After which step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// For how long; without it, until recovery or the end of the drill.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub hold: Option<Dur>,
    /// What breaks.
    pub inject: Fault,
}

/// What breaks. Which acts each compiles to: [`crate::fault`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The node's process ends without warning.
    Kill {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// The node's process is asked to end.
    Stop {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// The node's process freezes.
    Pause {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// The node's process ends without warning and is started again.
    Restart {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// The vector node reads its files again, as after a rebalance: damage that was hidden so far shows.
    Reload {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// Stored files rot.
    Corrupt {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
        /// Which files.
        what: Artifact,
        /// How.
        #[serde(default = "default_how")]
        how: Damage,
        /// How much of each file; 0 < fraction <= 1.
        #[serde(default = "default_fraction")]
        fraction: f64,
    },
    /// The network between users and a node is gone.
    Cut {
        /// region/role at the far end
        #[schemars(example = &"east/vector")]
        to: String,
        /// What users notice.
        #[serde(default = "default_mode")]
        mode: CutMode,
        /// Which bytes are stopped.
        #[serde(default = "default_direction")]
        direction: Direction,
    },
    /// The network between users and a node is slow.
    Delay {
        /// region/role at the far end
        #[schemars(example = &"east/vector")]
        to: String,
        /// By how much, each way.
        by: Dur,
    },
    /// Every node of a region is lost at once.
    Region {
        /// Which region.
        #[schemars(example = &"east")]
        region: String,
        /// How.
        #[serde(default)]
        how: LossKind,
    },
    /// Two regions no longer hear each other; users reach both.
    Split {
        /// Both of them.
        #[schemars(example = ["east", "west"])]
        regions: [String; 2],
    },
    /// The node's process ends without warning, and its disk is empty.
    Wipe {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// An intruder leaves a role in the feature store that no definition grants.
    Intrude {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// A standby silently stops following.
    Stall {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// A worker computes wrong results.
    Miscompute {
        /// region/role, or region/role/member
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// The node gets less of its machine. Give `cpu`, or `memory_mb`, or both.
    Limit {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
        /// Processors, such as 0.1
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cpu: Option<f64>,
        /// Megabytes of memory; a process that needs more is ended by the kernel
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memory_mb: Option<u32>,
    },
    /// The node's disk runs full: it has no byte left to write. The node then has a small disk from the start.
    Fill {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// The node is taken out of its network: nobody reaches it, and it reaches nobody.
    Isolate {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
}

fn default_how() -> Damage {
    Damage::Flip
}
fn default_fraction() -> f64 {
    0.01
}
fn default_mode() -> CutMode {
    CutMode::Refuse
}
fn default_direction() -> Direction {
    Direction::Both
}

/// One recovery step. Give one of `when`, `at` and `after`, or `when` with `after`: detected once that step has ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoverStep {
    /// A name that other steps may wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `detected`: after three bad probes in a row of a service that uses the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// When, counted from the start of the storm. Detection is then bypassed, and the report says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Dur>,
    /// After which step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Of steps that are due, the most urgent come first; equal ones run side by side.
    #[serde(default)]
    pub priority: Priority,
    /// The step is given up after this long.
    #[serde(default = "default_limit")]
    pub limit: Dur,
    /// What is done.
    pub act: Remedy,
}

fn default_limit() -> Dur {
    Dur::from_secs(300)
}

/// What a recovery step may wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Three bad probes in a row.
    Detected,
}

/// What is done about a fault. Which acts each compiles to: [`crate::remedy`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Remedy {
    /// The process is ended, if it still runs, and started.
    Restart {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// The newest backup replaces what the node holds.
    Restore {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
        /// All of it, or what critical services need first; or as of one moment: of a Milvus metadata, log
        /// and objects, of a PostgreSQL its cluster and log.
        #[serde(default)]
        scope: RestoreScope,
        /// Of a feature store: the newest backup whose definitions this version of every model works with. Newer
        /// changes of the catalogue are undone, newer values stay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<u32>,
    },
    /// Services move to another region: its nodes take the writes, the old ones are fenced, users follow.
    Failover {
        /// The region that takes over.
        #[schemars(example = &"west")]
        to: String,
        /// Only services of this priority; all of them if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        priority: Option<Priority>,
        /// Whether the old nodes are fenced first. Without it, both regions may take writes.
        #[serde(default = "default_fence")]
        fence: bool,
    },
    /// The node takes the writes of its role from now on.
    Promote {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// The node takes no writes any more, and no user is sent to it.
    Fence {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// The node throws away what it holds and follows the one that takes the writes now.
    Rejoin {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// Users of a service are sent to a region.
    Route {
        /// Which service.
        #[schemars(example = &"search")]
        service: String,
        /// Which region.
        #[schemars(example = &"east")]
        to: String,
    },
    /// The feature store is looked at by every detector of compromise.
    Audit {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
    },
    /// The index is built anew from stored vectors.
    Rebuild {
        /// region/role
        #[schemars(example = &"east/vector")]
        node: String,
        /// By which engine.
        #[serde(default = "default_engine")]
        engine: EngineChoice,
    },
    /// A command of yours, in the run's folder; its exit status must be 0. Its environment says where nodes are and how
    /// to enter them; `"$GAMEDAY" node start <node>` starts one. World `sim` runs none, and says `unknown`.
    Command {
        /// Program and arguments.
        #[schemars(example = ["./runbook.sh"])]
        run: Vec<String>,
    },
    /// Nothing is done: the system must heal itself.
    None {},
}

fn default_fence() -> bool {
    true
}
fn default_engine() -> EngineChoice {
    EngineChoice::Auto
}
