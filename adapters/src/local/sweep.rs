//! Finding and removing whatever a run left behind, by the run's mark alone.
//!
//! Every process of a run has `GAMEDAY_RUN=<run id>` in its environment, and so has all that it starts. The sweep
//! needs no list that could be lost: it reads the environment of every process, kills those that carry exactly this
//! mark, and is done when two looks in a row find nothing. It never kills its own process.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use harness::shortage;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Serialize;

/// The variable that marks the processes of a run.
pub const MARK: &str = "GAMEDAY_RUN";
/// How long two looks are apart.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a sweep may take.
const LIMIT: Duration = Duration::from_secs(10);
/// More of an environment is not read.
const ENVIRON: u64 = 8 << 20;

/// A process the sweep killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Killed {
    /// Its process id.
    pub pid: u32,
    /// Its command name.
    pub name: String,
}

/// Why something of a run may be left.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The id cannot be one of a run.
    #[error("run id {0:?}: {1}")]
    Run(String, &'static str),
    /// The list of processes cannot be read.
    #[error("cannot read /proc: {0}; without it the processes of a run cannot be found")]
    Proc(#[source] io::Error),
    /// Some processes would not die.
    #[error("processes {0:?} of the run are still alive after {1:?}; kill them by hand")]
    Alive(Vec<u32>, Duration),
    /// The folder is not one that may be removed.
    #[error("will not remove {path}: {why}")]
    Refused {
        /// The folder.
        path: PathBuf,
        /// The rule it breaks.
        why: String,
    },
    /// The folder could not be removed.
    #[error("cannot remove {path}: {source}")]
    Remove {
        /// The folder.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
}

/// Ids that can be a run's: an empty one would match far too much.
pub(super) fn check_run(run: &str) -> Result<(), &'static str> {
    let plain = run.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.');
    if run.is_empty() || run.len() > 128 || !plain {
        return Err("has to have 1 to 128 letters, digits, `-`, `_` or `.`");
    }
    Ok(())
}

/// The processes that carry the mark of `run`, this one left aside.
pub fn find(run: &str) -> Result<Vec<u32>, SweepError> {
    check_run(run).map_err(|why| SweepError::Run(run.to_owned(), why))?;
    let mark = format!("{MARK}={run}");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(SweepError::Proc)? {
        // A process may vanish at any moment, and those of others are not ours to read.
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        match marked(pid, mark.as_bytes()) {
            Ok(true) => found.push(pid),
            Ok(false) => {}
            // Who cannot look has not seen that nothing is there.
            Err(e) if shortage::notice(&e) => return Err(SweepError::Proc(e)),
            Err(_) => {}
        }
    }
    Ok(found)
}

/// Kills every process of a run and answers which they were once none is left.
pub fn sweep(run: &str) -> Result<Vec<Killed>, SweepError> {
    sweep_where(run, |_| true)
}

/// The same of those alone that are in this session: what has made a session of its own, as servers do, is left alone.
pub fn sweep_session(run: &str, session: i32) -> Result<Vec<Killed>, SweepError> {
    sweep_where(run, |pid| session_of(*pid) == Some(session))
}

/// The session of this process; 0 for one whose leader cannot be seen from here, as in a container or a CI job whose
/// shell lives outside of the pid namespace.
pub fn session() -> i32 {
    session_of(std::process::id()).unwrap_or(0)
}

/// Read from `/proc`, for `rustix` takes the session 0 for impossible and panics. The name stands in parentheses and may
/// hold any character, so the fields are counted from the last one: state, parent, group, session (`proc(5)`).
fn session_of(pid: u32) -> Option<i32> {
    session_in(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn session_in(stat: &[u8]) -> Option<i32> {
    let after = stat.iter().rposition(|&b| b == b')')? + 1;
    std::str::from_utf8(&stat[after..]).ok()?.split_whitespace().nth(3)?.parse().ok()
}

fn sweep_where(run: &str, wanted: impl Fn(&u32) -> bool) -> Result<Vec<Killed>, SweepError> {
    let began = Instant::now();
    let mark = format!("{MARK}={run}");
    let mut killed: Vec<Killed> = Vec::new();
    let mut quiet = 0;
    loop {
        let mut found = find(run)?;
        found.retain(&wanted);
        quiet = if found.is_empty() { quiet + 1 } else { 0 };
        if quiet == 2 {
            return Ok(killed);
        }
        if began.elapsed() > LIMIT && !found.is_empty() {
            return Err(SweepError::Alive(found, LIMIT));
        }
        for pid in found {
            let name = name_of(pid);
            if kill(pid, mark.as_bytes()) && !killed.iter().any(|k| k.pid == pid) {
                killed.push(Killed { pid, name });
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Kills a process if it still carries the mark. The descriptor is taken before the mark is read: should the pid be
/// given to another process in between, the signal goes to the one that is gone.
fn kill(pid: u32, mark: &[u8]) -> bool {
    let Some(pid_) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    let Ok(held) = pidfd_open(pid_, PidfdFlags::empty()) else { return false };
    marked(pid, mark).unwrap_or(false) && pidfd_send_signal(&held, Signal::KILL).is_ok()
}

fn marked(pid: u32, mark: &[u8]) -> io::Result<bool> {
    let mut environ = Vec::new();
    File::open(format!("/proc/{pid}/environ"))?.take(ENVIRON).read_to_end(&mut environ)?;
    Ok(environ.split(|&b| b == 0).any(|entry| entry == mark))
}

fn name_of(pid: u32) -> String {
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

/// Removes a folder strictly inside the run's folder; true if there was one. Symbolic links are removed, never
/// followed, and none may lie on the way to the folder.
pub fn remove_state(run_dir: &Path, state: &Path) -> Result<bool, SweepError> {
    let refused = |why: &str| SweepError::Refused { path: state.to_owned(), why: why.to_owned() };
    let inside = state.strip_prefix(run_dir).map_err(|_| refused("it is not inside the run's folder"))?;
    if inside.as_os_str().is_empty() || !inside.components().all(|part| matches!(part, Component::Normal(_)))
    {
        return Err(refused("it is not strictly inside the run's folder"));
    }
    let mut path = run_dir.to_owned();
    for part in inside.components() {
        path.push(part);
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(refused(&format!("{} is not a folder", path.display()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(SweepError::Remove { path, source }),
        }
    }
    std::fs::remove_dir_all(&path).map_err(|source| SweepError::Remove { path, source })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn run_id(name: &str) -> String {
        format!("sweep-{name}-{}", std::process::id())
    }

    fn sleeper(mark: &str) -> Child {
        Command::new("sleep").arg("1000").env(MARK, mark).spawn().unwrap()
    }

    #[test]
    fn only_the_exact_mark_is_swept() {
        let run = run_id("exact");
        let mut ours = [sleeper(&run), sleeper(&run)];
        let mut others = [sleeper(&format!("{run}0")), sleeper("x")];
        let mut decoy = Command::new("sleep").arg("1000").env("X", format!("{MARK}={run}")).spawn().unwrap();
        let mut expected: Vec<u32> = ours.iter().map(Child::id).collect();
        // The children are zombies until waited for; zombies have no environment.
        let mut killed: Vec<u32> = sweep(&run).unwrap().iter().map(|k| k.pid).collect();
        expected.sort_unstable();
        killed.sort_unstable();
        assert_eq!(killed, expected);
        for child in &mut ours {
            assert!(!child.wait().unwrap().success());
        }
        for child in others.iter_mut().chain([&mut decoy]) {
            assert!(child.try_wait().unwrap().is_none(), "a stranger was killed");
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(sweep(&run).unwrap().is_empty());
    }

    #[test]
    fn stopped_and_stubborn_processes_and_their_children_are_swept() {
        let run = run_id("stopped");
        let script = "trap '' TERM INT HUP; setsid sleep 1000 & sleep 1000 & kill -STOP $$; wait";
        let mut child = Command::new("sh").args(["-c", script]).env(MARK, &run).spawn().unwrap();
        let began = Instant::now();
        while find(&run).unwrap().len() < 3 {
            assert!(began.elapsed() < LIMIT);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(sweep(&run).unwrap().len() >= 3);
        child.wait().unwrap();
        assert!(find(&run).unwrap().is_empty());
    }

    #[test]
    fn a_session_is_read_whatever_the_process_is_called_and_wherever_its_leader_is() {
        assert_eq!(session_in(b"7 (a) S 1 2 (\xff) R 5 6 77 0 -1"), Some(77));
        // The leader of the session is outside of the pid namespace, as under `unshare --pid --fork`.
        assert_eq!(session_in(b"1 (gameday) R 0 0 0 34816 0"), Some(0));
        for torn in [&b""[..], b"7 (sh", b"7 (sh)", b"7 (sh) S 1 2", b"7 (sh) S 1 2 x"] {
            assert_eq!(session_in(torn), None);
        }
        let mut leads = Command::new("setsid").args(["sleep", "1000"]).spawn().unwrap();
        let leader = i32::try_from(leads.id()).unwrap();
        let began = Instant::now();
        while session_of(leads.id()) != Some(leader) {
            assert!(began.elapsed() < LIMIT);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_ne!(session(), leader);
        leads.kill().unwrap();
        leads.wait().unwrap();
    }

    #[test]
    fn odd_run_ids_are_refused() {
        for run in ["", "a b", "a=b", "a\0b", "../x", &"x".repeat(129)] {
            assert!(matches!(sweep(run), Err(SweepError::Run(..))), "{run:?}");
        }
    }

    #[test]
    fn state_is_removed_only_inside_and_never_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let outside = dir.path().join("outside");
        std::fs::create_dir_all(run.join("state/east")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("precious"), "x").unwrap();
        std::os::unix::fs::symlink(&outside, run.join("state/link")).unwrap();
        std::os::unix::fs::symlink(&outside, run.join("way")).unwrap();
        let refused =
            [run.clone(), outside.clone(), run.join("state/.."), run.join("../outside"), run.join("way")];
        for state in refused.iter().chain([&run.join("way/deeper")]) {
            assert!(matches!(remove_state(&run, state), Err(SweepError::Refused { .. })), "{state:?}");
        }
        assert!(remove_state(&run, &run.join("state")).unwrap());
        assert!(!run.join("state").exists());
        assert!(outside.join("precious").exists());
        assert!(!remove_state(&run, &run.join("state")).unwrap());
    }
}
