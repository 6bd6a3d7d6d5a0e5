//! One process: what it answers on stdout, its limit, and its end.
//!
//! A child leads a process group of its own; on a limit, on a request to stop and when it has ended, all that is left of
//! the group is killed, so nothing outlives a run. Children die with us besides (see `builder` and `peer.py`).

use std::{
    fs,
    io::Read,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::noise::figure_of;

/// How often memory is looked at, and a request to stop.
const TICK: Duration = Duration::from_millis(20);
/// No answer of ours is longer.
const LONGEST: u64 = 8 << 20;

/// What a child that ended well said.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its standard output.
    pub(super) stdout: String,
    /// The most memory that it and all it started were seen to have at one moment, in bytes; 0 if it was alone.
    pub(super) together_bytes: u64,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// We were asked to stop.
    Stopped,
    /// It failed, in one line.
    Failed(String),
}

/// Runs a command to its end.
pub(super) fn run(
    mut command: Command,
    limit: Duration,
    stopped: &dyn Fn() -> bool,
) -> Result<Answer, NoAnswer> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.spawn().map_err(|e| NoAnswer::Failed(format!("{name} cannot be started: {e}")))?;
    let mut group = Group(child);
    let stdout = listen(group.0.stdout.take());
    let stderr = listen(group.0.stderr.take());
    let deadline = Instant::now() + limit;
    let mut together_bytes = 0;
    let said = loop {
        match stdout.recv_timeout(TICK) {
            Ok(said) => break said,
            Err(RecvTimeoutError::Disconnected) => break String::new(),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if stopped() {
            return Err(NoAnswer::Stopped);
        }
        if Instant::now() > deadline {
            return Err(NoAnswer::Failed(format!("given up after {} s", limit.as_secs())));
        }
        together_bytes = together_bytes.max(together(group.0.id()));
        // It ended, and something that it started still holds its output.
        if matches!(group.0.try_wait(), Ok(Some(_))) {
            group.kill();
        }
    };
    let status = group.0.wait().map_err(|e| NoAnswer::Failed(format!("{name} was lost: {e}")))?;
    group.kill();
    if status.success() {
        return Ok(Answer { stdout: said, together_bytes });
    }
    let words = stderr.recv_timeout(Duration::from_secs(2)).unwrap_or_default();
    Err(NoAnswer::Failed(how(status, &words)))
}

fn how(status: ExitStatus, words: &str) -> String {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (_, Some(signal)) => format!("ended with signal {signal}"),
        _ => "ended".into(),
    };
    match words.lines().rev().find(|l| !l.trim().is_empty()) {
        Some(last) => format!("{how}: {}", last.trim()),
        None => how,
    }
}

/// Reads a stream to its end on a thread of its own.
fn listen(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel();
    if let Some(stream) = stream {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // A stream that breaks ends: what was said until then counts.
            let _ = stream.take(LONGEST).read_to_end(&mut bytes);
            let _ = tell.send(String::from_utf8_lossy(&bytes).into_owned());
        });
    }
    told
}

/// A child and all that it started.
struct Group(Child);

impl Group {
    fn kill(&self) {
        let id = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            // Nobody may be left.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        let _ = self.0.wait();
    }
}

/// Memory of a process and all that it started, now; 0 if it started nothing that still runs.
fn together(id: u32) -> u64 {
    let helpers: u64 = children(id).into_iter().map(with_children).sum();
    if helpers == 0 { 0 } else { helpers + resident(id) }
}

fn with_children(id: u32) -> u64 {
    resident(id) + children(id).into_iter().map(with_children).sum::<u64>()
}

fn children(id: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
    let lists = threads.flatten().map(|t| fs::read_to_string(t.path().join("children")).unwrap_or_default());
    lists.flat_map(|l| l.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

fn resident(id: u32) -> u64 {
    figure_of(&fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default(), "VmRSS")
}

#[cfg(test)]
mod tests {
    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        process::{PidfdFlags, pidfd_open},
    };

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn an_answer_or_why_there_is_none() {
        assert_eq!(run(shell("echo hello"), LONG, &|| false).unwrap().stdout, "hello\n");
        let failed = |script: &str| match run(shell(script), LONG, &|| false) {
            Err(NoAnswer::Failed(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(failed("echo first >&2; echo why >&2; exit 7"), "ended with code 7: why");
        assert_eq!(failed("kill -6 $$"), "ended with signal 6");
        let nobody = run(Command::new("/no/such/program"), LONG, &|| false).unwrap_err();
        assert!(matches!(nobody, NoAnswer::Failed(why) if why.contains("cannot be started")));
    }

    #[test]
    fn a_limit_and_a_request_to_stop_end_it_and_all_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("helper");
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let limited = run(shell(&script), Duration::from_secs(1), &|| false).unwrap_err();
        assert_eq!(limited, NoAnswer::Failed("given up after 1 s".into()));
        assert_gone(&file);

        fs::remove_file(&file).unwrap();
        let stop = || fs::read_to_string(&file).is_ok_and(|id| id.ends_with('\n'));
        assert_eq!(run(shell(&script), LONG, &stop).unwrap_err(), NoAnswer::Stopped);
        assert_gone(&file);
    }

    /// Killed: at most a zombie that nobody has collected yet.
    fn assert_gone(file: &std::path::Path) {
        let id = fs::read_to_string(file).unwrap().trim().parse().ok().and_then(Pid::from_raw).unwrap();
        // The signal is sent; that it was acted on is an event.
        if let Ok(process) = pidfd_open(id, PidfdFlags::empty()) {
            let mut ended = [PollFd::new(&process, PollFlags::IN)];
            let limit = Timespec { tv_sec: 30, tv_nsec: 0 };
            assert_eq!(poll(&mut ended, Some(&limit)).unwrap(), 1, "it still runs");
        }
    }

    #[test]
    fn memory_of_all_that_run_at_one_moment_is_added_up() {
        let alone = run(shell("read x </proc/self/stat; exec sleep 0.2"), LONG, &|| false).unwrap();
        assert_eq!(alone.together_bytes, 0);
        // Half a megabyte is the least that a shell and a sleep take; they end after they were looked at.
        let several = run(shell("sleep 1 & sleep 1 & wait"), LONG, &|| false).unwrap();
        assert!(several.together_bytes > 512 << 10, "{several:?}");
    }

    #[test]
    fn a_helper_that_holds_the_output_does_not_hold_us() {
        let began = Instant::now();
        assert_eq!(run(shell("echo x; sleep 600 &"), LONG, &|| false).unwrap().stdout, "x\n");
        assert!(began.elapsed() < LONG);
    }
}
