//! Node processes: started, killed, stopped, paused and resumed, each act answered after its effect was observed.
//!
//! Invariants: a node carries the run's mark in its environment, so that it can be found by whoever cleans up; its
//! standard input is a lifeline that ends with the harness; it leads a process group of its own, and what it
//! started dies with it; acts on a node that has already ended are errors, because they had no effect.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use harness::shortage;
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use super::Observed;
use super::child::Child;
pub use super::child::Exit;
use super::sweep::{MARK, check_run};

/// How long the kernel may take to kill, pause or resume a process.
const LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(2);

/// What to start.
#[derive(Debug, Clone)]
pub struct Spawn {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Additions to the environment of the harness.
    pub env: Vec<(OsString, OsString)>,
    /// Where it runs; without one, where the harness does.
    pub dir: Option<PathBuf>,
    /// Id of the run; the process is marked with it.
    pub run: String,
    /// File that takes standard output and standard error, appended to.
    pub log: PathBuf,
}

/// Why an act on a process failed.
#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    /// The process could not be started.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// The log could not be opened.
    #[error("cannot open the log {path}: {source}")]
    Log {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// The process had ended before the act.
    #[error("cannot {act} process {pid}: it has ended with {exit}; its log tells why")]
    Ended {
        /// The act.
        act: &'static str,
        /// The process.
        pid: u32,
        /// How it ended.
        exit: Exit,
    },
    /// The signal could not be sent.
    #[error("cannot {act} process {pid}: {source}")]
    Signal {
        /// The act.
        act: &'static str,
        /// The process.
        pid: u32,
        /// What failed.
        source: io::Error,
    },
    /// The signal was sent but its effect not seen.
    #[error("process {pid}: {act} had no effect within {limit:?}: {seen}")]
    NotObserved {
        /// The act.
        act: &'static str,
        /// The process.
        pid: u32,
        /// The limit.
        limit: Duration,
        /// What was seen.
        seen: String,
    },
}

/// A node process. Dropping it kills the process, which is a courtesy and no promise.
#[derive(Debug)]
pub struct Proc {
    child: Child,
    /// Held and never written to.
    lifeline: Option<ChildStdin>,
}

impl Proc {
    /// Starts a process.
    pub fn spawn(spec: &Spawn) -> Result<Self, ProcError> {
        let failed = |source| ProcError::Spawn { program: spec.program.clone(), source };
        check_run(&spec.run).map_err(|why| failed(io::Error::other(why)))?;
        let log = OpenOptions::new().create(true).append(true).open(&spec.log);
        let log = log.and_then(|log| Ok((log.try_clone()?, log)));
        let log = log.inspect_err(|e| _ = shortage::notice(e));
        let (out, err) = log.map_err(|source| ProcError::Log { path: spec.log.clone(), source })?;
        let mut command = Command::new(&spec.program);
        command.args(&spec.args).envs(spec.env.iter().cloned()).env(MARK, &spec.run);
        command.stdin(Stdio::piped()).stdout(out).stderr(err).process_group(0);
        if let Some(dir) = &spec.dir {
            command.current_dir(dir);
        }
        let (child, mut std) = Child::spawn(&mut command).map_err(failed)?;
        Ok(Self { child, lifeline: std.stdin.take() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        self.child.exit()
    }

    /// Resolves when the process has ended, for whatever reason.
    pub fn wait_exit(&self) -> impl Future<Output = Exit> + Send + 'static {
        self.child.exited()
    }

    /// Kills the process and its group (`SIGKILL`), paused or not; observed by its end.
    pub async fn kill(&self) -> Result<Observed, ProcError> {
        let began = self.signal("kill", Signal::KILL)?;
        match timeout(LIMIT, self.wait_exit()).await {
            Ok(Exit::Signal(signal)) if signal == Signal::KILL.as_raw() => {
                Ok(self.said(format!("ended with signal {signal} after {:?}", began.elapsed())))
            }
            // It ended by itself just before.
            Ok(exit) => Err(ProcError::Ended { act: "kill", pid: self.pid(), exit }),
            Err(_) => Err(self.unseen("kill", LIMIT, "it is still there".to_owned())),
        }
    }

    /// Asks the process to end (`SIGTERM`) and gives it `limit`; observed by its end.
    pub async fn stop(&self, limit: Duration) -> Result<Observed, ProcError> {
        let began = self.signal("stop", Signal::TERM)?;
        match timeout(limit, self.wait_exit()).await {
            Ok(exit) => Ok(self.said(format!("ended with {exit} after {:?}", began.elapsed()))),
            Err(_) => Err(self.unseen("stop", limit, "it is still there".to_owned())),
        }
    }

    /// Freezes the process (`SIGSTOP`); observed by the state of all its threads.
    pub async fn pause(&self) -> Result<Observed, ProcError> {
        self.signal("pause", Signal::STOP)?;
        self.until("pause", |states| states.iter().all(|&state| state == 'T')).await
    }

    /// Lets a frozen process go on (`SIGCONT`); observed by the state of all its threads.
    pub async fn resume(&self) -> Result<Observed, ProcError> {
        self.signal("resume", Signal::CONT)?;
        self.until("resume", |states| states.iter().all(|&state| state != 'T')).await
    }

    /// Whether all its threads stand still.
    pub fn frozen(&self) -> bool {
        let states = thread_states(self.pid());
        !states.is_empty() && states.iter().all(|&state| state == 'T')
    }

    /// Closes the lifeline, as the end of the harness would.
    pub fn cut_lifeline(&mut self) {
        self.lifeline = None;
    }

    fn signal(&self, act: &'static str, signal: Signal) -> Result<Instant, ProcError> {
        let pid = self.pid();
        match self.child.signal(signal) {
            Ok(true) => Ok(Instant::now()),
            Ok(false) => Err(ProcError::Ended { act, pid, exit: self.exit().unwrap_or(Exit::Unknown) }),
            Err(source) => Err(ProcError::Signal { act, pid, source }),
        }
    }

    async fn until(&self, act: &'static str, seen: impl Fn(&[char]) -> bool) -> Result<Observed, ProcError> {
        let began = Instant::now();
        loop {
            if let Some(exit) = self.exit() {
                return Err(ProcError::Ended { act, pid: self.pid(), exit });
            }
            let states = thread_states(self.pid());
            let text: String = states.iter().collect();
            // A process that is ending has no threads, or threads that are neither running nor stopped.
            let alive = !states.is_empty() && !states.iter().any(|state| matches!(state, 'Z' | 'X'));
            if alive && seen(&states) {
                let took = began.elapsed();
                return Ok(self.said(format!("{} threads in state {text} after {took:?}", states.len())));
            }
            if began.elapsed() > LIMIT {
                return Err(self.unseen(act, LIMIT, format!("threads in state {text}")));
            }
            sleep(POLL).await;
        }
    }

    fn said(&self, what: String) -> Observed {
        Observed::new(format!("process {}: {what}", self.pid()))
    }

    fn unseen(&self, act: &'static str, limit: Duration, seen: String) -> ProcError {
        ProcError::NotObserved { act, pid: self.pid(), limit, seen }
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = self.child.signal(Signal::KILL);
    }
}

/// The state letter of every thread of a process; none if it is gone.
fn thread_states(pid: u32) -> Vec<char> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).inspect_err(|e| _ = shortage::notice(e));
    let Ok(threads) = threads else { return Vec::new() };
    let stat = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("stat")).ok();
    threads.flatten().filter_map(stat).filter_map(|stat| state_of(&stat)).collect()
}

/// The state in a line of `/proc/PID/stat`: after the name, which is in parentheses and may hold any.
fn state_of(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, dir: &std::path::Path) -> Proc {
        let spec = Spawn {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![],
            dir: None,
            run: format!("proc-test-{}", std::process::id()),
            log: dir.join("log"),
        };
        Proc::spawn(&spec).unwrap()
    }

    #[test]
    fn a_name_with_parentheses_does_not_hide_the_state() {
        assert_eq!(state_of("12 (a) T (b) S 1 2 3"), Some('S'));
        assert_eq!(state_of("12 (a) "), None);
        assert_eq!(state_of("garbage"), None);
    }

    #[tokio::test]
    async fn a_killed_process_is_gone_and_so_is_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let node = shell(
            &format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", pids.display()),
            dir.path(),
        );
        let began = Instant::now();
        while !pids.exists() {
            assert!(began.elapsed() < LIMIT);
            sleep(POLL).await;
        }
        let grandchild: u32 = std::fs::read_to_string(&pids).unwrap().trim().parse().unwrap();
        assert!(!thread_states(grandchild).is_empty());
        let seen = node.kill().await.unwrap();
        assert!(seen.as_str().contains("signal 9"), "{seen}");
        assert_eq!(node.exit(), Some(Exit::Signal(9)));
        while thread_states(grandchild).iter().any(|&state| state != 'Z') {
            assert!(began.elapsed() < LIMIT);
            sleep(POLL).await;
        }
        let again = node.kill().await.unwrap_err();
        assert!(matches!(again, ProcError::Ended { exit: Exit::Signal(9), .. }), "{again}");
    }

    #[tokio::test]
    async fn a_paused_process_stands_still_until_resumed_and_can_be_killed() {
        let dir = tempfile::tempdir().unwrap();
        let node = shell("while :; do :; done", dir.path());
        let seen = node.pause().await.unwrap();
        assert!(seen.as_str().contains("state T"), "{seen}");
        let ticks = || std::fs::read_to_string(format!("/proc/{}/stat", node.pid())).unwrap();
        let before = ticks();
        sleep(Duration::from_millis(50)).await;
        assert_eq!(before, ticks(), "a paused process uses no time");
        node.resume().await.unwrap();
        let began = Instant::now();
        while before == ticks() {
            assert!(began.elapsed() < LIMIT);
            sleep(POLL).await;
        }
        node.pause().await.unwrap();
        node.kill().await.unwrap();
    }

    #[tokio::test]
    async fn stopping_has_a_limit_and_says_how_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let ready = dir.path().join("ready");
        let stubborn = shell(
            &format!("trap '' TERM; : > {}; while :; do sleep 0.01; done", ready.display()),
            dir.path(),
        );
        let began = Instant::now();
        while !ready.exists() {
            assert!(began.elapsed() < LIMIT);
            sleep(POLL).await;
        }
        let limit = Duration::from_millis(100);
        assert!(matches!(stubborn.stop(limit).await, Err(ProcError::NotObserved { .. })));
        let polite = shell("exec sleep 1000", dir.path());
        assert!(polite.stop(LIMIT).await.unwrap().as_str().contains("signal 15"));
    }

    #[tokio::test]
    async fn a_process_that_ends_by_itself_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let node = shell("echo out; echo err >&2; exit 7", dir.path());
        assert_eq!(timeout(LIMIT, node.wait_exit()).await.unwrap(), Exit::Code(7));
        for (act, error) in
            [("pause", node.pause().await), ("resume", node.resume().await), ("kill", node.kill().await)]
        {
            assert!(matches!(error, Err(ProcError::Ended { exit: Exit::Code(7), .. })), "{act}");
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("log")).unwrap(), "out\nerr\n");
    }

    #[tokio::test]
    async fn the_lifeline_is_open_and_ends_with_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let mut node = shell("cat; exit 3", dir.path());
        assert!(timeout(Duration::from_millis(50), node.wait_exit()).await.is_err());
        node.cut_lifeline();
        assert_eq!(timeout(LIMIT, node.wait_exit()).await.unwrap(), Exit::Code(3));
    }

    #[tokio::test]
    async fn what_cannot_start_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = Spawn {
            program: dir.path().join("nothing"),
            args: vec![],
            env: vec![],
            dir: None,
            run: "run-1".to_owned(),
            log: dir.path().join("log"),
        };
        assert!(matches!(Proc::spawn(&spec), Err(ProcError::Spawn { .. })));
        spec.log = dir.path().join("no/such/log");
        assert!(matches!(Proc::spawn(&spec), Err(ProcError::Log { .. })));
        spec.log = dir.path().join("log");
        spec.run = String::new();
        assert!(matches!(Proc::spawn(&spec), Err(ProcError::Spawn { .. })));
    }
}
