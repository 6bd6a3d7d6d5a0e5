//! `gameday report`: the report of a drill, from its journal alone.

use std::path::PathBuf;

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use reports::Format;

use crate::{
    exit::{Exit, Failure},
    judged::judge,
    say,
};

/// Print the report of a drill, from its journal alone
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday report runs/latest
  gameday report --format json runs/latest | jq .verdict
  gameday report --format junit some/where/journal.jsonl > junit.xml

Byte for byte what the run itself wrote. Ends with the code that the run ended with;
with 5 if the journal was altered.")]
pub(crate) struct Report {
    /// A journal, or the folder of a run
    #[arg(value_name = "JOURNAL")]
    journal: PathBuf,
    /// What to print
    #[arg(long, default_value = Format::Text.word(), value_parser = format_parser())]
    format: Format,
}

fn format_parser() -> impl clap::builder::TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::word)).try_map(|word| word.parse::<Format>())
}

impl Report {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let journal = if self.journal.is_dir() { self.journal.join("journal.jsonl") } else { self.journal };
        let judged = judge(&journal)?;
        say::out(&self.format.render(&judged.report))?;
        Ok(judged.exit)
    }
}
