//! What a drill can prove at most: warnings for one that passes easily, whatever its stack is worth.
//!
//! A warning changes no verdict. `check` prints them before anything is played, and the report repeats them.

use super::{Cue, Plan, StepKind, objectives};
use crate::{
    act::{Act, Artifact},
    scenario::{Priority, Service},
    time::Dur,
    topology::Role,
};

/// A limit this many times its tier's is hardly one.
const TENFOLD: u64 = 10;
/// Where a tier allows nothing, this is taken for what it allows.
const STRICT: Dur = Dur::from_secs(60);
/// A share of good answers below this lets an outage of half the drill pass.
const AVAILABILITY_LEAST: f64 = 0.5;
/// A share of quality below this lets half of a disaster pass.
const QUALITY_LEAST: f64 = 0.9;

impl Plan {
    /// Why a pass of this drill would prove little, in words; empty if nothing is wrong.
    pub fn proves_little(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .scenario
            .service
            .iter()
            .zip(&self.services)
            .flat_map(|(s, plan)| self.loose(s, plan))
            .collect();
        let quality = self.services.iter().map(|s| s.objectives.quality).chain([self.objectives.quality]);
        if let Some(least) = quality.flatten().min_by(f64::total_cmp).filter(|q| *q < QUALITY_LEAST) {
            all.push(format!(
                "a quality of {least} allows nearly everything to be lost; 0.98 is the usual one"
            ));
        }
        let shares = self.services.iter().filter_map(|s| Some((&s.name, s.objectives.availability?)));
        all.extend(shares.filter(|(_, share)| *share < AVAILABILITY_LEAST).map(|(name, share)| {
            format!("an availability of {share} lets `{name}` be gone for most of the drill")
        }));
        all.extend(self.unasked());
        let stable_for = self.services.iter().map(|s| s.objectives.stable_for).max();
        let brief =
            |c: &&Cue| c.kind == StepKind::Fault && c.hold.zip(stable_for).is_some_and(|(h, s)| h < s);
        all.extend(self.cues.iter().filter(brief).map(|c| {
            let (hold, stable) = (c.hold.unwrap_or_default(), stable_for.unwrap_or_default());
            format!(
                "the fault `{}` lasts {hold}, less than the {stable} for which a service must stay good",
                c.name
            )
        }));
        let rots = self.cues.iter().flat_map(|c| &c.acts);
        let rots = rots.filter(|a| matches!(a, Act::Damage { what: Artifact::Backup, .. })).count() > 0;
        let restores = self.cues.iter().flat_map(|c| &c.acts).any(|a| matches!(a, Act::Restore { .. }));
        if rots && !restores {
            all.push("a backup is damaged and never restored: nobody would notice".into());
        }
        all
    }

    /// Faults that hit nothing about which a service with objectives is asked.
    fn unasked(&self) -> Vec<String> {
        let judged = |s: &&super::ServicePlan| {
            let o = &s.objectives;
            o.rto.is_some() || o.availability.is_some() || o.latency_p99.is_some()
        };
        let asked = |role: Role| self.services.iter().filter(judged).any(|s| s.probe.asks(role));
        let felt = |role: Role| self.services.iter().any(|s| s.probe.asks(role));
        let mut all = Vec::new();
        for cue in self.cues.iter().filter(|c| c.kind == StepKind::Fault) {
            let hit: Vec<Role> = crate::journal::touched(&cue.acts).iter().map(|n| n.role).collect();
            if hit.iter().any(|r| felt(*r)) && !hit.iter().any(|r| asked(*r)) {
                all.push(format!(
                    "the fault `{}` hits what no service with objectives is asked about",
                    cue.name
                ));
            }
        }
        all
    }

    /// Limits that are far from what the service's tier asks for.
    fn loose(&self, service: &Service, plan: &super::ServicePlan) -> Vec<String> {
        let own = service.objectives.tier.or(self.scenario.objectives.tier);
        let tier = own.unwrap_or(match plan.priority {
            Priority::Critical => 1,
            Priority::BusinessCritical => 2,
            Priority::Operational => 3,
        });
        let Some((rto, rpo)) = objectives::tier(tier) else { return Vec::new() };
        // Ten times nothing is nothing.
        let far = |limit: Option<Dur>, usual: Dur| {
            limit.filter(|l| l.us() > usual.us().max(STRICT.us()).saturating_mul(TENFOLD))
        };
        let limits =
            [("RTO", far(plan.objectives.rto, rto), rto), ("RPO", far(plan.objectives.rpo, rpo), rpo)];
        let words = limits.into_iter().filter_map(|(what, limit, usual)| Some((what, limit?, usual)));
        let name = &plan.name;
        words
            .map(|(what, limit, usual)| {
                format!("the {what} of `{name}` is {limit}, more than ten times the {usual} of tier {tier}")
            })
            .collect()
    }
}
