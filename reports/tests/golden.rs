//! Every format of hand-made reports: one for each kind of ending.

use std::collections::BTreeMap;

use harness::{
    judge::Finding,
    ledger::Latency,
    ports::CountsAs,
    report::{
        Build, Moment, MomentKind, ObjectiveReport, QualityReport, Report, ServiceReport, StoreReport,
        cited::Cited,
        drawing::{Drawing, Lane, Step},
        skipped::Skipped,
    },
    scenario::{Priority, WorldName},
    topology::{NodeId, Role},
    verdict::Verdict,
};
use reports::{Format, headline};

fn finding(
    objective: &str,
    subject: &str,
    verdict: Verdict,
    required: &str,
    measured: &str,
    why: &str,
) -> Finding {
    Finding {
        objective: objective.into(),
        subject: subject.into(),
        verdict,
        required: required.into(),
        measured: measured.into(),
        why: why.into(),
        evidence: vec![3, 141, 592],
    }
}

fn moment(at_us: u64, kind: MomentKind, what: &str, seen: &str) -> Moment {
    Moment { at_us, kind, what: what.into(), seen: seen.into() }
}

fn service() -> ServiceReport {
    ServiceReport {
        service: "rag".into(),
        priority: Priority::Critical,
        absorbed: false,
        impact_us: Some(50_000),
        detected_us: Some(201_000),
        recovery_started_us: Some(201_400),
        first_good_us: Some(7_300_000),
        rto_early_us: Some(7_370_000),
        rto_us: Some(7_421_000),
        verified_us: Some(13_900_000),
        lifted: false,
        detection_bypassed: false,
        probe_period_us: 50_000,
        probes: 260,
        bad: 146,
        availability: Some(0.9612),
        latency_p99_us: Some(4_100),
        why: Some("refused: the index file is damaged (checksum)".into()),
        harness_lag_us: 310,
        older: 0,
        resolution_us: 51_000,
        per_fault_us: BTreeMap::from([("rot".into(), 7_421_000), ("restart".into(), 6_421_000)]),
    }
}

fn store(role: Role, acked: u64) -> StoreReport {
    StoreReport {
        store: role,
        region: "east".into(),
        no_writes_us: (role == Role::Vector).then_some(7_390_000),
        writes_ok: acked - 10_000,
        writes_failed: 0,
        writes_unknown: 7,
        latency: Some(Latency { p50_us: 812, p99_us: 3_410, p999_us: 1_020_000, max_us: 7_400_000 }),
        read_back: true,
        acked,
        intact: acked,
        lost: 0,
        corrupt: 0,
        recovered: 2,
        unexpected: 0,
        duplicate: 0,
        rpo_us: Some(0),
        scattered_loss: false,
        diverged_after_undo: Some(0),
    }
}

fn timeline() -> Vec<Moment> {
    vec![
        moment(0, MomentKind::Phase, "launch", ""),
        moment(9_100_000, MomentKind::Phase, "storm", ""),
        moment(
            14_100_000,
            MomentKind::Fault,
            "rot: flip 1.0000% of the index of east/vector",
            "128 bits of index-000004.bin flipped, its checksum no longer matches",
        ),
        moment(14_150_000, MomentKind::Impact, "rag is bad", "refused: the index file is damaged (checksum)"),
        moment(14_301_000, MomentKind::Detected, "rag is detected as down", "three bad probes in a row"),
        moment(
            14_301_400,
            MomentKind::Recovery,
            "mend: rebuild the index of east/vector (engine auto)",
            "loads and answers",
        ),
        moment(21_521_000, MomentKind::Recovered, "rag is good again, and stays good", ""),
        moment(27_900_000, MomentKind::Phase, "undo", ""),
        moment(
            27_910_000,
            MomentKind::Undo,
            "rot: throw away the state of east/vector",
            "goes with the stack",
        ),
    ]
}

fn pass() -> Report {
    let findings = vec![
        finding("conduct", "drill", Verdict::Pass, "played to its end", "complete", "all phases were played"),
        finding(
            "rto",
            "rag",
            Verdict::Pass,
            "at most 2m",
            "7.37 s to 7.42 s (probe every 50 ms)",
            "service came back",
        ),
        finding(
            "rpo",
            "vector",
            Verdict::Pass,
            "at most 0s",
            "0 s (0 lost, 0 corrupt of 12345 acknowledged; 1000 writes in the window before the fault)",
            "every acknowledged record of that span was read back with its value",
        ),
    ];
    Report {
        verdict: Verdict::Pass,
        scenario: "vector_index_corruption".into(),
        title: "Vector index corruption in the primary region".into(),
        world: WorldName::Local,
        counts_as: CountsAs::Rehearsal,
        seed: 42,
        run: "20260102T030405Z-vector_index_corruption-0a1b".into(),
        started: "2026-01-02T03:04:05Z".into(),
        took_us: 31_000_000,
        flaw: None,
        overrides: vec!["objectives.rto=2m".into()],
        gameday: "0.1.0".into(),
        machine: "linux x86_64, 2 cores, 8 GiB".into(),
        scenario_sha256: "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8".into(),
        objectives: vec![ObjectiveReport {
            service: "rag".into(),
            priority: Priority::Critical,
            rto_us: Some(120_000_000),
            rpo_us: Some(0),
            quality: Some(0.98),
            latency_p99_us: None,
            availability: None,
            stable_for_us: 5_000_000,
        }],
        services: vec![service()],
        ledger: vec![store(Role::Object, 10_205), store(Role::Vector, 12_345)],
        quality: Some(QualityReport {
            k: 10,
            queries: 500,
            before: [0.9972, 0.9972],
            after: Some(0.9968),
            after_stored: Some(0.9972),
            ratio: Some((0.9996, 0.9991)),
            ratio_stored: Some((1.0, 1.0)),
        }),
        restore: None,
        fault: None,
        builds: vec![Build {
            step: "mend".into(),
            node: NodeId::new("east", Role::Vector),
            engine: "cpu".into(),
            tier: Some("fp32 avx512".into()),
            asked: Some("opencl".into()),
            why: Some("opencl: this machine has no OpenCL device".into()),
            vectors: Some(12_345),
            seconds: Some(2.0941),
        }],
        findings,
        proves_little: Vec::new(),
        still_down: Vec::new(),
        timeline: timeline(),
        notes: vec!["east/vector answers at 127.0.0.1".into()],
        events: 12_345,
        drawing: Drawing::default(),
    }
}

fn fail() -> Report {
    let mut r = pass();
    r.verdict = Verdict::Fail;
    r.flaw = Some("forgets_last_writes".into());
    r.services[0].rto_us = Some(41_200_000);
    r.services[0].rto_early_us = Some(41_150_000);
    r.services[0].verified_us = Some(48_000_000);
    r.objectives[0].rto_us = Some(30_000_000);
    let ledger = &mut r.ledger[1];
    (ledger.lost, ledger.corrupt, ledger.intact) = (12, 1, 12_332);
    (ledger.rpo_us, ledger.scattered_loss, ledger.diverged_after_undo) = (Some(2_345_000), true, Some(3));
    let quality = r.quality.as_mut().expect("pass() measured it");
    (quality.after, quality.ratio) = (Some(0.91), Some((0.9126, 0.9051)));
    r.findings[1] = finding(
        "rto",
        "rag",
        Verdict::Fail,
        "at most 30s",
        "41.2 s to 41.2 s (probe every 50 ms)",
        "11.2 s too late",
    );
    r.findings[2] =
        finding("rpo", "vector", Verdict::Fail, "at most 0s", "2.35 s (12 lost)", "gone or damaged");
    let required = "at least 0.98 of the recall before, as a lower 95% bound";
    r.findings.push(finding("quality", "vector", Verdict::Fail, required, "0.9126", "recall fell"));
    r
}

fn unknown() -> Report {
    let mut r = pass();
    r.verdict = Verdict::Unknown;
    r.ledger[1].read_back = false;
    r.quality = None;
    let why = "kill east/vector was not seen to take effect";
    r.findings[0] =
        finding("effect", "fault-0-kill", Verdict::Unknown, "every act seen to take effect", "nothing", why);
    r.services[0] = ServiceReport { rto_us: None, rto_early_us: None, verified_us: None, ..service() };
    r
}

fn absorbed() -> Report {
    let mut r = pass();
    r.world = WorldName::Sim;
    let never = ServiceReport {
        absorbed: true,
        impact_us: None,
        detected_us: None,
        recovery_started_us: None,
        first_good_us: None,
        rto_early_us: None,
        rto_us: None,
        verified_us: None,
        bad: 0,
        why: None,
        ..service()
    };
    r.services = vec![never];
    r
}

fn aborted() -> Report {
    let mut r = pass();
    r.verdict = Verdict::Unknown;
    r.findings =
        vec![finding("conduct", "drill", Verdict::Unknown, "played to its end", "given up", "Ctrl-C")];
    (r.services, r.ledger, r.quality) = (Vec::new(), Vec::new(), None);
    r.timeline.truncate(2);
    r
}

#[test]
fn text() {
    for (name, report) in [
        ("pass", pass()),
        ("fail", fail()),
        ("unknown", unknown()),
        ("absorbed", absorbed()),
        ("aborted", aborted()),
    ] {
        let text = Format::Text.render(&report);
        assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
        insta::assert_snapshot!(format!("text_{name}"), text);
    }
}

#[test]
fn junit() {
    for (name, report) in [("pass", pass()), ("fail", fail()), ("unknown", unknown())] {
        insta::assert_snapshot!(format!("junit_{name}"), Format::Junit.render(&report));
    }
}

#[test]
fn json_reads_back_as_the_same_report_and_has_the_promised_keys() {
    let report = fail();
    let json = Format::Json.render(&report);
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    for key in [
        "verdict",
        "scenario",
        "world",
        "counts_as",
        "seed",
        "objectives",
        "services",
        "ledger",
        "quality",
        "findings",
        "timeline",
    ] {
        assert!(value.get(key).is_some(), "{key}");
    }
}

#[test]
fn a_report_without_findings_is_never_shown_as_passed() {
    let report = Report { findings: Vec::new(), verdict: Verdict::Unknown, ..pass() };
    assert_eq!(headline(&report), "UNKNOWN: nothing was judged");
    assert!(Format::Junit.render(&report).contains("<error"));
}

#[test]
fn text_from_outside_cannot_break_the_xml() {
    let mut report = fail();
    report.findings[1].why = "]]> & <a> \u{1b}[31m \u{0} \"'".into();
    let xml = Format::Junit.render(&report);
    assert!(
        !xml.contains('\u{1b}') && !xml.contains('\0') && xml.contains("]]&gt; &amp; &lt;a&gt;"),
        "{xml}"
    );
}

#[test]
fn formats_read_as_written() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    assert!(
        "yaml".parse::<Format>().unwrap_err().contains("text, json, junit, markdown, oscal, trace, html")
    );
}

/// What each place of a page gets from outside.
const GARBAGE: &str =
    "\"'></title></style></svg><script>alert(1)</script><img src=x onerror=alert(1)>&\u{202e}\u{1b}[31m";

#[test]
fn text_from_outside_cannot_break_out_of_the_page() {
    let mut report = fail();
    let bad = || GARBAGE.to_owned();
    report.flaw = Some(bad());
    report.overrides = vec![bad()];
    report.notes = vec![bad()];
    for text in [
        &mut report.title,
        &mut report.scenario,
        &mut report.run,
        &mut report.started,
        &mut report.gameday,
        &mut report.machine,
        &mut report.scenario_sha256,
    ] {
        *text = bad();
    }
    for f in &mut report.findings {
        (f.objective, f.subject, f.required, f.measured, f.why) = (bad(), bad(), bad(), bad(), bad());
    }
    for s in &mut report.services {
        (s.service, s.why) = (bad(), Some(bad()));
    }
    for b in &mut report.builds {
        (b.step, b.engine) = (bad(), bad());
        (b.tier, b.asked, b.why) = (Some(bad()), Some(bad()), Some(bad()));
    }
    for m in &mut report.timeline {
        (m.what, m.seen) = (bad(), bad());
    }
    let (slow_us, slow_is_objective) = (10_000, false);
    let none = (Vec::new(), Vec::new(), Vec::new());
    let lane =
        Lane { service: bad(), slow_us, slow_is_objective, bands: none.0, latency: none.1, spans: none.2 };
    let step = |fault| Step {
        name: bad(),
        fault,
        began_us: 5,
        ended_us: Some(9),
        until_us: None,
        observed: false,
        acts: vec![(bad(), bad())],
        evidence: vec![3],
    };
    report.drawing = Drawing {
        to_us: 100,
        t0_us: Some(5),
        phases: vec![(bad(), 0, 100)],
        lanes: vec![lane],
        steps: vec![step(true), step(false)],
        skipped: vec![Skipped { what: bad(), why: bad() }],
        cited: vec![Cited { seq: 3, line: bad(), bytes: 9, sha256: bad() }],
        head: Some(bad()),
        ..Drawing::default()
    };
    let page = Format::Html.render(&report);
    for broken in ["<script", "<img", "</title></style>", "\"'>", "\u{202e}", "\u{1b}"] {
        assert!(!page.contains(broken), "{broken}");
    }
    for once in ["</style>", "</head>", "</body>", "http-equiv"] {
        assert_eq!(page.matches(once).count(), 1, "{once}");
    }
    assert!(page.contains("&lt;script&gt;"), "it is shown, not hidden");
    for outside in ["http://", "https://", "@import", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
}
