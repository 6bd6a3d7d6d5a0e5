//! `oscal-ar.json`: OSCAL assessment results, labelled as what they are, a self-assessment by a machine.
//!
//! Ids come from the run's name (version 5), so that the same journal always makes the same bytes. Only what a drill
//! measured is satisfied or not; what only people can do, and every rehearsal, stays not satisfied with its reason.

use harness::{ports::CountsAs, report::Report, verdict::Verdict};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::controls::{CONTROLS, HUMAN, state};

/// The version of OSCAL that is written.
pub const VERSION: &str = "1.2.1";

/// As JSON.
pub fn render(report: &Report) -> String {
    let seed = format!("{}\n{}\n{}", report.run, report.started, report.scenario_sha256);
    let id = |what: &str| {
        Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("gameday\n{seed}\n{what}").as_bytes()).to_string()
    };
    // The end of the year 9999: a journal may claim anything.
    let started_us = crate::evidence::unix_of(&report.started).unwrap_or(0).saturating_mul(1_000_000);
    let end_us = started_us.saturating_add(report.took_us).min(253_402_300_799_000_000);
    let end = std::time::UNIX_EPOCH + std::time::Duration::from_micros(end_us);
    let end = crate::evidence::stamp(end).expect("it lies between 1970 and 9999");
    let observations: Vec<Value> = report
        .findings
        .iter()
        .enumerate()
        .map(|(i, f)| {
            let lines: Vec<String> = f.evidence.iter().take(32).map(u64::to_string).collect();
            json!({
                "uuid": id(&format!("observation {i}")),
                "title": line(&format!("{} of {}: {}", f.objective, f.subject, f.verdict)),
                "description": line(&format!("required: {}; measured: {}; {}", f.required, f.measured, f.why)),
                "methods": ["TEST"],
                "collected": end,
                "relevant-evidence": [{
                    "href": "journal.jsonl",
                    "description": format!("events {}", if lines.is_empty() { "of the whole drill".into() } else { lines.join(", ") }),
                }],
            })
        })
        .collect();
    let mut findings: Vec<Value> = Vec::new();
    for control in CONTROLS {
        let Some(verdict) = state(control, &report.findings) else { continue };
        let related: Vec<Value> = report
            .findings
            .iter()
            .enumerate()
            .filter(|(_, f)| control.findings.contains(&f.objective.as_str()))
            .map(|(i, _)| json!({"observation-uuid": id(&format!("observation {i}"))}))
            .collect();
        let (satisfied, why) = worth(report, verdict);
        let beside: Vec<String> = control.beside.iter().map(|(s, c)| format!("{s} {c}")).collect();
        findings.push(json!({
            "uuid": id(&format!("finding {}", control.objective)),
            "title": control.asks,
            "description": format!("{why}. Beside it: {}.", beside.join(", ")),
            "target": target(control.objective, satisfied, why),
            "related-observations": related,
        }));
    }
    for (objective, _, needs) in HUMAN {
        let why = "only a person can satisfy it";
        findings.push(json!({
            "uuid": id(&format!("finding {objective}")),
            "title": needs,
            "description": format!("{why}; gameday never marks it."),
            "target": target(objective, false, why),
        }));
    }
    let mut controls: Vec<&str> =
        CONTROLS.iter().map(|c| c.control).chain(HUMAN.iter().map(|h| h.1)).collect();
    controls.sort_unstable();
    controls.dedup();
    let include: Vec<Value> = controls.iter().map(|c| json!({"control-id": c})).collect();
    let plan = id("scenario");
    let document = json!({"assessment-results": {
        "uuid": id("results"),
        "metadata": {
            "title": line(&format!("Self-assessment by drill: {}", report.title)),
            "last-modified": end,
            "version": "1",
            "oscal-version": VERSION,
            "remarks": crate::text::counts_as(report),
        },
        "import-ap": {"href": format!("#{plan}")},
        "results": [{
            "uuid": id("result"),
            "title": line(&report.scenario),
            "description": line(&crate::headline(report)),
            "start": report.started,
            "end": end,
            "reviewed-controls": {"control-selections": [{"include-controls": include}]},
            "observations": observations,
            "findings": findings,
        }],
        "back-matter": {"resources": [{
            "uuid": plan,
            "title": "the scenario that was declared before the drill",
            "rlinks": [{"href": "scenario.toml", "hashes": [{"algorithm": "SHA-256", "value": report.scenario_sha256}]}],
        }]},
    }});
    let mut text = serde_json::to_string_pretty(&document).expect("a document is plain data");
    text.push('\n');
    if report.findings.is_empty() {
        // The schema wants at least one of each list that is there.
        return text.replace("        \"observations\": [],\n", "");
    }
    text
}

fn target(objective: &str, satisfied: bool, why: &str) -> Value {
    let state = if satisfied { "satisfied" } else { "not-satisfied" };
    // OSCAL knows pass, fail and other as reasons; what nobody proved is neither a pass nor a fail.
    let reason = if satisfied {
        "pass"
    } else if why.starts_with("an objective was missed") {
        "fail"
    } else {
        "other"
    };
    json!({"type": "objective-id", "target-id": objective, "status": {"state": state, "reason": reason, "remarks": why}})
}

fn worth(report: &Report, verdict: Verdict) -> (bool, &'static str) {
    match (verdict, report.counts_as, &report.flaw) {
        (Verdict::Fail, _, _) => (false, "an objective was missed"),
        (Verdict::Unknown, _, _) => (false, "nothing was proved"),
        (Verdict::Pass, _, Some(_)) => {
            (false, "measured with a planted flaw, which tests gameday and not a stack")
        }
        (Verdict::Pass, CountsAs::Rehearsal, None) => {
            (false, "measured in a rehearsal, which is never evidence of a production stack")
        }
        (Verdict::Pass, CountsAs::Disposable | CountsAs::Staging, None) => (
            false,
            "measured on a stack that is not production: whether that is enough is for a policy to say",
        ),
        (Verdict::Pass, CountsAs::Production, None) => (true, "measured, and within what was required"),
    }
}

/// OSCAL's strings have no line breaks, do not begin or end with a space, and are not empty.
fn line(text: &str) -> String {
    let text = crate::clean(text).trim().to_owned();
    if text.is_empty() { "-".into() } else { text }
}
