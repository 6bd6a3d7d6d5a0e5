//! What the events say, before anybody judges it: outages, steps, accounts of the stores, answers.
//!
//! [`Facts::of`] is a fold over the journal, one event at a time, so that a journal of a million events needs little
//! memory. Everything that a finding or a report says is computed from here, and from nothing else.

mod oddity;
mod outage;
mod stores;

use std::collections::BTreeMap;

use crate::{
    act::Act,
    journal::{Acted, Began, Ending, Event, EventKind, JournalError, Phase, Probed, Quality, touched},
    ledger::{Account, Ledger, Survivors},
    plan::{Plan, StepKind},
    topology::{NodeId, Role, State},
};

pub use outage::{Outage, ProbeRecord, Window};
pub use stores::{Copy, Dangling};

/// The facts of one drill.
#[derive(Debug)]
pub struct Facts {
    /// How it was set up.
    pub began: Began,
    /// The scenario compiled again.
    pub plan: Plan,
    /// When each phase began.
    pub phases: Vec<(Phase, u64)>,
    /// The events that say so, in the same order.
    pub phase_seqs: Vec<u64>,
    /// Faults and recovery steps that were played, in order.
    pub steps: Vec<StepFacts>,
    /// One for each service, in the plan's order.
    pub services: Vec<ServiceFacts>,
    /// One for each store.
    pub stores: Vec<StoreFacts>,
    /// Passes over the frozen queries, by number.
    pub quality: BTreeMap<u8, (u64, Quality)>,
    /// Each region's own copy of a store, where all are compared: the last attempt to read it.
    pub copies: Vec<Copy>,
    /// What the acts that were seen to take effect left standing when the storm ended.
    pub state: State,
    /// What refers to something that is gone, where the stores concerned were read in full.
    pub dangling: Vec<Dangling>,
    /// Notes of the drill.
    pub notes: Vec<String>,
    /// Why it was given up.
    pub aborted: Option<String>,
    /// What no drill would have written, in words; nothing of it can then be believed.
    pub odd: Option<String>,
    open: Vec<crate::journal::Intent>,
    /// How it ended; `None` if the journal breaks off.
    pub ending: Option<Ending>,
    /// The last stamp.
    pub end_us: u64,
    /// The number of events.
    pub events: u64,
}

/// One step as it was played.
#[derive(Clone, Debug)]
pub struct StepFacts {
    /// Its name.
    pub name: String,
    /// Fault, recovery or setup.
    pub kind: StepKind,
    /// When it was intended.
    pub began_us: u64,
    /// When its last act ended.
    pub ended_us: Option<u64>,
    /// What it was to do.
    pub planned: Vec<Act>,
    /// What it did.
    pub acts: Vec<Acted>,
    /// When its undo was played while the storm lasted: the fault was lifted.
    pub lifted_us: Option<u64>,
    /// Its undo acts that ended, and how.
    pub undone: Vec<Acted>,
    /// The events that prove it.
    pub evidence: Vec<u64>,
}

impl StepFacts {
    /// Whether every act of the step was seen to take effect.
    pub fn observed(&self) -> bool {
        self.acts.len() >= self.planned.len() && self.acts.iter().all(|a| a.outcome.observed())
    }

    /// The nodes that it touched.
    pub fn nodes(&self) -> Vec<NodeId> {
        touched(&self.planned)
    }
}

/// One service's facts.
#[derive(Debug)]
pub struct ServiceFacts {
    /// Its name.
    pub name: String,
    /// Every probe of it, in the order in which they were due.
    pub probes: Vec<ProbeRecord>,
    /// What they show about the time after the first fault; `None` if no fault struck.
    pub outage: Option<Outage>,
    /// Three bad probes in a row, first seen after the first fault.
    pub detected_us: Option<u64>,
    /// Why the first bad probe after the fault was bad.
    pub why: Option<String>,
    /// Bad probes after the storm began and before the first fault struck.
    pub bad_before: u64,
    first_bad: BTreeMap<u64, String>,
}

/// One store's facts.
#[derive(Debug)]
pub struct StoreFacts {
    /// Which.
    pub store: Role,
    /// Every write to it.
    pub ledger: Ledger,
    /// Its account after recovery, before any undo; `None` if it was never read in full.
    pub account: Option<Account>,
    /// The same after the undo.
    pub second: Option<Account>,
    /// Why the first read-back broke off.
    pub unread: Option<String>,
    /// The events of the first read-back.
    pub evidence: Vec<u64>,
    passes: [Survivors; 2],
}

impl Facts {
    /// Folds a journal.
    ///
    /// # Errors
    /// If the journal cannot be read, was altered, or holds no drill.
    pub fn of(events: impl IntoIterator<Item = Result<Event, JournalError>>) -> Result<Facts, JournalError> {
        let mut events = events.into_iter();
        let first = events.next().ok_or(JournalError::Empty)??;
        let EventKind::Began(began) = first.kind else { return Err(JournalError::Empty) };
        if began.format != crate::journal::FORMAT {
            return Err(JournalError::Empty);
        }
        // The scenario was accepted when the drill began; a journal that holds another one is not ours.
        let plan = Plan::compile(&began.scenario).map_err(|_| JournalError::Empty)?;
        let mut facts = Facts::empty(*began, plan);
        for event in events {
            facts.take(event?);
        }
        facts.finish();
        Ok(facts)
    }

    fn empty(began: Began, plan: Plan) -> Facts {
        let service = |s: &crate::plan::ServicePlan| ServiceFacts {
            name: s.name.clone(),
            probes: Vec::new(),
            outage: None,
            detected_us: None,
            why: None,
            bad_before: 0,
            first_bad: BTreeMap::new(),
        };
        let store = |(store, _): (Role, u64)| StoreFacts {
            store,
            ledger: Ledger::default(),
            account: None,
            second: None,
            unread: None,
            evidence: Vec::new(),
            passes: Default::default(),
        };
        Facts {
            services: plan.services.iter().map(service).collect(),
            stores: plan.stores().into_iter().map(store).collect(),
            state: State::healthy(&plan.topology),
            began,
            plan,
            phases: Vec::new(),
            phase_seqs: Vec::new(),
            steps: Vec::new(),
            quality: BTreeMap::new(),
            copies: Vec::new(),
            dangling: Vec::new(),
            notes: Vec::new(),
            aborted: None,
            odd: None,
            open: Vec::new(),
            ending: None,
            end_us: 0,
            events: 1,
        }
    }

    fn take(&mut self, event: Event) {
        let (seq, at_us) = (event.seq, event.at_us);
        self.end_us = at_us;
        self.events += 1;
        if let Some(odd) = self.oddity(&event.kind) {
            self.odd.get_or_insert(format!("event {seq}: {odd}"));
            return;
        }
        match &event.kind {
            EventKind::Intended(i) if !i.undo.is_empty() => self.open.push(i.clone()),
            EventKind::Undone(done) if done.outcome.observed() => {
                if let Some(debt) = self.open.iter_mut().rev().find(|d| d.step == done.step) {
                    debt.undo.retain(|a| a != &done.act);
                }
                self.open.retain(|d| !d.undo.is_empty());
            }
            _ => {}
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
                undone: Vec::new(),
                evidence: vec![seq],
            }),
            EventKind::Acted(acted) => self.acted(acted, seq, at_us),
            EventKind::Undone(undone) => self.undone(undone, seq, at_us),
            EventKind::Probed(probed) => self.probed(probed, seq),
            EventKind::Wrote(w) => {
                if let Some(store) = self.store_mut(w.store) {
                    store.ledger.wrote(&w);
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
            EventKind::ReadBack(page) if page.region.is_some() => self.copy(&page, seq),
            EventKind::ReadBack(page) => {
                let pass = usize::from(page.pass == 2);
                if let Some(store) = page.store.and_then(|role| self.store_mut(role)) {
                    store.passes[pass].page(&page);
                    if pass == 0 && (store.evidence.len() < EVIDENCE_MAX || page.end.is_some()) {
                        store.evidence.push(seq);
                    }
                }
            }
            EventKind::Quality(q) => {
                self.quality.insert(q.pass, (seq, *q));
            }
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
            let (n, due_us, sent_us, done_us) = (p.n, p.due_us, p.sent_us, p.done_us);
            s.probes.push(ProbeRecord { n, due_us, sent_us, done_us, good, seq });
        }
    }

    fn store_mut(&mut self, role: Role) -> Option<&mut StoreFacts> {
        self.stores.iter_mut().find(|s| s.store == role)
    }

    fn finish(&mut self) {
        for store in &mut self.stores {
            let read = |s: &Survivors| s.complete().then(|| store.ledger.account(s));
            (store.account, store.second) = (read(&store.passes[0]), read(&store.passes[1]));
            store.unread = match &store.passes[0].end {
                Some(crate::journal::ReadEnd::Incomplete(why)) => Some(why.clone()),
                Some(crate::journal::ReadEnd::Complete) => None,
                None => Some("it was never read back".into()),
            };
        }
        self.dangling = self.references();
        let (t0_us, struck_us, watched_us) = (self.t0_us(), self.last_strike_us(), self.watched_until_us());
        let storm_us = self.entered_us(Phase::Storm).unwrap_or(u64::MAX);
        for (s, plan) in self.services.iter_mut().zip(&self.plan.services) {
            s.probes.sort_by_key(|p| p.n);
            let Some(t0_us) = t0_us else { continue };
            // A probe that was still under way at t0 is the fault's doing only if a good one could have been, too.
            let usual = |p: &&ProbeRecord| p.good && p.done_us < t0_us;
            let usual_us = s.probes.iter().filter(usual).map(|p| p.done_us.saturating_sub(p.due_us)).max();
            let grace_us = usual_us.unwrap_or(0).saturating_add(2 * plan.probe.every.us());
            let before = |p: &&ProbeRecord| {
                !p.good
                    && p.due_us >= storm_us
                    && (p.done_us < t0_us || p.due_us.saturating_add(grace_us) < t0_us)
            };
            s.bad_before = s.probes.iter().filter(before).count() as u64;
            let stable_us = plan.objectives.stable_for.us();
            let outage = Outage::of(&s.probes, t0_us, struck_us.unwrap_or(u64::MAX), watched_us, stable_us);
            s.why = outage.first_bad.and_then(|n| s.first_bad.get(&n).cloned());
            s.detected_us = s.detected_us.filter(|at| *at >= t0_us);
            s.outage = Some(outage);
        }
    }

    /// When the first fault was issued.
    pub fn t0_us(&self) -> Option<u64> {
        self.faults().filter_map(|s| s.acts.first()).map(|a| a.began_us).min()
    }

    /// When the last fault was issued.
    pub fn last_t0_us(&self) -> Option<u64> {
        self.faults().filter_map(|s| s.acts.first()).map(|a| a.began_us).max()
    }

    /// Faults that were played.
    pub fn faults(&self) -> impl Iterator<Item = &StepFacts> {
        self.steps.iter().filter(|s| s.kind == StepKind::Fault)
    }

    /// When the last fault had struck; `None` while one is still to come.
    fn last_strike_us(&self) -> Option<u64> {
        let planned = self.plan.cues.iter().filter(|c| c.kind == StepKind::Fault);
        planned
            .map(|c| self.faults().find(|f| f.name == c.name).and_then(|f| f.ended_us))
            .max_by_key(|at| at.unwrap_or(u64::MAX))?
    }

    /// When watching stopped: probes after this count for nothing.
    pub fn watched_until_us(&self) -> u64 {
        let after = self.phases.iter().find(|(p, _)| *p > Phase::Storm);
        after.map_or(self.end_us, |(_, at)| *at)
    }

    /// When a phase began.
    pub fn entered_us(&self, phase: Phase) -> Option<u64> {
        self.phases.iter().find(|(p, _)| *p == phase).map(|(_, at)| *at)
    }

    /// The events by which these phases were entered.
    pub fn entered_by(&self, phases: &[Phase]) -> Vec<u64> {
        let entered = self.phases.iter().zip(&self.phase_seqs);
        entered.filter(|((p, _), _)| phases.contains(p)).map(|(_, seq)| *seq).collect()
    }

    /// When recovery first started.
    pub fn t3_us(&self) -> Option<u64> {
        let recovery = self.steps.iter().filter(|s| s.kind == StepKind::Recovery);
        recovery.filter(|s| !s.planned.is_empty()).map(|s| s.began_us).min()
    }

    /// When data and quality had been verified.
    pub fn t6_us(&self) -> Option<u64> {
        self.quality
            .get(&3)
            .and_then(|_| self.entered_us(Phase::Undo))
            .or_else(|| self.quality.is_empty().then(|| self.entered_us(Phase::Undo)).flatten())
    }
}

/// The most events that a finding lists as its evidence.
const EVIDENCE_MAX: usize = 20;
