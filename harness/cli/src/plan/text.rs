//! A plan as people read it.

use std::fmt::Write as _;

use harness::{
    act::Act,
    plan::{Cue, Needs, Plan, ServicePlan, StepKind, Trigger},
    topology::Role,
};

use crate::machine::human_bytes;

/// One plan.
pub(super) fn of(plan: &Plan) -> String {
    let s = &plan.scenario;
    let mut out = format!("{}\n", s.name);
    let mut put = |line: String| {
        out.push_str(&line);
        out.push('\n');
    };
    if let Some(title) = &s.title {
        put(format!("  {title}"));
    }
    let worlds: Vec<String> = s.worlds.iter().map(ToString::to_string).collect();
    let worlds = if worlds.is_empty() { "any".into() } else { worlds.join(", ") };
    put(format!("  seed {}, priority {}, worlds: {worlds}", s.seed, s.priority));
    put("\nNODES".into());
    for node in &plan.topology.nodes {
        put(format!("  {:<16} {}", node.to_string(), holds(plan, node.role)));
    }
    put("\nSERVICES".into());
    for service in &plan.services {
        put(self::service(service));
    }
    put(format!("\nTIMETABLE (from the start of the storm, which lasts at most {})", plan.storm_limit()));
    for cue in in_order(&plan.cues) {
        put(step(cue));
    }
    put(format!("\nNEEDS (worlds local and docker, at most)\n  {}", needs(plan)));
    put("\nNothing was touched.".into());
    out
}

fn needs(plan: &Plan) -> String {
    let Needs { descriptors, ports, disk_bytes } = plan.needs();
    format!("{descriptors} open files, {ports} ports of 127.0.0.1, {} of disk", human_bytes(disk_bytes))
}

fn holds(plan: &Plan, role: Role) -> String {
    let s = &plan.scenario;
    let mut said = match role {
        Role::Vector => {
            let v = &s.data.vectors;
            vec![format!("{} vectors of {} dimensions, index {}", v.count, v.dim, v.index)]
        }
        Role::Object => vec![format!("{} objects of {} bytes", s.data.objects.count, s.data.objects.size)],
        Role::Feature | Role::Gpu => Vec::new(),
    };
    said.push(s.load.of(role).map_or("no writes".into(), |rate| format!("{rate} writes")));
    if s.backup.full.contains(&role) {
        said.push("backed up in full before the storm".into());
    }
    said.join("; ")
}

fn service(s: &ServicePlan) -> String {
    let uses: Vec<&str> = s.uses.iter().map(|r| r.word()).collect();
    let p = &s.probe;
    let search =
        p.search.as_ref().map(|q| format!("search for {} neighbours, recall at least {}", q.k, q.min_recall));
    let get = p.get.as_ref().map(|_| "fetch an object".to_owned());
    let lookup = p.lookup.as_ref().map(|_| "look up an entity".to_owned());
    let infer = p.infer.as_ref().map(|_| "ask for an inference".to_owned());
    let asks: Vec<String> = [search, lookup, infer, get].into_iter().flatten().collect();
    let o = &s.objectives;
    let limits = [
        o.rto.map(|d| format!("RTO {d}")),
        o.rpo.map(|d| format!("RPO {d}")),
        o.quality.map(|q| format!("quality {q}")),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    format!(
        "  {} ({}), uses {}\n      probe   {}; every {}, bad after {}\n      must    {}, good again once stable for {}",
        s.name,
        s.priority,
        uses.join(", "),
        asks.join(", then "),
        p.every,
        p.timeout,
        if limits.is_empty() { "nothing of its own".into() } else { limits.join(", ") },
        o.stable_for
    )
}

/// Fixed times first, in their order; then what waits for something.
fn in_order(cues: &[Cue]) -> Vec<&Cue> {
    let mut cues: Vec<&Cue> = cues.iter().collect();
    cues.sort_by_key(|c| match c.trigger {
        Trigger::At(at) => (0, at),
        _ => (1, harness::time::Dur::default()),
    });
    cues
}

fn step(cue: &Cue) -> String {
    let due = match &cue.trigger {
        Trigger::At(at) => format!("at {at}"),
        Trigger::Detected(roles) => {
            let roles: Vec<&str> = roles.iter().map(|r| r.word()).collect();
            format!("when a service that uses {} is detected as down", roles.join(" or "))
        }
        Trigger::After(step) => format!("after {step}"),
    };
    let gate = cue.gate.as_ref().map(|gate| format!(", once {gate} has ended")).unwrap_or_default();
    let due = due + &gate;
    let kind = match cue.kind {
        StepKind::Setup => "setup",
        StepKind::Fault => "FAULT",
        StepKind::Recovery => "recovery",
    };
    let mut out = format!("  {kind:<9} {}: {due}", cue.name);
    // Each act on a line of its own: a failover has many.
    let list = |acts: &[Act]| {
        acts.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n                  then ")
    };
    let does =
        if cue.acts.is_empty() { "nothing: the system must heal itself".into() } else { list(&cue.acts) };
    let _ = write!(out, "\n            do    {does}");
    if !cue.undo.is_empty() {
        let _ = write!(out, "\n            undo  {}", list(&cue.undo));
    }
    if let Some(hold) = cue.hold {
        let _ = write!(out, "\n            lifted after {hold}");
    }
    if cue.kind == StepKind::Recovery {
        let _ = write!(out, "\n            given up after {}; priority {}", cue.limit, cue.priority);
    }
    out
}
