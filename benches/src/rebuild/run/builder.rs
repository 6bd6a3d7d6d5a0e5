//! Inside a process that builds or searches for us: the program itself, started with a hidden word.
//!
//! Its answer is a line of JSON on stdout, as that of `peer.py`.

use std::{
    error::Error,
    ffi::OsString,
    fs::{self, File},
    io::Write as _,
    ops::ControlFlow,
    path::Path,
    process::ExitCode,
    time::Instant,
};

use index::{Index, IndexSpec, Kind as IndexKind, Vectors};
use rustix::{
    process::{Signal, set_parent_process_death_signal},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use serde::{Deserialize, Serialize};

use super::{
    noise::Clock,
    recall::{K, Truth},
};
use crate::rebuild::{
    contender::{Engine, Kind, Searcher, nlist, parts},
    data::{KEPT, Metric, read_rows, sha256_of},
    result::BuildFigures,
};

/// `DATA FILE DIM THREADS SEARCHER KIND ENGINE METRIC` builds a file for that searcher.
pub(super) const BUILD: &str = "__bench-build";
/// `DIM THREADS` starts the OpenCL engine, and says how long it took.
pub(super) const START: &str = "__bench-start";
/// `DATA FILE DIM KIND SETTINGS METRIC` searches with our own searcher.
pub(super) const SEARCH: &str = "__bench-search";

/// How a builder that failed ends.
const FAILED: u8 = 3;
/// Of every graph; see `Contender::params`.
const EF_CONSTRUCTION: u32 = 200;

/// One setting of a searcher, as `peer.py` answers it too.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Setting {
    pub(super) setting: u32,
    pub(super) recall: f64,
    pub(super) qps: f64,
}

/// Builds or searches, if these are the arguments of a builder; `None` if they are a person's.
pub fn hidden_main(args: &[OsString]) -> Option<ExitCode> {
    let words: Vec<&str> = args.iter().filter_map(|a| a.to_str()).collect();
    let done = match words[..] {
        [BUILD, data, file, dim, threads, searcher, kind, engine, metric] => {
            build((Path::new(data), Path::new(file)), dim, threads, searcher, (kind, metric), engine)
        }
        [START, dim, threads] => start(dim, threads),
        [SEARCH, data, file, dim, kind, settings, metric] => {
            search(Path::new(data), Path::new(file), dim, (kind, metric), settings)
        }
        [BUILD | START | SEARCH, ..] => Err("wrong arguments".into()),
        _ => return None,
    };
    let said = done.and_then(|line| Ok(writeln!(std::io::stdout(), "{line}")?));
    Some(match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Whoever started us reads it; if nobody does, nobody is there.
            let _ = writeln!(std::io::stderr(), "{why}");
            ExitCode::from(FAILED)
        }
    })
}

type Line = Result<String, Box<dyn Error>>;

/// What is answered instead of figures where another engine built than the one that was asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FellBack {
    /// Why.
    pub(super) fell_back: String,
}

/// How long the OpenCL engine took to start, and as what.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Started {
    pub(super) name: String,
    pub(super) seconds: f64,
}

fn start(dim: &str, threads: &str) -> Line {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    keep_to(threads.parse()?)?;
    let index::opencl::Start { name, device, programs } =
        index::opencl::start(dim.parse()?, EF_CONSTRUCTION)?;
    Ok(serde_json::to_string(&Started { name, seconds: (device + programs).as_secs_f64() })?)
}

fn build(
    (data, file): (&Path, &Path),
    dim: &str,
    threads: &str,
    searcher: &str,
    (kind, metric): (&str, &str),
    engine: &str,
) -> Line {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    keep_to(threads.parse()?)?;
    let for_faiss = searcher == Searcher::Faiss.word();
    let (kind, metric) = kind_and_metric(kind, metric)?;
    let dim: usize = dim.parse()?;
    let base = read_rows(&data.join("base.f32"))?;
    let ids: Vec<u64> = (0..(base.len() / dim) as u64).collect();

    let named = Engine::ALL.into_iter().find(|e| e.word() == engine).ok_or("no such engine")?;
    let engine = if named.opencl() { index::Engine::OpenCl } else { index::Engine::Cpu };
    let clock = Clock::start();
    let vectors = Vectors::new(dim, &ids, &base)?;
    let spec = spec((kind, metric), ids.len(), dim, 64);
    let index = index::build(vectors, &spec, engine, &mut |_| ControlFlow::Continue(()))?;
    let built = Instant::now();
    if for_faiss {
        let mut out = File::create(file)?;
        index.write_faiss(&mut out)?;
        out.sync_all()?;
    } else {
        index::save(&index, file)?;
    }
    let write_seconds = built.elapsed().as_secs_f64();
    let passed = clock.stop();
    let ran = index.ran().ok_or("nobody says who built it")?;
    if ran.engine != engine {
        let fell_back = ran.note.clone().unwrap_or_else(|| format!("{} built it", ran.engine));
        return Ok(serde_json::to_string(&FellBack { fell_back })?);
    }

    let written = sha256_of(file)?;
    Ok(serde_json::to_string(&BuildFigures {
        seconds: passed.seconds,
        write_seconds,
        cpu_seconds: passed.cpu_seconds,
        foreign_seconds: passed.foreign_seconds,
        stolen_seconds: passed.stolen_seconds,
        peak_bytes: passed.peak_bytes,
        before_bytes: passed.before_bytes,
        file_bytes: written.bytes,
        file_digest: written.sha256,
        ran: Some(match &ran.note {
            Some(note) => format!("{}, {}; {note}", ran.engine, ran.tier),
            None => format!("{}, {}", ran.engine, ran.tier),
        }),
    })?)
}

/// Lets this process use so many of the processors that it may use: an engine takes all that it is given.
fn keep_to(threads: usize) -> Result<(), Box<dyn Error>> {
    let all = sched_getaffinity(None)?;
    let mut some = CpuSet::new();
    (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).take(threads.max(1)).for_each(|cpu| some.set(cpu));
    Ok(sched_setaffinity(None, &some)?)
}

/// What the contenders build (see `Contender::params`), searched with `setting`.
fn spec((kind, metric): (Kind, Metric), n: usize, dim: usize, setting: u32) -> IndexSpec {
    let nlist = nlist(n);
    let nprobe = setting.min(nlist);
    let kind = match kind {
        Kind::Hnsw => IndexKind::Hnsw { m: 16, ef_construction: EF_CONSTRUCTION, ef: setting },
        Kind::IvfFlat => IndexKind::IvfFlat { nlist, nprobe },
        Kind::IvfSq8 => IndexKind::IvfSq8 { nlist, nprobe },
        Kind::IvfPq => IndexKind::IvfPq { nlist, nprobe, m: parts(dim) },
    };
    IndexSpec { kind, metric: metric.into(), seed: 0 }
}

fn kind_and_metric(kind: &str, metric: &str) -> Result<(Kind, Metric), Box<dyn Error>> {
    let kind = Kind::ALL.into_iter().find(|k| k.name() == kind).ok_or("no such kind")?;
    Ok((kind, Metric::ALL.into_iter().find(|m| m.name() == metric).ok_or("no such metric")?))
}

fn search(data: &Path, file: &Path, dim: &str, (kind, metric): (&str, &str), settings: &str) -> Line {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let (kind, metric) = kind_and_metric(kind, metric)?;
    let dim: usize = dim.parse()?;
    let n = usize::try_from(fs::metadata(data.join("base.f32"))?.len())? / 4 / dim;
    let queries = read_rows(&data.join("queries.f32"))?;
    let truth = Truth::read(data, (dim, metric), &queries, KEPT.min(n))?;
    let bytes = fs::read(file)?;
    let mut all = Vec::new();
    for setting in settings.split(',') {
        let setting: u32 = setting.parse()?;
        let index = Index::from_bytes(&bytes, &spec((kind, metric), n, dim, setting))?;
        let began = Instant::now();
        let found: Result<Vec<_>, _> =
            queries.chunks_exact(dim).map(|query| index.search(query, K, &|_| true)).collect();
        let (found, seconds) = (found?, began.elapsed().as_secs_f64());
        let ids = |of: Vec<index::Neighbor>| of.iter().map(|n| n.id).collect::<Vec<u64>>();
        let recall = truth.recall(found.into_iter().map(ids));
        all.push(Setting { setting, recall, qps: (queries.len() / dim) as f64 / seconds.max(1e-9) });
    }
    Ok(serde_json::to_string(&[all])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_s_arguments_are_left_alone() {
        assert!(hidden_main(&["run".into(), "x.toml".into()]).is_none());
        assert!(hidden_main(&[]).is_none());
        assert!(hidden_main(&[BUILD.into()]).is_some());
    }
}
