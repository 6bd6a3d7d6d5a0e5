//! `gameday index build`: from a file of vectors to an index file, with its notes.

use std::{path::PathBuf, time::Instant};

use clap::Args;
use index::{Checksum, Engine, Index, IndexSpec, Sample, Vectors};
use index_files::{Table, available, human, need};
use serde_json::json;

use super::{EF, Kind, Layout, Metric, Source, file, notes::Notes, refused, searched, watch::Watch, word};
use crate::{
    exit::{Exit, Failure},
    say,
};

/// Searches that measure the recall of lists, and how many neighbours each asks for.
const SEARCHES: usize = 200;
const K: usize = 10;

/// Build an index file from a file of vectors
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday index build vectors.npy --metric cosine --out docs.bin
  gameday index build vectors.npy --metric l2 --to faiss --out docs.faiss --m 32
  gameday index build vectors.parquet --column emb --id-column id --metric ip --out docs.bin
  gameday index build base.fvecs --kind ivf_sq8 --metric l2 --out base.faiss --min-recall 0.9

Takes .npy (f2, f4, f8), .fvecs, .bvecs, .parquet, .safetensors, flat indexes of FAISS, and raw
values (.f32 with --dim). Rows of f32 in .npy, .safetensors and .f32 are mapped and need no memory.

The file is replaced when the new one is whole. Beside it FILE.json says what it is: parameters,
checksums, recall. Recall is that of 200 searches for 10 neighbours: of a graph as hnswlib searches
it with an ef of 100, of lists with --nprobe. The same vectors and options give the same bytes.

Ends with 0 built, 1 recall is below --min-recall (and no file was written), 2 the command line or
the vectors are wrong, 3 no memory or no disk, 4 stopped.")]
pub(super) struct Build {
    /// The vectors
    #[arg(value_name = "DATA")]
    data: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Kind of index
    #[arg(long, value_enum, default_value = "hnsw")]
    kind: Kind,
    /// How distances are measured
    #[arg(long, value_enum)]
    metric: Metric,
    /// Links of a node [default: 16] (hnsw)
    #[arg(long, value_name = "N")]
    m: Option<u32>,
    /// Candidates of a build [default: 200] (hnsw)
    #[arg(long, value_name = "N")]
    ef_construction: Option<u32>,
    /// Lists [default: about 4 times the root of the number of vectors] (ivf_*)
    #[arg(long, value_name = "N")]
    nlist: Option<u32>,
    /// Lists that a search reads [default: an eighth] (ivf_*)
    #[arg(long, value_name = "N")]
    nprobe: Option<u32>,
    /// Parts of a vector, a divisor of its values (ivf_pq)
    #[arg(long, value_name = "N")]
    pq_m: Option<u32>,
    /// Seed of all that is drawn
    #[arg(long, default_value = "0")]
    seed: u64,
    /// What builds it
    #[arg(long, default_value = "cpu", value_parser = ["cpu", "opencl"])]
    engine: String,
    /// Whose file it becomes [default: hnswlib for hnsw, faiss for ivf_*]
    #[arg(long, value_enum)]
    to: Option<Layout>,
    /// The index file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// End with 1, and write nothing, if recall is lower
    #[arg(long, value_name = "SHARE", value_parser = share)]
    min_recall: Option<f64>,
    /// Build even if memory will probably not suffice
    #[arg(long)]
    force: bool,
    /// Say what was built as JSON
    #[arg(long)]
    json: bool,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
}

/// A share, from 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is a number from 0 to 1".to_owned())
}

/// What was built, and what is to be said about it.
struct Built {
    index: Index,
    notes: Notes,
    seconds: f64,
}

impl Build {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let layout = self.to.unwrap_or(if self.kind == Kind::Hnsw { Layout::Hnswlib } else { Layout::Faiss });
        file::fits(self.kind, layout)?;
        self.no_stranger()?;
        file::placeable(&self.out, &self.data)?;
        let watch = Watch::new(self.quiet)?;
        watch.begins("reading")?;
        let table = self.source.open(&self.data)?;
        let spec = self.spec(table.len())?;
        self.enough(&spec, &table)?;
        let mut built = self.built(&table, &spec, layout, &watch)?;
        let recall = built.notes.recall.unwrap_or(1.0);
        if let Some(least) = self.min_recall.filter(|least| recall < *least) {
            drop(watch);
            self.tell(&built, None, Some(&format!("recall is below {least}: nothing was written")))?;
            return Ok(Exit::Fail);
        }
        watch.begins("writing")?;
        let (sum, length) = file::write(&built.index, layout, &self.out, &watch)?;
        built.notes.sha256 = sum.to_string();
        built.notes.write(&self.out)?;
        drop(watch);
        self.tell(&built, Some(length), None)?;
        Ok(Exit::Pass)
    }

    /// Refuses options of other kinds, which would be without effect.
    fn no_stranger(&self) -> Result<(), Failure> {
        let lists = self.kind != Kind::Hnsw;
        let options = [
            ("--m", self.m, !lists),
            ("--ef-construction", self.ef_construction, !lists),
            ("--nlist", self.nlist, lists),
            ("--nprobe", self.nprobe, lists),
            ("--pq-m", self.pq_m, self.kind == Kind::IvfPq),
        ];
        match options.into_iter().find(|(_, value, known)| value.is_some() && !known) {
            None => Ok(()),
            Some((name, ..)) => {
                let what = format!("{name} has no meaning for {}", word(self.kind));
                Err(Failure::usage(what, "leave it out, or choose another --kind"))
            }
        }
    }

    fn spec(&self, n: usize) -> Result<IndexSpec, Failure> {
        let usual = match IndexSpec::ivf_flat(n).kind {
            index::Kind::IvfFlat { nlist, .. } => nlist,
            _ => 1,
        };
        let nlist = self.nlist.unwrap_or(usual);
        let nprobe = self.nprobe.unwrap_or(nlist.div_ceil(8).max(nlist.min(4)));
        let kind = match (self.kind, self.pq_m) {
            (Kind::Hnsw, _) => index::Kind::Hnsw {
                m: self.m.unwrap_or(16),
                ef_construction: self.ef_construction.unwrap_or(200),
                ef: EF,
            },
            (Kind::IvfFlat, _) => index::Kind::IvfFlat { nlist, nprobe },
            (Kind::IvfSq8, _) => index::Kind::IvfSq8 { nlist, nprobe },
            (Kind::IvfPq, Some(m)) => index::Kind::IvfPq { nlist, nprobe, m },
            (Kind::IvfPq, None) => {
                let remedy = "say it with --pq-m: a divisor of the number of values, such as a quarter of it";
                return Err(Failure::usage("ivf_pq does not know how many parts a vector has", remedy));
            }
        };
        let spec = IndexSpec { kind, metric: self.metric.into(), seed: self.seed };
        spec.validate()
            .map_err(|error| Failure::usage(error.to_string(), "see `gameday index build --help`"))?;
        Ok(spec)
    }

    /// Refuses a build that this machine has no memory for: the kernel would end it an hour later, and others with it.
    fn enough(&self, spec: &IndexSpec, table: &Table) -> Result<(), Failure> {
        let needed = need(spec, table.len(), table.dim(), table.mapped());
        let Some(there) = available().filter(|there| *there < needed && !self.force) else { return Ok(()) };
        let what = format!("it needs about {}, {} are available", human(needed), human(there));
        let remedy = match self.kind {
            Kind::Hnsw | Kind::IvfFlat => {
                "use --kind ivf_sq8, or a machine with more memory; --force tries it"
            }
            Kind::IvfSq8 | Kind::IvfPq => "use a machine with more memory; --force tries it",
        };
        Err(Failure::environment(what, remedy))
    }

    fn built(
        &self,
        table: &Table,
        spec: &IndexSpec,
        layout: Layout,
        watch: &Watch,
    ) -> Result<Built, Failure> {
        let vectors = table.vectors().map_err(refused)?;
        let data_sum = Checksum::of_file(&self.data).map_err(|error| {
            let what = format!("`{}` cannot be read any more: {error}", self.data.display());
            Failure::environment(what, "leave it alone while it is read")
        })?;
        watch.begins("building")?;
        let engine = if self.engine == "opencl" { Engine::OpenCl } else { Engine::Cpu };
        let began = Instant::now();
        let index = index::build(vectors, spec, engine, &mut |share| watch.at(share))?;
        let seconds = began.elapsed().as_secs_f64();
        let recall = match index.ran().and_then(|ran| ran.recall) {
            Some(recall) => recall,
            None => self.asked(&index, vectors, watch)?,
        };
        let mut notes = Notes::of(spec, self.metric, layout, (table.len(), table.dim()));
        notes.data_sha256 = Some(data_sum.to_string());
        notes.recall = Some(recall);
        Ok(Built { index, notes, seconds })
    }

    /// The recall of lists, which their build does not measure.
    fn asked(&self, index: &Index, vectors: Vectors<'_>, watch: &Watch) -> Result<f64, Failure> {
        watch.begins("searching")?;
        let metric = self.metric.into();
        let sample =
            Sample::drawn(vectors, metric, K, SEARCHES, self.seed, &mut |share| watch.at(share / 2.0))?;
        let search = |query: &[f32], k| index.search(query, k, &|_| true).unwrap_or_default();
        let found = sample.ask(search, &mut |share| watch.at(0.5 + share / 2.0))?;
        Ok(found.recall)
    }

    /// Says what was built; `length` is that of the file, if one was written.
    fn tell(&self, built: &Built, length: Option<u64>, fault: Option<&str>) -> Result<(), Failure> {
        let Built { index, notes, seconds } = built;
        let searched = searched(index.spec().kind);
        let ran = index.ran();
        let by = ran.map(|ran| format!("{}, {}", ran.engine, ran.tier)).unwrap_or_default();
        let remarks = ran.and_then(|ran| ran.note.clone()).into_iter().chain(self.remark(notes));
        let remarks: Vec<String> = remarks.chain(fault.map(str::to_owned)).collect();
        if self.json {
            let file = length.map(|_| &self.out);
            let about = json!({"file": file, "bytes": length, "seconds": seconds, "built_by": by,
                "recall_by": searched, "notes": notes, "remarks": remarks});
            return say::out(&format!("{about:#}\n"));
        }
        let mut text = format!(
            "{} of {} x {}, {}: {seconds:.2} s by {by}\n",
            word(notes.kind),
            notes.vectors,
            notes.dim,
            word(notes.metric),
        );
        if let Some(length) = length {
            let (file, layout) = (self.out.display(), word(notes.layout));
            text += &format!("{file}: {}, for {layout}, sha256 {}\n", human(length), notes.sha256);
        }
        text += &format!("recall@{K} {:.4} by {searched}\n", notes.recall.unwrap_or_default());
        remarks.iter().for_each(|remark| text += &format!("note: {remark}\n"));
        say::out(&text)
    }

    /// What users of the file must know.
    fn remark(&self, notes: &Notes) -> Option<String> {
        let scaled = notes.layout == Layout::Faiss && self.metric == Metric::Cosine;
        scaled.then(|| {
            "FAISS has no cosine: this is the inner product of vectors of length one, so scale queries".into()
        })
    }
}
