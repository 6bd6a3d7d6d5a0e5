//! Faults that end each other, or themselves; copies that stay behind; and what is judged of them.

use std::io::Cursor;

use harness::{
    journal::EventKind,
    judge::Finding,
    report::Report,
    verdict::Verdict::{Fail, Pass, Unknown},
};

use super::{chained, events, journal, judged, must_not_pass, short};

const STACK: &str = r#"
name = "overlaps"
[stack]
regions = REGIONS
roles = ["object", "feature"]
pattern = "PATTERN"
[data]
features = { entities = 400 }
objects = { count = 50 }
[load]
object = "20/s"
feature = "50/s"
[[service]]
name = "reco"
uses = ["feature", "object"]
probe = { lookup = {}, get = {}, every = "100ms", timeout = "500ms" }
[objectives]
rto = "RTO"
rpo = "0s"
stable_for = "3s"
"#;

fn single(rto: &str, steps: &[&str]) -> Report {
    let text = STACK.replace("REGIONS", "[\"east\"]").replace("PATTERN", "single").replace("RTO", rto);
    played(text, steps)
}

fn two(pattern: &str, steps: &[&str]) -> Report {
    let text =
        STACK.replace("REGIONS", "[\"east\", \"west\"]").replace("PATTERN", pattern).replace("RTO", "30s");
    played(text, steps)
}

fn played(text: String, steps: &[&str]) -> Report {
    judged(&journal(&format!("{text}{}", steps.concat()), None))
}

fn fault(name: &str, at: &str, inject: &str) -> String {
    format!("[[fault]]\nname = \"{name}\"\n{at}\ninject = {{ {inject} }}\n")
}

#[track_caller]
fn finding<'a>(report: &'a Report, objective: &str, subject: &str) -> &'a Finding {
    let found = report.findings.iter().find(|f| f.objective == objective && f.subject == subject);
    found.unwrap_or_else(|| panic!("{:#?}", short(report)))
}

#[test]
fn a_restart_by_itself_is_no_fault_that_other_hands_lifted() {
    let restart = fault("again", "at = \"2s\"", "restart = { node = \"east/feature\" }");
    let report = single("30s", &[&restart]);
    assert_eq!(report.verdict, Pass, "{:#?}", short(&report));
}

#[test]
fn a_fault_that_takes_the_place_of_another_may_have_ended_it() {
    let cut = fault("first", "at = \"2s\"", "cut = { to = \"east/feature\" }");
    let slow = fault("second", "at = \"3s\"", "delay = { to = \"east/feature\", by = \"1ms\" }");
    let freeze = fault("first", "at = \"2s\"", "pause = { node = \"east/feature\" }");
    let restart = fault("second", "at = \"3s\"", "restart = { node = \"east/feature\" }");
    for steps in [[&cut, &slow], [&freeze, &restart]] {
        let report = single("5s", &steps.map(String::as_str));
        assert_eq!(finding(&report, "effect", "first").verdict, Unknown, "{:#?}", short(&report));
        must_not_pass(&report);
    }
}

#[test]
fn a_fault_of_another_kind_on_the_same_node_ends_nothing() {
    let cut =
        fault("first", "at = \"2s\"\nfor = \"4s\"", "cut = { to = \"east/feature\", mode = \"blackhole\" }");
    let stop = fault("second", "at = \"3s\"\nfor = \"4s\"", "stop = { node = \"east/feature\" }");
    let report = single("1m", &[&cut, &stop]);
    assert_eq!(report.verdict, Pass, "{:#?}", short(&report));
}

/// Users are sent to a copy that stopped following, and back again before anything is read back.
#[test]
fn users_who_were_sent_to_a_stale_copy_for_a_while_had_no_service() {
    let report = two(
        "hot-standby",
        &[
            &fault("stall", "at = \"2s\"", "stall = { node = \"west/feature\" }"),
            "[[recover]]\nname = \"away\"\nat = \"4s\"\nact = { route = { service = \"reco\", to = \"west\" } }\n",
            "[[recover]]\nname = \"back\"\nat = \"60s\"\nact = { route = { service = \"reco\", to = \"east\" } }\n",
        ],
    );
    must_not_pass(&report);
    assert_eq!(finding(&report, "rto", "reco").verdict, Fail, "{:#?}", short(&report));
    assert!(report.services[0].older > 0);
}

#[test]
fn a_region_behind_a_slow_link_has_to_converge_as_well() {
    let report = two(
        "active-active",
        &[
            &fault(
                "hiccup",
                "at = \"2s\"\nfor = \"4s\"",
                "delay = { to = \"east/feature\", by = \"600ms\" }",
            ),
            &fault("stall", "at = \"16s\"", "stall = { node = \"west/feature\" }"),
            &fault("slow", "at = \"16s\"", "delay = { to = \"west/feature\", by = \"1ms\" }"),
        ],
    );
    assert_eq!(finding(&report, "convergence", "feature").verdict, Fail, "{:#?}", short(&report));
}

#[test]
fn a_fault_that_hits_what_nobody_with_objectives_is_asked_about_proves_little() {
    let text = STACK.replace("REGIONS", "[\"east\"]").replace("PATTERN", "single");
    let text = text.replace("lookup = {}, ", "").replace("rto = \"RTO\"\nrpo = \"0s\"\n", "").replace(
        "[objectives]",
        "objectives = { rto = \"5s\" }\n[[service]]\nname = \"canary\"\nuses = [\"feature\"]\n\
         probe = { lookup = {}, every = \"100ms\", timeout = \"500ms\" }\n[objectives]",
    );
    let kill = fault("kill", "at = \"2s\"\nfor = \"50s\"", "kill = { node = \"east/feature\" }");
    let why = super::loaded(&format!("{text}{kill}")).plan.proves_little();
    assert!(why.iter().any(|w| w.contains("`kill` hits what no service with objectives")), "{why:?}");
}

/// The first fault moved to the second, so that the clock of every objective begins eight seconds later.
#[test]
fn a_fault_that_began_long_after_it_was_due_is_no_drills() {
    let text = STACK.replace("REGIONS", "[\"east\"]").replace("PATTERN", "single").replace("RTO", "8s");
    let slow = fault("slow", "at = \"2s\"", "delay = { to = \"east/feature\", by = \"1ms\" }");
    let kill = fault("kill", "at = \"10s\"\nfor = \"4s\"", "kill = { node = \"east/feature\" }");
    let all: Vec<(u64, EventKind)> = events(&journal(&format!("{text}{slow}{kill}"), None))
        .into_iter()
        .map(|e| (e.at_us, e.kind))
        .collect();
    assert_eq!(Report::read(Cursor::new(chained(all.clone()))).unwrap().verdict, Fail);
    let of = |kind: &EventKind, name: &str| match kind {
        EventKind::Intended(i) => i.step == name,
        EventKind::Acted(a) => a.step == name,
        _ => false,
    };
    let (moved, mut rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, k)| of(k, "slow"));
    let place = rest.iter().position(|(_, k)| of(k, "kill")).unwrap();
    let at_us = rest[place].0;
    let moved = moved.into_iter().map(|(_, mut kind)| {
        if let EventKind::Acted(a) = &mut kind {
            a.began_us = at_us;
        }
        (at_us, kind)
    });
    rest.splice(place..place, moved);
    let report = Report::read(Cursor::new(chained(rest))).unwrap();
    assert!(
        finding(&report, "conduct", "drill").why.contains("long after it was due"),
        "{:#?}",
        short(&report)
    );
}
