//! What a pass is worth: warnings of the plan, and those that only the drill itself shows; and what is still down.

use crate::{
    act::Act,
    facts::Facts,
    topology::{NodeId, NodeState},
};

/// With fewer acknowledged writes before the fault, that none was lost says little.
const WRITES_LEAST: u64 = 10;

/// Why a pass of this drill proves little.
pub(super) fn proves_little(facts: &Facts) -> Vec<String> {
    let mut all = facts.plan.proves_little();
    let Some(t0_us) = facts.t0_us() else { return all };
    let felt = facts.services.iter().any(|s| s.outage.as_ref().is_some_and(|o| o.bad > 0));
    let refused = |s: &crate::facts::StoreFacts| s.outage.as_ref().is_some_and(|o| o.bad > 0);
    if !felt && !facts.stores.iter().any(refused) {
        all.push("no user felt any fault: no probe and no write failed".into());
    }
    for store in &facts.stores {
        let writes = store.ledger.acked_between(0, t0_us);
        if facts.plan.scenario.load.of(store.store).is_some() && writes < WRITES_LEAST {
            all.push(format!("only {writes} writes to {} were acknowledged before the fault", store.store));
        }
        let filled = facts.faults().flat_map(|f| &f.acts).any(|a| {
            matches!(&a.act, Act::Fill { node } if node.role == store.store) && a.outcome.observed()
        });
        if filled && store.outage.is_some() && !refused(store) {
            all.push(format!("the disk of {} was filled, and no write to it failed", store.store));
        }
    }
    all
}

/// Nodes that faults had ended or frozen, and that nothing had brought back when the storm ended. One that a user's own
/// command started is not known to run.
pub(super) fn still_down(facts: &Facts) -> Vec<String> {
    let down = |(node, state): (&NodeId, &NodeState)| match state {
        NodeState::Running => None,
        NodeState::Paused => Some(format!("{node} (frozen)")),
        NodeState::Down => Some(node.to_string()),
    };
    facts.state.nodes.iter().filter_map(down).collect()
}
