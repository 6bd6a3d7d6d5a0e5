//! What the probes say about each service at this moment: good since when, bad since when, detected or not. Writes are
//! questions too: each store that takes them stands behind the services, and is waited for like them.

use crate::{drill::watch::Update, plan::Plan};

/// Bad probes in a row that make a service count as down.
pub(crate) const DETECT_AFTER: u32 = 3;

#[derive(Debug)]
struct Service {
    stable_us: u64,
    /// A service counts as stable only once probes sent meanwhile can no longer turn out bad.
    margin_us: u64,
    good_since_us: Option<u64>,
    bad_since_us: Option<u64>,
    bad_in_a_row: u32,
    /// When the newest of the bad probes in a row was answered.
    last_bad_us: u64,
    detected: bool,
    /// When three in a row were last bad.
    down_us: Option<u64>,
}

/// All services, in the plan's order.
#[derive(Debug)]
pub(super) struct Services {
    /// The services, then the stores of [`Plan::judged_writes`].
    all: Vec<Service>,
    /// How many of them are services.
    services: usize,
}

impl Services {
    pub(super) fn new(plan: &Plan) -> Self {
        let subject = |(stable_us, margin_us): (u64, u64)| Service {
            stable_us,
            margin_us,
            good_since_us: None,
            bad_since_us: None,
            bad_in_a_row: 0,
            last_bad_us: 0,
            detected: false,
            down_us: None,
        };
        let services = plan
            .services
            .iter()
            .map(|s| (s.objectives.stable_for.us(), s.probe.timeout.us() + 2 * s.probe.every.us()));
        let writes = plan.judged_writes().into_iter().map(|role| {
            let period_us = plan.scenario.load.of(role).map_or(0, |r| r.period().as_micros() as u64);
            let stable_us = plan.writes_stable_for(role).map_or(0, crate::time::Dur::us);
            (stable_us, plan.write_timeout(role).us() + 2 * period_us)
        });
        Services { all: services.chain(writes).map(subject).collect(), services: plan.services.len() }
    }

    /// One probe ended.
    pub(super) fn take(&mut self, update: &Update) {
        let service = &mut self.all[update.service];
        if update.good {
            service.bad_in_a_row = 0;
            service.bad_since_us = None;
            service.good_since_us.get_or_insert(update.done_us);
        } else {
            service.bad_in_a_row = service.bad_in_a_row.saturating_add(1);
            service.last_bad_us = update.done_us;
            if service.bad_in_a_row >= DETECT_AFTER {
                service.down_us = Some(update.done_us);
            }
            service.bad_since_us.get_or_insert(update.due_us);
            service.good_since_us = None;
        }
    }

    /// Services that are detected as down by now, and were not before.
    pub(super) fn newly_detected(&mut self, t0_us: u64) -> Vec<usize> {
        let mut newly = Vec::new();
        for (i, s) in self.all.iter_mut().take(self.services).enumerate() {
            if !s.detected && s.bad_in_a_row >= DETECT_AFTER && s.last_bad_us >= t0_us {
                s.detected = true;
                newly.push(i);
            }
        }
        newly
    }

    /// Whether this service was down at some time since.
    pub(super) fn detected(&self, service: usize, since_us: u64) -> bool {
        self.all[service].down_us.is_some_and(|at| at >= since_us)
    }

    /// Whether this service was down at some time since, as probes say that were surely sent since.
    pub(super) fn detected_since(&self, service: usize, since_us: u64) -> bool {
        self.detected(service, since_us.saturating_add(self.all[service].margin_us))
    }

    /// Services that are bad, and since when.
    pub(super) fn down_since(&self) -> impl Iterator<Item = (usize, u64)> {
        self.all.iter().take(self.services).enumerate().filter_map(|(i, s)| Some((i, s.bad_since_us?)))
    }

    /// Whether every service and every store has been good for long enough, counted from `from_us` at the earliest.
    pub(super) fn stable(&self, from_us: u64, now_us: u64) -> bool {
        self.next_stable_us(from_us).is_some_and(|at| now_us >= at)
    }

    /// When every service will have been good for long enough, if no more bad probe comes.
    pub(super) fn next_stable_us(&self, from_us: u64) -> Option<u64> {
        let at = |s: &Service| Some(s.good_since_us?.max(from_us) + s.stable_us + s.margin_us);
        self.all.iter().map(at).collect::<Option<Vec<u64>>>()?.into_iter().max()
    }

    /// The longest that any service must stay good.
    pub(super) fn longest_stable_us(&self) -> u64 {
        self.all.iter().map(|s| s.stable_us + s.margin_us).max().unwrap_or(0)
    }
}
