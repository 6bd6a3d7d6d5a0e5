//! Which objective holds for whom: a service's own, then the scenario's, then the tier's.

use crate::{
    scenario::{Objectives, RtoEnds},
    time::Dur,
};

/// Objectives after all defaults.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Resolved {
    /// Users may be without service this long.
    pub rto: Option<Dur>,
    /// Acknowledged writes of this span may be lost.
    pub rpo: Option<Dur>,
    /// The share of quality that must be back.
    pub quality: Option<f64>,
    /// 99 % of good answers within this.
    pub latency_p99: Option<Dur>,
    /// The share of good answers.
    pub availability: Option<f64>,
    /// How long a service must stay good.
    pub stable_for: Dur,
    /// When the RTO clock stops.
    pub rto_ends: RtoEnds,
}

/// How long a stack may take to become steady before the storm.
pub const SETTLE_LIMIT: Dur = Dur::from_secs(60);

/// How long a service without an RTO is watched after the last fault.
const WATCH_WITHOUT_RTO: Dur = Dur::from_secs(60);

impl Resolved {
    /// How long recovery is waited for, in microseconds.
    pub fn rto_us(&self) -> u64 {
        self.rto.unwrap_or(WATCH_WITHOUT_RTO).us()
    }
}

/// The default RTO and RPO of a tier.
pub(super) fn tier(tier: u8) -> Option<(Dur, Dur)> {
    Some(match tier {
        1 => (Dur::from_secs(60), Dur::from_secs(0)),
        2 => (Dur::from_secs(300), Dur::from_secs(60)),
        3 => (Dur::from_secs(1800), Dur::from_secs(300)),
        4 => (Dur::from_secs(24 * 3600), Dur::from_secs(3600)),
        _ => return None,
    })
}

/// Applies the order of precedence.
pub(super) fn resolve(own: Option<&Objectives>, scenario: &Objectives) -> Resolved {
    let none = Objectives::default();
    let own = own.unwrap_or(&none);
    let tiers = own.tier.and_then(tier).or(scenario.tier.and_then(tier));
    // A service's own tier overrides the scenario's explicit figures as well: it is the more specific word.
    let own_tier = own.tier.and_then(tier);
    let rto = own.rto.or(own_tier.map(|t| t.0)).or(scenario.rto).or(tiers.map(|t| t.0));
    let rpo = own.rpo.or(own_tier.map(|t| t.1)).or(scenario.rpo).or(tiers.map(|t| t.1));
    Resolved {
        rto,
        rpo,
        quality: own.quality.or(scenario.quality),
        latency_p99: own.latency_p99.or(scenario.latency_p99),
        availability: own.availability.or(scenario.availability),
        stable_for: own.stable_for.or(scenario.stable_for).unwrap_or(Dur::from_secs(5)),
        rto_ends: own.rto_ends.or(scenario.rto_ends).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_beats_scenario_beats_tier() {
        let scenario = Objectives { tier: Some(2), rto: Some(Dur::from_secs(120)), ..Objectives::default() };
        let r = resolve(None, &scenario);
        assert_eq!((r.rto, r.rpo), (Some(Dur::from_secs(120)), Some(Dur::from_secs(60))));
        let own = Objectives { rpo: Some(Dur::from_secs(0)), ..Objectives::default() };
        let r = resolve(Some(&own), &scenario);
        assert_eq!((r.rto, r.rpo), (Some(Dur::from_secs(120)), Some(Dur::from_secs(0))));
        let own = Objectives { tier: Some(1), ..Objectives::default() };
        assert_eq!(resolve(Some(&own), &scenario).rto, Some(Dur::from_secs(60)));
    }
}
