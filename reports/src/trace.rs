//! `trace.otlp.jsonl`: the drill as a trace, one line of OTLP JSON, for a collector's file receiver.
//!
//! The drill is the root; each phase is a span below it, each fault and recovery step one below the phase in which it
//! happened; what services went through are events of the root. Ids come from the run's name, so that the same journal
//! always makes the same bytes.

use harness::{
    journal::digest,
    report::{Moment, MomentKind, Report},
    verdict::Verdict,
};
use serde_json::{Value, json};

/// As one line of OTLP JSON.
pub fn render(report: &Report) -> String {
    let start_us = crate::evidence::unix_of(&report.started).unwrap_or(0).saturating_mul(1_000_000);
    let nanos = |at_us: u64| (start_us.saturating_add(at_us)).saturating_mul(1000).to_string();
    let seed = format!("{}\n{}\n{}", report.run, report.started, report.scenario_sha256);
    let trace = digest(format!("trace\n{seed}").as_bytes())[..32].to_owned();
    let id = |what: &str, n: usize| digest(format!("{what}\n{n}\n{seed}").as_bytes())[..16].to_owned();
    let root = id("root", 0);
    let span = |id: &str, parent: &str, name: &str, from: u64, to: u64, attributes: Vec<Value>| {
        json!({
            "traceId": trace, "spanId": id, "parentSpanId": parent, "name": name, "kind": 1,
            "startTimeUnixNano": nanos(from), "endTimeUnixNano": nanos(to.max(from)), "attributes": attributes,
        })
    };
    let is_step = |m: &&Moment| matches!(m.kind, MomentKind::Fault | MomentKind::Recovery | MomentKind::Undo);
    let phases: Vec<&Moment> = report.timeline.iter().filter(|m| m.kind == MomentKind::Phase).collect();
    let mut spans = Vec::new();
    let events: Vec<Value> = report
        .timeline
        .iter()
        .filter(|m| matches!(m.kind, MomentKind::Impact | MomentKind::Detected | MomentKind::Recovered))
        .map(|m| json!({"timeUnixNano": nanos(m.at_us), "name": m.what, "attributes": [text("gameday.seen", &m.seen)]}))
        .collect();
    let mut whole = span(
        &root,
        "",
        &format!("drill {}", report.scenario),
        0,
        report.took_us,
        vec![
            text("gameday.scenario", &report.scenario),
            text("gameday.run", &report.run),
            text("gameday.world", &report.world.to_string()),
            text("gameday.counts_as", crate::text::counts_as(report)),
            text("gameday.verdict", &report.verdict.to_string()),
            text("cicd.pipeline.result", if report.verdict == Verdict::Pass { "success" } else { "failure" }),
        ],
    );
    whole["events"] = Value::Array(events);
    // 1 is OK, 2 an error; what is unknown is not OK.
    let code = if report.verdict == Verdict::Pass { 1 } else { 2 };
    whole["status"] = json!({"code": code, "message": crate::headline(report)});
    spans.push(whole);
    for (i, phase) in phases.iter().enumerate() {
        let end = phases.get(i + 1).map_or(report.took_us, |next| next.at_us);
        spans.push(span(
            &id("phase", i),
            &root,
            &format!("phase {}", phase.what),
            phase.at_us,
            end,
            Vec::new(),
        ));
    }
    for (i, step) in report.timeline.iter().filter(is_step).enumerate() {
        let within = phases.iter().rposition(|p| p.at_us <= step.at_us);
        let parent = within.map_or(root.clone(), |p| id("phase", p));
        let attributes = vec![
            text("gameday.kind", &format!("{:?}", step.kind).to_lowercase()),
            text("gameday.seen", &step.seen),
        ];
        spans.push(span(&id("step", i), &parent, &step.what, step.at_us, step.at_us, attributes));
    }
    let line = json!({"resourceSpans": [{
        "resource": {"attributes": [text("service.name", "gameday"), text("service.version", &report.gameday)]},
        "scopeSpans": [{"scope": {"name": "gameday", "version": report.gameday}, "spans": spans}],
    }]});
    format!("{line}\n")
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
