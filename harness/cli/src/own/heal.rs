//! `gameday heal` for a run on somebody's own stack: what is left in its stores.

use std::{fs::File, io::BufReader, path::Path};

use adapters::own::{heal, secrets::Secrets};
use harness::{journal::Reader, own::RestoreEvent};

use super::{
    live,
    run::{PLACES, Places},
    unset, value_of,
};
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
    let events = Reader::<_, RestoreEvent>::new(BufReader::new(file));
    let left = heal::left(events).map_err(|e| wrong(&e))?;
    if left.debts.is_empty() && !left.uncleaned {
        return Ok(Vec::new());
    }
    let places: Places = serde_json::from_slice(&places).map_err(|e| wrong(&e))?;
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
