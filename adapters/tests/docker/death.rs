//! The harness is killed outright, at any moment: nothing of the run may be left in the engine.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adapters::docker::images::Choices;
use adapters::docker::sweep::{Thing, find};
use adapters::docker::{DockerConfig, DockerHost, Engine};
use adapters::local::heal;
use harness::act::Act;
use harness::diagnose::load;
use harness::journal::{Ending, EventKind, Reader};
use harness::plan::Plan;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::common::{block_on, run_id, watchdogs};
use crate::drills::play_to_file;
use crate::stand::{object, plan};

/// The subcommand that makes this program a harness to be killed; a run's id and its folder follow.
pub(crate) const HARNESS: &str = "__harness";

/// The subcommand that makes it one that plays a whole drill.
pub(crate) const DRILL: &str = "__whole_drill";

/// How often one that plays a whole drill is killed, unless `GAMEDAY_KILLS` says otherwise.
const WHOLE_KILLS: u64 = 3;
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

/// Plays a whole drill on the full stack.
pub(crate) fn whole_drill(args: &[OsString]) -> ExitCode {
    let run = args[0].to_string_lossy().into_owned();
    match play_to_file(&full(), &run, Path::new(&args[1])) {
        Ending::Complete => ExitCode::SUCCESS,
        other => {
            println!("{run}: {other:?}");
            ExitCode::FAILURE
        }
    }
}

fn full() -> Plan {
    load(include_bytes!("full.toml"), &[]).unwrap().plan
}

fn started(word: &str, run: &str, folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([word, run]).arg(folder).stderr(Stdio::null()).spawn().unwrap()
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
        let mut child = started(HARNESS, &run, dir.path());
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

/// The phase that a run was in, and the last act of it.
fn reached(folder: &Path) -> String {
    let Ok(file) = std::fs::File::open(folder.join("journal.jsonl")) else {
        return "before its journal".into();
    };
    let (mut phase, mut act) = (String::new(), String::new());
    for event in Reader::new(std::io::BufReader::new(file)) {
        match event.map(|event| event.kind) {
            Ok(EventKind::Entered(entered)) => phase = format!("in {entered}"),
            Ok(EventKind::Intended(intent)) => act = format!(", after `{}` was begun", intent.step),
            Ok(_) => {}
            Err(e) => return format!("with a journal that cannot be read: {e}"),
        }
    }
    phase + &act
}

/// One drill that nobody disturbs; how long it takes.
fn undisturbed() -> Duration {
    let (dir, run) = (tempfile::tempdir().unwrap(), run_id("docker"));
    let began = Instant::now();
    let ended = started(DRILL, &run, dir.path()).wait().unwrap();
    let took = began.elapsed();
    assert!(ended.success(), "{run} did not play to its end: {}", reached(dir.path()));
    assert!(watchdogs(&run).is_empty() && left(&run).is_empty(), "{run}: {:?}", left(&run));
    took
}

/// Every role, at moments spread over launch, seeding, faults, recovery and teardown; `GAMEDAY_KILLS` says how many,
/// `GAMEDAY_SEED` which.
pub(crate) fn a_harness_killed_amid_a_whole_drill_leaves_nothing() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let kills = number("GAMEDAY_KILLS").unwrap_or(WHOLE_KILLS).max(1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let seed = number("GAMEDAY_SEED").unwrap_or(now.into());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let whole = undisturbed();
    println!("a whole drill takes {whole:.1?}; {kills} kills, GAMEDAY_SEED={seed}");
    for n in 0..kills {
        // One in each equal part of the drill, anywhere in it.
        let part = rng.next_u64() % 1000;
        let moment = whole.mul_f64((n as f64 + part as f64 / 1000.0) / kills as f64);
        let (dir, run) = (tempfile::tempdir().unwrap(), run_id("docker"));
        let mut child = started(DRILL, &run, dir.path());
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        let (killed, there) = (Instant::now(), left(&run).len());
        let at = reached(dir.path());
        let gone = || watchdogs(&run).is_empty() && left(&run).is_empty();
        until(&format!("{run}, killed after {moment:?} {at}, left something"), gone);
        let healed = killed.elapsed();
        // Nothing was on its way either.
        std::thread::sleep(Duration::from_millis(500));
        assert!(gone(), "{run}, killed after {moment:?} {at}: {:?}", left(&run));
        let log = std::fs::read_to_string(dir.path().join("heal.jsonl")).unwrap_or_default();
        assert!(log.is_empty() || log.contains("\"done\""), "{log}");
        println!("kill {n} after {moment:.1?} {at}: {there} things, gone {healed:.1?} later");
    }
    println!("afterwards a whole drill takes {:.1?}", undisturbed());
}

pub(crate) fn what_nobody_cleaned_up_is_healed_by_hand() {
    let (dir, run) = (tempfile::tempdir().unwrap(), run_id("docker"));
    let mut child = started(HARNESS, &run, dir.path());
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
