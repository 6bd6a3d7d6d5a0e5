//! Whole drills: a healthy stack passes, and each flaw causes its own finding and no other failure.

use std::io::Cursor;
use std::sync::Arc;

use harness::clock::Clock;
use harness::diagnose::load;
use harness::drill::{drill, stop};
use harness::journal::{Began, Journal};
use harness::plan::Plan;
use harness::ports::Host;
use harness::report::Report;
use harness::scenario::WorldName;
use harness::sim::{Flaw, began, rehearse};
use harness::verdict::Verdict::{self, Fail, Pass, Unknown};

use crate::common::block_on;
use crate::stand::{Stand, plan};

/// A busy machine can make the harness late, which makes findings unknown: then, and only then, the drill is played again.
const TRIES: u32 = 3;

fn play(plan: &Plan, flaw: Option<&str>) -> Report {
    block_on(async {
        let stand = Stand::for_plan(plan.clone(), std::env::current_exe().unwrap(), flaw).unwrap();
        let journal = journal_of(&stand, Arc::clone(&stand.host), flaw).await;
        Report::read(Cursor::new(journal)).unwrap()
    })
}

/// Plays a drill on a stand that was not launched, by this door to it, and checks that nothing is left.
pub(crate) async fn journal_of(stand: &Stand, host: Arc<dyn Host>, flaw: Option<&str>) -> Vec<u8> {
    let world = Began {
        run: stand.run.clone(),
        world: WorldName::Local,
        flaw: flaw.map(str::to_owned),
        ..began(&stand.plan.scenario, String::new(), Vec::new())
    };
    let clock = Clock::real();
    let journal = Journal::in_memory(clock, None);
    let (_stopper, stop) = stop();
    drill(&stand.plan, world, host, &journal, clock, stop).await.unwrap();
    stand.is_clean();
    journal.bytes()
}

pub(crate) fn verdicts(report: &Report, verdict: Verdict) -> Vec<String> {
    let of = report.findings.iter().filter(|f| f.verdict == verdict);
    of.map(|f| format!("{} {}", f.objective, f.subject)).collect()
}

/// Whether this finding fails and nothing else does, but what follows from it: a flaw that strikes at every restart strikes
/// at the one that proves durability, a store that is gone takes no writes, and a stranger is in the inventory, too.
pub(crate) fn only_fails(report: &Report, finding: &str) -> bool {
    let failed = verdicts(report, Fail);
    let implied = |f: &String| {
        f.starts_with("durable ")
            || (finding.starts_with("rto ") && f.starts_with("rto_writes "))
            // Refused writes that appear are refused writes, and strangers take places in answers.
            || (finding == "integrity vector" && (f == "rto_writes vector" || f == "quality vector"))
            || (finding.starts_with("integrity ") && f.starts_with("integrity inventory of "))
    };
    failed.iter().any(|f| f == finding) && failed.iter().all(|f| f == finding || implied(f))
}

/// Whether all that is not known is how long something took, because the harness itself was late.
fn only_late(report: &Report) -> bool {
    let mut unsure = report.findings.iter().filter(|f| f.verdict != Pass);
    report.verdict == Unknown && unsure.all(|f| f.verdict == Unknown && f.why.contains("the harness itself"))
}

/// Plays a drill that has to end as expected. Only one that says that the harness was late is played again: a PASS of a
/// flawed world, a FAIL of a healthy one, or another finding than the flaw's own is wrong at once.
pub(crate) fn play_until(plan: &Plan, flaw: Option<&str>, expected: impl Fn(&Report) -> bool) {
    let mut reports = Vec::new();
    for _ in 0..TRIES {
        let report = play(plan, flaw);
        if expected(&report) {
            return;
        }
        assert!(only_late(&report), "{flaw:?}: {}: {:#?}", report.verdict, report.findings);
        reports.push(report.findings);
    }
    panic!("{flaw:?}: {reports:#?}");
}

pub(crate) fn only_a_late_harness_plays_again() {
    let loaded = load(include_bytes!("drill.toml"), &[]).unwrap();
    let report = |flaw| {
        let began = began(&loaded.scenario, String::new(), Vec::new());
        Report::read(Cursor::new(rehearse(&loaded, began, flaw, None))).unwrap()
    };
    for (flaw, verdict) in
        [(None, Pass), (Some(Flaw::ForgetsAcked), Fail), (Some(Flaw::SilentFault), Unknown)]
    {
        let report = report(flaw);
        assert_eq!(report.verdict, verdict, "{flaw:?}: {:#?}", report.findings);
        assert!(!only_late(&report), "{flaw:?}");
    }
    let mut late = report(None);
    late.verdict = Unknown;
    late.findings[0].verdict = Unknown;
    late.findings[0].why = "the harness itself was 1.0 s late with a probe".to_owned();
    assert!(only_late(&late));
    late.findings[1].verdict = Fail;
    assert!(!only_late(&late));
}

pub(crate) fn a_healthy_stack_passes() {
    play_until(&plan("2m"), None, |report| {
        report.verdict == Pass && report.services[0].bad > 0 && report.services[1].absorbed
    });
}

pub(crate) fn each_flaw_is_found() {
    // What never comes back is waited for until the limit; the others come back, be the machine ever so busy.
    for (flaw, rto, finding) in [
        ("forgets-acked", "2m", "rpo vector"),
        ("never-wakes", "4s", "rto rag"),
        ("flaps", "4s", "rto rag"),
        ("wrong-after-rebuild", "2m", "quality vector"),
        ("resurrects-refused", "4s", "integrity vector"),
    ] {
        play_until(&plan(rto), Some(flaw), |report| only_fails(report, finding));
    }
    play_until(&plan("2m"), Some("silent-fault"), |report| {
        report.verdict == Unknown && verdicts(report, Unknown).contains(&"effect bit-rot".to_owned())
    });
}
