//! `gameday index`: files of vectors become index files that hnswlib and FAISS open, and such files are verified.

mod build;
mod convert;
mod file;
mod notes;
mod verify;
mod watch;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use index_files::{FileError, Format, Options, Table};
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure};

/// Build index files for hnswlib and FAISS from files of vectors; verify and convert them
#[derive(Args)]
pub(crate) struct Index {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Build(Box<build::Build>),
    Verify(Box<verify::Verify>),
    Convert(convert::Convert),
}

impl Index {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Build(command) => command.run(),
            Command::Verify(command) => command.run(),
            Command::Convert(command) => command.run(),
        }
    }
}

/// A kind of index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
enum Kind {
    /// A graph
    Hnsw,
    /// Lists of whole vectors
    IvfFlat,
    /// Lists of vectors in 8 bits a value
    IvfSq8,
    /// Lists of vectors in a byte a part
    IvfPq,
}

/// How far two vectors are from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Metric {
    /// Squared Euclidean distance
    L2,
    /// Inner product
    Ip,
    /// Cosine: vectors are scaled to length one
    Cosine,
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Layout {
    /// `load_index` of hnswlib opens it
    Hnswlib,
    /// `read_index` of FAISS opens it
    Faiss,
    /// Lists as gameday itself keeps them
    Gameday,
}

/// The word for a value on the command line.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl From<Metric> for ::index::Metric {
    fn from(metric: Metric) -> Self {
        match metric {
            Metric::L2 => Self::L2,
            Metric::Ip => Self::InnerProduct,
            Metric::Cosine => Self::Cosine,
        }
    }
}

impl Kind {
    /// The kind of a spec.
    fn of(kind: ::index::Kind) -> Kind {
        match kind {
            ::index::Kind::Hnsw { .. } => Kind::Hnsw,
            ::index::Kind::IvfFlat { .. } => Kind::IvfFlat,
            ::index::Kind::IvfSq8 { .. } => Kind::IvfSq8,
            ::index::Kind::IvfPq { .. } => Kind::IvfPq,
        }
    }
}

/// Candidates of a search in a graph.
const EF: u32 = 100;

/// How a recall was measured, in words.
fn searched(kind: ::index::Kind) -> String {
    match kind {
        ::index::Kind::Hnsw { .. } => format!("hnswlib's search with an ef of {EF}"),
        ::index::Kind::IvfFlat { nprobe, .. }
        | ::index::Kind::IvfSq8 { nprobe, .. }
        | ::index::Kind::IvfPq { nprobe, .. } => format!("searches with an nprobe of {nprobe}"),
    }
}

/// What a file of vectors does not say by itself.
#[derive(Args, Debug, Clone, Default)]
struct Source {
    /// Format of the vectors [default: by name and first bytes]
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    format: Option<Format>,
    /// Values of a vector, where there is no header to say it (f32)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    dim: Option<u32>,
    /// Which tensor of a .safetensors
    #[arg(long, value_name = "NAME")]
    tensor: Option<String>,
    /// Which column of a .parquet has the vectors
    #[arg(long, value_name = "NAME", conflicts_with = "tensor")]
    column: Option<String>,
    /// Which column of a .parquet has the ids [default: rows are numbered]
    #[arg(long, value_name = "NAME")]
    id_column: Option<String>,
    /// A .npy of whole numbers, an id for each row
    #[arg(long, value_name = "FILE", conflicts_with = "id_column")]
    ids: Option<PathBuf>,
}

/// The format of that name.
pub(crate) fn format(text: &str) -> Result<Format, String> {
    let known = || format!("known are {}", Format::ALL.map(Format::name).join(", "));
    Format::ALL.into_iter().find(|format| format.name() == text).ok_or_else(known)
}

impl Source {
    fn open(&self, path: &Path) -> Result<Table, Failure> {
        let options = Options {
            format: self.format,
            dim: self.dim.map(|dim| dim as usize),
            name: self.tensor.clone().or_else(|| self.column.clone()),
            id_column: self.id_column.clone(),
            ids: self.ids.clone(),
        };
        index_files::open(path, &options).map_err(refused)
    }
}

/// Files that cannot be taken are a mistake of whoever named them. Their texts end with the remedy.
fn refused(error: FileError) -> Failure {
    let text = error.to_string();
    match text.rsplit_once("; ") {
        Some((what, remedy)) => Failure::usage(what, remedy),
        None => Failure::usage(text, "name another file, or write it anew"),
    }
}

impl From<::index::BuildError> for Failure {
    fn from(error: ::index::BuildError) -> Self {
        match error {
            ::index::BuildError::Cancelled => stopped(),
            other => Failure::usage(other.to_string(), "see `gameday index build --help`"),
        }
    }
}

/// Somebody asked to stop.
fn stopped() -> Failure {
    Failure::unknown("it was stopped before it was done", "start it again: nothing was left behind")
}
