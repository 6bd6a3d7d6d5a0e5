//! Worlds, journals and scenarios made by an adversary who wants a pass that is not deserved, a hang, or a crash.
//!
//! A lying world wraps the simulated one and tells one lie. A forged journal is a real one with events changed, and
//! chained anew: the chain proves order, not honesty.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "adversary/bounds.rs"]
mod bounds;
#[path = "sim/scenarios.rs"]
#[expect(dead_code, reason = "only some of its drills are forged")]
mod drills;
#[path = "adversary/forged.rs"]
mod forged;
#[path = "adversary/forgery.rs"]
mod forgery;
#[path = "adversary/hands.rs"]
mod hands;
#[path = "adversary/inventory.rs"]
mod inventory;
#[path = "adversary/liar.rs"]
mod liar;
#[path = "adversary/lies.rs"]
mod lies;
#[path = "adversary/overlaps.rs"]
mod overlaps;
#[path = "adversary/scenarios.rs"]
mod scenarios;
#[path = "adversary/weight.rs"]
mod weight;

use std::io::Cursor;

use harness::{
    diagnose::{Loaded, load},
    journal::{Event, EventKind, Reader, digest},
    report::Report,
    sim::{Flaw, began, rehearse},
    verdict::Verdict,
};

/// A vector store that is killed, detected and restarted.
const KILL: &str = r#"
name = "kill"
[stack]
regions = ["east"]
roles = ["vector"]
[data]
vectors = { count = 400, dim = 4, queries = 200 }
[load]
vector = "40/s"
[[service]]
name = "rag"
uses = ["vector"]
probe = { search = {}, every = "50ms", timeout = "300ms" }
[[fault]]
at = "1s"
inject = { kill = { node = "east/vector" } }
[[recover]]
name = "restart"
when = "detected"
act = { restart = { node = "east/vector" } }
[objectives]
rto = "4s"
rpo = "0s"
stable_for = "500ms"
"#;

fn loaded(text: &str) -> Loaded {
    load(text.as_bytes(), &[]).unwrap_or_else(|d| panic!("{d:#?}"))
}

fn journal(text: &str, flaw: Option<Flaw>) -> Vec<u8> {
    let loaded = loaded(text);
    rehearse(&loaded, began(&loaded.scenario, String::new(), Vec::new()), flaw, None)
}

fn judged(journal: &[u8]) -> Report {
    Report::read(Cursor::new(journal)).expect("the journal can be read")
}

fn events(journal: &[u8]) -> Vec<Event> {
    Reader::new(Cursor::new(journal)).collect::<Result<_, _>>().expect("the journal can be read")
}

/// Numbers and chains events as if a drill had written them.
fn chained(kinds: impl IntoIterator<Item = (u64, EventKind)>) -> Vec<u8> {
    let (mut out, mut prev) = (Vec::new(), String::new());
    for (seq, (at_us, kind)) in kinds.into_iter().enumerate() {
        let line = serde_json::to_vec(&Event { seq: seq as u64, at_us, prev, kind }).unwrap();
        prev = digest(&line);
        out.extend(line);
        out.push(b'\n');
    }
    out
}

fn short(report: &Report) -> Vec<String> {
    let line = |f: &harness::judge::Finding| {
        format!("{} {} {}: {} ({})", f.verdict, f.objective, f.subject, f.why, f.measured)
    };
    report.findings.iter().map(line).collect()
}

#[track_caller]
fn must_not_pass(report: &Report) {
    assert_ne!(report.verdict, Verdict::Pass, "{:#?}", short(report));
}

#[test]
fn the_honest_drill_passes() {
    let report = judged(&journal(KILL, None));
    assert_eq!(report.verdict, Verdict::Pass, "{:#?}", short(&report));
}
