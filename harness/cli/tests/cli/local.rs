//! World `local`: real processes, real signals, and nothing left behind.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use harness::{facts::Facts, journal::Reader};
use rustix::process::{Pid, Signal, kill_process};

use crate::desk::Desk;

/// Drills in real time one after the other: a harness that is kept waiting by its neighbours rightly says `UNKNOWN`.
/// For the same reason their probes are slow ones.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until something is so; it must be within a minute.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A drill that is in the middle of its storm.
pub(crate) fn in_the_storm(desk: &Desk) -> Child {
    in_a_storm(desk, &["--set", "fault.0.at=30s"])
}

/// The same, changed.
pub(crate) fn in_a_storm(desk: &Desk, changes: &[&str]) -> Child {
    let child = Command::new(assert_cmd::cargo::cargo_bin("gameday"))
        .arg("run")
        .args(changes)
        .arg("short.toml")
        .current_dir(desk.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let journal = desk.path("runs/latest/journal.jsonl");
    until("the storm", || fs::read_to_string(&journal).is_ok_and(|j| j.contains(r#""entered":"storm""#)));
    child
}

pub(crate) fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it still runs");
}

/// Processes that carry the mark of a run.
pub(crate) fn left_of(run: &str) -> Vec<String> {
    let mark = format!("GAMEDAY_RUN={run}");
    let marked = |dir: &Path| {
        fs::read(dir.join("environ")).is_ok_and(|e| e.split(|b| *b == 0).any(|v| v == mark.as_bytes()))
    };
    let all = fs::read_dir("/proc").expect("/proc is there").flatten();
    all.filter(|p| marked(&p.path())).map(|p| p.file_name().to_string_lossy().into_owned()).collect()
}

pub(crate) fn run_of(desk: &Desk) -> String {
    let latest = fs::read_link(desk.path("runs/latest")).expect("a run was begun");
    latest.to_string_lossy().into_owned()
}

#[test]
fn a_drill_with_real_processes_passes_and_can_be_reported_again() {
    let _alone = alone();
    let desk = Desk::new();
    let run = desk.gameday("run --json short.toml");
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let result: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON alone");
    let journal = desk.read("runs/latest/journal.jsonl");
    let facts = Facts::of(Reader::new(journal.as_bytes())).unwrap();
    assert_eq!(facts.recount(), Ok(()), "recall follows from the raw answers of a real store");
    assert_eq!((result["world"].as_str(), result["counts_as"].as_str()), (Some("local"), Some("rehearsal")));
    assert_eq!(run.stdout, desk.read("runs/latest/result.json"));
    assert_eq!(desk.gameday("report runs/latest").stdout, desk.read("runs/latest/report.txt"));
    assert_eq!(left_of(&run_of(&desk)), Vec::<String>::new());
    assert!(desk.gameday("heal runs/latest").stdout.contains("nothing was left behind"));
}

#[test]
fn signals_that_ask_to_end_undo_and_report() {
    let _alone = alone();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let desk = Desk::new();
        let child = in_the_storm(&desk);
        assert!(!left_of(&run_of(&desk)).is_empty(), "the nodes carry the run's mark");
        send(&child, signal);
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.starts_with("UNKNOWN: the drill was given up"), "{said}");
        assert_eq!(desk.read("runs/latest/report.txt"), desk.gameday("report runs/latest").stdout);
        assert_eq!(left_of(&run_of(&desk)), Vec::<String>::new());
    }
}

#[test]
fn whoever_ends_the_harness_the_watchdog_cleans_up() {
    let _alone = alone();
    for twice in [true, false] {
        let desk = Desk::new();
        let mut child = in_the_storm(&desk);
        if twice {
            send(&child, Signal::INT);
            send(&child, Signal::TERM);
        } else {
            send(&child, Signal::KILL);
        }
        child.wait().expect("it ends");
        let run = run_of(&desk);
        until("the watchdog", || left_of(&run).is_empty());
        let report = desk.gameday("report runs/latest");
        assert_eq!(report.code, 4, "{}", report.stdout);
        let healed = desk.gameday("heal runs/latest");
        assert_eq!(healed.code, 0, "{}", healed.stderr);
        assert!(!desk.path("runs/latest/state").exists());
    }
}

#[test]
fn a_world_that_cannot_be_made_is_the_environments_failure() {
    let desk = Desk::new();
    // Known in world sim, and not to be planted in real nodes.
    let answer = desk.gameday("run --flaw hanging-search short.toml");
    assert_eq!((answer.code, answer.stdout.as_str()), (3, ""), "{}", answer.stderr);
    assert!(answer.stderr.contains("remedy:"), "{}", answer.stderr);
    assert!(!desk.path("runs/latest/journal.jsonl").exists());
}
