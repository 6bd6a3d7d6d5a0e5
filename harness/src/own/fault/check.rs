//! Mistakes in a fault drill, beside the stack that it is about.

use std::collections::BTreeSet;

use super::{Drill, Fault, FaultStep, RecoverAct, RecoverStep};
use crate::{
    own::{
        check::{Problems, command, known, name, problem},
        stack::{Level, Stack},
    },
    time::Dur,
};

/// Records that are planted faster are no canaries, they are load.
const RATE_MAX: f64 = 20.0;

/// All of a fault drill, for this stack.
pub(super) fn fault(f: &Fault, s: &Stack) -> Problems {
    let mut out = Vec::new();
    name(&mut out, "name", &f.name);
    if f.fault.is_empty() {
        let hint = "add a [[fault]] with `inject`, `observe` and `undo`; `gameday init --endpoints` writes one to edit";
        problem(&mut out, "fault", "nothing is broken", hint);
    }
    for (i, step) in f.fault.iter().enumerate() {
        self::step(&mut out, &format!("fault.{i}"), step, (f, s));
    }
    allowed(&mut out, f, s);
    recovery(&mut out, f, s);
    services(&mut out, f, s);
    data(&mut out, f, s);
    out
}

fn step(out: &mut Problems, path: &str, step: &FaultStep, (f, s): (&Fault, &Stack)) {
    name(out, &format!("{path}.name"), &step.name);
    component(out, &format!("{path}.component"), &step.component, s);
    command(out, &format!("{path}.inject.command"), step.inject.command());
    let said = [("observe", &step.observe), ("undo", &step.undo)];
    let missing: Vec<&str> = said.iter().filter(|(_, c)| c.is_none()).map(|(key, _)| *key).collect();
    if !missing.is_empty() {
        let message = format!("`{}` is missing: a fault by command needs all three", missing.join("` and `"));
        let hint = "`observe` ends with 0 while the effect is there and with another code while it is not; `undo` removes it: \
                    undo = { run = [\"./undo.sh\"] }";
        problem(out, path, message, hint);
    }
    for (key, c) in said {
        if let Some(c) = c {
            command(out, &format!("{path}.{key}"), c);
        }
    }
    if let (Some(observe), Some(undo)) = (&step.observe, &step.undo)
        && (observe.run == undo.run || observe.run == step.inject.command().run)
    {
        let hint = "a command that only looks, such as one that connects and says what it found";
        problem(out, format!("{path}.observe"), "it would act when it is to observe", hint);
    }
    if step.undo.as_ref().is_some_and(|undo| undo.run == step.inject.command().run) {
        let hint = "name the command that brings the component back to what it was";
        problem(out, format!("{path}.undo"), "it would break it once more", hint);
    }
    let rto = f.objectives.rto_of.values().chain([&f.objectives.rto]).min().copied().unwrap_or_default();
    if step.at > Dur::default() && step.at >= rto {
        let hint =
            "every clock begins with the first fault: play it as a drill of its own, or write a longer RTO";
        problem(out, format!("{path}.at"), "it strikes when everything has to be back already", hint);
    }
    if step.hold.is_some_and(|d| d.us() == 0) {
        problem(
            out,
            format!("{path}.for"),
            "a fault that holds for no time is none",
            "write how long it holds",
        );
    }
}

fn component(out: &mut Problems, path: &str, id: &str, s: &Stack) {
    if known(out, path, "component", id, s.component.keys()) && !s.allow.components.iter().any(|c| c == id) {
        let hint = format!("add it to [allow] in the stack file: components = [\"{id}\"]");
        problem(out, path, format!("the stack file does not allow drills on `{id}`"), hint);
    }
}

fn allowed(out: &mut Problems, f: &Fault, s: &Stack) {
    let broken: BTreeSet<&String> = f.fault.iter().map(|step| &step.component).collect();
    if broken.len() > s.allow.most as usize {
        let message =
            format!("it breaks {} components, and the stack file allows {}", broken.len(), s.allow.most);
        let hint = format!("break fewer, or write most = {} in [allow] of the stack file", broken.len());
        problem(out, "fault", message, hint);
    }
    if s.level != Level::Production {
        return;
    }
    for (i, step) in f.fault.iter().enumerate().filter(|(_, step)| !s.allow.faults.contains(&step.name)) {
        let hint = format!(
            "if you mean it, its owner adds to [allow] of the stack file: faults = [\"{}\"]",
            step.name
        );
        let message =
            format!("in production nothing is broken that the stack file does not name: `{}`", step.name);
        problem(out, format!("fault.{i}.name"), message, hint);
    }
}

fn recovery(out: &mut Problems, f: &Fault, s: &Stack) {
    if f.recover.is_empty() {
        let hint = "add a [[recover]] with `act = { command = { run = [..] } }`, or `act = { none = {} }`: does it heal itself?";
        problem(out, "recover", "nobody says what is done about it", hint);
    }
    let mut before: Vec<String> = f.fault.iter().map(|step| step.name.clone()).collect();
    let unique: BTreeSet<&String> = before.iter().collect();
    if unique.len() < before.len() {
        problem(out, "fault", "two faults have one name", "give each a name of its own");
    }
    for (i, step) in f.recover.iter().enumerate() {
        let path = format!("recover.{i}");
        recover(out, &path, step, s, (f, &before));
        if before.contains(&step.name) {
            let message = format!("there is a step `{}` already", step.name);
            problem(out, format!("{path}.name"), message, "give each a name of its own");
        }
        if matches!(step.act, RecoverAct::Command(_)) {
            before.push(step.name.clone());
        }
    }
}

fn recover(out: &mut Problems, path: &str, step: &RecoverStep, s: &Stack, (f, before): (&Fault, &[String])) {
    name(out, &format!("{path}.name"), &step.name);
    let triggers = [step.when.is_some(), step.at.is_some(), step.after.is_some()];
    if let RecoverAct::Command(c) = &step.act {
        command(out, &format!("{path}.act.command"), c);
        if triggers.into_iter().filter(|t| *t).count() != 1 {
            let hint = "give exactly one of `when = \"detected\"`, `at = \"10s\"` and `after = \"STEP\"`";
            problem(out, path, "nobody says when it is run", hint);
        }
        let acts = |f: &FaultStep| {
            f.observe.as_ref().is_some_and(|o| o.run == c.run) || f.inject.command().run == c.run
        };
        if f.fault.iter().any(acts) {
            let hint = "name your runbook";
            problem(
                out,
                format!("{path}.act.command.run"),
                "this is a command of the fault, not of its recovery",
                hint,
            );
        }
        if step.component.is_none() {
            problem(
                out,
                path,
                "nobody says what it mends",
                "add `component = ..`: it has to be allowed as well",
            );
        }
    } else if triggers.into_iter().any(|t| t) {
        problem(out, path, "nothing is done, at no time", "remove `when`, `at` or `after` beside `none`");
    }
    if let Some(after) = &step.after {
        known(out, &format!("{path}.after"), "earlier step", after, before.iter());
    }
    let Some(id) = &step.component else { return };
    component(out, &format!("{path}.component"), id, s);
    let drill = Drill { fault: f.clone(), stack: s.clone() };
    if step.when.is_some() && drill.detectors(Some(id)).is_empty() {
        let hint = format!(
            "add `uses = [\"{id}\"]` to a service of the stack file, or give it a time: at = \"10s\""
        );
        problem(out, format!("{path}.when"), format!("no service that is asked uses `{id}`"), hint);
    }
}

fn services(out: &mut Problems, f: &Fault, s: &Stack) {
    for (i, id) in f.service.iter().enumerate() {
        known(out, &format!("service.{i}"), "service", id, s.service.keys());
    }
    if s.service.is_empty() {
        let hint = "add to the stack file: [service.shop] uses = [..] probe = { http = { url = \"..\" } }";
        problem(out, "stack_file", "the stack has no service: nobody would notice anything", hint);
    }
    for id in f.objectives.rto_of.keys() {
        let path = format!("objectives.rto_of.{id}");
        if known(out, &path, "service", id, s.service.keys())
            && !f.service.is_empty()
            && !f.service.contains(id)
        {
            problem(
                out,
                path,
                format!("`{id}` is not among the services of this drill"),
                "add it to `service`, or remove it here",
            );
        }
    }
    let limits = f.objectives.rto_of.iter().map(|(id, rto)| (format!("objectives.rto_of.{id}"), rto));
    for (path, rto) in limits.chain([("objectives.rto".to_owned(), &f.objectives.rto)]) {
        if rto.us() == 0 {
            problem(out, path, "nothing comes back in no time", "write how long users may be without it");
        }
    }
    let drill = Drill { fault: f.clone(), stack: s.clone() };
    for (id, service) in drill.services() {
        let most_us = drill.rto(id).us().min(f.objectives.stable_for.us() / 2);
        // As often as a pass needs, and once more: no machine keeps time to the last microsecond.
        if service.probe.every.us().saturating_mul(3) > most_us.saturating_mul(2) {
            let hint = format!(
                "ask it at least every {} (`every` in the stack file), or raise `stable_for`: a pass needs a question at least \
                 every half of it",
                Dur::from_millis(most_us.saturating_mul(2) / 3000)
            );
            let message =
                format!("`{id}` is asked every {}: too rarely to see a relapse", service.probe.every);
            problem(out, "objectives.stable_for", message, hint);
        }
    }
}

fn data(out: &mut Problems, f: &Fault, s: &Stack) {
    for (i, id) in f.witness.iter().enumerate() {
        known(out, &format!("witness.{i}"), "witness", id, s.witness.keys());
    }
    if f.objectives.rpo.is_none() {
        return;
    }
    let broken: BTreeSet<&String> = f.fault.iter().map(|step| &step.component).collect();
    let without: Vec<&str> =
        broken.iter().filter(|id| !s.canary.contains_key(**id)).map(|id| id.as_str()).collect();
    if !without.is_empty() {
        let hint =
            format!("add `{} = {{ .. }}` to [canary] in the stack file, or leave `rpo` out", without[0]);
        let message = format!("RPO is counted on canaries, and there are none for {}", without.join(", "));
        problem(out, "objectives.rpo", message, hint);
    }
    for id in broken {
        if s.canary.get(id).is_some_and(|c| c.rate.per_sec() > RATE_MAX) {
            let message = format!("so many canaries of `{id}` are load");
            problem(
                out,
                "objectives.rpo",
                message,
                format!("write a `rate` of at most {RATE_MAX}/s in [canary]"),
            );
        }
    }
}
