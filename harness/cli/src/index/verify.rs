//! `gameday index verify`: is an index file whole, is everything in it found, and is it about these vectors?

use std::path::{Path, PathBuf};

use clap::Args;
use index::{Index, Sample, Vectors};
use index_files::Table;
use serde::Serialize;

use super::{
    EF, Kind, Metric, Source, build::share, file::Opened, notes, refused, searched, watch::Watch, word,
};
use crate::{
    exit::{Exit, Failure},
    say,
};

/// Searches for neighbours, and how many each asks for.
const SEARCHES: usize = 200;
const K: usize = 10;

/// Values of vectors that were scaled may differ so much from ours.
const ROUNDING: f64 = 1e-6;

/// Check an index file: whole, all of it within reach, and of these vectors
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday index verify docs.bin                        structure, checksum, reach, recall
  gameday index verify docs.bin --data vectors.npy     and whether it is of these vectors
  gameday index verify others.bin --metric cosine      a file that hnswlib or FAISS wrote
  gameday index verify docs.bin --queries asked.npy    recall of your own queries

Takes graphs in files of hnswlib and FAISS, by whomever they were written, and gameday's own files
of lists. FILE.json, if it is there, says the metric and the checksum.

  structure  the file loads: header, links, ids and values make sense
  checksum   it is the file that FILE.json is about
  reach      every vector is reached from the entry, and from all of layer 1, where hnswlib and
             FAISS may start
  vectors    ids and values are those of DATA, bit by bit; under cosine within 1e-6
  recall     of 200 vectors, or of all --queries, the ten true neighbours are found

Ends with 0 all is well, 1 something is not, 2 the command line or a file is wrong, 4 stopped.")]
pub(super) struct Verify {
    /// The index file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The vectors it was built from
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
    /// Vectors to search for [default: 200 of those in the index]
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// How distances are measured [default: as FILE.json says]
    #[arg(long, value_enum)]
    metric: Option<Metric>,
    /// The least recall that is well
    #[arg(long, value_name = "SHARE", default_value = "0.9", value_parser = share)]
    min_recall: f64,
    /// Say what was found as JSON
    #[arg(long)]
    json: bool,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
}

/// What was found about one thing.
#[derive(Debug, Serialize)]
struct Line {
    check: &'static str,
    /// `None` where it could not be looked at.
    ok: Option<bool>,
    words: String,
}

impl Line {
    fn new(check: &'static str, ok: bool, words: impl Into<String>) -> Line {
        Line { check, ok: Some(ok), words: words.into() }
    }

    fn skipped(check: &'static str, words: impl Into<String>) -> Line {
        Line { check, ok: None, words: words.into() }
    }
}

impl Verify {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let watch = Watch::new(self.quiet)?;
        watch.begins("reading")?;
        let opened = Opened::read(&self.file)?;
        let metric = opened.metric(self.metric, &self.file)?;
        let checksum = checksum(&opened, &self.file);
        let lines = match opened.index(metric) {
            Ok(index) => {
                // The index has all that is in the file.
                drop(opened);
                self.inside(&index, metric, checksum, &watch)?
            }
            Err(error) => vec![Line::new("structure", false, error.to_string()), checksum],
        };
        drop(watch);
        self.tell(&lines)?;
        Ok(if lines.iter().all(|line| line.ok != Some(false)) { Exit::Pass } else { Exit::Fail })
    }

    fn inside(&self, index: &Index, metric: Metric, sum: Line, watch: &Watch) -> Result<Vec<Line>, Failure> {
        let data = self.data.as_ref().map(|path| self.source.open(path)).transpose()?;
        let data = data.as_ref();
        let mut lines = vec![Line::new("structure", true, words(index, metric)), sum];
        watch.begins("walking")?;
        lines.push(reach(index));
        watch.begins("comparing")?;
        lines.push(vectors(index, metric, data)?);
        watch.begins("searching")?;
        lines.push(self.recall(index, metric, data, watch)?);
        Ok(lines)
    }

    /// Searches beside exact answers, among the data or what is stored.
    fn recall(
        &self,
        index: &Index,
        metric: Metric,
        data: Option<&Table>,
        watch: &Watch,
    ) -> Result<Line, Failure> {
        let among = match (data, index.vectors()) {
            (Some(data), _) => data.vectors().map_err(refused)?,
            (None, Some(stored)) => Vectors::new(index.dim(), index.ids(), stored)
                .map_err(|error| Failure::usage(error.to_string(), "build the index anew"))?,
            (None, None) => return Ok(Line::skipped("recall", "codes are kept, not vectors: say --data")),
        };
        if among.dim() != index.dim() {
            let words = format!("the data have {} values, the index {}", among.dim(), index.dim());
            return Ok(Line::new("recall", false, words));
        }
        let mut half = |share| watch.at(share / 2.0);
        let sample = match &self.queries {
            Some(path) => Sample::of(among, metric.into(), K, queries(path, index.dim())?, &mut half)?,
            None => Sample::drawn(among, metric.into(), K, SEARCHES, 0, &mut half)?,
        };
        let search = |query: &[f32], k| index.search_as_peers(query, k, EF as usize).unwrap_or_default();
        let found = sample.ask(search, &mut |share| watch.at(0.5 + share / 2.0))?;
        let how = searched(index.spec().kind);
        let short = match found.short {
            0 => String::new(),
            short => format!("; {short} searches found fewer than they asked for"),
        };
        let words = format!("recall@{K} {:.4} in {} searches by {how}{short}", found.recall, sample.len());
        Ok(Line::new("recall", found.recall >= self.min_recall && found.short == 0, words))
    }

    fn tell(&self, lines: &[Line]) -> Result<(), Failure> {
        if self.json {
            let ok = lines.iter().all(|line| line.ok != Some(false));
            let about = serde_json::json!({"file": self.file, "ok": ok, "checks": lines});
            return say::out(&format!("{about:#}\n"));
        }
        let line = |line: &Line| {
            let sign = match line.ok {
                Some(true) => "ok",
                Some(false) => "FAIL",
                None => "-",
            };
            format!("{sign:<6}{:<11}{}\n", line.check, line.words)
        };
        say::out(&lines.iter().map(line).collect::<String>())
    }
}

/// What an index is, in words.
fn words(index: &Index, metric: Metric) -> String {
    let kind = index.spec().kind;
    let with = match kind {
        index::Kind::Hnsw { m, ef_construction, .. } => format!("m {m}, ef_construction {ef_construction}"),
        index::Kind::IvfFlat { nlist, .. } | index::Kind::IvfSq8 { nlist, .. } => format!("nlist {nlist}"),
        index::Kind::IvfPq { nlist, m, .. } => format!("nlist {nlist}, pq_m {m}"),
    };
    let (kind, metric) = (word(Kind::of(kind)), word(metric));
    format!("{kind} of {} x {}, {metric}, {with}", index.len(), index.dim())
}

fn checksum(opened: &Opened, file: &Path) -> Line {
    let path = notes::path(file);
    match &opened.notes {
        None => Line::skipped("checksum", format!("there is no {}", path.display())),
        Some(notes) if notes.are_about(opened.sum) => {
            Line::new("checksum", true, format!("{}, as in {}", opened.sum, path.display()))
        }
        Some(notes) => {
            let words = format!("it is {}, in {} is {}", opened.sum, path.display(), notes.sha256);
            Line::new("checksum", false, words)
        }
    }
}

fn reach(index: &Index) -> Line {
    let Some(found) = index.reach() else { return Line::skipped("reach", "lists are read, not walked") };
    let words = match (found.unreached, found.blind) {
        (0, 0) => "every vector is reached from the entry and from all of layer 1".to_owned(),
        (unreached, 0) => format!("{unreached} vectors are not reached from the entry: build it anew"),
        (unreached, blind) => {
            format!(
                "{unreached} vectors are not reached from the entry; from {blind} of layer 1 fewer are: build it anew"
            )
        }
    };
    Line::new("reach", (found.unreached, found.blind) == (0, 0), words)
}

/// Whether ids and values are those of the data.
fn vectors(index: &Index, metric: Metric, data: Option<&Table>) -> Result<Line, Failure> {
    let Some(data) = data else { return Ok(Line::skipped("vectors", "compared with --data only")) };
    let data = data.vectors().map_err(refused)?;
    if (data.len(), data.dim()) != (index.len(), index.dim()) {
        let words = format!(
            "the data are {} x {}, the index is of {} x {}",
            data.len(),
            data.dim(),
            index.len(),
            index.dim()
        );
        return Ok(Line::new("vectors", false, words));
    }
    let mut rows: Vec<usize> = (0..data.len()).collect();
    rows.sort_unstable_by_key(|&row| data.ids()[row]);
    let dim = data.dim();
    for (at, id) in index.ids().iter().enumerate() {
        let Ok(place) = rows.binary_search_by_key(id, |&row| data.ids()[row]) else {
            return Ok(Line::new("vectors", false, format!("id {id} is in the index, and not in the data")));
        };
        let row = &data.data()[rows[place] * dim..][..dim];
        let stored = index.vectors().map(|all| &all[at * dim..][..dim]);
        if stored.is_some_and(|stored| !equal(stored, row, metric)) {
            let words = format!("the vector of id {id} is not row {} of the data", rows[place]);
            return Ok(Line::new("vectors", false, words));
        }
    }
    let how = match (index.vectors(), metric) {
        (None, _) => "the ids are those of the data; of vectors, codes are kept",
        (Some(_), Metric::Cosine) => "ids and vectors are those of the data, scaled to length one",
        (Some(_), Metric::L2 | Metric::Ip) => "ids and vectors are those of the data, bit by bit",
    };
    Ok(Line::new("vectors", true, how))
}

fn equal(stored: &[f32], row: &[f32], metric: Metric) -> bool {
    match metric {
        Metric::L2 | Metric::Ip => stored.iter().zip(row).all(|(a, b)| a.to_bits() == b.to_bits()),
        Metric::Cosine => {
            let square: f64 = row.iter().map(|value| f64::from(*value).powi(2)).sum();
            let length = if square > 0.0 { square.sqrt() } else { 1.0 };
            stored.iter().zip(row).all(|(a, b)| (f64::from(*a) - f64::from(*b) / length).abs() <= ROUNDING)
        }
    }
}

/// Queries of a file, of as many values as the index has.
fn queries(path: &Path, dim: usize) -> Result<Vec<f32>, Failure> {
    let table = Source { dim: u32::try_from(dim).ok(), ..Source::default() }.open(path)?;
    let queries = table.vectors().map_err(refused)?;
    if queries.dim() != dim {
        let what = format!("`{}` has {} values a row, the index {dim}", path.display(), queries.dim());
        return Err(Failure::usage(what, "ask with the model the index was built from"));
    }
    Ok(queries.data().to_vec())
}
