//! What users had of the whole storm: the share of good answers, and how long good answers took.
//!
//! Both look at every probe that was due in the storm, before the fault too. A bad answer counts against availability
//! and not against latency, so that one outage is not judged twice.
//!
//! Both are judged twice where the harness was the slow one. Questions that it sent more than a period late or never, or
//! whose time ran out while it stood still, are counted once as bad (their latency the whole gap), and once left out.
//! Where that decides, nobody knows.

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

/// What to do where the harness was too slow to tell.
const QUIETER: &str = "questions that the harness itself sent late, or never, decide; give it a quieter machine or \
                       more processors, and play the drill again";

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let services = facts.plan.services.iter().zip(&facts.services);
    services.flat_map(|(plan, s)| [availability(facts, plan, s), latency(facts, plan, s)]).flatten().collect()
}

/// What the users of one service had.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Had {
    /// Good answers to questions that were asked in time.
    good: u64,
    /// Questions that were asked in time.
    asked: u64,
    /// Questions that the harness sent late or never, or whose answers it could not read in time.
    late: u64,
    /// 99 % of good answers came within this, from the time they were due, with the whole gap for each late question;
    /// `None` if there were too few.
    pub(crate) p99_us: Option<u64>,
    /// The same without late questions.
    p99_prompt_us: Option<u64>,
    /// The events of the first and the last of them.
    ends: [Option<u64>; 2],
}

impl Had {
    /// The share of good answers, those that were asked late or never counted as bad.
    pub(crate) fn availability(&self) -> Option<f64> {
        let due = self.asked.saturating_add(self.late);
        (due > 0).then(|| self.good as f64 / due as f64)
    }

    /// The same without them.
    fn availability_prompt(&self) -> Option<f64> {
        (self.asked > 0).then(|| self.good as f64 / self.asked as f64)
    }
}

/// Of one service over the storm; `None` if there was none.
pub(crate) fn had(facts: &Facts, service: &ServiceFacts) -> Option<Had> {
    let (from_us, to_us) = (facts.entered_us(Phase::Storm)?, facts.watched_until_us());
    let plan = facts.plan.services.iter().find(|p| p.name == service.name)?;
    let (period_us, timeout_us) = (plan.probe.every.us(), plan.probe.timeout.us());
    let due = |p: &&ProbeRecord| (from_us..=to_us).contains(&p.due_us);
    let probes: Vec<&ProbeRecord> = service.probes.iter().filter(due).collect();
    let late =
        |p: &ProbeRecord| p.sent_us.saturating_sub(p.due_us) > period_us || p.void(timeout_us, &facts.stalls);
    let prompt: Vec<&ProbeRecord> = probes.iter().copied().filter(|p| !late(p)).collect();
    let mut took: Vec<u64> =
        prompt.iter().filter(|p| p.good).map(|p| p.done_us.saturating_sub(p.due_us)).collect();
    let p99_prompt_us = p99(&mut took.clone());
    took.extend(probes.iter().filter(|p| late(p)).map(|p| p.done_us.saturating_sub(p.due_us)));
    let mut never = 0u64;
    for pair in probes.windows(2) {
        let missing = pair[1].n.saturating_sub(pair[0].n).saturating_sub(1);
        never = missing.saturating_add(never);
        let gap_us = pair[1].done_us.saturating_sub(pair[0].due_us);
        took.extend(std::iter::repeat_n(gap_us, usize::try_from(missing).unwrap_or(0).min(MISSING_MAX)));
    }
    Some(Had {
        good: prompt.iter().filter(|p| p.good).count() as u64,
        asked: prompt.len() as u64,
        late: ((probes.len() - prompt.len()) as u64).saturating_add(never),
        p99_us: p99(&mut took),
        p99_prompt_us,
        ends: [probes.first(), probes.last()].map(|p| p.map(|p| p.seq)),
    })
}

/// As many missing probes as one gap is counted for: a journal that skips a million numbers was not written by a drill.
const MISSING_MAX: usize = 1_000_000;

fn p99(took: &mut [u64]) -> Option<u64> {
    took.sort_unstable();
    (took.len() >= ANSWERS_MIN).then(|| took[(took.len() * 99).div_ceil(100) - 1])
}

fn availability(facts: &Facts, plan: &ServicePlan, service: &ServiceFacts) -> Option<Finding> {
    let limit = plan.objectives.availability?;
    let finding = Finding::new("availability", &service.name, format!("at least {limit}"));
    let Some((had, share)) = had(facts, service).and_then(|h| Some((h, h.availability()?))) else {
        return Some(finding.because(Unknown, "the service was never asked"));
    };
    let Had { good, asked, late, .. } = had;
    let finding = finding.evidence(had.ends.into_iter().flatten());
    let finding =
        finding.measured(format!("{share:.5} ({good} good answers of {asked}, {late} asked late or never)"));
    let verdict = |share: f64| if share >= limit { Pass } else { Fail };
    let without = had.availability_prompt().map_or(Unknown, verdict);
    Some(match (verdict(share), without) {
        (Pass, Pass) => finding.because(Pass, "enough answers were good"),
        (Fail, Fail) => finding.because(Fail, "too many answers were bad, late or missing"),
        _ => finding.because(Unknown, QUIETER),
    })
}

fn latency(facts: &Facts, plan: &ServicePlan, service: &ServiceFacts) -> Option<Finding> {
    let limit = plan.objectives.latency_p99?;
    let finding = Finding::new("latency_p99", &service.name, format!("at most {limit}"));
    let had = had(facts, service);
    let Some((all_us, prompt_us)) = had.and_then(|h| h.p99_us.zip(h.p99_prompt_us)) else {
        let why = format!("fewer than {ANSWERS_MIN} good answers have no 99th percentile");
        return Some(finding.because(Unknown, why));
    };
    let ends = had.into_iter().flat_map(|h| h.ends).flatten();
    let finding = finding.measured(human_us(all_us)).evidence(ends);
    Some(if all_us.max(prompt_us) <= limit.us() {
        finding.because(Pass, "99% of good answers came in time")
    } else if all_us.min(prompt_us) > limit.us() {
        finding.because(Fail, "good answers took too long")
    } else {
        finding.because(Unknown, QUIETER)
    })
}
