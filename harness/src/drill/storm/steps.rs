//! The steps of the timetable: which are due, which run, which have ended.
//!
//! A fault strikes when it is due. A recovery step waits for its turn: of those that are due, the most urgent come
//! first, and equal ones run side by side. A step that failed lets no other step follow it.

use std::io;

use tokio::task::JoinSet;

use super::{holds::Held, services::Services};
use crate::{
    act::{Act, Outcome},
    drill::Stage,
    journal::{Acted, CUT_OFF, EventKind},
    plan::{Cue, StepKind, Trigger},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting,
    Running,
    /// Ended, and every effect was seen.
    Done,
    /// Ended, and some effect was not seen.
    Failed,
}

/// What a step's task was doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// Its acts.
    Acts,
    /// Its undo, since its time had run out.
    Lift,
}

/// How a step's task ended.
pub(super) type End = (usize, What, io::Result<bool>);

#[derive(Debug)]
pub(super) struct Steps {
    stage: Stage,
    start_us: u64,
    states: Vec<State>,
    /// When a fault is to be lifted, by step.
    lifts: Vec<Option<u64>>,
    /// When each was started.
    started_us: Vec<Option<u64>>,
    /// When each had done its acts.
    done_us: Vec<Option<u64>>,
    /// When each had ended, however.
    over_us: Vec<Option<u64>>,
    /// Faults that hold no longer: lifted, or seen to be gone.
    ended_hold: Vec<bool>,
    t0_us: Option<u64>,
    last_strike_us: u64,
    tasks: JoinSet<End>,
}

impl Steps {
    pub(super) fn new(stage: Stage, start_us: u64) -> Self {
        let count = stage.plan.cues.len();
        Steps {
            stage,
            start_us,
            states: vec![State::Waiting; count],
            lifts: vec![None; count],
            started_us: vec![None; count],
            done_us: vec![None; count],
            over_us: vec![None; count],
            ended_hold: vec![false; count],
            t0_us: None,
            last_strike_us: start_us,
            tasks: JoinSet::new(),
        }
    }

    /// When the first fault was issued.
    pub(super) fn t0_us(&self) -> Option<u64> {
        self.t0_us
    }

    /// When the newest fault struck or was lifted; the start of the storm before that.
    pub(super) fn last_strike_us(&self) -> u64 {
        self.last_strike_us
    }

    /// Starts every step that is due, and lifts every fault whose time has run out.
    pub(super) fn start_due(&mut self, services: &Services, now_us: u64) -> io::Result<()> {
        for i in 0..self.states.len() {
            if self.lifts[i].is_some_and(|at| now_us >= at) {
                self.lifts[i] = None;
                self.lift(i);
            }
        }
        let due: Vec<usize> = (0..self.states.len())
            .filter(|i| self.states[*i] == State::Waiting && self.is_due(*i, services, now_us))
            .collect();
        let (faults, due): (Vec<usize>, Vec<usize>) =
            due.into_iter().partition(|i| self.cue(*i).kind == StepKind::Fault);
        for i in faults {
            self.t0_us.get_or_insert(now_us);
            self.started_us[i] = Some(now_us);
            self.start(i)?;
        }
        // Running steps keep less urgent ones waiting.
        let running = (0..self.states.len()).filter(|i| self.states[*i] == State::Running);
        let recovery = |i: &usize| self.cue(*i).kind == StepKind::Recovery;
        let ahead = running.filter(recovery).chain(due.iter().copied()).map(|i| self.cue(i).priority).min();
        let turn: Vec<usize> = due.into_iter().filter(|i| Some(self.cue(*i).priority) == ahead).collect();
        turn.into_iter().try_for_each(|i| self.start(i))
    }

    /// Faults that have struck and are to hold: nothing has ended them yet.
    pub(super) fn held(&self) -> Vec<Held> {
        let struck = (0..self.states.len()).filter(|i| {
            self.cue(*i).kind == StepKind::Fault && self.states[*i] == State::Done && !self.ended_hold[*i]
        });
        // What a later act of the same fault takes back does not hold: a restart kills, and starts.
        let lasts = |acts: &[Act], at: usize| !acts[at + 1..].iter().any(|later| later.ends(&acts[at]));
        let of = |i: usize| {
            let acts = &self.cue(i).acts;
            (0..acts.len()).filter(move |at| lasts(acts, *at)).map(move |at| (i, acts[at].clone()))
        };
        struck.flat_map(of).collect()
    }

    /// When the last step that may have ended a fault had ended itself; 0 if none has begun, `None` while one runs.
    pub(super) fn free_us(&self, (fault, act): &Held) -> Option<u64> {
        if self.ended_hold[*fault] {
            return None;
        }
        let touches = |cue: &Cue| {
            let same = |a: &Act| a.node().is_some_and(|n| Some(n) == act.node());
            // A user's command may touch anything; another fault may, too.
            cue.acts.iter().chain(&cue.undo).any(|a| same(a) || matches!(a, Act::Command { .. }))
        };
        let others = (0..self.states.len()).filter(|i| i != fault && self.states[*i] != State::Waiting);
        let touching = others.filter(|i| touches(self.cue(*i)));
        touching.map(|i| self.over_us[i]).try_fold(0, |latest, at| Some(latest.max(at?)))
    }

    /// Other hands have ended a fault.
    pub(super) fn lifted_early(&mut self, fault: usize, act: Act) -> io::Result<()> {
        self.ended_hold[fault] = true;
        let step = self.cue(fault).name.clone();
        self.stage.journal.record(EventKind::LiftedEarly { step, act })
    }

    fn cue(&self, i: usize) -> &Cue {
        &self.stage.plan.cues[i]
    }

    fn is_due(&self, i: usize, services: &Services, now_us: u64) -> bool {
        match &self.cue(i).trigger {
            Trigger::At(at) => now_us >= self.start_us + at.us(),
            Trigger::After(name) => self.find(name).is_some_and(|j| self.states[j] == State::Done),
            Trigger::Detected(roles) => {
                // Down since a fault on such a node, where one is planned: not because of an earlier one elsewhere.
                let cues = self.stage.plan.cues.iter().zip(&self.started_us);
                let faults = || cues.clone().filter(|(c, _)| c.kind == StepKind::Fault);
                let hits = |c: &Cue| c.acts.iter().filter_map(Act::node).any(|n| roles.contains(&n.role));
                let planned = faults().any(|(c, _)| hits(c));
                let struck = faults().filter(|(c, _)| !planned || hits(c)).filter_map(|(_, at)| *at).min();
                let Some(struck_us) = struck else { return false };
                let plans = self.stage.plan.services.iter().enumerate();
                let mut users = plans.filter(|(_, s)| s.uses.iter().any(|r| roles.contains(r)));
                let Some(gate) = &self.cue(i).gate else {
                    return users.any(|(s, _)| services.detected(s, struck_us));
                };
                let opened = self.find(gate).and_then(|j| self.done_us[j]);
                opened.is_some_and(|at| users.any(|(s, _)| services.detected_since(s, at)))
            }
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.stage.plan.cues.iter().position(|c| c.name == name)
    }

    fn start(&mut self, i: usize) -> io::Result<()> {
        let cue = self.cue(i).clone();
        self.stage.intend(&cue.name, cue.kind, cue.acts.clone(), cue.undo.clone())?;
        self.states[i] = State::Running;
        let stage = self.stage.clone();
        self.tasks.spawn(async move {
            let done = stage.perform_all(&cue.name, &cue.acts, cue.limit).await;
            (i, What::Acts, done)
        });
        Ok(())
    }

    fn lift(&mut self, i: usize) {
        self.ended_hold[i] = true;
        self.over_us[i] = None;
        let cue = self.cue(i).clone();
        let stage = self.stage.clone();
        self.tasks.spawn(async move {
            let mut done = Ok(true);
            for act in &cue.undo {
                done = done.and(stage.undo(&cue.name, act).await.map(|()| true));
            }
            (i, What::Lift, done)
        });
    }

    /// The next task to end; never, if none runs.
    pub(super) async fn next_end(&mut self) -> Option<End> {
        match self.tasks.join_next().await {
            Some(done) => Some(done.expect("step tasks do not panic")),
            None => std::future::pending().await,
        }
    }

    /// Takes note of a task's end.
    pub(super) fn ended(&mut self, (i, what, done): End, now_us: u64) -> io::Result<()> {
        let done = done?;
        if self.cue(i).kind == StepKind::Fault {
            self.last_strike_us = now_us;
        }
        self.over_us[i] = Some(now_us);
        if what == What::Acts {
            self.states[i] = if done { State::Done } else { State::Failed };
            self.done_us[i] = done.then_some(now_us);
            self.lifts[i] = self.cue(i).hold.map(|h| now_us + h.us());
        }
        Ok(())
    }

    /// Whether nothing runs and nothing is sure to come: steps that wait for something that may never happen do not
    /// count.
    pub(super) fn settled(&self) -> bool {
        self.tasks.is_empty()
            && self.lifts.iter().all(Option::is_none)
            && (0..self.states.len()).all(|i| self.states[i] != State::Waiting || !self.will_come(i))
    }

    fn will_come(&self, i: usize) -> bool {
        match &self.cue(i).trigger {
            Trigger::At(_) => true,
            Trigger::Detected(_) => false,
            Trigger::After(name) => self.find(name).is_some_and(|j| match self.states[j] {
                State::Done | State::Running => true,
                State::Failed => false,
                State::Waiting => self.will_come(j),
            }),
        }
    }

    /// When the timetable next has something to do.
    pub(super) fn next_us(&self) -> Option<u64> {
        let due = self.states.iter().zip(&self.stage.plan.cues).filter_map(|(s, c)| match (s, &c.trigger) {
            (State::Waiting, Trigger::At(at)) => Some(self.start_us + at.us()),
            _ => None,
        });
        let now_us = self.stage.clock.now_us();
        // A recovery step that is due but must wait for its turn is woken by the end of the one before it.
        due.filter(|at| *at > now_us).chain(self.lifts.iter().flatten().copied()).min()
    }

    /// Ends what still runs: the storm is over.
    pub(super) fn cut_off(mut self) -> io::Result<()> {
        self.tasks.abort_all();
        let now_us = self.stage.clock.now_us();
        for i in (0..self.states.len()).filter(|i| self.states[*i] == State::Running) {
            let cue = self.cue(i);
            let Some(act) = cue.acts.last().cloned() else { continue };
            let outcome = Outcome::Failed(CUT_OFF.into());
            let acted =
                Acted { step: cue.name.clone(), act, began_us: now_us, outcome, facts: Default::default() };
            self.stage.journal.record(EventKind::Acted(acted))?;
        }
        Ok(())
    }
}
