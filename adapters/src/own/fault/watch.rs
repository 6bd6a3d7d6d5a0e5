//! Users, and canaries, on their schedules: tasks that never stop asking until they are told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::clock::{Clock, Tick};
use harness::journal::{Journal, Probed};
use harness::own::fault::event::{FaultEvent, Sown};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::Player;
use crate::own::bucket::record;
use crate::own::config::Halt;
use crate::own::place::{Place, digest};
use crate::own::probe::Answer;
use crate::own::secrets::Secrets;

/// So many of the last bad answers are remembered.
const BAD_KEPT: usize = 8;
/// So many bad answers in a row are an outage.
const DETECTS: u32 = 3;
/// Planting one canary is given up after this; it may be there all the same.
const PLANTS: Duration = Duration::from_secs(5);
/// Canaries that may be under way at a time; one more is not planted.
const PLANTING_MAX: usize = 32;

/// What everybody who waits for something looks at.
#[derive(Debug, Default, Clone)]
pub(super) struct State {
    /// The first fault was begun.
    pub(super) t0_us: Option<u64>,
    /// How services are.
    pub(super) services: BTreeMap<String, Health>,
    /// Faults that were begun.
    pub(super) begun: usize,
    /// Faults that were begun and have not struck yet.
    pub(super) striking: usize,
    /// Faults that have struck, and steps that have ended.
    pub(super) done: Vec<String>,
    /// Faults that have struck and, where they hold for a time of their own, were lifted.
    pub(super) over: usize,
    /// When the last of them was.
    pub(super) last_us: u64,
    /// Canaries that were acknowledged, by component, and why the last one was not.
    pub(super) acked: BTreeMap<String, (u64, Option<String>)>,
}

/// How one service is.
#[derive(Debug, Default, Clone)]
pub(super) struct Health {
    /// Bad answers in a row.
    bad_run: u32,
    /// It was detected as down after the first fault.
    pub(super) detected: bool,
    /// The first good question since the last bad one and the last strike: its number, and when it was answered.
    pub(super) good: Option<(u64, u64)>,
    /// All questions before this one are answered.
    next: u64,
    /// Later ones that are, too.
    ahead: BTreeSet<u64>,
    /// When question 0 was due.
    first_us: Option<u64>,
    /// When the last bad answers were due, the newest of them last.
    bad: Vec<u64>,
    /// Why the last bad one was bad.
    pub(super) why: Option<String>,
}

impl Health {
    /// Whether several questions that were due since a moment had bad answers: a single one may be chance.
    pub(super) fn bad_since(&self, at_us: u64) -> bool {
        self.bad.iter().filter(|at| **at >= at_us).count() >= harness::own::fault::facts::NOTICED
    }

    fn answered(&mut self, answer: &Answer) {
        if answer.n == 0 {
            self.first_us = Some(answer.due_us);
        }
        self.ahead.insert(answer.n);
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
    }

    /// When the last question was due before which all are answered, and itself.
    pub(super) fn answered_us(&self, every_us: u64) -> Option<u64> {
        Some(self.first_us?.saturating_add(self.next.checked_sub(1)?.saturating_mul(every_us)))
    }
}

impl State {
    /// A fault has struck, or was lifted: whatever was good before says nothing of what comes now.
    pub(super) fn struck(&mut self, at_us: u64) {
        self.last_us = self.last_us.max(at_us);
        self.services.values_mut().for_each(|health| health.good = None);
    }

    /// Takes an answer; says whether it makes the service detected as down.
    pub(super) fn take(&mut self, service: &str, answer: &Answer) -> bool {
        let struck = self.t0_us.is_some_and(|t0| answer.done_us >= t0);
        let Some(health) = self.services.get_mut(service) else { return false };
        health.answered(answer);
        match &answer.bad {
            None => {
                health.bad_run = 0;
                // Answers may overtake each other.
                if health.good.is_none_or(|(n, _)| answer.n < n) {
                    health.good = Some((answer.n, answer.done_us));
                }
                false
            }
            Some(why) => {
                health.good = None;
                health.bad.push(answer.due_us);
                health.bad.sort_unstable();
                let old = health.bad.len().saturating_sub(BAD_KEPT);
                health.bad.drain(..old);
                health.why = Some(why.clone());
                health.bad_run = if struck { health.bad_run + 1 } else { 0 };
                let newly = !health.detected && health.bad_run >= DETECTS;
                health.detected |= newly;
                newly
            }
        }
    }
}

/// The tasks of a drill.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) state: Arc<watch::Sender<State>>,
    stop: Arc<AtomicBool>,
    probes: Vec<JoinHandle<()>>,
    plants: Vec<JoinHandle<(String, Vec<Seed>)>>,
}

/// A canary of this drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seed {
    pub(super) id: String,
    /// Acknowledged; else it may be there or not.
    pub(super) acked: bool,
}

impl Watch {
    /// Starts one schedule for each service, and one for each component in which canaries are planted.
    pub(super) fn start(player: &Player) -> Result<Watch, Halt> {
        let drill = &player.c.drill;
        let services = drill.services().map(|(id, _)| (id.clone(), Health::default())).collect();
        let (state, _) = watch::channel(State { services, ..State::default() });
        let (state, stop) = (Arc::new(state), Arc::<AtomicBool>::default());
        let mut watch = Watch { state, stop, probes: Vec::new(), plants: Vec::new() };
        for (id, _) in drill.services() {
            let asker = player.alarms().asker(id).map_err(Halt::Abort)?;
            watch.probes.push(watch.ask(player, id.clone(), asker));
        }
        for id in drill.planted() {
            let planter = Planter {
                component: id.clone(),
                place: player.places[id].clone(),
                secrets: player.c.secrets.clone(),
                journal: player.journal.clone(),
                clock: player.clock,
                state: watch.state.clone(),
            };
            let period = drill.stack.canary[id].rate.period();
            watch.plants.push(tokio::spawn(planter.run(period, watch.stop.clone())));
        }
        Ok(watch)
    }

    fn ask(&self, player: &Player, service: String, asker: crate::own::probe::Asker) -> JoinHandle<()> {
        let (journal, clock) = (player.journal.clone(), player.clock);
        let (state, stop) = (self.state.clone(), self.stop.clone());
        tokio::spawn(async move {
            let take = |answer: Answer| {
                let mut detected = false;
                state.send_modify(|s| detected = s.take(&service, &answer));
                let Answer { n, due_us, sent_us, done_us, bad } = answer;
                let (name, shown) = (service.clone(), Default::default());
                // A journal that cannot be written ends the drill elsewhere.
                drop(journal.record(FaultEvent::Probed(Probed {
                    service: name,
                    n,
                    due_us,
                    sent_us,
                    done_us,
                    bad,
                    shown,
                })));
                if detected {
                    drop(journal.record(FaultEvent::Detected { service: service.clone() }));
                }
            };
            let mut open = asker.watch(clock, take, |_, _| stop.load(Ordering::Acquire)).await;
            // Each has a limit of its own.
            while let Some(Ok(answer)) = open.join_next().await {
                take(answer);
            }
        })
    }

    /// Stops, and waits for what is under way. Answers with the canaries that were planted, by component.
    pub(super) async fn finish(mut self) -> BTreeMap<String, Vec<Seed>> {
        self.stop.store(true, Ordering::Release);
        for task in std::mem::take(&mut self.probes) {
            task.await.expect("tasks that ask do not panic");
        }
        let mut sown = BTreeMap::new();
        for task in std::mem::take(&mut self.plants) {
            sown.extend([task.await.expect("tasks that plant do not panic")]);
        }
        sown
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.probes.iter().for_each(JoinHandle::abort);
        self.plants.iter().for_each(JoinHandle::abort);
    }
}

/// What plants canaries in one component.
#[derive(Debug, Clone)]
struct Planter {
    component: String,
    place: Arc<dyn Place>,
    secrets: Arc<Secrets>,
    journal: Journal<FaultEvent>,
    clock: Clock,
    state: Arc<watch::Sender<State>>,
}

impl Planter {
    async fn run(self, period: Duration, stop: Arc<AtomicBool>) -> (String, Vec<Seed>) {
        let mut schedule = self.clock.metronome(period);
        let mut under_way: JoinSet<Option<Seed>> = JoinSet::new();
        let mut sown = Vec::new();
        while !stop.load(Ordering::Acquire) {
            tokio::select! {
                tick = schedule.tick() => {
                    if under_way.len() < PLANTING_MAX {
                        under_way.spawn(self.clone().plant(tick));
                    }
                }
                Some(Ok(seed)) = under_way.join_next(), if !under_way.is_empty() => sown.extend(seed),
            }
        }
        while let Some(Ok(seed)) = under_way.join_next().await {
            sown.extend(seed);
        }
        (self.component, sown)
    }

    /// Plants one.
    async fn plant(self, tick: Tick) -> Option<Seed> {
        // Without chance there is nothing to plant; whoever counts sees that none was.
        let record = record().ok()?;
        let sent_us = self.clock.now_us();
        let planted = timeout(PLANTS, self.place.plant(&record)).await;
        let done_us = self.clock.now_us();
        let failed = match planted {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some(self.secrets.hide(&e.to_string())),
            Err(_) => Some(format!("not acknowledged within {PLANTS:?}")),
        };
        let good = failed.is_none();
        self.state.send_modify(|s| {
            let (acked, why) = s.acked.entry(self.component.clone()).or_default();
            *acked += u64::from(good);
            why.clone_from(&failed);
        });
        let (component, n, id) = (self.component, tick.n, record.id);
        let sown =
            Sown { component, n, id: id.clone(), digest: digest(&record.value), sent_us, done_us, failed };
        drop(self.journal.record(FaultEvent::Planted(sown)));
        Some(Seed { id, acked: good })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(done_us: u64, good: bool) -> Answer {
        let bad = (!good).then(|| "refused".to_owned());
        Answer { n: 0, due_us: done_us, sent_us: done_us, done_us, bad }
    }

    #[test]
    fn three_bad_answers_in_a_row_after_the_fault_are_an_outage() {
        let services = [("ask".to_owned(), Health::default())].into();
        let mut state = State { services, ..State::default() };
        // Before the fault nothing is detected, however bad it is.
        assert!((0..5).all(|at| !state.take("ask", &answer(at, false))));
        state.t0_us = Some(10);
        let said: Vec<bool> = [false, false, true, false, false, false, false]
            .iter()
            .enumerate()
            .map(|(at, good)| state.take("ask", &answer(11 + at as u64, *good)))
            .collect();
        assert_eq!(said, [false, false, false, false, false, true, false]);
        assert_eq!(state.services["ask"].good, None);
        state.take("ask", &answer(30, true));
        state.take("ask", &answer(31, true));
        assert_eq!(state.services["ask"].good, Some((0, 30)));
        state.struck(40);
        assert_eq!((state.services["ask"].good, state.last_us), (None, 40));
    }
}
