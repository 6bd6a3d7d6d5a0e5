//! The harness is killed outright, at any moment: nothing of the run may be left in the engine.

use std::ffi::OsString;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adapters::docker::images::Choices;
use adapters::docker::sweep::{Thing, find};
use adapters::docker::{DockerConfig, DockerHost, Engine};
use adapters::local::heal;
use harness::act::Act;

use crate::common::{block_on, run_id, watchdogs};
use crate::stand::{object, plan};

/// The subcommand that makes this program a harness to be killed; a run's id and its folder follow.
pub(crate) const HARNESS: &str = "__harness";

/// How often a harness is killed, unless `GAMEDAY_KILLS` says otherwise.
const KILLS: u32 = 5;

/// Launches a stack and breaks it again and again.
pub(crate) fn harness(args: &[OsString]) -> ExitCode {
    let run = args[0].to_string_lossy().into_owned();
    let exe = std::env::current_exe().unwrap();
    let (folder, images) = ((&args[1]).into(), Choices::new());
    let config = DockerConfig { run, folder, exe, plan: plan(), flaw: None, images };
    block_on(async {
        let host = DockerHost::new(config).unwrap();
        host.launch().await.unwrap();
        loop {
            for act in [
                Act::Pause { node: object() },
                Act::Kill { node: object() },
                Act::Wipe { node: object() },
                Act::Start { node: object() },
            ] {
                host.act(&act).await;
            }
        }
    })
}

fn started(run: &str, folder: &std::path::Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([HARNESS, run]).arg(folder).stderr(Stdio::null()).spawn().unwrap()
}

pub(crate) fn left(run: &str) -> Vec<Thing> {
    block_on(async { find(&Engine::connect().await.unwrap(), run).await.unwrap() })
}

pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn a_killed_harness_leaves_nothing() {
    let kills = std::env::var("GAMEDAY_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let chance = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    for n in 0..kills {
        // The first moments are those of the launch, the later ones those of the acts.
        let moment = Duration::from_millis(u64::from((chance / 1000 + n * 997) % 5000));
        let (dir, run) = (tempfile::tempdir().unwrap(), run_id("docker"));
        let mut child = started(&run, dir.path());
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        let gone = || watchdogs(&run).is_empty() && left(&run).is_empty();
        until(&format!("{run}, killed after {moment:?}, left something"), gone);
        // Nothing was on its way either.
        std::thread::sleep(Duration::from_millis(500));
        assert!(gone(), "{run}, killed after {moment:?}: {:?}", left(&run));
        let healed = std::fs::read_to_string(dir.path().join("heal.jsonl")).unwrap_or_default();
        assert!(healed.is_empty() || healed.contains("\"done\""), "{healed}");
    }
}

pub(crate) fn what_nobody_cleaned_up_is_healed_by_hand() {
    let (dir, run) = (tempfile::tempdir().unwrap(), run_id("docker"));
    let mut child = started(&run, dir.path());
    until("the container is there", || left(&run).iter().any(|thing| thing.kind == "container"));
    for pid in watchdogs(&run) {
        assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let healed = heal(dir.path()).unwrap();
    assert!(healed.from_engine.len() >= 3 && healed.run == run, "{healed:?}");
    assert_eq!(left(&run), []);
    assert!(heal(dir.path()).unwrap().was_clean());
}
