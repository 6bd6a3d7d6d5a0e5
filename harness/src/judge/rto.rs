//! RTO: how long each service was unavailable, and for how long each store took no writes, judged at the late end of what is
//! known.
//!
//! A service that answers reads and refuses every write is not back. So each store to which load is written has a finding of
//! its own, `rto_writes`, judged against the shortest RTO of the services that use it.

use super::Finding;
use crate::{
    facts::{Facts, Outage, ServiceFacts, StoreFacts},
    plan::ServicePlan,
    scenario::RtoEnds,
    time::{Dur, human_us},
    verdict::Verdict::{Fail, Pass, Unknown},
};

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let strikes = strikes(facts);
    let judged = facts.plan.services.iter().zip(&facts.services);
    let services = judged.filter_map(|(plan, service)| service_finding(facts, &strikes, plan, service));
    services.chain(facts.stores.iter().filter_map(|store| writes_finding(facts, &strikes, store))).collect()
}

/// The faults of a drill, as far as an outage is judged by them.
#[derive(Clone, Debug)]
pub(crate) struct Strikes {
    /// Every fault of the drill has struck.
    pub(crate) all: bool,
    /// Each was seen to take effect.
    pub(crate) observed: bool,
    /// The last one had struck.
    pub(crate) last_us: u64,
    /// When the drill itself lifted one while users were still watched.
    pub(crate) lifted_us: Vec<u64>,
}

fn strikes(facts: &Facts) -> Strikes {
    let planned = facts.plan.cues.iter().filter(|c| c.kind == crate::plan::StepKind::Fault).count();
    Strikes {
        all: facts.faults().filter(|f| f.ended_us.is_some()).count() >= planned,
        observed: facts.faults().all(|f| f.observed()),
        last_us: facts.faults().filter_map(|f| f.ended_us).max().unwrap_or(0),
        lifted_us: facts.faults().filter_map(|f| f.lifted_us).collect(),
    }
}

/// What is judged: the probes of a service, or the writes to a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) outage: &'a Outage,
    pub(crate) strikes: &'a Strikes,
    /// When the harness stood still: from, to.
    pub(crate) stalls: &'a [(u64, u64)],
    pub(crate) t0_us: u64,
    pub(crate) limit: Dur,
    pub(crate) stable_for: Dur,
    /// `service`, or `store`.
    pub(crate) noun: &'static str,
    /// `probe`, or `write`.
    pub(crate) question: &'static str,
}

fn service_finding(
    facts: &Facts,
    strikes: &Strikes,
    plan: &ServicePlan,
    service: &ServiceFacts,
) -> Option<Finding> {
    let limit = plan.objectives.rto?;
    let (t0_us, outage) = (facts.t0_us()?, service.outage.as_ref()?);
    let stable_for = plan.objectives.stable_for;
    let (noun, question, stalls) = ("service", "probe", &facts.stalls);
    let case = Case { outage, strikes, stalls, t0_us, limit, stable_for, noun, question };
    let finding = Finding::new("rto", &service.name, format!("at most {limit}"));
    let finding = case.judge(finding);
    Some(match plan.objectives.rto_ends {
        RtoEnds::Service => finding,
        RtoEnds::Verified => verified_end(facts, plan, t0_us, finding),
    })
}

fn writes_finding(facts: &Facts, strikes: &Strikes, store: &StoreFacts) -> Option<Finding> {
    let role = store.store;
    facts.plan.scenario.load.of(role)?;
    let limit = facts.plan.rto_of(role)?;
    let (t0_us, outage) = (facts.t0_us()?, store.outage.as_ref()?);
    let stable_for = facts.plan.writes_stable_for(role)?;
    let (noun, question, stalls) = ("store", "write", &facts.stalls);
    let case = Case { outage, strikes, stalls, t0_us, limit, stable_for, noun, question };
    let finding = Finding::new("rto_writes", role.word(), format!("writes again within {limit}"));
    Some(case.judge(finding))
}

impl Case<'_> {
    pub(crate) fn judge(&self, finding: Finding) -> Finding {
        let Case { outage, strikes, .. } = *self;
        let finding = finding.evidence(outage.evidence.iter().copied()).measured(self.words());
        if outage.asked == 0 {
            let why = format!("no {} after the fault says anything{}", self.question, self.blame());
            return finding.because(Unknown, why);
        }
        if !strikes.all {
            return finding.because(Unknown, "not every fault has struck");
        }
        match outage.bad {
            0 => self.absorbed(finding),
            _ => self.outage(finding),
        }
    }

    fn outage(&self, finding: Finding) -> Finding {
        let Case { outage, t0_us, limit, .. } = *self;
        let (noun, question) = (self.noun, self.question);
        let deadline_us = t0_us.saturating_add(limit.us());
        if let Some(window) = outage.recovered {
            let lifted = self.strikes.lifted_us.iter().any(|at| *at <= window.late_us);
            let after = if lifted { " once the fault was lifted" } else { "" };
            let how = format!("{noun} came back{after}");
            if window.late_us <= deadline_us {
                return match self.too_coarse() {
                    Some(why) => finding.because(Unknown, why),
                    None => finding.because(Pass, format!("{how} and stayed good for {}", self.stable_for)),
                };
            }
            let over = human_us(window.late_us - deadline_us);
            if window.early_us <= deadline_us
                && let Some(why) = self.stalled_across(deadline_us)
            {
                return finding.because(Unknown, why);
            }
            return finding.because(Fail, format!("{how}, {over} too late"));
        }
        if outage.last_bad_us.is_some_and(|at| at > deadline_us) {
            return finding.because(Fail, format!("{noun} did not come back for good within the limit"));
        }
        match outage.pending_us {
            // It may have recovered in time: nobody watched long enough to know.
            Some(since) if since <= deadline_us => finding.because(
                Unknown,
                format!("watching stopped before the {noun} had stayed good long enough; play the drill to its end"),
            ),
            _ if outage.watched_until_us.saturating_add(outage.period_us) >= deadline_us => {
                match self.stalled_across(deadline_us) {
                    Some(why) => finding.because(Unknown, why),
                    None => finding.because(Fail, format!("{noun} did not come back for good within the limit")),
                }
            }
            _ => finding.because(
                Unknown,
                format!("watching stopped before the limit was reached, with the last {question} a bad one; play the drill to its end"),
            ),
        }
    }

    fn absorbed(&self, finding: Finding) -> Finding {
        let Case { outage, strikes, .. } = *self;
        let watched_us = outage.watched_until_us.saturating_add(outage.period_us);
        if watched_us < strikes.last_us.saturating_add(self.stable_for.us()) {
            return finding.because(
                Unknown,
                "watching stopped too soon after the fault to say that it was absorbed; play the drill to its end",
            );
        }
        if !strikes.observed {
            return finding.because(
                Unknown,
                format!("no {} failed, but a fault was not seen to take effect", self.question),
            );
        }
        if let Some(why) = self.too_coarse() {
            return finding.because(Unknown, why);
        }
        let why =
            format!("absorbed: no {} failed although every fault was seen to take effect", self.question);
        finding.because(Pass, why)
    }

    /// A relapse that is as long as this may have gone unseen.
    fn too_coarse(&self) -> Option<String> {
        let most_us = self.limit.us().min(self.stable_for.us() / 2);
        let Outage { resolution_us, missing, .. } = *self.outage;
        if missing > 0 {
            return Some(format!(
                "{missing} of the schedule's {}s are missing in the journal",
                self.question
            ));
        }
        (resolution_us > most_us).then(|| {
            format!(
                "nothing was asked for {}, and a pass needs a {} at least every {}{}",
                human_us(resolution_us),
                self.question,
                human_us(most_us),
                self.blame(),
            )
        })
    }

    fn stalled_across(&self, deadline_us: u64) -> Option<String> {
        let (from, to) = Outage::stalled_at(self.stalls, deadline_us)?;
        Some(format!(
            "the harness itself stood still for {} when the limit was reached, and cannot tell; give it a quieter \
             machine or more processors, and play the drill again",
            human_us(to - from)
        ))
    }

    fn blame(&self) -> String {
        let longest = self.stalls.iter().map(|(from, to)| to - from).max();
        match longest {
            Some(us) => format!(
                "; the harness itself stood still for up to {}: give it a quieter machine or more processors, and play \
                 the drill again",
                human_us(us)
            ),
            None => "; play the drill again, on a machine with less to do".into(),
        }
    }

    /// An outage in words: the interval, and how finely it was looked at.
    fn words(&self) -> String {
        let Case { outage, t0_us, question, .. } = *self;
        let since = |us: u64| human_us(us.saturating_sub(t0_us));
        let every = format!("{question} every {}", human_us(outage.period_us));
        let coarse = outage.resolution_us > outage.period_us.saturating_mul(2);
        let every = match coarse {
            true => format!("{every}, at worst {} apart", human_us(outage.resolution_us)),
            false => every,
        };
        match (outage.recovered, outage.t1_us) {
            (Some(w), _) => format!("{} to {} ({every})", since(w.early_us), since(w.late_us)),
            (None, Some(t1)) => {
                format!("gone after {}, not back within {}", since(t1), since(outage.watched_until_us))
            }
            (None, None) => format!("no bad {question} of {} ({every})", outage.asked),
        }
    }
}

fn verified_end(facts: &Facts, plan: &ServicePlan, t0_us: u64, by_service: Finding) -> Finding {
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
