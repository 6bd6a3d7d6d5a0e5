//! What a person writes: a drill as data.
//!
//! Plain types, no behaviour but defaults. Enums are tagged by their key (`inject = { kill = {..} }`), so that
//! errors point at the right word; unknown keys are refused everywhere. Mistakes that types cannot see (unknown
//! nodes, a step that waits for itself) are found by [`crate::plan::Plan::compile`].

mod data;
mod stack;
mod steps;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    time::{Dur, Rate},
    topology::Role,
};

pub use data::{Data, Features, IndexKind, Objects, Vectors};
pub use stack::{Pattern, Replication, Stack};
pub use steps::{Fault, FaultStep, RecoverStep, Remedy, When};

/// A drill.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The drill's name: lower-case letters, digits, `_` and `-`. Names the run's folder.
    #[schemars(example = &"my_first_drill")]
    pub name: String,
    /// One line for reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What breaks, and what should happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How much the business cares.
    #[serde(default)]
    pub priority: Priority,
    /// All chance in the drill comes from here: data, load, damaged bytes.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The worlds in which the drill makes sense; all of them if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub worlds: Vec<WorldName>,
    /// What is broken.
    pub stack: Stack,
    /// What is stored before the fault.
    #[serde(default)]
    pub data: Data,
    /// Which stores are backed up, and when.
    #[serde(default)]
    pub backup: Backup,
    /// What users write while it breaks.
    #[serde(default)]
    pub load: Load,
    /// What users notice.
    #[serde(default)]
    pub service: Vec<Service>,
    /// What breaks, and when.
    #[serde(default)]
    pub fault: Vec<FaultStep>,
    /// What is done about it.
    #[serde(default)]
    pub recover: Vec<RecoverStep>,
    /// When to give up for safety.
    #[serde(default)]
    pub abort: Abort,
    /// What must hold. A service may have its own.
    #[serde(default)]
    pub objectives: Objectives,
}

fn default_seed() -> u64 {
    42
}

/// How much the business cares; recovery follows this order.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// First.
    Critical,
    /// Second.
    BusinessCritical,
    /// Last.
    #[default]
    Operational,
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Priority::Critical => "critical",
            Priority::BusinessCritical => "business_critical",
            Priority::Operational => "operational",
        })
    }
}

/// Where a drill runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorldName {
    /// Simulated, on a virtual clock.
    Sim,
    /// Processes of gameday's own on this machine.
    Local,
    /// Products in containers.
    Docker,
    /// A stack that gameday did not launch: on record and in reports, never chosen by a scenario.
    #[schemars(skip)]
    Own,
}

impl WorldName {
    /// Whether gameday launches what it breaks there, so that no verdict is about anybody's stack.
    pub fn rehearses(self) -> bool {
        self != WorldName::Own
    }
}

/// By hand, so that `own` is read and not offered.
impl<'de> Deserialize<'de> for WorldName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<WorldName, D::Error> {
        let word = String::deserialize(from)?;
        match word.as_str() {
            "sim" => Ok(WorldName::Sim),
            "local" => Ok(WorldName::Local),
            "docker" => Ok(WorldName::Docker),
            "own" => Ok(WorldName::Own),
            other => Err(D::Error::unknown_variant(other, &["sim", "local", "docker"])),
        }
    }
}

impl fmt::Display for WorldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WorldName::Sim => "sim",
            WorldName::Local => "local",
            WorldName::Docker => "docker",
            WorldName::Own => "own",
        })
    }
}

/// Backups, taken into the object store of the primary region.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// The roles whose stores are backed up in full after seeding, before the fault.
    #[serde(default)]
    pub full: Vec<Role>,
    /// The roles whose changes are backed up again and again until the drill's storm is over. Of a feature store, in
    /// world `docker` alone, that is its log up to a restore point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incremental: Vec<Role>,
    /// How often. 2 s if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Dur>,
}

/// An open loop: writes are sent on a schedule that never waits for answers.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Writes to the vector store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<Rate>,
    /// Writes to the object store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Rate>,
    /// Writes to the feature store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<Rate>,
    /// Steps of a job that the workers share; each is acknowledged once its checkpoint is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Rate>,
}

impl Load {
    /// The rate of a role's store, if it has load.
    pub fn of(&self, role: Role) -> Option<Rate> {
        match role {
            Role::Vector => self.vector,
            Role::Object => self.object,
            Role::Feature => self.feature,
            Role::Gpu => self.gpu,
        }
    }
}

/// What users notice: RTO is judged for each.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name.
    #[schemars(example = &"search")]
    pub name: String,
    /// How much the business cares.
    #[serde(default)]
    pub priority: Priority,
    /// The roles that it needs.
    pub uses: Vec<Role>,
    /// The question asked on its behalf, again and again.
    pub probe: Probe,
    /// Its own objectives, where they differ from the scenario's.
    #[serde(default)]
    pub objectives: Objectives,
}

/// A question with a known answer, asked on a fixed schedule. With both `search` and `get`, the search comes first
/// and the object behind its best hit is fetched.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(example = serde_json::json!({ "search": {}, "every": "50ms" }))]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Ask a golden query of the vector store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchProbe>,
    /// Fetch an object and compare its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub get: Option<GetProbe>,
    /// Look up the features of an entity and compare their values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup: Option<LookupProbe>,
    /// Ask the workers for an inference whose result is known to 1e-5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infer: Option<InferProbe>,
    /// How often.
    #[serde(default = "default_every")]
    pub every: Dur,
    /// After this, the answer is a bad one.
    #[serde(default = "default_timeout")]
    pub timeout: Dur,
}

fn default_every() -> Dur {
    Dur::from_millis(50)
}

fn default_timeout() -> Dur {
    Dur::from_secs(1)
}

/// A search whose answer is known.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchProbe {
    /// Neighbours asked for.
    pub k: u32,
    /// Below this share of the exact neighbours, the answer is a bad one.
    pub min_recall: f64,
}

impl Default for SearchProbe {
    fn default() -> Self {
        SearchProbe { k: 10, min_recall: 0.9 }
    }
}

/// An object whose bytes are known.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetProbe {}

/// Entities whose feature values are known; one wrong value among them is a bad answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LookupProbe {
    /// Entities of one request, as a ranking of candidates asks for.
    pub batch: u32,
}

impl Default for LookupProbe {
    fn default() -> Self {
        LookupProbe { batch: 16 }
    }
}

/// An inference whose result is known.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InferProbe {}

impl Probe {
    /// Whether it asks nodes of this role.
    pub fn asks(&self, role: Role) -> bool {
        match role {
            Role::Vector => self.search.is_some(),
            Role::Object => self.get.is_some(),
            Role::Feature => self.lookup.is_some(),
            Role::Gpu => self.infer.is_some(),
        }
    }
}

/// When to give up for safety. An aborted drill undoes everything and is never a pass.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Abort {
    /// A service was bad for this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_down_for: Option<Dur>,
    /// The storm took this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storm_longer_than: Option<Dur>,
}

/// What must hold. A service's own override the scenario's, which override the tier's.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(example = serde_json::json!({ "rto": "1m" }))]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// Default objectives: 1: RTO 1 min, RPO 0; 2: 5 min, 1 min; 3: 30 min, 5 min; 4: 24 h, 1 h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<u8>,
    /// Users may be without service this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<Dur>,
    /// Acknowledged writes of this span before the fault may be lost; `0s`: none at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Dur>,
    /// The share of the quality before the fault that must be back, as a lower confidence bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<f64>,
    /// 99 % of good answers came within this, over the storm. Bad answers are the business of `availability`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p99: Option<Dur>,
    /// The share of good answers among all that were due, over the storm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<f64>,
    /// Recovery counts once the service stayed good for this long. 5 s if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable_for: Option<Dur>,
    /// Whether RTO ends when service is back (`service`, the default) or when data is verified (`verified`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_ends: Option<RtoEnds>,
}

/// When the RTO clock stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RtoEnds {
    /// At the start of the first stable window (t5).
    #[default]
    Service,
    /// When data and quality have been verified (t6).
    Verified,
}
