//! What the events of a fault drill say, and whether they could have been written by one.
//!
//! The last reading of a pass counts: what is not right at once is read again. A journal whose events stand where no drill
//! writes them is read to its end and never a pass (the field `breach`).

mod moments;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Drill, check,
    event::{
        Canaries, Command, Event, FORMAT, FaultBegan, FaultEvent, Look, Looked, Pass, Ran, Sown, Stage, Task,
        Witnessed,
    },
};
use crate::{
    facts::{Outage, OutageAsked, ProbeRecord, bad_before},
    journal::{Ending, JournalError, Probed},
    own::{check as of_stack, event::Asked, facts::At},
};

/// So many bad answers of a service show that its users noticed something: a single one may be chance.
pub const NOTICED: usize = 2;
/// So many reasons of bad answers are kept.
const REASONS_MAX: usize = 64;

/// A fault drill, read.
#[derive(Debug)]
pub struct Facts {
    /// How it was set up.
    pub began: FaultBegan,
    /// Drill and stack.
    pub drill: Drill,
    /// Stages in order.
    pub stages: Vec<(Stage, u64)>,
    /// Commands that were started, and when.
    pub started: BTreeMap<Command, At<()>>,
    /// Commands that have ended.
    pub ran: BTreeMap<Command, At<Ran>>,
    /// The last look of each kind.
    pub looked: BTreeMap<(String, Look), At<Looked>>,
    /// Questions of alarms.
    pub asked: Vec<At<Asked>>,
    /// The last answer of each service after the undo.
    pub after: BTreeMap<String, At<Asked>>,
    /// What users noticed, by service.
    pub services: BTreeMap<String, ServiceFacts>,
    /// Canaries that were planted, by component.
    pub sown: BTreeMap<String, Vec<At<Sown>>>,
    sown_ids: BTreeSet<(String, String)>,
    /// What was there of them: the last reading of each pass.
    pub canaries: BTreeMap<(Pass, String), At<Canaries>>,
    /// The last reading of each pass, by witness.
    pub witnessed: BTreeMap<(Pass, String), At<Witnessed>>,
    /// When the harness stood still.
    pub stalls: Vec<(u64, u64)>,
    /// Notes.
    pub notes: Vec<String>,
    /// Why it was given up.
    pub aborted: Option<String>,
    /// How it ended; absent if the journal breaks off.
    pub ending: Option<Ending>,
    /// The last stamp.
    pub end_us: u64,
    /// Events.
    pub events: u64,
    /// The first thing that no drill would have written.
    pub breach: Option<String>,
}

/// What the users of one service noticed.
#[derive(Debug, Default)]
pub struct ServiceFacts {
    /// Every probe, in the order in which they were due.
    pub probes: Vec<ProbeRecord>,
    /// What they show about the time after the first fault; absent if there was none.
    pub outage: Option<Outage>,
    /// Three bad ones in a row, first seen after the first fault.
    pub detected_us: Option<u64>,
    /// Bad ones before the first fault, once the stack had been seen to be well.
    pub bad_before: u64,
    /// Why the first one after it was bad.
    pub why: Option<String>,
    reasons: BTreeMap<u64, String>,
}

impl Facts {
    /// Reads events.
    ///
    /// # Errors
    /// If the journal cannot be read, was altered, or holds no fault drill.
    pub fn of(events: impl IntoIterator<Item = Result<Event, JournalError>>) -> Result<Facts, JournalError> {
        let mut events = events.into_iter();
        let first = events.next().transpose()?.ok_or(JournalError::Empty)?;
        let FaultEvent::FaultBegan(began) = first.kind else { return Err(JournalError::Empty) };
        let whole =
            of_stack::stack(&began.stack).is_empty() && check::fault(&began.drill, &began.stack).is_empty();
        if began.format != FORMAT || !whole {
            return Err(JournalError::Empty);
        }
        let mut facts = Facts::new(*began);
        let mut last_us = first.at_us;
        for event in events {
            let event = event?;
            if event.at_us < last_us {
                facts.breach(format!("event {} is stamped before the one before it", event.seq));
            }
            last_us = event.at_us.max(last_us);
            facts.take(event);
        }
        facts.close();
        Ok(facts)
    }

    fn new(began: FaultBegan) -> Facts {
        let drill = Drill { fault: began.drill.clone(), stack: began.stack.clone() };
        let services = drill.services().map(|(id, _)| (id.clone(), ServiceFacts::default())).collect();
        Facts {
            began,
            drill,
            services,
            stages: Vec::new(),
            started: BTreeMap::new(),
            ran: BTreeMap::new(),
            looked: BTreeMap::new(),
            asked: Vec::new(),
            after: BTreeMap::new(),
            sown: BTreeMap::new(),
            sown_ids: BTreeSet::new(),
            canaries: BTreeMap::new(),
            witnessed: BTreeMap::new(),
            stalls: Vec::new(),
            notes: Vec::new(),
            aborted: None,
            ending: None,
            end_us: 0,
            events: 1,
            breach: None,
        }
    }

    fn breach(&mut self, what: String) {
        self.breach.get_or_insert(what);
    }

    fn stage(&self) -> Option<Stage> {
        self.stages.last().map(|(stage, _)| *stage)
    }

    fn take(&mut self, event: Event) {
        let (at_us, seq) = (event.at_us, event.seq);
        self.events += 1;
        self.end_us = self.end_us.max(at_us);
        if !home(&event.kind, self.stage()) {
            self.breach(format!("event {seq} does not belong where it stands"));
        }
        match event.kind {
            FaultEvent::FaultBegan(_) => self.breach(format!("event {seq}: the drill begins twice")),
            FaultEvent::Entered(stage) => {
                if self.stage().is_some_and(|last| last >= stage) {
                    self.breach(format!("event {seq}: {stage} comes too late"));
                }
                self.stages.push((stage, at_us));
            }
            FaultEvent::Starts(command) => self.starts(command, at_us, seq),
            FaultEvent::Ran(is) => self.ran(At { is, at_us, seq }),
            FaultEvent::Looked(is) => self.looked(At { is, at_us, seq }),
            FaultEvent::Asked(is) => {
                if is.sent_us < is.due_us || is.done_us < is.sent_us || at_us < is.done_us {
                    self.breach(format!("event {seq}: a question was answered before it was asked"));
                }
                match self.stage() {
                    Some(Stage::After) => drop(self.after.insert(is.service.clone(), At { is, at_us, seq })),
                    _ => self.asked.push(At { is, at_us, seq }),
                }
            }
            FaultEvent::Probed(is) => self.probed(is, at_us, seq),
            FaultEvent::Detected { service } => {
                if let Some(s) = self.services.get_mut(&service) {
                    s.detected_us.get_or_insert(at_us);
                }
            }
            FaultEvent::Planted(is) => {
                let known = self.drill.planted().contains(&&is.component);
                let all = self.sown.entry(is.component.clone()).or_default();
                let new = self.sown_ids.insert((is.component.clone(), is.id.clone()));
                if !known || !new || is.done_us < is.sent_us || at_us < is.done_us {
                    self.breach.get_or_insert(format!("event {seq}: nobody planted this"));
                } else {
                    all.push(At { is, at_us, seq });
                }
            }
            FaultEvent::Canaries(is) => {
                let ours = |id: &String| self.sown_ids.contains(&(is.component.clone(), id.clone()));
                let ids: BTreeSet<&String> = is.list.iter().map(|p| &p.id).collect();
                let whole = ids.len() == is.list.len() && ids.iter().all(|id| ours(id));
                if !whole || (is.none.is_some() && !is.list.is_empty()) {
                    self.breach(format!("event {seq}: this is no list of this drill's canaries"));
                }
                self.canaries.insert((is.pass, is.component.clone()), At { is: *is, at_us, seq });
            }
            FaultEvent::Witnessed(is) => {
                if is.sum.is_some() == is.none.is_some() || is.sum.as_ref().is_some_and(|s| !s.is_whole()) {
                    self.breach(format!("event {seq}: this is no reading of a witness"));
                }
                self.witnessed.insert((is.pass, is.witness.clone()), At { is: *is, at_us, seq });
            }
            FaultEvent::Stalled { from_us, to_us } => self.stalls.push((from_us, to_us)),
            FaultEvent::Noted(note) => self.notes.push(note),
            FaultEvent::Aborted(why) => {
                self.aborted.get_or_insert(why);
            }
            FaultEvent::Ended(ending) => self.ending = Some(ending),
        }
    }

    fn starts(&mut self, command: Command, at_us: u64, seq: u64) {
        let known = match command.task {
            Task::Inject | Task::Undo => self.fault(&command.step).is_some(),
            Task::Recover => self.drill.fault.recover.iter().any(|r| r.name == command.step),
        };
        // An undo may be tried once more at the end.
        let again = command.task != Task::Undo && self.started.contains_key(&command);
        if !known || again {
            self.breach(format!("event {seq}: this command is not one that the drill would start now"));
        }
        self.started.insert(command, At { is: (), at_us, seq });
    }

    fn ran(&mut self, ran: At<Ran>) {
        let command = ran.is.command.clone();
        let began = self.started.get(&command).map(|s| s.at_us);
        if began.is_none_or(|at| ran.is.began_us < at) || ran.is.began_us > ran.at_us {
            self.breach(format!("event {}: this command cannot have run then", ran.seq));
        }
        self.ran.insert(command, ran);
    }

    fn looked(&mut self, looked: At<Looked>) {
        let (fault, look) = (looked.is.fault.clone(), looked.is.look);
        let began = self.started.contains_key(&Command { task: Task::Inject, step: fault.clone() });
        let fits = match look {
            Look::Before => !began,
            Look::Struck | Look::Held => began,
            Look::Gone => self.ended(Task::Undo, &fault).is_some(),
        };
        if self.fault(&fault).is_none() || !fits || looked.is.began_us > looked.at_us {
            self.breach(format!("event {}: nobody can have looked then", looked.seq));
        }
        self.looked.insert((fault, look), looked);
    }

    fn probed(&mut self, p: Probed, at_us: u64, seq: u64) {
        if p.sent_us < p.due_us || p.done_us < p.sent_us || at_us < p.done_us {
            self.breach(format!("event {seq}: a probe was answered before it was asked"));
        }
        let Some(s) = self.services.get_mut(&p.service) else {
            return self.breach(format!("event {seq}: a service was asked that nobody watches"));
        };
        let good = p.bad.is_none();
        if let Some(why) = p.bad.filter(|_| s.reasons.len() < REASONS_MAX) {
            s.reasons.insert(p.n, why);
        }
        let (n, due_us, sent_us, done_us) = (p.n, p.due_us, p.sent_us, p.done_us);
        s.probes.push(ProbeRecord { n, due_us, sent_us, done_us, good, seq });
    }

    fn close(&mut self) {
        if self.ending == Some(Ending::Complete)
            && self.stage() != Some(Stage::After)
            && !self.began.rehearsed
        {
            self.breach("it ended as complete without having looked at the data once more".into());
        }
        let twice =
            |s: &ServiceFacts| s.probes.iter().map(|p| p.n).collect::<BTreeSet<_>>().len() < s.probes.len();
        let off = |(id, s): (&String, &ServiceFacts)| {
            let every_us = self.drill.stack.service[id].probe.every.us();
            let base = |p: &ProbeRecord| i128::from(p.due_us) - i128::from(p.n) * i128::from(every_us);
            // To the microsecond, but for rounding.
            let (low, high) = (s.probes.iter().map(base).min(), s.probes.iter().map(base).max());
            low.zip(high).is_some_and(|(low, high)| high - low > 2)
        };
        if self.services.iter().any(off) {
            self.breach("a service was not asked on its schedule".into());
        }
        if self.services.values().any(twice) {
            self.breach("a probe was answered twice".into());
        }
        let (t0_us, struck_us, watched_us) = (self.t0_us(), self.last_strike_us(), self.watched_until_us());
        let storm_us = self.entered_us(Stage::Storm).unwrap_or(u64::MAX);
        let drain_us = self.drain_us();
        let (stable_us, stalls) = (self.drill.fault.objectives.stable_for.us(), &self.stalls);
        for (id, s) in &mut self.services {
            s.probes.sort_by_key(|p| p.n);
            let Some(t0_us) = t0_us else { continue };
            let timeout_us = self.drill.stack.service[id].probe.timeout.us();
            let every_us = self.drill.stack.service[id].probe.every.us();
            s.bad_before = bad_before(&s.probes, (storm_us, t0_us), (every_us, timeout_us), stalls);
            let struck_us = struck_us.unwrap_or(u64::MAX);
            let asked = OutageAsked { t0_us, struck_us, watched_us, stable_us, timeout_us, drain_us, stalls };
            let outage = Outage::of(&s.probes, &asked);
            s.why = outage.first_bad.and_then(|n| s.reasons.get(&n).cloned());
            s.detected_us = s.detected_us.filter(|at| *at >= t0_us);
            s.outage = Some(outage);
        }
    }
}

/// Whether an event may stand in this stage.
fn home(event: &FaultEvent, stage: Option<Stage>) -> bool {
    let one_of = |wanted: &[Stage]| stage.is_some_and(|s| wanted.contains(&s));
    match event {
        FaultEvent::Starts(c) | FaultEvent::Ran(Ran { command: c, .. }) => match c.task {
            Task::Inject | Task::Recover => one_of(&[Stage::Storm]),
            Task::Undo => one_of(&[Stage::Storm, Stage::Undo]),
        },
        FaultEvent::Looked(l) => match l.look {
            Look::Before => one_of(&[Stage::Prepare, Stage::Storm]),
            Look::Struck | Look::Held => one_of(&[Stage::Storm]),
            Look::Gone => one_of(&[Stage::Storm, Stage::Undo]),
        },
        // Answers that were under way when watching stopped come a little later.
        FaultEvent::Probed(_) | FaultEvent::Planted(_) | FaultEvent::Detected { .. } => {
            one_of(&[Stage::Settle, Stage::Storm, Stage::ReadBack])
        }
        FaultEvent::Canaries(c) if c.pass == Pass::Undone => one_of(&[Stage::After]),
        FaultEvent::Canaries(_) => one_of(&[Stage::ReadBack]),
        FaultEvent::Witnessed(w) => one_of(&[match w.pass {
            Pass::Before => Stage::Before,
            Pass::Recovered => Stage::ReadBack,
            Pass::Undone => Stage::After,
        }]),
        _ => true,
    }
}
