//! The fold: what each event adds to the facts, and what can be said once all are there.

use super::{
    Facts, Listed, Outage, ProbeRecord, StepFacts, StoreFacts,
    fresh::Answer,
    outage::{Asked, bad_before},
};
use crate::{
    journal::{Acked, Acted, Breach, Event, EventKind, Phase, Probed, ReadBack},
    scenario::WorldName,
    topology::Role,
};

impl Facts {
    pub(super) fn take(&mut self, event: Event) {
        let (seq, at_us) = (event.seq, event.at_us);
        self.end_us = at_us;
        self.events += 1;
        let fits = self.of_this_world(&event.kind);
        if let Err(why) = fits.and_then(|()| self.grammar.take(&self.plan, &event)) {
            self.odd.get_or_insert(Breach { line: seq.saturating_add(1), why });
            return;
        }
        match event.kind {
            EventKind::Began(_) => {}
            EventKind::Entered(phase) => {
                self.phases.push((phase, at_us));
                self.phase_seqs.push(seq);
            }
            EventKind::Intended(intent) => self.steps.push(StepFacts {
                name: intent.step,
                kind: intent.why,
                began_us: at_us,
                ended_us: None,
                planned: intent.acts,
                acts: Vec::new(),
                lifted_us: None,
                lifted_early: None,
                undone: Vec::new(),
                evidence: vec![seq],
            }),
            EventKind::Acted(acted) => self.acted(acted, seq, at_us),
            EventKind::Undone(undone) => self.undone(undone, seq, at_us),
            EventKind::Probed(probed) => self.probed(probed, seq),
            EventKind::Wrote(w) => {
                if let Some(store) = self.store_mut(w.store) {
                    store.ledger.wrote(&w);
                    let good = w.outcome == Acked::Ok;
                    let (n, due_us, sent_us, done_us) = (w.ver, w.due_us, w.sent_us, w.done_us);
                    store.writes.push(ProbeRecord { n, due_us, sent_us, done_us, good, seq });
                }
            }
            EventKind::Seeded { store, count } => {
                if let Some(store) = self.store_mut(store) {
                    store.ledger.seeded(count);
                }
            }
            EventKind::Detected { service } => {
                if let Some(s) = self.services.iter_mut().find(|s| s.name == service) {
                    s.detected_us.get_or_insert(at_us);
                }
            }
            EventKind::LiftedEarly { step, .. } => {
                if let Some(step) = self.steps.iter_mut().rev().find(|s| s.name == step) {
                    step.lifted_early.get_or_insert((at_us, seq));
                }
            }
            EventKind::Routes(routes) => self.routed(routes, seq),
            EventKind::ReadBack(page) if page.pass == ReadBack::COPIES => self.copy(&page, seq),
            EventKind::ReadBack(page) => {
                if let Some(copy) = self.copy_mut(page.store, page.region.as_deref()) {
                    copy.page(&page, seq);
                }
            }
            EventKind::Resumed(resumed) => {
                if let Some(copy) = self.copy_mut(Some(resumed.store), Some(&resumed.region)) {
                    copy.resumed = Some((seq, resumed));
                }
            }
            EventKind::Quality(q) => {
                if q.pass < 3 {
                    self.best_before = self.best_before.max(crate::judge::recall(&q.hits, q.k));
                    self.quality.insert(q.pass, (seq, *q));
                } else if let Some(region) = q.region.clone() {
                    self.quality_after.insert((q.pass, region), (seq, *q));
                }
            }
            EventKind::Stalled { from_us, to_us } => self.stalls.push((from_us, to_us)),
            EventKind::Inventoried(listed) => self.inventories.push(Listed { seq, listed: *listed }),
            EventKind::Noted(note) => self.notes.push(note),
            // The first reason is the cause; what failed afterwards is told with it.
            EventKind::Aborted(why) => {
                self.aborted = Some(match self.aborted.take() {
                    Some(first) => format!("{first}; and then: {why}"),
                    None => why,
                });
            }
            EventKind::Ended(ending) => self.ending = Some(ending),
        }
    }

    /// `sim` has no products whose parts could be listed, and a clock that waits for everybody.
    fn of_this_world(&self, kind: &EventKind) -> Result<(), String> {
        match kind {
            EventKind::Inventoried(_) | EventKind::Stalled { .. } if self.began.world == WorldName::Sim => {
                Err("an inventory of nothing, or a stall of a simulated clock".into())
            }
            _ => Ok(()),
        }
    }

    /// Keeps the state of the stack as it was when the storm ended.
    fn felt(&mut self, done: &Acted) {
        let over = self.phases.last().is_some_and(|(p, _)| *p > Phase::Storm);
        if !over && done.outcome.observed() {
            self.state.apply(&done.act);
        }
    }

    fn acted(&mut self, acted: Acted, seq: u64, at_us: u64) {
        self.felt(&acted);
        if let Some(step) = self.steps.iter_mut().rev().find(|s| s.name == acted.step) {
            step.acts.push(acted);
            step.evidence.push(seq);
            if step.acts.len() == step.planned.len() {
                step.ended_us = Some(at_us);
            }
        }
    }

    fn undone(&mut self, undone: Acted, seq: u64, at_us: u64) {
        self.felt(&undone);
        let storming = self.phases.last().is_some_and(|(p, _)| *p == Phase::Storm);
        if let Some(step) = self.steps.iter_mut().rev().find(|s| s.name == undone.step) {
            if storming {
                step.lifted_us.get_or_insert(at_us);
            }
            step.undone.push(undone);
            step.evidence.push(seq);
        }
    }

    fn probed(&mut self, p: Probed, seq: u64) {
        if let Some(s) = self.services.iter_mut().find(|s| s.name == p.service) {
            // Only the first reasons are ever shown; a long outage has thousands of the same.
            if let Some(why) = p.bad.as_ref().filter(|_| s.first_bad.len() < 64) {
                s.first_bad.insert(p.n, why.clone());
            }
            let good = p.bad.is_none();
            if good && !p.shown.is_empty() {
                s.answers.push(Answer { at: s.probes.len(), shown: p.shown });
            }
            let (n, due_us, sent_us, done_us) = (p.n, p.due_us, p.sent_us, p.done_us);
            s.probes.push(ProbeRecord { n, due_us, sent_us, done_us, good, seq });
        }
    }

    /// Of the copies that answered after recovery, the one that answered worst stands for pass 3.
    fn worst_quality(&mut self) {
        let after = self.quality_after.iter().filter(|((pass, _), _)| *pass == 3).map(|(_, q)| q);
        let good = |q: &&(u64, crate::journal::Quality)| {
            (std::cmp::Reverse(q.1.failed), q.1.hits.iter().map(|h| u64::from(*h)).sum::<u64>())
        };
        if let Some(worst) = after.min_by_key(good).cloned() {
            self.quality.insert(3, worst);
        }
    }

    pub(super) fn store_mut(&mut self, role: Role) -> Option<&mut StoreFacts> {
        self.stores.iter_mut().find(|s| s.store == role)
    }

    pub(super) fn finish(&mut self) {
        for store in &mut self.stores {
            store.copies.iter_mut().for_each(|copy| copy.finish(&store.ledger));
            store.writes.sort_by_key(|w| w.n);
        }
        self.look();
        self.dangling = self.references();
        self.worst_quality();
        let (t0_us, struck_us, watched_us) = (self.t0_us(), self.last_strike_us(), self.watched_until_us());
        let storm_us = self.entered_us(Phase::Storm).unwrap_or(u64::MAX);
        let drain_us = self.plan.drain_us();
        for (s, plan) in self.services.iter_mut().zip(&self.plan.services) {
            s.probes.sort_by_key(|p| p.n);
            let Some(t0_us) = t0_us else { continue };
            let asking = (plan.probe.every.us(), plan.probe.timeout.us());
            s.bad_before = bad_before(&s.probes, (storm_us, t0_us), asking, &self.stalls);
            let asked = Asked {
                t0_us,
                struck_us: struck_us.unwrap_or(u64::MAX),
                watched_us,
                stable_us: plan.objectives.stable_for.us(),
                timeout_us: plan.probe.timeout.us(),
                drain_us,
                stalls: &self.stalls,
            };
            let outage = Outage::of(&s.probes, &asked);
            s.why = outage.first_bad.and_then(|n| s.first_bad.get(&n).cloned());
            s.detected_us = s.detected_us.filter(|at| *at >= t0_us);
            s.outage = Some(outage);
        }
        for s in &mut self.stores {
            let (Some(t0_us), Some(stable)) = (t0_us, self.plan.writes_stable_for(s.store)) else { continue };
            let asked = Asked {
                t0_us,
                struck_us: struck_us.unwrap_or(u64::MAX),
                watched_us,
                stable_us: stable.us(),
                timeout_us: self.plan.write_timeout(s.store).us(),
                drain_us,
                stalls: &self.stalls,
            };
            let before = |w: &&ProbeRecord| {
                !w.good
                    && !w.void(asked.timeout_us, &self.stalls)
                    && w.due_us >= storm_us
                    && w.done_us < t0_us
            };
            s.bad_before = s.writes.iter().filter(before).count() as u64;
            s.outage = Some(Outage::of(&s.writes, &asked));
        }
    }
}
