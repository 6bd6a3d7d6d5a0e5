//! The drill loop: the only part of this crate with effects.
//!
//! Phases, in order: launch, seed, settle, storm, read-back, quality, restart, undo, last read-back, teardown. Load
//! stops with the storm; what users would read is read *before* any undo, because undo would resurrect what was lost,
//! and once more after a restart of every copy that they read, because a process may answer from memory for long.
//! Undo and teardown happen whatever came before, and a debt is written to the journal before the act that makes it.
//! The drill concludes nothing: verdicts are made from the journal.

mod backups;
mod inventory;
mod load;
mod quality;
mod readback;
mod restart;
mod seed;
mod stop;
mod storm;
mod watch;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::timeout;

pub use stop::{Stop, Stopper, stop};

use crate::{
    act::{Act, Outcome},
    clock::Clock,
    corpus::Corpus,
    journal::{Acted, Began, Ending, EventKind, Intent, Journal, Phase, When},
    plan::{Plan, StepKind},
    ports::{EnvironmentError, Host},
    pulse::Pulse,
    scenario::WorldName,
    shortage::Own,
    time::Dur,
    urgency::{self, Urgency},
};

/// The stack must run within this long.
const LAUNCH_LIMIT: Dur = Dur::from_secs(120);
/// One undo act may take this long; what it leaves undone goes with the stack.
const UNDO_LIMIT: Dur = Dur::from_secs(30);
/// Ending and removing everything may take this long.
const TEARDOWN_LIMIT: Dur = Dur::from_secs(60);

/// Why a drill did not play all its phases.
#[derive(Debug)]
enum Break {
    /// Somebody asked, or an abort condition was met.
    Stopped(String),
    /// The environment failed us.
    Environment(EnvironmentError),
    /// The journal could not be written.
    Journal(io::Error),
}

impl From<io::Error> for Break {
    fn from(e: io::Error) -> Self {
        Break::Journal(e)
    }
}

/// What every part of a drill needs. Cheap to clone.
#[derive(Clone, Debug)]
struct Stage {
    plan: Arc<Plan>,
    world: WorldName,
    host: Arc<dyn Host>,
    journal: Journal,
    clock: Clock,
    corpus: Arc<Corpus>,
    /// Undo acts that are still owed, oldest first. Locked for moments, never across an await.
    debts: Arc<Mutex<Vec<Intent>>>,
    /// What this process itself ran out of, and what it keeps back.
    own: Own,
}

/// Plays a plan against a host, and writes down what happened.
///
/// # Errors
/// Only if the journal cannot be written. The stack is torn down even then.
pub async fn drill(
    plan: &Plan,
    began: Began,
    host: Arc<dyn Host>,
    journal: &Journal,
    clock: Clock,
    stop: Stop,
) -> io::Result<Ending> {
    let stage = Stage {
        plan: Arc::new(plan.clone()),
        world: began.world,
        corpus: Arc::new(Corpus::of(&plan.scenario)),
        host,
        journal: journal.clone(),
        clock,
        debts: Arc::default(),
        own: Own::watch(clock.is_real()),
    };
    journal.record(EventKind::Began(Box::new(began)))?;
    // A task of its own, so that a panic in a client ends the drill and not the undo.
    let mut playing = tokio::spawn({
        let stage = stage.clone();
        async move { stage.play().await }
    });
    let played = tokio::select! {
        biased;
        why = stop.asked() => Err(Break::Stopped(why)),
        () = journal.failed() => Err(Break::Journal(io::Error::other("the journal could not be written"))),
        why = stage.own.ran_out() => Err(Break::Environment(why)),
        why = stage.host.unsafe_to_continue() => Err(Break::Environment(why)),
        played = &mut playing => played.unwrap_or_else(|e| Err(Break::Environment(crashed(&e)))),
    };
    if !playing.is_finished() {
        playing.abort();
        // Its end is awaited: an act under way must not strike after its undo.
        drop(playing.await);
    }
    let recorded = stage.close(&played).await;
    let torn_down = stage.teardown().await;
    let lacking = stage.own.lacking();
    let ending = match (&played, &torn_down) {
        (Err(Break::Environment(_)), _) | (_, Err(_)) => Ending::Environment,
        _ if lacking.is_some() => Ending::Environment,
        (Err(_), _) => Ending::Aborted,
        (Ok(_), Ok(())) => Ending::Complete,
    };
    recorded?;
    if let (Some(why), true) = (lacking, !matches!(played, Err(Break::Environment(_)))) {
        journal.record(EventKind::Aborted(why.to_string()))?;
    }
    if let Err(e) = torn_down {
        journal.record(EventKind::Aborted(format!("the stack could not be torn down: {e}")))?;
    }
    journal.record(EventKind::Ended(ending))?;
    Ok(ending)
}

impl Stage {
    /// Answers with the copies that users read at the end.
    async fn play(&self) -> Result<Vec<readback::Copy>, Break> {
        self.enter(Phase::Launch)?;
        self.intend("stack", StepKind::Setup, Vec::new(), vec![Act::Teardown])?;
        let launched = timeout(LAUNCH_LIMIT.std(), self.host.launch()).await;
        for line in launched.unwrap_or_else(|_| Err(slow_launch())).map_err(Break::Environment)? {
            self.journal.record(EventKind::Noted(line))?;
        }
        self.enter(Phase::Seed)?;
        self.seed().await?;
        self.enter(Phase::Settle)?;
        let golden = self.baseline().await?;
        self.tell_urgency().await?;
        let journal = self.journal.clone();
        let stalled = move |from_us, to_us| {
            // A journal that cannot be written ends the drill; see `Journal::failed`.
            drop(journal.record(EventKind::Stalled { from_us, to_us }));
        };
        let pulse = Pulse::start(self.clock, Box::new(stalled));
        let mut watch = watch::Watch::start(self, &golden);
        let load = load::Load::start(self, &watch.tell);
        let backups = backups::Backups::start(self);
        if self.settle(&mut watch).await? {
            self.take_inventory(When::Before).await?;
            self.enter(Phase::Storm)?;
            self.storm(&mut watch).await?;
        } else {
            self.journal.record(EventKind::Noted(format!(
                "the stack was not steady within {}; the faults were not injected",
                crate::plan::SETTLE_LIMIT
            )))?;
        }
        // Probes end with the load: what the harness does from here on must not count as recovery.
        let (ledgers, ()) = tokio::join!(load.finish(), watch.finish());
        pulse.finish().await;
        backups.finish().await;
        self.own.release();
        self.enter(Phase::ReadBack)?;
        let routes = self.host.routes();
        self.journal.record(EventKind::Routes(routes.clone()))?;
        let copies = self.plan.copies(&routes);
        let read = self.read_users(&copies, &routes, &ledgers).await?;
        self.read_copies().await?;
        self.enter(Phase::Quality)?;
        self.quality_after(3, &ledgers, &read).await?;
        self.take_inventory(When::After).await?;
        self.enter(Phase::Restart)?;
        let again = self.restart(&copies, &ledgers, &read).await?;
        self.quality_after(4, &ledgers, &again).await?;
        self.take_inventory(When::Restarted).await?;
        Ok(copies)
    }

    /// How urgently the kernel runs those who keep time: a busy machine delays the others.
    async fn tell_urgency(&self) -> io::Result<()> {
        if self.clock.is_simulated() {
            return Ok(());
        }
        let sends = tokio::spawn(async { urgency::own() }).await.unwrap_or(Urgency::Usual);
        let times = urgency::allowed();
        self.journal.record(EventKind::Noted(format!(
            "probes are timed by threads that run {times}, and sent by threads that run {sends}"
        )))
    }

    /// Undo, and a last read-back if the drill was played to here.
    async fn close(&self, played: &Result<Vec<readback::Copy>, Break>) -> io::Result<()> {
        let why = match played {
            Ok(_) => None,
            Err(Break::Stopped(why)) => Some(why.clone()),
            Err(Break::Environment(e)) => Some(e.to_string()),
            Err(Break::Journal(e)) => {
                tracing::error!("the journal cannot be written: {e}");
                None
            }
        };
        let recorded = why.map_or(Ok(()), |why| self.journal.record(EventKind::Aborted(why)));
        let recorded = recorded.and_then(|()| self.enter(Phase::Undo));
        // Debts are paid even if they can no longer be recorded.
        let paid = self.own.closing(self.pay_debts()).await;
        recorded.and(paid)?;
        if let Ok(copies) = played {
            self.enter(Phase::SecondReadBack)?;
            tokio::select! {
                biased;
                _ = self.own.ran_out() => {}
                read = self.read_undone(copies) => read?,
            }
        }
        self.enter(Phase::Teardown)
    }

    async fn pay_debts(&self) -> io::Result<()> {
        let debts: Vec<Intent> = self.debts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut result = Ok(());
        for debt in debts.iter().rev() {
            for act in debt.undo.iter().filter(|a| !with_the_stack(a)) {
                result = result.and(self.undo(&debt.step, act).await);
            }
        }
        result
    }

    /// Performs one undo act, records it, and strikes the debt if its effect was seen.
    async fn undo(&self, step: &str, act: &Act) -> io::Result<()> {
        let acted = self.perform(step, act, UNDO_LIMIT).await;
        if acted.outcome.observed() {
            self.strike(step, act);
        }
        self.journal.record(EventKind::Undone(acted))
    }

    fn strike(&self, step: &str, act: &Act) {
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(debt) = debts.iter_mut().find(|d| d.step == step) {
            debt.undo.retain(|a| a != act);
        }
        debts.retain(|d| !d.undo.is_empty());
    }

    async fn teardown(&self) -> Result<(), EnvironmentError> {
        timeout(TEARDOWN_LIMIT.std(), self.host.teardown()).await.unwrap_or_else(|_| {
            let remedy = "run `gameday heal` on the run's folder".into();
            Err(EnvironmentError { what: format!("teardown took longer than {TEARDOWN_LIMIT}"), remedy })
        })?;
        let debts = std::mem::take(&mut *self.debts.lock().unwrap_or_else(PoisonError::into_inner));
        for debt in debts.iter().rev() {
            for act in &debt.undo {
                let outcome = Outcome::Observed("gone with the stack".into());
                let began_us = self.clock.now_us();
                let (step, act) = (debt.step.clone(), act.clone());
                let acted = Acted { step, act, began_us, outcome, facts: Default::default() };
                // A journal that cannot be written was reported before; the debt is paid all the same.
                drop(self.journal.record(EventKind::Undone(acted)));
            }
        }
        Ok(())
    }

    fn enter(&self, phase: Phase) -> io::Result<()> {
        self.journal.record(EventKind::Entered(phase))
    }

    /// Writes down what is about to be done and how to undo it, before it is done.
    fn intend(&self, step: &str, why: StepKind, acts: Vec<Act>, undo: Vec<Act>) -> io::Result<()> {
        let intent = Intent { step: step.into(), why, acts, undo };
        if !intent.undo.is_empty() {
            self.debts.lock().unwrap_or_else(PoisonError::into_inner).push(intent.clone());
        }
        self.journal.record(EventKind::Intended(intent))
    }

    /// Performs one act within a limit.
    async fn perform(&self, step: &str, act: &Act, limit: Dur) -> Acted {
        let began_us = self.clock.now_us();
        let effect = timeout(limit.std(), self.host.act(act)).await;
        let (outcome, facts) = match effect {
            Ok(effect) => (effect.outcome, effect.facts.into_iter().collect()),
            Err(_) => (Outcome::Failed(format!("given up after {limit}")), Default::default()),
        };
        if !outcome.observed() {
            self.own.vouch().await;
        }
        Acted { step: step.into(), act: act.clone(), began_us, outcome, facts }
    }

    /// Performs the acts of a step in order, and stops at the first whose effect was not seen.
    async fn perform_all(&self, step: &str, acts: &[Act], limit: Dur) -> io::Result<bool> {
        let deadline_us = self.clock.now_us().saturating_add(limit.us());
        for act in acts {
            let left_us = deadline_us.saturating_sub(self.clock.now_us());
            let acted = self.perform(step, act, Dur::from_millis(left_us.div_ceil(1000))).await;
            let seen = acted.outcome.observed();
            self.journal.record(EventKind::Acted(acted))?;
            if !seen {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Debts that are paid by throwing the stack away.
fn with_the_stack(act: &Act) -> bool {
    matches!(act, Act::Discard { .. } | Act::Teardown)
}

fn crashed(e: &tokio::task::JoinError) -> EnvironmentError {
    EnvironmentError { what: format!("gameday itself crashed: {e}"), remedy: "please report it".into() }
}

fn slow_launch() -> EnvironmentError {
    EnvironmentError {
        what: format!("the stack did not start within {LAUNCH_LIMIT}"),
        remedy: "look at the nodes' logs in the run's folder; `gameday doctor` says what this machine lacks"
            .into(),
    }
}
