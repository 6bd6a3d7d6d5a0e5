//! Fault drills on a stack that gameday did not launch: a shop that is a folder of files, broken and mended by its owner's
//! commands. Its users ask whether it is open; nothing but files is needed, so this runs everywhere.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use adapters::local::sweep;
use serde_json::Value;

use crate::desk::{Answer, Desk};

const STACK: &str = r#"
name = "shop"
level = "staging"
[allow]
components = ["shop"]
[component]
shop = { product = "command", env = ["SHOP"] }
[service.door]
uses = ["shop"]
priority = "critical"
probe = { every = "100ms", timeout = "2s", command = { run = ["./ask.sh"], env = ["SHOP"], text = "come in" } }
[canary]
shop = { rate = "5/s", plant = { run = ["./plant.sh"] }, list = { run = ["./list.sh"] }, remove = { run = ["./remove.sh"] } }
[witness]
shelf = { component = "shop", command = { run = ["./shelf.sh"], limit = "20s" } }
"#;

const DRILL: &str = r#"
kind = "fault"
name = "shop_closes"
stack_file = "stack.toml"
settle = "500ms"
[[fault]]
name = "closed"
component = "shop"
inject = { command = { run = ["./close.sh"], env = ["SHOP"], limit = "20s" } }
observe = { run = ["./is-closed.sh"], env = ["SHOP"], limit = "3s" }
undo = { run = ["./open.sh"], env = ["SHOP"], limit = "20s" }
[[recover]]
name = "runbook"
when = "detected"
component = "shop"
act = { command = { run = ["./runbook.sh"], env = ["SHOP"], limit = "20s" } }
[objectives]
rto = "20s"
rpo = "0s"
stable_for = "1s"
"#;

/// The program of a test cannot go on without its files.
const FILES: &str = "files can be written, and programs started";

/// A shop that is open, and a drill that passes.
fn shop() -> Desk {
    let desk = Desk::new();
    desk.write("stack.toml", STACK);
    desk.write("drill.toml", DRILL);
    desk.write("shop/open", "");
    for i in 0..50 {
        desk.write(&format!("shop/shelf/{i}"), &format!("thing {i}"));
    }
    fs::create_dir_all(desk.path("shop/canary")).expect(FILES);
    for (name, body) in [
        ("ask.sh", "[ -e \"$SHOP/open\" ] && echo come in"),
        ("close.sh", "rm \"$SHOP/open\""),
        ("open.sh", ": >\"$SHOP/open\""),
        ("runbook.sh", ": >\"$SHOP/open\""),
        ("is-closed.sh", "[ ! -e \"$SHOP/open\" ]"),
        ("shelf.sh", "cd \"$SHOP/shelf\"; sha256sum *"),
        (
            "plant.sh",
            "cd \"$SHOP/canary\"; echo $GAMEDAY_CANARY_ID $GAMEDAY_CANARY_AT $GAMEDAY_CANARY_VALUE >.$$; mv .$$ $GAMEDAY_CANARY_ID",
        ),
        ("list.sh", "cd \"$SHOP/canary\"; cat * 2>/dev/null || true"),
        ("remove.sh", "rm -f \"$SHOP/canary/$GAMEDAY_CANARY_ID\""),
    ] {
        script(&desk, name, body);
    }
    desk
}

fn script(desk: &Desk, name: &str, body: &str) {
    desk.write(name, &format!("#!/bin/sh\nset -eu\n{body}\n"));
    fs::set_permissions(desk.path(name), fs::Permissions::from_mode(0o755)).expect(FILES);
}

fn variables(desk: &Desk) -> [(&'static str, String); 1] {
    [("SHOP", desk.path("shop").display().to_string())]
}

fn gameday(desk: &Desk, line: &str) -> Answer {
    desk.gameday_with(line, &variables(desk))
}

fn open(desk: &Desk) -> bool {
    desk.path("shop/open").exists()
}

/// The report, the exit code, and each finding that is no pass, as `objective of subject: verdict`.
fn drilled(desk: &Desk, more: &str) -> (Value, i32, Vec<String>) {
    let answer = gameday(desk, &format!("run drill.toml --stack shop --json {more}"));
    let report: Value =
        serde_json::from_str(&answer.stdout).unwrap_or_else(|e| panic!("{e}: {}", answer.stderr));
    let word = |v: &Value| v.as_str().expect(FILES).to_owned();
    let findings = report["findings"].as_array().expect(FILES).iter();
    let doubts = findings
        .filter(|f| f["verdict"] != "pass")
        .map(|f| format!("{} of {}: {}", word(&f["objective"]), word(&f["subject"]), word(&f["verdict"])))
        .collect();
    (report, answer.code, doubts)
}

/// Processes that bear the mark of any run, and those of its commands.
fn left_of(desk: &Desk) -> Vec<u32> {
    let runs = fs::read_dir(desk.path("runs")).into_iter().flatten().flatten();
    let names = runs.map(|e| e.file_name().into_string().expect(FILES)).filter(|n| n != "latest");
    let marks = names.flat_map(|run| {
        ["", ".inject0", ".look", ".undo0", ".recover0", ".heal0"].map(|of| format!("{run}{of}"))
    });
    marks.flat_map(|mark| sweep::find(&mark).expect(FILES)).collect()
}

#[test]
fn a_runbook_that_mends_passes_and_the_report_can_be_made_again() {
    let desk = shop();
    let ready = gameday(&desk, "rehearse drill.toml");
    assert_eq!(ready.code, 0, "{}{}", ready.stdout, ready.stderr);
    assert!(ready.stdout.starts_with("READY: shop_closes on shop") && open(&desk), "{}", ready.stdout);
    let refused = gameday(&desk, "run drill.toml");
    assert!(refused.code == 2 && refused.stderr.contains("--stack shop"), "{}", refused.stderr);
    let plan = gameday(&desk, "plan drill.toml");
    for wanted in
        ["./close.sh with SHOP", "./is-closed.sh", "./open.sh", "./runbook.sh", "door: asked by command"]
    {
        assert!(plan.stdout.contains(wanted), "{wanted}\n{}", plan.stdout);
    }
    assert_eq!(gameday(&desk, "evidence keygen --identity ops@example.org").code, 0);
    let (report, code, doubts) = drilled(&desk, "--evidence evidence");
    assert_eq!((code, doubts), (0, vec![]), "{report:#}");
    let door = &report["services"][0];
    assert!(door["bad"].as_u64() >= Some(3) && door["rto_us"].as_u64() > Some(0), "{door:#}");
    assert!(report["fault"]["canaries"][0]["acked"].as_u64() >= Some(5), "{report:#}");
    assert_eq!(report["counts_as"], "staging");
    assert!(open(&desk));
    let again = gameday(&desk, "report runs/latest");
    assert_eq!(again.stdout, desk.read("runs/latest/report.txt"));
    let verified = gameday(&desk, "evidence verify evidence");
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    assert_eq!(left_of(&desk), Vec::<u32>::new());
}

#[test]
fn whatever_goes_wrong_has_its_finding() {
    type Change = fn(&Desk);
    let cases: [(&str, Change, &str, i32, &str); 12] = [
        (
            "nothing is broken",
            |d| script(d, "close.sh", ":"),
            "--set fault.0.observe.limit=1s",
            4,
            "effect of closed: unknown",
        ),
        ("it always looks broken", |d| script(d, "is-closed.sh", ":"), "", 4, "effect of closed: unknown"),
        (
            "nobody can look",
            |d| script(d, "is-closed.sh", "no-such-program"),
            "",
            4,
            "effect of closed: unknown",
        ),
        (
            "it cannot be broken",
            |d| script(d, "close.sh", "rm \"$SHOP/open\"; exit 7"),
            "",
            4,
            "effect of closed: unknown",
        ),
        (
            "the runbook does nothing",
            |d| script(d, "runbook.sh", ":"),
            "--set objectives.rto=1s",
            1,
            "rto of door: fail",
        ),
        (
            "the runbook fails",
            |d| script(d, "runbook.sh", ": >\"$SHOP/open\"; exit 9"),
            "",
            1,
            "recovery of runbook: fail",
        ),
        (
            "the runbook is late",
            |d| script(d, "runbook.sh", "sleep 3; : >\"$SHOP/open\""),
            "--set objectives.rto=1s",
            1,
            "rto of door: fail",
        ),
        (
            "the runbook loses a thing",
            |d| script(d, "runbook.sh", "rm \"$SHOP/shelf/7\"; : >\"$SHOP/open\""),
            "",
            1,
            "data of shelf: fail",
        ),
        (
            "the runbook changes a thing",
            |d| script(d, "runbook.sh", "echo >>\"$SHOP/shelf/7\"; : >\"$SHOP/open\""),
            "",
            1,
            "data of shelf: fail",
        ),
        (
            "the runbook loses what was written",
            |d| script(d, "runbook.sh", "rm \"$SHOP\"/canary/*; : >\"$SHOP/open\""),
            "",
            1,
            "rpo of shop: fail",
        ),
        (
            "the undo does nothing",
            |d| {
                script(d, "open.sh", ":");
                script(d, "runbook.sh", ":");
            },
            "--set objectives.rto=1s --set fault.0.observe.limit=1s",
            1,
            "cleanup of closed: fail",
        ),
        (
            "the undo harms",
            |d| script(d, "open.sh", "rm \"$SHOP/shelf/9\"; : >\"$SHOP/open\""),
            "",
            1,
            "data_after of shelf: fail",
        ),
    ];
    for (what, change, more, wanted, finding) in cases {
        let desk = shop();
        change(&desk);
        let (report, code, doubts) = drilled(&desk, more);
        assert_eq!(code, wanted, "{what}: {doubts:?}\n{report:#}");
        assert!(doubts.iter().any(|d| d == finding), "{what}: {doubts:?}\n{report:#}");
        assert_eq!(left_of(&desk), Vec::<u32>::new(), "{what}");
        assert!(open(&desk) || what == "the undo does nothing", "{what}: it is left closed");
    }
}

#[test]
fn what_heals_itself_before_anybody_can_look_is_seen_by_its_users() {
    let desk = shop();
    let heals = DRILL.split("when = ").next().expect(FILES).to_owned()
        + "act = { none = {} }\n[objectives]"
        + DRILL.split("[objectives]").nth(1).expect(FILES);
    desk.write("drill.toml", &heals);
    // It is closed for a moment while it looks as if it were open: a look that is slow comes too late.
    script(&desk, "close.sh", "rm \"$SHOP/open\"; sleep 0.5; : >\"$SHOP/open\"");
    script(&desk, "is-closed.sh", "sleep 0.6; [ ! -e \"$SHOP/open\" ]");
    let (report, code, doubts) = drilled(&desk, "");
    assert_eq!((code, doubts), (0, vec![]), "{report:#}");
    let effect = report["findings"].as_array().expect(FILES).iter().find(|f| f["objective"] == "effect");
    let measured = effect.expect(FILES)["measured"].as_str().expect(FILES).to_owned();
    assert!(
        measured.contains("seen by users: door") || measured.contains("after it was issued"),
        "{measured}"
    );
}

fn play(desk: &Desk) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("gameday"));
    command.args(["run", "drill.toml", "--stack", "shop"]).current_dir(desk.path(""));
    command.envs(variables(desk)).env("GAMEDAY_KEYS", desk.path("keys"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect(FILES)
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_harness_killed_at_any_moment_leaves_nothing_broken() {
    let desk = shop();
    script(&desk, "close.sh", "(sleep 1000 &); rm \"$SHOP/open\"");
    script(&desk, "runbook.sh", "sleep 0.3; : >\"$SHOP/open\"");
    let whole = Instant::now();
    assert_eq!(play(&desk).wait().expect(FILES).code(), Some(0));
    let whole = whole.elapsed();
    for moment in 0..20u32 {
        let mut child = play(&desk);
        std::thread::sleep(whole * moment / 20);
        child.kill().expect(FILES);
        child.wait().expect(FILES);
        // Its watchdog undoes, and ends what is still running; nobody has to do anything.
        until("it is open again, and nothing is left", || open(&desk) && left_of(&desk).is_empty());
        if desk.path("runs/latest/run.json").exists() {
            let healed = gameday(&desk, "heal runs/latest");
            assert_eq!(healed.code, 0, "{moment}: {}{}", healed.stdout, healed.stderr);
        }
        let report = gameday(&desk, "report runs/latest");
        assert!(!report.stdout.contains("PASS:") || moment == 0, "{moment}: {}", report.stdout);
    }
}

#[test]
fn a_run_that_is_interrupted_undoes_and_proves_nothing() {
    let desk = shop();
    script(&desk, "runbook.sh", "touch \"$SHOP/here\"; sleep 1000");
    let child = play(&desk);
    until("the runbook runs", || desk.path("shop/here").exists());
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .expect(FILES);
    let output = child.wait_with_output().expect(FILES);
    assert_eq!(output.status.code(), Some(4));
    assert!(open(&desk));
    assert_eq!(left_of(&desk), Vec::<u32>::new());
}

#[test]
fn what_could_not_be_undone_is_named_and_undone_if_somebody_says_so() {
    let desk = shop();
    script(&desk, "open.sh", "[ -e \"$SHOP/key\" ] && : >\"$SHOP/open\"");
    script(&desk, "runbook.sh", ":");
    let (_, code, doubts) = drilled(&desk, "--set objectives.rto=1s");
    assert!(code == 1 && doubts.iter().any(|d| d == "cleanup of closed: fail"), "{doubts:?}");
    let named = gameday(&desk, "heal runs/latest");
    assert!(named.code == 3 && named.stderr.contains("closed of shop: ./open.sh"), "{}", named.stderr);
    assert!(!open(&desk));
    desk.write("shop/key", "");
    let healed = gameday(&desk, "heal runs/latest --yes-run");
    assert_eq!(healed.code, 0, "{}{}", healed.stdout, healed.stderr);
    assert!(open(&desk) && healed.stdout.contains("undone   closed: gone"), "{}", healed.stdout);
    let again = gameday(&desk, "heal runs/latest");
    assert!(again.code == 0 && again.stdout.contains("nothing was left behind"), "{}", again.stdout);
}

#[test]
fn a_server_that_a_runbook_or_an_undo_started_lives_on_whatever_it_prints() {
    let desk = shop();
    // A server of the owner's, in a session of its own, that goes on printing to wherever its runbook printed.
    let server =
        "echo $$ >>\"$SHOP/pids\"; while :; do echo tick; echo tock >&2; : >\"$SHOP/beat\"; sleep 0.05; done";
    desk.write("server.sh", &format!("#!/bin/sh\n{server}\n"));
    let start = "sh -c 'setsid sh ./server.sh &' ; : >\"$SHOP/open\"";
    script(&desk, "runbook.sh", start);
    script(&desk, "open.sh", start);
    let beats = || {
        let _ = fs::remove_file(desk.path("shop/beat"));
        until("the server lives", || desk.path("shop/beat").exists());
    };
    let (report, code, doubts) = drilled(&desk, "");
    assert_eq!((code, doubts), (0, vec![]), "{report:#}");
    beats();
    // Interrupted or killed while the runbook runs: what it had started lives on, too.
    script(&desk, "runbook.sh", &format!("{start}; touch \"$SHOP/here\"; sleep 1000"));
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::KILL] {
        let _ = fs::remove_file(desk.path("shop/here"));
        let mut child = play(&desk);
        until("the runbook runs", || desk.path("shop/here").exists());
        until("it has started the server", || desk.read("shop/pids").lines().count() % 2 == 1);
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).expect(FILES);
        child.wait().expect(FILES);
        until("it is undone", || desk.read("shop/pids").lines().count().is_multiple_of(2));
        beats();
    }
    let pids = desk.read("shop/pids");
    let alive: Vec<i32> = pids.lines().filter_map(|pid| pid.parse().ok()).collect();
    assert_eq!(alive.len(), 6);
    for pid in alive {
        let pid = rustix::process::Pid::from_raw(pid).expect(FILES);
        assert!(
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok(),
            "{pid:?} was ended"
        );
    }
}
