//! `gameday check`: all mistakes of all files, at once.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;

use crate::{
    exit::{Exit, Failure},
    inputs, say,
};

/// Find every mistake in scenarios; nothing is started
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday check scenarios/vector_index_corruption.toml
  gameday check scenarios/                 every *.toml in the folder, sub-folders aside

Two files must not share a name: their evidence could not be told apart. A drill whose pass would prove little is
warned of.
Ends with 0 if there is no mistake, with 2 otherwise.")]
pub(crate) struct Check {
    /// Scenario files, or folders of them
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
}

impl Check {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let inputs = inputs::read(&self.scenarios)?;
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let (mut mistakes, mut wrong) = (0, 0);
        for input in &inputs {
            if harness::own::is_stack(&input.bytes) {
                if let Err(found) = crate::own::check_stack(input) {
                    (mistakes, wrong) = (mistakes + found.count, wrong + 1);
                    say::err(&format!("{}\n", found.text));
                }
                continue;
            }
            if crate::own::is_own(input) {
                match crate::own::load(input, &[]) {
                    Ok(own) => {
                        if let Err(missing) = own.drill.secrets() {
                            let (file, missing) = (input.path.display(), missing.join(", "));
                            say::err(&format!(
                                "note: {file}: not set here, and needed to run it: {missing}\n"
                            ));
                        }
                        names
                            .entry(own.drill.name().to_owned())
                            .or_default()
                            .push(input.path.display().to_string());
                    }
                    Err(found) => {
                        (mistakes, wrong) = (mistakes + found.count, wrong + 1);
                        say::err(&format!("{}\n", found.text));
                    }
                }
                continue;
            }
            match input.load(&[]) {
                Ok(loaded) => {
                    for why in loaded.plan.proves_little() {
                        say::err(&format!("warning: {}: proves little: {why}\n", input.path.display()));
                    }
                    names.entry(loaded.scenario.name).or_default().push(input.path.display().to_string());
                }
                Err(found) => {
                    (mistakes, wrong) = (mistakes + found.count, wrong + 1);
                    say::err(&format!("{}\n", found.text));
                }
            }
        }
        for (name, files) in names.iter().filter(|(_, files)| files.len() > 1) {
            (mistakes, wrong) = (mistakes + 1, wrong + files.len() - 1);
            say::err(&format!(
                "error: {} are all named `{name}`\n  = help: give each its own name\n\n",
                files.join(", ")
            ));
        }
        let files = plural(inputs.len(), "scenario");
        if mistakes > 0 {
            say::err(&format!("{files} checked: {} in {wrong} of them\n", plural(mistakes, "mistake")));
            return Ok(Exit::Usage);
        }
        say::out(&format!("{files} checked: no mistakes\n"))?;
        Ok(Exit::Pass)
    }
}

fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
