//! The watchdog: a process that outlives the harness and pays its debts.
//!
//! It leads a session of its own, so neither Ctrl-C nor a closed terminal reaches it, and it bears no mark of the run,
//! so the sweep passes it by. It reads one pipe whose other end only the harness holds. The byte `d` before the
//! end means *done*; an end without it means that the harness died, however: then every process of the run is
//! killed, its state removed, and what was done written to `heal.jsonl` in the run's folder.
//!
//! The harness in turn watches the watchdog: without it a drill is not safe and has to be aborted.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::ports::EnvironmentError;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::child::{Child, Exit};
use super::sweep::{Killed, MARK, SweepError, check_run, remove_state, sweep};

/// The file in a run's folder that says which container engine it used, if it used one.
pub(crate) const ENGINE: &str = "engine.json";
/// What the watchdog says once it is on guard.
const READY: &str = "gameday watchdog ready";
/// How long is waited for somebody else who cleans up the same run.
const WAIT: Duration = Duration::from_secs(60);
/// How long it may take to get on guard, or to leave.
const LIMIT: Duration = Duration::from_secs(5);

/// What a watchdog guards. Both paths have to be absolute: it runs in `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// Id of the run, the mark of its processes.
    pub run: String,
    /// The run's folder; it stays.
    pub run_dir: PathBuf,
    /// The folder of the nodes' state inside it; it goes.
    pub state: PathBuf,
}

/// Why a watchdog could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// It could not be started.
    #[error("cannot start the watchdog: {0}; without one a drill could leave a fault behind")]
    Start(#[source] io::Error),
    /// It did not get on guard.
    #[error("the watchdog did not get on guard: {0}")]
    NotReady(String),
    /// It did not end as it should.
    #[error("the watchdog did not leave in order: {0}")]
    Release(String),
    /// The clean-up left something.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// What the run made in a container engine is still there.
    #[error(transparent)]
    Engine(EnvironmentError),
    /// A fault on somebody's own stack is still there.
    #[error("a fault may still be there: {0}")]
    Undo(String),
    /// The clean-up could not be recorded.
    #[error("cannot write {path}: {source}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
}

/// A line of `heal.jsonl`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Entry<'a> {
    Began {
        run: &'a str,
        why: &'a str,
    },
    Killed(&'a Killed),
    Removed {
        path: &'a Path,
        was_there: bool,
    },
    RemovedFromEngine {
        what: &'a str,
    },
    #[cfg(feature = "own")]
    Undone(&'a crate::own::fault::heal::Undone),
    Failed {
        why: String,
    },
    Done,
}

/// What a clean-up did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healed {
    /// The processes that were killed.
    pub killed: Vec<Killed>,
    /// True if there was state to remove.
    pub removed: bool,
    /// What was removed from a container engine, in words.
    pub from_engine: Vec<String>,
}

/// The body of the watchdog process: blocks until the harness is done or dead.
///
/// Must run in a process that does nothing else; nobody reads its standard output after the first line, and its
/// standard error goes nowhere.
pub fn watch(guarded: &Guarded) -> Result<Option<Healed>, WatchdogError> {
    check_run(&guarded.run).map_err(|why| SweepError::Run(guarded.run.clone(), why))?;
    if !guarded.run_dir.is_dir() {
        let why = format!("the run's folder {} is not there", guarded.run_dir.display());
        return Err(WatchdogError::NotReady(why));
    }
    // Fails only for a leader of a session or group, which has what it needs already.
    let _ = rustix::process::setsid();
    let _deaf = deaf().map_err(WatchdogError::Start)?;
    // Read now: the folder may be gone when it is needed.
    let engine = marker(&guarded.run_dir);
    let mut out = io::stdout();
    writeln!(out, "{READY}").and_then(|()| out.flush()).map_err(WatchdogError::Start)?;
    if harness_was_done() {
        return Ok(None);
    }
    heal_in(guarded, engine, Why::Died).map(Some)
}

/// Signals whose default would end the watchdog are caught, and nobody listens.
fn deaf() -> io::Result<impl Sized> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
    let caught = runtime.block_on(async { kinds.map(signal).into_iter().collect::<Result<Vec<_>, _>>() })?;
    Ok((runtime, caught))
}

/// Reads standard input to its end: true if the last byte was a `d`.
fn harness_was_done() -> bool {
    let mut last = 0;
    let mut buf = [0u8; 64];
    let mut stdin = io::stdin().lock();
    loop {
        match stdin.read(&mut buf) {
            Ok(0) => return last == b'd',
            Ok(n) => last = buf[n - 1],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // A pipe that cannot be read says nothing about the harness being done.
            Err(_) => return false,
        }
    }
}

/// Kills what is left of a run, removes its state and records it. The state stays if a process does.
///
/// # Errors
/// If something would not go; and if what was done could not be recorded, which keeps nothing from being done.
pub fn heal(guarded: &Guarded) -> Result<Healed, WatchdogError> {
    heal_in(guarded, marker(&guarded.run_dir), Why::Asked)
}

/// Why a run is cleaned up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Its harness died, and this is its own watchdog: commands of its journal are its own.
    Died,
    /// Somebody asked for it. The journal could be anybody's: no command of it is run here.
    Asked,
}

/// What the run wrote down of the container engine that it uses; `None` if it uses none.
fn marker(run_dir: &Path) -> Option<Vec<u8>> {
    std::fs::read(run_dir.join(ENGINE)).ok()
}

fn heal_in(guarded: &Guarded, engine: Option<Vec<u8>>, why: Why) -> Result<Healed, WatchdogError> {
    let mut record = Record::open(&guarded.run_dir);
    let words = if why == Why::Died { "the harness died" } else { "asked for" };
    record.write(&Entry::Began { run: &guarded.run, why: words });
    let healed = clean(guarded, engine, &mut record);
    // Even where something would not go: what is broken is worse than what is left.
    #[cfg(feature = "own")]
    let healed = if why == Why::Died {
        let undone = undo(guarded, &mut record);
        healed.and_then(|healed| undone.map(|()| healed))
    } else {
        healed
    };
    match &healed {
        Ok(_) => record.write(&Entry::Done),
        Err(e) => record.write(&Entry::Failed { why: e.to_string() }),
    }
    let healed = healed?;
    record.end()?;
    Ok(healed)
}

fn clean(guarded: &Guarded, engine: Option<Vec<u8>>, record: &mut Record) -> Result<Healed, WatchdogError> {
    let killed = sweep(&guarded.run)?;
    for process in &killed {
        record.write(&Entry::Killed(process));
    }
    let from_engine = engine.map_or(Ok(Vec::new()), |marker| sweep_engine(guarded, &marker))?;
    for what in &from_engine {
        record.write(&Entry::RemovedFromEngine { what });
    }
    let removed = remove_state(&guarded.run_dir, &guarded.state)?;
    record.write(&Entry::Removed { path: &guarded.state, was_there: removed });
    Ok(Healed { killed, removed, from_engine })
}

/// Undoes what a drill on somebody's own stack left broken.
#[cfg(feature = "own")]
fn undo(guarded: &Guarded, record: &mut Record) -> Result<(), WatchdogError> {
    use crate::own::fault::heal;
    let failed = |why: String| WatchdogError::Undo(why);
    let Ok(places) = std::fs::read(guarded.run_dir.join(heal::PLACES)) else { return Ok(()) };
    let places = serde_json::from_slice(&places).map_err(|e| failed(e.to_string()))?;
    let Some(left) = heal::left(&guarded.run_dir).map_err(|e| failed(e.to_string()))? else { return Ok(()) };
    let secrets = crate::own::secrets::Secrets::of_undo(&left.drill, |name| std::env::var(name).ok());
    let secrets = secrets.map_err(|missing| failed(format!("not set: {}", missing.join(", "))))?;
    let undone = heal::undo(&left, &places, &secrets, (None, true)).map_err(|e| failed(e.to_string()))?;
    for one in &undone {
        record.write(&Entry::Undone(one));
    }
    let open: Vec<String> =
        undone.iter().filter(|u| !u.gone).map(|u| format!("{}: {}", u.fault, u.how)).collect();
    if open.is_empty() { Ok(()) } else { Err(failed(open.join("; "))) }
}

/// Removes what the run made in the container engine that it wrote down.
#[cfg_attr(
    not(feature = "docker"),
    expect(unused_variables, reason = "without an engine's client nobody asks")
)]
fn sweep_engine(guarded: &Guarded, marker: &[u8]) -> Result<Vec<String>, WatchdogError> {
    #[cfg(feature = "docker")]
    {
        let swept = crate::docker::sweep::sweep_marked(marker, &guarded.run);
        let swept = swept.map_err(WatchdogError::Engine)?;
        Ok(swept.iter().map(|thing| format!("{} {}", thing.kind, thing.name)).collect())
    }
    #[cfg(not(feature = "docker"))]
    Err(WatchdogError::Engine(EnvironmentError {
        what: "the run used a container engine, and this gameday was built without one".into(),
        remedy: "build it with: cargo build --release -p gameday --features docker".into(),
    }))
}

/// Waits until nobody else cleans up the same run: its watchdog may be at it. Who never gets there does it all the same.
fn alone(file: &std::fs::File) {
    let began = std::time::Instant::now();
    let lock = || rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    while lock().is_err_and(|e| e == rustix::io::Errno::WOULDBLOCK) && began.elapsed() < WAIT {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What is done is written down as far as it can be: a full disk must not keep a fault alive.
struct Record {
    path: PathBuf,
    file: io::Result<std::fs::File>,
}

impl Record {
    fn open(run_dir: &Path) -> Self {
        let path = run_dir.join("heal.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        if let Ok(file) = &file {
            alone(file);
        }
        Self { path, file }
    }

    /// What failed first.
    fn end(self) -> Result<(), WatchdogError> {
        let Self { path, file } = self;
        file.map(drop).map_err(|source| WatchdogError::Record { path, source })
    }

    fn write(&mut self, entry: &Entry<'_>) {
        let Ok(file) = &mut self.file else { return };
        #[derive(Serialize)]
        struct Line<'a> {
            at_unix_ms: u128,
            #[serde(flatten)]
            entry: &'a Entry<'a>,
        }
        let at_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let line = serde_json::to_string(&Line { at_unix_ms, entry }).map_err(io::Error::other);
        let written = line.and_then(|line| {
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_data()
        });
        if let Err(e) = written {
            self.file = Err(e);
        }
    }
}

/// The harness's hand on its watchdog. Dropping it without [`Watchdog::release`] is what dying looks like.
#[derive(Debug)]
pub struct Watchdog {
    child: Child,
    pipe: ChildStdin,
}

impl Watchdog {
    /// Starts `exe` (an absolute path) with `args`, which has to call [`watch`], and answers once it is on guard.
    pub async fn start(exe: &Path, args: &[OsString]) -> Result<Self, WatchdogError> {
        let mut command = Command::new(exe);
        command.args(args).env_remove(MARK).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let (child, mut std) = Child::spawn(&mut command).map_err(WatchdogError::Start)?;
        let (Some(pipe), Some(out)) = (std.stdin.take(), std.stdout.take()) else {
            return Err(WatchdogError::NotReady("its pipes are missing".to_owned()));
        };
        let watchdog = Self { child, pipe };
        let ready = tokio::task::spawn_blocking(move || says_ready(out));
        match timeout(LIMIT, ready).await {
            Ok(Ok(true)) => Ok(watchdog),
            Ok(_) => {
                let exit = timeout(LIMIT, watchdog.exited()).await;
                let exit =
                    exit.map_or_else(|_| "it still runs".to_owned(), |exit| format!("it ended with {exit}"));
                Err(WatchdogError::NotReady(exit))
            }
            Err(_) => Err(WatchdogError::NotReady(format!("no word from it within {LIMIT:?}"))),
        }
    }

    /// True while it is on guard. A drill whose watchdog died has to be aborted.
    pub fn is_alive(&self) -> bool {
        self.child.exit().is_none()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Resolves when the watchdog has ended, which it must not before it is released.
    pub fn exited(&self) -> impl Future<Output = Exit> + Send + 'static {
        self.child.exited()
    }

    /// Tells the watchdog that everything is paid, and waits until it has left.
    pub async fn release(self) -> Result<(), WatchdogError> {
        let Self { child, mut pipe } = self;
        // One byte into an empty pipe never waits; into a broken one it fails, and the exit tells.
        let told = pipe.write_all(b"d");
        drop(pipe);
        match timeout(LIMIT, child.exited()).await {
            Ok(Exit::Code(0)) if told.is_ok() => Ok(()),
            Ok(exit) => Err(WatchdogError::Release(format!("it ended with {exit}"))),
            Err(_) => Err(WatchdogError::Release(format!("it is still there after {LIMIT:?}"))),
        }
    }
}

/// Reads lines until the one that matters; at most so many that a wrong program cannot keep us reading.
fn says_ready(out: impl Read) -> bool {
    BufReader::new(out.take(64 << 10)).lines().map_while(Result::ok).any(|line| line.ends_with(READY))
}

#[cfg(test)]
mod tests;
