//! A restore drill as a person writes it: `kind = "restore"`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stack::{Command, Component};
use crate::{scenario::Priority, time::Dur};

/// Restore a component's backup into a scratch place, and prove that the data is there.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// What kind of drill this is.
    pub kind: Kind,
    /// The drill's name: lower-case letters, digits, `_` and `-`. Names the run's folder.
    #[schemars(example = &"my_first_drill")]
    pub name: String,
    /// One line for reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is restored, and why it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How much the business cares for this component.
    #[serde(default)]
    pub priority: Priority,
    /// The stack's file, as seen from this one.
    #[schemars(example = &"stack.toml")]
    pub stack_file: String,
    /// The component whose backup is restored. It is asked, and never written but for a canary of ours.
    pub source: String,
    /// Where it is restored to: a place of its own, of the same product.
    pub scratch: Component,
    /// Restores the backup into the scratch place. It is given the scratch place's credentials, never the source's.
    pub restore: Command,
    /// Empties the scratch place; run before and after.
    pub cleanup: Command,
    /// Restarts the scratch place; required by `durable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Command>,
    /// Witnesses that must come back; all of the source's if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witness: Vec<String>,
    /// What was restored is asked again for this long after the restore ended, if it is not right at once; 10 s if not given, or
    /// the RTO if that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<Dur>,
    /// What must hold.
    pub objectives: Objectives,
}

impl Restore {
    /// For how long what was restored is asked again.
    pub fn settle(&self) -> Dur {
        self.settle.unwrap_or(SETTLE.min(self.objectives.rto))
    }
}

/// For how long what is not right at once is asked again, if nobody says otherwise.
pub(super) const SETTLE: Dur = Dur::from_secs(10);

/// The kinds of drills on a stack that gameday did not launch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A backup is restored into a scratch place.
    Restore,
    /// A component is broken.
    Fault,
}

/// What must hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// From the start of the restore until every check of the data has passed.
    #[schemars(example = &"30m")]
    pub rto: Dur,
    /// From the newest canary that came back to the start of the drill. What is older must be back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Dur>,
    /// Whether all is still there after a restart of the scratch place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub durable: bool,
}
