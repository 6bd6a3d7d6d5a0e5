//! `gameday doctor`: what this machine offers, and what it lacks.

mod checks;

use std::path::PathBuf;

use clap::Args;

use crate::{
    exit::{Exit, Failure},
    inputs, say,
};
use checks::{Level, checks, drill};

/// Say what this machine offers, and whether drills can run here
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday doctor
  gameday doctor --out /data/runs
  gameday doctor scenarios/              whether there are ports, open files and disk for each drill

Ends with 0 if world `local` can run here, with 3 if something that it needs is missing.")]
pub(crate) struct Doctor {
    /// Scenario files, or folders of them: whether this machine has what their drills need
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
    /// The folder in which runs would be kept
    #[arg(long, value_name = "FOLDER", default_value = "runs")]
    out: PathBuf,
    /// Wait until stdin ends: the process that the doctor pauses and kills
    #[arg(long, hide = true)]
    patient: bool,
}

impl Doctor {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        if self.patient {
            // Ends with the doctor, whatever happens to it.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            return Ok(Exit::Pass);
        }
        let mut text = String::new();
        let mut missing = 0;
        let mut found = checks(&self.out);
        let mut wrong = false;
        for input in if self.scenarios.is_empty() { Vec::new() } else { inputs::read(&self.scenarios)? } {
            match input.load(&[]) {
                Ok(loaded) => found.push(drill(&loaded.plan, &self.out)),
                Err(mistakes) => {
                    wrong = true;
                    say::err(&mistakes.text);
                }
            }
        }
        for check in found {
            let word = match check.level {
                Level::Ok => "ok",
                Level::Info => "info",
                Level::Poor => "POOR",
                Level::Missing => "MISSING",
            };
            missing += usize::from(check.level == Level::Missing);
            text.push_str(&format!("{word:<8} {:<12} {}\n", check.name, check.found));
            if !check.remedy.is_empty() {
                text.push_str(&format!("{:<22}remedy: {}\n", "", check.remedy));
            }
        }
        text.push_str(&match missing {
            0 => "\nWorlds `sim` and `local` can run here.\n".to_owned(),
            n => format!("\nWorld `local` cannot run here: {n} of what it needs is missing. `--world sim` needs nothing.\n"),
        });
        say::out(&text)?;
        if wrong {
            return Ok(Exit::Usage);
        }
        Ok(if missing == 0 { Exit::Pass } else { Exit::Environment })
    }
}
