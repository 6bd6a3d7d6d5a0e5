//! The order of the phases, what a phase must have brought before the next one may begin, and what the end says.

use super::{Grammar, LATE, Law, SLACK, WRITE_LIMIT, broken, readings::Readings, schedule::Schedule};
use crate::{
    journal::{Ending, Phase, ReadBack, When},
    plan::Plan,
    topology::Role,
};

impl Grammar {
    pub(super) fn enter(&mut self, plan: &Plan, next: Phase, at_us: u64) -> Law {
        if !follows(self.phase, next, self.aborted) {
            return Err(match self.phase {
                Some(before) => format!("the phase {next} after {before}"),
                None => format!("the phase {next} at the beginning"),
            });
        }
        if !self.aborted {
            self.leave(plan, next, at_us)?;
        }
        match next {
            Phase::Settle => self.quiet_us = at_us,
            Phase::Storm => self.storm_us = Some(at_us),
            Phase::ReadBack => self.watched_us = at_us,
            Phase::Restart => self.readings = Readings::again(ReadBack::RESTARTED, self.copies()),
            Phase::SecondReadBack => self.readings = Readings::again(ReadBack::UNDONE, self.copies()),
            _ => {}
        }
        self.phase = Some(next);
        Ok(())
    }

    /// What the phase that ends must have brought, where a drill was not given up.
    pub(super) fn leave(&self, plan: &Plan, next: Phase, at_us: u64) -> Law {
        match next {
            Phase::Seed if !self.steps.launched() => broken("a stack that nobody meant to throw away again"),
            Phase::Settle if self.seeded < self.writes.len() => broken("a store that was never filled"),
            Phase::Settle => self.steps.prepared(),
            Phase::Storm => {
                self.answers.all_before()?;
                // The stack counts as steady once each service has been good for so long. That no probe was bad
                // meanwhile is not a law: what the drill loop had heard by then is less than what the journal holds.
                let steady = |(s, plan): (&Schedule, &crate::plan::ServicePlan)| {
                    s.good_since_us()
                        .is_some_and(|g| g.saturating_add(plan.objectives.stable_for.us()) <= at_us)
                };
                match self.probes.iter().zip(&plan.services).all(steady) {
                    true => Ok(()),
                    false => broken("a storm before every service was seen to be good for long enough"),
                }
            }
            Phase::ReadBack => {
                self.answers.all_before()?;
                if self.phase == Some(Phase::Storm) {
                    self.all_detected(plan, at_us)?;
                    self.steps.storm_over(plan)?;
                }
                Ok(())
            }
            Phase::Quality if self.copies.is_none() => broken("a read-back of nobody knows whose copies"),
            Phase::Quality | Phase::Teardown => self.readings.all_read(),
            Phase::Restart => {
                self.answers.all_after(3, self.copies())?;
                self.all_listed(When::After)
            }
            Phase::Undo => {
                let jobs = self.copies().iter().filter(|(role, _)| *role == Role::Gpu).count();
                if !self.steps.restarted() || self.resumed.len() != jobs {
                    return broken("a copy that was not restarted, or a job that was not taken up anew");
                }
                self.readings.all_read()?;
                self.answers.all_after(4, self.copies())?;
                self.all_listed(When::Restarted)
            }
            _ => Ok(()),
        }
    }

    /// No service was down for long, long before the storm ended, without being detected.
    fn all_detected(&self, plan: &Plan, at_us: u64) -> Law {
        let early_us = at_us.saturating_sub(plan.drain_us().saturating_add(SLACK.us()));
        let missed = |i: &usize| {
            self.probes[*i].felt_us().is_some_and(|felt_us| felt_us < early_us) && !self.steps.is_detected(*i)
        };
        match (0..plan.services.len()).find(missed) {
            None => Ok(()),
            Some(i) => {
                Err(format!("a storm in which nobody detected that `{}` was down", plan.services[i].name))
            }
        }
    }

    /// Every copy that users have was listed, where stores consist of anything.
    pub(super) fn all_listed(&self, after: When) -> Law {
        let has = |when: When, (store, region): &(Role, String)| {
            self.listed.contains(&(when, *store, region.clone()))
        };
        let stores = self.copies().iter().filter(|(role, _)| *role != Role::Gpu);
        let before = self.listed.iter().any(|(when, ..)| *when == When::Before);
        match !before || stores.into_iter().all(|copy| has(after, copy)) {
            true => Ok(()),
            false => broken("an inventory that was taken before and not after"),
        }
    }

    /// Given up before the undo, or at the end because the stack could not be torn down.
    pub(super) fn abort(&mut self) -> Law {
        let early = !self.aborted && self.phase.is_none_or(|p| p < Phase::Undo);
        if !early && self.phase != Some(Phase::Teardown) {
            return broken("given up in a phase in which no drill is");
        }
        self.aborted = true;
        Ok(())
    }

    pub(super) fn end(&mut self, plan: &Plan, ending: Ending) -> Law {
        if self.phase != Some(Phase::Teardown) {
            return broken("an end without all phases");
        }
        match (ending, self.aborted) {
            (Ending::Complete, true) => return broken("a complete end of a drill that was given up"),
            (Ending::Aborted | Ending::Environment, false) => return broken("an end that nobody asked for"),
            (Ending::Complete, false) => self.whole(plan)?,
            (Ending::Aborted | Ending::Environment, true) => {}
        }
        self.ended = true;
        Ok(())
    }

    /// What a drill that was played to its end has shown.
    pub(super) fn whole(&self, plan: &Plan) -> Law {
        if !self.steps.paid() {
            return broken("an end with acts that were never undone");
        }
        let timeouts = plan.services.iter().map(|s| s.probe.timeout).chain([WRITE_LIMIT]).max();
        let patience_us = (timeouts.unwrap_or(WRITE_LIMIT).us() + SLACK.us()).saturating_add(self.stalled_us);
        let stopped_us = self.watched_us.saturating_sub(patience_us);
        self.steps.on_time(plan, self.storm_us.unwrap_or(0), LATE.us().saturating_add(self.stalled_us))?;
        for (schedule, service) in self.probes.iter().zip(&plan.services) {
            schedule.whole(stopped_us).map_err(|why| format!("the probes of `{}` {why}", service.name))?;
        }
        for (store, schedule) in &self.writes {
            let whole = schedule.as_ref().map_or(Ok(()), |s| s.whole(stopped_us));
            whole.map_err(|why| format!("the writes to the {store} store {why}"))?;
        }
        Ok(())
    }
}

/// Which phase may come after which.
fn follows(before: Option<Phase>, next: Phase, aborted: bool) -> bool {
    use Phase::{Launch, Quality, ReadBack, Restart, SecondReadBack, Seed, Settle, Storm, Teardown, Undo};
    if aborted {
        return match next {
            Undo => before.is_none_or(|p| p < Undo),
            Teardown => before == Some(Undo),
            _ => false,
        };
    }
    match before {
        None => next == Launch,
        Some(Launch) => next == Seed,
        Some(Seed) => next == Settle,
        // Without a storm where the stack was never steady.
        Some(Settle) => matches!(next, Storm | ReadBack),
        Some(Storm) => next == ReadBack,
        Some(ReadBack) => next == Quality,
        Some(Quality) => next == Restart,
        Some(Restart) => next == Undo,
        Some(Undo) => next == SecondReadBack,
        Some(SecondReadBack) => next == Teardown,
        Some(Teardown) => false,
    }
}
