//! Simulated drills: a healthy world of every pattern passes, and each flaw causes its own finding and no other failure.

#[path = "sim/flaws.rs"]
mod flaws;
#[path = "sim/patterns.rs"]
mod patterns;
#[path = "sim/scenarios.rs"]
mod scenarios;

use std::io::Cursor;

use harness::{
    diagnose::{Loaded, load},
    facts::Facts,
    journal::Reader,
    report::Report,
    sim::{Flaw, began, rehearse},
    verdict::Verdict::{self, Fail, Pass, Unknown},
};

const INDEX: &str = include_str!("../../scenarios/vector_index_corruption.toml");

/// The log rots, the node restarts, and only a backup helps.
fn log_rot() -> String {
    INDEX.replace("what = \"index\"", "what = \"segment\"").replace(
        "rebuild = { node = \"east/vector\", engine = \"auto\" }",
        "restore = { node = \"east/vector\" }",
    )
}

fn loaded(text: &str, seed: u64) -> Loaded {
    load(text.as_bytes(), &[("seed".into(), seed.to_string())]).expect("the scenario is valid")
}

fn journal(text: &str, seed: u64, flaw: Option<Flaw>) -> Vec<u8> {
    let loaded = loaded(text, seed);
    rehearse(&loaded, began(&loaded.scenario, String::new(), Vec::new()), flaw, None)
}

fn report(text: &str, seed: u64, flaw: Option<Flaw>) -> Report {
    Report::read(Cursor::new(journal(text, seed, flaw))).expect("the journal can be read")
}

fn verdicts(report: &Report, verdict: Verdict) -> Vec<String> {
    let of = report.findings.iter().filter(|f| f.verdict == verdict);
    of.map(|f| format!("{} {}", f.objective, f.subject)).collect()
}

#[test]
fn a_healthy_world_passes() {
    let report = report(INDEX, 42, None);
    assert_eq!(verdicts(&report, Fail), Vec::<String>::new(), "{report:#?}");
    assert_eq!(verdicts(&report, Unknown), Vec::<String>::new(), "{report:#?}");
    assert_eq!(report.verdict, Pass);
    assert!(report.services[0].rto_us.unwrap() > 0 && report.services[1].absorbed);
}

#[test]
fn a_healthy_world_passes_with_200_of_200_seeds() {
    let short = INDEX.replace("stable_for = \"5s\"", "stable_for = \"1s\"");
    for seed in 0..200 {
        let report = report(&short, seed, None);
        assert_eq!(report.verdict, Pass, "seed {seed}: {:#?}", report.findings);
    }
}

#[test]
fn equal_seeds_give_byte_identical_journals() {
    assert_eq!(journal(INDEX, 7, None), journal(INDEX, 7, None));
    assert_ne!(journal(INDEX, 7, None), journal(INDEX, 8, None));
}

#[test]
fn every_shipped_drill_passes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let mut played = 0;
    for file in std::fs::read_dir(folder).expect("the folder is there").flatten() {
        if file.path().extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(file.path()).expect("scenarios can be read");
        let own = load(text.as_bytes(), &[]).expect("shipped drills are valid").scenario.seed;
        for seed in [own, 1, 42] {
            let report = report(&text, seed, None);
            assert_eq!(report.verdict, Pass, "{:?}, seed {seed}: {:#?}", file.file_name(), report.findings);
        }
        played += 1;
    }
    assert!(played >= 7, "only {played} drills were found");
}

/// Every scenario file of the project, those that must fail among them, with no flaw and with one or two.
#[test]
fn no_honest_drill_breaks_the_grammar_of_journals() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let mut played = 0;
    for folder in ["", "/negative", "/docker", "/docker/negative"].map(|below| format!("{folder}{below}")) {
        for file in std::fs::read_dir(&folder).expect("the folder is there").flatten() {
            if file.path().extension().is_none_or(|e| e != "toml") {
                continue;
            }
            let text = std::fs::read_to_string(file.path()).expect("scenarios can be read");
            for turn in 0..3 {
                let flaw = (turn > 0).then(|| Flaw::ALL[(played + turn) % Flaw::ALL.len()]);
                let journal = journal(&text, turn as u64, flaw);
                let facts = Facts::of(Reader::new(Cursor::new(journal))).expect("the journal can be read");
                assert_eq!(facts.odd, None, "{:?}, {flaw:?}", file.path());
                played += 1;
            }
        }
    }
    assert!(played >= 80, "only {played} drills were played");
}

/// What rots unnoticed is noticed when files are read again, and what is bad before a step has ended is no detection
/// for those that wait for it.
#[test]
fn a_latent_fault_shows_at_a_reload() {
    let latent = INDEX
        .replace("after = \"bit-rot\"", "at = \"6s\"")
        .replace("restart = { node", "reload = { node")
        .replace("when = \"detected\"", "when = \"detected\"\nafter = \"restart\"");
    let found = report(&latent, 42, None);
    assert_eq!(found.verdict, Pass, "{found:#?}");
    let rag = &found.services[0];
    assert!(rag.rto_us.unwrap() > 3_000_000, "it counts from the rot: {rag:?}");
    let never = latent.replace("after = \"restart\"", "after = \"bit-rotten\"");
    assert!(load(never.as_bytes(), &[]).is_err(), "the step that is waited for has to exist");
}
