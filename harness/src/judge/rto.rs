//! RTO: how long each service was gone, judged at the late end of what is known.

use super::Finding;
use crate::{
    facts::{Facts, Outage, ServiceFacts},
    plan::ServicePlan,
    scenario::RtoEnds,
    time::human_us,
    verdict::Verdict::{Fail, Pass, Unknown},
};

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let judged = facts.plan.services.iter().zip(&facts.services);
    judged.filter_map(|(plan, service)| finding(facts, plan, service)).collect()
}

fn finding(facts: &Facts, plan: &ServicePlan, service: &ServiceFacts) -> Option<Finding> {
    let limit = plan.objectives.rto?;
    let (t0_us, outage) = (facts.t0_us()?, service.outage.as_ref()?);
    let finding = Finding::new("rto", &service.name, format!("at most {limit}"));
    let finding = finding.evidence(outage.evidence.iter().copied());
    if outage.asked == 0 {
        return Some(finding.because(Unknown, "the service was never asked after the fault"));
    }
    if !all_struck(facts) {
        return Some(finding.measured(words(outage, t0_us)).because(Unknown, "not every fault has struck"));
    }
    let finding = finding.measured(words(outage, t0_us));
    if let Some(doubt) = outage.doubtful() {
        return Some(finding.because(Unknown, doubt));
    }
    Some(match plan.objectives.rto_ends {
        RtoEnds::Service => service_end(facts, plan, outage, t0_us, finding),
        RtoEnds::Verified => verified_end(facts, plan, outage, t0_us, finding),
    })
}

fn all_struck(facts: &Facts) -> bool {
    let planned = facts.plan.cues.iter().filter(|c| c.kind == crate::plan::StepKind::Fault).count();
    facts.faults().filter(|f| f.ended_us.is_some()).count() >= planned
}

fn service_end(facts: &Facts, plan: &ServicePlan, outage: &Outage, t0_us: u64, finding: Finding) -> Finding {
    let limit_us = plan.objectives.rto_us();
    if outage.bad == 0 {
        return absorbed(facts, plan, outage, finding);
    }
    if let Some(window) = outage.recovered {
        let took_us = window.late_us - t0_us.min(window.late_us);
        let lifted = facts.faults().filter_map(|f| f.lifted_us).any(|at| at <= window.late_us);
        let how = if lifted { "service came back once the fault was lifted" } else { "service came back" };
        return if took_us <= limit_us {
            finding.because(Pass, format!("{how} and stayed good for {}", plan.objectives.stable_for))
        } else {
            let over = human_us(took_us - limit_us);
            finding.because(Fail, format!("{how}, {over} too late"))
        };
    }
    let deadline_us = t0_us.saturating_add(limit_us);
    match outage.pending_us {
        // It may have recovered in time: nobody watched long enough to know.
        Some(since) if since <= deadline_us => {
            finding.because(Unknown, "watching stopped before the service had stayed good long enough")
        }
        _ if outage.watched_until_us.saturating_add(outage.period_us) >= deadline_us => {
            finding.because(Fail, "service did not come back for good within the limit")
        }
        _ => finding.because(Unknown, "watching stopped before the limit was reached"),
    }
}

fn absorbed(facts: &Facts, plan: &ServicePlan, outage: &Outage, finding: Finding) -> Finding {
    let struck = facts.faults().filter_map(|f| f.ended_us).max().unwrap_or(0);
    if outage.watched_until_us.saturating_add(outage.period_us)
        < struck.saturating_add(plan.objectives.stable_for.us())
    {
        return finding
            .because(Unknown, "watching stopped too soon after the fault to say that it was absorbed");
    }
    if !facts.faults().all(|f| f.observed()) {
        return finding.because(Unknown, "no probe failed, but a fault was not seen to take effect");
    }
    finding.because(Pass, "absorbed: no probe failed although every fault was seen to take effect")
}

fn verified_end(facts: &Facts, plan: &ServicePlan, outage: &Outage, t0_us: u64, finding: Finding) -> Finding {
    let by_service = service_end(facts, plan, outage, t0_us, finding);
    if by_service.verdict != Pass {
        return by_service;
    }
    let Some(t6) = facts.t6_us() else {
        return by_service.because(Unknown, "data and quality were never verified");
    };
    let took_us = t6 - t0_us.min(t6);
    let finding = by_service.measured(format!("verified after {}", human_us(took_us)));
    if took_us <= plan.objectives.rto_us() {
        finding.because(Pass, "service, data and quality were back and verified")
    } else {
        finding.because(Fail, "service was back in time, but not verified in time")
    }
}

/// An outage in words: the interval, and the period of the probes that found it.
fn words(outage: &Outage, t0_us: u64) -> String {
    let since = |us: u64| human_us(us.saturating_sub(t0_us));
    let period = human_us(outage.period_us);
    match (outage.recovered, outage.t1_us) {
        (Some(w), _) => format!("{} to {} (probe every {period})", since(w.early_us), since(w.late_us)),
        (None, Some(t1)) => {
            format!("gone after {}, not back within {}", since(t1), since(outage.watched_until_us))
        }
        (None, None) => format!("no bad probe of {} (probe every {period})", outage.asked),
    }
}
