//! Whole drills on containers.

use std::io::Cursor;

use harness::clock::Clock;
use harness::drill::{drill, stop};
use harness::journal::{Began, Journal};
use harness::report::Report;
use harness::scenario::WorldName;
use harness::sim::began;
use harness::verdict::Verdict::{Pass, Unknown};

use adapters::docker::images::Choices;

use crate::stand::{Stand, block_on};

fn play(flaw: Option<&str>) -> Report {
    block_on(async {
        let stand = Stand::with(flaw, Choices::new());
        let world = Began {
            run: stand.run.clone(),
            world: WorldName::Docker,
            flaw: flaw.map(str::to_owned),
            ..began(&stand.plan.scenario, String::new(), Vec::new())
        };
        let clock = Clock::real();
        let journal = Journal::in_memory(clock, None);
        let (_stopper, stop) = stop();
        drill(&stand.plan, world, stand.host.clone(), &journal, clock, stop).await.unwrap();
        stand.is_clean().await;
        Report::read(Cursor::new(journal.bytes())).unwrap()
    })
}

pub(crate) fn a_crash_of_the_object_store_passes() {
    let report = play(None);
    assert_eq!(report.verdict, Pass, "{:#?}", report.findings);
}

pub(crate) fn a_fault_that_does_nothing_is_unknown() {
    let report = play(Some("silent-fault"));
    assert_eq!(report.verdict, Unknown, "{:#?}", report.findings);
}
