//! Incremental backups on a schedule, as the stack's own cron job takes them, until the storm is over.
//!
//! They go on while things break, and may fail like anything else: a backup that could not be taken is in the journal
//! and decides nothing by itself.

use tokio::{sync::watch, task::JoinHandle};

use super::Stage;
use crate::{journal::EventKind, plan::StepKind, time::Dur};

/// One backup may take this long.
const LIMIT: Dur = Dur::from_secs(60);
/// How often, where the scenario does not say.
const EVERY: Dur = Dur::from_secs(2);

/// The schedule.
#[derive(Debug)]
pub(super) struct Backups {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Backups {
    /// Starts the schedule; without incremental backups it does nothing.
    pub(super) fn start(stage: &Stage) -> Backups {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(stage.clone(), stopped));
        Backups { stop, task }
    }

    /// Stops the schedule; a backup that is under way stays unfinished.
    pub(super) async fn finish(mut self) {
        self.stop.send_replace(true);
        (&mut self.task).await.expect("backup tasks do not panic");
    }
}

impl Drop for Backups {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(stage: Stage, mut stopped: watch::Receiver<bool>) {
    if stage.plan.incremental(1).is_empty() {
        return;
    }
    let every = stage.plan.scenario.backup.every.unwrap_or(EVERY);
    for n in 1u64.. {
        let due_us = stage.clock.now_us().saturating_add(every.us());
        tokio::select! {
            biased;
            _ = stopped.wait_for(|s| *s) => return,
            () = stage.clock.until(due_us) => {}
        }
        for (step, act) in stage.plan.incremental(n) {
            // A journal that cannot be written ends the drill; see `Journal::failed`.
            drop(stage.intend(&step, StepKind::Setup, vec![act.clone()], Vec::new()));
            let acted = tokio::select! {
                biased;
                _ = stopped.wait_for(|s| *s) => return,
                acted = stage.perform(&step, &act, LIMIT) => acted,
            };
            drop(stage.journal.record(EventKind::Acted(acted)));
        }
    }
}
