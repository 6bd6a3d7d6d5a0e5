//! `gameday rehearse`: everything of a drill but the acts.

use std::path::PathBuf;

use clap::Args;
use harness::{time::human_us, verdict::Verdict};
use reports::Format;

use super::run;
use crate::{
    exit::{Exit, Failure},
    inputs,
    judged::judge,
    run::signals::Signals,
    say,
};

/// Play a drill on your own stack without its acts: addresses, rights, alarms, witnesses
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday rehearse drills/restore_db.toml
  gameday rehearse drills/restore_db.toml --json | jq .findings
  gameday rehearse drills/break_db.toml

Of a restore drill no command is run, and nothing is restored. The source is read, its alarm asked, and the scratch place is
told apart from it; for that, a record of gameday's own is written for a moment in each and removed. Of a fault drill
`observe` alone is run; services are asked, witnesses read, and canaries planted as `gameday canary plant` does.
Ends with 0 if the drill could be run now, 4 if something stands in its way.")]
pub(crate) struct Rehearse {
    /// Drills on your own stack
    #[arg(required = true, value_name = "DRILL")]
    drills: Vec<PathBuf>,
    /// The folder in which each run gets its own
    #[arg(long, value_name = "FOLDER", default_value = "runs")]
    out: PathBuf,
    /// Print result.json alone to stdout
    #[arg(long)]
    json: bool,
}

impl Rehearse {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let signals = Signals::listen()?;
        let mut worst = Exit::Pass;
        for input in inputs::read(&self.drills)? {
            if !super::is_own(&input) {
                let what = format!("`{}` is no drill on a stack of your own", input.path.display());
                return Err(Failure::usage(what, "rehearse others in world sim: gameday run --world sim"));
            }
            let loaded = match super::load(&input, &[]) {
                Ok(loaded) => loaded,
                Err(mistakes) => {
                    say::err(&mistakes.text);
                    return Ok(Exit::Usage);
                }
            };
            let secrets = super::secrets_of(&loaded)?;
            let folder = run::folder(&self.out, &loaded)?;
            run::play(&loaded, &folder, (true, !self.json), &secrets, &signals)?;
            let report = judge(&folder.journal())?.report;
            folder.write_reports(&report)?;
            let doubts: Vec<_> = report.findings.iter().filter(|f| f.verdict != Verdict::Pass).collect();
            if self.json {
                say::out(&Format::Json.render(&report))?;
            } else {
                let all = report.findings.iter().filter(|f| f.verdict == Verdict::Pass);
                let lines: String = all
                    .map(|f| format!("  ok       {} of {}: {}\n", f.objective, f.subject, f.measured))
                    .collect();
                let against: String = doubts
                    .iter()
                    .map(|f| format!("  AGAINST  {} of {}: {}\n", f.objective, f.subject, f.why))
                    .collect();
                let notes: String = report.notes.iter().map(|n| format!("  note     {n}\n")).collect();
                let word = if doubts.is_empty() { "READY" } else { "NOT READY" };
                let name = &report.scenario;
                let text = format!(
                    "{word}: {name} on {}, looked at for {}\n{lines}{against}{notes}",
                    loaded.drill.stack().name,
                    human_us(report.took_us)
                );
                say::out(&text.lines().map(|l| reports::clean(l) + "\n").collect::<String>())?;
            }
            if !doubts.is_empty() {
                worst = Exit::Unknown;
            }
        }
        Ok(worst)
    }
}
