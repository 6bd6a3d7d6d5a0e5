//! A plan for programs.

use harness::plan::{Cue, Needs, Plan, ServicePlan, Trigger};
use serde_json::{Value, json};

/// One plan.
pub(super) fn of(plan: &Plan) -> Value {
    let nodes: Vec<String> = plan.topology.nodes.iter().map(ToString::to_string).collect();
    json!({
        "scenario": plan.scenario.name,
        "title": plan.scenario.title,
        "seed": plan.scenario.seed,
        "worlds": plan.scenario.worlds,
        "nodes": nodes,
        "load": plan.scenario.load,
        "services": plan.services.iter().map(service).collect::<Vec<_>>(),
        "timetable": plan.cues.iter().map(cue).collect::<Vec<_>>(),
        "storm_at_most": plan.storm_limit(),
        "needs": needs(&plan.needs()),
    })
}

fn needs(n: &Needs) -> Value {
    json!({ "open_files": n.descriptors, "ports": n.ports, "disk_bytes": n.disk_bytes })
}

fn service(s: &ServicePlan) -> Value {
    json!({
        "service": s.name,
        "priority": s.priority,
        "uses": s.uses,
        "probe": s.probe,
        "rto": s.objectives.rto,
        "rpo": s.objectives.rpo,
        "quality": s.objectives.quality,
        "stable_for": s.objectives.stable_for,
        "rto_ends": s.objectives.rto_ends,
    })
}

fn cue(cue: &Cue) -> Value {
    let due = match &cue.trigger {
        Trigger::At(at) => json!({ "at": at }),
        Trigger::Detected(roles) => match &cue.gate {
            None => json!({ "when": "detected", "uses": roles }),
            Some(gate) => json!({ "when": "detected", "uses": roles, "after": gate }),
        },
        Trigger::After(step) => json!({ "after": step }),
    };
    let targets: Vec<String> = harness::journal::touched(&cue.acts).iter().map(ToString::to_string).collect();
    json!({
        "step": cue.name,
        "kind": cue.kind,
        "due": due,
        "priority": cue.priority,
        "targets": targets,
        "acts": cue.acts,
        "undo": cue.undo,
        "for": cue.hold,
        "limit": cue.limit,
    })
}
