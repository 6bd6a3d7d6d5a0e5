//! Mistakes in a restore drill, beside the stack that it is about.

use std::collections::BTreeSet;

use super::{Problems, command, component, known, name, problem};
use crate::own::{
    restore::Restore,
    stack::{Level, Stack},
};

/// All of a restore drill, for this stack.
pub(in crate::own) fn restore(r: &Restore, s: &Stack) -> Problems {
    let mut out = Vec::new();
    name(&mut out, "name", &r.name);
    commands(&mut out, r, s);
    component(&mut out, "scratch", &r.scratch);
    if known(&mut out, "source", "component", &r.source, s.component.keys()) {
        places(&mut out, r, s);
        data(&mut out, r, s);
    }
    if r.objectives.rto.us() == 0 {
        problem(&mut out, "objectives.rto", "nothing is restored in no time", "write how long it may take");
    }
    if r.objectives.durable && r.restart.is_none() {
        let hint = "add `restart = { run = [..] }`, which restarts the scratch place";
        problem(&mut out, "objectives.durable", "nobody says how the scratch place is restarted", hint);
    }
    if !r.objectives.durable && r.restart.is_some() {
        let hint = "add `durable = true` to [objectives], or remove it";
        problem(&mut out, "restart", "it would never be run", hint);
    }
    if r.settle() > r.objectives.rto {
        let hint =
            "what is not right within the RTO has missed it: write a shorter `settle`, or leave it out";
        let message = format!("`settle` ({}) is longer than the RTO ({})", r.settle(), r.objectives.rto);
        problem(&mut out, "settle", message, hint);
    }
    out
}

fn commands(out: &mut Problems, r: &Restore, s: &Stack) {
    let named =
        [("restore", Some(&r.restore)), ("cleanup", Some(&r.cleanup)), ("restart", r.restart.as_ref())];
    let scratch: BTreeSet<String> = r.scratch.secrets().into_iter().collect();
    for (path, c) in named.into_iter().filter_map(|(path, c)| c.map(|c| (path, c))) {
        command(out, path, c);
        for (i, v) in c.env.iter().enumerate().filter(|(_, v)| !scratch.contains(*v)) {
            let canary = s.canary.iter().filter(|(_, c)| c.dsn_env.as_ref() == Some(v)).map(|(id, _)| id);
            let owner = s.component.iter().filter(|(_, c)| c.secrets().contains(v)).map(|(id, _)| id);
            if let Some(owner) = owner.chain(canary).next() {
                let message = format!("`{v}` opens component `{owner}` of the stack");
                let hint = "give it the scratch place's credentials alone: a wrong line in it could not hurt the stack then";
                problem(out, format!("{path}.env.{i}"), message, hint);
            }
        }
    }
}

fn places(out: &mut Problems, r: &Restore, s: &Stack) {
    let source = &s.component[&r.source];
    if !s.allow.components.contains(&r.source) {
        let hint = format!("add it to [allow] in the stack file: components = [\"{}\"]", r.source);
        problem(out, "source", format!("the stack file does not allow drills on `{}`", r.source), hint);
    }
    if r.scratch.product != source.product {
        let message = format!("`{}` is a {}, and this is another product", r.source, source.product.word());
        problem(out, "scratch.product", message, format!("write product = \"{}\"", source.product.word()));
    }
    let (mine, theirs) = (r.scratch.secrets(), source.secrets());
    if let Some(shared) = mine.iter().find(|v| theirs.contains(v)) {
        let hint = "give the scratch place variables of its own";
        problem(out, "scratch", format!("`{shared}` opens the source as well"), hint);
    }
    if r.scratch.same_server && s.level == Level::Production {
        let hint = "restore to a server of its own: this one has users";
        problem(out, "scratch.same_server", "in production the scratch place may not share a server", hint);
    }
}

fn data(out: &mut Problems, r: &Restore, s: &Stack) {
    let of_source: Vec<&String> =
        s.witness.iter().filter(|(_, w)| w.component == r.source).map(|(id, _)| id).collect();
    for (i, id) in r.witness.iter().enumerate() {
        let path = format!("witness.{i}");
        if known(out, &path, "witness", id, s.witness.keys()) && !of_source.contains(&id) {
            let message = format!("witness `{id}` is about `{}`", s.witness[id].component);
            problem(out, path, message, format!("name witnesses of `{}`", r.source));
        }
    }
    if of_source.is_empty() {
        let message = format!("no witness says what must come back of `{}`", r.source);
        let hint = format!(
            "add to the stack file, under [witness]: orders = {{ component = \"{}\", sql = \"select ..\" }}; \
             a restore that nobody looks into proves nothing",
            r.source
        );
        problem(out, "source", message, hint);
    }
    if r.objectives.rpo.is_some() && !s.canary.contains_key(&r.source) {
        let hint =
            format!("add `{} = {{ .. }}` to [canary] in the stack file, and plant some with cron", r.source);
        problem(out, "objectives.rpo", "RPO is counted on canaries, and this component has none", hint);
    }
    let moment = |id: &&String| s.witness[*id].sql.as_ref().is_some_and(|q| q.contains("$T0"));
    if r.objectives.rpo.is_none()
        && let Some(id) = of_source.iter().find(|id| moment(id))
    {
        let message = format!("witness `{id}` speaks of $T0, and without an RPO there is no such moment");
        problem(out, "objectives", message, "add `rpo = \"..\"`: everything older than that must be back");
    }
}
