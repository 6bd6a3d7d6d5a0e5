//! Defects planted in real nodes: each must end in its own finding, and in no other failure.

use std::{fs, process::Stdio, time::Duration};

use crate::{
    desk::Desk,
    local::{alone, left_of, until},
};

/// The index file rots, the node restarts, and its index is rebuilt.
const ROT: &str = r#"
name = "rot"
[stack]
regions = ["east"]
roles = ["vector", "object"]
[data]
vectors = { count = 2000, dim = 16, queries = 500 }
objects = { count = 20, size = 256 }
[load]
vector = "200/s"
object = "5/s"
[[service]]
name = "rag"
uses = ["vector"]
probe = { search = { k = 10, min_recall = 0.9 }, every = "200ms", timeout = "1s" }
[[fault]]
name = "bit-rot"
at = "1s"
inject = { corrupt = { node = "east/vector", what = "index" } }
[[fault]]
name = "restart"
after = "bit-rot"
inject = { restart = { node = "east/vector" } }
[[recover]]
name = "rebuild"
when = "detected"
act = { rebuild = { node = "east/vector" } }
[objectives]
rto = "6s"
rpo = "0s"
quality = 0.98
stable_for = "2s"
"#;

/// Findings with this verdict, as `objective subject`.
fn findings(result: &serde_json::Value, verdict: &str) -> Vec<String> {
    let all = result["findings"].as_array().expect("a result has findings");
    let of = all.iter().filter(|f| f["verdict"] == verdict);
    let words = |f: &serde_json::Value| {
        format!("{} {}", f["objective"].as_str().unwrap_or(""), f["subject"].as_str().unwrap_or(""))
    };
    of.map(words).collect()
}

#[test]
fn each_flaw_planted_for_real_causes_its_finding_and_no_other_failure() {
    let _alone = alone();
    let expected = [
        (None, 0, vec![]),
        (Some("forgets-acked"), 1, vec!["rpo vector"]),
        (Some("wrong-after-rebuild"), 1, vec!["quality vector"]),
        (Some("flaps"), 1, vec!["rto rag"]),
        (Some("never-wakes"), 1, vec!["rto rag"]),
        (Some("silent-fault"), 4, vec![]),
    ];
    for (flaw, code, failures) in expected {
        let desk = Desk::new();
        // A service that never comes back is waited for to the end of the limit; one that does gets time to do so,
        // however busy the machine is.
        let rto = if failures == ["rto rag"] { "8s" } else { "60s" };
        desk.write("rot.toml", &ROT.replace("rto = \"6s\"", &format!("rto = \"{rto}\"")));
        let planted = flaw.map(|f| format!("--flaw {f} ")).unwrap_or_default();
        let answer = desk.gameday(&format!("run --json {planted}rot.toml"));
        let result: serde_json::Value = serde_json::from_str(&answer.stdout)
            .unwrap_or_else(|e| panic!("{flaw:?}: {e}: {}{}", answer.stdout, answer.stderr));
        let why = serde_json::to_string_pretty(&result["findings"]).expect("JSON can be written");
        // A flaw that strikes at every restart strikes at the one that proves durability, too; and a store that is gone
        // takes no writes.
        let implied =
            |f: &String| f == "durable vector" || (failures == ["rto rag"] && f == "rto_writes vector");
        let failed: Vec<String> = findings(&result, "fail").into_iter().filter(|f| !implied(f)).collect();
        assert_eq!(failed, failures, "{flaw:?}: {why}");
        assert!(flaw.is_some() || findings(&result, "fail").is_empty(), "{why}");
        assert_eq!(answer.code, code, "{flaw:?}: {why}");
        if flaw == Some("silent-fault") {
            assert!(findings(&result, "unknown").contains(&"effect bit-rot".to_owned()), "{why}");
        }
    }
}

#[test]
fn a_harness_killed_at_any_moment_leaves_nothing_and_a_readable_journal() {
    let _alone = alone();
    // From before the first node runs to the middle of the storm.
    for ms in [5, 40, 150, 600, 2500, 4500] {
        let desk = Desk::new();
        desk.write("rot.toml", ROT);
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("gameday"))
            .args(["run", "rot.toml"])
            .current_dir(desk.path(""))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be started");
        std::thread::sleep(Duration::from_millis(ms));
        child.kill().expect("it still runs");
        child.wait().expect("it ends");
        let Ok(run) = fs::read_link(desk.path("runs/latest")) else {
            assert!(ms < 600, "after {ms} ms there is no run");
            continue;
        };
        let run = run.to_string_lossy().into_owned();
        let state = desk.path("runs/latest/state");
        until("the watchdog", || left_of(&run).is_empty() && !state.exists());
        let report = desk.gameday("report runs/latest");
        // Killed before the first event was whole, there is no drill to report.
        assert!(
            report.code == 4 || (report.code != 0 && ms < 600),
            "after {ms} ms: {}{}",
            report.code,
            report.stderr
        );
    }
}
