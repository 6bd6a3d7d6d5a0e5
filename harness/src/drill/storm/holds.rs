//! Faults that hold are watched until they are lifted: one that other hands have ended must not be credited to a step.
//!
//! A task of its own asks the host now and then whether each fault that has struck is still there. The storm's loop owns
//! what is watched, and decides: while a recovery step runs that may have ended the fault, its end is that step's doing;
//! once the fault was seen to hold after such a step, it is not.

use std::collections::BTreeMap;

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::{act::Act, drill::Stage, time::Dur};

/// Every fault is looked at this often.
const LOOK_EVERY: Dur = Dur::from_millis(250);
/// A look that takes longer has seen nothing.
const LOOK_LIMIT: Dur = Dur::from_secs(2);

/// One fault that holds: its place in the timetable, and one of its acts.
pub(super) type Held = (usize, Act);

/// What a look has seen.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) held: Held,
    pub(super) began_us: u64,
    pub(super) holds: bool,
}

/// The watch over faults that hold.
#[derive(Debug)]
pub(super) struct Holds {
    watched: watch::Sender<Vec<Held>>,
    looks: mpsc::UnboundedReceiver<Look>,
    task: JoinHandle<()>,
    /// When each was last seen to hold: the moment at which that look began.
    seen_us: BTreeMap<usize, u64>,
}

impl Holds {
    pub(super) fn start(stage: &Stage) -> Holds {
        let (watched, held) = watch::channel(Vec::new());
        let (send, looks) = mpsc::unbounded_channel();
        let task = tokio::spawn(look(stage.clone(), held, send));
        Holds { watched, looks, task, seen_us: BTreeMap::new() }
    }

    /// From now on these are watched.
    pub(super) fn watch(&self, held: Vec<Held>) {
        self.watched.send_if_modified(|now| {
            let changed = *now != held;
            *now = held;
            changed
        });
    }

    /// What the next look has seen; never, if nothing is watched.
    pub(super) async fn next(&mut self) -> Look {
        match self.looks.recv().await {
            Some(look) => look,
            None => std::future::pending().await,
        }
    }

    /// Takes note of a look. Answers with the fault, if it has ended and no step can have ended it: `free_us` is when
    /// the last step that may have had ended, `None` while one runs.
    pub(super) fn judge(&mut self, look: Look, free_us: Option<u64>) -> Option<Held> {
        let place = look.held.0;
        if look.holds {
            self.seen_us.insert(place, look.began_us);
            return None;
        }
        let seen_us = self.seen_us.get(&place).copied();
        // Seen to hold when the step had ended, or when no step had begun.
        let alone = free_us.is_some_and(|free_us| free_us == 0 || seen_us.is_some_and(|seen| seen > free_us));
        alone.then_some(look.held)
    }
}

impl Drop for Holds {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(stage: Stage, mut held: watch::Receiver<Vec<Held>>, tell: mpsc::UnboundedSender<Look>) {
    loop {
        let now: Vec<Held> = held.borrow_and_update().clone();
        for held in now.iter().cloned() {
            let began_us = stage.clock.now_us();
            let seen = timeout(LOOK_LIMIT.std(), stage.host.holds(&held.1)).await;
            // A world that cannot tell, or does not in time, has seen nothing.
            if let Ok(Some(holds)) = seen
                && tell.send(Look { held, began_us, holds }).is_err()
            {
                return;
            }
        }
        let next_us = stage.clock.now_us().saturating_add(LOOK_EVERY.us());
        tokio::select! {
            changed = held.changed() => if changed.is_err() { return },
            () = stage.clock.until(next_us), if !now.is_empty() => {}
        }
    }
}
