//! `gameday bench index`, with real builds of a small data set, our own engines and our own searcher.

use std::{fs, process::Command};

use crate::desk::Desk;
use insta::assert_snapshot;

const SMALL: &str = "bench index --data tiny --kind hnsw --engine cpu --peer none --rounds 2 --quiet";

fn changed(desk: &Desk, from: &str, to: &str, change: impl Fn(&mut serde_json::Value)) {
    let mut result: serde_json::Value = serde_json::from_str(&desk.read(from)).expect("a result is JSON");
    change(&mut result);
    desk.write(to, &result.to_string());
}

fn builds(result: &mut serde_json::Value) -> &mut Vec<serde_json::Value> {
    result["sets"][0]["contenders"][0]["builds"].as_array_mut().expect("a result has builds")
}

#[test]
fn figures_table_and_plot_are_kept_and_the_next_run_is_compared_with_them() {
    let desk = Desk::new();
    let first = desk.gameday(&format!("{SMALL} --searches 2 --json last.json"));
    assert_eq!(first.code, 0, "{}{}", first.stdout, first.stderr);
    assert!(
        first.stdout.contains("gameday-cpu") && first.stdout.contains("wrote the same bytes in every round")
    );

    let result: serde_json::Value = serde_json::from_str(&desk.read("last.json")).unwrap();
    let contender = &result["sets"][0]["contenders"][0];
    assert_eq!(contender["builds"].as_array().unwrap().len(), 2);
    assert_eq!(contender["searcher"], "gameday");
    let best = contender["searches"].as_array().unwrap().last().unwrap();
    assert!(best["recall"][0].as_f64().unwrap() > 0.95, "{best}");
    assert_eq!(best["qps"].as_array().unwrap().len(), 4, "two builds, each searched twice");
    assert!(contender["builds"][0]["peak_bytes"].as_u64().unwrap() > 1 << 20);

    let folder = fs::read_dir(desk.path("runs/bench")).unwrap().next().unwrap().unwrap().path();
    let mut kept: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    kept.sort();
    assert_eq!(kept, ["curves.csv", "index.json", "index.svg", "index.txt"]);
    assert_eq!(fs::read_to_string(folder.join("index.json")).unwrap(), desk.read("last.json"));
    assert_eq!(fs::read_dir(desk.path("cache/work")).unwrap().count(), 0, "files of builds were left");

    // The same engine a hundred times as slow, and a thousand times as fast: intervals are disjoint on any machine.
    changed(&desk, "last.json", "slow.json", |r| {
        builds(r).iter_mut().for_each(|b| b["seconds"] = 100.0.into());
    });
    let faster = desk.gameday(&format!("{SMALL} --baseline slow.json"));
    assert_eq!(faster.code, 0, "{}{}", faster.stdout, faster.stderr);
    changed(&desk, "last.json", "fast.json", |r| {
        builds(r).iter_mut().for_each(|b| b["seconds"] = 0.0001.into());
    });
    let slower = desk.gameday(&format!("{SMALL} --baseline fast.json"));
    let (code, word) = if slower.stdout.contains("%!") { (4, "UNCLEAR") } else { (1, "SLOWER") };
    assert_eq!(slower.code, code, "{}{}", slower.stdout, slower.stderr);
    assert!(slower.stdout.contains(word), "{}", slower.stdout);

    changed(&desk, "slow.json", "better.json", |r| {
        r["sets"][0]["contenders"][0]["searches"][0]["recall"] = [1.0; 4].into();
    });
    let worse = desk.gameday(&format!("{SMALL} --baseline better.json"));
    assert_eq!(worse.code, 1, "{}{}", worse.stdout, worse.stderr);
    assert!(worse.stdout.contains("WORSE"), "{}", worse.stdout);

    changed(&desk, "fast.json", "elsewhere.json", |r| r["machine"]["cpu"] = "another".into());
    let elsewhere = desk.gameday(&format!("{SMALL} --baseline elsewhere.json"));
    assert_eq!(elsewhere.code, 4, "{}{}", elsewhere.stdout, elsewhere.stderr);
    assert!(elsewhere.stdout.contains("another machine: processor"), "{}", elsewhere.stdout);
}

#[test]
fn a_contender_that_was_not_measured_now_is_no_pass() {
    let desk = Desk::new();
    let first = desk.gameday(&format!("{SMALL} --json last.json"));
    assert_eq!(first.code, 0, "{}{}", first.stdout, first.stderr);
    // The baseline knows one engine more; its times are so long that all that is measured is as good.
    changed(&desk, "last.json", "more.json", |r| {
        builds(r).iter_mut().for_each(|b| b["seconds"] = 100.0.into());
        let all = r["sets"][0]["contenders"].as_array_mut().unwrap();
        let mut other = all[0].clone();
        other["name"] = "gameday-opencl".into();
        other["builds"] = serde_json::json!([]);
        all.push(other);
    });
    let run = desk.gameday(&format!("{SMALL} --baseline more.json"));
    assert_eq!(run.code, 4, "{}{}", run.stdout, run.stderr);
    let named = "UNTOLD   gameday-opencl hnsw on tiny: in the baseline, not measured now";
    assert!(run.stdout.contains("ok       gameday-cpu") && run.stdout.contains(named), "{}", run.stdout);
}

#[test]
fn a_baseline_that_is_none_is_found_out_before_anything_is_built() {
    let desk = Desk::new();
    desk.write("text.json", "once upon a time");
    desk.write("list.json", "[]");
    desk.write("old.json", "{\"schema\": \"gameday-bench-index/0\"}");
    desk.write("torn.json", "{\"schema\": \"gameday-bench-index/1\", \"gameday\": ");
    let mut all = String::new();
    for file in ["text.json", "list.json", "old.json", "torn.json", "missing.json"] {
        all += &desk.session(&format!("bench index --quick --baseline {file}"));
    }
    assert_snapshot!("bench_baselines", all);
    assert!(!desk.path("cache").exists() && !desk.path("runs").exists());
}

#[test]
fn peers_that_are_missing_are_skipped_loudly() {
    let desk = Desk::new();
    let run = desk.gameday("bench index --data tiny --engine cpu --rounds 1");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("SKIPPED no peers") && run.stderr.contains("gameday bench setup"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("SKIPPED   no peers"), "{}", run.stdout);
    let nobody = desk.gameday("bench index --data tiny --engine none");
    assert_eq!(nobody.code, 2, "{}", nobody.stderr);
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let desk = Desk::new();
    let program = assert_cmd::cargo::cargo_bin("gameday");
    let mut child = Command::new(program)
        .args(["bench", "index", "--data", "tiny", "--engine", "cpu", "--peer", "none", "--rounds", "1000"])
        .current_dir(desk.path(""))
        .env("GAMEDAY_CACHE", desk.path("cache"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The first line says that the data set is made, the second that a build has ended.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    assert!(lines.nth(1).unwrap().unwrap().contains("round 1/1000"));
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(4), "{rest:?}");
    assert!(rest.iter().any(|l| l.contains("given up on request")), "{rest:?}");
    assert_eq!(fs::read_dir(desk.path("cache/work")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(desk.path("runs/bench")).unwrap().count(), 0);
}

#[test]
fn an_opencl_engine_that_is_missing_is_skipped_loudly() {
    let desk = Desk::new();
    let run = desk.gameday("bench index --data tiny --kind hnsw --engine cpu,opencl --peer none --rounds 1");
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(
        run.stderr.contains("SKIPPED engine opencl: ") && run.stderr.contains("cannot start"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("SKIPPED   engine opencl"), "{}", run.stdout);
    assert!(
        run.stdout.contains("ran: cpu, fp32") && !run.stdout.contains("gameday-opencl "),
        "{}",
        run.stdout
    );
    let alone = desk.gameday("bench index --data tiny --engine opencl --peer none --rounds 1");
    assert_eq!(alone.code, 2, "{}{}", alone.stdout, alone.stderr);
}

/// Answers whatever is asked before a build, as an engine for rows of 32 values does, and builds nothing.
const IDLE_ENGINE: &str = "#!/bin/sh
say() { printf '\\000'; printf \"$1\"; }
take() { head -c $1 >/dev/null; }
say '\\005\\000\\000\\000\\000\\000\\000\\000'; printf 'idle!'
take 13; say '\\000\\000\\000\\000\\000\\000\\000\\000'
take 4105; say '\\000\\000\\000\\000\\000\\000\\000\\000'
take 4233; say '\\000\\006\\000\\000\\000\\000\\000\\000'; head -c 1536 /dev/zero
take 273; say '\\000\\002\\000\\000\\000\\000\\000\\000'; head -c 512 /dev/zero
take 9; say '\\000\\000\\000\\000\\000\\000\\000\\000'
exec cat >/dev/null
";

#[test]
fn what_fell_back_to_the_processor_is_no_figure_of_the_opencl_engine() {
    let desk = Desk::new();
    desk.write("opencl-engine", IDLE_ENGINE);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(desk.path("opencl-engine"), mode).unwrap();
    let run = desk.gameday(
        "bench index --data tiny --kind hnsw --engine cpu,opencl --peer none --rounds 2 --json last.json",
    );
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("FAILED: fell back: opencl: there was nothing to ask it"), "{}", run.stdout);
    let result: serde_json::Value = serde_json::from_str(&desk.read("last.json")).unwrap();
    assert_eq!(result["machine"]["device"], "idle!");
    assert_eq!(result["start"]["cached_seconds"].as_array().unwrap().len(), 2);
    let contenders = result["sets"][0]["contenders"].as_array().unwrap();
    let of = |name: &str| contenders.iter().find(|c| c["name"] == name).unwrap();
    assert_eq!(of("gameday-opencl")["builds"].as_array().unwrap().len(), 0);
    assert_eq!(of("gameday-cpu")["builds"].as_array().unwrap().len(), 2);
}
