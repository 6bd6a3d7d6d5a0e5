//! Whether the drill itself can be trusted: steady before, every fault seen to strike, played to its end.

use super::Finding;
use crate::{
    act::Act,
    facts::{Facts, StepFacts},
    journal::{Ending, Phase},
    plan::StepKind,
    time::human_us,
    verdict::Verdict::{Pass, Unknown},
};

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut all = vec![ending(facts), steady(facts)];
    if facts.entered_us(Phase::Storm).is_some() {
        all.extend(facts.plan.cues.iter().filter(|c| c.kind == StepKind::Fault).map(|c| effect(facts, c)));
    }
    let recovery = facts.steps.iter().filter(|s| s.kind == StepKind::Recovery && !s.observed());
    all.extend(recovery.map(|s| {
        let seen: Vec<&str> = s.acts.iter().map(|a| a.outcome.text()).collect();
        Finding::new("recovery", &s.name, "every act of a step that was started seen to take effect")
            .evidence(s.evidence.iter().copied())
            .measured(seen.join("; "))
            .because(Unknown, "the step failed: what came back did not come back by this runbook")
    }));
    all
}

fn ending(facts: &Facts) -> Finding {
    let finding = Finding::new("conduct", "drill", "played to its end");
    let finding = finding.evidence([facts.events.saturating_sub(1)]);
    if let Some(odd) = &facts.odd {
        return finding
            .evidence([odd.line.saturating_sub(1)])
            .measured("contradictory")
            .because(Unknown, format!("no drill writes such a journal: {odd}"));
    }
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
    let finding = finding.evidence(facts.entered_by(&[Phase::Settle, Phase::Storm]));
    if let Some(service) = facts.services.iter().find(|s| s.bad_before > 0) {
        let measured =
            format!("{} had {} bad probes before the first fault", service.name, service.bad_before);
        return finding
            .measured(measured)
            .because(Unknown, "what was bad before the fault proves nothing about it");
    }
    if let Some(store) = facts.stores.iter().find(|s| s.bad_before > 0) {
        let measured = format!("{} bad writes to {} before the first fault", store.bad_before, store.store);
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

/// Whether another fault, as it struck or was lifted, may have ended this one while it was to hold, and no recovery step had
/// dealt with it before.
fn ended_by(facts: &Facts, step: &StepFacts, other: &StepFacts) -> bool {
    let ends = |act: &Act| step.planned.iter().any(|done| act.ends(done));
    let lifting = other.undone.iter().filter(|_| other.lifted_us.is_some());
    let mut at = other.acts.iter().chain(lifting).filter(|a| ends(&a.act)).map(|a| a.began_us);
    let holds = |at: u64| {
        let mended = |r: &StepFacts| {
            r.kind == StepKind::Recovery
                && r.observed()
                && r.ended_us.is_some_and(|ended| ended >= step.began_us && ended <= at)
                && r.nodes().iter().any(|n| step.nodes().contains(n))
        };
        at > step.began_us
            && step.ended_us.is_some_and(|struck| at > struck)
            && step.lifted_us.is_none_or(|own| at < own)
            && facts.watched_until_us() >= at
            && !facts.steps.iter().any(mended)
    };
    // One that ends by itself, as a restart does, holds no longer.
    let lasts = (0..step.planned.len())
        .any(|i| !step.planned[i + 1..].iter().any(|later| later.ends(&step.planned[i])));
    lasts && at.any(holds)
}

fn effect(facts: &Facts, cue: &crate::plan::Cue) -> Finding {
    let (name, cue_acts) = (cue.name.as_str(), &cue.acts[..]);
    let finding = Finding::new("effect", name, "every act seen to take effect");
    let Some(step) = facts.faults().find(|s| s.name == name) else {
        return finding.because(Unknown, "the fault never struck before the storm ended");
    };
    let finding = finding.evidence(step.evidence.iter().copied());
    let seen: Vec<&str> = step.acts.iter().map(|a| a.outcome.text()).collect();
    let finding = finding.measured(seen.join("; "));
    if let Some((at_us, seq)) = step.lifted_early {
        let after = human_us(at_us.saturating_sub(step.began_us));
        return finding.evidence([seq]).because(
            Unknown,
            format!(
                "it was lifted early: its effect was gone after {after}, and no step of the drill had ended it; what came \
                 back is nobody's doing here. Find out who ended it, and play the drill again"
            ),
        );
    }
    if let Some(other) = facts.faults().filter(|o| o.name != name).find(|o| ended_by(facts, step, o)) {
        return finding.because(Unknown, format!("`{}`, or its end, may have ended it too", other.name));
    }
    if step.observed() && step.planned == cue_acts {
        return finding.because(Pass, "the effect was observed, not only issued");
    }
    let why = match step.acts.iter().find(|a| !a.outcome.observed()) {
        Some(act) => format!("{} was not seen to take effect", act.act),
        None => "not all of its acts were played".into(),
    };
    finding.because(Unknown, why)
}
