//! What users had of the whole storm: the share of good answers, and how long good answers took.
//!
//! Both look at every probe that was due in the storm, before the fault too. A bad answer counts against availability
//! and not against latency, so that one outage is not judged twice.

use super::Finding;
use crate::{
    facts::{Facts, ProbeRecord, ServiceFacts},
    journal::Phase,
    plan::ServicePlan,
    time::human_us,
    verdict::Verdict::{Fail, Pass, Unknown},
};

/// Fewer answers have no 99th percentile.
const ANSWERS_MIN: usize = 100;

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let services = facts.plan.services.iter().zip(&facts.services);
    services.flat_map(|(plan, s)| [availability(facts, plan, s), latency(facts, plan, s)]).flatten().collect()
}

/// What the users of one service had.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Had {
    good: u64,
    asked: u64,
    missing: u64,
    /// 99 % of good answers came within this, from the time they were due; `None` if there were too few.
    pub(crate) p99_us: Option<u64>,
    /// The same from the time they were really asked.
    p99_sent_us: Option<u64>,
    /// The events of the first and the last of them.
    ends: [Option<u64>; 2],
}

impl Had {
    /// The share of good answers, those that were never asked for counted as bad.
    pub(crate) fn availability(&self) -> Option<f64> {
        let due = self.asked + self.missing;
        (due > 0).then(|| self.good as f64 / due as f64)
    }
}

/// Of one service over the storm; `None` if there was none.
pub(crate) fn had(facts: &Facts, service: &ServiceFacts) -> Option<Had> {
    let (from_us, to_us) = (facts.entered_us(Phase::Storm)?, facts.watched_until_us());
    let due = |p: &&ProbeRecord| (from_us..=to_us).contains(&p.due_us);
    let probes: Vec<&ProbeRecord> = service.probes.iter().filter(due).collect();
    let span =
        probes.first().zip(probes.last()).map_or(0, |(a, b)| b.n.saturating_sub(a.n).saturating_add(1));
    let good: Vec<&ProbeRecord> = probes.iter().copied().filter(|p| p.good).collect();
    let p99 = |since: fn(&ProbeRecord) -> u64| {
        let mut took: Vec<u64> = good.iter().map(|p| p.done_us.saturating_sub(since(p))).collect();
        took.sort_unstable();
        (took.len() >= ANSWERS_MIN).then(|| took[(took.len() * 99).div_ceil(100) - 1])
    };
    Some(Had {
        good: good.len() as u64,
        asked: probes.len() as u64,
        missing: span.saturating_sub(probes.len() as u64),
        p99_us: p99(|p| p.due_us),
        p99_sent_us: p99(|p| p.sent_us),
        ends: [probes.first(), probes.last()].map(|p| p.map(|p| p.seq)),
    })
}

fn availability(facts: &Facts, plan: &ServicePlan, service: &ServiceFacts) -> Option<Finding> {
    let limit = plan.objectives.availability?;
    let finding = Finding::new("availability", &service.name, format!("at least {limit}"));
    let Some((had, share)) = had(facts, service).and_then(|h| Some((h, h.availability()?))) else {
        return Some(finding.because(Unknown, "the service was never asked"));
    };
    let Had { good, asked, missing, .. } = had;
    let finding = finding.evidence(had.ends.into_iter().flatten());
    let finding =
        finding.measured(format!("{share:.5} ({good} good answers of {asked}, {missing} never asked)"));
    let at_best = (good + missing) as f64 / (asked + missing) as f64;
    Some(if share >= limit {
        finding.because(Pass, "enough answers were good")
    } else if at_best < limit {
        finding.because(Fail, "too many answers were bad, late or missing")
    } else {
        finding.because(Unknown, "probes that were never asked decide")
    })
}

fn latency(facts: &Facts, plan: &ServicePlan, service: &ServiceFacts) -> Option<Finding> {
    let limit = plan.objectives.latency_p99?;
    let finding = Finding::new("latency_p99", &service.name, format!("at most {limit}"));
    let had = had(facts, service);
    let Some((due, sent)) = had.and_then(|h| h.p99_us.zip(h.p99_sent_us)) else {
        let why = format!("fewer than {ANSWERS_MIN} good answers have no 99th percentile");
        return Some(finding.because(Unknown, why));
    };
    let ends = had.into_iter().flat_map(|h| h.ends).flatten();
    let finding = finding.measured(human_us(due)).evidence(ends);
    Some(if due <= limit.us() {
        finding.because(Pass, "99% of good answers came in time")
    } else if sent > limit.us() {
        finding.because(Fail, "good answers took too long")
    } else {
        finding.because(Unknown, "the harness itself was late with its questions")
    })
}
