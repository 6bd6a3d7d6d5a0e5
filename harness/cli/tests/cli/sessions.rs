//! Whole sessions of the program, as snapshots.

use std::{fs, path::PathBuf};

use crate::desk::{Desk, here};
use harness::{facts::Facts, journal::Reader};
use insta::assert_snapshot;
use reports::Format;

#[test]
fn every_help_text() {
    let desk = Desk::new();
    assert_snapshot!("help", desk.session("--help"));
    for command in [
        "run",
        "check",
        "plan",
        "report",
        "heal",
        "evidence",
        "compliance",
        "metrics",
        "schema",
        "doctor",
        "images",
        "index",
        "bench",
        "completions",
        "man",
    ] {
        assert_snapshot!(format!("help_{command}"), desk.session(&format!("{command} --help")));
    }
    for command in ["index", "history", "setup"] {
        assert_snapshot!(format!("help_bench_{command}"), desk.session(&format!("bench {command} --help")));
    }
    for command in ["build", "verify", "convert"] {
        assert_snapshot!(format!("help_index_{command}"), desk.session(&format!("index {command} --help")));
    }
    for command in ["keygen", "pem", "verify", "review", "amend", "bundle"] {
        assert_snapshot!(
            format!("help_evidence_{command}"),
            desk.session(&format!("evidence {command} --help"))
        );
    }
}

#[test]
fn check_shows_all_mistakes_of_all_files() {
    let desk = Desk::new();
    desk.changed("drills/a.toml", "node_loss", "node_loss");
    desk.changed("drills/b.toml", "at = \"2s\"", "at = 2");
    desk.changed("drills/deeper/c.toml", "at = \"2s\"", "never looked at");
    assert_snapshot!("check_good", desk.session("check good.toml drills/a.toml"));
    assert_snapshot!("check_mistakes", desk.session("check mistakes.toml drills"));
    assert_snapshot!("check_nothing", desk.session("check nowhere.toml"));
    fs::create_dir(desk.path("empty")).unwrap();
    assert_snapshot!("check_empty_folder", desk.session("check empty"));
}

#[test]
fn check_of_a_folder_says_what_it_passed_over() {
    let desk = Desk::new();
    desk.changed("drills/a.toml", "node_loss", "node_loss");
    desk.changed("drills/deeper/c.toml", "at = \"2s\"", "never looked at");
    desk.write("drills/notes.md", "to do");
    desk.write("drills/b.tml", "name = 5");
    desk.write("drills/.hidden", "");
    let stack = "name = \"shop\"\nlevel = \"staging\"\n[component]\ndb = { product = \"postgres\", dsn_env = \"DB\" }\n";
    desk.write("drills/stack.toml", stack);
    assert_snapshot!("check_folder", desk.session("check drills"));
    desk.write("drills/stack.toml", &stack.replace("[component]", "[[component]]").replace("level", "Level"));
    assert_snapshot!("check_folder_stack", desk.session("check drills"));
}

#[test]
fn a_scenario_that_is_no_text_is_refused() {
    let desk = Desk::new();
    fs::write(desk.path("binary.toml"), [0xff, 0xfe, 0x00]).unwrap();
    desk.write("huge.toml", &"x".repeat(2 << 20));
    for file in ["binary.toml", "huge.toml"] {
        let answer = desk.gameday(&format!("check {file}"));
        assert_eq!(answer.code, 2, "{}", answer.stderr);
        assert!(answer.stderr.contains("1 mistake"), "{}", answer.stderr);
    }
}

/// Every scenario of gameday's own worlds that is shipped, by its path under `scenarios/`.
fn shipped() -> Vec<(String, PathBuf)> {
    let root = here().join("../../scenarios");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("scenarios are shipped") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                // Drills of stacks that gameday did not launch cannot be simulated.
                if !path.ends_with("scenarios/own") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "toml") {
                let name = path.strip_prefix(&root).expect("it was found in it").with_extension("");
                found.push((name.to_string_lossy().replace('/', "_"), path));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

#[test]
fn every_scenario_stands_in_the_table() {
    let table = fs::read_to_string(here().join("../../scenarios/README.md")).unwrap();
    for (_, path) in shipped() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(table.contains(&format!("[`{name}`]")), "scenarios/README.md does not name {name}");
    }
}

#[test]
fn the_plan_of_every_scenario() {
    let desk = Desk::new();
    for (name, path) in shipped() {
        fs::copy(&path, desk.path("drill.toml")).unwrap();
        assert_snapshot!(format!("plan_{name}"), desk.session("plan drill.toml"));
    }
}

/// Text is kept whole for every scenario. Of the other formats one of each is kept whole, here or beside its code, and a
/// digest of all: fifteen pages are a megabyte, and a change of one of them is a change that the whole one shows.
#[test]
fn every_report_of_every_scenario_in_world_sim() {
    let desk = Desk::new();
    let mut digests = String::new();
    let mut all = shipped();
    all.sort();
    for (name, path) in all {
        let text = fs::read_to_string(&path).unwrap();
        if text.contains("\nworlds = ") && !text.contains("\"sim\"") {
            continue;
        }
        desk.write("drill.toml", &text);
        let code = desk.gameday("run --world sim drill.toml").code;
        assert_snapshot!(format!("sim_{name}"), desk.session("report runs/latest"));
        let facts = Facts::of(Reader::new(desk.read("runs/latest/journal.jsonl").as_bytes())).unwrap();
        assert_eq!(facts.recount(), Ok(()), "{name}: recall follows from the raw answers");
        for format in Format::ALL {
            let written = desk.read(&format!("runs/latest/{}", format.file_name()));
            let again = desk.gameday(&format!("report --format {format} runs/latest"));
            assert_eq!(again.code, code, "{name}: {format}");
            assert!(written == again.stdout, "{name}: `report --format {format}` is not what the run wrote");
            let digest = harness::journal::digest(written.as_bytes());
            digests.push_str(&format!("{name} {format} {} bytes {digest}\n", written.len()));
        }
    }
    assert_snapshot!("sim_digests", digests);
}

#[test]
fn the_page_of_a_drill_in_world_sim() {
    let desk = Desk::new();
    desk.gameday("run --world sim --quiet good.toml");
    assert_snapshot!("sim_html", desk.read("runs/latest/report.html").replace("><", ">\n<"));
}

#[test]
fn a_plan_in_json() {
    assert_snapshot!("plan_json", Desk::new().session("plan --json --set fault.0.at=3s --seed 9 good.toml"));
}

#[test]
fn a_run_from_start_to_end() {
    assert_snapshot!("run_sim", Desk::new().session("run --world sim good.toml"));
}

#[test]
fn a_set_of_drills() {
    let desk = Desk::new();
    desk.changed("set/a.toml", "node_loss", "first");
    desk.changed("set/b.toml", "seed = 7", "seed = 7\nworlds = [\"local\"]");
    desk.changed("set/c.toml", "restart = { node = \"east/vector\" }", "none = {}");
    let answer = desk.gameday("run --world sim set");
    let table = answer.stdout.split("\ndrill").last().unwrap_or_default();
    assert!(table.contains("FAIL") && table.contains("PASS") && table.contains("SKIPPED: 1"), "{table}");
    assert_snapshot!("set_quiet", desk.session("run --world sim --quiet set"));
    assert_snapshot!("set_named_alone", desk.session("run --world sim --quiet set/b.toml"));
}

#[test]
fn wrong_command_lines() {
    let desk = Desk::new();
    for (name, line) in [
        ("flaw", "run --world sim --flaw sloth good.toml"),
        ("set", "run --world sim --set objectives.rot=30s good.toml"),
        ("set_pair", "run --world sim --set objectives good.toml"),
        ("out", "run --world sim --out good.toml good.toml"),
        ("mistakes", "run --world sim mistakes.toml good.toml"),
        ("image_elsewhere", "run --world sim --image object=minio/minio good.toml"),
        ("image_of_nothing", "run --world sim --image minio good.toml"),
        ("report", "report nowhere"),
        ("nothing", "run"),
    ] {
        assert_snapshot!(format!("wrong_{name}"), desk.session(line));
    }
    assert!(!desk.path("runs").exists(), "a wrong command line must not leave a run behind");
}

#[test]
#[cfg(not(feature = "docker"))]
fn a_world_that_is_not_built_in_names_the_command_that_builds_it() {
    let desk = Desk::new();
    assert_snapshot!("wrong_docker", desk.session("run --world docker good.toml"));
    assert_snapshot!("wrong_images", desk.session("images list"));
}

#[test]
#[cfg(feature = "docker")]
fn an_image_that_no_engine_takes_is_refused_before_one_is_asked() {
    let desk = Desk::new();
    let answer = desk.gameday("run --world docker --image object=-x good.toml");
    assert_eq!(answer.code, 3, "{}", answer.stderr);
    assert!(answer.stderr.contains("`-x` is no image"), "{}", answer.stderr);
}
