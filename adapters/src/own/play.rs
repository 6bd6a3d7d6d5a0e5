//! A restore drill, from its first question to the clean-up.
//!
//! The scratch place is proved to be another one before a single command of the user's is run: the first of them empties it.
//! However a drill ends, records of ours are removed, the user's clean-up is run where anything was restored, and whatever its
//! commands left running is ended.

mod apart;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use harness::clock::Clock;
use harness::drill::Stop;
use harness::journal::{Ending, Journal};
use harness::own::Drill;
use harness::own::event::{Debt, Pass, Place as Side, Ran, RestoreBegan, RestoreEvent, Stage, Sum, Task};
use harness::own::stack::{Command, Witness};

use super::command::{Show, Spec, run};
use super::place::{self, Place, Sited};
use super::probe::{Asker, STEADY};
use super::secrets::Secrets;
use crate::local::sweep::sweep;
use crate::local::watchdog::Watchdog;
use crate::local::watchdog_args;

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
