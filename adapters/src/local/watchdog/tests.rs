//! Real watchdogs over real processes. The programs they need are this test binary, started again as one of the
//! ignored tests below.

use std::process::Child as StdChild;
use std::time::Instant;

use super::*;
use crate::local::proc::{Proc, Spawn};
use crate::local::sweep::find;

const DIR: &str = "GAMEDAY_TEST_DIR";

fn guarded(dir: &Path) -> Guarded {
    let name = dir.file_name().unwrap().to_str().unwrap().trim_start_matches('.');
    Guarded { run: format!("watchdog-{name}"), run_dir: dir.to_owned(), state: dir.join("state") }
}

fn args(test: &str) -> Vec<OsString> {
    let test = format!("local::watchdog::tests::{test}");
    ["--exact", &test, "--nocapture", "--ignored"].map(OsString::from).to_vec()
}

fn program(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(args(test)).env(DIR, dir);
    command
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn record(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("heal.jsonl")).unwrap_or_default()
}

fn run_folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("state/east")).unwrap();
    dir
}

#[test]
#[ignore = "the watchdog of the tests below"]
fn a_watchdog() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    watch(&guarded(Path::new(&dir))).unwrap();
    // Nobody reads its standard output any more, and the test runner would print to it.
    std::process::exit(0);
}

#[test]
#[ignore = "the harness of the tests below"]
fn a_harness() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let watchdog = Watchdog::start(&std::env::current_exe().unwrap(), &args("a_watchdog")).await.unwrap();
        let node = |script: &str| {
            let spec = Spawn {
                program: "/bin/sh".into(),
                args: vec!["-c".into(), script.into()],
                env: vec![],
                dir: None,
                run: guarded(dir).run,
                log: dir.join("log"),
            };
            Proc::spawn(&spec).unwrap()
        };
        let _plain = node("sleep 1000");
        let _stubborn = node("trap '' TERM HUP INT; setsid sleep 1000 & while :; do sleep 1; done");
        let paused = node("sleep 1000 & wait");
        paused.pause().await.unwrap();
        std::fs::write(dir.join("watchdog.pid"), watchdog.pid().to_string()).unwrap();
        std::fs::write(dir.join("up"), "").unwrap();
        std::future::pending::<()>().await;
    });
}

fn harness(dir: &Path) -> (StdChild, u32) {
    let harness = program("a_harness", dir).stdout(Stdio::null()).spawn().unwrap();
    until("the harness is up", || dir.join("up").exists());
    let watchdog = std::fs::read_to_string(dir.join("watchdog.pid")).unwrap().parse().unwrap();
    (harness, watchdog)
}

#[test]
fn a_harness_killed_outright_leaves_nothing() {
    let dir = run_folder();
    let (mut harness, watchdog) = harness(dir.path());
    let run = guarded(dir.path()).run;
    assert!(find(&run).unwrap().len() >= 3);
    assert!(!find(&run).unwrap().contains(&watchdog), "the watchdog bears the mark");
    harness.kill().unwrap();
    harness.wait().unwrap();
    until("the watchdog has healed", || record(dir.path()).contains("\"done\""));
    assert!(find(&run).unwrap().is_empty());
    assert!(!dir.path().join("state").exists());
    let record = record(dir.path());
    assert!(record.contains("\"killed\"") && record.contains("\"removed\""), "{record}");
    for line in record.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["at_unix_ms"].as_u64().is_some());
    }
    until("the watchdog is gone", || std::fs::metadata(format!("/proc/{watchdog}")).is_err());
}

#[test]
fn signals_do_not_move_a_watchdog() {
    let dir = run_folder();
    let (mut harness, watchdog) = harness(dir.path());
    let pid = rustix::process::Pid::from_raw(watchdog.cast_signed()).unwrap();
    for signal in ["INT", "TERM", "HUP", "QUIT"] {
        assert!(
            Command::new("kill")
                .args([format!("-{signal}"), watchdog.to_string()])
                .status()
                .unwrap()
                .success()
        );
    }
    assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid, "it leads a session of its own");
    harness.kill().unwrap();
    harness.wait().unwrap();
    until("the watchdog has healed all the same", || record(dir.path()).contains("\"done\""));
    assert!(find(&guarded(dir.path()).run).unwrap().is_empty());
}

#[tokio::test]
async fn a_released_watchdog_leaves_everything_alone() {
    let dir = run_folder();
    let watchdog = start(dir.path()).await.unwrap();
    assert!(watchdog.is_alive());
    watchdog.release().await.unwrap();
    assert!(dir.path().join("state").exists());
    assert_eq!(record(dir.path()), "");
}

/// The watchdog reads its folder from the environment here, so it is started through `env`.
async fn start(dir: &Path) -> Result<Watchdog, WatchdogError> {
    let mut line = vec![OsString::from(format!("{DIR}={}", dir.display()))];
    line.push(std::env::current_exe().unwrap().into());
    line.extend(args("a_watchdog"));
    Watchdog::start(Path::new("/usr/bin/env"), &line).await
}

#[tokio::test]
async fn a_dropped_watchdog_heals() {
    let dir = run_folder();
    drop(start(dir.path()).await.unwrap());
    until("the watchdog has healed", || record(dir.path()).contains("\"done\""));
    assert!(!dir.path().join("state").exists());
}

#[tokio::test]
async fn the_death_of_a_watchdog_is_noticed() {
    let dir = run_folder();
    let watchdog = start(dir.path()).await.unwrap();
    let exited = watchdog.exited();
    let status = Command::new("kill").args(["-KILL", &watchdog.pid().to_string()]).status().unwrap();
    assert!(status.success());
    assert_eq!(timeout(LIMIT, exited).await.unwrap(), Exit::Signal(9));
    assert!(!watchdog.is_alive());
    assert!(matches!(watchdog.release().await, Err(WatchdogError::Release(_))));
}

#[tokio::test]
async fn what_is_no_watchdog_is_noticed() {
    let mute = Watchdog::start(Path::new("/bin/true"), &[]).await.unwrap_err();
    assert!(matches!(mute, WatchdogError::NotReady(_)), "{mute}");
    let missing = Watchdog::start(Path::new("/no/such/program"), &[]).await.unwrap_err();
    assert!(matches!(missing, WatchdogError::Start(_)), "{missing}");
    let dir = tempfile::tempdir().unwrap();
    let nowhere = start(&dir.path().join("nothing")).await.unwrap_err();
    assert!(matches!(nowhere, WatchdogError::NotReady(_)), "{nowhere}");
}

#[test]
fn healing_twice_is_fine_and_refusals_are_recorded() {
    let dir = run_folder();
    let mut guarded = guarded(dir.path());
    assert!(heal(&guarded).unwrap().removed);
    assert!(!heal(&guarded).unwrap().removed);
    guarded.state = "/".into();
    assert!(heal(&guarded).is_err());
    assert!(record(dir.path()).contains("\"failed\""));
}

#[test]
fn what_cannot_be_recorded_is_done_all_the_same() {
    let dir = run_folder();
    std::fs::create_dir(dir.path().join("heal.jsonl")).unwrap();
    let guarded = guarded(dir.path());
    let mut left = Command::new("sleep").arg("1000").env(MARK, &guarded.run).spawn().unwrap();
    let error = heal(&guarded).unwrap_err();
    left.wait().unwrap();
    assert!(matches!(error, WatchdogError::Record { .. }), "{error}");
    assert!(find(&guarded.run).unwrap().is_empty() && !guarded.state.exists());
}

#[test]
fn a_run_whose_folder_is_gone_is_ended_all_the_same() {
    let dir = run_folder();
    let (mut harness, watchdog) = harness(dir.path());
    let run = guarded(dir.path()).run;
    assert!(find(&run).unwrap().len() >= 3);
    dir.close().unwrap();
    harness.kill().unwrap();
    harness.wait().unwrap();
    until("the watchdog has ended everything", || find(&run).unwrap().is_empty());
    until("the watchdog is gone", || std::fs::metadata(format!("/proc/{watchdog}")).is_err());
}
