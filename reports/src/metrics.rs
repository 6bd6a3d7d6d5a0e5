//! A textfile for Prometheus' node exporter: what the drills on record say, as time stamps, never as ages, which would
//! stand still with the job that writes them.
//!
//! Labels are few and closed: service, scenario, and whether a drill counts as `real` or is a `rehearsal`. Runs are not
//! labels. Drills with a planted flaw are left out.

use std::{collections::BTreeMap, fmt::Write as _};

use harness::{report::Report, verdict::Verdict};

use crate::{
    evidence::{ledger::Head, verify::Run},
    text::words::clean,
};

type Key = (String, String, &'static str);

#[derive(Default)]
struct Family {
    kind: &'static str,
    help: &'static str,
    samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

#[derive(Default)]
struct Page(BTreeMap<&'static str, Family>);

impl Page {
    fn gauge(&mut self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let family = self.0.entry(name).or_default();
        (family.kind, family.help) = ("gauge", help);
        let labels = labels.iter().map(|(k, v)| (*k, clean(v))).collect();
        family.samples.push((labels, value));
    }
}

/// The textfile for runs whose numbers were rebuilt.
pub fn render(runs: &[Run], head: Option<&Head>) -> String {
    let mut page = Page::default();
    page.gauge(
        "gameday_build_info",
        "The gameday that wrote this.",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1.0,
    );
    if let Some(head) = head {
        page.gauge("gameday_ledger_entries", "Entries of the ledger of evidence.", &[], head.entries as f64);
    }
    let sound = |r: &&Run| r.declared.flaw.is_none();
    let mut latest: BTreeMap<Key, &Run> = BTreeMap::new();
    let mut success: BTreeMap<Key, u64> = BTreeMap::new();
    let mut expected: BTreeMap<String, ()> = BTreeMap::new();
    let mut outcomes: BTreeMap<(&'static str, &'static str), u64> = BTreeMap::new();
    for run in runs.iter().filter(sound) {
        let worth = worth(run);
        *outcomes.entry((worth, outcome(run))).or_default() += 1;
        for o in &run.declared.objectives {
            expected.insert(o.service.clone(), ());
            let key = (o.service.clone(), run.declared.scenario.clone(), worth);
            if let Some(at) = run.ended_unix().filter(|_| outcome(run) == "pass") {
                success.insert(key.clone(), at);
            }
            latest.insert(key, run);
        }
    }
    for service in expected.keys() {
        let help = "A service that some drill on record was about.";
        page.gauge("gameday_service_expected", help, &[("service", service)], 1.0);
    }
    for ((worth, outcome), n) in &outcomes {
        let labels = [("counts_as", *worth), ("outcome", *outcome)];
        page.gauge("gameday_drills", "Drills on record.", &labels, *n as f64);
    }
    for ((service, scenario, worth), run) in &latest {
        drill(
            &mut page,
            &[("service", service), ("scenario", scenario), ("counts_as", worth)],
            run,
            success.get(&(service.clone(), scenario.clone(), worth)),
        );
    }
    page.text()
}

fn worth(run: &Run) -> &'static str {
    run.declared.counts_as.word()
}

/// As compliance sees it: what was never closed, or left no journal, has failed.
fn outcome(run: &Run) -> &'static str {
    match (&run.closed, &run.recomputed) {
        (Some((_, c)), Some(r)) => match c.verdict.max(r.report.verdict) {
            Verdict::Pass => "pass",
            Verdict::Unknown => "unknown",
            Verdict::Fail => "fail",
        },
        _ => "fail",
    }
}

fn drill(page: &mut Page, labels: &[(&'static str, &str)], run: &Run, success: Option<&u64>) {
    // A stamp that is not believed is left out: ahead of time it would silence every alert on age.
    if let Some(at) = run.declared_unix() {
        let help = "When the last drill was declared.";
        page.gauge("gameday_drill_last_run_timestamp_seconds", help, labels, at as f64);
    }
    if let Some(at) = success {
        let help = "When the last drill that passed was closed.";
        page.gauge("gameday_drill_last_success_timestamp_seconds", help, labels, *at as f64);
    }
    for verdict in ["pass", "unknown", "fail"] {
        let labels: Vec<_> = labels.iter().copied().chain([("verdict", verdict)]).collect();
        let set = f64::from(u8::from(verdict == outcome(run)));
        page.gauge("gameday_drill_last_verdict", "How the last drill ended.", &labels, set);
    }
    let service = labels[0].1;
    if let Some(o) = run.declared.objectives.iter().find(|o| o.service == service) {
        let limits = [
            ("gameday_recovery_time_objective_seconds", "RTO that is allowed.", o.rto_us),
            ("gameday_recovery_point_objective_seconds", "RPO that is allowed.", o.rpo_us),
        ];
        for (name, help, limit) in limits {
            if let Some(us) = limit {
                page.gauge(name, help, labels, us as f64 / 1e6);
            }
        }
    }
    if let Some(recomputed) = &run.recomputed {
        measured(page, labels, &recomputed.report);
    }
    if let Some(record) = &run.record {
        let share = record.filled as f64 / record.required.max(1) as f64;
        let help = "Required fields of the last drill's record that a person has filled.";
        page.gauge("gameday_documentation_completeness_ratio", help, labels, share);
    }
}

fn measured(page: &mut Page, labels: &[(&'static str, &str)], report: &Report) {
    let with = |more: &[(&'static str, &'static str)]| -> Vec<(&'static str, String)> {
        labels
            .iter()
            .map(|(k, v)| (*k, (*v).to_owned()))
            .chain(more.iter().map(|(k, v)| (*k, (*v).to_owned())))
            .collect()
    };
    let mut put = |name, help, more: &[(&'static str, &'static str)], value: f64| {
        let owned = with(more);
        let labels: Vec<(&'static str, &str)> = owned.iter().map(|(k, v)| (*k, v.as_str())).collect();
        page.gauge(name, help, &labels, value);
    };
    if let Some(s) = report.services.iter().find(|s| s.service == labels[0].1) {
        let help = "From the first fault: until detection, from there to recovery's start, to the stable window; total.";
        let span = |from: Option<u64>, to: Option<u64>| Some(to?.saturating_sub(from?) as f64 / 1e6);
        let total = if s.absorbed { Some(0) } else { s.rto_us };
        let phases = [
            ("detect", span(Some(0), s.detected_us)),
            ("decide", span(s.detected_us, s.recovery_started_us)),
            ("recover", span(s.recovery_started_us, s.rto_us)),
            ("total", span(Some(0), total)),
        ];
        for (phase, span) in phases {
            if let Some(seconds) = span {
                put("gameday_recovery_time_seconds", help, &[("phase", phase)], seconds);
            }
        }
    }
    let read = report.ledger.iter().filter(|s| s.read_back);
    let rpo = read.clone().filter_map(|s| s.rpo_us).max();
    if let Some(us) = rpo {
        put(
            "gameday_recovery_point_seconds",
            "RPO that was measured, of the worst store.",
            &[],
            us as f64 / 1e6,
        );
        let (acked, lost) = read.fold((0, 0), |(a, l), s| (a + s.acked, l + s.lost + s.corrupt));
        put("gameday_acked_writes", "Records of the last drill that were acknowledged.", &[], acked as f64);
        put("gameday_lost_acked_writes", "Of these, lost or corrupt.", &[], lost as f64);
    }
    let ratios = report.quality.as_ref().and_then(|q| q.ratio.zip(q.ratio_stored));
    if let Some((all, stored)) = ratios {
        let help = "Recall after against before.";
        for (metric, (point, lower)) in [("end_to_end", all), ("index", stored)] {
            put("gameday_quality_ratio", help, &[("metric", metric), ("bound", "point")], point);
            put("gameday_quality_ratio", help, &[("metric", metric), ("bound", "lower")], lower);
        }
    }
}

impl Page {
    fn text(&self) -> String {
        let mut text = String::new();
        let escape = |v: &str| v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        for (name, family) in &self.0 {
            let _ = write!(text, "# HELP {name} {}\n# TYPE {name} {}\n", family.help, family.kind);
            for (labels, value) in &family.samples {
                let labels: Vec<String> =
                    labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escape(v))).collect();
                let labels =
                    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        }
        text
    }
}
