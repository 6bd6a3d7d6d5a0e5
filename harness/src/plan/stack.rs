//! Mistakes of the stack: regions and pattern, roles, load and backups that do not fit together.

use std::collections::BTreeSet;

use super::check::{plain, plain_hint, problem};
use crate::{
    corpus::MODELS,
    diagnose::Problem,
    scenario::{Pattern, Scenario, Service, WorldName},
    time::Dur,
    topology::Role,
};

/// The most workers of one region.
const WORKERS_MAX: u16 = 16;

pub(super) fn check(s: &Scenario, out: &mut Vec<Problem>) {
    regions(s, out);
    roles(s, out);
    load(s, out);
    backups(s, out);
    for (i, service) in s.service.iter().enumerate() {
        asked(i, service, out);
    }
}

fn regions(s: &Scenario, out: &mut Vec<Problem>) {
    let (pattern, count) = (s.stack.pattern, s.stack.regions.len());
    let wanted = if pattern == Pattern::Single { 1 } else { 2 };
    if count != wanted {
        let message = format!("the pattern `{pattern}` has {wanted} region(s), not {count}");
        let hint = match pattern {
            Pattern::Single => "give one region: the pattern `single` protects it by backup and restore",
            _ => "give two regions, the primary first",
        };
        problem(out, "stack.regions", message, hint);
    }
    let mut seen = BTreeSet::new();
    for (i, region) in s.stack.regions.iter().enumerate() {
        if !plain(region) {
            let message = format!("`{region}` is not a plain name");
            problem(out, format!("stack.regions.{i}"), message, &plain_hint(region));
        } else if !seen.insert(region) {
            let message = format!("two regions are named `{region}`");
            problem(out, format!("stack.regions.{i}"), message, "give each region a name of its own");
        }
    }
    if s.stack.replication.is_some() && pattern != Pattern::HotStandby {
        let message = format!("the pattern `{pattern}` does not leave this open");
        let hint = "remove `replication`, or use the pattern `hot-standby`";
        problem(out, "stack.replication", message, hint);
    }
}

fn roles(s: &Scenario, out: &mut Vec<Problem>) {
    let has = |role| s.stack.roles.contains(&role);
    if s.stack.roles.is_empty() {
        let hint = "name at least one of `vector`, `object`, `feature`, `gpu`";
        problem(out, "stack.roles", "the stack is empty", hint);
    }
    let mut seen = BTreeSet::new();
    for (i, role) in s.stack.roles.iter().enumerate() {
        if !seen.insert(*role) {
            let message = format!("`{role}` is named twice");
            problem(out, format!("stack.roles.{i}"), message, "name each role once");
        }
    }
    for role in [Role::Feature, Role::Gpu] {
        if has(role) && !has(Role::Object) {
            let why = if role == Role::Gpu { "checkpoints" } else { "models and backups" };
            let message = format!("`{role}` nodes keep their {why} in the object store");
            problem(out, "stack.roles", message, "add the role `object`");
        }
    }
    if has(Role::Feature) && s.data.objects.count <= MODELS {
        let message = format!("the first {MODELS} objects are the models of the registry");
        problem(out, "data.objects.count", message, "store more objects than models");
    }
    if has(Role::Gpu) && !(1..=WORKERS_MAX).contains(&s.stack.workers) {
        let hint = format!("from 1 to {WORKERS_MAX}");
        problem(out, "stack.workers", format!("{} is out of range", s.stack.workers), &hint);
    }
}

fn load(s: &Scenario, out: &mut Vec<Problem>) {
    for role in Role::ALL {
        if s.load.of(role).is_some() && !s.stack.roles.contains(&role) {
            let message = format!("load for `{role}`, which is not in the stack");
            let hint = "add the role to `stack.roles`, or remove the rate";
            problem(out, format!("load.{role}"), message, hint);
        }
    }
}

fn backups(s: &Scenario, out: &mut Vec<Problem>) {
    let lists = [("full", &s.backup.full), ("incremental", &s.backup.incremental)];
    for (list, roles) in lists {
        for (i, role) in roles.iter().enumerate() {
            let path = format!("backup.{list}.{i}");
            if !matches!(role, Role::Vector | Role::Feature) {
                let hint = "roles with backups: vector, feature";
                problem(out, path, format!("`{role}` is not backed up"), hint);
            } else if !(s.stack.roles.contains(role) && s.stack.roles.contains(&Role::Object)) {
                let hint = format!("backups of `{role}` go to the object store: the stack needs both roles");
                problem(out, path, format!("nothing to back `{role}` up to"), &hint);
            } else if list == "incremental" && *role == Role::Feature && s.worlds != [WorldName::Docker] {
                let hint = "add `worlds = [\"docker\"]` to the scenario: there its log is shipped";
                problem(out, path, format!("`{role}` has full backups only, but in world `docker`"), hint);
            } else if list == "incremental" && !s.backup.full.contains(role) {
                let hint = format!("add `{role}` to `backup.full`");
                problem(out, path, "an incremental backup needs a full one before it", &hint);
            }
        }
    }
    if s.backup.every.is_some_and(|e| e < Dur::from_millis(500)) {
        problem(out, "backup.every", "too often for a backup to end", "at least 500ms");
    }
    if matches!(s.stack.pattern, Pattern::WarmStandby | Pattern::ColdStandby) {
        for role in [Role::Vector, Role::Feature] {
            if s.stack.roles.contains(&role) && !s.backup.full.contains(&role) {
                let message = format!("a standby of the pattern `{}` comes from backups", s.stack.pattern);
                problem(out, "backup.full", message, &format!("add `{role}` to `backup.full`"));
            }
        }
    }
}

/// A probe asks only what its service uses.
fn asked(i: usize, service: &Service, out: &mut Vec<Problem>) {
    let path = format!("service.{i}");
    if !Role::ALL.into_iter().any(|role| service.probe.asks(role)) {
        let hint = "give it `search = {}`, `get = {}`, `lookup = {}` or `infer = {}`";
        problem(out, format!("{path}.probe"), "the probe asks nothing", hint);
    }
    if service.probe.lookup.as_ref().is_some_and(|l| !(1..=256).contains(&l.batch)) {
        problem(
            out,
            format!("{path}.probe.lookup.batch"),
            "out of range",
            "from 1 to 256 entities a request",
        );
    }
    let words =
        [(Role::Vector, "search"), (Role::Object, "get"), (Role::Feature, "lookup"), (Role::Gpu, "infer")];
    for (role, word) in words {
        if service.probe.asks(role) && !service.uses.contains(&role) {
            let message = format!("the probe asks `{role}`, which the service does not use");
            problem(out, format!("{path}.probe.{word}"), message, "add the role to `uses`");
        }
    }
}
