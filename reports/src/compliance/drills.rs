//! The figures that rest on drills.

use std::collections::BTreeMap;

use harness::{own::RestoreReport, scenario::Priority, verdict::Verdict};

use super::{Kpi, stats};
use crate::{
    evidence::{record, unix_of, verify::Run},
    text::words::{close_us, share, share_at_least},
};

/// Drills that must pass.
const SUCCESS: f64 = 0.95;
/// The share of the quality before.
const QUALITY: f64 = 0.98;
/// Days between two passed drills.
const DAYS: u64 = 90;
/// RTO of critical services.
const CRITICAL_RTO_US: u64 = 60_000_000;

pub(super) fn passed(run: &Run) -> bool {
    let said = run.closed.as_ref().is_some_and(|(_, c)| c.verdict == Verdict::Pass);
    said && run.recomputed.as_ref().is_some_and(|r| r.report.verdict == Verdict::Pass)
}

fn ended(run: &Run) -> &'static str {
    match (&run.closed, &run.recomputed) {
        (None, _) => "never closed",
        (Some(_), None) => "left no journal to judge",
        (Some((_, c)), Some(_)) => match c.verdict {
            Verdict::Pass => "passed",
            Verdict::Unknown => "unknown",
            Verdict::Fail => "failed",
        },
    }
}

fn name(run: &Run) -> String {
    run.declared.run.clone()
}

fn named(runs: &[&Run]) -> Vec<String> {
    runs.iter().map(|r| name(r)).collect()
}

fn interval(k: usize, n: usize) -> Option<String> {
    let (low, high) = stats::wilson(k, n);
    let exact = stats::exact_lower(k, n);
    (n > 0).then(|| {
        format!(
            "at 95 % confidence: {} to {} (Wilson), at least {} (exact, one-sided)",
            share(low),
            share(high),
            share_at_least(exact)
        )
    })
}

/// The objectives of every tier: RTO and RPO as they were declared.
pub(super) fn objectives(real: &[&Run]) -> Kpi {
    let mut kpi = Kpi::new("tier objectives met", "every RTO and RPO that was declared");
    let (mut met, mut all) = (0, 0);
    for run in real {
        kpi.runs.push(name(run));
        let Some(recomputed) = &run.recomputed else {
            let limits = run.declared.objectives.iter();
            all += limits
                .map(|o| usize::from(o.rto_us.is_some()) + usize::from(o.rpo_us.is_some()))
                .sum::<usize>();
            kpi.gaps.push(format!("{}: {}", name(run), ended(run)));
            continue;
        };
        let judged =
            recomputed.report.findings.iter().filter(|f| ["rto", "rpo"].contains(&f.objective.as_str()));
        for f in judged {
            all += 1;
            match f.verdict {
                Verdict::Pass => met += 1,
                verdict => kpi.gaps.push(format!(
                    "{}: {} of {}: {verdict}, {} (required: {})",
                    name(run),
                    f.objective,
                    f.subject,
                    f.measured,
                    f.required
                )),
            }
        }
    }
    kpi.n = all;
    kpi.interval = interval(met, all);
    if all == 0 && kpi.gaps.is_empty() {
        kpi
    } else {
        kpi.decide(format!("{met} of {all}"), all > 0 && met == all)
    }
}

/// Passes among all that were declared.
pub(super) fn success(real: &[&Run]) -> Kpi {
    let mut kpi = Kpi::new("drill success rate", "at least 95 % of all runs declared");
    let won = real.iter().filter(|r| passed(r)).count();
    (kpi.n, kpi.interval, kpi.runs) = (real.len(), interval(won, real.len()), named(real));
    if real.is_empty() {
        return kpi;
    }
    let rate = won as f64 / real.len() as f64;
    if rate < SUCCESS {
        kpi.gaps = real.iter().filter(|r| !passed(r)).map(|r| format!("{}: {}", name(r), ended(r))).collect();
    }
    kpi.decide(format!("{} ({won} of {})", share_at_least(rate), real.len()), rate >= SUCCESS)
}

/// Recall after against before, at the lower bound that the drill itself was judged by.
pub(super) fn quality(real: &[&Run]) -> Kpi {
    let mut kpi =
        Kpi::new("post-recovery quality", "at least 98 % of before, as a lower 95 % bound, in every run");
    let (mut worst, mut point) = (f64::INFINITY, f64::INFINITY);
    for run in real {
        let asked = run.declared.objectives.iter().any(|o| o.quality.is_some());
        let report = run.recomputed.as_ref().map(|r| &r.report);
        let recall = report.and_then(|r| r.quality.as_ref()).and_then(|q| q.ratio.zip(q.ratio_stored));
        // Of a restore every row is compared: its share is no sample, and has no bound.
        let restored = report.and_then(|r| r.restore.as_ref()).map(|r| r.share_back().unwrap_or(0.0));
        let bounds = recall.or(restored.map(|share| ((share, share), (share, share))));
        match bounds {
            Some((all, stored)) => {
                kpi.n += 1;
                kpi.runs.push(name(run));
                let lower = all.1.min(stored.1);
                (worst, point) = (worst.min(lower), point.min(all.0.min(stored.0)));
                if lower < QUALITY {
                    kpi.gaps.push(format!("{}: {}", name(run), share_at_least(lower)));
                }
            }
            None if asked => kpi.gaps.push(format!("{}: quality was asked for, and not measured", name(run))),
            None => {}
        }
    }
    if kpi.n == 0 && kpi.gaps.is_empty() {
        return kpi;
    }
    let measured = match kpi.n {
        0 => "nothing".to_owned(),
        _ => format!("worst run {} at its lower bound, {} as measured", share_at_least(worst), share(point)),
    };
    let enough = kpi.n > 0 && worst >= QUALITY;
    kpi.decide(measured, enough)
}

/// Required fields and sections of the runbook that people have filled, and a review.
pub(super) fn documentation(real: &[&Run]) -> Kpi {
    let mut kpi =
        Kpi::new("documentation completeness", "100 % of required fields, reviewed by a second person");
    let (mut filled, mut required) = (0, 0);
    kpi.runs = named(real);
    for run in real {
        match &run.record {
            Some(record) => {
                (filled, required) = (filled + record.filled, required + record.required);
                if !record.missing.is_empty() {
                    kpi.gaps.push(format!("{}: missing {}", name(run), record.missing.join(", ")));
                }
            }
            None => {
                required += record::required();
                kpi.gaps.push(format!("{}: no record that can be read", name(run)));
            }
        }
        if run.reviewed.is_none() {
            kpi.gaps.push(format!("{}: not reviewed", name(run)));
        }
    }
    kpi.n = required;
    if real.is_empty() {
        return kpi;
    }
    let rate = if required > 0 { filled as f64 / required as f64 } else { 0.0 };
    let reviewed = real.iter().filter(|r| r.reviewed.is_some()).count();
    kpi.decide(
        format!(
            "{} ({filled} of {required} fields), {reviewed} of {} runs reviewed",
            share_at_least(rate),
            real.len()
        ),
        required > 0 && filled == required,
    )
}

/// Days since the last passed drill of each service in each scenario.
pub(super) fn recent(ever: &[&Run], as_of: &str) -> Kpi {
    let mut kpi = Kpi::new("days since the last passed drill", "at most 90, for every service and scenario");
    let mut last: BTreeMap<(String, String), Option<(u64, String)>> = BTreeMap::new();
    let now = unix_of(as_of).unwrap_or(u64::MAX);
    for run in ever {
        let at = run.ended_unix().filter(|at| passed(run) && *at <= now);
        if passed(run) && run.ended_unix().is_none() {
            kpi.gaps.push(format!(
                "{}: it passed at a time that is not known: its stamp is not believed",
                name(run)
            ));
        }
        for o in &run.declared.objectives {
            let known = last.entry((o.service.clone(), run.declared.scenario.clone())).or_default();
            if let Some(at) = at {
                *known = Some((at, name(run)));
            }
        }
    }
    kpi.n = last.len();
    if last.is_empty() {
        return kpi;
    }
    let mut oldest = 0;
    for ((service, scenario), passed) in last {
        let Some((at, run)) = passed else {
            kpi.gaps.push(format!("{service} in {scenario}: never passed"));
            continue;
        };
        let past = now - at;
        oldest = oldest.max(past);
        if past > DAYS * 86_400 {
            kpi.gaps.push(format!("{service} in {scenario}: {} ago ({run})", days(past)));
        }
        if !kpi.runs.contains(&run) {
            kpi.runs.push(run);
        }
    }
    let measured =
        if kpi.runs.is_empty() { "no passed drill".into() } else { format!("{}, the longest", days(oldest)) };
    let enough = !kpi.runs.is_empty() && oldest <= DAYS * 86_400;
    kpi.decide(measured, enough)
}

/// A span in whole days, unless that would hide that it is over the limit.
fn days(seconds: u64) -> String {
    match seconds / 86_400 {
        DAYS if seconds > DAYS * 86_400 => format!("{DAYS} days and {} s", seconds - DAYS * 86_400),
        days => format!("{days} days"),
    }
}

/// RTO of critical services.
pub(super) fn critical_rto(real: &[&Run]) -> Kpi {
    let mut kpi = Kpi::new("RTO of critical services", "at most 60 s, each time");
    let mut longest = None;
    for run in real {
        let critical = run.declared.objectives.iter().filter(|o| o.priority == Priority::Critical);
        for o in critical {
            kpi.n += 1;
            let report = run.recomputed.as_ref().map(|r| &r.report);
            let service = report.and_then(|r| r.services.iter().find(|s| s.service == o.service));
            // Without its own finding a span could come from a drill in which nothing was broken.
            let doubted = report.is_none_or(|r| {
                let about = |f: &&harness::judge::Finding| f.objective == "rto" && f.subject == o.service;
                r.findings.iter().find(about).is_none_or(|f| f.verdict == Verdict::Unknown)
            });
            let gone = service.and_then(|s| if s.absorbed { Some(0) } else { s.rto_us });
            let restored = report.and_then(|r| r.restore.as_ref()).and_then(|r| r.rto_us);
            match gone.or(restored).filter(|_| !doubted) {
                Some(us) => {
                    longest = longest.max(Some(us));
                    if us > CRITICAL_RTO_US {
                        let gone = close_us(us, CRITICAL_RTO_US);
                        kpi.gaps.push(format!("{}: {} was unavailable for {gone}", name(run), o.service));
                    }
                }
                None => kpi.gaps.push(format!("{}: {} is not known to have come back", name(run), o.service)),
            }
            if kpi.runs.last() != Some(&name(run)) {
                kpi.runs.push(name(run));
            }
        }
    }
    if kpi.n == 0 {
        return kpi;
    }
    kpi.interval = Some(format!(
        "the longest of {} bounds p{:.0} at 95 % confidence, and no more",
        kpi.n,
        (0.05_f64.powf(1.0 / kpi.n as f64) * 100.0).floor()
    ));
    // Where nobody came back there is no longest time, and certainly none of 0.
    let measured =
        longest.map_or("nothing".into(), |us| format!("{} at the longest", close_us(us, CRITICAL_RTO_US)));
    kpi.decide(measured, longest.is_some_and(|us| us <= CRITICAL_RTO_US))
}

/// Records that a restore had to bring back, rows and canaries, and how many of them it did not.
fn required_of(r: &RestoreReport) -> (u64, u64) {
    let rows: u64 = r.witnesses.iter().filter_map(|w| w.before).sum();
    let same: u64 = r.witnesses.iter().filter_map(|w| w.same).sum();
    let canaries = r.canaries_back + r.canaries_harmed;
    (rows + canaries, rows.saturating_sub(same) + r.canaries_harmed)
}

/// What stores of critical services lost.
pub(super) fn critical_rpo(real: &[&Run]) -> Kpi {
    let mut kpi = Kpi::new("RPO of critical services", "nothing lost, nothing corrupt, each time");
    let (mut acked, mut harm) = (0, 0);
    for run in real.iter().filter(|r| r.declared.objectives.iter().any(|o| o.priority == Priority::Critical))
    {
        kpi.runs.push(name(run));
        kpi.n += 1;
        let Some(recomputed) = &run.recomputed else {
            kpi.gaps.push(format!("{}: {}", name(run), ended(run)));
            continue;
        };
        if let Some(restore) = &recomputed.report.restore {
            let (had, gone) = required_of(restore);
            (acked, harm) = (acked + had, harm + gone);
            if had == 0 {
                kpi.gaps.push(format!("{}: nothing of {} was read back", name(run), restore.source));
            } else if gone > 0 {
                kpi.gaps.push(format!(
                    "{}: {gone} of {had} records of {} are not as they were",
                    name(run),
                    restore.source
                ));
            }
            continue;
        }
        let stores =
            recomputed.report.ledger.iter().filter(|s| recomputed.critical_stores.contains(&s.store));
        let mut read = 0;
        for s in stores {
            (acked, harm) = (acked + s.acked, harm + s.lost + s.corrupt);
            if !s.read_back || s.acked == 0 {
                kpi.gaps.push(format!("{}: {} was not read back", name(run), s.store.word()));
            } else if s.lost + s.corrupt > 0 {
                let (store, lost, corrupt) = (s.store.word(), s.lost, s.corrupt);
                kpi.gaps.push(format!("{}: {store} lost {lost}, damaged {corrupt}", name(run)));
            }
            read += 1;
        }
        if read == 0 {
            kpi.gaps.push(format!("{}: no store of a critical service was watched", name(run)));
        }
    }
    if kpi.n == 0 {
        return kpi;
    }
    kpi.interval = Some(format!("a census: all {acked} acknowledged records were read back"));
    if !kpi.gaps.is_empty() {
        kpi.interval = None;
    }
    let measured =
        if acked > 0 { format!("{harm} of {acked} acknowledged records") } else { "nothing".into() };
    kpi.decide(measured, acked > 0 && harm == 0)
}
