//! Each flaw causes its own finding, and no other failure.

use super::{INDEX, log_rot, report, scenarios, verdicts};
use harness::{
    sim::Flaw,
    verdict::Verdict::{self, Fail, Pass, Unknown},
};

/// One flaw, the scenario that brings it to light, and the only finding that may fail, beside those of [`implied`].
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
        Flaw::StaleFeatures => (scenarios::quiet_compromise(), Fail, "rpo feature"),
        Flaw::KeepsRole => (scenarios::quiet_compromise(), Fail, "integrity feature"),
        Flaw::LostShard => (scenarios::workers_lost("east/gpu/1"), Fail, "rpo gpu"),
        Flaw::SplitBrain => (scenarios::split_and_failover(), Fail, "rpo vector"),
        Flaw::LaggingStandby => (scenarios::late_loss(), Fail, "rpo vector"),
    }
}

/// What follows from a flaw: one that strikes at every restart strikes at the restart that proves durability, too, and a
/// store that is gone takes no writes.
fn implied(flaw: Flaw) -> &'static [&'static str] {
    match flaw {
        Flaw::NeverWakes | Flaw::Flaps => &["rto_writes vector", "durable vector"],
        Flaw::ForgetsAcked
        | Flaw::ResurrectsRefused
        | Flaw::HangingSearch
        | Flaw::CorruptsValues
        | Flaw::DuplicatesRecords
        | Flaw::WrongAfterRebuild => &["durable vector"],
        _ => &[],
    }
}

#[test]
fn each_flaw_causes_its_finding_and_no_other_failure() {
    for flaw in Flaw::ALL {
        let (text, verdict, finding) = expected(flaw);
        // The same scenario without a flaw passes, so it is the flaw that is found.
        let healthy = report(&text, 42, None);
        assert_eq!(healthy.verdict, Pass, "{flaw}, healthy: {:#?}", healthy.findings);
        for seed in [1, 42, 77] {
            let report = report(&text, seed, Some(flaw));
            assert_eq!(report.verdict, verdict, "{flaw}, seed {seed}: {:#?}", report.findings);
            if verdict == Fail {
                let implied = implied(flaw);
                let failed: Vec<String> =
                    verdicts(&report, Fail).into_iter().filter(|f| !implied.contains(&f.as_str())).collect();
                assert_eq!(failed, [finding], "{flaw}, seed {seed}: {:#?}", report.findings);
            } else {
                assert!(
                    verdicts(&report, Unknown).contains(&finding.to_owned()),
                    "{flaw}: {:#?}",
                    report.findings
                );
            }
        }
    }
}
