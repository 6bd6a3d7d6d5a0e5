//! The ends of the program: what it needs, what it leaves behind, how it is ended, and what stands last on a terminal.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use crate::{
    desk::Desk,
    local::{alone, in_a_storm, in_the_storm, left_of, run_of, send, until},
};

/// The program under a limit of open files, soft and hard.
fn limited(desk: &Desk, files: u32, line: &str) -> Output {
    let program = assert_cmd::cargo::cargo_bin("gameday");
    let script = format!("ulimit -n {files}; exec {} {line}", program.display());
    Command::new("sh").args(["-c", &script]).current_dir(desk.path("")).output().expect("there is a shell")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_drill_that_would_run_short_is_refused_before_it_begins() {
    let desk = Desk::new();
    let refused = limited(&desk, 100, "run short.toml");
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(
        said.contains("open files are needed") && said.contains("remedy: raise the hard limit"),
        "{said}"
    );
    assert!(!desk.path("runs").exists(), "nothing was begun");
    let needed = desk.gameday("plan --json short.toml").stdout;
    let needed: serde_json::Value = serde_json::from_str(&needed).unwrap();
    assert!(said.contains(&format!("up to {} open files", needed["needs"]["open_files"])), "{said}");
    let doctor = limited(&desk, 100, "doctor short.toml");
    assert_eq!(doctor.status.code(), Some(3));
    assert!(text(&doctor.stdout).contains("short_freeze: up to"), "{}", text(&doctor.stdout));
    assert_eq!(desk.gameday("doctor short.toml").code, 0);
    // A simulation needs nothing of the machine.
    assert_eq!(limited(&desk, 100, "run --world sim --quiet good.toml").status.code(), Some(0));
}

#[test]
fn what_the_harness_itself_ran_out_of_is_the_environments_failure() {
    let _alone = alone();
    let desk = Desk::new();
    let child = in_a_storm(&desk, &["--set", "fault.0.for=60s"]);
    let journal = desk.path("runs/latest/journal.jsonl");
    until("the fault", || {
        fs::read_to_string(&journal).is_ok_and(|j| j.contains(r#""acted":{"step":"freeze""#))
    });
    // From here on it may open no file, but for those that it keeps back.
    let few = Rlimit { current: Some(40), maximum: Some(40) };
    prlimit(Some(Pid::from_child(&child)), Resource::Nofile, few).expect("it still runs");
    let output = child.wait_with_output().expect("it ends");
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("UNKNOWN: ") && said.contains("gameday itself ran out"), "{said}");
    let journal = desk.read("runs/latest/journal.jsonl");
    let charged: Vec<&str> =
        journal.lines().filter(|l| l.contains("os error 24") && !l.contains(r#""aborted""#)).collect();
    assert!(charged.is_empty(), "the stack was charged with our own shortage: {charged:?}");
    let undone = journal.lines().find(|l| l.contains(r#""undone":{"step":"freeze""#)).expect("it is undone");
    assert!(undone.contains("observed"), "{undone}");
    assert_eq!(left_of(&run_of(&desk)), Vec::<String>::new());
    assert!(!desk.path("runs/latest/state").exists());
}

#[test]
fn a_run_that_is_played_is_not_healed_and_its_secrets_are_its_own() {
    let _alone = alone();
    let desk = Desk::new();
    let child = in_the_storm(&desk);
    let refused = desk.gameday("heal runs/latest");
    assert_eq!(refused.code, 2, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains(&format!("process {}", child.id())), "{}", refused.stderr);
    assert!(!left_of(&run_of(&desk)).is_empty(), "its nodes are untouched");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let state = desk.path("runs/latest/state");
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("east-object.json")), 0o600);
    assert_eq!(mode(&desk.path("runs/latest/logs")), 0o700);
    send(&child, Signal::INT);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(4));
    assert!(!desk.path("runs/latest/run.lock").exists());
    assert_eq!(desk.gameday("heal runs/latest").code, 0);
}

#[test]
fn a_refused_run_leaves_latest_where_it_was() {
    let desk = Desk::new();
    desk.gameday("run --world sim --quiet good.toml");
    let before = run_of(&desk);
    assert_eq!(desk.gameday("run --flaw hanging-search short.toml").code, 3);
    assert_eq!(run_of(&desk), before);
    assert!(desk.gameday("heal runs/latest").stdout.contains("node_loss"));
}

#[test]
fn what_stands_where_latest_should_be_is_kept_and_so_is_the_run() {
    let desk = Desk::new();
    desk.write("one/latest/mine.txt", "precious");
    desk.write("two/latest", "precious");
    for (out, kept) in [("one", "one/latest/mine.txt"), ("two", "two/latest")] {
        let run = desk.gameday(&format!("run --world sim --out {out} good.toml"));
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stderr.contains("cannot point to this run"), "{}", run.stderr);
        assert_eq!(desk.read(kept), "precious");
        let folder = fs::read_dir(desk.path(out)).unwrap().flatten().map(|e| e.file_name());
        let folder = folder.map(|n| n.to_string_lossy().into_owned()).find(|n| n != "latest").unwrap();
        assert!(desk.read(&format!("{out}/{folder}/report.txt")).starts_with("PASS"));
        assert!(run.stdout.contains(&format!("report {out}/{folder}")), "{}", run.stdout);
    }
}

#[test]
fn the_verdict_and_the_page_stand_last() {
    let desk = Desk::new();
    let one = desk.gameday("run --world sim good.toml").stdout;
    let last: Vec<&str> = one.lines().rev().take(2).collect();
    let report = desk.path("runs/latest/report.html").canonicalize().unwrap();
    assert_eq!(last[0], format!("file://{}", report.display()));
    assert!(last[1].starts_with("PASS: rag was unavailable for"), "{}", last[1]);
    desk.changed("set/a.toml", "node_loss", "first");
    desk.changed("set/b.toml", "restart = { node = \"east/vector\" }", "none = {}");
    let set = desk.gameday("run --world sim set").stdout;
    let last: Vec<&str> = set.lines().rev().take(2).collect();
    assert!(last[0].starts_with("file:///") && last[0].ends_with("/report.html"), "{}", last[0]);
    assert_eq!(
        last[1],
        "FAIL: 2 drills in world sim: 1 pass, 1 fail, 0 unknown, 0 broken by the environment"
    );
    let findings = set.find("FAIL     rto of rag").expect("what was missed is told");
    assert!(findings < set.find("\ndrill ").expect("and then the table"), "{set}");
    assert!(!set.contains("WHAT HAD TO HOLD"), "no report in full: {set}");
}

/// The fixture with a command as its recovery.
fn with_command(desk: &Desk, script: &str) {
    let run = format!("command = {{ run = [\"sh\", \"-c\", {script:?}] }}");
    desk.changed("command.toml", "restart = { node = \"east/vector\" }", &run);
}

#[test]
fn a_command_starts_a_node_and_enters_stores_and_tells_no_secrets() {
    let _alone = alone();
    let desk = Desk::new();
    with_command(
        &desk,
        "echo keys $GAMEDAY_EAST_OBJECT_ACCESS_KEY $GAMEDAY_EAST_OBJECT_SECRET_KEY of $GAMEDAY_EAST_OBJECT_BUCKET; \
         \"$GAMEDAY\" node start east/vektor; \"$GAMEDAY\" node start east/vector",
    );
    let run =
        desk.gameday("run --set service.0.probe.every=200ms --set service.1.probe.every=200ms command.toml");
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let journal = desk.read("runs/latest/journal.jsonl");
    let acted = journal.lines().find(|l| l.contains(r#""acted""#) && l.contains("command")).expect("it ran");
    assert!(acted.contains("keys gameday *** of gameday"), "{acted}");
    assert!(acted.contains("there is no node `east/vektor`"), "{acted}");
    assert!(acted.contains("ordered") && acted.contains("start east/vector"), "{acted}");
    let outside = desk.gameday("node start east/vector");
    assert_eq!(outside.code, 3);
    assert!(outside.stderr.contains("no recovery command"), "{}", outside.stderr);
}

#[test]
fn a_simulation_does_not_know_what_a_command_would_do() {
    let desk = Desk::new();
    with_command(&desk, "true");
    let run = desk.gameday("run --world sim command.toml");
    assert_eq!(run.code, 4, "{}", run.stdout);
    assert!(
        run.stdout.starts_with("UNKNOWN: the drill was given up: world `sim` runs no commands"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_restore_of_a_node_that_is_down_is_a_mistake_of_the_scenario() {
    let desk = Desk::new();
    desk.changed("down.toml", "restart = { node = \"east/vector\" }", "restore = { node = \"east/vector\" }");
    let answer = desk.gameday("check down.toml");
    assert_eq!(answer.code, 2, "{}", answer.stdout);
    let said = answer.stdout + &answer.stderr;
    assert!(said.contains("`east/vector` does not run then: `crash` ends it"), "{said}");
    assert!(said.contains("restart = { node = \"east/vector\" }"), "the fix is told: {said}");
}

#[test]
fn the_doctor_asks_an_engine_that_is_named() {
    let desk = Desk::new();
    let program = assert_cmd::cargo::cargo_bin("gameday");
    let mut doctor = Command::new(program);
    let output =
        doctor.arg("doctor").current_dir(desk.path("")).env("DOCKER_HOST", "unix:///nowhere.sock").output();
    let said = text(&output.unwrap().stdout);
    assert!(said.contains("POOR     docker") && said.contains("no engine answers there"), "{said}");
}
