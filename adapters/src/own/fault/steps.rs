//! The commands of a drill: what breaks, what looks, what undoes, and the runbook.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use harness::own::fault::FaultStep;
use harness::own::fault::event::{Command as Which, FaultEvent, Look, Looked, Ran, Stage, Task};
use harness::own::stack::Command;
use tokio::time::sleep;

use super::Player;
use crate::local::sweep::{Killed, SweepError, session, sweep, sweep_session};
use crate::own::command::{Ended, Spec, run};
use crate::own::config::Halt;

/// How long one look may take, whatever limit its command has.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// How long it is waited before it is looked again.
const AGAIN: Duration = Duration::from_millis(50);
/// From here on an exit code says that nobody looked: `timeout` ended it (124), a shell could not run it (126, 127), a signal
/// ended it (128 and more).
const NOT_LOOKED: i32 = 124;
/// An undo is tried so often at the end: what was ended half-way may need a moment until it can be undone.
pub(super) const ATTEMPTS: usize = 3;

/// What the exit code of `observe` says; `None` where nobody could tell.
pub(super) fn there(code: Option<i32>) -> Option<bool> {
    match code? {
        0 => Some(true),
        1..NOT_LOOKED => Some(false),
        _ => None,
    }
}

/// The mark of a command's processes. Whatever a fault left running is ended before it is undone. What a runbook or an undo
/// started in a session of its own is its owner's server and lives on, however the command ended.
pub(super) fn mark(run: &str, task: Task, n: usize) -> String {
    match task {
        Task::Inject => format!("{run}.inject{n}"),
        Task::Undo => format!("{run}.undo{n}"),
        Task::Recover => format!("{run}.recover{n}"),
    }
}

impl Player {
    /// Runs a command of a step, which is in the journal before it begins. An undo is run even if nothing can be written down.
    pub(super) async fn command(
        &self,
        (task, n, step): (Task, usize, &str),
        command: &Command,
        stop: impl Future<Output = String>,
    ) -> Result<Ended, Halt> {
        self.begins(task, step)?;
        self.begun((task, n, step), command, stop).await
    }

    /// Writes down that a command is about to be started.
    fn begins(&self, task: Task, step: &str) -> io::Result<()> {
        let told = self.record(FaultEvent::Starts(Which { task, step: step.to_owned() }));
        if task == Task::Undo { Ok(()) } else { told }
    }

    async fn begun(
        &self,
        (task, n, step): (Task, usize, &str),
        command: &Command,
        stop: impl Future<Output = String>,
    ) -> Result<Ended, Halt> {
        let which = Which { task, step: step.to_owned() };
        let mark = mark(&self.c.run, which.task, n);
        self.opened().marks.insert(mark.clone());
        let began_us = self.clock.now_us();
        let log = format!("{}-{}.log", which.task, which.step);
        let keeps = task != Task::Inject;
        let spec = Spec { keeps, ..self.spec(command, &mark, command.limit.std(), Some(log)) };
        let ended = run(spec, self.c.show.as_ref(), None, stop).await;
        self.opened().marks.remove(&mark);
        let Ended { code, how, printed } = ended.clone();
        let told = self.record(FaultEvent::Ran(Ran { command: which, began_us, code, how, printed }));
        if task != Task::Undo {
            told?;
        }
        Ok(ended)
    }

    fn spec<'a>(
        &'a self,
        command: &'a Command,
        mark: &'a str,
        limit: Duration,
        log: Option<String>,
    ) -> Spec<'a> {
        let env = command.env.iter().filter_map(|n| Some((n.clone(), self.c.secrets.get(n)?.to_owned())));
        let logs: PathBuf = self.c.folder.join("logs");
        // A command that cannot be logged is run all the same: it may be an undo, on a full disk.
        let log = log.filter(|_| crate::local::private::folder(&logs).is_ok());
        Spec {
            words: &command.run,
            dir: &self.c.dir,
            env: env.collect(),
            limit,
            run: mark,
            log: log.map(|name| logs.join(name)),
            secrets: &self.c.secrets,
            // Its group alone: see `mark`.
            sweeps: false,
            keeps: false,
        }
    }

    /// Looks whether the effect of a fault is there, until `enough` says so of what was seen or the limit of the command is over.
    /// What is seen is written down.
    pub(super) async fn look(
        &self,
        step: &FaultStep,
        look: Look,
        enough: impl Fn(Option<bool>) -> bool,
    ) -> Result<Looked, Halt> {
        let observe = step.observe.as_ref().expect("a fault that nobody observes is refused when loaded");
        let began_us = self.clock.now_us();
        let limit = observe.limit.std().min(LOOK_MAX);
        let until_us = began_us + limit.as_micros() as u64;
        // What looks is nothing that may outlive it, and must not be mixed up with what breaks.
        let mark = format!("{}.look", self.c.run);
        loop {
            let ended = run(self.spec(observe, &mark, limit, None), None, None, std::future::pending()).await;
            let there = there(ended.code);
            if enough(there) || self.clock.now_us() >= until_us {
                let looked = Looked { fault: step.name.clone(), look, began_us, there, how: ended.how };
                let told = self.record(FaultEvent::Looked(looked.clone()));
                return if look == Look::Gone {
                    Ok(looked)
                } else {
                    told.map(|()| looked).map_err(Halt::Journal)
                };
            }
            sleep(AGAIN).await;
        }
    }

    /// No effect may be there before: whatever says otherwise would say so for ever.
    pub(super) async fn absent(&self, step: &FaultStep) -> Result<(), Halt> {
        let name = &step.name;
        let looked = self.look(step, Look::Before, |there| there.is_some()).await?;
        let why = match looked.there {
            Some(false) => return Ok(()),
            Some(true) => "its `observe` says that its effect is there already".to_owned(),
            None => format!("nobody can tell whether its effect is there ({})", looked.how),
        };
        Err(Halt::Abort(format!("fault {name}: {why}: it was not injected")))
    }

    /// Injects a fault, and waits until its effect is seen. It is looked for from the beginning: what heals itself may be gone
    /// in a moment. If users noticed it and `observe` came too late, it was seen all the same: `noticed` says whether they
    /// did, since a moment.
    pub(super) async fn inject(
        &self,
        n: usize,
        step: &FaultStep,
        noticed: impl Fn(u64) -> bool,
    ) -> Result<(), Halt> {
        self.absent(step).await?;
        self.opened().faults.insert(n);
        self.begins(Task::Inject, &step.name)?;
        let (name, began_us) = (&step.name, self.clock.now_us());
        let over = std::cell::Cell::new(false);
        let enough = |there| match there {
            Some(true) => true,
            Some(false) => over.get() && noticed(began_us),
            None => false,
        };
        let injecting = async {
            let which = (Task::Inject, n, name.as_str());
            let ended = self.begun(which, step.inject.command(), std::future::pending()).await?;
            over.set(true);
            match ended.code {
                Some(0) => Ok(()),
                _ => Err(Halt::Abort(format!(
                    "fault {name}: the command that injects it did not end well: {}; what it did is undone",
                    ended.how
                ))),
            }
        };
        // In this order: it is in the journal before anybody looks.
        let ((), looked) = tokio::try_join!(injecting, self.look(step, Look::Struck, enough))?;
        match looked.there {
            Some(true) => Ok(()),
            Some(false) if noticed(began_us) => Ok(()),
            _ => Err(Halt::Abort(format!(
                "fault {name}: it was injected, and its effect was not seen ({}): nothing can be learnt",
                looked.how
            ))),
        }
    }

    /// Undoes a fault, and looks whether it is gone; answers whether it is. What its inject command left running is ended
    /// before, so that an undo that comes last is not undone by it; but for what has a session of its own, which may be its
    /// owner's server, and is ended only if the effect does not go.
    pub(super) async fn undo(&self, n: usize, step: &FaultStep) -> Result<bool, Halt> {
        let mark = mark(&self.c.run, Task::Inject, n);
        // A journal that cannot be written keeps nothing from being undone.
        let _ = self.sweep_session(mark.clone()).await;
        let undo = step.undo.as_ref().expect("a fault that nobody undoes is refused when loaded");
        self.command((Task::Undo, n, &step.name), undo, std::future::pending()).await?;
        let looked = self.look(step, Look::Gone, |there| there == Some(false)).await?;
        // What is seen counts: some undos fail where there is nothing to undo.
        let gone = looked.there == Some(false);
        if gone {
            self.opened().faults.remove(&n);
        } else {
            let _ = self.sweep(mark).await;
        }
        Ok(gone)
    }

    /// Ends what is still running of the drill, and undoes what is still broken, the last fault first. `complete`: the drill
    /// was played to here, and says so.
    pub(super) async fn end(&self, complete: bool) -> io::Result<()> {
        let marks = std::mem::take(&mut self.opened().marks);
        let mut result = Ok(());
        for mark in marks {
            result = result.and(self.sweep_session(mark).await);
        }
        let open: Vec<usize> = self.opened().faults.iter().rev().copied().collect();
        if complete || !open.is_empty() {
            result = result.and(self.record(FaultEvent::Entered(Stage::Undo)));
        }
        for n in open {
            let step = &self.c.drill.fault.fault[n];
            let mut undone = self.undo(n, step).await;
            for _ in 1..ATTEMPTS {
                if matches!(undone, Ok(false)) {
                    undone = self.undo(n, step).await;
                }
            }
            match undone {
                Ok(true) => {}
                Ok(false) => {
                    let note = format!(
                        "fault {} may still be there: `gameday heal RUN` tries to undo it once more",
                        step.name
                    );
                    result = result.and(self.record(FaultEvent::Noted(note)));
                }
                Err(Halt::Journal(e)) => result = result.and(Err(e)),
                Err(Halt::Abort(why)) => result = result.and(self.record(FaultEvent::Noted(why))),
            }
        }
        let run = self.c.run.clone();
        let look = format!("{run}.look");
        result.and(self.sweep(run).await).and(self.sweep(look).await)
    }

    /// Ends whatever carries a mark and has no session of its own.
    async fn sweep_session(&self, mark: String) -> io::Result<()> {
        let session = session();
        let swept = tokio::task::spawn_blocking(move || sweep_session(&mark, session)).await;
        self.swept(swept.map_err(io::Error::other)?)
    }

    /// Ends whatever carries a mark.
    async fn sweep(&self, mark: String) -> io::Result<()> {
        let swept = tokio::task::spawn_blocking(move || sweep(&mark)).await.map_err(io::Error::other)?;
        self.swept(swept)
    }

    fn swept(&self, swept: Result<Vec<Killed>, SweepError>) -> io::Result<()> {
        let note = match swept {
            Ok(killed) if killed.is_empty() => return Ok(()),
            Ok(killed) => {
                let names: std::collections::BTreeSet<String> = killed.into_iter().map(|k| k.name).collect();
                format!("still running, and ended: {}", names.into_iter().collect::<Vec<_>>().join(", "))
            }
            Err(e) => e.to_string(),
        };
        self.record(FaultEvent::Noted(note))
    }
}
