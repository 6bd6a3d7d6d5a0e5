//! Evidence as its users meet it: keys, a signed drill, a review, a bundle, and what is found when it was touched.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use crate::desk::Desk;

/// A desk with keys and one signed drill; answers with the run's name.
fn signed() -> (Desk, String) {
    let desk = Desk::new();
    assert_eq!(desk.gameday("evidence keygen --identity ops@example.org").code, 0);
    assert_eq!(
        desk.gameday("evidence keygen --identity audit@example.org --reviewer --key keys/reviewer.key").code,
        0
    );
    let answer = desk.gameday("run --world sim --quiet good.toml --evidence evidence");
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let run = only_run(&desk);
    (desk, run)
}

fn only_run(desk: &Desk) -> String {
    let entries = fs::read_dir(desk.path("evidence")).expect("files can be moved").flatten();
    let folder = entries.into_iter().find(|e| e.path().is_dir()).expect("files can be moved");
    folder.file_name().into_string().expect("files can be moved")
}

#[test]
fn declared_before_signed_after_and_verified() {
    let (desk, run) = signed();
    let key = fs::metadata(desk.path("keys/operator.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let ledger = desk.read("evidence/runs.jsonl");
    let lines: Vec<&str> = ledger.lines().collect();
    assert!(lines[0].contains("run.declared") && lines[1].contains("run.closed") && lines.len() == 2);
    let answer = desk.gameday("evidence verify evidence --recompute");
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert!(answer.stdout.contains("every number of 1 runs was rebuilt"), "{}", answer.stdout);
    // Nothing of the key is in what is handed over.
    let secret = desk.read("keys/operator.key");
    for line in secret.lines().filter(|l| !l.starts_with('-')) {
        for file in ["journal.jsonl", "result.json", "SHA256SUMS.sig"] {
            assert!(!desk.read(&format!("evidence/{run}/{file}")).contains(line), "{file}");
        }
    }
    assert_eq!(desk.read(&format!("evidence/{run}/journal.jsonl")), desk.read("runs/latest/journal.jsonl"));
}

#[test]
fn what_was_touched_is_named_and_ends_with_5() {
    let (desk, run) = signed();
    let file = format!("evidence/{run}/report.txt");
    desk.write(&file, &desk.read(&file).replace("PASS", "pass"));
    for line in ["evidence verify evidence", "compliance evidence --quarter 2026Q4", "metrics evidence"] {
        let answer = desk.gameday(line);
        assert_eq!((answer.code, answer.stdout.as_str()), (5, ""), "{line}");
        assert!(
            answer.stderr.contains("report.txt: it was changed after it was signed"),
            "{}",
            answer.stderr
        );
    }
}

#[test]
fn programs_read_what_was_checked() {
    let (desk, run) = signed();
    let check = |line: &str| {
        let answer = desk.gameday(line);
        let json: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON alone");
        (answer.code, json)
    };
    let (code, json) = check("evidence verify evidence --recompute --json");
    assert_eq!(code, 0);
    assert_eq!((&json["verified"], &json["recomputed"]), (&true.into(), &true.into()));
    assert_eq!((&json["anchored"], &json["head"]["entries"]), (&false.into(), &2.into()));
    assert_eq!(
        (&json["runs"][0]["run"], &json["runs"][0]["verdict"]),
        (&run.as_str().into(), &"pass".into())
    );
    fs::remove_file(desk.path(&format!("evidence/{run}/result.json"))).unwrap();
    let (code, json) = check("evidence verify evidence --json");
    assert_eq!((code, &json["verified"]), (5, &false.into()));
    let place = json["problems"][0]["place"].as_str().unwrap();
    assert!(place.ends_with("result.json"), "{place}");
}

#[test]
fn rehearsals_are_no_quarter() {
    let (desk, _) = signed();
    let answer = desk.gameday("compliance evidence --quarter 2026Q4 --json");
    assert_eq!(answer.code, 1);
    let json: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!((&json["real"], json["kpis"].as_array().unwrap().len()), (&0.into(), 8));
}

#[test]
fn an_auditor_needs_ssh_keygen_and_sha256sum_alone() {
    if Command::new("ssh-keygen").arg("-?").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "ssh-keygen is missing");
        return;
    }
    let (desk, run) = signed();
    let record = format!("evidence/{run}/record.toml");
    desk.write(&record, &desk.read(&record).replace("REQUIRES-OPERATOR-INPUT", "as planned"));
    let review = format!("evidence review evidence {run} --key keys/reviewer.key --statement compared");
    let answer = desk.gameday(&review);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let now = desk.read("evidence/runs.jsonl");
    let stamp = now.split("\"at\":\"").nth(1).unwrap();
    let (year, month): (&str, u32) = (&stamp[..4], stamp[5..7].parse().unwrap());
    let quarter = format!("{year}Q{}", month.div_ceil(3));
    let answer = desk.gameday(&format!("evidence bundle evidence --quarter {quarter} --out bundle"));
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let auditor = |folder: &str| {
        let mut command = Command::new("sh");
        command
            .arg(desk.path("bundle/verify.sh"))
            .arg(desk.path(folder))
            .arg(desk.path("keys/allowed_signers"));
        command.arg(desk.path("evidence/HEAD")).output().unwrap()
    };
    for folder in ["evidence", "bundle"] {
        let output = auditor(folder);
        assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(desk.gameday(&format!("evidence verify {folder} --recompute")).code, 0);
    }
    for file in ["bundle.json", "runs.jsonl", &format!("{run}/journal.jsonl"), &format!("{run}/review.md")] {
        let path = desk.path("bundle").join(file);
        let untouched = fs::read(&path).unwrap();
        let mut changed = untouched.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(&path, changed).unwrap();
        assert_eq!(auditor("bundle").status.code(), Some(5), "{file}");
        assert_eq!(desk.gameday("evidence verify bundle").code, 5, "{file}");
        fs::write(&path, untouched).unwrap();
    }
    assert!(auditor("bundle").status.success());
}

#[test]
fn without_a_key_nothing_is_played() {
    let desk = Desk::new();
    let answer = desk.gameday("run --world sim --quiet good.toml --evidence evidence");
    assert_eq!(answer.code, 2);
    assert!(answer.stderr.contains("gameday evidence keygen"), "{}", answer.stderr);
    assert!(!desk.path("runs").exists() && !desk.path("evidence").exists());
}

#[test]
fn signers_from_within_the_evidence_are_refused() {
    let (desk, _) = signed();
    fs::copy(desk.path("keys/allowed_signers"), desk.path("evidence/allowed_signers")).unwrap();
    let answer = desk.gameday("evidence verify evidence --signers evidence/allowed_signers");
    assert_eq!(answer.code, 2, "{}", answer.stderr);
    let answer = desk.gameday("evidence verify evidence");
    assert!(answer.code == 5 && answer.stderr.contains("allowed_signers"), "{}", answer.stderr);
}

#[test]
fn a_textfile_is_replaced_whole() {
    let (desk, _) = signed();
    desk.write("out/gameday.prom", "old");
    assert_eq!(desk.gameday("metrics evidence --textfile out/gameday.prom").code, 0);
    let text = desk.read("out/gameday.prom");
    assert!(text.ends_with('\n') && text.contains("gameday_drill_last_success_timestamp_seconds{"), "{text}");
    assert_eq!(fs::read_dir(desk.path("out")).unwrap().count(), 1);
}

#[test]
fn a_run_that_is_killed_stays_on_record_as_never_closed() {
    let desk = Desk::new();
    assert_eq!(desk.gameday("evidence keygen --identity ops@example.org").code, 0);
    let mut run = Command::new(assert_cmd::cargo::cargo_bin("gameday"));
    run.current_dir(desk.path("")).env("GAMEDAY_KEYS", desk.path("keys"));
    run.args(["run", "good.toml", "--world", "local", "--evidence", "evidence"]);
    let mut child = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // The line that says so comes only after the ledger was signed, and before anything is started.
    let stderr = BufReader::new(child.stderr.take().unwrap());
    assert!(stderr.lines().any(|line| line.unwrap().starts_with("evidence: declared")));
    child.kill().unwrap();
    child.wait().unwrap();
    let answer = desk.gameday("evidence verify evidence --recompute");
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert!(answer.stderr.contains("never closed: counts as failed"), "{}", answer.stderr);
    let run = only_run(&desk);
    desk.gameday(&format!("heal runs/{run}"));
}
