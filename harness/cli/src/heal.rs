//! `gameday heal`: ends and removes whatever a run left behind.

use std::path::PathBuf;

use adapters::local;
use clap::Args;

use crate::{
    exit::{Exit, Failure},
    say,
};

/// End and remove whatever a run left behind
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday heal runs/latest
  gameday heal runs/latest --yes-run    also runs the commands that it would name else

For a run whose harness was killed, when its watchdog was killed as well. The journal and the
reports stay; what was done is added to heal.jsonl. Nothing to heal is fine.
A run that is still being played is refused: its nodes would be killed.
Ends with 0 if nothing is left, with 3 if something would not go.")]
pub(crate) struct Heal {
    /// The folder of a run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// End the run even while it is being played
    #[arg(long)]
    force: bool,
    /// Run the clean-up of a restore drill, or the undo of the faults of a fault drill, on your own stack if it was not run
    #[arg(long)]
    yes_run: bool,
}

impl Heal {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        if !self.run.is_dir() {
            let what = format!("`{}` is no folder", self.run.display());
            return Err(Failure::usage(what, "name the folder of a run, such as runs/latest"));
        }
        if let Some(player) = local::played_by(&self.run).filter(|_| !self.force) {
            let what =
                format!("`{}` is being played by {player}: healing would kill its nodes", self.run.display());
            let remedy = "wait until it has ended, or end it there with Ctrl-C (it undoes what it broke); \
                          --force heals all the same";
            return Err(Failure::usage(what, remedy));
        }
        let healed = local::heal(&self.run)?;
        let mut text = format!("run {}\n", healed.run);
        for process in &healed.killed {
            text.push_str(&format!(
                "  killed   process {} ({})\n",
                process.pid,
                reports::clean(&process.name)
            ));
        }
        for what in &healed.from_engine {
            text.push_str(&format!("  removed  {}\n", reports::clean(what)));
        }
        if healed.removed {
            text.push_str("  removed  the state of its nodes\n");
        }
        say::out(&text)?;
        let stores = crate::own::heal::stores(&self.run, self.yes_run)?;
        say::out(if healed.was_clean() && stores.is_empty() {
            "nothing was left behind\n"
        } else {
            "nothing is left behind\n"
        })?;
        Ok(Exit::Pass)
    }
}
