//! `junit.xml`: for CI servers. A suite is a scenario, a case is a finding; what failed is a failure, and what is
//! unknown is an error, so that no server shows it as passed. What the scenario has no objective for is skipped.
//!
//! The only time in it is the span that the drill took: a stamp of the writing would differ each time.

use std::time::Duration;

use harness::{judge::Finding, report::Report, verdict::Verdict};
use quick_junit::{NonSuccessKind, Report as Xml, TestCase, TestCaseStatus, TestSuite};

/// As XML.
pub fn render(report: &Report) -> String {
    let took = Duration::from_micros(report.took_us);
    let mut suite = TestSuite::new(report.scenario.as_str());
    suite.set_time(took);
    for (name, value) in properties(report) {
        suite.add_property((name, value.as_str()));
    }
    // A drill without findings has proved nothing: an empty suite would be shown as passed.
    if report.findings.is_empty() {
        suite.add_test_case(TestCase::new("findings", error("nothing was judged")));
    }
    suite.add_test_cases(report.findings.iter().map(|f| case(report, f)));
    suite.add_test_cases(unasked(report));
    let mut xml = Xml::new("gameday");
    xml.set_time(took);
    xml.add_test_suite(suite);
    let text = xml.to_string().expect("writing to memory does not fail");
    // The schema of Jenkins counts what was skipped on suites alone.
    match text.find("<testsuites ").zip(text.find("<testsuite ")) {
        Some((root, suite)) => {
            let kept: Vec<&str> =
                text[root..suite].split(' ').filter(|word| !word.starts_with("skipped=")).collect();
            format!("{}{}{}", &text[..root], kept.join(" "), &text[suite..])
        }
        None => text,
    }
}

/// What nobody asked for, and so nobody judged.
fn unasked(report: &Report) -> Vec<TestCase> {
    let judged = |objective: &str, subject: Option<&str>| {
        let same = |f: &Finding| f.objective == objective && subject.is_none_or(|s| s == f.subject);
        report.findings.iter().any(same)
    };
    let services = report.objectives.iter().map(|o| ("rto", Some(o.service.as_str())));
    let stack = ["rpo", "quality"].into_iter().map(|o| (o, None));
    let skipped = |(objective, subject): (&str, Option<&str>)| {
        let mut status = TestCaseStatus::skipped();
        status
            .set_type("not measured")
            .set_message("the scenario has no objective for it, or the drill ended before");
        let mut case = TestCase::new(format!("{objective} of {}", subject.unwrap_or("stack")), status);
        case.set_classname(report.scenario.as_str());
        case
    };
    services.chain(stack).filter(|(objective, subject)| !judged(objective, *subject)).map(skipped).collect()
}

fn properties(report: &Report) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("verdict", report.verdict.to_string()),
        ("headline", crate::headline(report)),
        ("world", report.world.to_string()),
        ("counts_as", crate::text::counts_as(report).into()),
        ("seed", report.seed.to_string()),
        ("run", report.run.clone()),
        ("started", report.started.clone()),
        ("gameday", report.gameday.clone()),
        ("scenario_sha256", report.scenario_sha256.clone()),
    ];
    all.extend(report.flaw.iter().map(|f| ("flaw", f.clone())));
    all.extend(report.overrides.iter().map(|o| ("override", o.clone())));
    all
}

fn case(report: &Report, finding: &Finding) -> TestCase {
    let status = match finding.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => non_success(NonSuccessKind::Failure, finding),
        Verdict::Unknown => non_success(NonSuccessKind::Error, finding),
    };
    let mut case = TestCase::new(format!("{} of {}", finding.objective, finding.subject), status);
    case.set_classname(report.scenario.as_str());
    if finding.verdict == Verdict::Pass {
        case.set_system_out(measured(finding));
    }
    case
}

fn non_success(kind: NonSuccessKind, finding: &Finding) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(finding.verdict.to_string()).set_message(finding.why.as_str());
    status.set_description(measured(finding));
    status
}

fn error(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type(Verdict::Unknown.to_string()).set_message(why);
    status
}

fn measured(finding: &Finding) -> String {
    let events: Vec<String> = finding.evidence.iter().map(u64::to_string).collect();
    format!(
        "required: {}\nmeasured: {}\nwhy: {}\nevents: {}",
        finding.required,
        finding.measured,
        finding.why,
        events.join(", ")
    )
}
