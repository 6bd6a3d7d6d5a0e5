//! A restore drill, from its first question to the clean-up.
//!
//! The scratch place is proved to be another one before a single command of the user's is run: the first of them empties it.
//! However a drill ends, records of ours are removed, the user's clean-up is run where anything was restored, and whatever its
//! commands left running is ended.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use harness::clock::Clock;
use harness::drill::Stop;
use harness::journal::{Ending, Journal};
use harness::own::Drill;
use harness::own::event::{
    Canaries, Debt, Holds, Identified, Nonce, Pass, Place as Side, Ran, RestoreBegan, RestoreEvent, Stage,
    Sum, Task, Witnessed,
};
use harness::own::facts::INVENTORY;
use harness::own::stack::{Command, Witness};
use tokio::time::sleep;

use super::command::{Show, Spec, run};
use super::place::{self, Listed, Place, Sited, Unread};
use super::probe::{Asker, STEADY};
use super::secrets::Secrets;
use crate::local::sweep::sweep;
use crate::local::watchdog::Watchdog;
use crate::local::watchdog_args;

/// How long what was not right is left alone before it is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// How far a place that follows another one may lag.
const LAG: Duration = Duration::from_secs(1);
/// How long paying a debt, or asking once more at the end, may take in all.
const LAST: Duration = Duration::from_secs(60);

/// What a drill is played with.
#[derive(Clone)]
pub struct Config {
    /// Drill and stack.
    pub drill: Drill,
    /// The folder of the drill's file: its commands run there.
    pub dir: PathBuf,
    /// The folder of the stack's file: commands of witnesses and canaries run there.
    pub stack_dir: PathBuf,
    /// The run's id.
    pub run: String,
    /// The run's folder; absolute.
    pub folder: PathBuf,
    /// This program.
    pub exe: PathBuf,
    /// Values of variables.
    pub secrets: Arc<Secrets>,
    /// Sees what commands print.
    pub show: Option<Show>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("run", &self.run).finish_non_exhaustive()
    }
}

/// Why a drill goes no further.
enum Halt {
    /// It must not, or cannot.
    Abort(String),
    /// The journal cannot be written.
    Journal(io::Error),
}

impl From<io::Error> for Halt {
    fn from(e: io::Error) -> Halt {
        Halt::Journal(e)
    }
}

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
    planted: bool,
    debts: Vec<Debt>,
    marks: usize,
    /// The scratch place is another one than the source: only then is anything of it emptied.
    apart: bool,
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
    let (source, scratch) = match places(&config) {
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
        planted: false,
        debts: Vec::new(),
        marks: 0,
        apart: false,
    };
    let alarm = player.alarm();
    let halted = tokio::select! {
        done = player.stages(rehearsed) => done.err(),
        why = stop.asked() => Some(Halt::Abort(why)),
        why = alarm => Some(Halt::Abort(why)),
        _ = watchdog.exited() => Some(Halt::Abort("its watchdog has died".into())),
    };
    let ending = match halted {
        None => Ending::Complete,
        Some(Halt::Journal(e)) => {
            // Nothing can be written down any more; what is ours is removed all the same.
            let _ = player.end(rehearsed).await;
            let _ = watchdog.release().await;
            return Err(e);
        }
        Some(Halt::Abort(why)) => {
            journal.record(RestoreEvent::Aborted(player.c.secrets.hide(&why)))?;
            Ending::Aborted
        }
    };
    player.end(rehearsed).await?;
    if let Err(e) = watchdog.release().await {
        journal.record(RestoreEvent::Noted(e.to_string()))?;
    }
    end(ending)
}

type Places = (Arc<dyn Place>, Arc<dyn Place>);

fn places(c: &Config) -> Result<Places, String> {
    let sited = |scratch: bool| Sited {
        component: if scratch { &c.drill.restore.scratch } else { c.drill.source() },
        canary: c.drill.canary(),
        secrets: &c.secrets,
        scratch,
        dir: &c.stack_dir,
        run: &c.run,
    };
    // Equal values under two names are one place, whatever they are called.
    let value = |name: &String| c.secrets.get(name);
    let (source, scratch) = (c.drill.source(), &c.drill.restore.scratch);
    let same = source.secrets().iter().zip(scratch.secrets().iter()).all(|(a, b)| value(a) == value(b));
    let place = |of: &harness::own::stack::Component| (of.url.clone(), of.bucket.clone());
    if same && place(source) == place(scratch) && !source.secrets().is_empty() {
        return Err("the scratch place has the source's address: nothing was run".into());
    }
    let open = |s: bool| {
        place::open(sited(s))
            .map_err(|why| format!("the {}: {why}", if s { "scratch place" } else { "source" }))
    };
    Ok((open(false)?, open(true)?))
}

impl Player<'_> {
    fn record(&self, event: RestoreEvent) -> io::Result<()> {
        self.journal.record(event)
    }

    fn hide(&self, text: impl std::fmt::Display) -> String {
        self.c.secrets.hide(&text.to_string())
    }

    fn at(&self, side: Side) -> &Arc<dyn Place> {
        if side == Side::Source { &self.source } else { &self.scratch }
    }

    /// Resolves when the alarm says that the run has to end; never without one.
    fn alarm(&self) -> impl Future<Output = String> + 'static {
        let end = self.c.drill.stack.alarm.end_run.clone();
        let asker = end.as_ref().map(|e| self.asker(&e.probe));
        let (journal, clock) = (self.journal.clone(), self.clock);
        async move {
            match (end, asker) {
                (Some(end), Some(Ok(asker))) => {
                    asker.watch(&journal, clock, |bad_us, _| bad_us >= end.bad_for.us().max(1)).await;
                    format!("{} was bad for {}", end.probe, end.bad_for)
                }
                (Some(end), Some(Err(why))) => format!("{} cannot be asked: {why}", end.probe),
                _ => std::future::pending().await,
            }
        }
    }

    fn asker(&self, service: &str) -> Result<Asker, String> {
        Asker::new(&self.c.drill.stack, service, &self.c.secrets, &self.c.stack_dir, &self.c.run)
    }

    async fn stages(&mut self, rehearsed: bool) -> Result<(), Halt> {
        self.prepare(rehearsed).await?;
        self.read_before().await?;
        if rehearsed {
            return Ok(());
        }
        self.record(RestoreEvent::Entered(Stage::Restore))?;
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
                let _said = self.identify(Side::Scratch, true).await?;
            }
        }
        self.record(RestoreEvent::Entered(Stage::After))?;
        self.read_source(Pass::After).await?;
        Ok(())
    }

    /// Alarms and targets; then, and only then, the scratch place is emptied.
    async fn prepare(&mut self, rehearsed: bool) -> Result<(), Halt> {
        self.record(RestoreEvent::Entered(Stage::Prepare))?;
        if let Some(service) = self.c.drill.stack.alarm.forbid_start.clone() {
            let asker = self
                .asker(&service)
                .map_err(|why| Halt::Abort(format!("{service} cannot be asked: {why}")))?;
            let steady_us = STEADY.as_micros() as u64;
            let mut worst_us = 0;
            asker
                .watch(self.journal, self.clock, |bad_us, asked_us| {
                    worst_us = worst_us.max(bad_us);
                    worst_us > 0 || asked_us >= steady_us
                })
                .await;
            if worst_us > 0 {
                return Err(Halt::Abort(format!("{service} was not well before the drill: nothing was run")));
            }
        }
        self.tell_apart(false).await?;
        if rehearsed {
            return Ok(());
        }
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

    async fn holds(&self, after: bool) -> Result<Holds, Halt> {
        let looked = self.scratch.holds(&self.witnesses).await;
        let holds = match looked {
            Ok((count, things)) => Holds { after, things, count: Some(count), unreachable: None },
            Err(Unread::Nobody(why)) => {
                Holds { after, things: Vec::new(), count: None, unreachable: Some(self.hide(why)) }
            }
            Err(Unread::Failed(why)) => {
                self.record(RestoreEvent::Noted(format!(
                    "the scratch place could not be looked into: {}",
                    self.hide(why)
                )))?;
                Holds { after, things: Vec::new(), count: None, unreachable: None }
            }
        };
        self.record(RestoreEvent::Holds(holds.clone()))?;
        Ok(holds)
    }

    async fn identify(
        &self,
        side: Side,
        after: bool,
    ) -> Result<Result<BTreeMap<String, String>, Unread>, Halt> {
        let said = self.at(side).identify().await;
        let (facts, none) = match &said {
            Ok(facts) => (facts.clone(), None),
            Err(e) => (BTreeMap::new(), Some(self.hide(e))),
        };
        self.record(RestoreEvent::Identified(Identified { place: side, after, facts, none }))?;
        Ok(said)
    }

    /// Asks both places who they are, and looks in each for what was written in the other.
    async fn tell_apart(&mut self, after: bool) -> Result<(), Halt> {
        let source = self.identify(Side::Source, after).await?;
        let source = source.map_err(|e| Halt::Abort(format!("the source cannot be asked: {e}")))?;
        let scratch = match self.identify(Side::Scratch, after).await? {
            Ok(facts) => facts,
            Err(Unread::Nobody(why)) if !after => {
                let holds =
                    Holds { after, things: Vec::new(), count: None, unreachable: Some(self.hide(why)) };
                self.record(RestoreEvent::Holds(holds))?;
                self.apart = true;
                return Ok(());
            }
            Err(e) if after => {
                self.record(RestoreEvent::Noted(format!(
                    "the scratch place cannot be asked: {}",
                    self.hide(e)
                )))?;
                return Ok(());
            }
            Err(e) => return Err(Halt::Abort(format!("the scratch place cannot be asked: {e}"))),
        };
        let equal = |key: &str| source.get(key).is_some_and(|v| scratch.get(key) == Some(v));
        let server = equal("system_identifier") && equal("started");
        if server && (equal("database_oid") || !self.c.drill.restore.scratch.same_server) {
            let which = if equal("database_oid") {
                "is the source itself"
            } else {
                "is a database of the source's own server; restore to another one, or say `same_server = true`"
            };
            return Err(Halt::Abort(format!(
                "the scratch place {which}: {}",
                if after { "see the findings" } else { "nothing was run" }
            )));
        }
        self.checks_rights(&source)?;
        let mut proved = false;
        for written in [Side::Source, Side::Scratch] {
            if written == Side::Source && self.c.drill.canary().is_none() {
                continue;
            }
            let seen = self.nonce(written, after).await?;
            if seen == Some(true) {
                let (other, what) = if written == Side::Source {
                    ("scratch place", "source")
                } else {
                    ("source", "scratch place")
                };
                let why = format!(
                    "what was written in the {what} was seen in the {other}: they are one place, or one follows the other"
                );
                return Err(Halt::Abort(why));
            }
            proved |= seen == Some(false);
        }
        if !proved && !after {
            return Err(Halt::Abort(
                "nobody could tell the scratch place from the source: nothing was run".into(),
            ));
        }
        self.apart |= proved;
        Ok(())
    }

    /// A role that reads must not be able to write, where it matters.
    fn checks_rights(&self, source: &BTreeMap<String, String>) -> Result<(), Halt> {
        let writable = source.get("tables_that_this_role_may_write").and_then(|n| n.parse::<u64>().ok());
        if writable.is_some_and(|n| n > 0) {
            let what =
                "the role that reads the source may write its tables: give gameday one that may only read";
            if self.c.drill.stack.level == harness::own::stack::Level::Production {
                return Err(Halt::Abort(format!("{what}; in production nothing is run by another")));
            }
            self.record(RestoreEvent::Noted(what.into()))?;
        }
        Ok(())
    }

    /// Writes a record in one place, looks for it in the other, and removes it. Answers whether it was seen.
    async fn nonce(&mut self, written: Side, after: bool) -> Result<Option<bool>, Halt> {
        self.marks += 1;
        let word: String = self.c.run.chars().rev().filter(char::is_ascii_alphanumeric).take(8).collect();
        let id = format!("{}{}", word.to_lowercase(), self.marks);
        let what = if written == Side::Source { "canary" } else { "marker" };
        let debt = Debt { id: id.clone(), place: written, what: what.into() };
        self.record(RestoreEvent::Intended(debt.clone()))?;
        self.debts.push(debt.clone());
        let other = if written == Side::Source { Side::Scratch } else { Side::Source };
        let (seen, why) = match self.at(written).mark(&id).await {
            Err(e) => (None, format!("nothing could be written in the {written}: {}", self.hide(e))),
            Ok(()) => match self.seen(other, &id, after).await {
                Ok(seen) => (Some(seen), format!("looked for in the {other}")),
                Err(e) => (None, format!("the {other} could not be looked into: {}", self.hide(e))),
            },
        };
        self.record(RestoreEvent::Nonce(Nonce { written, after, seen, why }))?;
        self.pay(&debt).await?;
        Ok(seen)
    }

    /// Whether a record is seen in a place: at once, and after the restore a little later as well, since a place that follows
    /// the other may lag.
    async fn seen(&self, side: Side, id: &str, twice: bool) -> Result<bool, Unread> {
        let seen = self.at(side).marked(id).await?;
        if seen || !twice {
            return Ok(seen);
        }
        sleep(LAG).await;
        self.at(side).marked(id).await
    }

    async fn pay(&mut self, debt: &Debt) -> Result<(), Halt> {
        match self.at(debt.place).unmark(&debt.id).await {
            Ok(()) => {
                self.debts.retain(|d| d != debt);
                self.record(RestoreEvent::Paid(debt.clone()))?;
            }
            // A place where nobody is holds nothing of ours, unless it comes back.
            Err(Unread::Nobody(_)) if debt.place == Side::Scratch => {
                self.debts.retain(|d| d != debt);
                self.record(RestoreEvent::Paid(debt.clone()))?;
            }
            Err(e) => {
                let what = format!(
                    "{} {} in the {} could not be removed: {}",
                    debt.what,
                    debt.id,
                    debt.place,
                    self.hide(e)
                );
                self.record(RestoreEvent::Noted(what))?;
            }
        }
        Ok(())
    }

    async fn read_before(&mut self) -> Result<(), Halt> {
        self.record(RestoreEvent::Entered(Stage::Before))?;
        self.read_source(Pass::Before).await?;
        if self.before.keys().all(|id| id == INVENTORY) {
            return Err(Halt::Abort(
                "no witness could be read in the source: nothing could be proved".into(),
            ));
        }
        Ok(())
    }

    async fn read_source(&mut self, pass: Pass) -> Result<(), Halt> {
        for (id, w) in self.witnesses.clone() {
            let newer = self.newer.entry(id.clone()).or_default();
            let mut now = if pass == Pass::Before { BTreeSet::new() } else { newer.clone() };
            let read = self.source.witness(&w, self.t0_unix_us, &mut now).await;
            if pass == Pass::Before {
                *newer = now;
            }
            self.reading(&id, pass, read).await?;
        }
        match self.source.inventory().await {
            Ok(None) => {}
            read => self.reading(INVENTORY, pass, read.map(Option::unwrap_or_default)).await.map(drop)?,
        }
        if pass == Pass::Before && self.c.drill.canary().is_some() {
            let read = self.source.canaries().await;
            self.planted = read.as_ref().is_ok_and(|l| !l.list.is_empty());
            self.canaries(pass, read)?;
        }
        Ok(())
    }

    /// Writes a reading down; answers whether it is that of the source before.
    async fn reading(&mut self, id: &str, pass: Pass, read: Result<Sum, Unread>) -> Result<bool, Halt> {
        let (sum, none) = match read {
            Ok(sum) => (Some(sum), None),
            Err(e) => (None, Some(self.hide(e))),
        };
        if let (Pass::Before, Some(sum)) = (pass, &sum) {
            self.before.insert(id.to_owned(), sum.clone());
        }
        let same = sum.is_some() && sum.as_ref() == self.before.get(id);
        let witnessed = Witnessed { witness: id.to_owned(), pass, sum, none };
        self.record(RestoreEvent::Witnessed(Box::new(witnessed)))?;
        Ok(same)
    }

    /// Writes canaries down; answers whether there are any.
    fn canaries(&self, pass: Pass, read: Result<Listed, Unread>) -> Result<bool, Halt> {
        let canaries = match read {
            Ok(Listed { list, count, clock_ahead_us }) => {
                Canaries { pass, list, count, clock_ahead_us, none: None }
            }
            Err(e) => {
                Canaries { pass, list: Vec::new(), count: 0, clock_ahead_us: None, none: Some(self.hide(e)) }
            }
        };
        let some = canaries.none.is_none() && (!canaries.list.is_empty() || !self.planted);
        self.record(RestoreEvent::Canaries(Box::new(canaries)))?;
        Ok(some)
    }

    /// Reads what was restored until it is right, or for as long as the drill allows; answers whether it is.
    async fn verify(&mut self, pass: Pass) -> Result<bool, Halt> {
        let until_us = self.clock.now_us() + self.c.drill.restore.settle.us();
        let mut open: Vec<(String, Witness)> =
            self.witnesses.iter().filter(|(id, _)| self.before.contains_key(id)).cloned().collect();
        let mut canaries = self.c.drill.canary().is_some();
        loop {
            let mut left = Vec::new();
            for (id, w) in open {
                let mut newer = self.newer.get(&id).cloned().unwrap_or_default();
                let read = self.scratch.witness(&w, self.t0_unix_us, &mut newer).await;
                if !self.reading(&id, pass, read).await? {
                    left.push((id, w));
                }
            }
            if canaries {
                let read = self.scratch.canaries().await;
                canaries = !self.canaries(pass, read)?;
            }
            if left.is_empty() && !canaries {
                return Ok(true);
            }
            if self.clock.now_us() >= until_us {
                return Ok(false);
            }
            open = left;
            sleep(AGAIN).await;
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
        };
        let began_us = self.clock.now_us();
        let ended = run(spec, self.c.show.as_ref(), None, std::future::pending()).await;
        let (code, how, printed) = (ended.code, ended.how, ended.printed);
        self.record(RestoreEvent::Ran(Ran { what: task, began_us, code, how, printed }))?;
        Ok(code == Some(0))
    }

    /// Removes what is ours, has the scratch place emptied, and ends what is still running.
    async fn end(&mut self, rehearsed: bool) -> io::Result<()> {
        let journal = |halt: Halt| match halt {
            Halt::Journal(e) => e,
            Halt::Abort(why) => io::Error::other(why),
        };
        if !rehearsed || !self.debts.is_empty() {
            self.record(RestoreEvent::Entered(Stage::Cleanup))?;
        }
        for debt in self.debts.clone() {
            let paid = tokio::time::timeout(LAST, self.pay(&debt)).await;
            paid.unwrap_or(Ok(())).map_err(journal)?;
        }
        if self.apart && !rehearsed {
            let cleanup = self.c.drill.restore.cleanup.clone();
            self.run(Task::CleanupAfter, &cleanup).await.map_err(journal)?;
            self.holds(true).await.map_err(journal)?;
        }
        let run = self.c.run.clone();
        let swept = tokio::task::spawn_blocking(move || sweep(&run)).await.map_err(io::Error::other)?;
        let note = match swept {
            Ok(killed) if killed.is_empty() => return Ok(()),
            Ok(killed) => {
                let names: BTreeSet<String> = killed.into_iter().map(|k| k.name).collect();
                format!(
                    "still running at the end, and ended: {}",
                    names.into_iter().collect::<Vec<_>>().join(", ")
                )
            }
            Err(e) => e.to_string(),
        };
        self.record(RestoreEvent::Noted(note))
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
