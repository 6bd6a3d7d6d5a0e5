//! `gameday bench index`: the options, the run, and the files that it leaves.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use benches::rebuild::{
    compare::{Comparison, compare},
    contender::{Contender, Engine, Kind, Peer},
    data::Wanted,
    history,
    plot::plot,
    result::Results,
    run::{self, OpenCl, Plan, Progress, Python},
    table::{curves, table},
};
use clap::{Args, builder::PossibleValuesParser};

use super::{data::Data, view::View};
use crate::{
    exit::{Exit, Failure},
    say,
    stop::Stop,
};

/// Build every index with every engine and peer, and compare time, memory and recall
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday bench index --quick                     20,000 vectors: does it work, about a minute
  gameday bench index                             this machine: every engine and peer side by side
  gameday bench index --json last.json            keep the figures
  gameday bench index --baseline last.json        ends with 1 if a rebuild got slower or recall fell
  gameday bench index --data wordnet-384 --peer hnswlib --rounds 9
  gameday bench index --history nights.jsonl      keep the figures of every night in one file
  gameday bench index --data my.npy --queries q.npy --metric cosine
                                                  your own vectors: who builds them fastest, how well
  gameday bench index --rounds 1 --searches 9     queries a second rather than builds
  gameday bench index --scale --peer none         how build time grows from 10k to 1M vectors

A build is timed from vectors in memory to a synced file, in a process of its own, whatever it
has to compile on the way included. Rounds are interleaved; medians count. The files are then
searched by the peer's own searcher, and queries a second compared at recall@10 of .95, .97, .99.

Your own vectors may be .npy, .fvecs, .bvecs, .parquet, .safetensors, a flat index of FAISS, or raw
values (.f32 with --dim). Without --queries a tenth of the rows, at most 1,000, is drawn with a
fixed seed and held out: it is in no index, and is what is asked. Exact neighbours are found once
and kept in GAMEDAY_CACHE, by the contents of the files, with a copy of the vectors.

A rebuild is slower if the ratio of the medians is above 1.10 and their intervals are disjoint;
an index is worse if recall fell by more than 0.005 at any setting. Times of another machine are
not compared, recall is.

Ends with 0 measured (and as good as the baseline), 1 slower or worse than the baseline, 2 the
command line or the baseline is wrong, 3 the environment or one of our own engines failed,
4 stopped, or it could not be told: a busy machine, another one, or not all that is in the
baseline was measured the same way.")]
pub(crate) struct Index {
    #[command(flatten)]
    data: Data,
    /// Engines of gameday; `none` leaves them out [default: all that are there]
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', value_parser = words(&Engine::ALL.map(Engine::word)))]
    engine: Vec<String>,
    /// Peers; `none` leaves them out [default: all but pynndescent, which compiles itself in every build]
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', value_parser = words(&Peer::ALL.map(Peer::word)))]
    peer: Vec<String>,
    /// Kinds of index [default: all that an engine of gameday builds]
    #[arg(long, value_name = "KIND", num_args = 1.., value_delimiter = ',', value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name)))]
    kind: Vec<String>,
    /// How often each is built [default: 5; with --quick 3, with --scale 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// How often the files of a round are searched, each time read anew and in another order
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    searches: u32,
    /// Few settings, and a small data set unless --data names others
    #[arg(long, conflicts_with = "scale")]
    quick: bool,
    /// How build time grows: 10k, 100k and 1M vectors
    #[arg(long, conflicts_with = "data")]
    scale: bool,
    /// Threads of a build [default: all processors]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Give a build up after this long
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    limit: Duration,
    /// Write the figures here too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compare with an earlier run's figures
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Add a line for each figure to this file, for `gameday bench history`
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// What the lines of the history say was measured, such as a commit
    #[arg(long, value_name = "TEXT", requires = "history")]
    commit: Option<String>,
    /// Where figures, table and plot are kept, in a folder of the run
    #[arg(long, value_name = "FOLDER", default_value = "runs/bench")]
    out: PathBuf,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
}

/// The words, and `none`.
fn words(all: &[&'static str]) -> PossibleValuesParser {
    PossibleValuesParser::new(all.iter().copied().chain(["none"]))
}

impl Index {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        // A baseline that cannot be read is found out now, not after an hour.
        let baseline = self.baseline.as_deref().map(Results::read).transpose()?;
        let sets = self.data.wanted(self.quick, self.scale)?;
        if let Some(path) = &self.history {
            history::append(path, &[]).map_err(|e| unwritten(path, &e))?;
        }
        let folder = folder(&self.out)?;
        let done = self.measure(sets, baseline.as_ref(), &folder);
        if done.is_err() {
            // Nothing is in it, or what says why.
            let _ = fs::remove_dir(&folder);
        }
        done
    }

    fn measure(&self, sets: Vec<Wanted>, baseline: Option<&Results>, folder: &Path) -> Result<Exit, Failure> {
        let stop = Stop::listen()?;
        let view = View::new(self.quiet);
        let cache = run::cache()?;
        let threads = self.threads.unwrap_or_else(processors);
        let mut skipped = Vec::new();
        let mut skip = |what: &str, remedy: &str| {
            view.show(Progress::Note(&format!("SKIPPED {what} (remedy: {remedy})")));
            skipped.push(what.to_owned());
        };
        let mut engines = chosen(&self.engine, &Engine::ALL, Engine::word);
        let (peers, python) = self.peers((&cache, threads), &stop, &mut skip)?;
        if python.is_none() {
            // Nobody here reads what it would write.
            engines.retain(|e| *e != Engine::CpuFaiss);
        }
        let kinds = match self.kind.is_empty() {
            true => Kind::ALL.to_vec(),
            false => Kind::ALL.into_iter().filter(|k| self.kind.iter().any(|w| w == k.name())).collect(),
        };
        let program = std::env::current_exe().map_err(|e| {
            Failure::environment(format!("this program cannot find itself: {e}"), "start it by its path")
        })?;
        let rounds = match (self.rounds, self.quick, self.scale) {
            (Some(rounds), ..) => rounds,
            (_, true, _) => 3,
            (_, _, true) => 1,
            _ => 5,
        };
        let mut opencl = None;
        let dim = sets.first().map_or(128, Wanted::dim);
        if engines.iter().any(|e| e.opencl()) {
            let start = (program.as_path(), cache.as_path());
            match OpenCl::find(start, (dim, threads), rounds, self.limit, &|| stop.asked())? {
                Ok(found) => {
                    if self.engine.is_empty() && !found.matrix_unit() {
                        // It would be the same engine twice.
                        engines.retain(|e| *e != Engine::OpenClFp32);
                    }
                    opencl = Some(found);
                }
                Err(why) => {
                    skip(
                        &format!("engine opencl: {why}"),
                        "cargo build --release -p index-opencl; gameday doctor",
                    );
                    engines.retain(|e| !e.opencl());
                }
            }
        }
        let contenders = Contender::all(&engines, &peers, &kinds);
        if contenders.is_empty() {
            return Err(Failure::usage(
                "nobody is left who could build an index",
                "name an engine or a peer that builds this kind, or make the peers: gameday bench setup",
            ));
        }
        let plan = Plan {
            sets,
            contenders,
            rounds,
            searches: self.searches,
            threads,
            quick: self.quick,
            limit: self.limit,
            program,
            cache,
            skipped,
            opencl,
        };
        let results = run::run(&plan, python.as_ref(), &mut |p| view.show(p), &|| stop.asked())?;
        drop(view);
        let compared = baseline.map(|then| compare(&results, then)).transpose();
        let text = match &compared {
            Ok(Some(comparison)) => format!("{}\n{}", table(&results), comparison.text()),
            _ => table(&results),
        };
        self.keep(folder, &results, &text)?;
        say::out(&text)?;
        say::out(&format!("\nkept in {}: index.json, index.txt, index.svg, curves.csv\n", folder.display()))?;
        Ok(exit(&results, compared?.as_ref()))
    }

    /// The peers that are there, and the Python of theirs; what is missing is told to `skip`.
    fn peers(
        &self,
        (cache, threads): (&Path, u32),
        stop: &Stop,
        skip: &mut dyn FnMut(&str, &str),
    ) -> Result<(Vec<Peer>, Option<Python>), Failure> {
        let by_default = || Peer::ALL.into_iter().filter(|peer| peer.by_default()).collect();
        let named = || chosen(&self.peer, &Peer::ALL, Peer::word);
        let mut peers = if self.peer.is_empty() { by_default() } else { named() };
        let mut python = match Python::find(cache, threads, &|| stop.asked()) {
            Ok(python) => python,
            // Their searchers are of use all the same, if they are there.
            Err(_) if peers.is_empty() => return Ok((peers, None)),
            Err(why) if stop.asked() => return Err(why.into()),
            Err(why) => {
                skip(&why.what, &why.remedy);
                return Ok((Vec::new(), None));
            }
        };
        let mut there = Vec::new();
        for peer in peers.drain(..) {
            match peer.may_be_missing().then(|| python.also(peer, &|| stop.asked())) {
                Some(Err(why)) if stop.asked() => return Err(why.into()),
                Some(Err(why)) => skip(&why.what, &why.remedy),
                Some(Ok(())) | None => there.push(peer),
            }
        }
        Ok((there, Some(python)))
    }

    fn keep(&self, folder: &Path, results: &Results, text: &str) -> Result<(), Failure> {
        let json = results.to_json();
        let files = [
            ("index.json", json.clone()),
            ("index.txt", text.to_owned()),
            ("index.svg", plot(results)),
            ("curves.csv", curves(results)),
        ];
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|e| unwritten(&path, &e))?;
        }
        if let Some(path) = &self.history {
            let lines = history::entries(results, self.commit.as_deref());
            history::append(path, &lines).map_err(|e| unwritten(path, &e))?;
        }
        self.json.as_ref().map_or(Ok(()), |path| fs::write(path, json).map_err(|e| unwritten(path, &e)))
    }
}

/// Those that were named, or all.
fn chosen<T: Copy>(named: &[String], all: &[T], word: impl Fn(T) -> &'static str) -> Vec<T> {
    if named.is_empty() {
        return all.to_vec();
    }
    all.iter().copied().filter(|t| named.iter().any(|n| n == word(*t))).collect()
}

/// How the program ends: what got worse comes first, then what failed, then what could not be told.
fn exit(results: &Results, compared: Option<&Comparison>) -> Exit {
    let mut ours = results.sets.iter().flat_map(|s| &s.contenders).filter(|c| c.ours);
    if compared.is_some_and(Comparison::regressed) {
        Exit::Fail
    } else if ours.any(|c| c.failed.is_some()) || results.sets.is_empty() {
        Exit::Environment
    } else if compared.is_some_and(Comparison::unclear) {
        Exit::Unknown
    } else {
        Exit::Pass
    }
}

fn processors() -> u32 {
    thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

/// A folder of this run.
fn folder(out: &Path) -> Result<PathBuf, Failure> {
    let started = harness::time::wall_millis(SystemTime::now())
        .map_err(|e| Failure::environment(e.to_string(), "set the clock: figures carry their time"))?;
    let compact: String = started.chars().filter(char::is_ascii_alphanumeric).collect();
    let path = out.join(compact);
    fs::create_dir_all(&path).map_err(|e| {
        let what = format!("no figures can be kept in `{}`: {e}", path.display());
        Failure::usage(what, "choose a folder that can be written with --out")
    })?;
    Ok(path)
}

fn unwritten(path: &Path, e: &io::Error) -> Failure {
    Failure::environment(
        format!("`{}` cannot be written: {e}", path.display()),
        "free the disk, or choose another",
    )
}
