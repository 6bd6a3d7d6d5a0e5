//! The user's commands: a clean environment and what they name, a limit, and an end to whatever does not end.
//!
//! A command leads a process group of its own and carries the run's mark. What it started and left running when it ended
//! well (a server that it restored) stays until the drill is over; when it is out of time, its group is killed and everything
//! with the run's mark. What it prints goes, without secrets, to a log of limited size; nobody waits for a pipe that somebody
//! else holds open.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};

use super::secrets::Secrets;
use crate::local::sweep::{MARK, sweep};

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
#[derive(Debug)]
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
    let mut page = match Page::open(&spec, show) {
        Ok(page) => page,
        Err(why) => return unstarted(why),
    };
    let (Some(mut out), Some(mut err)) = (started.child.stdout.take(), started.child.stderr.take()) else {
        return unstarted("its pipes are missing".into());
    };
    let deadline = Instant::now() + spec.limit;
    let mut stop = std::pin::pin!(stop);
    let (mut out_buf, mut err_buf) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let (mut out_open, mut err_open) = (true, true);
    let mut status: Option<ExitStatus> = None;
    // A witness is whole only once its output has ended; a log need not be.
    let mut patience = deadline;
    let ended_by_us = loop {
        if status.is_some() && !out_open && !err_open {
            break None;
        }
        tokio::select! {
            biased;
            why = &mut stop => break Some(format!("ended, because {why}")),
            () = sleep_until(deadline) => break Some(format!("did not end within {:?}, and was ended", spec.limit)),
            () = sleep_until(patience), if status.is_some() => {
                break feed.is_some().then(|| "has ended, and its output has not: something that it started holds it".into());
            }
            ended = started.child.wait(), if status.is_none() => {
                status = ended.ok();
                if status.is_none() { break Some("nobody knows how it ended".into()) }
                if feed.is_none() { patience = deadline.min(Instant::now() + DRAIN) }
            }
            n = out.read(&mut out_buf), if out_open => match n {
                Ok(n) if n > 0 => {
                    page.printed += n as u64;
                    match &mut feed {
                        None => page.take(&out_buf[..n]),
                        Some(feed) => if let Err(why) = feed(&out_buf[..n]) { break Some(why) },
                    }
                }
                _ => out_open = false,
            },
            n = err.read(&mut err_buf), if err_open => match n {
                Ok(n) if n > 0 => { page.printed += n as u64; page.take(&err_buf[..n]) }
                _ => err_open = false,
            },
        }
    };
    page.end();
    let printed = page.printed;
    let last = if page.last.is_empty() { String::new() } else { format!("; it said last: {}", page.last) };
    if let Some(why) = ended_by_us {
        let left = started.kill(spec.run).await;
        let left = if left > 0 {
            format!(" ({left} processes that it had started were ended, too)")
        } else {
            String::new()
        };
        return Ended { code: None, how: spec.secrets.hide(&format!("it {why}{left}{last}")), printed };
    }
    started.let_go();
    if out_open || err_open {
        // What it left running may go on printing: nobody reads it, and nobody is blocked by it.
        tokio::spawn(async move { tokio::join!(discard(out), discard(err)) });
    }
    let (code, how) = match status.map(|s| (s.code(), s.signal())) {
        Some((Some(0), _)) => (Some(0), "exit code 0".to_owned()),
        Some((Some(code), _)) => (Some(code), format!("exit code {code}{last}")),
        Some((None, Some(signal))) => (None, format!("signal {signal} ended it{last}")),
        _ => (None, "nobody knows how it ended".to_owned()),
    };
    Ended { code, how: spec.secrets.hide(&how), printed }
}

async fn discard(mut from: impl AsyncRead + Unpin) {
    let mut buf = vec![0; 8 << 10];
    while from.read(&mut buf).await.is_ok_and(|n| n > 0) {}
}

/// A command that is running. Dropped, its group is killed.
struct Started {
    child: Child,
    group: Option<Pid>,
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
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().map_err(|e| format!("`{}` cannot be started: {e}", program.display()))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    Ok(Started { child, group })
}

impl Started {
    /// Ends its group, and everything else that carries the run's mark; answers how many that were.
    async fn kill(&mut self, run: &str) -> usize {
        self.kill_group();
        let _ = timeout(Duration::from_secs(5), self.child.wait()).await;
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

/// What a command prints: shown line by line, and kept up to a limit.
struct Page<'a> {
    secrets: &'a Secrets,
    show: Option<&'a Show>,
    log: Option<File>,
    room: u64,
    /// What has not been looked through yet.
    rest: Vec<u8>,
    last: String,
    printed: u64,
}

impl<'a> Page<'a> {
    fn open(spec: &Spec<'a>, show: Option<&'a Show>) -> Result<Self, String> {
        let open = |path: &PathBuf| {
            crate::local::private::write(path, b"").and_then(|()| File::options().append(true).open(path))
        };
        let log =
            spec.log.as_ref().map(open).transpose().map_err(|e| format!("its log cannot be written: {e}"))?;
        let (rest, last) = (Vec::new(), String::new());
        Ok(Page { secrets: spec.secrets, show, log, room: LOG_MAX, rest, last, printed: 0 })
    }

    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.line(&line[..end]);
        }
        // A line without end is looked through in pieces, which overlap by more than the longest secret.
        let overlap = self.secrets.longest();
        if self.rest.len() > LINE_MAX + overlap {
            let hidden = self.secrets.hide(&String::from_utf8_lossy(&self.rest));
            let mut cut = hidden.len().saturating_sub(overlap);
            while !hidden.is_char_boundary(cut) {
                cut -= 1;
            }
            self.line(hidden[..cut].as_bytes());
            self.rest = hidden[cut..].as_bytes().to_vec();
        }
    }

    fn line(&mut self, line: &[u8]) {
        let text = self.secrets.hide(String::from_utf8_lossy(line).trim_end_matches('\r'));
        if self.room > 0 {
            if let Some(show) = self.show {
                show(&text);
            }
            let kept = text.len() as u64 + 1;
            let cut = if kept > self.room { "[what follows is not kept]\n" } else { "" };
            self.room = self.room.saturating_sub(kept);
            if let Some(log) = &mut self.log {
                // A log that cannot be written is no reason to end a restore.
                let _ = writeln!(log, "{text}{cut}");
            }
        }
        if !text.trim().is_empty() {
            self.last = text.chars().take(200).collect();
        }
    }

    fn end(&mut self) {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            self.line(&rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn spec<'a>(
        script: &'a [String],
        dir: &'a Path,
        run: &'a str,
        secrets: &'a Secrets,
        limit_ms: u64,
    ) -> Spec<'a> {
        Spec {
            words: script,
            dir,
            env: vec![("TOLD".into(), "hush-hush".into())],
            limit: Duration::from_millis(limit_ms),
            run,
            log: Some(dir.join("log")),
            secrets,
        }
    }

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    async fn play(script: &str, limit_ms: u64) -> (Ended, String) {
        let dir = tempfile::tempdir().unwrap();
        let run = format!("own-{}-{}", std::process::id(), rand_word());
        let secrets = hidden();
        let words = shell(script);
        let ended = run_it(spec(&words, dir.path(), &run, &secrets, limit_ms)).await;
        assert!(crate::local::sweep::find(&run).unwrap().is_empty() || ended.code == Some(0));
        crate::local::sweep::sweep(&run).unwrap();
        (ended, std::fs::read_to_string(dir.path().join("log")).unwrap())
    }

    async fn run_it(spec: Spec<'_>) -> Ended {
        run(spec, None, None, std::future::pending()).await
    }

    fn rand_word() -> String {
        crate::local::private::word().unwrap()
    }

    fn hidden() -> Secrets {
        let (stack, drill) = super::super::play::tests::example();
        let mut drill = drill;
        drill.restore.env = vec!["TOLD".into()];
        let drill = harness::own::Drill { restore: drill, stack };
        Secrets::of_drill(&drill, |_| Some("hush-hush".into())).unwrap()
    }

    #[tokio::test]
    async fn it_has_a_clean_environment_and_its_output_has_no_secrets() {
        let (ended, log) =
            play("env | cut -d= -f1 | sort | tr '\\n' ' '; echo $TOLD; echo $TOLD >&2; exit 3", 5000).await;
        assert_eq!(ended.code, Some(3));
        assert!(ended.how.contains("exit code 3") && !ended.how.contains("hush"), "{}", ended.how);
        assert!(!log.contains("hush") && log.contains("***"), "{log}");
        for name in
            log.lines().next().unwrap().split(' ').filter(|n| n.chars().all(|c| c.is_ascii_uppercase()))
        {
            assert!(
                KEPT.contains(&name) || ["TOLD", "PWD", "SHLVL"].contains(&name) || name.is_empty(),
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn a_secret_in_a_line_without_end_is_hidden_wherever_it_stands() {
        let script = "i=0; while [ $i -lt 30000 ]; do printf '%s%s' $TOLD abc; i=$((i+1)); done";
        let (ended, log) = play(script, 20_000).await;
        assert_eq!(ended.code, Some(0));
        assert!(!log.contains("hush"), "it shows");
        assert!(ended.printed == 30_000 * 12, "{}", ended.printed);
    }

    #[tokio::test]
    async fn what_never_ends_forks_or_floods_is_ended_with_all_that_it_started() {
        let began = std::time::Instant::now();
        for script in [
            "sleep 1000",
            "trap '' TERM INT HUP; setsid sleep 1000 & (sleep 1000 &) ; sleep 1000",
            "yes flood",
        ] {
            let (ended, log) = play(script, 400).await;
            assert!(
                ended.code.is_none() && ended.how.contains("did not end within"),
                "{script}: {}",
                ended.how
            );
            assert!(log.len() as u64 <= LOG_MAX + 100);
        }
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_server_that_it_starts_stays_and_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let run = format!("own-stay-{}", std::process::id());
        let secrets = Secrets::default();
        let words = shell("setsid sleep 1000 & echo started");
        let began = std::time::Instant::now();
        let ended = run_it(spec(&words, dir.path(), &run, &secrets, 10_000)).await;
        assert_eq!(ended.code, Some(0), "{}", ended.how);
        assert!(began.elapsed() < Duration::from_secs(5));
        assert_eq!(crate::local::sweep::sweep(&run).unwrap().len(), 1);
    }

    #[tokio::test]
    async fn output_that_is_a_reading_is_whole_or_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::default();
        let read = async |script: &str, limit: u64| {
            let words = shell(script);
            let heard = Mutex::new(Vec::new());
            let mut feed = |bytes: &[u8]| {
                heard.lock().unwrap().extend_from_slice(bytes);
                Ok(())
            };
            let run_id = format!("own-read-{}", std::process::id());
            let spec = spec(&words, dir.path(), &run_id, &secrets, limit);
            let ended = run(spec, None, Some(&mut feed), std::future::pending()).await;
            (ended, heard.into_inner().unwrap().len())
        };
        let (ended, n) = read("head -c 3000000 /dev/zero; echo said >&2", 10_000).await;
        assert_eq!((ended.code, n), (Some(0), 3_000_000), "{}", ended.how);
        let (ended, _) = read("sleep 1000 & echo a", 500).await;
        assert_eq!(ended.code, None, "{}", ended.how);
    }

    #[tokio::test]
    async fn what_cannot_be_started_says_why() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("plain"), "x").unwrap();
        let secrets = Secrets::default();
        for (word, why) in
            [("./plain", "chmod +x"), ("./none", "No such file"), ("no-such-program-anywhere", "PATH")]
        {
            let words = vec![word.to_owned()];
            let ended = run_it(spec(&words, dir.path(), "own-none", &secrets, 1000)).await;
            assert!(ended.code.is_none() && ended.how.contains(why), "{}", ended.how);
        }
    }
}
