//! A restore drill, from its first question to the clean-up.
//!
//! The scratch place is proved to be another one before a single command of the user's is run: the first of them empties it.
//! However a drill ends, records of ours are removed, the user's clean-up is run where anything was restored, and whatever its
//! commands left running is ended.

pub(super) mod apart;
mod clean;
pub(super) mod guard;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use harness::clock::Clock;
use harness::drill::Stop;
use harness::journal::{Ending, Journal};
use harness::own::Drill;
use harness::own::event::{
    Debt, Identified, Pass, Place as Side, Ran, RestoreBegan, RestoreEvent, Searched, Stage, Sum, Task,
};
use harness::own::stack::{Command, Level, Witness};

use super::alarm::Alarms;
use super::command::{Spec, run};
use super::config::{Config, Halt};
use super::place::{Place, Queries};
use crate::local::watchdog::Watchdog;
use crate::local::watchdog_args;
use apart::{Pair, Record, Told};

/// One drill being played.
struct Player<'a> {
    c: Config,
    journal: &'a Journal<RestoreEvent>,
    clock: Clock,
    source: Arc<dyn Place>,
    scratch: Arc<dyn Place>,
    witnesses: Vec<(String, Witness)>,
    t0_unix_us: Option<u64>,
    before: BTreeMap<String, Sum>,
    newer: BTreeMap<String, BTreeSet<String>>,
    /// Golden queries, by witness.
    queries: BTreeMap<String, Queries>,
    /// What the source answered to them.
    answered: BTreeMap<String, Searched>,
    planted: bool,
    debts: Vec<Debt>,
    marks: usize,
    /// The restore command was begun: something may lie in the scratch place.
    restored: bool,
    /// Locks, until the drill is over.
    held: Vec<std::fs::File>,
}

/// Plays a drill to its end; `stop` ends it early.
///
/// # Errors
/// If the journal cannot be written.
pub async fn play(
    config: Config,
    began: RestoreBegan,
    journal: &Journal<RestoreEvent>,
    clock: Clock,
    stop: Stop,
) -> io::Result<Ending> {
    let rehearsed = began.rehearsed;
    let rpo_us = config.drill.restore.objectives.rpo.map(|d| d.us());
    let t0_unix_us = rpo_us.map(|rpo| began.started_unix_us.saturating_sub(rpo));
    journal.record(RestoreEvent::RestoreBegan(Box::new(began)))?;
    let end = |ending| journal.record(RestoreEvent::Ended(ending)).map(|()| ending);
    let (source, scratch) =
        match guard::places(&config.drill, &config.secrets, &config.stack_dir, &config.run) {
            Ok(places) => places,
            Err(why) => {
                journal.record(RestoreEvent::Aborted(config.secrets.hide(&why)))?;
                return end(Ending::Aborted);
            }
        };
    let watchdog = Watchdog::start(&config.exe, &watchdog_args(&config.run, &config.folder)).await;
    let watchdog = match watchdog {
        Ok(watchdog) => watchdog,
        Err(e) => {
            journal.record(RestoreEvent::Aborted(e.to_string()))?;
            return end(Ending::Environment);
        }
    };
    let witnesses = config.drill.witnesses().map(|(id, w)| (id.clone(), w.clone())).collect();
    let mut player = Player {
        c: config,
        journal,
        clock,
        source,
        scratch,
        witnesses,
        t0_unix_us,
        before: BTreeMap::new(),
        newer: BTreeMap::new(),
        queries: BTreeMap::new(),
        answered: BTreeMap::new(),
        planted: false,
        debts: Vec::new(),
        marks: 0,
        restored: false,
        held: Vec::new(),
    };
    let _alone = match player.alone().await {
        Ok(held) => held,
        Err(why) => {
            journal.record(RestoreEvent::Aborted(player.c.secrets.hide(&why)))?;
            let _ = watchdog.release().await;
            return end(Ending::Aborted);
        }
    };
    let asked = journal.clone();
    let alarm = player.alarms().must_end(move |a| drop(asked.record(RestoreEvent::Asked(a))));
    let halted = tokio::select! {
        done = player.stages(rehearsed) => done.err(),
        why = stop.asked() => Some(Halt::Abort(why)),
        why = alarm => Some(Halt::Abort(why)),
        _ = watchdog.exited() => Some(Halt::Abort("its watchdog has died".into())),
    };
    let mut ending = match halted {
        None => Ending::Complete,
        Some(Halt::Journal(e)) => {
            // Nothing can be written down any more; what is ours is removed all the same.
            let _ = player.end(rehearsed, true).await;
            let _ = watchdog.release().await;
            return Err(e);
        }
        Some(Halt::Abort(why)) => {
            journal.record(RestoreEvent::Aborted(player.c.secrets.hide(&why)))?;
            Ending::Aborted
        }
    };
    player.end(rehearsed, ending == Ending::Aborted).await?;
    if ending == Ending::Complete && !rehearsed {
        let last = tokio::select! {
            done = player.read_after() => done.err(),
            why = stop.asked() => Some(Halt::Abort(why)),
        };
        match last {
            None => {}
            Some(Halt::Journal(e)) => return Err(e),
            Some(Halt::Abort(why)) => {
                journal.record(RestoreEvent::Aborted(player.c.secrets.hide(&why)))?;
                ending = Ending::Aborted;
            }
        }
    }
    if let Err(e) = watchdog.release().await {
        journal.record(RestoreEvent::Noted(e.to_string()))?;
    }
    end(ending)
}

/// Both places of a drill that is played.
fn pair<'a>(
    c: &'a Config,
    (source, scratch): (&'a dyn Place, &'a dyn Place),
    record: &'a Record<'a>,
) -> Pair<'a> {
    Pair { source, scratch, drill: &c.drill, run: &c.run, secrets: &c.secrets, record }
}

impl Player<'_> {
    fn record(&self, event: RestoreEvent) -> io::Result<()> {
        self.journal.record(event)
    }

    fn hide(&self, text: impl std::fmt::Display) -> String {
        self.c.secrets.hide(&text.to_string())
    }

    /// Proves, now, that both places are two; see [`apart`].
    async fn tell_apart(&mut self, after: bool) -> Result<Told, Halt> {
        let journal = self.journal;
        let record = |event| journal.record(event);
        let pair = pair(&self.c, (&*self.source, &*self.scratch), &record);
        pair.tell(after, (&mut self.debts, &mut self.marks)).await
    }

    /// Asks once more, directly before a clean-up; see [`apart`].
    async fn still_apart(&self) -> Result<(), Halt> {
        pair(&self.c, (&*self.source, &*self.scratch), &|_| Ok(())).still_apart().await
    }

    fn alarms(&self) -> Alarms<'_> {
        let Config { drill, secrets, stack_dir, run, .. } = &self.c;
        Alarms { stack: &drill.stack, secrets, dir: stack_dir, run, clock: self.clock }
    }

    async fn stages(&mut self, rehearsed: bool) -> Result<(), Halt> {
        self.prepare(rehearsed).await?;
        self.read_before().await?;
        if rehearsed {
            return Ok(());
        }
        self.read_empty().await?;
        self.record(RestoreEvent::Entered(Stage::Restore))?;
        self.restored = true;
        let restore = self.c.drill.restore.restore.clone();
        let well = self.run(Task::Restore, &restore).await?;
        self.record(RestoreEvent::Entered(Stage::Verify))?;
        let good = well && self.verify(Pass::Restored).await?;
        if well {
            self.tell_apart(true).await?;
        }
        let restart = self.c.drill.restore.restart.clone();
        if let (Some(restart), true) = (restart, good) {
            self.record(RestoreEvent::Entered(Stage::Restart))?;
            let well = self.run(Task::Restart, &restart).await?;
            self.record(RestoreEvent::Entered(Stage::VerifyAgain))?;
            if well {
                self.verify(Pass::Restarted).await?;
                self.identify_scratch().await?;
            }
        }
        Ok(())
    }

    /// Who answers at the scratch place after its restart.
    async fn identify_scratch(&self) -> Result<(), Halt> {
        let (facts, none) = match self.scratch.identify().await {
            Ok(facts) => (facts, None),
            Err(e) => (BTreeMap::new(), Some(self.hide(e))),
        };
        let identified = Identified { place: Side::Scratch, after: true, facts, none };
        Ok(self.record(RestoreEvent::Identified(identified))?)
    }

    /// Last of all, when no command of the drill comes any more.
    async fn read_after(&mut self) -> Result<(), Halt> {
        self.record(RestoreEvent::Entered(Stage::After))?;
        self.read_source(Pass::After).await
    }

    /// Alarms and targets; then, and only then, the scratch place is emptied.
    async fn prepare(&mut self, rehearsed: bool) -> Result<(), Halt> {
        self.record(RestoreEvent::Entered(Stage::Prepare))?;
        let journal = self.journal.clone();
        // A journal that cannot be written ends the drill elsewhere.
        let record = |asked| drop(journal.record(RestoreEvent::Asked(asked)));
        self.alarms().may_begin(record).await.map_err(Halt::Abort)?;
        let told = self.tell_apart(false).await?;
        self.checks_rights(&told.source)?;
        // One moment for both places and all readings, by the earlier of the source's clock and ours: rows bear either's.
        let ahead = told.source.get("clock_ahead_us").and_then(|v| v.parse::<i64>().ok()).unwrap_or(0);
        self.t0_unix_us = self.t0_unix_us.map(|t0| t0.saturating_add_signed(ahead.min(0)));
        self.hold(&told.scratch)?;
        // Where nobody answers, whoever answers a moment later could be anybody: nothing is emptied blindly.
        if rehearsed || told.nobody {
            return Ok(());
        }
        self.still_apart().await?;
        let cleanup = self.c.drill.restore.cleanup.clone();
        if !self.run(Task::CleanupBefore, &cleanup).await? {
            return Err(Halt::Abort("the clean-up command did not end well: nothing was restored".into()));
        }
        let holds = self.holds(false).await?;
        match holds.count {
            Some(0) => Ok(()),
            _ if holds.unreachable.is_some() => Ok(()),
            Some(n) => {
                let what = holds.things.join(", ");
                Err(Halt::Abort(format!(
                    "the scratch place holds {n} things after the clean-up, such as {what}: nothing was restored"
                )))
            }
            None => Err(Halt::Abort("nobody could look into the scratch place: nothing was restored".into())),
        }
    }

    /// Runs one of the drill's commands; answers whether it ended well.
    async fn run(&self, task: Task, command: &Command) -> Result<bool, Halt> {
        let env = command.env.iter().filter_map(|n| Some((n.clone(), self.c.secrets.get(n)?.to_owned())));
        let logs = self.c.folder.join("logs");
        crate::local::private::folder(&logs)?;
        let spec = Spec {
            words: &command.run,
            dir: &self.c.dir,
            env: env.collect(),
            limit: command.limit.std(),
            run: &self.c.run,
            log: Some(logs.join(format!("{}.log", task.to_string().replace(' ', "-")))),
            secrets: &self.c.secrets,
            sweeps: true,
            keeps: false,
        };
        let began_us = self.clock.now_us();
        let ended = run(spec, self.c.show.as_ref(), None, std::future::pending()).await;
        let (code, how, printed) = (ended.code, ended.how, ended.printed);
        self.record(RestoreEvent::Ran(Ran { what: task, began_us, code, how, printed }))?;
        Ok(code == Some(0))
    }

    /// A role that reads must not be able to write, where it matters.
    fn checks_rights(&self, source: &BTreeMap<String, String>) -> Result<(), Halt> {
        let writable = source.get("tables_that_this_role_may_write").and_then(|n| n.parse::<u64>().ok());
        if writable.is_some_and(|n| n > 0) {
            let what =
                "the role that reads the source may write its tables: give gameday one that may only read";
            if self.c.drill.stack.level == Level::Production {
                return Err(Halt::Abort(format!("{what}; in production nothing is run by another")));
            }
            self.record(RestoreEvent::Noted(what.into()))?;
        }
        Ok(())
    }
}

/// Whether every program that a drill names can be run, from the folders of its files.
pub fn programs(drill: &Drill, dir: &Path, stack_dir: &Path) -> Vec<String> {
    let r = &drill.restore;
    let own =
        [Some(&r.restore), Some(&r.cleanup), r.restart.as_ref()].into_iter().flatten().map(|c| (dir, &c.run));
    let canary = drill.canary().into_iter().flat_map(|c| [&c.plant, &c.list, &c.remove]).flatten();
    let witness = drill.witnesses().filter_map(|(_, w)| w.command.as_ref());
    let of_stack = canary.chain(witness).map(|c| (stack_dir, &c.run));
    let missing = own.chain(of_stack).filter_map(|(dir, run)| super::command::find(dir, run.first()?).err());
    let unique: BTreeSet<String> = missing.collect();
    unique.into_iter().collect()
}

#[cfg(test)]
pub(super) mod tests {
    use harness::own::{restore::Restore, stack::Stack};

    /// A stack and a drill of nothing in particular.
    pub(in crate::own) fn example() -> (Stack, Restore) {
        let stack = r#"
            name = "rag"
            level = "staging"
            [allow]
            components = ["db"]
            [component]
            db = { product = "postgres", dsn_env = "DB_DSN" }
            [witness]
            orders = { component = "db", sql = "select 1" }
        "#;
        let drill = r#"
            kind = "restore"
            name = "restore_db"
            stack_file = "stack.toml"
            source = "db"
            scratch = { product = "postgres", dsn_env = "SCRATCH_DSN" }
            restore = { run = ["/bin/true"], env = ["SCRATCH_DSN"] }
            cleanup = { run = ["/bin/true"] }
            [objectives]
            rto = "1m"
        "#;
        let stack = harness::own::stack(stack.as_bytes()).unwrap();
        let drill = harness::own::drill(drill.as_bytes(), &[], |_| Ok(stack.clone())).unwrap();
        (drill.stack, drill.restore)
    }
}
