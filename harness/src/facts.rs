//! What the events say, before anybody judges it: outages, steps, accounts of the stores, answers.
//!
//! [`Facts::of`] is a fold over the journal, one event at a time, so that a journal of a million events needs little
//! memory. Everything that a finding or a report says is computed from here, and from nothing else.

mod fold;
mod fresh;
mod inventory;
mod outage;
mod recount;
mod stores;

use std::{collections::BTreeMap, sync::OnceLock};

use crate::{
    act::Act,
    journal::{
        Acted, Began, Breach, Ending, Event, EventKind, Grammar, JournalError, Phase, Quality, touched,
    },
    ledger::Ledger,
    plan::{Plan, StepKind},
    ports::Routes,
    topology::{NodeId, Role, State},
};

pub use inventory::Listed;
pub(crate) use outage::{Asked as OutageAsked, bad_before};
pub use outage::{Outage, ProbeRecord, Window};
pub use stores::{Copy, CopyFacts, Dangling, Readout};

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
    /// Passes over the frozen queries: 1 and 2 before the fault, and of pass 3, after recovery, that of the copy that
    /// answered worst.
    pub quality: BTreeMap<u8, (u64, Quality)>,
    /// Passes 3 and 4, of every copy that users are routed to: by number and region.
    pub quality_after: BTreeMap<(u8, String), (u64, Quality)>,
    /// Where users were routed to when the load had stopped, and the event that says so.
    pub routes: Option<(u64, Routes)>,
    /// The best recall of any pass before the fault, those that were made anew among them.
    pub best_before: f64,
    /// Each region's own copy of a store, where all are compared: the last attempt to read it.
    pub copies: Vec<Copy>,
    /// What the copies of the stores consist of, in the order in which they were listed.
    pub inventories: Vec<Listed>,
    /// What the acts that were seen to take effect left standing when the storm ended.
    pub state: State,
    /// What refers to something that is gone, where the stores concerned were read in full.
    pub dangling: Vec<Dangling>,
    /// Spans in which the harness itself stood still, in the order in which it found them.
    pub stalls: Vec<(u64, u64)>,
    /// Notes of the drill.
    pub notes: Vec<String>,
    /// Why it was given up.
    pub aborted: Option<String>,
    /// The first line that no drill would have written; nothing of the journal can then be believed.
    pub odd: Option<Breach>,
    grammar: Grammar,
    /// Whether recall counted again is what the journal says, once that was asked.
    recounted: OnceLock<Result<(), String>>,
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
    /// When its effect was seen to be gone although no step of the drill had ended it, and the event that says so.
    pub lifted_early: Option<(u64, u64)>,
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
    /// Records that showed an older write than the newest acknowledged one, in all answers.
    pub older: u64,
    first_bad: BTreeMap<u64, String>,
    answers: Vec<fresh::Answer>,
}

/// One store's facts.
#[derive(Debug)]
pub struct StoreFacts {
    /// Which.
    pub store: Role,
    /// Every write to it.
    pub ledger: Ledger,
    /// What each copy that users were routed to was found to hold; none before the load has stopped.
    pub copies: Vec<CopyFacts>,
    /// Its writes as probes, in the order in which they were due: a write is a question too.
    pub writes: Vec<ProbeRecord>,
    /// What they show about the time after the first fault, where a service with an RTO uses the store.
    pub outage: Option<Outage>,
    /// Writes that failed after the storm began and before the first fault struck.
    pub bad_before: u64,
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
        let mut facts = Facts::empty(*began, plan, first.at_us);
        for event in events {
            match event {
                Err(JournalError::Trailing { line }) => {
                    facts.odd.get_or_insert(Breach { line, why: "something after the end".into() });
                }
                event => facts.take(event?),
            }
        }
        facts.finish();
        Ok(facts)
    }

    fn empty(began: Began, plan: Plan, began_us: u64) -> Facts {
        let grammar = Grammar::new(&plan, began_us);
        let service = |s: &crate::plan::ServicePlan| ServiceFacts {
            name: s.name.clone(),
            probes: Vec::new(),
            outage: None,
            detected_us: None,
            why: None,
            bad_before: 0,
            older: 0,
            first_bad: BTreeMap::new(),
            answers: Vec::new(),
        };
        let store = |(store, _): (Role, u64)| StoreFacts {
            store,
            ledger: Ledger::default(),
            copies: Vec::new(),
            writes: Vec::new(),
            outage: None,
            bad_before: 0,
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
            quality_after: BTreeMap::new(),
            routes: None,
            best_before: 0.0,
            copies: Vec::new(),
            inventories: Vec::new(),
            dangling: Vec::new(),
            stalls: Vec::new(),
            notes: Vec::new(),
            aborted: None,
            odd: None,
            grammar,
            recounted: OnceLock::new(),
            ending: None,
            end_us: 0,
            events: 1,
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
