//! A journal on disk, judged: what `run` and `report` have in common, so that both say the same.

use std::{
    io::{BufReader, Seek as _},
    path::Path,
};

use harness::{
    journal::{Ending, JournalError},
    report::{Played, Report},
    verdict::Verdict,
};
use reports::evidence::plain::{self, Links};

use crate::exit::{Exit, Failure};

/// A drill's conclusions, and how the program should end because of them.
#[derive(Debug)]
pub(crate) struct Judged {
    /// For the reports.
    pub(crate) report: Report,
    /// For the shell.
    pub(crate) exit: Exit,
}

/// Reads and judges a journal.
pub(crate) fn judge(journal: &Path) -> Result<Judged, Failure> {
    let mut file = plain::open(journal, Links::Followed, plain::JOURNAL_MOST).map_err(|e| {
        let what = format!("`{}`: {e}", journal.display());
        Failure::usage(what, "name a journal or the folder of a run, such as runs/latest")
    })?;
    let played = Played::read(BufReader::with_capacity(1 << 18, &file)).map_err(|e| refused(journal, &e))?;
    let mut report = played.report();
    let again = file.rewind().and_then(|()| report.cite(BufReader::with_capacity(1 << 18, &file)));
    again.map_err(|e| refused(journal, &JournalError::Io(e)))?;
    let exit = match (report.verdict, played.ending()) {
        // A miss that was proved stays one, however the drill ended.
        (Verdict::Fail, _) => Exit::Fail,
        (_, Some(Ending::Environment)) => Exit::Environment,
        (Verdict::Unknown, _) => Exit::Unknown,
        (Verdict::Pass, _) => Exit::Pass,
    };
    Ok(Judged { report, exit })
}

fn refused(journal: &Path, error: &JournalError) -> Failure {
    let what = format!("{}: {error}", journal.display());
    match error {
        JournalError::Io(_) => {
            Failure::environment(what, "check the disk, and whether this is a journal.jsonl")
        }
        JournalError::Garbled { .. }
        | JournalError::Broken { .. }
        | JournalError::Trailing { .. }
        | JournalError::Empty => {
            Failure::evidence(what, "go back to an untouched copy; what is in this one proves nothing")
        }
    }
}
