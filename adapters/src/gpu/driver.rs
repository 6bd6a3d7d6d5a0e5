//! The driver: one task that owns the job's state and runs step after step, each stored before the next begins.
//!
//! It keeps nothing that it could not lose: another driver finds the newest valid checkpoint and goes on from there.
//! Steps are deterministic, so whatever two drivers do twice comes out the same. Callers who give up change nothing:
//! what was asked for is run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use harness::job::{Checkpoint, Job};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::checkpoints::Checkpoints;
use super::step::Steps;

/// How long the object store is left alone after a failure.
const PAUSE: Duration = Duration::from_millis(50);

/// Somebody wants the job to be run up to a step.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) step: u64,
    pub(super) stored: oneshot::Sender<()>,
}

/// The task's own.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) job: Job,
    pub(super) steps: Steps,
    pub(super) checkpoints: Checkpoints,
    pub(super) asked: mpsc::UnboundedReceiver<Ask>,
    /// The last step that is stored, for those who ask.
    pub(super) done: Arc<AtomicU64>,
}

impl Driver {
    /// Runs until nobody can ask any more.
    pub(super) async fn run(mut self) {
        let mut state = self.resume(u64::MAX).await;
        let (mut target, mut waiting): (u64, Vec<Ask>) = (0, Vec::new());
        loop {
            self.done.store(state.step, Ordering::Relaxed);
            for ask in waiting.extract_if(.., |ask| ask.step <= state.step || ask.stored.is_closed()) {
                // Whoever asked may have given up.
                let _ = ask.stored.send(());
            }
            let idle = target <= state.step;
            if idle {
                let Some(ask) = self.asked.recv().await else { return };
                waiting.push(ask);
            }
            waiting.extend(std::iter::from_fn(|| self.asked.try_recv().ok()));
            target = waiting.iter().map(|ask| ask.step).max().unwrap_or(0).max(target);
            let done = waiting.iter().map(|ask| ask.step).filter(|step| *step <= state.step).min();
            if let Some(step) = done {
                if self.gone(step).await {
                    // It was done once and is not there any more: from the last one that is.
                    state = self.resume(step.saturating_sub(1)).await;
                }
                continue;
            }
            if idle && target > state.step.saturating_add(1) {
                // Another driver may have gone on meanwhile.
                state = self.newer(state).await;
            }
            if target > state.step {
                state = self.steps.step(&state).await;
                self.store(&state).await;
            }
        }
    }

    /// Whether the store says that a step has no valid checkpoint.
    async fn gone(&self, step: u64) -> bool {
        loop {
            match self.checkpoints.valid(step).await {
                Ok(found) => return found.is_none(),
                Err(e) => tracing::debug!("{e}"),
            }
            sleep(PAUSE).await;
        }
    }

    /// The newest valid checkpoint of at most that step, or the start of the job.
    async fn resume(&self, most: u64) -> Checkpoint {
        loop {
            match self.checkpoints.newest(None, most).await {
                Ok(found) => return found.unwrap_or_else(|| self.job.start()),
                Err(e) => tracing::debug!("{e}"),
            }
            sleep(PAUSE).await;
        }
    }

    /// The newest valid checkpoint that is stored, if it is newer; the store need not answer.
    async fn newer(&self, state: Checkpoint) -> Checkpoint {
        let found = self.checkpoints.newest(Some(state.step), u64::MAX).await;
        found.ok().flatten().unwrap_or(state)
    }

    async fn store(&self, state: &Checkpoint) {
        while let Err(e) = self.checkpoints.put(state).await {
            tracing::debug!("{e}");
            sleep(PAUSE).await;
        }
    }
}
