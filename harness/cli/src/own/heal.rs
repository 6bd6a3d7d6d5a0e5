//! `gameday heal` for a run on somebody's own stack: what is left in its stores.

use std::{fs::File, io::BufReader, path::Path};

use adapters::own::{
    fault::heal::{self as fault, PLACES, Places},
    heal,
    secrets::Secrets,
};
use harness::{journal::Reader, own::RestoreEvent};

use super::{live, unset, value_of};
use crate::{exit::Failure, say};

/// Removes what a run left in the stores; answers with what was done, in lines. Nothing for a run of another kind.
pub(crate) fn stores(folder: &Path, yes_run: bool) -> Result<Vec<String>, Failure> {
    let Ok(places) = std::fs::read(folder.join(PLACES)) else { return Ok(Vec::new()) };
    let journal = folder.join("journal.jsonl");
    let wrong = |e: &dyn std::fmt::Display| {
        let what = format!("`{}`: {e}", journal.display());
        Failure::environment(what, "what the run left behind stands in its journal; remove it by hand")
    };
    // A run that was killed before its first event has left nothing.
    let Ok(file) = File::open(&journal) else { return Ok(Vec::new()) };
    if file.metadata().map_err(|e| wrong(&e))?.len() == 0 {
        return Ok(Vec::new());
    }
    let places: Places = serde_json::from_slice(&places).map_err(|e| {
        let what = format!("`{}`: {e}", folder.join(PLACES).display());
        Failure::environment(
            what,
            "it says where the files of the run lie; what the run left stands in its journal",
        )
    })?;
    if let Some(left) = fault::left(folder).map_err(|e| wrong(&e))? {
        return broken(folder, &left, &places, yes_run);
    }
    let events = Reader::<_, RestoreEvent>::new(BufReader::new(file));
    let left = heal::left(events).map_err(|e| wrong(&e))?;
    if left.debts.is_empty() && !left.uncleaned {
        return Ok(Vec::new());
    }
    let secrets = Secrets::of_drill(&left.drill, value_of).map_err(|missing| unset(&missing))?.into();
    if left.uncleaned && !yes_run {
        say::err(&format!(
            "what was restored may still lie in the scratch place. Its clean-up, in {}:\n  {}\n  --yes-run runs it\n",
            places.dir.display(),
            left.drill.restore.cleanup.run.join(" ")
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::environment(e.to_string(), "see `gameday doctor`"))?;
    let show = live::show(true);
    let healed = heal::heal(&left, (&places.dir, &places.stack_dir), &secrets, (yes_run, show.as_ref()));
    let (done, failed) = runtime.block_on(healed);
    for what in &done {
        say::out(&format!("  {}\n", reports::clean(what)))?;
    }
    if !failed.is_empty() {
        return Err(Failure::environment(
            failed.join("; "),
            "see that the store answers, and heal once more",
        ));
    }
    if left.uncleaned && !yes_run {
        return Err(Failure::environment(
            "the scratch place was not emptied",
            "empty it by hand, or let gameday run the command above with --yes-run",
        ));
    }
    Ok(done)
}

/// Undoes what a fault drill left broken, if its user says so: the commands are those of a journal.
fn broken(folder: &Path, left: &fault::Left, places: &Places, yes_run: bool) -> Result<Vec<String>, Failure> {
    if left.faults.is_empty() {
        return Ok(Vec::new());
    }
    let steps: Vec<_> = left.faults.iter().map(|n| &left.drill.fault.fault[*n]).collect();
    if !yes_run {
        let undo = |f: &&harness::own::fault::FaultStep| {
            let run = f.undo.as_ref().map_or(String::new(), |c| c.run.join(" "));
            format!("  {} of {}: {run}\n", f.name, f.component)
        };
        let lines: String = steps.iter().map(undo).collect();
        say::err(&format!(
            "faults of stack {} may still be there. Their undo, in {}:\n{lines}  --yes-run runs it\n",
            left.drill.stack.name,
            places.dir.display(),
        ));
        return Err(Failure::environment(
            "what was broken was not undone",
            "undo it by hand, or let gameday run the commands above with --yes-run",
        ));
    }
    let secrets = Secrets::of_undo(&left.drill, value_of).map_err(|missing| unset(&missing))?;
    let undone = fault::undo(left, places, &secrets, (live::show(true).as_ref(), false));
    let undone = undone
        .map_err(|e| Failure::environment(e.to_string(), "wait until it has ended, and heal once more"))?;
    fault::remember(folder, &undone)
        .map_err(|e| Failure::environment(format!("heal.jsonl: {e}"), "free the disk"))?;
    let words = |u: &fault::Undone| format!("{}: {}", u.fault, u.how);
    let failed: Vec<String> = undone.iter().filter(|u| !u.gone).map(words).collect();
    let done: Vec<String> = undone.iter().filter(|u| u.gone).map(words).collect();
    for what in &done {
        say::out(&format!("  undone   {}\n", reports::clean(what)))?;
    }
    if failed.is_empty() {
        return Ok(done);
    }
    Err(Failure::environment(failed.join("; "), "see why, mend it, and heal once more"))
}
