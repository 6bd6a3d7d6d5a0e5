//! `gameday bench history`: a history drawn over time, and its newest run judged by the former ones.

use std::{fs, path::PathBuf};

use benches::rebuild::history::{self, judge, plot};
use clap::Args;

use crate::{
    exit::{Exit, Failure},
    say,
};

/// Draw the figures of many runs over time, and say whether the newest got worse
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday bench index --history nights.jsonl --commit $(git rev-parse --short HEAD)
  gameday bench history nights.jsonl --out nights.svg

Each engine of gameday in the newest run is held against all former runs of the same machine, data
set, parameters, threads and searcher. It is slower if its median is above 1.10 times the median of
theirs and its interval lies above the interval of that median; larger if its peak memory is above
1.10 times theirs, and above their interval; worse if recall at any setting is more than 0.005 below
their median. Peers are shown, never judged.

Ends with 0 nothing got worse, 1 an engine got slower, larger or worse, 2 there is no such history,
3 the picture cannot be written, 4 it cannot be told: fewer than three former runs, a busy machine,
an engine that the newest run lacks, or lines that cannot be read (each is named with its number).")]
pub(crate) struct History {
    /// What `gameday bench index --history` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the picture goes (SVG)
    #[arg(long, value_name = "FILE.svg")]
    out: Option<PathBuf>,
}

impl History {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let history = history::History::read(&self.file)?;
        for (line, what) in &history.garbage {
            say::err(&format!("{}: line {line} cannot be read: {what}\n", self.file.display()));
        }
        if let Some(out) = &self.out {
            fs::write(out, plot(&history)).map_err(|e| {
                let what = format!("`{}` cannot be written: {e}", out.display());
                Failure::environment(what, "free the disk, or name another file with --out")
            })?;
        }
        let verdict = judge(&history);
        say::out(&verdict.text())?;
        if history.entries.is_empty() {
            let what = format!("{} holds no figures", self.file.display());
            return Err(Failure::usage(what, "write some: gameday bench index --history FILE"));
        }
        Ok(match (verdict.regressed(), verdict.unclear()) {
            (true, _) => Exit::Fail,
            (_, true) => Exit::Unknown,
            _ => Exit::Pass,
        })
    }
}
