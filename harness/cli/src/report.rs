//! `gameday report`: the report of a drill, from its journal alone.

use std::{fs, path::PathBuf};

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
  gameday report --html runs/latest              one file to look at, to print and to file

Byte for byte what the run itself wrote. Ends with the code that the run ended with;
with 5 if the journal was altered.")]
pub(crate) struct Report {
    /// A journal, or the folder of a run
    #[arg(value_name = "JOURNAL")]
    journal: PathBuf,
    /// What to print
    #[arg(long, default_value = Format::Text.word(), value_parser = format_parser())]
    format: Format,
    /// Write report.html into the run's folder and print its path; print the page itself if JOURNAL is a file
    #[arg(long, conflicts_with = "format")]
    html: bool,
}

fn format_parser() -> impl clap::builder::TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::word)).try_map(|word| word.parse::<Format>())
}

impl Report {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let folder = self.journal.is_dir().then(|| self.journal.clone());
        let journal = folder.as_ref().map_or(self.journal, |folder| folder.join("journal.jsonl"));
        let judged = judge(&journal)?;
        match folder.filter(|_| self.html) {
            Some(folder) => {
                let page = folder.join(Format::Html.file_name());
                fs::write(&page, Format::Html.render(&judged.report)).map_err(|e| {
                    let what = format!("`{}` cannot be written: {e}", page.display());
                    Failure::environment(what, "name the journal itself: the page is then printed")
                })?;
                say::out(&format!("{}\n", page.display()))?;
            }
            None => {
                let format = if self.html { Format::Html } else { self.format };
                say::out(&format.render(&judged.report))?;
            }
        }
        Ok(judged.exit)
    }
}
