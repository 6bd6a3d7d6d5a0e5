//! `gameday index convert`: the same index as another library opens it.

use std::path::PathBuf;

use clap::Args;

use super::{
    Kind, Layout, Metric,
    file::{self, Opened},
    notes::{self, Notes},
    watch::Watch,
    word,
};
use crate::{
    exit::{Exit, Failure},
    say,
};

/// Write an index file as another library opens it
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday index convert docs.bin --to faiss --out docs.faiss
  gameday index convert others.bin --metric cosine --to faiss --out others.faiss

Takes graphs in files of hnswlib and FAISS, by whomever they were written, and gameday's own files
of lists. The index is not built anew: vectors, ids and links stay as they are.

Ends with 0 converted, 2 the command line or the file is wrong, 3 no disk, 4 stopped.")]
pub(super) struct Convert {
    /// The index file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How its distances are measured [default: as FILE.json says]
    #[arg(long, value_enum)]
    metric: Option<Metric>,
    /// Whose file it becomes
    #[arg(long, value_enum)]
    to: Layout,
    /// The new file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Convert {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        file::placeable(&self.out, &self.file)?;
        let watch = Watch::new(true)?;
        let opened = Opened::read(&self.file)?;
        let metric = opened.metric(self.metric, &self.file)?;
        if opened.notes.as_ref().is_some_and(|notes| !notes.are_about(opened.sum)) {
            let notes = notes::path(&self.file);
            let what =
                format!("`{}` is not the file that `{}` is about", self.file.display(), notes.display());
            return Err(Failure::usage(
                what,
                "restore it or build it anew; or move the notes away, and say --metric",
            ));
        }
        let index = opened.index(metric).map_err(|error| {
            let what = format!("`{}`: {error}", self.file.display());
            Failure::usage(what, "name a graph of hnswlib or FAISS, or gameday's own file of lists")
        })?;
        file::fits(Kind::of(index.spec().kind), self.to)?;
        let (sum, length) = file::write(&index, self.to, &self.out, &watch)?;
        let known = Notes::of(index.spec(), metric, self.to, (index.len(), index.dim()));
        let notes = Notes {
            sha256: sum.to_string(),
            seed: opened.notes.as_ref().and_then(|notes| notes.seed),
            data_sha256: opened.notes.as_ref().and_then(|notes| notes.data_sha256.clone()),
            recall: opened.notes.as_ref().and_then(|notes| notes.recall),
            ..known
        };
        notes.write(&self.out)?;
        let (out, size) = (self.out.display(), index_files::human(length));
        let (kind, vectors, dim) = (word(notes.kind), notes.vectors, notes.dim);
        say::out(&format!(
            "{kind} of {vectors} x {dim}, {}\n{out}: {size}, for {}, sha256 {sum}\n",
            word(metric),
            word(self.to)
        ))?;
        Ok(Exit::Pass)
    }
}
