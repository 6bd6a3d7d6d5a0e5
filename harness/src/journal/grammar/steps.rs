//! Steps: what was meant to be done, what was done, what was undone, and what that owes.
//!
//! The harness's own steps come in the order of the plan. Faults and recovery steps come when their trigger allows it,
//! once each; and where the storm was not cut off, those whose trigger was met have all come.

use std::collections::VecDeque;

use super::{Law, broken};
use crate::{
    act::{Act, Outcome},
    journal::{Acted, Intent, Phase},
    plan::{Cue, Plan, StepKind, Trigger},
    topology::{NodeId, Role},
};

/// What the drill loop writes for a step that is under way when the storm ends.
pub(crate) const CUT_OFF: &str = "the storm ended before it had ended";

/// A step that was begun.
#[derive(Debug)]
struct Step {
    intent: Intent,
    /// Its place in the plan's timetable; `None` for one of the harness's own.
    cue: Option<usize>,
    /// Acts that were seen to take effect.
    seen: usize,
    /// One was not: the step goes no further.
    failed: bool,
    /// The storm ended first. Its task may have been about to write another line.
    cut: bool,
    /// When it was meant, and then when its newest act was written down.
    began_us: u64,
    last_us: u64,
}

impl Step {
    fn done(&self) -> bool {
        self.seen == self.intent.acts.len()
    }

    fn over(&self) -> bool {
        self.done() || self.failed
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Steps {
    all: Vec<Step>,
    /// What is undone some day.
    debts: Vec<Intent>,
    /// The harness's own, in order, as far as they are known to come.
    coming: Vec<(String, Act)>,
    /// How many of them have begun.
    begun: usize,
    /// The next round of backups.
    round: u64,
    /// By service.
    detected: Vec<bool>,
    /// Nodes that are still to be restarted, to prove that what they hold is stored; `None` before that is known.
    restarts: Option<VecDeque<NodeId>>,
}

impl Steps {
    pub(super) fn new(plan: &Plan) -> Steps {
        Steps {
            all: Vec::new(),
            debts: Vec::new(),
            coming: plan.preparations(),
            begun: 0,
            round: 1,
            detected: vec![false; plan.services.len()],
            restarts: None,
        }
    }

    /// Whether a fault of this name has been seen to strike by this act.
    pub(super) fn struck_by(&self, name: &str, act: &Act) -> bool {
        let fault = |s: &&Step| s.intent.why == StepKind::Fault && s.intent.step == name;
        self.all.iter().find(fault).is_some_and(|s| s.intent.acts[..s.seen].contains(act))
    }

    /// Which nodes are restarted once everything was read.
    pub(super) fn restart(&mut self, nodes: &[NodeId]) {
        self.restarts = Some(nodes.iter().cloned().collect());
    }

    /// Whether all of them have been, however that ended.
    pub(super) fn restarted(&self) -> bool {
        self.restarts.as_ref().is_some_and(VecDeque::is_empty) && self.restart_over()
    }

    /// Whether the newest restart is over. A backup on a schedule may have been dropped under way when the storm ended.
    fn restart_over(&self) -> bool {
        let restart = |s: &&Step| s.cue.is_none() && matches!(s.intent.acts[..], [Act::Restart { .. }]);
        self.all.iter().rev().find(restart).is_none_or(Step::over)
    }

    /// Whether a step was cut off by the end of the storm.
    pub(super) fn cut(&self) -> bool {
        self.all.iter().any(|s| s.cut)
    }

    /// Whether the newest of the harness's own steps is over.
    fn own_over(&self) -> bool {
        let own = self.all.iter().rev().find(|s| s.cue.is_none() && !s.intent.acts.is_empty());
        own.is_none_or(Step::over)
    }

    pub(super) fn launched(&self) -> bool {
        !self.all.is_empty()
    }

    pub(super) fn paid(&self) -> bool {
        self.debts.is_empty()
    }

    /// Whether a fault was meant to strike.
    pub(super) fn struck(&self) -> bool {
        self.all.iter().any(|s| s.intent.why == StepKind::Fault)
    }

    pub(super) fn prepared(&self) -> Law {
        match self.begun == self.coming.len() && self.all.iter().all(Step::done) {
            true => Ok(()),
            false => broken("an index or a backup of the seed that was never made"),
        }
    }

    pub(super) fn detected(&mut self, service: usize) -> Law {
        if std::mem::replace(&mut self.detected[service], true) {
            return broken("a second detection by the same service");
        }
        Ok(())
    }

    pub(super) fn is_detected(&self, service: usize) -> bool {
        self.detected[service]
    }

    /// Whether faults with a fixed time began no later than this after it: nothing keeps them waiting.
    pub(super) fn on_time(&self, plan: &Plan, storm_us: u64, late_us: u64) -> Law {
        for step in self.all.iter().filter(|s| s.intent.why == StepKind::Fault) {
            let Some(Trigger::At(at)) = step.cue.map(|i| &plan.cues[i].trigger) else { continue };
            let due_us = storm_us.saturating_add(at.us());
            if step.began_us > due_us.saturating_add(late_us) {
                return Err(format!("the fault `{}` long after it was due", step.intent.step));
            }
        }
        Ok(())
    }

    fn of(&self, name: &str) -> Option<&Step> {
        self.all.iter().find(|s| s.cue.is_some() && s.intent.step == name)
    }

    /// A step begins. `down`: whether this service has been down since the storm began.
    pub(super) fn intended(
        &mut self,
        plan: &Plan,
        intent: &Intent,
        at_us: u64,
        when: (Option<Phase>, bool),
        down: impl Fn(usize) -> bool,
        storm_us: u64,
    ) -> Law {
        let cue = match intent.why {
            StepKind::Setup => {
                self.own(plan, intent, when)?;
                None
            }
            StepKind::Fault | StepKind::Recovery => {
                let place = plan.cues.iter().position(|c| {
                    c.name == intent.step
                        && c.kind == intent.why
                        && c.acts == intent.acts
                        && c.undo == intent.undo
                });
                let Some(i) = place else {
                    return Err(format!("a step `{}` that is not planned", intent.step));
                };
                if when != (Some(Phase::Storm), false) {
                    return Err(format!("the step `{}` in another phase", intent.step));
                }
                if self.of(&intent.step).is_some() {
                    return Err(format!("the step `{}` a second time", intent.step));
                }
                if !self.due(plan, &plan.cues[i], at_us, down, storm_us) {
                    return Err(format!("the step `{}` before it was due", intent.step));
                }
                Some(i)
            }
        };
        if !intent.undo.is_empty() {
            self.debts.push(intent.clone());
        }
        let intent = intent.clone();
        self.all.push(Step {
            intent,
            cue,
            began_us: at_us,
            seen: 0,
            failed: false,
            cut: false,
            last_us: at_us,
        });
        Ok(())
    }

    /// The harness's own: the stack as a whole, then indexes and backups, then backups on a schedule.
    fn own(&mut self, plan: &Plan, intent: &Intent, (phase, aborted): (Option<Phase>, bool)) -> Law {
        let wrong = || Err(format!("a step `{}` of the harness's own that it does not play", intent.step));
        if phase == Some(Phase::Launch) {
            let stack = intent.step == "stack" && intent.acts.is_empty() && intent.undo == [Act::Teardown];
            return if stack && self.all.is_empty() && !aborted { Ok(()) } else { wrong() };
        }
        if phase == Some(Phase::Restart) && !aborted {
            let next = self.restarts.as_ref().and_then(VecDeque::front).cloned();
            let due = next.is_some_and(|node| {
                intent.step == format!("restart-{}", node.slug()) && intent.acts == [Act::Restart { node }]
            });
            if !due || !self.restart_over() || !intent.undo.is_empty() {
                return wrong();
            }
            self.restarts.as_mut().map(VecDeque::pop_front);
            return Ok(());
        }
        // The schedule's task is dropped when a drill is given up, and may write one last line.
        if !(matches!(phase, Some(Phase::Seed | Phase::Settle | Phase::Storm)) || aborted) {
            return wrong();
        }
        if !self.own_over() {
            return wrong();
        }
        if self.begun == self.coming.len() && phase != Some(Phase::Seed) {
            self.coming.extend(plan.incremental(self.round));
            self.round += 1;
        }
        let next = self.coming.get(self.begun);
        if !next.is_some_and(|(step, act)| *step == intent.step && intent.acts == [act.clone()])
            || !intent.undo.is_empty()
        {
            return wrong();
        }
        self.begun += 1;
        Ok(())
    }

    fn due(&self, plan: &Plan, cue: &Cue, at_us: u64, down: impl Fn(usize) -> bool, storm_us: u64) -> bool {
        match &cue.trigger {
            Trigger::At(at) => storm_us.checked_add(at.us()).is_some_and(|due_us| at_us >= due_us),
            Trigger::After(name) => self.of(name).is_some_and(Step::done),
            Trigger::Detected(roles) => {
                let gate = cue.gate.as_ref().is_none_or(|gate| self.of(gate).is_some_and(Step::done));
                let users = plan.services.iter().enumerate();
                let mut users = users.filter(|(_, s)| s.uses.iter().any(|r| roles.contains(r)));
                gate && self.struck() && users.any(|(i, _)| down(i))
            }
        }
    }

    /// An act ended.
    pub(super) fn acted(
        &mut self,
        acted: &Acted,
        at_us: u64,
        (phase, aborted): (Option<Phase>, bool),
    ) -> Law {
        let wrong = |what: &str| Err(format!("an act of the step `{}` {what}", acted.step));
        let named = |s: &&mut Step| s.intent.step == acted.step;
        // A user may name a step like one of the harness's own.
        let fits = |s: &&mut Step| named(s) && !s.failed && s.intent.acts.get(s.seen) == Some(&acted.act);
        let cut = acted.outcome == Outcome::Failed(CUT_OFF.into());
        let cuts =
            |s: &&mut Step| named(s) && s.cue.is_some() && !s.cut && s.intent.acts.last() == Some(&acted.act);
        let step = match cut {
            true => self.all.iter_mut().rev().find(cuts),
            false => self.all.iter_mut().rev().find(fits),
        };
        let Some(step) = step else { return wrong("that it was not to play, or not now") };
        let now = match (step.cue, phase) {
            (Some(_), Some(Phase::Storm)) => true,
            (None, Some(Phase::Seed | Phase::Settle | Phase::Storm | Phase::Restart)) => true,
            // A task that is dropped may write one last line.
            _ => aborted || step.cut,
        };
        if !now {
            return wrong("in another phase");
        }
        let since_us = if step.cut { 0 } else { step.last_us };
        if acted.began_us < since_us || acted.began_us > at_us {
            return wrong("at a moment when it cannot have been played");
        }
        step.last_us = at_us;
        match (cut, acted.outcome.observed()) {
            (true, _) => step.cut = true,
            (false, true) => step.seen += 1,
            (false, false) => step.failed = true,
        }
        Ok(())
    }

    /// An undo act ended.
    pub(super) fn undone(
        &mut self,
        plan: &Plan,
        undone: &Acted,
        at_us: u64,
        (phase, aborted): (Option<Phase>, bool),
    ) -> Law {
        let wrong = |what: &str| Err(format!("an undo of the step `{}` {what}", undone.step));
        let named = |s: &&Step| s.intent.step == undone.step && s.intent.undo.contains(&undone.act);
        let Some(step) = self.all.iter().rev().find(named) else { return wrong("that it does not have") };
        if undone.began_us > at_us {
            return wrong("that began later than it ended");
        }
        let now = match phase {
            // A fault that holds for a while is lifted when its time has run out.
            Some(Phase::Storm) => {
                let hold = step.cue.and_then(|i| plan.cues[i].hold);
                hold.is_some_and(|h| step.over() && undone.began_us >= step.last_us.saturating_add(h.us()))
            }
            Some(Phase::Undo | Phase::Teardown) => undone.began_us >= step.last_us || step.cut,
            _ => false,
        };
        if !now && !aborted {
            return wrong("at a moment when it cannot have been played");
        }
        let owed = |d: &&mut Intent| d.step == undone.step && d.undo.contains(&undone.act);
        match self.debts.iter_mut().rev().find(owed) {
            Some(debt) if undone.outcome.observed() => debt.undo.retain(|act| act != &undone.act),
            Some(_) => {}
            // Its task was dropped when it had been played and before that was known.
            None if aborted => {}
            None => return wrong("that was undone before"),
        }
        self.debts.retain(|d| !d.undo.is_empty());
        Ok(())
    }

    /// What must have happened when the storm ends.
    pub(super) fn storm_over(&self, plan: &Plan) -> Law {
        // It was cut off at its limit: some steps were under way, and others had not had their turn.
        if self.cut() {
            return Ok(());
        }
        if let Some(step) = self.all.iter().find(|s| s.cue.is_some() && !s.over()) {
            return Err(format!("the step `{}` neither ended nor was cut off", step.intent.step));
        }
        let first = self.all.iter().find(|s| s.intent.why == StepKind::Fault);
        let missed = |cue: &&Cue| {
            let due = match &cue.trigger {
                Trigger::At(_) => true,
                // The end of a step without acts leaves no line, and may have been noticed too late.
                Trigger::After(name) => self.of(name).is_some_and(|s| s.done() && s.seen > 0),
                Trigger::Detected(roles) => {
                    let mut services = plan.services.iter().zip(&self.detected);
                    let detected =
                        services.any(|(s, seen)| *seen && s.uses.iter().any(|r| roles.contains(r)));
                    detected && cue.gate.is_none() && first.is_some_and(|f| concerns(plan, &f.intent, roles))
                }
            };
            due && self.of(&cue.name).is_none()
        };
        match plan.cues.iter().find(missed) {
            None => Ok(()),
            Some(cue) => Err(format!("a storm that ends without the step `{}`, which was due", cue.name)),
        }
    }
}

/// Whether detection counts from this fault for a step that waits for services of these roles: it hits one of them, or
/// no planned fault does.
fn concerns(plan: &Plan, fault: &Intent, roles: &[Role]) -> bool {
    let hits = |acts: &[Act]| acts.iter().filter_map(Act::node).any(|n| roles.contains(&n.role));
    let mut faults = plan.cues.iter().filter(|c| c.kind == StepKind::Fault);
    hits(&fault.acts) || !faults.any(|c| hits(&c.acts))
}
