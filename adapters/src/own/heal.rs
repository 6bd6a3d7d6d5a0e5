//! What a restore drill that was killed left in the stores, and removing it.

use std::path::Path;
use std::sync::Arc;

use harness::journal::JournalError;
use harness::own::event::{Debt, Event, Place as Side, RestoreBegan, RestoreEvent, Task};
use harness::own::{Drill, Facts};

use super::command::{Show, Spec, run};
use super::place::{self, Sited, Unread};
use super::secrets::Secrets;

/// What may be left of a run.
#[derive(Debug)]
pub struct Left {
    /// How it was set up.
    pub began: RestoreBegan,
    /// Drill and stack.
    pub drill: Drill,
    /// Records of ours.
    pub debts: Vec<Debt>,
    /// Something may lie in the scratch place: it was restored, or was being, and the clean-up was not run after.
    pub uncleaned: bool,
}

/// Reads what a journal leaves open.
///
/// # Errors
/// If it is none of a restore drill.
pub fn left(events: impl IntoIterator<Item = Result<Event, JournalError>>) -> Result<Left, JournalError> {
    let mut entered_restore = false;
    let events = events.into_iter().inspect(|e| {
        let kind = e.as_ref().map(|e| &e.kind);
        entered_restore |= matches!(kind, Ok(RestoreEvent::Entered(harness::own::event::Stage::Restore)));
    });
    let facts = Facts::of(events)?;
    let uncleaned =
        entered_restore && facts.ran.get(&Task::CleanupAfter).is_none_or(|r| r.is.code != Some(0));
    Ok(Left { began: facts.began, drill: facts.drill, debts: facts.debts, uncleaned })
}

/// Removes records of ours, and runs the clean-up if that was asked for. Answers what was done, and what could not be.
pub async fn heal(
    left: &Left,
    (dir, stack_dir): (&Path, &Path),
    secrets: &Arc<Secrets>,
    (clean, show): (bool, Option<&Show>),
) -> (Vec<String>, Vec<String>) {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for debt in &left.debts {
        let scratch = debt.place == Side::Scratch;
        let sited = Sited {
            component: if scratch { &left.drill.restore.scratch } else { left.drill.source() },
            canary: left.drill.canary(),
            secrets,
            scratch,
            dir: stack_dir,
            run: &left.began.run,
        };
        let what = format!("{} {} in the {}", debt.what, debt.id, debt.place);
        let removed = match place::open(sited) {
            Ok(place) => place.unmark(&debt.id).await,
            Err(why) => Err(Unread::Failed(why)),
        };
        match removed {
            Ok(()) => done.push(format!("removed  {what}")),
            Err(Unread::Nobody(_)) if scratch => done.push(format!("nobody answers there any more: {what}")),
            Err(e) => failed.push(format!("{what}: {}", secrets.hide(&e.to_string()))),
        }
    }
    if left.uncleaned && clean {
        let cleanup = &left.drill.restore.cleanup;
        let env = cleanup.env.iter().filter_map(|n| Some((n.clone(), secrets.get(n)?.to_owned())));
        let spec = Spec {
            words: &cleanup.run,
            dir,
            env: env.collect(),
            limit: cleanup.limit.std(),
            run: &left.began.run,
            log: None,
            secrets,
        };
        let ended = run(spec, show, None, std::future::pending()).await;
        match ended.code {
            Some(0) => done.push("ran      the clean-up command".into()),
            _ => failed.push(format!("the clean-up command: {}", ended.how)),
        }
    }
    (done, failed)
}
