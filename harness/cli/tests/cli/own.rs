//! Restore drills on a stack that gameday did not launch: a folder of files, its backup, and the commands of its owner.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use adapters::local::sweep;
use serde_json::Value;

use crate::desk::{Answer, Desk};

/// What no file may show.
const SECRET: &str = "pa55-w0rd-of-nobody";

const STACK: &str = r#"
name = "shelf"
level = "staging"
[allow]
components = ["files"]
[component]
files = { product = "command", env = ["SOURCE_DIR", "TOKEN"] }
[canary]
files = { plant = { run = ["./plant.sh"] }, list = { run = ["./list.sh"] }, remove = { run = ["./remove.sh"] } }
[witness]
books = { component = "files", command = { run = ["./books.sh"], limit = "20s" } }
"#;

const DRILL: &str = r#"
kind = "restore"
name = "restore_files"
stack_file = "stack.toml"
source = "files"
scratch = { product = "command", env = ["SCRATCH_DIR"] }
restore = { run = ["./restore.sh"], env = ["SCRATCH_DIR", "BACKUP_DIR"], limit = "10s" }
cleanup = { run = ["./clean.sh"], env = ["SCRATCH_DIR"] }
restart = { run = ["./restart.sh"], env = ["SCRATCH_DIR"] }
settle = "300ms"
[objectives]
rto = "30s"
rpo = "1h"
durable = true
"#;

const AT: &str = "cd \"${SOURCE_DIR:-$SCRATCH_DIR}\"";

/// A shelf of books, its backup, and a drill that passes.
fn shelf() -> Desk {
    let desk = Desk::new();
    desk.write("stack.toml", STACK);
    desk.write("drill.toml", DRILL);
    for i in 0..50 {
        desk.write(&format!("source/books/{i}"), &format!("book {i}"));
    }
    for folder in ["source/canary", "scratch", "backup"] {
        fs::create_dir_all(desk.path(folder)).expect("files can be moved, and programs started");
    }
    script(&desk, "books.sh", &format!("{AT}; [ ! -d books ] || (cd books && sha256sum *)"));
    script(
        &desk,
        "plant.sh",
        &format!(
            "{AT}; mkdir -p canary; echo $GAMEDAY_CANARY_ID $GAMEDAY_CANARY_AT $GAMEDAY_CANARY_VALUE >canary/$GAMEDAY_CANARY_ID"
        ),
    );
    script(&desk, "list.sh", &format!("{AT}; [ ! -d canary ] || cat canary/* 2>/dev/null || true"));
    script(
        &desk,
        "remove.sh",
        &format!("{AT}; rm -f canary/$GAMEDAY_CANARY_ID; rmdir canary 2>/dev/null || true"),
    );
    script(&desk, "restore.sh", "echo token ${TOKEN-none}; cp -r \"$BACKUP_DIR\"/. \"$SCRATCH_DIR\"");
    script(&desk, "clean.sh", "rm -rf \"$SCRATCH_DIR\"/*");
    script(&desk, "restart.sh", ":");
    for _ in 0..2 {
        let planted = gameday(&desk, "canary plant stack.toml");
        assert_eq!(planted.code, 0, "{}", planted.stderr);
    }
    copy(&desk.path("source"), &desk.path("backup"));
    desk
}

fn script(desk: &Desk, name: &str, body: &str) {
    desk.write(name, &format!("#!/bin/sh\nset -eu\n{body}\n"));
    fs::set_permissions(desk.path(name), fs::Permissions::from_mode(0o755))
        .expect("files can be moved, and programs started");
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .args(["-r", "--"])
        .arg(from.join("."))
        .arg(to)
        .status()
        .expect("files can be moved, and programs started");
    assert!(copied.success());
}

fn variables(desk: &Desk) -> [(&'static str, String); 4] {
    let path = |name: &str| desk.path(name).display().to_string();
    [
        ("SOURCE_DIR", path("source")),
        ("SCRATCH_DIR", path("scratch")),
        ("BACKUP_DIR", path("backup")),
        ("TOKEN", SECRET.to_owned()),
    ]
}

fn gameday(desk: &Desk, line: &str) -> Answer {
    desk.gameday_with(line, &variables(desk))
}

/// The verdict, the exit code, and each finding that is no pass, as `objective of subject: verdict`.
fn drilled(desk: &Desk) -> (String, i32, Vec<String>) {
    let answer = gameday(desk, "run drill.toml --stack shelf --json");
    let report: Value =
        serde_json::from_str(&answer.stdout).unwrap_or_else(|e| panic!("{e}: {}", answer.stderr));
    let word = |v: &Value| v.as_str().expect("files can be moved, and programs started").to_owned();
    let findings = report["findings"].as_array().expect("files can be moved, and programs started").iter();
    let doubts = findings
        .filter(|f| f["verdict"] != "pass")
        .map(|f| format!("{} of {}: {}", word(&f["objective"]), word(&f["subject"]), word(&f["verdict"])));
    (word(&report["verdict"]), answer.code, doubts.collect())
}

fn nothing_is_left(desk: &Desk) {
    let names = |folder: &str| {
        let all = fs::read_dir(desk.path(folder)).into_iter().flatten().flatten();
        all.map(|e| e.file_name().into_string().expect("files can be moved, and programs started"))
            .collect::<Vec<_>>()
    };
    assert_eq!(names("scratch"), Vec::<String>::new());
    assert!(names("source/canary").iter().all(|n| n.starts_with("c-")), "{:?}", names("source/canary"));
}

#[test]
fn a_backup_that_is_whole_passes_and_nothing_is_left() {
    let desk = shelf();
    let ready = gameday(&desk, "rehearse drill.toml");
    assert_eq!(ready.code, 0, "{}{}", ready.stdout, ready.stderr);
    assert!(ready.stdout.starts_with("READY: restore_files on shelf"), "{}", ready.stdout);
    let refused = gameday(&desk, "run drill.toml");
    assert!(refused.code == 2 && refused.stderr.contains("--stack shelf"), "{}", refused.stderr);
    let (verdict, code, doubts) = drilled(&desk);
    assert_eq!((verdict.as_str(), code, doubts), ("pass", 0, vec![]));
    nothing_is_left(&desk);
    let again = gameday(&desk, "report runs/latest");
    assert!(again.code == 0 && again.stdout.starts_with("PASS: files was back after"), "{}", again.stdout);
    assert!(again.stdout.contains("as true as they are"), "{}", again.stdout);
}

#[test]
fn a_plan_names_what_would_be_run_and_touches_nothing() {
    let desk = shelf();
    let plan = gameday(&desk, "plan drill.toml");
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    for words in [
        "restore_files on stack shelf (staging)",
        "./clean.sh with SCRATCH_DIR, at most",
        "./restore.sh with",
        "$SOURCE_DIR",
    ] {
        assert!(plan.stdout.contains(words), "{words}: {}", plan.stdout);
    }
    assert!(!desk.path("runs").exists());
    assert_eq!(gameday(&desk, "plan --json drill.toml").code, 2);
}

#[test]
fn each_runbook_that_does_not_restore_is_found_out() {
    type Break = fn(&Desk);
    let table: [(&str, Break, &str, &[&str]); 10] = [
        (
            "it does nothing",
            |d| script(d, "restore.sh", ":"),
            "fail",
            &["data of books: fail", "canaries of files: fail", "rto of files: fail"],
        ),
        (
            "one book is gone",
            |d| fs::remove_file(d.path("backup/books/7")).unwrap(),
            "fail",
            &["data of books: fail"],
        ),
        (
            "one book was rewritten",
            |d| d.write("backup/books/7", "another"),
            "fail",
            &["data of books: fail"],
        ),
        ("one book too many", |d| d.write("backup/books/x", "stranger"), "fail", &["data of books: fail"]),
        (
            "it fails",
            |d| script(d, "restore.sh", "cp -r \"$BACKUP_DIR\"/. \"$SCRATCH_DIR\"; exit 3"),
            "fail",
            &["restore of files: fail"],
        ),
        (
            "it never ends",
            |d| script(d, "restore.sh", "(setsid sleep 1000 &); yes | head -c 20000000; sleep 1000"),
            "fail",
            &["restore of files: fail", "rto of files: fail"],
        ),
        (
            "it is gone after the restart",
            |d| script(d, "restart.sh", "rm -r \"$SCRATCH_DIR\"/books"),
            "fail",
            &["durable of scratch: fail"],
        ),
        (
            "it touches the source",
            |d| script(d, "restore.sh", "cp -r \"$BACKUP_DIR\"/. \"$SCRATCH_DIR\"; rm source/books/9"),
            "fail",
            &["source of books: fail"],
        ),
        ("its clean-up does nothing", |d| script(d, "clean.sh", ":"), "fail", &["cleanup of scratch: fail"]),
        (
            "nothing says what is in the source",
            |d| script(d, "books.sh", "[ -z \"${SOURCE_DIR:-}\" ]"),
            "unknown",
            &["data of books: unknown"],
        ),
    ];
    for (what, damage, expected, findings) in table {
        let desk = shelf();
        // Short, but long enough for a busy machine to restore.
        desk.write("drill.toml", &DRILL.replace("limit = \"10s\"", "limit = \"3s\""));
        damage(&desk);
        let (verdict, code, doubts) = drilled(&desk);
        assert_eq!(verdict, expected, "{what}: {doubts:?}");
        assert_eq!(code, if expected == "fail" { 1 } else { 4 }, "{what}");
        for finding in findings {
            assert!(doubts.iter().any(|d| d == finding), "{what}: {finding} is not among {doubts:?}");
        }
        assert_eq!(left_of(&desk), Vec::<u32>::new(), "{what}");
    }
}

#[test]
fn yesterdays_backup_misses_the_rpo_and_a_hole_among_canaries_is_found() {
    let desk = shelf();
    // Both canaries were planted an hour and two before, and the newer one is not in the backup.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    fs::remove_dir_all(desk.path("source/canary")).unwrap();
    fs::remove_dir_all(desk.path("backup/canary")).unwrap();
    let plant = |folder: &str, minutes: u128| {
        let at = now - minutes * 60_000_000;
        desk.write(&format!("{folder}/canary/c-{at}"), &format!("c-{at} {at} value-{minutes}\n"));
    };
    [("source", 130), ("source", 70), ("backup", 130)].iter().for_each(|(f, m)| plant(f, *m));
    let (verdict, _, doubts) = drilled(&desk);
    assert_eq!((verdict.as_str(), doubts.as_slice()), ("fail", &["rpo of files: fail".to_owned()][..]));
    // Were the newest one back, nobody would know of the hour since: it is planted too rarely.
    plant("backup", 70);
    assert_eq!(drilled(&desk).2, ["rpo of files: unknown"]);
    plant("source", 10);
    plant("backup", 10);
    assert_eq!(drilled(&desk).2, Vec::<String>::new());
    fs::remove_file(desk.path("backup/canary").join(format!("c-{}", now - 70 * 60_000_000))).unwrap();
    let (_, _, doubts) = drilled(&desk);
    assert!(doubts.contains(&"canaries of files: fail".to_owned()), "{doubts:?}");
}

#[test]
fn a_scratch_that_is_the_source_is_refused_before_anything_is_run() {
    for link in [false, true] {
        let desk = shelf();
        let scratch = if link { desk.path("door") } else { desk.path("source") };
        if link {
            std::os::unix::fs::symlink(desk.path("source"), &scratch).unwrap();
        }
        let mut variables = variables(&desk);
        variables[1].1 = scratch.display().to_string();
        let answer = desk.gameday_with("run drill.toml --stack shelf --json", &variables);
        assert_eq!(answer.code, 4, "{}", answer.stderr);
        assert!(answer.stderr.is_empty() || !answer.stderr.contains("error"), "{}", answer.stderr);
        let why = if link { "they are one place" } else { "has the source's address" };
        assert!(answer.stdout.contains(why), "{}", answer.stdout);
        assert_eq!(
            fs::read_dir(desk.path("source/books")).unwrap().count(),
            50,
            "the clean-up was run on the source"
        );
        nothing_of_runs(&desk);
    }
}

fn nothing_of_runs(desk: &Desk) {
    let all =
        fs::read_dir(desk.path("source/canary")).expect("files can be moved, and programs started").flatten();
    let left: Vec<_> =
        all.map(|e| e.file_name()).filter(|n| !n.to_string_lossy().starts_with("c-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Processes that carry the mark of any run of this desk.
fn left_of(desk: &Desk) -> Vec<u32> {
    let runs = fs::read_dir(desk.path("runs")).into_iter().flatten().flatten();
    let names = runs
        .map(|e| e.file_name().into_string().expect("files can be moved, and programs started"))
        .filter(|n| n != "latest");
    names.flat_map(|run| sweep::find(&run).expect("files can be moved, and programs started")).collect()
}

#[test]
fn no_file_shows_a_secret() {
    let desk = shelf();
    desk.write("drill.toml", &DRILL.replace("\"BACKUP_DIR\"]", "\"BACKUP_DIR\", \"OTHER\"]"));
    script(
        &desk,
        "restore.sh",
        "echo say $OTHER; echo $OTHER >&2; cp -r \"$BACKUP_DIR\"/. \"$SCRATCH_DIR\"; printf 'last %s' $OTHER >&2; exit 1",
    );
    assert_eq!(gameday(&desk, "evidence keygen --identity ops@example.org").code, 0);
    let mut variables = variables(&desk).to_vec();
    variables.push(("OTHER", "an0ther-s3cret".to_owned()));
    let answer = desk.gameday_with("run drill.toml --stack shelf --evidence evidence", &variables);
    assert_eq!(answer.code, 1, "{}", answer.stderr);
    let said = answer.stdout + &answer.stderr;
    assert!(said.contains("say $OTHER") && said.contains("last $OTHER"), "{said}");
    for secret in ["an0ther-s3cret", SECRET] {
        assert!(!said.contains(secret), "{said}");
        for folder in ["runs", "evidence"] {
            let found = Command::new("grep").args(["-rl", secret]).arg(desk.path(folder)).output().unwrap();
            assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
        }
    }
    // What commands printed is nobody's evidence.
    let logs =
        Command::new("grep").args(["-rl", "say [$]OTHER"]).arg(desk.path("evidence")).output().unwrap();
    assert!(logs.stdout.is_empty());
}

fn play(desk: &Desk) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("gameday"));
    command.args(["run", "drill.toml", "--stack", "shelf"]).current_dir(desk.path(""));
    command.envs(variables(desk)).env("GAMEDAY_KEYS", desk.path("keys"));
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("files can be moved, and programs started")
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_harness_killed_at_any_moment_leaves_nothing_once_it_is_healed() {
    let desk = shelf();
    script(
        &desk,
        "restore.sh",
        "(setsid sleep 1000 &); for f in \"$BACKUP_DIR\"/*; do cp -r \"$f\" \"$SCRATCH_DIR\"; sleep 0.1; done",
    );
    let whole = Instant::now();
    assert_eq!(play(&desk).wait().unwrap().code(), Some(0));
    let whole = whole.elapsed();
    for moment in 0..20u32 {
        let mut child = play(&desk);
        std::thread::sleep(whole * moment / 20);
        child.kill().unwrap();
        child.wait().unwrap();
        // Its watchdog ends what its commands started.
        until("the commands are gone", || left_of(&desk).is_empty());
        if desk.path("runs/latest").exists() {
            let healed = gameday(&desk, "heal runs/latest --yes-run");
            assert_eq!(healed.code, 0, "{moment}: {}{}", healed.stdout, healed.stderr);
        }
        nothing_is_left(&desk);
        let report = gameday(&desk, "report runs/latest");
        assert!(
            report.code != 0 || moment == 0 || report.stdout.contains("PASS"),
            "{moment}: {}",
            report.stdout
        );
    }
    assert_eq!(fs::read_dir(desk.path("source/books")).unwrap().count(), 50);
}

#[test]
fn a_run_that_is_interrupted_cleans_up_and_proves_nothing() {
    let desk = shelf();
    script(
        &desk,
        "restore.sh",
        "cp -r \"$BACKUP_DIR\"/. \"$SCRATCH_DIR\"; touch \"$SCRATCH_DIR\"/here; sleep 1000",
    );
    let child = play(&desk);
    until("it restores", || desk.path("scratch/here").exists());
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    nothing_is_left(&desk);
    assert_eq!(left_of(&desk), Vec::<u32>::new());
}

#[test]
fn what_init_writes_is_right_and_nothing_is_overwritten() {
    let desk = Desk::new();
    assert_eq!(desk.gameday("init --endpoints --in own").code, 0);
    let checked = desk.gameday("check own/drills/restore_db.toml");
    // The programs that its scripts need are looked for when they run.
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    // What has to be edited before it may be run says so.
    let checked = desk.gameday("check own/drills");
    let said = &checked.stderr;
    assert!(checked.code == 2 && said.contains("break-db.sh") && said.contains("chmod +x"), "{said}");
    for script in ["break-db.sh", "start-db.sh"] {
        fs::set_permissions(desk.path("own/drills").join(script), fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert_eq!(desk.gameday("check own/drills").code, 0);
    let again = desk.gameday("init --endpoints --in own");
    assert!(again.code == 2 && again.stderr.contains("stack.toml"), "{}", again.stderr);
    let unset = desk.gameday("rehearse own/drills/restore_db.toml");
    assert!(unset.code == 2 && unset.stderr.contains("BACKUP, DB_DSN, SCRATCH_DSN"), "{}", unset.stderr);
}

#[test]
fn all_mistakes_of_both_files_are_shown_at_once() {
    let desk = shelf();
    desk.write(
        "stack.toml",
        &STACK.replace("limit = \"20s\"", "limt = \"20s\"").replace("\"./plant.sh\"", ""),
    );
    let checked = gameday(&desk, "check drill.toml");
    assert_eq!(checked.code, 2);
    for words in ["limt", "no program is named", "the stack file has mistakes"] {
        assert!(checked.stderr.contains(words), "{words}: {}", checked.stderr);
    }
    desk.write("stack.toml", STACK);
    fs::remove_file(desk.path("restore.sh")).unwrap();
    let checked = gameday(&desk, "check drill.toml");
    assert!(checked.code == 2 && checked.stderr.contains("a command cannot be run"), "{}", checked.stderr);
}

/// The quarter that this is, such as 2026Q4.
fn quarter() -> String {
    let date = Command::new("date").args(["-u", "+%Y %-m"]).output().expect("there is a clock");
    let text = String::from_utf8(date.stdout).expect("a date is text");
    let (year, month) = text.trim().split_once(' ').expect("two words");
    format!("{year}Q{}", (month.parse::<u32>().expect("a month") - 1) / 3 + 1)
}

#[test]
fn a_quarter_of_restore_drills_complies_where_its_level_is_accepted() {
    let desk = shelf();
    desk.write(
        "drill.toml",
        &DRILL.replace("source = \"files\"", "priority = \"critical\"\nsource = \"files\""),
    );
    for identity in ["ops@example.org", "audit@example.org --reviewer --key keys/reviewer.key"] {
        assert_eq!(gameday(&desk, &format!("evidence keygen --identity {identity}")).code, 0);
    }
    for _ in 0..3 {
        let answer = gameday(&desk, "run drill.toml --stack shelf --evidence evidence --quiet");
        assert_eq!(answer.code, 0, "{}{}", answer.stdout, answer.stderr);
    }
    let folders = fs::read_dir(desk.path("evidence")).unwrap().flatten().filter(|e| e.path().is_dir());
    let runs: Vec<String> = folders.map(|e| e.file_name().into_string().unwrap()).collect();
    assert_eq!(runs.len(), 3);
    for run in &runs {
        let record = format!("evidence/{run}/record.toml");
        desk.write(&record, &desk.read(&record).replace("REQUIRES-OPERATOR-INPUT", "as it was played"));
        let review =
            ["evidence", "review", "evidence", run, "--key", "keys/reviewer.key", "--statement", "compared"];
        let reviewed = gameday(&desk, &review.join(" "));
        assert_eq!(reviewed.code, 0, "{}", reviewed.stderr);
    }
    let quarter = quarter();
    desk.write(
        "costs.toml",
        &format!("period = \"{quarter}\"\ncurrency = \"EUR\"\ninfrastructure = 1000.0\nrecovery = 100.0\ndrills = 20.0\nasserted_by = \"cfo@example.org\"\n"),
    );
    let ask = format!("compliance evidence --quarter {quarter} --costs costs.toml");
    let accepted = gameday(&desk, &format!("{ask} --accept staging"));
    assert_eq!(accepted.code, 0, "{}{}", accepted.stdout, accepted.stderr);
    assert!(accepted.stdout.starts_with("COMPLIES: all 8 figures"), "{}", accepted.stdout);
    let strict = gameday(&desk, &ask);
    assert_eq!(strict.code, 1, "{}{}", strict.stdout, strict.stderr);
    assert!(strict.stdout.contains("its level is staging"), "{}", strict.stdout);
    // The level stands in the stack's file, which is signed: raised afterwards, nothing verifies any more.
    let stack = format!("evidence/{}/stack.toml", runs[0]);
    desk.write(&stack, &desk.read(&stack).replace("staging", "production"));
    assert_eq!(gameday(&desk, &format!("{ask} --accept staging")).code, 5);
}
