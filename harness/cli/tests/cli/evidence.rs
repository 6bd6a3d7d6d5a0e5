//! Evidence as its users meet it: keys, a signed drill, a review, a bundle, and what is found when it was touched.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use crate::desk::Desk;

/// A desk with keys and one signed drill; answers with the run's name.
pub(crate) fn signed() -> (Desk, String) {
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
    assert_eq!((&json["counted"], json["kpis"].as_array().unwrap().len()), (&0.into(), 8));
}

#[test]
fn a_policy_names_the_level_that_counts_and_never_a_rehearsal() {
    let (desk, _) = signed();
    let quarter = "2026Q4";
    for accepted in ["disposable", "staging", "production"] {
        let answer =
            desk.gameday(&format!("compliance evidence --quarter {quarter} --accept {accepted} --json"));
        assert_eq!(answer.code, 1);
        let json: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
        assert_eq!((&json["accepted"], &json["counted"]), (&accepted.into(), &0.into()));
        let levels = json["levels"].as_array().unwrap().iter().map(|l| l["level"].as_str().unwrap());
        assert_eq!(levels.collect::<Vec<_>>(), ["production", "staging", "disposable", "rehearsal"]);
    }
    let answer = desk.gameday(&format!("compliance evidence --quarter {quarter} --accept rehearsal"));
    assert_eq!((answer.code, answer.stdout.as_str()), (2, ""), "{}", answer.stderr);
}

#[test]
fn a_stack_that_gameday_did_not_launch_is_no_world_to_ask_for() {
    let desk = Desk::new();
    let answer = desk.gameday("run --world own good.toml");
    assert_eq!(answer.code, 2);
    assert!(answer.stderr.contains("[possible values: sim, local, docker]"), "{}", answer.stderr);
    desk.write("own.toml", &format!("worlds = [\"own\"]\n{}", desk.read("good.toml")));
    let answer = desk.gameday("check own.toml");
    assert_eq!(answer.code, 2);
    let said = answer.stdout + &answer.stderr;
    assert!(said.contains("`own` is a stack that gameday did not launch"), "{said}");
}

#[test]
fn a_public_key_comes_as_others_want_it() {
    let desk = Desk::new();
    assert_eq!(desk.gameday("evidence keygen --identity ops@example.org").code, 0);
    let beside = desk.read("keys/operator.key.pub.pem");
    let lines: Vec<&str> = beside.lines().collect();
    assert_eq!((lines[0], lines[2]), ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"));
    assert!(lines[1].starts_with("MCowBQYDK2VwAyEA") && lines[1].len() == 60, "{beside}");
    for line in ["evidence pem", "evidence pem --of ops@example.org", "evidence pem --key keys/operator.key"]
    {
        let answer = desk.gameday(line);
        assert_eq!((answer.code, &answer.stdout), (0, &beside), "{line}: {}", answer.stderr);
    }
    let answer = desk.gameday("evidence pem --of nobody@example.org");
    assert_eq!((answer.code, answer.stdout.as_str()), (2, ""));
    assert!(answer.stderr.contains("names no key of nobody@example.org"), "{}", answer.stderr);
}

#[test]
fn an_auditor_needs_ssh_keygen_and_sha256sum_alone() {
    if Command::new("ssh-keygen").arg("-?").output().is_err() {
        println!("skipped: ssh-keygen is missing (ci/setup installs it)");
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
    let of_run = |name: &str| format!("{run}/{name}");
    let (journal, review, stated) =
        (of_run("journal.jsonl"), of_run("review.md"), of_run("attestation.dsse.json"));
    for file in ["bundle.json", "runs.jsonl", &journal, &review, &stated] {
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
    let bundle = desk.path("bundle");
    let all = [
        "HEAD",
        "HEAD.sig",
        "runs.jsonl",
        "bundle.json",
        "SHA256SUMS",
        "SHA256SUMS.sig",
        "verify.sh",
        "AUDITOR.md",
    ];
    let of_run = [
        "journal.jsonl",
        "scenario.toml",
        "report.txt",
        "SHA256SUMS",
        "SHA256SUMS.sig",
        "attestation.dsse.json",
        "record.toml",
        "review.md",
        "review.md.sig",
    ];
    let all: Vec<String> =
        all.map(str::to_owned).into_iter().chain(of_run.map(|f| format!("{run}/{f}"))).collect();
    // The script is called from beside the bundle, since its own file is one of those that change.
    fs::copy(bundle.join("verify.sh"), desk.path("verify.sh")).unwrap();
    let auditor = || {
        let mut command = Command::new("sh");
        command.arg(desk.path("verify.sh")).arg(&bundle).arg(desk.path("keys/allowed_signers"));
        let output = command.arg(desk.path("evidence/HEAD")).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // A file that is gone is missing, not forged; unless something else is.
    for file in &all {
        let (path, aside) = (bundle.join(file), desk.path("aside"));
        fs::rename(&path, &aside).unwrap();
        let (code, said) = auditor();
        fs::rename(&aside, &path).unwrap();
        assert!(
            code == Some(4) && said.starts_with("INCOMPLETE: missing:") && said.contains(file),
            "{file}: {said}"
        );
    }
    let page = bundle.join(format!("{run}/report.html"));
    let untouched = fs::read(&page).unwrap();
    fs::write(&page, "x").unwrap();
    let (record, aside) = (bundle.join(format!("{run}/record.toml")), desk.path("aside"));
    fs::rename(&record, &aside).unwrap();
    let (code, said) = auditor();
    assert!(code == Some(5) && said.contains("report.html: it was altered"), "{said}");
    fs::rename(&aside, &record).unwrap();
    fs::write(&page, &untouched).unwrap();
    // Line ends that a mail or a version control converted: all, or of one file.
    let texts = || {
        let mut found = Vec::new();
        for folder in [bundle.clone(), bundle.join(&run)] {
            found.extend(fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()));
        }
        found
    };
    let before: Vec<_> = texts().into_iter().map(|p| (p.clone(), fs::read_to_string(p).unwrap())).collect();
    let dos =
        |(path, text): &(std::path::PathBuf, String)| fs::write(path, text.replace('\n', "\r\n")).unwrap();
    let back = || before.iter().for_each(|(path, text)| fs::write(path, text).unwrap());
    before.iter().for_each(dos);
    let (code, said) = auditor();
    assert!(code == Some(4) && said.starts_with("LINE ENDS CONVERTED"), "{said}");
    fs::write(&page, "x").unwrap();
    assert_eq!(auditor().0, Some(5));
    back();
    for one in before.iter().filter(|(path, _)| {
        ["HEAD.sig", "runs.jsonl", "SHA256SUMS", "scenario.toml"].iter().any(|name| path.ends_with(name))
    }) {
        dos(one);
        let (code, said) = auditor();
        back();
        assert!(code == Some(4) && said.starts_with("LINE ENDS CONVERTED"), "{}: {said}", one.0.display());
    }
    // A pipe in the place of a file.
    fs::remove_file(&page).unwrap();
    assert!(Command::new("mkfifo").arg(&page).status().unwrap().success());
    let (code, said) = auditor();
    assert!(code == Some(5) && said.contains("not a plain file"), "{said}");
    fs::remove_file(&page).unwrap();
    back();
    assert_eq!(auditor().0, Some(0));
}

#[test]
fn what_never_ends_is_not_read() {
    let (desk, _) = signed();
    let pipe = |name: &str| {
        let _ = fs::remove_file(desk.path(name));
        assert!(Command::new("mkfifo").arg(desk.path(name)).status().unwrap().success());
    };
    pipe("pipe");
    for (line, code) in [
        ("evidence verify evidence --signers pipe", 2),
        ("evidence verify evidence --anchor /dev/zero", 2),
        ("compliance evidence --quarter 2026Q4 --costs /dev/zero", 2),
        ("compliance evidence --quarter 2026Q4 --focus pipe --dr-tag a=b", 2),
        ("metrics evidence --textfile pipe", 3),
        ("report pipe", 2),
        ("report /dev/zero", 2),
        ("evidence amend evidence r --reason late --key pipe", 2),
    ] {
        let answer = desk.gameday(line);
        assert!(answer.code == code && !answer.stderr.contains("panicked"), "{line}: {}", answer.stderr);
    }
    pipe("evidence/HEAD");
    for line in ["evidence verify evidence", "compliance evidence --quarter 2026Q4", "metrics evidence"] {
        let answer = desk.gameday(line);
        assert!(
            answer.code == 5 && answer.stderr.contains("HEAD: it is a pipe"),
            "{line}: {}",
            answer.stderr
        );
    }
    pipe("evidence/runs.jsonl");
    let answer = desk.gameday("run --world sim --quiet good.toml --evidence evidence");
    assert!(answer.code == 5 && answer.stderr.contains("runs.jsonl: it is a pipe"), "{}", answer.stderr);
}

#[test]
fn a_key_never_lands_in_the_working_folder() {
    let desk = Desk::new();
    let names = || fs::read_dir(desk.path("")).unwrap().count();
    let before = names();
    for home in [None, Some(""), Some("."), Some("home")] {
        for more in ["", " --key keys/operator.key", " --signers keys/signers"] {
            let mut command = Command::new(assert_cmd::cargo::cargo_bin("gameday"));
            command.current_dir(desk.path("")).env_remove("GAMEDAY_KEYS").env_remove("XDG_CONFIG_HOME");
            match home {
                None => command.env_remove("HOME"),
                Some(home) => command.env("HOME", home).env("XDG_CONFIG_HOME", home),
            };
            let line = format!("evidence keygen --identity ops@example.org{more}");
            let output = command.args(line.split(' ')).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.code() == Some(2) && said.contains("GAMEDAY_KEYS"),
                "{home:?}: {line}: {said}"
            );
            assert_eq!(names(), before, "{home:?}: {line}");
        }
    }
    // A line is added to a file whose last line was not ended, and in a folder that is not there yet.
    desk.write("deep/signers", "# who may sign");
    let both = "evidence keygen --identity ops@example.org --key other/operator.key";
    assert_eq!(desk.gameday(&format!("{both} --signers deep/signers")).code, 0);
    assert!(desk.read("deep/signers").starts_with("# who may sign\nops@example.org "));
    assert_eq!(
        desk.gameday("evidence keygen --identity a@b --key other/a.key --signers new/signers").code,
        0
    );
    assert!(desk.read("new/signers").starts_with("a@b "));
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
