//! The harness is killed outright, at any moment: nothing of the run may be left.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adapters::local::sweep::{MARK, find};
use adapters::local::{LocalConfig, LocalHost, heal};
use harness::act::{Act, CutMode, Direction};
use harness::ports::Write;
use harness::topology::{NodeId, Role};

use crate::common::{block_on, run_id, watchdogs};
use crate::stand::plan;

/// The subcommand that makes this program a harness to be killed; a run's id and its folder follow.
pub(crate) const HARNESS: &str = "__harness";

/// Launches a stack and breaks it again and again.
pub(crate) fn harness(args: &[OsString]) -> ExitCode {
    let run = args[0].to_string_lossy().into_owned();
    let exe = std::env::current_exe().unwrap();
    let config = LocalConfig { run, folder: (&args[1]).into(), exe, plan: plan("2m"), flaw: None };
    block_on(async {
        let host = LocalHost::new(config).unwrap();
        host.launch().await.unwrap();
        let system = host.system(Role::Vector).unwrap();
        let node = NodeId::new("east", Role::Vector);
        let (mode, direction) = (CutMode::Blackhole, Direction::Both);
        for key in 0.. {
            system.write(Write { key, ver: 1, delete: false }).await.unwrap();
            for act in [
                Act::Pause { node: node.clone() },
                Act::Cut { from: None, to: node.clone(), mode, direction },
                Act::Kill { node: node.clone() },
                Act::Start { node: node.clone() },
                Act::Mend { from: None, to: node.clone() },
            ] {
                host.act(&act).await;
            }
        }
    });
    ExitCode::SUCCESS
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn a_killed_harness_leaves_nothing() {
    let chance = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    for (from, to) in [(0, 40), (40, 200), (200, 1500)] {
        let moment = Duration::from_millis(u64::from(from + chance / 1000 % (to - from)));
        let (dir, run) = (tempfile::tempdir().unwrap(), run_id("local"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([HARNESS, &run])
            .arg(dir.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        let gone = || {
            watchdogs(&run).is_empty() && find(&run).unwrap().is_empty() && !dir.path().join("state").exists()
        };
        until(&format!("{run}, killed after {moment:?}, left something"), gone);
        // Nothing was on its way either.
        std::thread::sleep(Duration::from_millis(200));
        assert!(gone(), "{run}, killed after {moment:?}");
        let healed = std::fs::read_to_string(dir.path().join("heal.jsonl")).unwrap_or_default();
        assert!(healed.is_empty() || healed.contains("\"done\""), "{healed}");
    }
}

pub(crate) fn what_nobody_cleaned_up_is_healed_by_hand() {
    let (dir, run) = (tempfile::tempdir().unwrap(), run_id("local"));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([HARNESS, &run])
        .arg(dir.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the nodes run", || find(&run).unwrap().len() >= 2);
    // Its watchdog dies first, and what a node started does not mind the end of its lifeline.
    for pid in watchdogs(&run) {
        assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    }
    let mut stray = Command::new("sleep").arg("1000").env(MARK, &run).spawn().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let healed = heal(dir.path()).unwrap();
    stray.wait().unwrap();
    assert!(healed.removed && !healed.killed.is_empty() && healed.run == run, "{healed:?}");
    assert!(find(&run).unwrap().is_empty() && !dir.path().join("state").exists());
    assert!(heal(dir.path()).unwrap().was_clean());
    assert!(Path::exists(&dir.path().join("heal.jsonl")));
}
