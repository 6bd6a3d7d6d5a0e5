//! `report.txt`: the report that people read, at most 100 columns of plain text.
//!
//! The verdict comes first and in words, then what had to hold against what was measured, then the facts behind it:
//! services, data, quality, timeline, and what is needed to play the drill again.

pub(crate) mod page;
pub(crate) mod words;

use harness::{
    judge::Finding,
    ports::CountsAs,
    report::{MomentKind, QualityReport, Report, ServiceReport, StoreReport},
    scenario::WorldName,
    time::human_us,
    verdict::Verdict,
};

use page::Page;
use words::{count, limit_us, maybe_us, share, share_at_least, stamp};

/// The whole report.
pub fn render(report: &Report) -> String {
    let mut page = Page::default();
    top(&mut page, report);
    findings(&mut page, report);
    if let Some(fault) = &report.fault {
        crate::faulted::text(&mut page, fault);
    }
    if let Some(restore) = &report.restore {
        crate::restored::text(&mut page, restore);
    }
    services(&mut page, report);
    data(&mut page, report);
    quality(&mut page, report);
    builds(&mut page, report);
    timeline(&mut page, report);
    bottom(&mut page, report);
    page.text()
}

/// What the verdict is worth, in words.
pub(crate) fn counts_as(report: &Report) -> &'static str {
    match (report.counts_as, report.world) {
        (CountsAs::Production, _) => "production: a drill of the user's own stack in production",
        (CountsAs::Staging, _) => "staging: a drill of the user's own stack, not production",
        (CountsAs::Disposable, _) => {
            "disposable: a drill of the user's own stack that may be thrown away, not production"
        }
        (CountsAs::Rehearsal, WorldName::Sim) => "rehearsal: simulated, never evidence of a production stack",
        (CountsAs::Rehearsal, _) => "rehearsal: never evidence of a production stack",
    }
}

fn top(page: &mut Page, r: &Report) {
    page.wrapped("", 2, &crate::headline(r));
    if let Some(flaw) = &r.flaw {
        page.item(
            "  !! ",
            &format!("A FLAW WAS PLANTED ON PURPOSE: {flaw}. This drill tests gameday, not a stack."),
        );
    }
    page.section(&r.title);
    page.item("  scenario   ", &r.scenario);
    page.item("  world      ", &format!("{} ({})", r.world, counts_as(r)));
    if r.world.rehearses() {
        page.item("  seed       ", &r.seed.to_string());
    }
    page.item("  run        ", &r.run);
    page.item("  started    ", &format!("{}, took {}", r.started, human_us(r.took_us)));
}

fn findings(page: &mut Page, r: &Report) {
    page.section("WHAT HAD TO HOLD, AND WHAT WAS MEASURED");
    if r.findings.is_empty() {
        page.item("  ", "Nothing was judged, so nothing is proved.");
    }
    // The worst first; among equals, in the order in which they were judged.
    for verdict in [Verdict::Fail, Verdict::Unknown, Verdict::Pass] {
        for f in r.findings.iter().filter(|f| f.verdict == verdict) {
            finding(page, f);
        }
    }
    for why in &r.proves_little {
        page.wrapped("  ", 4, &format!("proves little: {why}"));
    }
    if !r.still_down.is_empty() {
        page.wrapped("  ", 4, &format!("still down at the end: {}", r.still_down.join(", ")));
    }
}

/// The findings that are no pass, the worst first; empty if there are none.
pub fn doubts(report: &Report) -> String {
    let mut page = Page::default();
    for verdict in [Verdict::Fail, Verdict::Unknown] {
        report.findings.iter().filter(|f| f.verdict == verdict).for_each(|f| finding(&mut page, f));
    }
    page.text()
}

/// A pass in a line; everything else with its reason and the events that prove it.
fn finding(page: &mut Page, f: &Finding) {
    let of = format!("{} of {}", f.objective, f.subject);
    if f.verdict == Verdict::Pass {
        // The others require the same of every drill.
        let judged = ["rto", "rpo", "quality", "availability", "latency_p99"].contains(&f.objective.as_str());
        let required = if judged { format!("; required: {}", f.required) } else { String::new() };
        let text = format!("{of}: {}{required}", f.measured);
        return page.item(&format!("  {:<8} ", f.verdict.to_string()), &text);
    }
    page.item(&format!("  {:<8} ", f.verdict.to_string()), &of);
    for (what, text) in [("required", &f.required), ("measured", &f.measured), ("because", &f.why)] {
        if !text.is_empty() {
            page.item(&format!("           {what:<8}  "), text);
        }
    }
    if !f.evidence.is_empty() {
        let events: Vec<String> = f.evidence.iter().map(u64::to_string).collect();
        page.item("           events    ", &events.join(", "));
    }
}

fn services(page: &mut Page, r: &Report) {
    if r.services.is_empty() {
        return;
    }
    page.section("SERVICES (every span counts from the first fault, t0)");
    for s in &r.services {
        let limits = r.objectives.iter().find(|o| o.service == s.service);
        let limit = limits.and_then(|o| o.rto_us).map(|us| format!(" (limit {})", limit_us(us)));
        let how = format!("{}{}", outage(s), limit.unwrap_or_default());
        page.item("  ", &format!("{} ({}): {how}", s.service, s.priority));
        if !s.absorbed && s.impact_us.is_some() {
            service_times(page, s, limits.map_or(0, |o| o.stable_for_us));
        }
        let asked = format!(
            "{} probes, {} bad, one every {}; the harness was at worst {} late",
            count(s.probes),
            count(s.bad),
            human_us(s.probe_period_us),
            human_us(s.harness_lag_us)
        );
        page.item("      probes   ", &asked);
        had(page, s);
        if s.older > 0 {
            let text =
                format!("{} records were shown as they were before an acknowledged write", count(s.older));
            page.item("               ", &text);
        }
    }
}

/// What users had of the whole storm.
fn had(page: &mut Page, s: &ServiceReport) {
    let Some(share) = s.availability else { return };
    let p99 = s.latency_p99_us.map_or("too few answers to say".into(), human_us);
    page.item("      users    ", &format!("{share:.4} of answers were good; 99 % of good ones within {p99}"));
}

/// How long it was unavailable: the truth lies in the interval, and its late end is judged.
fn outage(s: &ServiceReport) -> String {
    if s.absorbed {
        return "absorbed, no probe failed".into();
    }
    let lifted = if s.lifted { ", back once the fault was lifted" } else { "" };
    match (s.rto_early_us, s.rto_us) {
        (Some(early), Some(late)) => {
            format!("unavailable for {} to {}{lifted}", human_us(early), human_us(late))
        }
        _ if s.impact_us.is_some() => "did not come back for good while it was watched".into(),
        _ => "not measured".into(),
    }
}

fn service_times(page: &mut Page, s: &ServiceReport, stable_for_us: u64) {
    let detected = if s.detection_bypassed { "detection: bypassed, recovery had a fixed time" } else { "" };
    let stable = format!("RTO actual: good from here for {}", limit_us(stable_for_us));
    let rows = [
        ("t1 impact", s.impact_us, s.why.as_deref().unwrap_or("")),
        ("t2 detected", s.detected_us, detected),
        ("t3 recovery starts", s.recovery_started_us, ""),
        ("t4 first good answer", s.first_good_us, ""),
        ("t5 stable", s.rto_us, if s.rto_us.is_some() { stable.as_str() } else { "" }),
        ("t6 data verified", s.verified_us, ""),
    ];
    for (what, at, note) in rows {
        page.item(&format!("      {what:<22}{:>10}  ", maybe_us(at)), note);
    }
    let between =
        |from: Option<u64>, to: Option<u64>| maybe_us(from.zip(to).and_then(|(a, b)| b.checked_sub(a)));
    let parts = format!(
        "detection (t0 to t2) {}, reaction (t2 to t3) {}, repair (t3 to t4) {}, until stable (t4 to t5) {}, \
         verification (t5 to t6) {}",
        maybe_us(s.detected_us),
        between(s.detected_us, s.recovery_started_us),
        between(s.recovery_started_us, s.first_good_us),
        between(s.first_good_us, s.rto_us),
        between(s.rto_us, s.verified_us),
    );
    page.item("      of which ", &parts);
    if s.per_fault_us.len() > 1 {
        let each: Vec<String> =
            s.per_fault_us.iter().map(|(fault, us)| format!("{} since {fault}", human_us(*us))).collect();
        page.item("      clocks   ", &each.join(", "));
    }
}

fn data(page: &mut Page, r: &Report) {
    if r.ledger.is_empty() {
        return;
    }
    page.section("DATA (every acknowledged record, read back as a user would and before any undo)");
    let longest = r.ledger.iter().map(|s| r.name_of(s).len()).max().unwrap_or(0).max(7);
    let widths = [longest, 12, 12, 8, 8, 10, 11, 10, 9];
    let heads =
        ["store", "acked", "intact", "lost", "corrupt", "recovered", "unexpected", "duplicate", "RPO"];
    page.row(&widths, &heads.map(String::from));
    for s in &r.ledger {
        let store = r.name_of(s);
        if !s.read_back {
            page.item(&format!("  {store:<longest$} "), "NOT READ BACK: nobody knows what it holds");
            continue;
        }
        let figures =
            [s.acked, s.intact, s.lost, s.corrupt, s.recovered, s.unexpected, s.duplicate].map(count);
        let row: Vec<String> = std::iter::once(store).chain(figures).chain([maybe_us(s.rpo_us)]).collect();
        page.row(&widths, &row);
    }
    for (i, s) in r.ledger.iter().enumerate() {
        remarks(page, &r.name_of(s), s);
        // Several copies of a store have one load.
        if r.ledger[..i].iter().any(|before| before.store == s.store) {
            continue;
        }
        let load = format!(
            "load of {}: {} writes acknowledged, {} refused, {} of unknown outcome",
            s.store,
            count(s.writes_ok),
            count(s.writes_failed),
            count(s.writes_unknown)
        );
        page.wrapped("  ", 4, &load);
        if let Some(l) = &s.latency {
            let [p50, p99, p999, max] = [l.p50_us, l.p99_us, l.p999_us, l.max_us].map(human_us);
            let text = format!("acknowledged after: p50 {p50}, p99 {p99}, p99.9 {p999}, at most {max}");
            page.wrapped("    ", 6, &text);
        }
        if let Some(us) = s.no_writes_us.filter(|us| *us > 0) {
            page.wrapped("    ", 6, &format!("took writes again {} after the first fault", human_us(us)));
        }
    }
}

fn remarks(page: &mut Page, name: &str, s: &StoreReport) {
    if s.scattered_loss {
        let text =
            "losses of {} are scattered: newer records survived older ones, so the span understates the harm";
        page.wrapped("  ", 4, &text.replace("{}", name));
    }
    if let Some(n) = s.diverged_after_undo.filter(|n| *n > 0) {
        page.wrapped("  ", 4, &format!("{} records of {name} read differently after the undo", count(n)));
    }
}

fn quality(page: &mut Page, r: &Report) {
    let Some(q) = &r.quality else { return };
    page.section(&format!("QUALITY (recall@{} over {} frozen queries)", q.k, count(q.queries as u64)));
    page.item("  before              ", &format!("{:.4}, measured again {:.4}", q.before[0], q.before[1]));
    let QualityReport { after, after_stored, ratio, ratio_stored, .. } = q;
    for (what, recall) in [("of everything acknowledged", after), ("of what is stored", after_stored)] {
        let text = recall.map_or("not measured".into(), |x| format!("{x:.4} {what}"));
        page.item("  after               ", &text);
    }
    for (what, ratio) in [("end to end", ratio), ("index only", ratio_stored)] {
        let text = ratio.map_or("not measured".into(), |(point, lower)| {
            format!("{} of before, lower 95 % bound {}", share(point), share_at_least(lower))
        });
        page.item(&format!("  {what:<20}"), &text);
    }
}

fn builds(page: &mut Page, r: &Report) {
    if r.builds.is_empty() {
        return;
    }
    page.section("INDEX BUILDS (who really built, by the store's own word)");
    for b in &r.builds {
        page.wrapped("  ", 4, &format!("{} of {}: {}", b.step, b.node, b.what()));
        page.item("    engine   ", &b.by());
    }
}

fn timeline(page: &mut Page, r: &Report) {
    page.section("TIMELINE");
    for m in &r.timeline {
        let kind = match m.kind {
            MomentKind::Phase => "phase",
            MomentKind::Fault => "FAULT",
            MomentKind::Impact => "IMPACT",
            MomentKind::Detected => "detected",
            MomentKind::Recovery => "recovery",
            MomentKind::Recovered => "RECOVERED",
            MomentKind::Undo => "undo",
        };
        let head = format!("{}  {kind:<10}", stamp(m.at_us));
        page.item(&head, &m.what);
        if !m.seen.is_empty() {
            page.item(&format!("{}seen: ", " ".repeat(head.chars().count())), &m.seen);
        }
    }
}

fn bottom(page: &mut Page, r: &Report) {
    page.section("TO CHECK IT AND TO PLAY IT AGAIN");
    page.item("  scenario   sha256 ", &r.scenario_sha256);
    page.item("  journal    ", &format!("{} events, each chained to the one before", count(r.events)));
    page.item("  gameday    ", &r.gameday);
    page.item("  machine    ", &r.machine);
    for set in &r.overrides {
        page.item("  set        ", set);
    }
    for note in &r.notes {
        page.item("  note       ", note);
    }
}
