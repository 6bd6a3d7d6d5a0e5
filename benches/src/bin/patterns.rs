//! How much each pattern of regions protects: the same fault, the measured RTO and RPO, the tier they reach.
//!
//! For each pattern a drill runs in world `local`: the same data, load and services, and at the same moment every node
//! of the primary region is killed, the disks of its vector and feature store emptied. A pattern with two regions
//! fails over; a single region is started again where it was, and comes back from its backups.

use std::{fs, path::PathBuf, process::Command};

use benches::machine;

const COMMON: &str = r#"
[data]
vectors = { count = 2_000, dim = 32, queries = 200 }
objects = { count = 50, size = 1024 }
features = { entities = 1_000 }
[backup]
full = ["vector", "feature"]
incremental = ["vector"]
every = "2s"
[load]
vector = "50/s"
object = "10/s"
feature = "50/s"
[[service]]
name = "rag"
priority = "critical"
uses = ["vector", "object"]
probe = { search = {}, every = "50ms", timeout = "500ms" }
[[service]]
name = "recommendation"
priority = "critical"
uses = ["feature"]
probe = { lookup = {}, every = "50ms", timeout = "500ms" }
[[service]]
name = "documents"
priority = "operational"
uses = ["object"]
probe = { get = {}, every = "50ms", timeout = "500ms" }
[objectives]
rto = "60s"
rpo = "1h"
stable_for = "2s"
"#;

/// The same for every pattern: all nodes of the primary region end without warning, and two disks go with them.
const LOSS: &str = r#"
[[fault]]
name = "vector-lost"
at = "5s"
inject = { wipe = { node = "east/vector" } }
[[fault]]
name = "feature-lost"
at = "5s"
inject = { wipe = { node = "east/feature" } }
[[fault]]
name = "object-lost"
at = "5s"
inject = { kill = { node = "east/object" } }
"#;

/// What is done where there is another region.
const FAILOVER: &str = r#"
[[recover]]
when = "detected"
act = { failover = { to = "west" } }
"#;

/// What is done where there is none: everything is started where it was, and comes back from backups.
const REBUILD: &str = r#"
[[recover]]
name = "start-object"
when = "detected"
act = { restart = { node = "east/object" } }
[[recover]]
name = "start-vector"
after = "start-object"
act = { restart = { node = "east/vector" } }
[[recover]]
after = "start-vector"
act = { restore = { node = "east/vector" } }
[[recover]]
name = "start-feature"
after = "start-object"
act = { restart = { node = "east/feature" } }
[[recover]]
after = "start-feature"
act = { restore = { node = "east/feature" } }
"#;

const PATTERNS: [&str; 5] = ["active-active", "hot-standby", "warm-standby", "cold-standby", "single"];

#[expect(clippy::print_stdout, reason = "the figures are the output")]
fn main() {
    println!("{}; the nodes of the primary region die 5 s into the storm, two disks with them", machine());
    println!("{:<14} {:<8} {:>12} {:>12}  {:<20} lost", "pattern", "verdict", "RTO", "RPO", "reaches");
    for pattern in PATTERNS {
        let result = play(pattern);
        let worst = |list: &str, key: &str| {
            let all = result[list].as_array().into_iter().flatten();
            all.map(|s| s[key].as_u64()).collect::<Option<Vec<u64>>>().and_then(|v| v.into_iter().max())
        };
        // A service without a bad probe was never gone.
        let gone = result["services"].as_array().into_iter().flatten();
        let gone = gone.map(|s| if s["absorbed"] == true { Some(0) } else { s["rto_us"].as_u64() });
        let rto_us = gone.collect::<Option<Vec<u64>>>().and_then(|v| v.into_iter().max());
        let rpo_us = worst("ledger", "rpo_us");
        let lost = result["ledger"].as_array().into_iter().flatten();
        let lost: u64 = lost.filter_map(|s| s["lost"].as_u64()).sum();
        let seconds = |us: Option<u64>| us.map_or("-".into(), |us| format!("{:.2} s", us as f64 / 1e6));
        let (rto, rpo) = (seconds(rto_us), seconds(rpo_us));
        let verdict = result["verdict"].as_str().unwrap_or("?");
        println!("{pattern:<14} {verdict:<8} {rto:>12} {rpo:>12}  {:<20} {lost}", tier(rto_us, rpo_us, lost));
    }
}

/// The best tier whose RTO and RPO were met.
fn tier(rto_us: Option<u64>, rpo_us: Option<u64>, lost: u64) -> &'static str {
    let (Some(rto), Some(rpo)) = (rto_us, rpo_us) else { return "no tier: not measured" };
    match (rto / 1_000_000, rpo / 1_000_000) {
        (0..60, _) if lost == 0 => "tier 1",
        (0..300, 0..60) => "tier 2",
        (0..1_800, 0..300) => "tier 3",
        (0..86_400, 0..3_600) => "tier 4",
        _ => "no tier",
    }
}

fn play(pattern: &str) -> serde_json::Value {
    let gameday = gameday();
    let folder = std::env::temp_dir().join(format!("gameday-patterns-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    let file = folder.join(format!("{pattern}.toml"));
    let (regions, rest) = match pattern {
        "single" => (r#"["east"]"#, REBUILD),
        _ => (r#"["east", "west"]"#, FAILOVER),
    };
    let name = pattern.replace('-', "_");
    let stack = format!(
        "name = \"{name}\"\n[stack]\nregions = {regions}\nroles = [\"vector\", \"object\", \"feature\"]\n\
         pattern = \"{pattern}\"\n"
    );
    fs::write(&file, format!("{stack}{COMMON}{LOSS}{rest}")).expect("a file can be written");
    let out = Command::new(gameday).args(["run", "--json", "--out"]).args([&folder, &file]).output();
    let out = out.expect("gameday can be started");
    let text = String::from_utf8_lossy(&out.stdout);
    let result = serde_json::from_str(&text);
    let result =
        result.unwrap_or_else(|e| panic!("{pattern}: {e}: {text}{}", String::from_utf8_lossy(&out.stderr)));
    fs::remove_dir_all(&folder).expect("the folder can be removed");
    result
}

fn gameday() -> PathBuf {
    let beside = std::env::current_exe().expect("this program has a path").with_file_name("gameday");
    assert!(beside.exists(), "build it first: cargo build --release -p gameday");
    beside
}
