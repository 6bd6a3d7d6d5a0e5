//! The container engine goes away in the middle of a drill, and comes back. The engine of this machine serves others
//! too, so what goes away is the harness's way to it: a socket that this test holds.

use std::ffi::OsString;
use std::io::copy;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::spawn;
use std::time::{Duration, Instant};

use adapters::local::heal;
use harness::journal::Ending;
use harness::verdict::Verdict;

use crate::common::{run_id, watchdogs};
use crate::death::{left, until};
use crate::drills;
use crate::stand::plan;

/// The subcommand that makes this program a harness that plays a drill; a run's id and its folder follow.
pub(crate) const DRILL: &str = "__drill";

/// Plays the small drill, and prints how it ended.
#[expect(clippy::print_stdout, reason = "its parent reads it")]
pub(crate) fn drill(args: &[OsString]) -> ExitCode {
    let (ending, report) = drills::play_in(plan(), &args[0].to_string_lossy(), Path::new(&args[1]));
    let why = report.findings.iter().find(|f| f.objective == "conduct").map(|f| f.why.clone());
    assert_eq!((ending, report.verdict), (Ending::Environment, Verdict::Unknown));
    println!("{}", why.unwrap_or_default());
    ExitCode::SUCCESS
}

/// A way to the engine, by a socket of its own.
struct Door {
    path: PathBuf,
    shut: Arc<AtomicBool>,
    through: Arc<Mutex<Vec<UnixStream>>>,
}

impl Door {
    fn open(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let door = Self { path: path.to_owned(), shut: Arc::default(), through: Arc::default() };
        let (shut, through) = (door.shut.clone(), door.through.clone());
        spawn(move || {
            for near in listener.incoming() {
                if shut.load(Ordering::SeqCst) {
                    return;
                }
                let (near, far) = (near.unwrap(), UnixStream::connect(engine()).unwrap());
                let pairs = [(&near, &far), (&far, &near)]
                    .map(|(a, b)| (a.try_clone().unwrap(), b.try_clone().unwrap()));
                for (mut from, mut to) in pairs {
                    spawn(move || {
                        let _ = copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
                through.lock().unwrap().extend([near, far]);
            }
        });
        door
    }

    /// Every call under way breaks off, and nobody gets in any more.
    fn shut(self) {
        self.shut.store(true, Ordering::SeqCst);
        drop(UnixStream::connect(&self.path));
        std::fs::remove_file(&self.path).unwrap();
        for stream in self.through.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The socket of the real engine.
fn engine() -> PathBuf {
    let named = std::env::var("DOCKER_HOST").ok();
    named.as_deref().and_then(|host| host.strip_prefix("unix://")).unwrap_or("/var/run/docker.sock").into()
}

pub(crate) fn an_engine_that_goes_away_breaks_the_drill_off() {
    let (dir, run) = (tempfile::tempdir().unwrap(), run_id("docker"));
    let socket = dir.path().join("engine.sock");
    let door = Door::open(&socket);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([DRILL, &run]).arg(dir.path()).stdout(Stdio::piped());
    command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let child = command.spawn().unwrap();
    until("the container is there", || left(&run).iter().any(|thing| thing.kind == "container"));
    door.shut();
    let began = Instant::now();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success() && began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(said.contains("engine") && said.contains("gameday heal"), "{said}");
    until("the watchdog has tried, and left", || watchdogs(&run).is_empty());
    assert!(!left(&run).is_empty(), "nobody could remove anything");
    let blind = heal(dir.path()).unwrap_err();
    assert!(blind.what.contains("engine.sock") && blind.remedy.contains("start"), "{blind}");
    let door = Door::open(&socket);
    assert!(heal(dir.path()).unwrap().from_engine.len() >= 3);
    assert_eq!(left(&run), []);
    door.shut();
}
