//! Whether the drill itself can be trusted: steady before, every fault seen to strike, played to its end.

use super::Finding;
use crate::{
    facts::Facts,
    journal::{Ending, Phase},
    plan::StepKind,
    time::human_us,
    verdict::Verdict::{Pass, Unknown},
};

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut all = vec![ending(facts), steady(facts)];
    if facts.entered_us(Phase::Storm).is_some() {
        all.extend(
            facts.plan.cues.iter().filter(|c| c.kind == StepKind::Fault).map(|c| effect(facts, &c.name)),
        );
    }
    all
}

fn ending(facts: &Facts) -> Finding {
    let finding = Finding::new("conduct", "drill", "played to its end");
    match (facts.ending, &facts.aborted) {
        (Some(Ending::Complete), None) => {
            finding.measured("complete").because(Pass, "all phases were played and every debt was paid")
        }
        (Some(Ending::Environment), why) => {
            let why = why.as_deref().unwrap_or("the environment failed");
            finding.measured("broken off").because(Unknown, format!("the environment failed: {why}"))
        }
        (_, Some(why)) => finding.measured("given up").because(Unknown, why.clone()),
        (Some(Ending::Aborted), None) => {
            finding.measured("given up").because(Unknown, "the drill was given up")
        }
        (None, None) => finding
            .measured("broken off")
            .because(Unknown, "the journal breaks off: the harness died, or it was cut"),
    }
}

fn steady(facts: &Facts) -> Finding {
    let stable = facts.plan.objectives.stable_for;
    let finding =
        Finding::new("steady", "stack", format!("every service good for {stable} before the first fault"));
    if let Some(service) = facts.services.iter().find(|s| s.bad_before > 0) {
        let measured =
            format!("{} had {} bad probes before the first fault", service.name, service.bad_before);
        return finding
            .measured(measured)
            .because(Unknown, "what was bad before the fault proves nothing about it");
    }
    match (facts.entered_us(Phase::Settle), facts.entered_us(Phase::Storm)) {
        (Some(settle), Some(storm)) => {
            let took = human_us(storm.saturating_sub(settle));
            finding
                .measured(format!("steady after {took}"))
                .because(Pass, "the stack was healthy before it was broken")
        }
        _ => finding
            .measured("never steady")
            .because(Unknown, "the stack was not steady before the fault, so nothing was learnt"),
    }
}

fn effect(facts: &Facts, name: &str) -> Finding {
    let finding = Finding::new("effect", name, "every act seen to take effect");
    let Some(step) = facts.faults().find(|s| s.name == name) else {
        return finding.because(Unknown, "the fault never struck before the storm ended");
    };
    let finding = finding.evidence(step.evidence.iter().copied());
    let seen: Vec<&str> = step.acts.iter().map(|a| a.outcome.text()).collect();
    let finding = finding.measured(seen.join("; "));
    if step.observed() {
        return finding.because(Pass, "the effect was observed, not only issued");
    }
    let why = match step.acts.iter().find(|a| !a.outcome.observed()) {
        Some(act) => format!("{} was not seen to take effect", act.act),
        None => "not all of its acts were played".into(),
    };
    finding.because(Unknown, why)
}
