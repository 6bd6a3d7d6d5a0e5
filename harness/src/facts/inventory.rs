//! What the copies of the stores consist of, and what recovery says that it changed of that.

use super::Facts;
use crate::{journal::Inventoried, plan::StepKind, ports::EXPLAINED, scenario::WorldName};

/// One list, and the event that holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The event.
    pub seq: u64,
    /// What was listed.
    pub listed: Inventoried,
}

impl Facts {
    /// Whether this world's stores consist of anything: `sim` models effects, never products.
    pub fn has_inventory(&self) -> bool {
        self.began.world != WorldName::Sim
    }

    /// The recovery step that says that it changed this item of a store, if one does: by a fact of an act whose effect
    /// was seen.
    pub fn explained(&self, store: crate::topology::Role, item: &str) -> Option<&str> {
        let steps = self.steps.iter().filter(|s| s.kind == StepKind::Recovery);
        let lists = |s: &&super::StepFacts| {
            s.acts.iter().any(|a| {
                a.outcome.observed()
                    && a.act.node().is_some_and(|n| n.role == store)
                    && a.facts.get(EXPLAINED).is_some_and(|list| list.lines().any(|line| line == item))
            })
        };
        steps.filter(lists).map(|s| s.name.as_str()).next()
    }
}
