//! The storm: faults and recovery steps on their timetable, while users are asked.
//!
//! It ends when every fault has struck (and was lifted, where it holds for a time of its own), every step that will be run
//! has ended, and every service has been good for long enough; or when every limit has surely been missed.

use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use harness::own::fault::event::{Look, Task};
use harness::own::fault::{Drill, FaultStep, RecoverAct, RecoverStep};

use super::Player;
use super::watch::{State, Watch};
use crate::own::config::Halt;

/// How long a stack may take to become steady.
const SETTLE_US: u64 = 60_000_000;
/// The storm ends so long after its limits, so that a limit just met is seen to be met.
const MARGIN_US: u64 = 1_000_000;
/// How often it is looked whether it is over.
const LOOK_US: u64 = 50_000;

impl Player {
    /// Waits until every service has been good for long enough, and a canary was planted wherever some are to be.
    pub(super) async fn settle(&self, watch: &Watch) -> Result<(), Halt> {
        let stable_us = self.c.drill.fault.objectives.stable_for.us();
        let patience_us = if self.rehearsed { 2 * MARGIN_US } else { SETTLE_US };
        let deadline_us = self.clock.now_us() + patience_us + stable_us;
        loop {
            let now_us = self.clock.now_us();
            let state = watch.state.borrow().clone();
            let unwell = unwell(&self.c.drill, &state);
            let planted = |id: &&String| state.acked.get(*id).is_some_and(|(n, _)| *n > 0);
            let unplanted = self.c.drill.planted().into_iter().find(|id| !planted(id));
            if unwell.is_none() && unplanted.is_none() {
                return Ok(());
            }
            if now_us >= deadline_us {
                let why = match (unwell, unplanted) {
                    (Some(id), _) => {
                        let why = state.services[id].why.as_deref().unwrap_or("it was never asked");
                        format!(
                            "{id} was not good for {} on end: {why}",
                            self.c.drill.fault.objectives.stable_for
                        )
                    }
                    (None, id) => {
                        let id = id.map_or("", String::as_str);
                        let why = state.acked.get(id).and_then(|(_, why)| why.as_deref());
                        format!("no canary could be planted in {id}: {}", why.unwrap_or("nobody answered"))
                    }
                };
                return Err(Halt::Abort(format!("{why}; nothing was broken")));
            }
            self.clock.until(now_us + LOOK_US).await;
        }
    }

    /// Plays the timetable.
    pub(super) async fn storm(&self, watch: &Watch) -> Result<(), Halt> {
        let start_us = self.clock.now_us();
        let fault = &self.c.drill.fault;
        let mut steps: FuturesUnordered<LocalBoxFuture<'_, Result<(), Halt>>> = FuturesUnordered::new();
        for (n, step) in fault.fault.iter().enumerate() {
            steps.push(Box::pin(self.fault_step(watch, start_us, n, step)));
        }
        for (n, step) in fault.recover.iter().enumerate() {
            steps.push(Box::pin(self.recover_step(watch, start_us, n, step)));
        }
        loop {
            let now_us = self.clock.now_us();
            let state = watch.state.borrow().clone();
            let late = deadline_us(&self.c.drill, &state).is_some_and(|at| now_us >= at);
            let running = self.opened().marks.iter().any(|m| *m != self.c.run);
            let settled = settled(&self.c.drill, &state) && unwell(&self.c.drill, &state).is_none();
            if !running && (settled || late) {
                return Ok(());
            }
            tokio::select! {
                biased;
                Some(ended) = steps.next() => ended?,
                () = self.clock.until(now_us + LOOK_US) => {}
            }
        }
    }

    async fn fault_step(&self, watch: &Watch, start_us: u64, n: usize, step: &FaultStep) -> Result<(), Halt> {
        self.clock.until(start_us.saturating_add(step.at.us())).await;
        let now_us = self.clock.now_us();
        watch.state.send_modify(|s| {
            s.t0_us = s.t0_us.or(Some(now_us));
            s.striking += 1;
            s.begun += 1;
        });
        let detectors = self.c.drill.detectors(Some(&step.component));
        let noticed = |since_us: u64| {
            let state = watch.state.borrow();
            // With another fault about, nobody knows whose doing it is.
            state.begun == 1 && detectors.iter().any(|id| state.services[*id].bad_since(since_us))
        };
        self.inject(n, step, noticed).await?;
        let struck_us = self.clock.now_us();
        watch.state.send_modify(|s| {
            s.done.push(step.name.clone());
            s.striking -= 1;
            s.struck(struck_us);
        });
        if let Some(hold) = step.hold {
            self.clock.until(struck_us.saturating_add(hold.us())).await;
            self.look(step, Look::Held, |there| there.is_some()).await?;
            // What could not be undone now is tried once more at the end.
            self.undo(n, step).await?;
        }
        let now_us = self.clock.now_us();
        watch.state.send_modify(|s| {
            s.over += 1;
            if step.hold.is_some() {
                s.struck(now_us);
            }
        });
        Ok(())
    }

    async fn recover_step(
        &self,
        watch: &Watch,
        start_us: u64,
        n: usize,
        step: &RecoverStep,
    ) -> Result<(), Halt> {
        let RecoverAct::Command(command) = &step.act else { return Ok(()) };
        let drill = &self.c.drill;
        if let Some(at) = step.at {
            self.clock.until(start_us.saturating_add(at.us())).await;
        } else {
            let mut state = watch.state.subscribe();
            let due = |s: &State| match &step.after {
                Some(after) => s.done.contains(after),
                // A runbook does not run into a fault that is just being injected.
                None => s.striking == 0 && detected(drill, step, s),
            };
            // The sender lives as long as the storm.
            let _ = state.wait_for(due).await;
        }
        self.command((Task::Recover, n, &step.name), command, self.too_late(watch)).await?;
        watch.state.send_modify(|s| s.done.push(step.name.clone()));
        Ok(())
    }

    /// Resolves when every limit has been missed, and some service is not back.
    async fn too_late(&self, watch: &Watch) -> String {
        loop {
            let now_us = self.clock.now_us();
            let deadline_us = deadline_us(&self.c.drill, &watch.state.borrow());
            let unwell = unwell(&self.c.drill, &watch.state.borrow()).is_some();
            // Where users are well again, a runbook has the whole of its own limit.
            if unwell && deadline_us.is_some_and(|at| now_us >= at) {
                return "the time in which services had to be back was over".into();
            }
            self.clock.until(now_us + LOOK_US).await;
        }
    }
}

fn detected(drill: &Drill, step: &RecoverStep, s: &State) -> bool {
    drill.detectors(step.component.as_deref()).iter().any(|id| s.services[*id].detected)
}

/// A service that has not been good for long enough since the last strike.
fn unwell<'a>(drill: &'a Drill, s: &State) -> Option<&'a String> {
    let stable_us = drill.fault.objectives.stable_for.us();
    let mut services = drill.services();
    let unwell = services.find(|(id, service)| {
        // Every question of the window has to be answered, and the first one after it.
        let health = &s.services[*id];
        health.good.is_none_or(|(_, at_us)| {
            let until_us = at_us.saturating_add(stable_us);
            health.answered_us(service.probe.every.us()).is_none_or(|due_us| due_us <= until_us)
        })
    });
    unwell.map(|(id, _)| id)
}

/// Every fault is over, and every step that will be run has been.
fn settled(drill: &Drill, s: &State) -> bool {
    let ended = |r: &RecoverStep| {
        matches!(r.act, RecoverAct::None {}) || s.done.contains(&r.name) || !will_run(drill, r, s)
    };
    s.over == drill.fault.fault.len() && drill.fault.recover.iter().all(ended)
}

/// Whether a step is sure to be run.
fn will_run(drill: &Drill, step: &RecoverStep, s: &State) -> bool {
    match &step.after {
        Some(after) => {
            let before = drill.fault.recover.iter().find(|r| r.name == *after);
            // A step waits only for earlier ones, so this ends.
            before.is_none_or(|r| s.done.contains(&r.name) || will_run(drill, r, s))
        }
        None => step.at.is_some() || detected(drill, step, s),
    }
}

/// When every limit has surely been missed; not known while a fault is not over.
fn deadline_us(drill: &Drill, s: &State) -> Option<u64> {
    if s.over < drill.fault.fault.len() {
        return None;
    }
    let rto_us = drill.services().map(|(id, _)| drill.rto(id).us()).max().unwrap_or(0);
    let asks = drill.services().map(|(_, s)| s.probe.every.us() + s.probe.timeout.us());
    let patience_us = rto_us + drill.fault.objectives.stable_for.us() + asks.max().unwrap_or(0) + MARGIN_US;
    Some(s.last_us.saturating_add(patience_us))
}
