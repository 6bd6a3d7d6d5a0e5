//! Simulated drills: a healthy world passes, and each flaw causes its own finding and no other failure.

use std::io::Cursor;

use harness::{
    diagnose::{Loaded, load},
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

/// One flaw, the scenario that brings it to light, and the only finding that may fail.
fn expected(flaw: Flaw) -> (String, Verdict, &'static str) {
    let index = INDEX.to_owned();
    match flaw {
        Flaw::ForgetsAcked => (index, Fail, "rpo vector"),
        Flaw::NeverWakes => (index, Fail, "rto rag"),
        Flaw::Flaps => (index, Fail, "rto rag"),
        Flaw::ResurrectsRefused => (index, Fail, "integrity vector"),
        Flaw::WrongAfterRebuild => (index, Fail, "quality vector"),
        // So much is lost that recall would suffer too; here only the loss is judged.
        Flaw::StaleRestore => (log_rot().replace("quality = 0.98", ""), Fail, "rpo vector"),
        Flaw::HangingSearch => (index, Fail, "rto rag"),
        Flaw::SilentFault => (index, Unknown, "effect bit-rot"),
        Flaw::CorruptsValues => (index, Fail, "rpo vector"),
        Flaw::DuplicatesRecords => (index, Fail, "integrity vector"),
        Flaw::LostShard => unreachable!("a simulation has no workers"),
    }
}

#[test]
fn each_flaw_causes_its_finding_and_no_other_failure() {
    for flaw in Flaw::ALL.into_iter().filter(|f| *f != Flaw::LostShard) {
        let (text, verdict, finding) = expected(flaw);
        for seed in [1, 42, 77] {
            let report = report(&text, seed, Some(flaw));
            assert_eq!(report.verdict, verdict, "{flaw}, seed {seed}: {:#?}", report.findings);
            if verdict == Fail {
                assert_eq!(verdicts(&report, Fail), [finding], "{flaw}, seed {seed}: {:#?}", report.findings);
            } else {
                assert!(
                    verdicts(&report, Unknown).contains(&finding.to_owned()),
                    "{flaw}: {:#?}",
                    report.findings
                );
            }
        }
    }
    // The same scenario without a flaw passes, so it is the flaw that is found.
    assert_eq!(report(&log_rot(), 42, None).verdict, Pass);
}
