//! The stack under test: its regions and roles, and how the regions protect each other.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::topology::{NodeId, Role};

/// The stack under test.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// Regions, the primary first.
    #[schemars(example = ["east"])]
    pub regions: Vec<String>,
    /// One node for each role in each region.
    pub roles: Vec<Role>,
    /// How the regions protect each other.
    #[serde(default)]
    pub pattern: Pattern,
    /// Whether a write waits for the other region; by default as the pattern has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<Replication>,
    /// Workers in each region, where the role `gpu` is there.
    #[serde(default = "default_workers")]
    pub workers: u16,
}

fn default_workers() -> u16 {
    2
}

impl Stack {
    /// How writes reach the other region, if they do so by themselves.
    pub fn replication(&self) -> Option<Replication> {
        match self.pattern {
            Pattern::ActiveActive => Some(Replication::Sync),
            Pattern::HotStandby => Some(self.replication.unwrap_or(Replication::Async)),
            Pattern::WarmStandby | Pattern::ColdStandby | Pattern::Single => None,
        }
    }
}

impl Stack {
    /// Whether a node's process runs from the start: the standby of a cold pattern has only its object store, which
    /// holds the backups.
    pub fn runs_at_launch(&self, node: &NodeId) -> bool {
        self.pattern != Pattern::ColdStandby
            || node.role == Role::Object
            || self.regions.first() == Some(&node.region)
    }

    /// Whether the other region follows stores of a role all the time. Objects are followed in every pattern with two
    /// regions, since backups are objects.
    pub fn followed(&self, role: Role) -> bool {
        match role {
            Role::Object => self.pattern != Pattern::Single,
            Role::Vector | Role::Feature => self.replication().is_some(),
            Role::Gpu => false,
        }
    }
}

/// Whether a write waits for the other region.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Replication {
    /// It is acknowledged once both regions hold it.
    Sync,
    /// It is acknowledged at once; the other region follows.
    Async,
}

/// How the regions protect each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// One region; backup and restore in place.
    #[default]
    Single,
    /// Both regions take writes, and each is acknowledged by both.
    ActiveActive,
    /// The standby runs and follows.
    HotStandby,
    /// The standby runs and is fed by incremental backups.
    WarmStandby,
    /// The standby is started at failover, and restored from backup.
    ColdStandby,
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pattern::Single => "single",
            Pattern::ActiveActive => "active-active",
            Pattern::HotStandby => "hot-standby",
            Pattern::WarmStandby => "warm-standby",
            Pattern::ColdStandby => "cold-standby",
        })
    }
}
