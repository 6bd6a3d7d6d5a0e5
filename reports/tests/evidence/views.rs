//! The views that machines and CI servers read, whole.

use harness::{judge::Finding, verdict::Verdict};
use reports::{Format, markdown};

use crate::stand::{As, journal, real, report_of, simulated};

#[test]
fn views_of_a_simulated_drill() {
    let report = report_of(&simulated());
    for format in [Format::Markdown, Format::Junit, Format::Oscal, Format::Trace, Format::Json] {
        insta::assert_snapshot!(format!("sim_{format}"), format.render(&report));
    }
}

#[test]
fn a_rehearsal_satisfies_no_control_and_a_real_drill_never_those_of_people() {
    let states = |report: &harness::report::Report| {
        let value: serde_json::Value = serde_json::from_str(&Format::Oscal.render(report)).unwrap();
        let findings = value["assessment-results"]["results"][0]["findings"].as_array().unwrap().clone();
        let state = |f: &serde_json::Value| {
            let target = &f["target"];
            (target["target-id"].as_str().unwrap().to_owned(), target["status"]["state"] == "satisfied")
        };
        findings.iter().map(state).collect::<Vec<_>>()
    };
    assert!(states(&report_of(&simulated())).iter().all(|(_, satisfied)| !satisfied));
    let mut report = report_of(&real("r1"));
    for (id, satisfied) in states(&report) {
        assert_eq!(satisfied, !["cp-4_obj.b", "cp-4_obj.c"].contains(&id.as_str()), "{id}");
    }
    for how in [As::Disposable, As::Staging] {
        let report = report_of(&journal(how, "r1"));
        assert!(states(&report).iter().all(|(_, satisfied)| !satisfied), "{}", report.counts_as);
        let text = Format::Text.render(&report);
        assert!(
            text.contains(&format!("world      own ({}: a drill of the user's own stack", report.counts_as))
        );
    }
    report.flaw = Some("flaps".into());
    assert!(states(&report).iter().all(|(_, satisfied)| !satisfied));
}

#[test]
fn a_summary_stays_small_and_shows_what_failed() {
    let mut report = report_of(&simulated());
    let fail = Finding {
        verdict: Verdict::Fail,
        subject: "the one that failed".into(),
        ..report.findings[0].clone()
    };
    let pass = Finding { measured: "<script>|`x`".repeat(100), ..report.findings[0].clone() };
    report.findings = vec![pass; 2_000];
    report.findings.push(fail);
    report.services = vec![report.services[0].clone(); 5_000];
    let text = Format::Markdown.render(&report);
    assert!(text.len() <= markdown::MAX && text.contains("the one that failed"), "{}", text.len());
    assert!(!text.contains("<script>"));
}

#[test]
fn journals_that_claim_anything_do_not_break_a_view() {
    let mut report = report_of(&simulated());
    report.took_us = u64::MAX;
    for started in ["9999-12-31T23:59:59Z", "garbage", ""] {
        report.started = started.into();
        for format in Format::ALL {
            assert!(!format.render(&report).is_empty(), "{format} {started}");
        }
    }
}
