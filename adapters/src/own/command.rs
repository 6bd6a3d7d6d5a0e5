//! The user's commands: a clean environment and what they name, a limit, and an end to whatever does not end.
//!
//! A command leads a process group of its own and carries the run's mark. What it started and left running when it ended
//! well (a server that it restored) stays until the drill is over; when it is out of time, its group is killed and everything
//! with the run's mark. What it prints goes, without secrets, to a log of limited size; nobody waits for a pipe that somebody
//! else holds open.

mod page;
mod pipes;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};

use super::secrets::Secrets;
use crate::local::sweep::{MARK, sweep};
use page::{Output, Page};
use pipes::{Pipes, read};

/// Variables of gameday's own environment that every command has.
const KEPT: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER"];
/// How much of what a command prints is kept.
const LOG_MAX: u64 = 4 << 20;
/// How long output is waited for once the command has ended.
const DRAIN: Duration = Duration::from_millis(250);
/// The longest line that is looked through at once.
const LINE_MAX: usize = 64 << 10;

/// Sees each line of output.
pub type Show = Arc<dyn Fn(&str) + Send + Sync>;

/// What takes standard output in place of the log.
pub type Feed<'a> = &'a mut (dyn FnMut(&[u8]) -> Result<(), String> + Send);

/// A command to be run.
#[derive(Debug, Clone)]
pub struct Spec<'a> {
    /// The program and its arguments.
    pub words: &'a [String],
    /// Where it runs: the folder of the file that names it.
    pub dir: &'a Path,
    /// What it has beside the variables that every command has.
    pub env: Vec<(String, String)>,
    /// It is ended after this.
    pub limit: Duration,
    /// The run's id: the mark of whatever it starts.
    pub run: &'a str,
    /// Where its output is kept.
    pub log: Option<PathBuf>,
    /// What its output must not show.
    pub secrets: &'a Secrets,
    /// Out of time, everything with the run's mark is ended, not its group alone: for commands that nothing of the run outlives.
    pub sweeps: bool,
    /// What it started and left running lives on when gameday has ended, however it did: somebody else reads what that prints.
    pub keeps: bool,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status; `None` if a signal or we ended it, or it could not be started.
    pub code: Option<i32>,
    /// In words, with the last line that it printed to its standard error; no secrets.
    pub how: String,
    /// Bytes that it printed.
    pub printed: u64,
}

/// Finds a program as a shell would, from a folder: what has a `/` is a path in it.
///
/// # Errors
/// Why it cannot be run.
pub fn find(dir: &Path, word: &str) -> Result<PathBuf, String> {
    let runs = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if word.contains('/') {
        let path = dir.join(word);
        return match std::fs::metadata(&path) {
            Ok(_) if runs(&path) => Ok(path),
            Ok(m) if m.is_file() => Err(format!("`{}` may not be executed: chmod +x it", path.display())),
            Ok(_) => Err(format!("`{}` is no file", path.display())),
            Err(e) => Err(format!("`{}`: {e}", path.display())),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(word)).find(|p| runs(p));
    found.ok_or_else(|| format!("there is no program `{word}` on the PATH"))
}

/// Runs a command to its end, or until `stop` resolves. Dropping this kills its group.
pub async fn run(
    spec: Spec<'_>,
    show: Option<&Show>,
    mut feed: Option<Feed<'_>>,
    stop: impl Future<Output = String>,
) -> Ended {
    let unstarted = |why: String| Ended { code: None, how: spec.secrets.hide(&why), printed: 0 };
    let mut started = match start(&spec) {
        Ok(started) => started,
        Err(why) => return unstarted(why),
    };
    let page = match Page::open(&spec, show) {
        // A full disk must not keep a fault alive.
        Err(_) if spec.keeps => Page::open(&Spec { log: None, ..spec.clone() }, show),
        page => page,
    };
    let (mut page, mut pipes) = match (page, started.pipes.take()) {
        (Ok(page), Some(pipes)) => (page, pipes),
        (Err(why), _) => return unstarted(why),
        (_, None) => return unstarted("its pipes are missing".into()),
    };
    let deadline = Instant::now() + spec.limit;
    let mut stop = std::pin::pin!(stop);
    let (mut out_buf, mut err_buf) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut status: Option<ExitStatus> = None;
    // A witness is whole only once its output has ended; a log need not be.
    let mut patience = deadline;
    let ended_by_us = loop {
        if status.is_some() && pipes.out.is_none() && pipes.err.is_none() {
            break None;
        }
        tokio::select! {
            biased;
            why = &mut stop => break Some(format!("was ended, because {why}")),
            () = sleep_until(deadline) => break Some(format!("did not end within {:?}, and was ended", spec.limit)),
            () = sleep_until(patience), if status.is_some() => {
                break feed.is_some().then(|| "has ended, and its output has not: something that it started holds it".into());
            }
            ended = started.child.wait(), if status.is_none() => {
                status = ended.ok();
                if status.is_none() { break Some("nobody knows how it ended".into()) }
                if feed.is_none() { patience = deadline.min(Instant::now() + DRAIN) }
            }
            n = read(&mut pipes.out, &mut out_buf), if pipes.out.is_some() => match n {
                Ok(n) if n > 0 => {
                    page.printed += n as u64;
                    match &mut feed {
                        None => page.take(Output::Out, &out_buf[..n]),
                        Some(feed) => if let Err(why) = feed(&out_buf[..n]) { break Some(why) },
                    }
                }
                _ => pipes.out = None,
            },
            n = read(&mut pipes.err, &mut err_buf), if pipes.err.is_some() => match n {
                Ok(n) if n > 0 => { page.printed += n as u64; page.take(Output::Err, &err_buf[..n]) }
                _ => pipes.err = None,
            },
        }
    };
    page.end();
    let printed = page.printed;
    let last = if page.last.is_empty() { String::new() } else { format!("; it said last: {}", page.last) };
    if let Some(why) = ended_by_us {
        let left = started.kill(spec.run, spec.sweeps).await;
        let left = if left > 0 {
            format!(" ({left} processes that it had started were ended, too)")
        } else {
            String::new()
        };
        return Ended { code: None, how: spec.secrets.hide(&format!("it {why}{left}{last}")), printed };
    }
    started.let_go();
    let (code, how) = match status.map(|s| (s.code(), s.signal())) {
        Some((Some(0), _)) => (Some(0), "exit code 0".to_owned()),
        Some((Some(code), _)) => (Some(code), format!("exit code {code}{last}")),
        Some((None, Some(signal))) => (None, format!("signal {signal} ended it{last}")),
        _ => (None, "nobody knows how it ended".to_owned()),
    };
    Ended { code, how: spec.secrets.hide(&how), printed }
}

/// A command that is running. Dropped, its group is killed.
struct Started {
    child: Child,
    group: Option<Pid>,
    pipes: Option<Pipes>,
}

fn start(spec: &Spec<'_>) -> Result<Started, String> {
    let (program, args) = spec.words.split_first().ok_or("no program is named")?;
    let program = find(spec.dir, program)?;
    let mut command = Command::new(&program);
    command.args(args).current_dir(spec.dir).env_clear();
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(spec.env.iter().map(|(n, v)| (n, v))).env(MARK, spec.run);
    command.stdin(Stdio::null()).process_group(0);
    let cannot = |e: std::io::Error| format!("`{}` cannot be started: {e}", program.display());
    let pipes = Pipes::into(&mut command, spec.keeps).map_err(cannot)?;
    let child = command.spawn().map_err(cannot)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    // With `command` our ends of what it writes to are closed: only then is there an end to what is read.
    Ok(Started { child, group, pipes: Some(pipes) })
}

impl Started {
    /// Ends its group, and everything else that carries the run's mark if that is asked for; answers how many those were.
    async fn kill(&mut self, run: &str, sweeps: bool) -> usize {
        self.kill_group();
        let _ = timeout(Duration::from_secs(5), self.child.wait()).await;
        if !sweeps {
            return 0;
        }
        let run = run.to_owned();
        let swept = tokio::task::spawn_blocking(move || sweep(&run)).await;
        swept.ok().and_then(Result::ok).map_or(0, |killed| killed.len())
    }

    fn kill_group(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// It has ended by itself: what it left running may stay.
    fn let_go(&mut self) {
        self.group = None;
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.kill_group();
    }
}

#[cfg(test)]
mod tests;
