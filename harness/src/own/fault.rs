//! A fault drill on somebody's own stack: `kind = "fault"`. The user's commands break a component, see that it is broken,
//! and undo it; the user's runbook brings it back, or nobody does anything and it is seen whether the stack heals itself.
//!
//! ```text
//! stack.toml, drill.toml --load--> Drill --(played by adapters::own::fault)--> events --Facts::of--> Facts --judge--> Report
//! ```
//!
//! Invariants: a fault is in the journal, with its undo, before it is injected; one that was not seen to strike proves
//! nothing; what users would read is read before any undo; a fault that was not seen to be gone at the end is a failure.

mod check;
pub mod event;
pub mod facts;
mod judge;
mod report;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    load::{self, Written as _},
    stack::{Command, Service, Stack, Witness},
};
use crate::{
    diagnose::Diagnostic,
    scenario::{Priority, When},
    time::Dur,
};

pub use event::{Event, FaultEvent};
pub use facts::Facts;
pub use report::{FaultReport, objectives};

/// Break a component by commands of its owner, and see what its users notice and whether its data is whole.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What kind of drill this is.
    pub kind: super::restore::Kind,
    /// The drill's name: lower-case letters, digits, `_` and `-`. Names the run's folder.
    #[schemars(example = &"my_first_drill")]
    pub name: String,
    /// One line for reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What breaks, and what should happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The stack's file, as seen from this one.
    #[schemars(example = &"stack.toml")]
    pub stack_file: String,
    /// What breaks, and when.
    #[serde(default)]
    pub fault: Vec<FaultStep>,
    /// What is done about it. `act = { none = {} }`: nothing, it heals itself.
    #[serde(default)]
    pub recover: Vec<RecoverStep>,
    /// Services whose RTO is judged; all of the stack's if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service: Vec<String>,
    /// Witnesses that must read the same after recovery; all of the stack's if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witness: Vec<String>,
    /// What is not right at once after recovery is asked again for this long; 10 s if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<Dur>,
    /// What must hold.
    pub objectives: Objectives,
}

/// One fault.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultStep {
    /// Its name: recovery steps may wait for it, and a stack in production has to allow it by this name.
    pub name: String,
    /// The component that it breaks.
    pub component: String,
    /// When, counted from the moment at which the stack was seen to be well.
    #[serde(default)]
    pub at: Dur,
    /// For how long; without it, until recovery or the end of the drill.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub hold: Option<Dur>,
    /// How it is broken.
    pub inject: Inject,
    /// Ends with 0 while the effect of the fault is there, and with another code while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<Command>,
    /// Undoes it. It is run at the end whatever recovery did, and must do no harm where there is nothing to undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Command>,
}

/// How a component is broken.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Inject {
    /// By a command of its owner; `observe` and `undo` are required then.
    Command(Command),
}

impl Inject {
    /// The command.
    pub fn command(&self) -> &Command {
        let Inject::Command(command) = self;
        command
    }
}

/// One recovery step. Give exactly one of `when`, `at` and `after`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoverStep {
    /// Its name.
    pub name: String,
    /// `detected`: after three bad probes in a row of a service that uses the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// When, counted as the faults' times are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Dur>,
    /// Once this fault has struck, or this earlier step has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The component that is mended; needed by a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// What is done.
    pub act: RecoverAct,
}

/// What a recovery step does.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RecoverAct {
    /// A command of the user's: the runbook.
    Command(Command),
    /// Nothing.
    None {},
}

/// What must hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// Users of each service may be without it this long, counted from the first fault.
    #[schemars(example = &"5m")]
    pub rto: Dur,
    /// Canaries that were acknowledged in this span before the fault may be lost; `0s`: none at all. Needs canaries in the
    /// components that are broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Dur>,
    /// Recovery counts once a service stayed good for this long.
    #[serde(default = "default_stable")]
    pub stable_for: Dur,
    /// Services with an RTO of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rto_of: BTreeMap<String, Dur>,
}

fn default_stable() -> Dur {
    Dur::from_secs(5)
}

/// A fault drill and the stack that it is about.
#[derive(Clone, PartialEq, Debug)]
pub struct Drill {
    /// What is done.
    pub fault: Fault,
    /// On what.
    pub stack: Stack,
}

impl load::Written for Drill {
    type File = Fault;

    fn stack_file(file: &Fault) -> &str {
        &file.stack_file
    }

    fn of(fault: Fault, stack: Stack) -> Drill {
        Drill { fault, stack }
    }

    fn mistakes(file: &Fault, stack: &Stack) -> Vec<crate::diagnose::Problem> {
        check::fault(file, stack)
    }
}

impl Drill {
    /// For how long what is not right at once after recovery is asked again.
    pub fn settle(&self) -> Dur {
        self.fault.settle.unwrap_or(super::restore::SETTLE)
    }

    /// Services that are watched, by name.
    pub fn services(&self) -> impl Iterator<Item = (&String, &Service)> {
        let wanted = |id: &String| self.fault.service.is_empty() || self.fault.service.contains(id);
        self.stack.service.iter().filter(move |(id, _)| wanted(id))
    }

    /// How long users of a service may be without it.
    pub fn rto(&self, service: &str) -> Dur {
        let objectives = &self.fault.objectives;
        objectives.rto_of.get(service).copied().unwrap_or(objectives.rto)
    }

    /// How much the business cares for whom the drill hits: the most urgent of its services.
    pub fn priority(&self) -> Priority {
        self.services().map(|(_, s)| s.priority).min().unwrap_or_default()
    }

    /// What must read the same after recovery, by name.
    pub fn witnesses(&self) -> impl Iterator<Item = (&String, &Witness)> {
        let wanted = |id: &String| self.fault.witness.is_empty() || self.fault.witness.contains(id);
        self.stack.witness.iter().filter(move |(id, _)| wanted(id))
    }

    /// The components that are broken and have canaries: records are planted in them while the drill runs.
    pub fn planted(&self) -> Vec<&String> {
        if self.fault.objectives.rpo.is_none() {
            return Vec::new();
        }
        let broken = |id: &&String| self.fault.fault.iter().any(|f| f.component == **id);
        self.stack.canary.keys().filter(broken).collect()
    }

    /// The services by whose probes it is detected that a component is broken.
    pub fn detectors(&self, component: Option<&str>) -> Vec<&String> {
        let uses = |s: &Service| component.is_none_or(|c| s.uses.iter().any(|u| u == c));
        self.services().filter(|(_, s)| uses(s)).map(|(id, _)| id).collect()
    }
}

/// Reads a fault drill. `stack` is asked for the stack file that it names, and answers with why it cannot be had.
///
/// # Errors
/// All mistakes of the file, in its order; never none.
pub fn drill(
    bytes: &[u8],
    overrides: &[(String, String)],
    stack: impl Fn(&str) -> Result<Stack, String>,
) -> Result<Drill, Vec<Diagnostic>> {
    Drill::read(bytes, overrides, stack)
}

#[cfg(test)]
mod tests;
