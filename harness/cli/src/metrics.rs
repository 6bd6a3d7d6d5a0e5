//! `gameday metrics`: what the drills on record say, for Prometheus.

use std::path::PathBuf;

use clap::Args;
use reports::{evidence::replace_file, metrics};

use crate::{
    evidence::{Trust, refused},
    exit::{Exit, Failure},
    say,
};

/// Write what the drills on record say, for Prometheus' textfile collector
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday metrics evidence/
  gameday metrics evidence/ --textfile /var/lib/node_exporter/textfile/gameday.prom

The evidence is verified first and every number rebuilt. Alert rules, their tests and a dashboard lie
in reports/monitoring/. The file is replaced at once; a scrape never sees a part of it.")]
pub(crate) struct Metrics {
    /// The folder of evidence, or a bundle
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    #[command(flatten)]
    trust: Trust,
    /// Replace this file instead of printing
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
}

impl Metrics {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let checked = self.trust.check(&self.folder, true)?;
        if let Some(failure) = refused(&checked, &self.folder) {
            return Err(failure);
        }
        let text = metrics::render(&checked.runs, checked.head.as_ref());
        match &self.textfile {
            None => say::out(&text)?,
            Some(path) => replace_file(path, text.as_bytes()).map_err(|e| {
                let what = format!("`{}` cannot be written: {e}", path.display());
                Failure::environment(what, "name a file in a folder that can be written")
            })?,
        }
        Ok(Exit::Pass)
    }
}
