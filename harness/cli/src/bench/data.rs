//! Which data sets `gameday bench index` measures: ours by name, a user's own by file.

use std::path::{Path, PathBuf};

use benches::rebuild::data::{self, Metric, Own, OwnFiles, Wanted};
use clap::{Args, ValueEnum};
use index_files::Options;

use crate::exit::Failure;

/// What is indexed and asked.
#[derive(Args)]
pub(super) struct Data {
    /// Data sets by name (clustered-128, clustered-768, glove-100, wordnet-384, quick, tiny, scale-10k, scale-100k,
    /// scale-1m), or a file of your own vectors [default: the clustered ones, and the real ones that were fetched]
    #[arg(long, value_name = "NAME|FILE", num_args = 1.., value_delimiter = ',')]
    data: Vec<String>,
    /// Your queries, in a file of the same dimension [default: a tenth of your rows, at most 1,000, is held out]
    #[arg(long, value_name = "FILE", requires = "data")]
    queries: Option<PathBuf>,
    /// How distances of your vectors are measured; under cosine they are scaled to length one first [default: l2]
    #[arg(long, value_enum, requires = "data")]
    metric: Option<Measure>,
    /// Values of one of your vectors, where there is no header to say it (.f32)
    #[arg(long, value_name = "N", requires = "data", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    dim: Option<u32>,
    /// Which column of a .parquet has your vectors
    #[arg(long, value_name = "NAME", requires = "data")]
    column: Option<String>,
    /// Which tensor of a .safetensors has your vectors
    #[arg(long, value_name = "NAME", requires = "data", conflicts_with = "column")]
    tensor: Option<String>,
    /// Format of your vectors [default: by name and first bytes]
    #[arg(long, value_name = "FORMAT", requires = "data", value_parser = crate::index::format)]
    format: Option<index_files::Format>,
}

/// How far two vectors are from each other; without texts of their own, so that the help stays short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    L2,
    Cosine,
    Ip,
}

impl Data {
    /// Whether sets were named.
    fn named(&self) -> bool {
        !self.data.is_empty()
    }

    /// The sets, in the order of the table. Files are looked at now, not after an hour of other sets.
    pub(super) fn wanted(&self, quick: bool, scale: bool) -> Result<Vec<Wanted>, Failure> {
        let by_default = |s: &&data::Spec| match (quick, scale) {
            (true, _) => s.name == "quick",
            (_, true) => s.name.starts_with("scale-"),
            _ => s.is_real() || s.name.starts_with("clustered-"),
        };
        let known = |s: &&data::Spec| match self.named() {
            true => self.data.iter().any(|name| name == s.name),
            false => by_default(s),
        };
        let mut all: Vec<Wanted> = data::ALL.iter().filter(known).map(Wanted::Known).collect();
        let files: Vec<&Path> =
            self.data.iter().filter(|name| data::find(name).is_none()).map(Path::new).collect();
        self.only_for_files(files.len())?;
        for file in files {
            let own = Own::look(self.own(file)?)?;
            if all.iter().any(|there| there.name() == own.name) {
                let what = format!("two data sets are called {}", own.name);
                return Err(Failure::usage(what, "measure them one after the other, or rename a file"));
            }
            all.push(Wanted::Own(own));
        }
        Ok(all)
    }

    /// Refuses what would be without effect.
    fn only_for_files(&self, files: usize) -> Result<(), Failure> {
        let given = [
            ("--queries", self.queries.is_some()),
            ("--metric", self.metric.is_some()),
            ("--dim", self.dim.is_some()),
            ("--column", self.column.is_some()),
            ("--tensor", self.tensor.is_some()),
            ("--format", self.format.is_some()),
        ];
        let stray = given.iter().find(|(_, given)| *given && files == 0);
        if let Some((option, _)) = stray {
            let what = format!("{option} is for your own vectors, and --data names no file");
            return Err(Failure::usage(what, "name the file with --data, or leave the option out"));
        }
        if self.queries.is_some() && files > 1 {
            let what = format!("--queries belongs to one file of vectors, and --data names {files}");
            return Err(Failure::usage(what, "measure one file at a time, or leave --queries out"));
        }
        Ok(())
    }

    fn own(&self, file: &Path) -> Result<OwnFiles, Failure> {
        if !file.exists() {
            let names: Vec<&str> = data::ALL.iter().map(|s| s.name).collect();
            let what = format!("`{}` is no data set, and there is no such file", file.display());
            let remedy = format!("name a file of vectors, or one of {}", names.join(", "));
            return Err(Failure::usage(what, remedy));
        }
        let metric = match self.metric {
            None | Some(Measure::L2) => Metric::L2,
            Some(Measure::Cosine) => Metric::Cosine,
            Some(Measure::Ip) => Metric::Ip,
        };
        let options = Options {
            format: self.format,
            dim: self.dim.map(|dim| dim as usize),
            name: self.tensor.clone().or_else(|| self.column.clone()),
            ..Options::default()
        };
        Ok(OwnFiles { vectors: file.to_owned(), queries: self.queries.clone(), metric, options })
    }
}
