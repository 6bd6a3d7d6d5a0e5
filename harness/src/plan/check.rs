//! Mistakes that types cannot see, each with its path in the file and the fix.

use std::collections::BTreeSet;

use super::{objectives, timetable::STEPS_MAX};
use crate::{
    act::EngineChoice,
    diagnose::Problem,
    scenario::{Objectives, Remedy, Scenario, Service, WorldName},
    time::Dur,
    topology::Role,
};

/// The most records that a drill may seed: the exact neighbours of every query are found by comparing them all.
const COUNT_MAX: u64 = 10_000_000;

/// The most neighbours that one pass over the queries asks for: all answers are one line of the journal.
const ANSWERS_MAX: u64 = 500_000;

pub(super) fn problem(
    problems: &mut Vec<Problem>,
    path: impl Into<String>,
    message: impl Into<String>,
    hint: &str,
) {
    problems.push(Problem { path: path.into(), message: message.into(), hint: Some(hint.into()) });
}

/// A name that is safe in paths, labels and metrics.
pub(super) fn plain(name: &str) -> bool {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    name.chars().all(ok) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= 64
}

/// What to write for a name that is not plain.
pub(super) fn plain_hint(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
        .filter(|w| !w.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let near = words.join("_");
    if plain(&near) { format!("did you mean `{near}`? {PLAIN}") } else { PLAIN.to_owned() }
}

const PLAIN: &str = "use at most 64 lower-case letters, digits, `_` and `-`; it becomes a folder's name";

/// Everything about the scenario but its timetable.
pub(super) fn scenario(s: &Scenario, out: &mut Vec<Problem>) {
    if !plain(&s.name) {
        problem(out, "name", format!("`{}` is not a plain name", s.name), &plain_hint(&s.name));
    }
    for (i, _) in s.worlds.iter().enumerate().filter(|(_, w)| **w == WorldName::Own) {
        let message =
            "`own` is a stack that gameday did not launch, and no world that a scenario can ask for";
        problem(out, format!("worlds.{i}"), message, "worlds are sim, local, docker");
    }
    data(s, out);
    names(s, out);
    for (i, service) in s.service.iter().enumerate() {
        self::service(s, i, service, out);
    }
    figures("objectives", &s.objectives, out);
    if s.service.is_empty() {
        problem(
            out,
            "service",
            "no service is watched",
            "add a [[service]] with a probe: RTO is judged per service",
        );
    }
    if s.fault.is_empty() {
        problem(out, "fault", "nothing breaks", "add a [[fault]] with `at` and `inject`");
    }
    for (i, step) in s.fault.iter().enumerate() {
        if step.inject.needs_containers() && s.worlds != [WorldName::Docker] {
            let (path, word) = (format!("fault.{i}.inject"), step.inject.word());
            let message = format!("this `{word}` can be suffered in world `docker` alone");
            problem(out, &path, message, "add `worlds = [\"docker\"]` to the scenario");
        }
    }
    for (i, step) in s.recover.iter().enumerate() {
        if let Remedy::Rebuild { engine: EngineChoice::OpenCl, .. } = step.act
            && s.worlds == [WorldName::Docker]
        {
            let path = format!("recover.{i}.act.rebuild.engine");
            let hint = "say `engine = \"auto\"`, or play it in world `local`";
            problem(out, path, "Milvus builds its indexes itself, and has no engine `opencl`", hint);
        }
        if step.act.needs_containers() && s.worlds != [WorldName::Docker] {
            let (path, word) = (format!("recover.{i}.act"), step.act.word());
            let message = format!("this `{word}` can be done in world `docker` alone");
            problem(out, &path, message, "add `worlds = [\"docker\"]` to the scenario");
        }
    }
    if s.fault.len() + s.recover.len() > STEPS_MAX {
        let message = format!("{} steps are too many", s.fault.len() + s.recover.len());
        problem(out, "fault", message, "a drill has at most 256 faults and recovery steps");
    }
    let all = std::iter::once(&s.objectives).chain(s.service.iter().map(|v| &v.objectives));
    let judged = |o: &Objectives| {
        *o != Objectives { stable_for: o.stable_for, rto_ends: o.rto_ends, ..Objectives::default() }
    };
    if !all.clone().any(judged) {
        let hint =
            "add [objectives] with `rto`, `rpo`, `quality`, `latency_p99` or `availability`, or a `tier`";
        problem(out, "objectives", "without objectives the drill could never fail", hint);
    }
    let rpo = |o: &Objectives| o.rpo.is_some() || o.tier.is_some();
    if all.clone().any(rpo) {
        for role in s.stack.roles.iter().filter(|r| s.load.of(**r).is_none() && **r != Role::Gpu) {
            let hint = format!("add `{role} = \"20/s\"` to [load]");
            let message = format!("an RPO cannot be judged for `{role}`, to which nothing is written");
            problem(out, "objectives.rpo", message, &hint);
        }
    }
    load(s, out);
    if all.clone().any(|o| o.quality.is_some()) && !s.stack.roles.contains(&Role::Vector) {
        let hint = "add the role `vector`, or remove `quality`";
        problem(out, "objectives.quality", "quality is recall, and no vector store is in the stack", hint);
    }
}

/// A write is a question, too: whether a store takes writes again is judged like the answers of a probe.
fn load(s: &Scenario, out: &mut Vec<Problem>) {
    for role in &s.stack.roles {
        let Some(period) = s.load.of(*role).map(|rate| rate.period()) else { continue };
        let period_us = u64::try_from(period.as_micros()).unwrap_or(u64::MAX);
        let users = s.service.iter().filter(|v| v.uses.contains(role));
        let judged = users.map(|v| objectives::resolve(Some(&v.objectives), &s.objectives));
        let judged: Vec<_> = judged.filter(|o| o.rto.is_some()).collect();
        let rto_us = judged.iter().map(|o| o.rto_us()).min().unwrap_or(u64::MAX);
        let stable_us = judged.iter().map(|o| o.stable_for.us()).max().unwrap_or(u64::MAX);
        let most_us = (rto_us / 20).min(stable_us / 5);
        if period_us > most_us {
            let message = format!(
                "a write every {} is too rare to see whether `{role}` takes writes again",
                human(period_us)
            );
            let hint = format!(
                "write at least every {}: a twentieth of the RTO, and a fifth of `stable_for`",
                human(most_us)
            );
            problem(out, format!("load.{role}"), message, &hint);
        }
    }
}

fn data(s: &Scenario, out: &mut Vec<Problem>) {
    let v = &s.data.vectors;
    let mut range = |path: &str, value: u64, low: u64, high: u64, why: &str| {
        if !(low..=high).contains(&value) {
            problem(out, path, format!("{value} is out of range"), &format!("from {low} to {high}: {why}"));
        }
    };
    range("data.vectors.count", v.count, 100, COUNT_MAX, "recall of fewer vectors says nothing");
    range("data.vectors.dim", v.dim.into(), 2, 4096, "dimensions of one vector");
    range(
        "data.vectors.queries",
        v.queries.into(),
        200,
        100_000,
        "with under 200 queries a loss of 2% goes unseen too often",
    );
    range("data.vectors.k", v.k.into(), 1, 100, "neighbours for each query");
    range(
        "data.vectors.k",
        u64::from(v.k) * u64::from(v.queries),
        1,
        ANSWERS_MAX,
        "neighbours of all queries together (k * queries)",
    );
    range("data.objects.count", s.data.objects.count, 1, 1_000_000, "objects before the fault");
    range("data.features.entities", s.data.features.entities, 10, 1_000_000, "entities before the fault");
    range("data.objects.size", s.data.objects.size.into(), 64, 64 << 20, "bytes of one object");
}

fn names(s: &Scenario, out: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    let steps = (s.fault.iter().enumerate().map(|(i, f)| (format!("fault.{i}.name"), f.name.as_ref())))
        .chain(s.recover.iter().enumerate().map(|(i, r)| (format!("recover.{i}.name"), r.name.as_ref())));
    for (path, name) in steps {
        let Some(name) = name else { continue };
        if !plain(name) {
            problem(out, path, format!("`{name}` is not a plain name"), &plain_hint(name));
        } else if !seen.insert(name) {
            problem(out, path, format!("two steps are named `{name}`"), "give each step a name of its own");
        }
    }
    let mut seen = BTreeSet::new();
    for (i, service) in s.service.iter().enumerate() {
        if !plain(&service.name) {
            problem(
                out,
                format!("service.{i}.name"),
                format!("`{}` is not a plain name", service.name),
                &plain_hint(&service.name),
            );
        } else if !seen.insert(&service.name) {
            let message = format!("two services are named `{}`", service.name);
            problem(out, format!("service.{i}.name"), message, "give each service a name of its own");
        }
    }
}

fn service(s: &Scenario, i: usize, service: &Service, out: &mut Vec<Problem>) {
    let path = format!("service.{i}");
    figures(&format!("{path}.objectives"), &service.objectives, out);
    if service.uses.is_empty() {
        problem(out, format!("{path}.uses"), "the service uses nothing", "name the roles that it needs");
    }
    for (j, role) in service.uses.iter().enumerate() {
        if !s.stack.roles.contains(role) {
            let message = format!("`{role}` is not in the stack");
            problem(out, format!("{path}.uses.{j}"), message, "add it to `stack.roles`, or do not use it");
        }
    }
    let probe = &service.probe;
    if let Some(search) = &probe.search {
        if !(search.min_recall > 0.0 && search.min_recall <= 1.0) {
            let message = format!("{} is not a recall", search.min_recall);
            problem(out, format!("{path}.probe.search.min_recall"), message, "0 < min_recall <= 1");
        }
        if !(1..=100).contains(&search.k) {
            problem(
                out,
                format!("{path}.probe.search.k"),
                format!("{} is out of range", search.k),
                "from 1 to 100",
            );
        }
    }
    let (every, timeout) = (probe.every, probe.timeout);
    if every < Dur::from_millis(1) || every > Dur::from_secs(60) {
        problem(out, format!("{path}.probe.every"), format!("{every} is out of range"), "from 1ms to 1m");
    }
    if timeout < Dur::from_millis(1) || timeout > Dur::from_secs(60) {
        problem(out, format!("{path}.probe.timeout"), format!("{timeout} is out of range"), "from 1ms to 1m");
    }
    let rto = objectives::resolve(Some(&service.objectives), &s.objectives).rto;
    if let Some(rto) = rto
        && timeout >= rto
    {
        let hint = format!(
            "wait for at most {}: an answer that may take as long as the RTO never shows that it was missed",
            human(rto.us() / 2)
        );
        problem(
            out,
            format!("{path}.probe.timeout"),
            format!("a timeout of {timeout} is not shorter than the RTO of {rto}"),
            &hint,
        );
    }
    if let Some(rto) = rto
        && every.us().saturating_mul(20) > rto.us()
    {
        let hint = format!(
            "ask at least every {}: the measurement would be coarser than 5% of the RTO",
            human(rto.us() / 20)
        );
        problem(
            out,
            format!("{path}.probe.every"),
            format!("{every} is too rare for an RTO of {rto}"),
            &hint,
        );
    }
}

fn human(us: u64) -> Dur {
    Dur::from_millis((us / 1000).max(1))
}

/// A share that was written in percent.
fn percent(share: f64) -> String {
    // Rounded to what a person writes: 99.9 / 100 is not 0.999 in binary.
    let near = (share * 1e4).round() / 1e6;
    if share > 1.0 && share <= 100.0 { format!("did you mean `{near}`? ") } else { String::new() }
}

fn figures(path: &str, o: &Objectives, out: &mut Vec<Problem>) {
    if let Some(tier) = o.tier
        && objectives::tier(tier).is_none()
    {
        let hint = "1: RTO 1 min, RPO 0; 2: 5 min, 1 min; 3: 30 min, 5 min; 4: 24 h, 1 h";
        problem(out, format!("{path}.tier"), format!("there is no tier {tier}"), hint);
    }
    if let Some(q) = o.quality
        && !(q > 0.0 && q <= 1.0)
    {
        problem(
            out,
            format!("{path}.quality"),
            format!("{q} is not a share"),
            &format!("{}0 < quality <= 1; 0.98 is the usual one", percent(q)),
        );
    }
    if let Some(share) = o.availability
        && !(share > 0.0 && share <= 1.0)
    {
        let message = format!("{share} is not a share");
        let hint = format!("{}0 < availability <= 1, such as 0.999", percent(share));
        problem(out, format!("{path}.availability"), message, &hint);
    }
    if o.latency_p99 == Some(Dur::from_secs(0)) {
        let hint = "give the time within which 99% of answers must come";
        problem(out, format!("{path}.latency_p99"), "no answer takes no time", hint);
    }
    if o.rto == Some(Dur::from_secs(0)) {
        problem(
            out,
            format!("{path}.rto"),
            "no recovery takes no time",
            "give the time users may be without service",
        );
    }
    if let Some(s) = o.stable_for
        && (s < Dur::from_millis(100) || s > Dur::from_secs(3600))
    {
        problem(out, format!("{path}.stable_for"), format!("{s} is out of range"), "from 100ms to 1h");
    }
}
