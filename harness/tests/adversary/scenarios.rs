//! Scenarios that are accepted and ask for an undeserved verdict.

use harness::{diagnose::load, journal::EventKind, scenario::WorldName, sim::Flaw, verdict::Verdict};

use super::{KILL, events, journal, judged, must_not_pass, short};

const INDEX: &str = include_str!("../../../scenarios/vector_index_corruption.toml");

/// Refused when loaded, or else not passed.
#[track_caller]
fn refused_or_not_passed(text: &str, flaw: Option<Flaw>) {
    if load(text.as_bytes(), &[]).is_ok() {
        must_not_pass(&judged(&journal(text, flaw)));
    }
}

#[test]
fn a_flapping_service_does_not_pass_with_a_short_window() {
    refused_or_not_passed(&KILL.replace("\"500ms\"", "\"200ms\""), Some(Flaw::Flaps));
}

/// The index is lost, no search works, nothing repairs it; but the only probes fetch objects.
#[test]
fn a_fault_on_a_node_that_no_probe_asks_is_not_absorbed() {
    let text = INDEX
        .replace("search = { k = 10, min_recall = 0.90 }, get = {}", "get = {}")
        .replace("quality = 0.98", "");
    refused_or_not_passed(&text, None);
}

/// The undo of one fault mends another: service comes back although nothing recovers it.
#[test]
fn lifting_one_fault_does_not_heal_another() {
    let text = KILL
        .replace("inject = { kill = { node = \"east/vector\" } }", "inject = { cut = { to = \"east/vector\" } }\n[[fault]]\nat = \"2s\"\nfor = \"100ms\"\ninject = { delay = { to = \"east/vector\", by = \"1ms\" } }")
        .replace("restart = { node = \"east/vector\" }", "none = {}");
    refused_or_not_passed(&text, None);
}

#[test]
fn a_fault_of_no_size_or_no_length_is_not_absorbed() {
    let with = |fault: &str| KILL.replace("inject = { kill = { node = \"east/vector\" } }", fault);
    refused_or_not_passed(&with("inject = { delay = { to = \"east/vector\", by = \"0s\" } }"), None);
    refused_or_not_passed(&with("for = \"0s\"\ninject = { cut = { to = \"east/vector\" } }"), None);
    // Shorter than the time between two probes: nobody looked.
    let text = with("for = \"1ms\"\ninject = { cut = { to = \"east/vector\" } }")
        .replace("at = \"1s\"", "at = \"1010ms\"");
    refused_or_not_passed(&text, None);
}

/// The runbook's step fails in front of everybody.
#[test]
fn a_recovery_step_that_failed_is_no_pass() {
    let text = KILL.replace(
        "[objectives]",
        "[[recover]]\nname = \"rebuild\"\nat = \"1010ms\"\nlimit = \"100ms\"\nact = { rebuild = { node = \"east/vector\" } }\n[objectives]",
    );
    let journal = journal(&text, None);
    let failed = |e: &harness::journal::Event| matches!(&e.kind, EventKind::Acted(a) if a.step == "rebuild" && !a.outcome.observed());
    assert!(events(&journal).iter().any(failed), "the step was to fail");
    must_not_pass(&judged(&journal));
}

/// A step for the second fault must not be spent on the first: it would repair what is not yet broken.
#[test]
fn a_step_that_waits_for_detection_is_not_fired_by_an_outage_that_was_over() {
    let text = r#"
name = "two"
[stack]
regions = ["east"]
roles = ["vector", "object"]
[data]
vectors = { count = 400, dim = 4, queries = 200 }
objects = { count = 20, size = 64 }
[load]
vector = "40/s"
object = "10/s"
[[service]]
name = "rag"
uses = ["vector", "object"]
probe = { search = {}, get = {}, every = "50ms", timeout = "300ms" }
[[fault]]
at = "1s"
inject = { kill = { node = "east/vector" } }
[[fault]]
at = "6s"
inject = { kill = { node = "east/object" } }
[[recover]]
when = "detected"
act = { restart = { node = "east/vector" } }
[[recover]]
when = "detected"
act = { restart = { node = "east/object" } }
[objectives]
rto = "20s"
rpo = "0s"
stable_for = "500ms"
"#;
    let report = judged(&journal(text, None));
    assert_eq!(report.verdict, Verdict::Pass, "{:#?}", short(&report));
}

/// A store that hangs after recovery must not hold the harness for hours.
#[test]
fn asking_the_frozen_queries_of_a_hung_store_ends() {
    let text = KILL.replace("queries = 200", "queries = 20_000").replace("count = 400", "count = 100");
    let events = events(&journal(&text, Some(Flaw::HangingSearch)));
    let hours = events.last().unwrap().at_us as f64 / 3.6e9;
    assert!(hours < 0.5, "{hours:.2} hours for a drill with an RTO of 4 s");
}

/// What one drill may ask for must fit what a reader accepts.
#[test]
fn every_accepted_scenario_leaves_a_readable_journal() {
    let text = KILL.replace("queries = 200", "queries = 40_000, k = 100");
    if load(text.as_bytes(), &[]).is_ok() {
        let read = harness::report::Report::read(std::io::Cursor::new(journal(&text, None)));
        assert!(read.is_ok(), "{:?}", read.err());
    }
}

/// A frozen store acts on what it was sent once it wakes: records of unknown outcome, many of them near any query. They are
/// left aside, and what they crowd out of an answer is not lost.
#[test]
fn writes_of_unknown_outcome_take_no_quality_away() {
    let recover = "[[recover]]\nname = \"restart\"\nwhen = \"detected\"\nact = { restart = { node = \"east/vector\" } }\n";
    let text = KILL
        .replace("inject = { kill", "for = \"15s\"\ninject = { pause")
        .replace(recover, "")
        .replace("rto = \"4s\"", "rto = \"40s\"\nquality = 0.98")
        .replace("count = 400", "count = 200")
        .replace("vector = \"40/s\"", "vector = \"200/s\"");
    let report = judged(&journal(&text, None));
    let store = report.ledger.iter().find(|s| s.writes_unknown > 0).expect("writes of unknown outcome");
    assert!(store.recovered > 2000, "{store:?}");
    assert_eq!(report.verdict, Verdict::Pass, "{:#?}", short(&report));
}

/// Whatever is tightened, the drills that come with gameday pass in a healthy world.
#[test]
fn every_shipped_scenario_passes_in_a_healthy_world() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let files = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
    let files: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == "toml")).collect();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let worlds = load(text.as_bytes(), &[]).unwrap().scenario.worlds;
        if !worlds.is_empty() && !worlds.contains(&WorldName::Sim) {
            continue;
        }
        let report = judged(&journal(&text, None));
        assert_eq!(report.verdict, Verdict::Pass, "{}: {:#?}", file.display(), short(&report));
    }
}

const COMPROMISE: &str = include_str!("../../../scenarios/feature_store_compromise.toml");
const SEGMENT: &str = include_str!("../../../scenarios/vector_segment_corruption.toml");

#[test]
fn a_models_version_that_no_backup_fits_brings_nothing_back() {
    let text = COMPROMISE.replace("model = 1", "model = 2");
    assert_ne!(text, COMPROMISE, "the drill restores to a version");
    let judged = judged(&journal(&text, None));
    must_not_pass(&judged);
    assert_eq!(judged.verdict, Verdict::Fail, "the poison is still there");
}

#[test]
fn only_features_go_back_to_a_models_version() {
    let text = SEGMENT
        .replace("restore = { node = \"east/vector\"", "restore = { node = \"east/vector\", model = 1");
    assert_ne!(text, SEGMENT, "the drill restores");
    let refused = load(text.as_bytes(), &[]).expect_err("a vector store has no models' versions");
    assert!(format!("{refused:?}").contains("no models' versions"), "{refused:?}");
}
