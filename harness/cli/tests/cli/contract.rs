//! What scripts rely on: exit codes, files, and that a report can be made again from the journal alone.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::desk::Desk;

#[test]
fn exit_codes_follow_the_verdict_in_run_and_in_report() {
    let desk = Desk::new();
    for (flaw, code) in
        [("", 0), ("--flaw forgets-acked", 1), ("--flaw never-wakes", 1), ("--flaw silent-fault", 4)]
    {
        let run = desk.gameday(&format!("run --world sim --quiet {flaw} good.toml"));
        assert_eq!(run.code, code, "{flaw}: {}{}", run.stdout, run.stderr);
        assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
        assert_eq!(desk.gameday("report runs/latest").code, code, "{flaw}");
    }
}

#[test]
fn a_report_is_byte_identical_to_the_one_made_by_the_run() {
    let desk = Desk::new();
    desk.gameday("run --world sim --flaw flaps good.toml");
    let files =
        [("text", "report.txt"), ("json", "result.json"), ("junit", "junit.xml"), ("html", "report.html")];
    for (format, file) in files {
        let again = desk.gameday(&format!("report --format {format} runs/latest/journal.jsonl"));
        assert_eq!(again.stdout, desk.read(&format!("runs/latest/{file}")), "{format}");
    }
    let page = desk.read("runs/latest/report.html");
    desk.write("runs/latest/report.html", "gone");
    assert_eq!(desk.gameday("report --html runs/latest").stdout, "runs/latest/report.html\n");
    assert_eq!(desk.read("runs/latest/report.html"), page);
    assert_eq!(desk.gameday("report --html runs/latest/journal.jsonl").stdout, page);
}

#[test]
fn every_finding_links_to_a_line_of_the_journal_that_is_quoted() {
    let desk = Desk::new();
    desk.gameday("run --world sim --quiet good.toml");
    let (page, journal) = (desk.read("runs/latest/report.html"), desk.read("runs/latest/journal.jsonl"));
    let links: Vec<&str> =
        page.split("href=\"#e").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let result: serde_json::Value = serde_json::from_str(&desk.read("runs/latest/result.json")).unwrap();
    let findings = result["findings"].as_array().unwrap();
    assert!(findings.iter().all(|f| !f["evidence"].as_array().unwrap().is_empty()), "{findings:?}");
    assert!(links.len() >= findings.len(), "{links:?}");
    for seq in links {
        assert!(page.contains(&format!("<li id=\"e{seq}\">")), "{seq}");
        let line = journal.lines().nth(seq.parse().unwrap()).expect("the line is there");
        assert!(page.contains(&harness::journal::digest(line.as_bytes())), "{seq}");
    }
}

#[test]
fn equal_seeds_give_byte_identical_journals() {
    let desk = Desk::new();
    let journal = |seed: u32| {
        desk.gameday(&format!("run --world sim --quiet --seed {seed} good.toml"));
        desk.read("runs/latest/journal.jsonl")
    };
    assert_eq!(journal(5), journal(5));
    assert_ne!(journal(5), journal(6));
}

#[test]
fn a_run_keeps_the_scenario_as_it_was_read_and_latest_points_to_the_newest() {
    let desk = Desk::new();
    desk.gameday("run --world sim --quiet --out kept/runs good.toml");
    let first = fs::read_link(desk.path("kept/runs/latest")).unwrap();
    desk.gameday("run --world sim --quiet --out kept/runs --seed 3 good.toml");
    assert_ne!(fs::read_link(desk.path("kept/runs/latest")).unwrap(), first);
    assert_eq!(desk.read("kept/runs/latest/scenario.toml"), desk.read("good.toml"));
    assert_eq!(fs::read_dir(desk.path("kept/runs")).unwrap().count(), 3);
}

#[test]
fn an_altered_journal_is_refused() {
    let desk = Desk::new();
    desk.gameday("run --world sim --quiet good.toml");
    let journal = desk.read("runs/latest/journal.jsonl");
    let lines: Vec<&str> = journal.lines().collect();
    let without = |n: usize| {
        let kept: Vec<&str> = lines.iter().enumerate().filter(|(i, _)| *i != n).map(|(_, l)| *l).collect();
        kept.join("\n") + "\n"
    };
    let altered = [
        journal.replacen("\"outcome\":\"fail\"", "\"outcome\":\"ok\"", 1),
        journal.replacen("node_loss", "node_lost", 1),
        without(0),
        without(lines.len() / 2),
        format!("{{}}\n{journal}"),
        "\n".into(),
        String::new(),
    ];
    for (i, text) in altered.iter().enumerate() {
        assert_ne!(text, &journal, "{i}");
        desk.write("altered.jsonl", text);
        let answer = desk.gameday("report altered.jsonl");
        assert_eq!((answer.code, answer.stdout.as_str()), (5, ""), "{i}: {}", answer.stderr);
    }
}

#[test]
fn a_torn_journal_never_passes() {
    let desk = Desk::new();
    desk.gameday("run --world sim --quiet good.toml");
    let journal = fs::read(desk.path("runs/latest/journal.jsonl")).unwrap();
    // From the torn last byte to nothing at all.
    let cuts = [1, 2, 50, 200, 500, 1500].map(|n| journal.len() - n);
    for at in cuts.into_iter().chain((0..12).map(|n| journal.len() * n / 12)) {
        fs::write(desk.path("torn.jsonl"), &journal[..at]).unwrap();
        let answer = desk.gameday("report torn.jsonl");
        assert!([4, 5].contains(&answer.code), "cut at {at}: {} {}", answer.code, answer.stdout);
    }
}

#[test]
fn json_is_alone_on_stdout_an_object_for_one_and_an_array_for_several() {
    let desk = Desk::new();
    desk.changed("set/a.toml", "node_loss", "first");
    desk.changed("set/b.toml", "node_loss", "second");
    let one: serde_json::Value =
        serde_json::from_str(&desk.gameday("run --world sim --json good.toml").stdout).unwrap();
    assert_eq!((one["verdict"].as_str(), one["scenario"].as_str()), (Some("pass"), Some("node_loss")));
    let all: serde_json::Value =
        serde_json::from_str(&desk.gameday("run --world sim --json set").stdout).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(all[1]["scenario"], "second");
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is_one() {
    let program = assert_cmd::cargo::cargo_bin("gameday");
    let mut child = Command::new(&program).arg("schema").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(&program).arg("schema").stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn no_colour_where_nobody_asked_for_it() {
    let desk = Desk::new();
    for line in ["run --world sim good.toml", "check mistakes.toml", "--help", "doctor"] {
        let answer = desk.gameday(line);
        assert!(!answer.stdout.contains('\u{1b}') && !answer.stderr.contains('\u{1b}'), "{line}");
    }
}

#[test]
fn the_doctor_says_what_is_missing() {
    let desk = Desk::new();
    let healthy = desk.gameday("doctor");
    assert!(healthy.stdout.contains("loopback") && healthy.code == 0, "{}", healthy.stdout);
    let answer = desk.gameday("doctor --out /proc/none");
    assert_eq!(answer.code, 3);
    assert!(
        answer.stdout.contains("MISSING  disk") && answer.stdout.contains("remedy:"),
        "{}",
        answer.stdout
    );
}
