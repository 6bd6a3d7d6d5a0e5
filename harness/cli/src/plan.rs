//! `gameday plan`: what a drill would do, and when; nothing is touched.

mod json;
mod text;

use std::path::PathBuf;

use clap::Args;

use crate::{
    exit::{Exit, Failure},
    inputs::{self, Changes},
    own, say,
};

/// Show what a drill would do, when, to what, and how it would be undone
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday plan scenarios/vector_index_corruption.toml
  gameday plan --json scenarios/ | jq '.[].timetable'
  gameday plan drills/restore_db.toml            what a drill of your own stack would run and empty
  gameday plan --set fault.0.at=20s scenarios/vector_index_corruption.toml

Nothing is started and nothing is touched.")]
pub(crate) struct Plan {
    /// Scenario files, or folders of them
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
    #[command(flatten)]
    changes: Changes,
    /// Print JSON: an object, or an array for several scenarios
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let mut plans = Vec::new();
        let mut own_text = Vec::new();
        let mut wrong = false;
        for input in inputs::read(&self.scenarios)? {
            if input.from_folder && harness::own::is_stack(&input.bytes) {
                continue;
            }
            if own::is_own(&input) {
                match own::load(&input, &self.changes.pairs()) {
                    Ok(_) if self.json => {
                        let what = format!("`{}` has no plan in JSON", input.path.display());
                        return Err(Failure::usage(
                            what,
                            "leave out --json: its steps are always the same ones",
                        ));
                    }
                    Ok(loaded) => own_text.push(own::plan::text(&loaded)),
                    Err(mistakes) => {
                        wrong = true;
                        say::err(&mistakes.text);
                    }
                }
                continue;
            }
            match input.load(&self.changes.pairs()) {
                Ok(loaded) => plans.push(loaded.plan),
                Err(mistakes) => {
                    wrong = true;
                    say::err(&mistakes.text);
                }
            }
        }
        if wrong {
            return Ok(Exit::Usage);
        }
        let text = if self.json {
            let mut all: Vec<serde_json::Value> = plans.iter().map(json::of).collect();
            let json = if all.len() == 1 { all.remove(0) } else { all.into() };
            format!("{json:#}\n")
        } else {
            plans.iter().map(text::of).chain(own_text).collect::<Vec<_>>().join("\n\n")
        };
        say::out(&text)?;
        Ok(Exit::Pass)
    }
}
