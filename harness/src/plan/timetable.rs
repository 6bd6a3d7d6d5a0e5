//! Mistakes of the timetable: steps that are never due, that wait for each other in a circle, or that strike where
//! nobody looks.

use std::collections::BTreeMap;

use super::{Cue, Trigger, check::problem};
use crate::{
    act::Artifact,
    diagnose::{Problem, closest},
    scenario::{Fault, FaultStep, RecoverStep, Scenario, Service},
    time::Dur,
    topology::Role,
};

/// The most faults and recovery steps of a drill.
pub(super) const STEPS_MAX: usize = 256;

/// The longest that a drill's timetable may be: a day.
const TIMETABLE_MAX: Dur = Dur::from_secs(24 * 3600);

/// A fault's trigger.
pub(super) fn fault_trigger(path: &str, step: &FaultStep, out: &mut Vec<Problem>) -> Option<Trigger> {
    match (step.at, &step.after) {
        (Some(at), None) => at_trigger(path, at, out),
        (None, Some(name)) => Some(Trigger::After(name.clone())),
        (None, None) => {
            problem(out, path, "the fault never strikes", "give it `at = \"5s\"` or `after = \"<step>\"`");
            None
        }
        (Some(_), Some(_)) => {
            problem(out, format!("{path}.after"), "`at` and `after` exclude each other", "give one of them");
            None
        }
    }
}

/// A recovery step's trigger. `uses`: the roles whose services may detect it.
pub(super) fn recover_trigger(
    path: &str,
    step: &RecoverStep,
    uses: Vec<Role>,
    out: &mut Vec<Problem>,
) -> Option<Trigger> {
    match (step.when, step.at, &step.after) {
        // With `after`: of what is bad only once that step has ended.
        (Some(_), None, _) => Some(Trigger::Detected(uses)),
        (None, Some(at), None) => at_trigger(path, at, out),
        (None, None, Some(name)) => Some(Trigger::After(name.clone())),
        (None, None, None) => {
            let hint = "give it `when = \"detected\"`, `at = \"20s\"` or `after = \"<step>\"`";
            problem(out, path, "the step is never due", hint);
            None
        }
        _ => {
            let hint = "give one of them, or `when` together with `after`";
            problem(out, path, "`at` excludes `when` and `after`", hint);
            None
        }
    }
}

fn at_trigger(path: &str, at: Dur, out: &mut Vec<Problem>) -> Option<Trigger> {
    if at > TIMETABLE_MAX {
        problem(
            out,
            format!("{path}.at"),
            format!("{at} is beyond a day"),
            "a drill's timetable ends within a day",
        );
        return None;
    }
    Some(Trigger::At(at))
}

/// The roles whose users may feel a fault; `None` where the fault is hidden by nature, and read-back has to find it.
fn felt_by(fault: &Fault, s: &Scenario) -> Option<Vec<Role>> {
    let role = |node: &str| {
        let word = node.split('/').nth(1)?;
        Role::ALL.into_iter().find(|r| r.word() == word).map(|r| vec![r])
    };
    match fault {
        Fault::Corrupt { what: Artifact::Backup | Artifact::Model | Artifact::Definitions, .. } => None,
        Fault::Intrude { .. } | Fault::Stall { .. } | Fault::Split { .. } => None,
        // Probes only read, and a full disk is read as before: what was acknowledged is what read-back looks for.
        Fault::Fill { .. } => None,
        Fault::Region { .. } => Some(s.stack.roles.clone()),
        Fault::Kill { node }
        | Fault::Stop { node }
        | Fault::Pause { node }
        | Fault::Restart { node }
        | Fault::Reload { node }
        | Fault::Wipe { node }
        | Fault::Miscompute { node }
        | Fault::Limit { node, .. }
        | Fault::Isolate { node }
        | Fault::Corrupt { node, .. } => role(node),
        Fault::Cut { to, .. } | Fault::Delay { to, .. } => role(to),
    }
}

/// A fault that no probe can notice would always be absorbed.
fn watched(s: &Scenario, out: &mut Vec<Problem>) {
    if s.service.is_empty() {
        // That is the mistake, and it is told of already.
        return;
    }
    for (i, step) in s.fault.iter().enumerate() {
        let Some(roles) = felt_by(&step.inject, s) else { continue };
        let node = s.fault[i].inject.word();
        let asks = |v: &&Service| roles.iter().any(|role| v.probe.asks(*role));
        let Some(period) = s.service.iter().filter(asks).map(|v| v.probe.every).min() else {
            let message = format!("no probe asks what `{node}` hits, so nobody would notice the fault");
            let hint = "add `search`, `get`, `lookup` or `infer` to the probe of a service that uses it";
            problem(out, format!("fault.{i}.inject"), message, hint);
            continue;
        };
        if step.hold.is_some_and(|h| h.us() < period.us().saturating_mul(2)) {
            let hint = "hold it for at least two probe periods, or probe more often";
            problem(out, format!("fault.{i}.for"), "the fault is over before anybody can notice it", hint);
        }
        if matches!(&step.inject, Fault::Delay { by, .. } if *by < Dur::from_millis(1)) {
            problem(out, format!("fault.{i}.inject"), "a delay of nothing", "delay by at least 1ms");
        }
    }
}

/// Steps that wait for each other: each must exist, and none may wait for itself.
pub(super) fn order(s: &Scenario, cues: &[Cue], out: &mut Vec<Problem>) {
    if cues.len() > STEPS_MAX {
        return;
    }
    watched(s, out);
    let waits: BTreeMap<&str, Option<&str>> = cues
        .iter()
        .map(|c| match &c.trigger {
            Trigger::After(n) => (c.name.as_str(), Some(n.as_str())),
            _ => (c.name.as_str(), c.gate.as_deref()),
        })
        .collect();
    let names: Vec<String> = cues.iter().map(|c| c.name.clone()).collect();
    if waits.len() < cues.len() {
        let hint = "names such as `fault-0-kill` are given to steps without one; choose others";
        problem(out, "fault", "a step is named like one that gameday named itself", hint);
    }
    let steps = (s.fault.iter().enumerate().map(|(i, f)| (format!("fault.{i}.after"), f.after.as_deref())))
        .chain(s.recover.iter().enumerate().map(|(i, r)| (format!("recover.{i}.after"), r.after.as_deref())));
    for (path, after) in steps {
        let Some(start) = after else { continue };
        if !waits.contains_key(start) {
            let near = closest(start, &names).map(|n| format!("did you mean `{n}`? ")).unwrap_or_default();
            let hint = format!("{near}steps: {}", names.join(", "));
            problem(out, path, format!("unknown step `{start}`"), &hint);
            continue;
        }
        let mut at = Some(start);
        let mut hops = 0;
        while let Some(name) = at {
            at = waits.get(name).copied().flatten();
            hops += 1;
            if hops > waits.len() {
                problem(out, path, "the step waits for itself", "break the circle of `after`");
                break;
            }
        }
    }
}
