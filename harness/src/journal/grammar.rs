//! The grammar of a journal: what a drill of this plan may write, event by event, and nothing else.
//!
//! The chain of a journal proves the order of its lines, not their honesty: whoever holds the file can write another
//! one and chain it anew. So whatever follows from the plan, the corpus and the drill loop is checked here: phases,
//! schedules, writes, steps, readings, answers, stamps. A journal that breaks one law is believed in nothing.
//!
//! A law has to hold in every honest journal. Tasks race for the journal's lock, and a drill that is given up drops
//! tasks that may be writing one last line; where that matters the weakest true law is taken, and the code says why.
//! What no grammar can tell is a lie that is told consistently, such as a bad probe rewritten as a good one at the same
//! moment: signatures and time stamps are for that.
//!
//! [`Grammar::take`] has one arm for each kind of event; `phases` has the order of the phases and what each must have
//! brought.

mod answers;
mod asked;
mod phases;
mod readings;
mod schedule;
mod steps;

use std::{fmt, sync::Arc};

use answers::Answers;
use readings::Readings;
use schedule::Schedule;
use steps::Steps;

pub(crate) use steps::CUT_OFF;

use super::{Acted, Event, EventKind, Inventoried, Phase, Resumed, When};
use crate::{
    corpus::Corpus, plan::Plan, ports::Routes, router::Router, scenario::Pattern, time::Dur, topology::Role,
};

/// What a law says that was broken.
type Law = Result<(), String>;

/// Questions under way when watching stops are waited for: a write for this long, a probe for its timeout.
const WRITE_LIMIT: Dur = Dur::from_secs(2);
/// How much later than that the harness may be in noticing that the last of them has ended.
const SLACK: Dur = Dur::from_secs(2);

/// How late a fault may begin, beside the time for which the harness stood still: its line waits for the disk.
const LATE: Dur = Dur::from_secs(5);

/// A line that no drill would have written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breach {
    /// Counted from 1.
    pub line: u64,
    /// Which law it breaks, in words.
    pub why: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// A reader that knows the plan. Its memory does not grow with the length of a drill, but for the names of its steps.
#[derive(Debug)]
pub(crate) struct Grammar {
    corpus: Corpus,
    phase: Option<Phase>,
    last_us: u64,
    /// Before this nothing was asked and nothing written.
    quiet_us: u64,
    storm_us: Option<u64>,
    /// When everything that was asked had been answered: the first read-back began.
    watched_us: u64,
    aborted: bool,
    ended: bool,
    /// The newest step of a job whose checkpoint was written.
    newest_step: u64,
    /// For how long the harness stood still, all in all.
    stalled_us: u64,
    seeded: usize,
    steps: Steps,
    /// By service.
    probes: Vec<Schedule>,
    /// By store; `None` for one without load.
    writes: Vec<(Role, Option<Schedule>)>,
    readings: Readings,
    answers: Answers,
    /// Where the acts that were seen have sent everybody.
    router: Arc<Router>,
    /// Where users were sent when the load had stopped, and the copies that they read there.
    copies: Option<Vec<(Role, String)>>,
    /// Jobs that were taken up anew, and copies that were listed.
    resumed: Vec<(Role, String)>,
    listed: Vec<(When, Role, String)>,
}

impl Grammar {
    /// After the first event of a journal, which holds the plan.
    pub(crate) fn new(plan: &Plan, began_us: u64) -> Grammar {
        let load = |(role, _)| (role, plan.scenario.load.of(role).map(|r| Schedule::new(r.period())));
        Grammar {
            corpus: Corpus::of(&plan.scenario),
            phase: None,
            last_us: began_us,
            quiet_us: began_us,
            storm_us: None,
            watched_us: 0,
            aborted: false,
            ended: false,
            newest_step: 0,
            stalled_us: 0,
            seeded: 0,
            steps: Steps::new(plan),
            probes: plan.services.iter().map(|s| Schedule::new(s.probe.every.std())).collect(),
            writes: plan.stores().into_iter().map(load).collect(),
            readings: Readings::default(),
            answers: Answers::new(plan),
            router: Router::new(plan),
            copies: None,
            resumed: Vec::new(),
            listed: Vec::new(),
        }
    }

    /// Checks one event. What breaks a law leaves the state as it was.
    ///
    /// # Errors
    /// In words, the law that it breaks.
    pub(crate) fn take(&mut self, plan: &Plan, event: &Event) -> Law {
        let at_us = event.at_us;
        if self.ended {
            return broken("something after the end");
        }
        if at_us < self.last_us {
            return broken("time goes back");
        }
        match &event.kind {
            EventKind::Began(_) => broken("a second beginning"),
            EventKind::Entered(next) => self.enter(plan, *next, at_us),
            EventKind::Intended(intent) => {
                let ready = match self.phase {
                    Some(Phase::Seed) => self.seeded == self.writes.len(),
                    Some(Phase::Settle) => self.answers.settled(),
                    _ => true,
                };
                if !ready {
                    return broken("a step of the harness's own too early");
                }
                let storm_us = self.storm_us.unwrap_or(u64::MAX);
                let down = |service: usize| self.probes[service].down_since(storm_us);
                self.steps.intended(plan, intent, at_us, (self.phase, self.aborted), down, storm_us)
            }
            EventKind::Acted(acted) => {
                self.steps.acted(acted, at_us, (self.phase, self.aborted))?;
                self.felt(acted);
                Ok(())
            }
            EventKind::Undone(undone) => {
                self.steps.undone(plan, undone, at_us, (self.phase, self.aborted))?;
                self.felt(undone);
                Ok(())
            }
            EventKind::Probed(probed) => self.probed(plan, probed, at_us),
            EventKind::Wrote(wrote) => self.wrote(wrote, at_us),
            EventKind::Seeded { store, count } => self.fill(plan, *store, *count),
            EventKind::Detected { service } => self.detected(plan, service),
            EventKind::LiftedEarly { step, act } => {
                match self.during(&[Phase::Storm]) && self.steps.struck_by(step, act) {
                    true => Ok(()),
                    false => broken("a fault that ended early and had not struck"),
                }
            }
            EventKind::Routes(routes) => self.routed(plan, routes),
            EventKind::ReadBack(page) => {
                let restarted = self.phase != Some(Phase::Restart) || self.steps.restarted();
                if !self.during(&[Phase::ReadBack, Phase::Restart, Phase::SecondReadBack]) || !restarted {
                    return broken("a read-back in another phase");
                }
                self.readings.page(page)
            }
            EventKind::Resumed(resumed) => self.resumed(resumed),
            EventKind::Inventoried(listed) => self.inventoried(listed),
            EventKind::Stalled { from_us, to_us } => {
                let watching = self.during(&[Phase::Settle, Phase::Storm]) || self.aborted;
                match watching && from_us <= to_us && *to_us <= at_us {
                    true => {
                        self.stalled_us = self.stalled_us.saturating_add(to_us - from_us);
                        Ok(())
                    }
                    false => {
                        broken("a stall of the harness while nothing was asked, or one that is yet to come")
                    }
                }
            }
            EventKind::Quality(quality) => {
                let asked = self.probes.iter().chain(self.loads()).any(Schedule::began);
                let copies = self.copies.as_deref().unwrap_or_default();
                self.answers.pass(plan, quality, (self.phase, asked), copies)?;
                if quality.pass < 3 {
                    self.quiet_us = at_us;
                }
                Ok(())
            }
            // Told whenever there is something to tell.
            EventKind::Noted(_) => Ok(()),
            EventKind::Aborted(_) => self.abort(),
            EventKind::Ended(ending) => self.end(plan, *ending),
        }?;
        self.last_us = at_us;
        Ok(())
    }

    fn during(&self, phases: &[Phase]) -> bool {
        self.phase.is_some_and(|p| phases.contains(&p))
    }

    fn loads(&self) -> impl Iterator<Item = &Schedule> {
        self.writes.iter().filter_map(|(_, schedule)| schedule.as_ref())
    }

    fn copies(&self) -> &[(Role, String)] {
        self.copies.as_deref().unwrap_or_default()
    }

    /// An act that was seen may have moved users or writers.
    fn felt(&self, acted: &Acted) {
        if acted.outcome.observed() {
            self.router.apply(&acted.act);
        }
    }

    /// Where users are sent follows from the acts; but for a step that was cut off, which may have moved them without a
    /// line, and for equal regions, between which the router moves users by itself.
    fn routed(&mut self, plan: &Plan, routes: &Routes) -> Law {
        if !self.during(&[Phase::ReadBack]) || self.copies.is_some() {
            return broken("users routed in another phase, or twice");
        }
        let follows = plan.scenario.stack.pattern != Pattern::ActiveActive && !self.steps.cut();
        let named = plan.services.len() == routes.services.len()
            && plan.services.iter().all(|s| routes.services.contains_key(&s.name));
        let mut regions = routes.homes.values().chain(routes.services.values());
        let known = regions.all(|r| plan.topology.regions.contains(r));
        if !named || !known || (follows && *routes != self.router.snapshot()) {
            return broken("users routed to where nobody sent them");
        }
        let copies = plan.copies(routes);
        self.readings = Readings::first(plan, routes, &copies);
        self.steps.restart(&plan.restarted(&copies));
        self.copies = Some(copies);
        Ok(())
    }

    fn resumed(&mut self, resumed: &Resumed) -> Law {
        let job = (resumed.store, resumed.region.clone());
        let known = resumed.store == Role::Gpu && self.copies().contains(&job);
        let now = self.during(&[Phase::Restart]) && self.steps.restarted() && !self.resumed.contains(&job);
        let beyond = resumed.from.is_some_and(|from| from > self.newest_step);
        if !known || !now || beyond || resumed.from.is_some() == resumed.why.is_some() {
            return broken("a job taken up anew that nobody runs, or not now");
        }
        self.resumed.push(job);
        Ok(())
    }

    fn inventoried(&mut self, listed: &Inventoried) -> Law {
        let due = match listed.when {
            When::Before => self.during(&[Phase::Settle]),
            When::After => self.during(&[Phase::Quality]),
            When::Restarted => self.during(&[Phase::Restart]) && self.steps.restarted(),
        };
        let due = due
            && (listed.when == When::Before
                || self.copies().contains(&(listed.store, listed.region.clone())));
        let entry = (listed.when, listed.store, listed.region.clone());
        let known = listed.items.is_some() != listed.none.is_some()
            && self.writes.iter().any(|(store, _)| *store == listed.store);
        if !due || !known || self.listed.contains(&entry) {
            return broken("an inventory in another phase, of nothing, or a second time");
        }
        self.listed.push(entry);
        Ok(())
    }

    fn fill(&mut self, plan: &Plan, store: Role, count: u64) -> Law {
        if !self.during(&[Phase::Seed]) || self.aborted {
            return broken("a store filled in another phase");
        }
        if plan.stores().get(self.seeded) != Some(&(store, count)) {
            return broken("a store filled with another number of records, or out of turn");
        }
        self.seeded += 1;
        Ok(())
    }

    /// Whether load and probes may be running. When a drill is given up their tasks are dropped, and one that was about
    /// to write its line still does.
    fn asking(&self) -> bool {
        self.aborted || (self.during(&[Phase::Settle, Phase::Storm]) && self.answers.settled())
    }
}

fn broken(why: &str) -> Law {
    Err(why.to_owned())
}
