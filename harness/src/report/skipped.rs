//! What a drill did not measure or did not do, and why: silence is never taken for success.

use crate::{
    facts::Facts,
    journal::Phase,
    plan::{StepKind, Trigger},
};

/// One thing that is missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

pub(super) fn skipped(facts: &Facts) -> Vec<Skipped> {
    let mut all = Vec::new();
    let mut say = |what: String, why: String| all.push(Skipped { what, why });
    let late = [Phase::Storm, Phase::ReadBack, Phase::Quality, Phase::Undo, Phase::SecondReadBack];
    for phase in late.iter().filter(|p| facts.entered_us(**p).is_none()) {
        say(format!("phase {phase}"), "the drill ended before it".into());
    }
    for cue in facts.plan.cues.iter().filter(|c| !facts.steps.iter().any(|s| s.name == c.name)) {
        let kind = if cue.kind == StepKind::Fault { "fault" } else { "recovery step" };
        let why = match &cue.trigger {
            Trigger::At(at) => format!("the storm ended before its time, {at}"),
            Trigger::Detected(_) => "no service that uses its node was detected as down".into(),
            Trigger::After(step) => format!("step {step} did not end before the storm did"),
        };
        say(format!("{kind} {}", cue.name), why);
    }
    for s in &facts.plan.services {
        let o = &s.objectives;
        let unset = [
            ("RTO", o.rto.is_none()),
            ("RPO", o.rpo.is_none()),
            ("quality", o.quality.is_none()),
            ("latency", o.latency_p99.is_none()),
            ("availability", o.availability.is_none()),
        ];
        let unset: Vec<&str> = unset.iter().filter(|(_, none)| *none).map(|(what, _)| *what).collect();
        if !unset.is_empty() {
            say(format!("{} of {}", unset.join(", "), s.name), "no objective is set; not judged".into());
        }
    }
    for s in facts.stores.iter().filter(|s| s.copies.is_empty()) {
        say(format!("account of {}", s.store), "it was never read back".into());
    }
    for (s, copy) in facts.stores.iter().flat_map(|s| s.copies.iter().map(move |c| (s, c))) {
        let readings = [
            ("account", &copy.users),
            ("reading after the restart", &copy.restarted),
            ("reading after the undo", &copy.undone),
        ];
        for (what, reading) in readings.into_iter().filter(|(_, r)| r.account.is_none()) {
            say(format!("{what} of {} in {}", s.store, copy.region), reading.why_unread().into());
        }
    }
    if !facts.quality.contains_key(&3) {
        let why = if facts.quality.is_empty() {
            "the frozen queries were never asked"
        } else {
            "the frozen queries were not asked after recovery"
        };
        say("recall after recovery".into(), why.into());
    }
    all
}
