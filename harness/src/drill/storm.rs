//! The storm: faults and recovery steps on their timetable, while load and probes go on.
//!
//! One loop owns the state of all steps and services; steps run as tasks and report back. The storm ends when every
//! service, and every store that takes writes, has been good for long enough after the last fault, or when every limit has surely been missed.

mod holds;
mod services;
mod steps;

use holds::Holds;
use services::Services;
use steps::Steps;

use super::{Break, Stage, watch::Watch};
use crate::{journal::EventKind, plan::Trigger, time::Dur};

/// The storm ends so long after its limits, so that a limit just met is seen to be met.
const MARGIN: Dur = Dur::from_secs(1);

impl Stage {
    /// Waits until every service has been good for its `stable_for`. `false` if that takes too long.
    pub(super) async fn settle(&self, watch: &mut Watch) -> Result<bool, Break> {
        let mut services = Services::new(&self.plan);
        let deadline_us = self.clock.now_us().saturating_add(crate::plan::SETTLE_LIMIT.us());
        let deadline_us = deadline_us.saturating_add(services.longest_stable_us());
        loop {
            let now_us = self.clock.now_us();
            if services.stable(0, now_us) {
                return Ok(true);
            }
            if now_us >= deadline_us {
                return Ok(false);
            }
            let wake_us = services.next_stable_us(0).unwrap_or(u64::MAX).min(deadline_us);
            tokio::select! {
                biased;
                Some(update) = watch.updates.recv() => services.take(&update),
                () = self.clock.until(wake_us) => {}
            }
        }
    }

    /// Plays the timetable.
    pub(super) async fn storm(&self, watch: &mut Watch) -> Result<(), Break> {
        let start_us = self.clock.now_us();
        let mut services = Services::new(&self.plan);
        let mut steps = Steps::new(self.clone(), start_us);
        let mut holds = Holds::start(self);
        loop {
            let now_us = self.clock.now_us();
            steps.start_due(&services, now_us)?;
            holds.watch(steps.held());
            if let Some(why) = self.abort_reason(&services, start_us, now_us) {
                return Err(Break::Stopped(why));
            }
            let over = steps.settled() && services.stable(steps.last_strike_us(), now_us);
            let deadline_us = self.deadline_us(&steps, start_us);
            if over || now_us >= deadline_us {
                return Ok(steps.cut_off()?);
            }
            let stable_us =
                steps.settled().then(|| services.next_stable_us(steps.last_strike_us())).flatten();
            let abort_us = self.next_abort_us(&services, start_us);
            let wakes = [steps.next_us(), stable_us, abort_us, Some(deadline_us)];
            let wake_us = wakes.into_iter().flatten().min().unwrap_or(deadline_us);
            tokio::select! {
                biased;
                Some(done) = steps.next_end() => steps.ended(done, self.clock.now_us())?,
                Some(update) = watch.updates.recv() => {
                    services.take(&update);
                    if let Some(t0_us) = steps.t0_us() {
                        for service in services.newly_detected(t0_us) {
                            let service = self.plan.services[service].name.clone();
                            self.journal.record(EventKind::Detected { service })?;
                        }
                    }
                }
                look = holds.next() => {
                    let free_us = steps.free_us(&look.held);
                    if let Some((fault, act)) = holds.judge(look, free_us) {
                        steps.lifted_early(fault, act)?;
                    }
                }
                () = self.clock.until(wake_us) => {}
            }
        }
    }

    /// When every limit has surely been missed. Counted from the last fault that has struck, or is sure to strike.
    fn deadline_us(&self, steps: &Steps, start_us: u64) -> u64 {
        let fixed = self.plan.cues.iter().filter_map(|c| match c.trigger {
            Trigger::At(at) => Some(start_us + at.us() + c.hold.map_or(0, Dur::us)),
            _ => None,
        });
        let base_us = fixed.max().unwrap_or(start_us).max(steps.last_strike_us());
        base_us + self.plan.patience_us() + MARGIN.us()
    }

    fn abort_reason(&self, services: &Services, start_us: u64, now_us: u64) -> Option<String> {
        let abort = &self.plan.scenario.abort;
        if let Some(limit) = abort.storm_longer_than.filter(|l| now_us >= start_us + l.us()) {
            return Some(format!("abort condition: the storm lasted longer than {limit}"));
        }
        let limit = abort.service_down_for?;
        let down = services.down_since().find(|(_, since)| now_us >= since + limit.us())?;
        let name = &self.plan.services[down.0].name;
        Some(format!("abort condition: {name} was down for longer than {limit}"))
    }

    fn next_abort_us(&self, services: &Services, start_us: u64) -> Option<u64> {
        let abort = &self.plan.scenario.abort;
        let storm = abort.storm_longer_than.map(|l| start_us + l.us());
        let down = abort.service_down_for.and_then(|l| services.down_since().map(|(_, s)| s + l.us()).min());
        storm.into_iter().chain(down).min()
    }
}
