//! Whole drills on containers.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use harness::clock::Clock;
use harness::diagnose::load;
use harness::drill::{drill, stop};
use harness::journal::{Began, Ending, Journal};
use harness::judge::Finding;
use harness::plan::Plan;
use harness::ports::Host;
use harness::report::Report;
use harness::scenario::WorldName;
use harness::sim::began;
use harness::verdict::Verdict::{Fail, Pass, Unknown};

use adapters::docker::images::Choices;
use adapters::docker::{DockerConfig, DockerHost};

use crate::common::block_on;
use crate::regions;
use crate::stand::{Stand, plan};

const GPU: &[u8] = include_bytes!("../../../scenarios/gpu_cluster_failure.toml");
const COMPROMISE: &[u8] = include_bytes!("../../../scenarios/feature_store_compromise.toml");

/// How a harness says that it was late.
const LATE: &str = "the harness itself was";

pub(crate) fn play(plan: Plan, flaw: Option<&str>) -> Report {
    block_on(async {
        let stand = Stand::of(plan, flaw, Choices::new());
        let (_, report) = on(stand.host.clone(), &stand.plan, &stand.run, flaw).await;
        stand.is_clean().await;
        report
    })
}

/// Plays a drill as a run of this id, in this folder.
pub(crate) fn play_in(plan: Plan, run: &str, folder: &Path) -> (Ending, Report) {
    let config = DockerConfig {
        run: run.to_owned(),
        folder: folder.to_owned(),
        exe: std::env::current_exe().unwrap(),
        plan: plan.clone(),
        flaw: None,
        images: Choices::new(),
    };
    block_on(async { on(DockerHost::new(config).unwrap(), &plan, run, None).await })
}

/// Plays a drill as a run of this id, in this folder, with a journal that a reader outside can follow.
pub(crate) fn play_to_file(plan: &Plan, run: &str, folder: &Path) -> Ending {
    let config = DockerConfig {
        run: run.to_owned(),
        folder: folder.to_owned(),
        exe: std::env::current_exe().unwrap(),
        plan: plan.clone(),
        flaw: None,
        images: Choices::new(),
    };
    let clock = Clock::real();
    let journal = Journal::create(&folder.join("journal.jsonl"), clock, None).unwrap();
    let world = Began {
        run: run.to_owned(),
        world: WorldName::Docker,
        ..began(&plan.scenario, String::new(), Vec::new())
    };
    block_on(async {
        let (_stopper, stop) = stop();
        drill(plan, world, DockerHost::new(config).unwrap(), &journal, clock, stop).await.unwrap()
    })
}

async fn on(host: Arc<dyn Host>, plan: &Plan, run: &str, flaw: Option<&str>) -> (Ending, Report) {
    let world = Began {
        run: run.to_owned(),
        world: WorldName::Docker,
        flaw: flaw.map(str::to_owned),
        ..began(&plan.scenario, String::new(), Vec::new())
    };
    let clock = Clock::real();
    let journal = Journal::in_memory(clock, None);
    let (_stopper, stop) = stop();
    let ending = drill(plan, world, host, &journal, clock, stop).await.unwrap();
    (ending, Report::read(Cursor::new(journal.bytes())).unwrap())
}

pub(crate) fn a_crash_of_the_object_store_passes() {
    let report = play(plan(), None);
    assert_eq!(report.verdict, Pass, "{:#?}", report.findings);
}

/// The drill of the design card, on PostgreSQL and MinIO: an intruder's superuser role among the rest.
pub(crate) fn a_compromise_of_the_feature_store_is_repaired() {
    let report = play(load(COMPROMISE, &[]).unwrap().plan, None);
    all_but_late_pass(&report);
}

/// Somebody who restores to a version that no backup fits restores nothing.
pub(crate) fn a_compromise_that_nobody_repairs_fails() {
    let version = [("recover.1.act.restore.model".to_owned(), "7".to_owned())];
    let rto = [("objectives.rto".to_owned(), "\"5s\"".to_owned())];
    let report = play(load(COMPROMISE, &[version, rto].concat()).unwrap().plan, None);
    let failed = |objective: &str, subject: &str| {
        let found = report.findings.iter().find(|f| f.objective == objective && f.subject == subject);
        found.is_some_and(|f| f.verdict == Fail)
    };
    assert!(failed("integrity", "feature"), "the intruder is still there: {:#?}", report.findings);
    assert_eq!(report.verdict, Fail);
}

/// Cluster and log are put back, up to the newest moment before the intruder, who is in the log as well.
pub(crate) fn a_feature_store_goes_back_in_time() {
    let report =
        play(load(include_bytes!("../../../scenarios/docker/feature_moment.toml"), &[]).unwrap().plan, None);
    all_but_late_pass(&report);
    let lost = report.findings.iter().find(|f| f.objective == "rpo" && f.subject == "feature");
    assert!(lost.is_some(), "{:#?}", report.findings);
}

/// Writes are refused while the disk is full, and nothing else happens.
pub(crate) fn a_full_disk_is_freed() {
    let report =
        play(load(include_bytes!("../../../scenarios/docker/disk_full.toml"), &[]).unwrap().plan, None);
    all_but_late_pass(&report);
}

pub(crate) fn a_fault_that_does_nothing_is_unknown() {
    let report = play(plan(), Some("silent-fault"));
    // That finding, and not one that any slow machine brings.
    let seen = |f: &Finding| {
        f.verdict == Unknown && (f.objective.as_str(), f.subject.as_str()) == ("effect", "crash")
    };
    assert!(report.verdict == Unknown && report.findings.iter().any(seen), "{:#?}", report.findings);
}

/// The drill of the design card: the job ends where an undisturbed one ends.
pub(crate) fn a_lost_cluster_of_workers_goes_on() {
    let report = play(load(GPU, &[]).unwrap().plan, None);
    all_but_late_pass(&report);
    assert!(report.findings.iter().any(|f| f.subject == "gpu"), "{:#?}", report.findings);
}

pub(crate) fn a_killed_region_is_taken_over() {
    all_but_late_pass(&play(regions::plan(&[]), None));
}

pub(crate) fn a_region_cut_off_is_taken_over() {
    let how = ("fault.0.inject.region.how", "\"partition\"");
    all_but_late_pass(&play(regions::plan(&[how]), None));
}

/// On a busy machine the harness itself may be late with its questions, and then the length of an outage is not known:
/// that, said in those words, is the only objective that may be unknown. Nothing may have failed.
pub(crate) fn all_but_late_pass(report: &Report) {
    let late = |f: &Finding| f.verdict == Unknown && f.objective == "rto" && f.why.contains(LATE);
    let judged = report.findings.iter().filter(|f| f.verdict == Pass).count();
    assert!(
        judged > 0 && report.findings.iter().all(|f| f.verdict == Pass || late(f)),
        "{:#?}",
        report.findings
    );
}
