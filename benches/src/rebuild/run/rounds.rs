//! Who builds when, and what becomes of the files.
//!
//! A round goes over all data sets and lets every contender build once, each round in another order, so that whatever
//! the machine does meanwhile hits all alike. Then the files of that round are searched, all that one searcher reads in
//! one process and in turn, and removed. A contender that failed on a data set is not asked again there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, SystemTime},
};

use super::{
    OpenCl, Python,
    builder::{self, FellBack, Setting},
    child::{self, NoAnswer},
    machine,
};
use crate::rebuild::{
    Trouble,
    contender::{Contender, Engine, Maker, Searcher, nlist},
    data::{self, Set, Wanted},
    result::{BuildFigures, ContenderResult, Results, SCHEMA, SearchFigures, SetResult},
};

/// Names the shape of the OpenCL engine's kernels, and the shape that knows floats alone.
const FLOATS: (&str, &str) = ("GAMEDAY_OPENCL_TIER", "vector");

/// What is asked for.
#[derive(Debug)]
pub struct Plan {
    /// On what.
    pub sets: Vec<Wanted>,
    /// Who.
    pub contenders: Vec<Contender>,
    /// How often.
    pub rounds: u32,
    /// How often the files of a round are searched.
    pub searches: u32,
    /// Threads that a build may use.
    pub threads: u32,
    /// Few settings of the searchers.
    pub quick: bool,
    /// Of one build, or of the searches of one round.
    pub limit: Duration,
    /// The program that builds: this one.
    pub program: PathBuf,
    /// Where data sets are kept, and files while they are searched.
    pub cache: PathBuf,
    /// What is missing already.
    pub skipped: Vec<String>,
    /// The OpenCL engine, where it takes part.
    pub opencl: Option<OpenCl>,
}

/// What is told while it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress<'a> {
    /// A sentence.
    Note(&'a str),
    /// A step begins: its number, how many there are, and what it is.
    Begins(usize, usize, &'a str),
    /// It ended.
    Ended(&'a str),
}

/// Runs the plan.
///
/// # Errors
/// A disk that is full, a data set that cannot be made, or a request to stop. A contender that fails is no error: the
/// result says so.
pub fn run(
    plan: &Plan,
    python: Option<&Python>,
    say: &mut dyn FnMut(Progress<'_>),
    stopped: &dyn Fn() -> bool,
) -> Result<Results, Trouble> {
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let work = Work::new(&plan.cache)?;
    let mut skipped = plan.skipped.clone();
    let mut sets = Vec::new();
    for wanted in &plan.sets {
        match data::prepare(&plan.cache, wanted, &mut |s| say(Progress::Note(s)), stopped) {
            Ok(set) => sets.push(set),
            Err(t) if wanted.is_real() && t != Trouble::stopped() => {
                say(Progress::Note(&format!("SKIPPED {} (remedy: {})", t.what, t.remedy)));
                skipped.push(t.what);
            }
            Err(t) => return Err(t),
        }
    }
    let mut all: Vec<SetResult> = sets.iter().map(|s| empty(s, plan, python.is_some())).collect();
    let steps = plan.rounds as usize * sets.len() * (plan.contenders.len() + 1);
    let mut step = 0;
    for round in 0..plan.rounds as usize {
        for (set, results) in sets.iter().zip(&mut all) {
            let mut files: Vec<Option<PathBuf>> = vec![None; plan.contenders.len()];
            for at in order(plan.contenders.len(), round) {
                let (contender, result) = (plan.contenders[at], &mut results.contenders[at]);
                step += 1;
                if result.failed.is_some() {
                    continue;
                }
                let of = plan.rounds;
                let what = format!("round {}/{of}  {}  {contender}", round + 1, set.name);
                say(Progress::Begins(step, steps, &what));
                let file = work.0.join(format!("{at}.index"));
                let ended = match build(plan, python, set, contender, &file, stopped) {
                    Ok(figures) => {
                        let said = outcome(&figures);
                        result.builds.push(figures);
                        files[at] = Some(file);
                        said
                    }
                    Err(NoAnswer::Stopped) => return Err(Trouble::stopped()),
                    Err(NoAnswer::Failed(why)) => {
                        result.failed = Some(why.clone());
                        format!("FAILED: {why}")
                    }
                };
                say(Progress::Ended(&format!("{what}: {ended}")));
            }
            step += 1;
            let what = format!("round {}/{}  {}  searches", round + 1, plan.rounds, set.name);
            say(Progress::Begins(step, steps, &what));
            for turn in 0..plan.searches as usize {
                searches(plan, python, set, &files, round + turn, results, stopped)?;
            }
            say(Progress::Ended(&format!("{what}: done")));
            for file in files.iter().flatten() {
                remove(file).map_err(|e| disk(file, &e))?;
            }
        }
    }
    Ok(Results {
        schema: SCHEMA.into(),
        gameday: env!("CARGO_PKG_VERSION").into(),
        began,
        machine: machine::here(plan.opencl.as_ref().map(|engine| engine.device.clone())),
        rounds: plan.rounds,
        threads: plan.threads,
        peers: python.map(|p| p.versions.clone()).unwrap_or_default(),
        skipped,
        start: plan.opencl.as_ref().map(|engine| engine.start.clone()),
        sets: all,
    })
}

fn empty(set: &Set, plan: &Plan, python: bool) -> SetResult {
    let one = |c: &Contender| ContenderResult {
        name: c.name(),
        kind: c.kind.name().into(),
        ours: c.ours(),
        params: c.params(set.vectors),
        searcher: Some(c.searcher(python).word().into()),
        builds: Vec::new(),
        searches: Vec::new(),
        failed: None,
    };
    SetResult {
        name: set.name.clone(),
        vectors: set.vectors as u64,
        dim: u32::try_from(set.dim).unwrap_or(u32::MAX),
        queries: u32::try_from(set.queries).unwrap_or(u32::MAX),
        digest: set.digest.clone(),
        own: set.own.clone(),
        contenders: plan.contenders.iter().map(one).collect(),
    }
}

/// The order of a round: it begins one further each time, and every other one runs backwards.
fn order(n: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).map(|i| (i + round) % n).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

fn build(
    plan: &Plan,
    python: Option<&Python>,
    set: &Set,
    contender: Contender,
    file: &Path,
    stopped: &dyn Fn() -> bool,
) -> Result<BuildFigures, NoAnswer> {
    let (data, path) = (words(&set.folder)?, words(file)?);
    let command = match (contender.maker, python) {
        (Maker::Ours(engine), _) => {
            let mut command = Command::new(&plan.program);
            let (dim, threads) = (set.dim.to_string(), plan.threads.to_string());
            let (searcher, kind) = (contender.searcher(python.is_some()).word(), contender.kind.name());
            command.args([builder::BUILD, data, path, &dim, &threads, searcher, kind, engine.word()]);
            command.arg(set.metric.name());
            if engine == Engine::OpenClFp32 {
                command.env(FLOATS.0, FLOATS.1);
            }
            command
        }
        (Maker::Peer(peer), Some(python)) => {
            let (threads, lists) = (plan.threads.to_string(), nlist(set.vectors).to_string());
            python.command(&["build", peer.word(), contender.kind.name(), data, path, &threads, &lists])
        }
        (Maker::Peer(_), None) => return Err(NoAnswer::Failed("there are no peers here".into())),
    };
    let answer = child::run(command, plan.limit, stopped)?;
    if let Ok(FellBack { fell_back }) = parse(&answer.stdout) {
        return Err(NoAnswer::Failed(format!("fell back: {fell_back}")));
    }
    let mut figures: BuildFigures = parse(&answer.stdout)?;
    figures.peak_bytes = figures.peak_bytes.max(answer.together_bytes);
    Ok(figures)
}

/// Searches the files of a round, and adds what was measured to the result. Where a file comes to lie in memory decides a
/// quarter of its speed, so they are read anew each time, and first those that were not first the time before.
fn searches(
    plan: &Plan,
    python: Option<&Python>,
    set: &Set,
    files: &[Option<PathBuf>],
    turn: usize,
    results: &mut SetResult,
    stopped: &dyn Fn() -> bool,
) -> Result<(), Trouble> {
    let built: Vec<usize> = (0..files.len()).filter(|at| files[*at].is_some()).collect();
    let reader = |at: usize| (plan.contenders[at].searcher(python.is_some()), plan.contenders[at].kind);
    let mut readers: Vec<_> = built.iter().map(|at| reader(*at)).collect();
    readers.sort_unstable();
    readers.dedup();
    for (searcher, kind) in readers {
        let settings = searcher.settings(kind, plan.quick);
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let settings = settings.join(",");
        let mut whose: Vec<usize> =
            built.iter().copied().filter(|at| reader(*at) == (searcher, kind)).collect();
        let first = turn % whose.len();
        whose.rotate_left(first);
        // Our own searcher takes one file at a time.
        let groups: Vec<Vec<usize>> = match searcher {
            Searcher::Gameday => whose.iter().map(|at| vec![*at]).collect(),
            _ => vec![whose],
        };
        for whose in groups {
            let paths: Vec<&Path> = whose.iter().filter_map(|at| files[*at].as_deref()).collect();
            let answer = (|| {
                let data = words(&set.folder)?;
                let paths: Vec<&str> = paths.iter().map(|p| words(p)).collect::<Result<_, _>>()?;
                let command = match (searcher, python) {
                    (Searcher::Gameday, _) => {
                        let mut command = Command::new(&plan.program);
                        let dim = set.dim.to_string();
                        command.args([builder::SEARCH, data, paths[0], &dim, kind.name(), &settings]);
                        command.arg(set.metric.name());
                        command
                    }
                    (_, Some(python)) => {
                        let passes = if plan.quick { "2" } else { "3" };
                        let mut all = vec!["search", searcher.word(), kind.name(), data, passes, &settings];
                        all.extend(paths);
                        python.command(&all)
                    }
                    (_, None) => return Err(NoAnswer::Failed("there is no searcher here".into())),
                };
                parse::<Vec<Vec<Setting>>>(&child::run(command, plan.limit, stopped)?.stdout)
            })();
            match answer {
                Err(NoAnswer::Stopped) => return Err(Trouble::stopped()),
                Err(NoAnswer::Failed(why)) => {
                    for at in whose {
                        let why = format!("{} cannot search it: {why}", searcher.word());
                        results.contenders[at].failed.get_or_insert(why);
                    }
                }
                Ok(found) => {
                    whose.iter().zip(found).for_each(|(at, found)| add(&mut results.contenders[*at], &found));
                }
            }
        }
    }
    Ok(())
}

fn add(result: &mut ContenderResult, found: &[Setting]) {
    for f in found {
        match result.searches.iter_mut().find(|s| s.setting == f.setting) {
            Some(s) => {
                s.recall.push(f.recall);
                s.qps.push(f.qps);
            }
            None => result.searches.push(SearchFigures {
                setting: f.setting,
                recall: vec![f.recall],
                qps: vec![f.qps],
            }),
        }
    }
}

fn outcome(b: &BuildFigures) -> String {
    let all = b.seconds * thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
    let others = (b.foreign_seconds + b.stolen_seconds) / all * 100.0;
    let mib = b.peak_bytes >> 20;
    format!(
        "{:.2} s, {mib} MiB, others took {:.2} s of processor ({others:.0} %)",
        b.seconds, b.foreign_seconds
    )
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(answer: &str) -> Result<T, NoAnswer> {
    // A library may have printed something before.
    let line = answer.lines().last().unwrap_or_default();
    serde_json::from_str(line).map_err(|e| NoAnswer::Failed(format!("its answer makes no sense: {e}")))
}

/// Some peers write a folder.
fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

fn words(path: &Path) -> Result<&str, NoAnswer> {
    path.to_str().ok_or_else(|| NoAnswer::Failed(format!("{} is no text", path.display())))
}

fn disk(path: &Path, e: &std::io::Error) -> Trouble {
    Trouble::environment(
        format!("{}: {e}", path.display()),
        "free the disk, or name another folder in GAMEDAY_CACHE",
    )
}

/// A folder for files that wait to be searched; it goes with its run, and a later run removes those of runs that were
/// killed.
pub(super) struct Work(pub(super) PathBuf);

impl Work {
    pub(super) fn new(cache: &Path) -> Result<Work, Trouble> {
        let all = cache.join("work");
        for old in fs::read_dir(&all).into_iter().flatten().flatten() {
            let id = old.file_name().to_string_lossy().into_owned();
            if id.parse::<u32>().is_ok() && !Path::new("/proc").join(&id).exists() {
                // Somebody else may be removing it too.
                let _ = fs::remove_dir_all(old.path());
            }
        }
        let own = all.join(std::process::id().to_string());
        fs::create_dir_all(&own).map_err(|e| disk(&own, &e))?;
        Ok(Work(own))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What stays is found by the next run.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_another_order_and_everybody_in_it() {
        assert_eq!(order(4, 0), [0, 1, 2, 3]);
        assert_eq!(order(4, 1), [0, 3, 2, 1]);
        assert_eq!(order(4, 2), [2, 3, 0, 1]);
        assert_eq!(order(1, 7), [0]);
        assert!(order(0, 3).is_empty());
        // Over many rounds everybody is first about equally often.
        let mut first = [0; 3];
        (0..30).for_each(|round| first[order(3, round)[0]] += 1);
        assert_eq!(first, [10, 10, 10]);
    }

    #[test]
    fn the_folder_of_a_run_that_was_killed_is_removed_by_the_next() {
        let cache = tempfile::tempdir().unwrap();
        let old = cache.path().join("work/4999999");
        fs::create_dir_all(&old).unwrap();
        let mine = Work::new(cache.path()).unwrap();
        assert!(!old.exists() && mine.0.is_dir());
        let path = mine.0.clone();
        drop(mine);
        assert!(!path.exists());
    }
}
