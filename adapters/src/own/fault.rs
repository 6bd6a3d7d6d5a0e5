//! A fault drill: the owner's commands break a component, users are watched while a runbook or nobody brings it back, and
//! everything is undone.
//!
//! A fault is in the journal before it is injected. However a drill ends, each fault that was begun is undone, and it is
//! looked whether its effect is gone; if the harness is killed, its watchdog does so ([`heal`]). What the owner's runbook
//! and undo started stays: it may be the owner's server. Whatever else the drill left running is ended.

mod data;
pub mod heal;
mod steps;
mod storm;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use harness::clock::Clock;
use harness::drill::Stop;
use harness::journal::{Ending, Journal};
use harness::own::event::Sum;
use harness::own::fault::Drill;
use harness::own::fault::event::{FaultBegan, FaultEvent, Pass, Stage};
use harness::own::stack::{Component, Level, Stack, Witness};
use harness::pulse::Pulse;

use super::alarm::Alarms;
use super::config::{Config, Halt};
use super::place::{self, Place, Sited};
use super::play::guard;
use super::secrets::Secrets;
use crate::local::watchdog::Watchdog;
use crate::local::watchdog_args;
use watch::{Seed, Watch};

/// One drill being played.
struct Player {
    c: Config<Drill>,
    journal: Journal<FaultEvent>,
    clock: Clock,
    /// Components that are read or written, by name.
    places: BTreeMap<String, Arc<dyn Place>>,
    witnesses: Vec<(String, Witness)>,
    t0_unix_us: Option<u64>,
    started_unix_us: u64,
    rehearsed: bool,
    before: BTreeMap<String, Sum>,
    newer: BTreeMap<String, BTreeSet<String>>,
    /// Canaries that were planted, by component.
    sown: BTreeMap<String, Vec<Seed>>,
    /// Locked for moments, never across an await.
    open: Mutex<Open>,
}

/// What has to be ended or undone.
#[derive(Debug, Default)]
struct Open {
    /// Faults that were begun and not seen to be gone, by their place in the drill.
    faults: BTreeSet<usize>,
    /// The marks of commands that are running.
    marks: BTreeSet<String>,
}

/// Plays a drill to its end; `stop` ends it early.
///
/// # Errors
/// If the journal cannot be written. What was broken is undone even then.
pub async fn play(
    config: Config<Drill>,
    began: FaultBegan,
    journal: &Journal<FaultEvent>,
    clock: Clock,
    stop: Stop,
) -> io::Result<Ending> {
    let rehearsed = began.rehearsed;
    let rpo_us = config.drill.fault.objectives.rpo.map_or(0, |d| d.us());
    let started_unix_us = began.started_unix_us;
    journal.record(FaultEvent::FaultBegan(Box::new(began)))?;
    let end = |ending| journal.record(FaultEvent::Ended(ending)).map(|()| ending);
    let places = match open(&config) {
        Ok(places) => places,
        Err(why) => {
            journal.record(FaultEvent::Aborted(config.secrets.hide(&why)))?;
            return end(Ending::Aborted);
        }
    };
    let watchdog = match Watchdog::start(&config.exe, &watchdog_args(&config.run, &config.folder)).await {
        Ok(watchdog) => watchdog,
        Err(e) => {
            journal.record(FaultEvent::Aborted(e.to_string()))?;
            return end(Ending::Environment);
        }
    };
    let witnesses = config.drill.witnesses().map(|(id, w)| (id.clone(), w.clone())).collect();
    let mut player = Player {
        c: config,
        journal: journal.clone(),
        clock,
        places,
        witnesses,
        t0_unix_us: Some(started_unix_us.saturating_sub(rpo_us)),
        started_unix_us,
        rehearsed,
        before: BTreeMap::new(),
        newer: BTreeMap::new(),
        sown: BTreeMap::new(),
        open: Mutex::default(),
    };
    let _alone = match player.alone().await {
        Ok(held) => held,
        Err(why) => {
            journal.record(FaultEvent::Aborted(player.c.secrets.hide(&why)))?;
            let _ = watchdog.release().await;
            return end(Ending::Aborted);
        }
    };
    let asked = journal.clone();
    let alarm = player.alarms().must_end(move |a| drop(asked.record(FaultEvent::Asked(a))));
    let halted = tokio::select! {
        done = player.stages() => done.err(),
        why = stop.asked() => Some(Halt::Abort(why)),
        why = alarm => Some(Halt::Abort(why)),
        () = journal.failed() => Some(Halt::Journal(io::Error::other("the journal could not be written"))),
        _ = watchdog.exited() => Some(Halt::Abort("its watchdog has died".into())),
    };
    let mut ending = Ending::Complete;
    let mut failed = None;
    match halted {
        None => {}
        Some(Halt::Journal(e)) => failed = Some(e),
        Some(Halt::Abort(why)) => {
            ending = Ending::Aborted;
            failed = journal.record(FaultEvent::Aborted(player.c.secrets.hide(&why))).err();
        }
    }
    // What was broken is undone even if nothing can be written down any more.
    let undone = player.end(ending == Ending::Complete && failed.is_none() && !rehearsed).await;
    if ending == Ending::Complete && failed.is_none() && !rehearsed {
        let last = tokio::select! {
            done = player.after() => done.err(),
            why = stop.asked() => Some(Halt::Abort(why)),
        };
        match last {
            None => {}
            Some(Halt::Journal(e)) => failed = Some(e),
            Some(Halt::Abort(why)) => {
                ending = Ending::Aborted;
                failed = journal.record(FaultEvent::Aborted(player.c.secrets.hide(&why))).err();
            }
        }
    }
    if let Err(e) = watchdog.release().await {
        let _ = journal.record(FaultEvent::Noted(e.to_string()));
    }
    failed.map_or(Ok(()), Err).and(undone)?;
    end(ending)
}

/// Opens the components whose data is read, or in which canaries are planted.
fn open(c: &Config<Drill>) -> Result<BTreeMap<String, Arc<dyn Place>>, String> {
    let stack = &c.drill.stack;
    let read = c.drill.witnesses().map(|(_, w)| &w.component);
    let wanted: BTreeSet<&String> = read.chain(c.drill.planted()).collect();
    let place = |id: &String| {
        let (secrets, dir, run) = (&c.secrets, c.stack_dir.as_path(), c.run.as_str());
        let (component, canary) = (&stack.component[id], stack.canary.get(id));
        let sited = Sited { component, canary, secrets, scratch: false, dir, run };
        let place = place::open(sited).map_err(|why| format!("{id}: {why}"))?;
        Ok((id.clone(), place))
    };
    wanted.into_iter().map(place).collect()
}

impl Player {
    fn record(&self, event: FaultEvent) -> io::Result<()> {
        self.journal.record(event)
    }

    fn hide(&self, text: impl std::fmt::Display) -> String {
        self.c.secrets.hide(&text.to_string())
    }

    fn opened(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alarms(&self) -> Alarms<'_> {
        let Config { drill, secrets, stack_dir, run, .. } = &self.c;
        Alarms { stack: &drill.stack, secrets, dir: stack_dir, run, clock: self.clock }
    }

    /// Keeps other drills away from this stack until the answer is dropped. A lock in a store would hang on a connection of
    /// ours while the store is broken, so it is only looked whether anybody holds one.
    async fn alone(&self) -> Result<impl Sized + use<>, String> {
        let stack = &self.c.drill.stack;
        let file = guard::hold(&whole_name(stack, &self.c.secrets, &self.c.stack_dir))
            .map_err(|why| format!("stack {}: {why}", stack.name))?;
        for (id, place) in &self.places {
            drop(place.lock().await.map_err(|e| format!("{id}: {e}: nothing was broken"))?);
        }
        Ok(file)
    }

    async fn stages(&mut self) -> Result<(), Halt> {
        self.prepare().await?;
        self.record(FaultEvent::Entered(Stage::Before))?;
        self.read(Pass::Before, 0).await?;
        self.record(FaultEvent::Entered(Stage::Settle))?;
        let journal = self.journal.clone();
        // A journal that cannot be written ends the drill elsewhere.
        let stalled = move |from_us, to_us| drop(journal.record(FaultEvent::Stalled { from_us, to_us }));
        let pulse = Pulse::start(self.clock, Box::new(stalled));
        let watch = Watch::start(self)?;
        let settled = self.settle(&watch).await;
        let settled = match settled {
            Ok(()) => self.canaries_can_be_read().await,
            unsettled => unsettled,
        };
        if self.rehearsed {
            // What was bad stands in the journal.
            watch.finish().await;
            pulse.finish().await;
            return settled;
        }
        settled?;
        self.record(FaultEvent::Entered(Stage::Storm))?;
        self.storm(&watch).await?;
        self.record(FaultEvent::Entered(Stage::ReadBack))?;
        self.sown = watch.finish().await;
        pulse.finish().await;
        let until_us = self.settles_us();
        self.read(Pass::Recovered, until_us).await?;
        self.read_canaries(Pass::Recovered, &self.sown, until_us).await
    }

    /// Alarms, rights, and that no fault is there yet.
    async fn prepare(&mut self) -> Result<(), Halt> {
        self.record(FaultEvent::Entered(Stage::Prepare))?;
        let journal = self.journal.clone();
        let record = |asked| drop(journal.record(FaultEvent::Asked(asked)));
        self.alarms().may_begin(record).await.map_err(Halt::Abort)?;
        let mut ahead_us = 0;
        for (id, place) in &self.places {
            // Who cannot say who it is may still be read.
            let Ok(facts) = place.identify().await else { continue };
            let number = |key: &str| facts.get(key).and_then(|v| v.parse::<i64>().ok()).unwrap_or(0);
            // One moment for all readings, by the earliest of all clocks: rows bear any of them.
            ahead_us = ahead_us.min(number("clock_ahead_us"));
            if number("tables_that_this_role_may_write") > 0 {
                let what = format!(
                    "the role that reads {id} may write its tables: give gameday one that may only read"
                );
                if self.c.drill.stack.level == Level::Production {
                    return Err(Halt::Abort(format!("{what}; in production nothing is run by another")));
                }
                self.record(FaultEvent::Noted(what))?;
            }
        }
        self.t0_unix_us = self.t0_unix_us.map(|t0| t0.saturating_add_signed(ahead_us));
        for step in &self.c.drill.fault.fault {
            self.absent(step).await?;
        }
        Ok(())
    }
}

/// What tells a stack from another one of the same name: where it lies.
fn whole_name(stack: &Stack, secrets: &Secrets, stack_dir: &Path) -> String {
    let values = |c: &Component| -> Vec<String> {
        let of = c.secrets().into_iter().filter_map(|n| secrets.get(&n).map(str::to_owned));
        of.chain(c.url.clone()).chain(c.bucket.clone()).collect()
    };
    let mut address: Vec<String> = stack.component.values().flat_map(values).collect();
    if address.is_empty() {
        address.push(stack_dir.display().to_string());
    }
    format!("stack {}\n{}", stack.name, address.join("\n"))
}

/// Whether every program that a drill names can be run, from the folders of its files.
pub fn programs(drill: &Drill, dir: &Path, stack_dir: &Path) -> Vec<String> {
    let stack = &drill.stack;
    let own = heal::commands(drill).into_iter().map(|c| (dir, &c.run));
    let canary = drill.planted().into_iter().filter_map(|id| stack.canary.get(id));
    let canary = canary.flat_map(|c| [&c.plant, &c.list, &c.remove]).flatten();
    let witness = drill.witnesses().filter_map(|(_, w)| w.command.as_ref());
    let probes = drill.services().filter_map(|(_, s)| s.probe.command.as_ref()).map(|c| &c.run);
    let of_stack = canary.chain(witness).map(|c| &c.run).chain(probes).map(|run| (stack_dir, run));
    let missing = own.chain(of_stack).filter_map(|(dir, run)| super::command::find(dir, run.first()?).err());
    let unique: BTreeSet<String> = missing.collect();
    unique.into_iter().collect()
}
