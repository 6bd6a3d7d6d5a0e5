//! Whole drills: a healthy stack passes, and each flaw causes its own finding and no other failure.

use std::io::Cursor;
use std::sync::Arc;

use harness::clock::Clock;
use harness::drill::{drill, stop};
use harness::journal::{Began, Journal};
use harness::report::Report;
use harness::scenario::WorldName;
use harness::sim::began;
use harness::verdict::Verdict::{self, Fail, Pass, Unknown};

use crate::stand::{Stand, block_on};

/// A busy machine can make the harness late, which makes findings unknown: then the drill is played again.
const TRIES: u32 = 3;

fn play(flaw: Option<&str>) -> Report {
    block_on(async {
        let stand = Stand::new(flaw);
        let world = Began {
            run: stand.run.clone(),
            world: WorldName::Local,
            flaw: flaw.map(str::to_owned),
            ..began(&stand.plan.scenario, String::new(), Vec::new())
        };
        let clock = Clock::real();
        let journal = Journal::in_memory(clock, None);
        let (_stopper, stop) = stop();
        drill(&stand.plan, world, Arc::clone(&stand.host), &journal, clock, stop).await.unwrap();
        stand.is_clean();
        Report::read(Cursor::new(journal.bytes())).unwrap()
    })
}

fn verdicts(report: &Report, verdict: Verdict) -> Vec<String> {
    let of = report.findings.iter().filter(|f| f.verdict == verdict);
    of.map(|f| format!("{} {}", f.objective, f.subject)).collect()
}

fn play_until(flaw: Option<&str>, expected: impl Fn(&Report) -> bool) {
    let mut reports = Vec::new();
    for _ in 0..TRIES {
        let report = play(flaw);
        if expected(&report) {
            return;
        }
        let wrong = verdicts(&report, Fail);
        assert!(report.verdict == Unknown || flaw.is_some(), "{wrong:?}: {:#?}", report.findings);
        reports.push(report.findings);
    }
    panic!("{flaw:?}: {reports:#?}");
}

pub(crate) fn a_healthy_stack_passes() {
    play_until(None, |report| {
        report.verdict == Pass && report.services[0].bad > 0 && report.services[1].absorbed
    });
}

pub(crate) fn each_flaw_is_found() {
    for (flaw, finding) in [
        ("forgets-acked", "rpo vector"),
        ("never-wakes", "rto rag"),
        ("flaps", "rto rag"),
        ("wrong-after-rebuild", "quality vector"),
        ("resurrects-refused", "integrity vector"),
    ] {
        play_until(Some(flaw), |report| verdicts(report, Fail) == [finding]);
    }
    play_until(Some("silent-fault"), |report| {
        report.verdict == Unknown && verdicts(report, Unknown).contains(&"effect bit-rot".to_owned())
    });
}
