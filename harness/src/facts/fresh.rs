//! Whether what users were shown was new enough.
//!
//! An answer may show what the ledger allows at the moment it was asked for: a write that no acknowledged one had
//! overwritten by then, anything concurrent or later, anything of unknown outcome. An older one is allowed where
//! every write that had overwritten it may have been lost: acknowledged no earlier than the RPO before the last
//! fault, and before the last fault had struck and the last step that may have rolled the store back had ended. A
//! copy that follows another one may lag behind it, for as long as copies have to converge. An answer that shows
//! anything else is a bad one; without an RPO older values are counted, and not judged. So is one that came later
//! than it is waited for, unless the harness itself stood still meanwhile.

use super::{Facts, ProbeRecord, ServiceFacts, StepFacts};
use crate::{
    act::Act,
    journal::Shown,
    ledger::{History, Sight},
    plan::{CONVERGE_LIMIT, StepKind},
    time::human_us,
    topology::Role,
};

/// What one answer showed.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its place among the probes of the service, in the order of the journal.
    pub(super) at: usize,
    pub(super) shown: Shown,
}

/// Which older writes of a store users may be shown.
#[derive(Debug)]
struct Allowed {
    /// Writes acknowledged from here on may be lost,
    from_us: u64,
    /// and up to the end of the last step that began before the answer came: faults, and recovery steps that may have taken
    /// the store, or its users, back to an older state. When they began, and ended.
    steps: Vec<(u64, u64)>,
    /// Answers that were asked for since the first fault may show it.
    t0_us: u64,
    /// How far the copy may lag behind.
    lag_us: u64,
    /// Whether there is an RPO.
    judged: bool,
}

impl Allowed {
    /// Whether a write that these have overwritten may be shown.
    fn older(&self, acked: &[u64], (sent_us, done_us): (u64, u64)) -> bool {
        let before = self.steps.iter().filter(|(began_us, _)| *began_us <= done_us);
        let to_us = before.map(|(_, ended_us)| *ended_us).max().unwrap_or(0);
        let lost = |at: u64| sent_us >= self.t0_us && (self.from_us..=to_us).contains(&at);
        let lags = |at: u64| at.saturating_add(self.lag_us) > sent_us;
        acked.iter().all(|at| lost(*at) || lags(*at))
    }
}

impl Facts {
    /// Turns answers that showed what nobody should see any more into bad ones, with the reason.
    pub(super) fn look(&mut self) {
        let stores = || self.stores.iter().map(|s| s.store);
        let allowed: Vec<Allowed> = stores().map(|store| self.allowed(store)).collect();
        let histories: Vec<History> = self.stores.iter().map(|s| s.ledger.history()).collect();
        let of = |role: Role| stores().position(|store| store == role).map(|i| (&histories[i], &allowed[i]));
        let mut services = std::mem::take(&mut self.services);
        for (service, plan) in services.iter_mut().zip(&self.plan.services) {
            let late = |p: &ProbeRecord| p.late(plan.probe.timeout.us(), &self.stalls);
            service.probes.iter_mut().filter(|p| p.good && late(p)).for_each(|p| p.good = false);
            for Answer { at, shown } in std::mem::take(&mut service.answers) {
                let probe = service.probes[at];
                let seen = shown.iter().filter_map(|(role, records)| Some((role, records, of(*role)?)));
                for (role, records, (history, allowed)) in seen {
                    judge(service, &probe, at, *role, records, history, allowed);
                }
            }
        }
        self.services = services;
    }

    fn allowed(&self, store: Role) -> Allowed {
        let rpo = self.plan.rpo_of(store);
        let follows = store.replicates() && self.plan.topology.regions.len() > 1;
        Allowed {
            from_us: self.last_t0_us().unwrap_or(u64::MAX).saturating_sub(rpo.map_or(0, |d| d.us())),
            steps: self.rolling_back(store),
            t0_us: self.t0_us().unwrap_or(u64::MAX),
            lag_us: if follows { CONVERGE_LIMIT.us() } else { 0 },
            judged: rpo.is_some(),
        }
    }

    /// When every step began and ended that may have taken a store, or its users, back to an older state: each fault as it
    /// struck, and recovery steps that touched the store or sent its users to another copy.
    fn rolling_back(&self, store: Role) -> Vec<(u64, u64)> {
        let uses = |service: &String| {
            let plan = self.plan.services.iter().find(|s| s.name == *service);
            plan.is_none_or(|s| s.uses.contains(&store))
        };
        let touches = |a: &Act| match a {
            Act::Route { service, .. } => uses(service),
            Act::Command { .. } => true,
            other => other.node().is_some_and(|n| n.role == store),
        };
        let steps = self.steps.iter().filter(|s| match s.kind {
            StepKind::Fault => true,
            StepKind::Recovery => s.planned.iter().any(touches),
            StepKind::Setup => false,
        });
        steps.map(|s| (s.began_us, s.ended_us.unwrap_or(u64::MAX))).collect()
    }

    /// When nothing that happened to a store could explain a loss any more: every recovery step that touched it had ended, or,
    /// where none did, every fault was over: lifted, or ended by a step. One that still holds is never over, where it hit
    /// the store or objects, which other stores may rest on.
    pub(crate) fn settled_us(&self, store: Role) -> u64 {
        let touches =
            |s: &&StepFacts| s.nodes().iter().any(|n| n.role == store) || s.planned.iter().any(anywhere);
        let steps = self.steps.iter().filter(|s| s.kind == StepKind::Recovery);
        let ended = |s: &StepFacts| s.ended_us.unwrap_or(u64::MAX);
        let struck_us = self.faults().map(ended).max().unwrap_or(u64::MAX);
        if let Some(recovered_us) = steps.filter(touches).map(ended).max() {
            return recovered_us.max(struck_us);
        }
        let holds = |f: &StepFacts| {
            let cue = self.plan.cues.iter().find(|c| c.name == f.name);
            cue.is_some_and(|c| c.undo.iter().any(|act| !matches!(act, Act::Discard { .. })))
        };
        let mended = |f: &StepFacts| {
            let steps =
                self.steps.iter().filter(|s| s.kind == StepKind::Recovery && s.began_us >= f.began_us);
            let touches = |s: &&StepFacts| s.nodes().iter().any(|n| f.nodes().contains(n));
            steps.filter(touches).map(ended).max()
        };
        let hits = |f: &StepFacts| f.nodes().iter().any(|n| n.role == store || n.role == Role::Object);
        let over = |f: &StepFacts| match holds(f) && hits(f) {
            true => f.lifted_us.or_else(|| mended(f)).unwrap_or(u64::MAX),
            false => ended(f),
        };
        self.faults().map(over).max().unwrap_or(u64::MAX)
    }
}

/// A user's command may touch anything.
fn anywhere(act: &Act) -> bool {
    matches!(act, Act::Command { .. })
}

fn judge(
    service: &mut ServiceFacts,
    probe: &ProbeRecord,
    at: usize,
    role: Role,
    records: &[(u64, u64)],
    history: &History,
    allowed: &Allowed,
) {
    for (key, ver) in records {
        let why = match history.sight(*key, *ver, (probe.sent_us, probe.done_us)) {
            Sight::Allowed => continue,
            Sight::Never => format!("{role} {key} showed write {ver}, which never happened"),
            Sight::Older(acked) => {
                service.older += 1;
                if !allowed.judged || allowed.older(&acked, (probe.sent_us, probe.done_us)) {
                    continue;
                }
                let since = acked.iter().min().map_or(0, |at| probe.sent_us.saturating_sub(*at));
                format!("{role} {key} showed write {ver}, overwritten {} before", human_us(since))
            }
        };
        service.probes[at].good = false;
        service.first_bad.entry(probe.n).or_insert(why);
    }
}
