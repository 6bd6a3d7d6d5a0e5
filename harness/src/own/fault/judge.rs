//! From the facts of a fault drill to findings. What could not be judged is `unknown`, never left out.

mod data;

use super::{
    FaultStep, RecoverAct,
    event::{Look, Pass, Stage, Task},
    facts::{Facts, ServiceFacts},
};
use crate::{
    judge::{Case, Finding, Strikes},
    own::judge::conduct::{alarms, conduct},
    time::human_us,
    verdict::Verdict::{Fail, Pass as Good, Unknown},
};

pub(super) use data::lost;

/// Judges everything.
pub(super) fn findings(f: &Facts) -> Vec<Finding> {
    let mut all = vec![conduct(f.breach.as_deref(), f.aborted.as_deref(), f.ending)];
    let before_us = f.stages.get(1).map_or(f.end_us, |(_, at)| *at);
    all.extend(alarms(&f.began.stack.alarm, &f.asked, before_us, f.watched_until_us()));
    let faults = &f.drill.fault.fault;
    if f.began.rehearsed {
        all.extend(faults.iter().map(|step| absent(f, step)));
        all.extend(f.drill.services().map(|(id, _)| answers(f, id)));
        all.extend(f.drill.witnesses().map(|(id, _)| data::taken(f, id)));
        return all;
    }
    all.push(steady(f));
    all.extend(faults.iter().map(|step| effect(f, step)));
    all.extend(f.drill.fault.recover.iter().filter_map(|step| recovery(f, &step.name, &step.act)));
    if let Some(t0_us) = f.t0_us() {
        let strikes = strikes(f);
        all.extend(f.services.iter().filter_map(|(id, s)| rto(f, (id, s), &strikes, t0_us)));
        all.extend(f.drill.witnesses().map(|(id, _)| data::same(f, id, Pass::Recovered)));
        all.extend(f.drill.planted().into_iter().map(|id| data::rpo(f, id, t0_us)));
        all.extend(faults.iter().filter_map(|step| undone(f, step)));
        all.extend(f.drill.services().map(|(id, _)| after(f, id)));
        all.extend(f.drill.witnesses().map(|(id, _)| data::same(f, id, Pass::Undone)));
        all.extend(f.drill.planted().into_iter().map(|id| data::kept(f, id)));
    }
    all
}

/// Of a rehearsal: the effect is not there, and somebody can tell.
fn absent(f: &Facts, step: &FaultStep) -> Finding {
    let finding = Finding::new("effect", &step.name, "can be looked for, and is not there");
    match f.looked.get(&(step.name.clone(), Look::Before)) {
        Some(l) if l.is.there == Some(false) => {
            finding.measured("not there").evidence([l.seq]).because(Good, "")
        }
        Some(l) if l.is.there == Some(true) => {
            let why = "`observe` says that the effect is there already: it would prove nothing";
            finding.measured("there already").evidence([l.seq]).because(Unknown, why)
        }
        Some(l) => finding.evidence([l.seq]).because(Unknown, format!("nobody can tell: {}", l.is.how)),
        None => finding.because(Unknown, "nobody looked"),
    }
}

/// Of a rehearsal: a service answers.
fn answers(f: &Facts, id: &str) -> Finding {
    let finding = Finding::new("steady", id, "good answers alone");
    let probes = f.services.get(id).map_or(&[][..], |s| &s.probes);
    let bad = probes.iter().filter(|p| !p.good).count();
    let finding = finding.measured(format!("{} answers, {bad} of them bad", probes.len()));
    if probes.is_empty() || bad > 0 {
        finding.because(Unknown, "what is bad before a fault proves nothing about it")
    } else {
        finding.because(Good, "")
    }
}

fn steady(f: &Facts) -> Finding {
    let stable = f.drill.fault.objectives.stable_for;
    let finding =
        Finding::new("steady", "stack", format!("every service good for {stable} before the first fault"));
    if let Some((id, s)) = f.services.iter().find(|(_, s)| s.bad_before > 0) {
        let measured = format!("{id} had {} bad probes before the first fault", s.bad_before);
        return finding
            .measured(measured)
            .because(Unknown, "what was bad before the fault proves nothing about it");
    }
    match (f.entered_us(Stage::Settle), f.entered_us(Stage::Storm)) {
        (Some(settle), Some(storm)) => {
            let took = human_us(storm.saturating_sub(settle));
            finding.measured(format!("steady after {took}")).because(Good, "")
        }
        _ => finding.measured("never steady").because(Unknown, "nothing was broken, so nothing was learnt"),
    }
}

/// Whether a fault was seen to strike, to hold for as long as it was to, and to go when it was lifted.
fn effect(f: &Facts, step: &FaultStep) -> Finding {
    let finding = Finding::new("effect", &step.name, "seen to strike, and not there before");
    let Some(ran) = f.ended(Task::Inject, &step.name) else {
        return finding.because(Unknown, "it never struck");
    };
    let finding = finding.evidence([ran.seq]);
    if ran.is.code != Some(0) {
        let why = format!("the command that injects it did not end well: {}", ran.is.how);
        return finding.measured(ran.is.how.clone()).because(Unknown, why);
    }
    let look = |look| f.looked.get(&(step.name.clone(), look));
    if look(Look::Before).and_then(|l| l.is.there) != Some(false) {
        return finding.because(Unknown, "nobody saw that its effect was not there before");
    }
    let Some(struck) = look(Look::Struck) else { return finding.because(Unknown, "nobody looked") };
    let finding = finding.evidence([struck.seq]);
    let since = |at: u64| human_us(at.saturating_sub(ran.is.began_us));
    let finding = match (struck.is.there, f.noticed(&step.name)) {
        (Some(true), _) => finding.measured(format!("seen {} after it was issued", since(struck.at_us))),
        // What heals itself may be gone before anybody can look.
        (Some(false), Some((id, at_us, seq))) => finding.evidence([seq]).measured(format!(
            "seen by users: {id} was bad {} after it was issued; `observe` came too late",
            since(at_us)
        )),
        (Some(false), None) => {
            return finding.because(Unknown, "it was injected, and its effect was not seen");
        }
        (None, _) => return finding.because(Unknown, format!("nobody could tell: {}", struck.is.how)),
    };
    if step.hold.is_some() {
        let held = look(Look::Held).map(|l| (l.is.there, l.seq));
        // By a step that mends this component, and ended while the fault was to hold.
        let mended =
            f.drill.fault.recover.iter().filter(|r| r.component.as_ref() == Some(&step.component)).any(|r| {
                let until_us = look(Look::Held).map_or(0, |l| l.at_us);
                f.ended(Task::Recover, &r.name)
                    .is_some_and(|ran| ran.at_us > struck.at_us && ran.at_us <= until_us)
            });
        match held {
            Some((Some(true), seq)) => return finding.evidence([seq]).because(Good, ""),
            // A runbook may end it: that is what it is for.
            Some((Some(false), seq)) if mended => return finding.evidence([seq]).because(Good, ""),
            Some((Some(false), seq)) => {
                let why = "it was gone before its time was over, and no step of the drill had ended it";
                return finding.evidence([seq]).because(Unknown, why);
            }
            _ => return finding.because(Unknown, "nobody knows whether it held for its time"),
        }
    }
    finding.because(Good, "")
}

/// A runbook that was started has to end well. One that was not needed is told elsewhere.
fn recovery(f: &Facts, name: &str, act: &RecoverAct) -> Option<Finding> {
    let RecoverAct::Command(command) = act else { return None };
    let finding = Finding::new("recovery", name, format!("the command ends well within {}", command.limit));
    let started = f.started.get(&super::event::Command { task: Task::Recover, step: name.to_owned() })?;
    let finding = finding.evidence([started.seq]);
    let Some(ran) = f.ended(Task::Recover, name) else {
        let why = if f.aborted.is_some() {
            "the drill was given up while it ran"
        } else {
            "nobody knows how it ended"
        };
        return Some(finding.because(Unknown, why));
    };
    let took = human_us(ran.at_us.saturating_sub(ran.is.began_us));
    let finding = finding.measured(format!("{} after {took}", ran.is.how)).evidence([ran.seq]);
    Some(match ran.is.code {
        Some(0) => finding.because(Good, ""),
        None if f.aborted.is_some() => finding.because(Unknown, "the drill was given up while it ran"),
        _ => finding.because(Fail, format!("the runbook did not end well: {}", ran.is.how)),
    })
}

/// The faults, as far as an outage is judged by them.
fn strikes(f: &Facts) -> Strikes {
    let faults = &f.drill.fault.fault;
    let lifted = |step: &FaultStep| {
        let undo = f.ended(Task::Undo, &step.name).filter(|_| step.hold.is_some())?;
        Some(undo.is.began_us).filter(|at| *at <= f.watched_until_us())
    };
    Strikes {
        all: f.last_strike_us().is_some(),
        observed: faults.iter().all(|step| effect(f, step).verdict == Good),
        last_us: f.last_strike_us().unwrap_or(0),
        lifted_us: faults.iter().filter_map(lifted).collect(),
    }
}

fn rto(f: &Facts, (id, s): (&String, &ServiceFacts), strikes: &Strikes, t0_us: u64) -> Option<Finding> {
    let limit = f.drill.rto(id);
    let stable_for = f.drill.fault.objectives.stable_for;
    let outage = s.outage.as_ref()?;
    let (noun, question, stalls) = ("service", "probe", &f.stalls);
    let case = Case { outage, strikes, stalls, t0_us, limit, stable_for, noun, question };
    Some(case.judge(Finding::new("rto", id, format!("at most {limit}"))))
}

/// A fault that was begun has to be seen to be gone at the end.
fn undone(f: &Facts, step: &FaultStep) -> Option<Finding> {
    let inject = super::event::Command { task: Task::Inject, step: step.name.clone() };
    f.started.get(&inject)?;
    let finding = Finding::new("cleanup", &step.name, "undone, and seen to be gone");
    let Some(ran) = f.ended(Task::Undo, &step.name) else {
        let why = "its undo was not run: `gameday heal RUN` runs it";
        return Some(finding.measured("still there, perhaps").because(Unknown, why));
    };
    let finding = finding.evidence([ran.seq]).measured(ran.is.how.clone());
    let look = f.looked.get(&(step.name.clone(), Look::Gone));
    let finding = finding.evidence(look.map(|l| l.seq));
    Some(match look.map(|l| (l.is.there, &l.is.how)) {
        // What is seen counts: some undos fail where there is nothing to undo.
        Some((Some(false), _)) if ran.is.code != Some(0) => {
            finding.measured(format!("gone, though the undo ended with {}", ran.is.how)).because(Good, "")
        }
        Some((Some(false), _)) => finding.measured("gone").because(Good, ""),
        Some((Some(true), _)) => {
            let how = &ran.is.how;
            let why =
                format!("its effect is still there after the undo ({how}); `gameday heal RUN` tries again");
            finding.measured("still there").because(Fail, why)
        }
        Some((None, how)) => finding.because(Unknown, format!("nobody can tell whether it is gone: {how}")),
        None => finding.because(Unknown, "nobody looked whether it is gone"),
    })
}

/// A service has to answer once everything is undone.
fn after(f: &Facts, id: &str) -> Finding {
    let finding = Finding::new("after", id, "answers well once everything is undone");
    match f.after.get(id) {
        Some(a) => {
            let finding = finding.evidence([a.seq]);
            match &a.is.bad {
                None => finding.measured("good").because(Good, ""),
                Some(why) => finding.measured("bad").because(Fail, format!("the drill left it bad: {why}")),
            }
        }
        None => finding.because(Unknown, "it was not asked again"),
    }
}
