//! Whether what users were shown was new enough.
//!
//! An answer may show what the ledger allows at the moment it was asked for: a write that no acknowledged one had
//! overwritten by then, anything concurrent or later, anything of unknown outcome. An older one is allowed where every
//! write that had overwritten it may have been lost: acknowledged no earlier than the RPO before the last fault, and before
//! the store had settled. A copy that follows another one may lag behind it, for as long as copies have to converge.
//! An answer that shows anything else is a bad one; without an RPO older values are counted, and not judged.

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
#[derive(Clone, Copy, Debug)]
struct Allowed {
    /// Writes acknowledged from here on may be lost,
    from_us: u64,
    /// and up to here; none may if there is no RPO to say so.
    to_us: u64,
    /// Answers that were asked for since then may show it.
    t0_us: u64,
    /// How far the copy may lag behind.
    lag_us: u64,
    /// Whether there is an RPO.
    judged: bool,
}

impl Allowed {
    /// Whether a write that these have overwritten may be shown.
    fn older(&self, acked: &[u64], sent_us: u64) -> bool {
        let lost = |at: u64| sent_us >= self.t0_us && (self.from_us..=self.to_us).contains(&at);
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
        for service in &mut services {
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
            to_us: self.settled_us(store),
            t0_us: self.t0_us().unwrap_or(u64::MAX),
            lag_us: if follows { CONVERGE_LIMIT.us() } else { 0 },
            judged: rpo.is_some(),
        }
    }

    /// When nothing that happened to a store could explain a loss any more: every recovery step that touched it had ended, or,
    /// where none did, every fault was over: lifted, or ended by a step. One that still holds is never over.
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
        let over = |f: &StepFacts| match holds(f) {
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
                if !allowed.judged || allowed.older(&acked, probe.sent_us) {
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
