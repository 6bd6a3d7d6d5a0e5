//! Every pattern recovers from what it is there for, and not from what it is not.

use super::{report, scenarios, verdicts};
use harness::verdict::Verdict::{Fail, Pass, Unknown};

/// Passes with many seeds.
fn passes(text: &str) {
    for seed in 0..8 {
        let report = report(text, seed, None);
        assert_eq!(report.verdict, Pass, "seed {seed}: {:#?}", report.findings);
    }
}

/// Fails, and nothing but this fails.
fn fails(text: &str, findings: &[&str]) {
    for seed in [1, 42, 77] {
        let report = report(text, seed, None);
        assert_eq!(verdicts(&report, Fail), findings, "seed {seed}: {:#?}", report.findings);
    }
}

#[test]
fn a_hot_standby_takes_over() {
    passes(&scenarios::hot_standby());
}

#[test]
fn a_synchronous_standby_loses_nothing() {
    passes(&scenarios::hot_standby_sync());
}

#[test]
fn a_warm_standby_is_restored_and_takes_over() {
    passes(&scenarios::warm_standby());
}

#[test]
fn a_cold_standby_is_started_restored_and_takes_over() {
    passes(&scenarios::cold_standby());
}

#[test]
fn equal_regions_part_and_find_together_again() {
    passes(&scenarios::active_active_split());
}

#[test]
fn one_of_two_equal_regions_carries_on() {
    passes(&scenarios::active_active_loss());
}

#[test]
fn a_region_that_is_back_rejoins_and_takes_over_again() {
    passes(&scenarios::there_and_back());
}

#[test]
fn a_compromised_feature_store_is_restored() {
    passes(&scenarios::compromise());
    passes(&scenarios::quiet_compromise());
}

#[test]
fn lost_workers_are_restarted_and_the_job_goes_on() {
    passes(&scenarios::workers_lost("east/gpu"));
    passes(&scenarios::workers_lost("east/gpu/1"));
}

#[test]
fn wrong_results_of_one_worker_are_masked_and_of_all_are_found() {
    let wrong = |node: &str| {
        scenarios::workers_lost("east/gpu/0")
            .replace("kill = { node = \"east/gpu/0\" }", &format!("miscompute = {{ node = \"{node}\" }}"))
            .replace("restart = { node = \"east/gpu/0\" }", "none = {}")
    };
    passes(&wrong("east/gpu/1"));
    let all = wrong("east/gpu").replace("rto = \"10m\"", "rto = \"5s\"");
    fails(&all, &["rto inference", "rpo gpu", "durable gpu"]);
}

#[test]
fn a_standby_that_silently_stopped_following_is_found() {
    let stalled = scenarios::bad_standby("hot-standby", "", "stall = { node = \"west/vector\" }");
    fails(&stalled, &["rpo vector"]);
}

#[test]
fn poison_reaches_the_standby() {
    fails(&scenarios::poisoned_standby(), &["rto recommendation", "integrity feature"]);
    // What went past the store's own door stays behind.
    passes(&scenarios::poisoned_standby().replace("how = \"forge\"", "how = \"shift\""));
}

#[test]
fn damaged_backups_restore_nothing() {
    let report = report(&scenarios::bad_backups(), 42, None);
    let failed = verdicts(&report, Fail);
    assert!(failed.contains(&"rto rag".to_owned()), "{:#?}", report.findings);
    let step = report.findings.iter().find(|f| f.objective == "recovery").expect("the step failed");
    assert!(step.verdict == Unknown && step.measured.contains("fails its checksum"), "{step:#?}");
    // With sound backups the same drill passes.
    let sound = scenarios::bad_backups().replace("west/object", "east/object");
    assert_eq!(super::report(&sound, 42, None).verdict, Pass);
}

#[test]
fn equal_seeds_give_byte_identical_journals_whatever_the_pattern() {
    for text in [scenarios::hot_standby(), scenarios::active_active_split(), scenarios::cold_standby()] {
        assert_eq!(super::journal(&text, 7, None), super::journal(&text, 7, None));
    }
}
