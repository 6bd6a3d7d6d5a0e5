//! What happened, in order: phases, faults, what users felt, recovery, undo.

use serde::{Deserialize, Serialize};

use crate::{act::Outcome, facts::Facts, journal::Phase, plan::StepKind};

/// One line of the timeline.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Moment {
    /// Microseconds since the drill began.
    pub at_us: u64,
    /// What kind of moment it is.
    pub kind: MomentKind,
    /// What happened.
    pub what: String,
    /// What was seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seen: String,
}

/// Kinds of moments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MomentKind {
    /// A phase began.
    Phase,
    /// A fault struck.
    Fault,
    /// A service was first bad.
    Impact,
    /// A service was detected as down.
    Detected,
    /// A recovery step.
    Recovery,
    /// A service was good for good.
    Recovered,
    /// A fault was lifted, or a debt paid.
    Undo,
}

pub(super) fn timeline(facts: &Facts) -> Vec<Moment> {
    let phase = |(p, at): &(Phase, u64)| moment(*at, MomentKind::Phase, p.to_string(), "");
    let mut all: Vec<Moment> = facts.phases.iter().map(phase).collect();
    for step in facts.steps.iter().filter(|s| s.kind != StepKind::Setup) {
        let kind = if step.kind == StepKind::Fault { MomentKind::Fault } else { MomentKind::Recovery };
        if step.planned.is_empty() {
            all.push(moment(step.began_us, kind, format!("{}: nothing is done", step.name), ""));
        }
        all.extend(step.acts.iter().map(|a| {
            let seen = match &a.outcome {
                Outcome::Observed(what) => what.clone(),
                Outcome::NotObserved(why) => format!("NOT OBSERVED: {why}"),
                Outcome::Failed(why) => format!("FAILED: {why}"),
            };
            moment(a.began_us, kind, format!("{}: {}", step.name, a.act), &seen)
        }));
    }
    for step in &facts.steps {
        let undone = |a: &crate::journal::Acted| {
            moment(a.began_us, MomentKind::Undo, format!("{}: {}", step.name, a.act), a.outcome.text())
        };
        all.extend(step.undone.iter().map(undone));
    }
    for s in &facts.services {
        let Some(outage) = &s.outage else { continue };
        let why = s.why.as_deref().unwrap_or("");
        all.extend(outage.t1_us.map(|at| moment(at, MomentKind::Impact, format!("{} is bad", s.name), why)));
        all.extend(s.detected_us.map(|at| {
            moment(
                at,
                MomentKind::Detected,
                format!("{} is detected as down", s.name),
                "three bad probes in a row",
            )
        }));
        all.extend(outage.recovered.map(|w| {
            moment(w.late_us, MomentKind::Recovered, format!("{} is good again, and stays good", s.name), "")
        }));
    }
    all.sort_by_key(|m| (m.at_us, m.kind));
    all
}

fn moment(at_us: u64, kind: MomentKind, what: String, seen: &str) -> Moment {
    Moment { at_us, kind, what, seen: seen.into() }
}
