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

/// Rows of 16 values around eight centres, as raw floats.
fn floats(desk: &Desk, name: &str, rows: u32) {
    let mut state = 7u32;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 24) as f32
    };
    let values = (0..rows).flat_map(|row| (0..16).map(move |at| ((row % 8) * 31 + at * 7) % 11));
    let bytes: Vec<u8> = values.flat_map(|centre| (centre as f32 + draw()).to_le_bytes()).collect();
    fs::write(desk.path(name), bytes).expect("a file can be written");
}

const OWN: &str =
    "bench index --kind hnsw --engine cpu --peer none --rounds 1 --quick --quiet --data mine.f32 --dim 16";

#[test]
fn vectors_of_one_s_own_are_measured_as_ours_are() {
    let desk = Desk::new();
    floats(&desk, "mine.f32", 2_000);
    floats(&desk, "asked.f32", 50);
    for (metric, queries, words) in [
        ("l2", "", "(1800 vectors of 16 values, 200 queries; l2)"),
        ("cosine", " --queries asked.f32", "(2000 vectors of 16 values, 50 queries; cosine)"),
        ("ip", " --queries asked.f32", "(2000 vectors of 16 values, 50 queries; ip)"),
    ] {
        let run = desk.gameday(&format!("{OWN} --metric {metric}{queries} --json {metric}.json"));
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        assert!(run.stdout.contains(words), "{}", run.stdout);
        let said = if queries.is_empty() { "held out: in no index" } else { "queries   asked.f32" };
        assert!(run.stdout.contains(said), "{}", run.stdout);
        let result: serde_json::Value = serde_json::from_str(&desk.read(&format!("{metric}.json"))).unwrap();
        assert_eq!(result["sets"][0]["own"]["metric"], metric);
        let best = result["sets"][0]["contenders"][0]["searches"].as_array().unwrap().last().unwrap();
        assert!(best["recall"][0].as_f64().unwrap() > 0.95, "{metric}: {best}");
    }
    // What is asked again is compared, and its truth comes from the cache.
    let again = desk.gameday(&format!("{OWN} --baseline l2.json"));
    assert!(!again.stderr.contains("found once"), "{}", again.stderr);
    assert!(
        again.stdout.contains("gameday-cpu hnsw on mine.f32: time x"),
        "{}{}",
        again.stdout,
        again.stderr
    );
}

#[test]
fn vectors_that_cannot_be_measured_are_refused_before_anything_is_built() {
    let desk = Desk::new();
    floats(&desk, "mine.f32", 2_000);
    floats(&desk, "few.f32", 20);
    desk.write("text.npy", "once upon a time");
    let mut all = String::new();
    for words in [
        "--data nowhere.npy",
        "--data text.npy",
        "--data mine.f32",
        "--data few.f32 --dim 16",
        "--data mine.f32 --dim 16 --queries text.npy",
        "--data mine.f32 --dim 7",
        "--data tiny --metric ip",
        "--data mine.f32,few.f32 --queries few.f32 --dim 16",
    ] {
        all += &desk.session(&format!("bench index {words}"));
    }
    assert_snapshot!("bench_own_refused", all);
    assert!(!desk.path("cache").exists() && !desk.path("runs").exists());
}

#[test]
fn a_history_is_added_to_drawn_and_judged() {
    let desk = Desk::new();
    let measure = format!("{SMALL} --history nights.jsonl --commit abc1234");
    for _ in 0..2 {
        let run = desk.gameday(&measure);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    }
    let lines: Vec<serde_json::Value> =
        desk.read("nights.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let few = desk.gameday("bench history nights.jsonl --out nights.svg");
    assert_eq!(few.code, 4, "{}{}", few.stdout, few.stderr);
    assert!(
        few.stdout.contains("TOO FEW") && desk.read("nights.svg").contains("gameday-cpu"),
        "{}",
        few.stdout
    );

    // The same line on six nights: as it was, and then four times as slow.
    let nights = |last: f64| {
        let night = |(at, x): (usize, f64)| {
            let mut line = lines[0].clone();
            line["began"] = (1_795_000_000 + 86_400 * at).into();
            line["others"] = 0.0.into();
            ["seconds", "low", "high"]
                .iter()
                .for_each(|f| line[*f] = (line[*f].as_f64().unwrap() * x).into());
            format!("{line}\n")
        };
        [1.0, 1.01, 0.99, 1.0, last].into_iter().enumerate().map(night).collect::<String>()
    };
    for (last, code, word) in [(1.0, 0, "ok       gameday-cpu"), (4.0, 1, "SLOWER   gameday-cpu")] {
        desk.write("made.jsonl", &nights(last));
        let run = desk.gameday("bench history made.jsonl");
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
        assert!(run.stdout.contains(word), "{}", run.stdout);
    }
    desk.write("torn.jsonl", &format!("{}once upon a time\n", nights(1.0)));
    let torn = desk.gameday("bench history torn.jsonl");
    assert_eq!(torn.code, 4, "{}", torn.stdout);
    assert!(torn.stderr.contains("torn.jsonl: line 6 cannot be read: expected value"), "{}", torn.stderr);
    desk.write("none.jsonl", "");
    assert_eq!(desk.gameday("bench history none.jsonl").code, 2);
    assert_eq!(desk.gameday("bench history nowhere.jsonl").code, 2);
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
