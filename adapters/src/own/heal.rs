//! What a restore drill that was killed left in the stores, and removing it.

use std::path::Path;
use std::sync::Arc;

use harness::journal::JournalError;
use harness::own::event::{Debt, Event, RestoreBegan, RestoreEvent, Task};
use harness::own::stack::Product;
use harness::own::{Drill, Facts};

use super::command::{Show, Spec, run};
use super::config::Halt;
use super::play::apart::Pair;
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
    let cleaned = facts.ran.get(&Task::CleanupAfter).is_some_and(|r| r.is.code == Some(0));
    let last = facts.holds.iter().rfind(|h| h.is.after).map(|h| &h.is);
    let empty = last.is_some_and(|h| h.count == Some(0) || h.unreachable.is_some());
    let uncleaned = entered_restore && !(cleaned && empty);
    Ok(Left { began: facts.began, drill: facts.drill, debts: facts.debts, uncleaned })
}

/// Removes records of ours, and runs the clean-up if that was asked for: `commands` says whether any command of the journal
/// may be run, for a journal could be anybody's. Answers what was done, and what could not be.
pub async fn heal(
    left: &Left,
    (dir, stack_dir): (&Path, &Path),
    secrets: &Arc<Secrets>,
    (commands, show): (bool, Option<&Show>),
) -> (Vec<String>, Vec<String>) {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    if left.drill.source().product == Product::Command && !commands && !left.debts.is_empty() {
        failed.push("records of gameday's are removed by a command of the drill's: --yes-run runs it".into());
        return (done, failed);
    }
    let (source, scratch) = match super::play::guard::places(&left.drill, secrets, stack_dir, &own_mark(left))
    {
        Ok(places) => places,
        Err(why) => return (done, vec![secrets.hide(&why)]),
    };
    let pair = Pair {
        source: source.as_ref(),
        scratch: scratch.as_ref(),
        drill: &left.drill,
        run: &left.began.run,
        secrets,
        record: &|_| Ok(()),
    };
    for debt in &left.debts {
        let what = format!("{} {} in the {}", debt.what, debt.id, debt.place);
        let mut open = vec![debt.clone()];
        match pair.pay(debt, &mut open).await {
            Ok(()) if open.is_empty() => done.push(format!("not there any more: {what}")),
            _ => failed.push(format!("{what}: it could not be removed")),
        }
    }
    if left.uncleaned && commands {
        match clean(left, &pair, dir, secrets, show).await {
            Ok(()) => done.push("ran the clean-up command".into()),
            Err(why) => failed.push(secrets.hide(&why)),
        }
    }
    (done, failed)
}

/// The mark of commands that heal: the run's own watchdog may still be ending whatever bears the run's.
fn own_mark(left: &Left) -> String {
    format!("{}-heal", left.began.run)
}

/// Runs the clean-up command, if the scratch place is proved to be another one than the source, now.
async fn clean(
    left: &Left,
    pair: &Pair<'_>,
    dir: &Path,
    secrets: &Secrets,
    show: Option<&Show>,
) -> Result<(), String> {
    // Numbers of their own: those of the run may still stand somewhere.
    let (mut debts, mut marks) = (Vec::new(), 500);
    let told = pair.tell(true, (&mut debts, &mut marks)).await;
    let told = told.map_err(|e| match e {
        Halt::Abort(why) => format!("the clean-up was not run: {why}"),
        Halt::Journal(e) => e.to_string(),
    })?;
    if !told.apart {
        let who = if told.nobody {
            "nobody answers at the scratch place"
        } else {
            "nobody could tell it from the source"
        };
        return Err(format!("the clean-up was not run: {who}"));
    }
    let mark = own_mark(left);
    if let Err(Halt::Abort(why)) = pair.still_apart().await {
        return Err(format!("the clean-up was not run: {why}"));
    }
    let cleanup = &left.drill.restore.cleanup;
    let env = cleanup.env.iter().filter_map(|n| Some((n.clone(), secrets.get(n)?.to_owned())));
    let spec = Spec {
        words: &cleanup.run,
        dir,
        env: env.collect(),
        limit: cleanup.limit.std(),
        run: &mark,
        log: None,
        secrets,
        sweeps: true,
        keeps: false,
    };
    let ended = run(spec, show, None, std::future::pending()).await;
    if ended.code == Some(0) { Ok(()) } else { Err(format!("the clean-up command: {}", ended.how)) }
}
