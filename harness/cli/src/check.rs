//! `gameday check`: all mistakes of all files, at once.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;

use crate::{
    exit::{Exit, Failure},
    inputs::{self, Input, Mistakes},
    say,
};

/// Find every mistake in scenarios; nothing is started
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday check scenarios/vector_index_corruption.toml
  gameday check scenarios/                 every *.toml in the folder; says what it passed over

Two files must not share a name: their evidence could not be told apart. A drill whose pass would prove little is
warned of.
Ends with 0 if there is no mistake, with 2 otherwise.")]
pub(crate) struct Check {
    /// Scenario files, or folders of them
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
}

/// What has been found so far.
#[derive(Default)]
struct Tally {
    /// Files by the name of their drill.
    names: BTreeMap<String, Vec<String>>,
    mistakes: usize,
    /// Files with mistakes.
    wrong: usize,
    scenarios: usize,
    stacks: usize,
}

impl Check {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let inputs = inputs::read(&self.scenarios)?;
        let mut tally = Tally::default();
        for input in &inputs {
            tally.file(input);
        }
        tally.same_names();
        for (folder, names) in inputs::passed_over(&self.scenarios) {
            let (folder, names) = (folder.display(), names.join(", "));
            let why = "a folder stands for the *.toml files directly in it";
            say::err(&format!("note: {folder}: passed over {names}: {why}\n"));
        }
        let files = tally.files();
        if tally.mistakes > 0 {
            let (mistakes, wrong) = (plural(tally.mistakes, "mistake"), tally.wrong);
            say::err(&format!("{files} checked: {mistakes} in {wrong} of them\n"));
            return Ok(Exit::Usage);
        }
        say::out(&format!("{files} checked: no mistakes\n"))?;
        Ok(Exit::Pass)
    }
}

impl Tally {
    fn file(&mut self, input: &Input) {
        let file = input.path.display().to_string();
        if harness::own::is_stack(&input.bytes) {
            self.stacks += 1;
            match crate::own::check_stack(input) {
                Ok(()) => {}
                Err(found) => self.found(&found),
            }
            return;
        }
        self.scenarios += 1;
        if crate::own::is_own(input) {
            match crate::own::load(input, &[]) {
                Ok(own) => {
                    if let Err(missing) = own.drill.secrets() {
                        let missing = missing.join(", ");
                        say::err(&format!("note: {file}: not set here, and needed to run it: {missing}\n"));
                    }
                    self.names.entry(own.drill.name().to_owned()).or_default().push(file);
                }
                Err(found) => self.found(&found),
            }
            return;
        }
        match input.load(&[]) {
            Ok(loaded) => {
                for why in loaded.plan.proves_little() {
                    say::err(&format!("warning: {file}: proves little: {why}\n"));
                }
                self.names.entry(loaded.scenario.name).or_default().push(file);
            }
            Err(found) => self.found(&found),
        }
    }

    fn found(&mut self, found: &Mistakes) {
        self.mistakes += found.count;
        self.wrong += 1;
        say::err(&format!("{}\n", found.text));
    }

    fn same_names(&mut self) {
        for (name, files) in self.names.iter().filter(|(_, files)| files.len() > 1) {
            self.mistakes += 1;
            self.wrong += files.len() - 1;
            say::err(&format!(
                "error: {} are all named `{name}`\n  = help: give each its own name\n\n",
                files.join(", ")
            ));
        }
    }

    fn files(&self) -> String {
        let counts = [(self.scenarios, "scenario"), (self.stacks, "stack file")];
        let counts: Vec<String> =
            counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| plural(n, what)).collect();
        counts.join(" and ")
    }
}

fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
