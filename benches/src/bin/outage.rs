//! Does gameday measure the outage that really was?
//!
//! A drill runs in world `local`, and this program, not gameday, freezes the vector node with SIGSTOP for exactly 1, 3
//! and 10 seconds, and thaws it. Its own clock knows the true outage; gameday knows only what its probes (one every
//! 10 ms) tell it. The two must agree to 20 ms, in every trial. `outage 3` plays only the trials of 3 seconds.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use benches::machine;
use rustix::process::{Pid, Signal, kill_process};

const TRIALS: usize = 20;
const SECONDS: [u64; 3] = [1, 3, 10];
const TOLERANCE: Duration = Duration::from_millis(20);

/// The fault is harmless: it starts the clock. What really breaks comes from outside.
const SCENARIO: &str = r#"
name = "outage"
[stack]
regions = ["east"]
roles = ["vector", "object"]
[data]
vectors = { count = 500, dim = 16, queries = 200 }
objects = { count = 2, size = 64 }
[[service]]
name = "rag"
uses = ["vector"]
probe = { search = {}, every = "10ms", timeout = "200ms" }
[[fault]]
at = "200ms"
inject = { delay = { to = "east/vector", by = "1ms" } }
[objectives]
rto = "30s"
stable_for = "2s"
"#;

#[expect(clippy::print_stdout, reason = "the figures are the output")]
fn main() {
    let gameday = gameday();
    let folder = std::env::temp_dir().join(format!("gameday-outage-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    let scenario = folder.join("outage.toml");
    fs::write(&scenario, SCENARIO).expect("a file can be written");
    println!("{}; probe every 10 ms, tolerance {TOLERANCE:?}", machine());
    let mut missed = 0;
    let only: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    for seconds in SECONDS.into_iter().filter(|s| only.is_empty() || only.contains(s)) {
        let trial = |n| trial(&gameday, &scenario, &folder.join(format!("{seconds}s-{n}")), seconds);
        let mut errors: Vec<f64> = (0..TRIALS).map(trial).collect();
        let within = errors.iter().filter(|e| e.abs() <= TOLERANCE.as_secs_f64() * 1e3).count();
        missed += TRIALS - within;
        errors.sort_by(f64::total_cmp);
        let (low, median, high) = (errors[0], errors[TRIALS / 2], errors[TRIALS - 1]);
        println!(
            "frozen for {seconds} s: measured minus true {median:+.1} ms ({low:+.1} to {high:+.1}); {within} of {TRIALS} within tolerance"
        );
    }
    fs::remove_dir_all(&folder).expect("the folder can be removed");
    assert_eq!(missed, 0, "some outages were not measured well enough");
}

fn gameday() -> PathBuf {
    let beside = std::env::current_exe().expect("this program has a path").with_file_name("gameday");
    assert!(beside.exists(), "build it first: cargo build --release -p gameday");
    beside
}

/// One drill; answers with the error in milliseconds.
fn trial(gameday: &Path, scenario: &Path, out: &Path, seconds: u64) -> f64 {
    let mut drill = Command::new(gameday)
        .args(["run", "--quiet", "--out"])
        .args([out, scenario])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("gameday can be started");
    let pid = wait_for(out, &mut drill);
    let frozen = freeze(pid, Duration::from_secs(seconds));
    assert!(drill.wait().expect("the drill ends").code().is_some(), "the drill was killed");
    let result = fs::read_to_string(out.join("latest/result.json")).expect("the drill leaves a result");
    let result: serde_json::Value = serde_json::from_str(&result).expect("the result is JSON");
    let us =
        |key: &str| result["services"][0][key].as_u64().expect("the service was gone and came back") as f64;
    (us("rto_us") - us("impact_us")) / 1e3 - frozen.as_secs_f64() * 1e3
}

/// Waits until the drill's own fault has struck, and answers with the vector node's process.
fn wait_for(out: &Path, drill: &mut Child) -> Pid {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let journal = fs::read_to_string(out.join("latest/journal.jsonl")).unwrap_or_default();
        if journal.contains("\"acted\":{\"step\":\"fault-0-delay\"") {
            let note = journal.lines().find(|l| l.contains("\"noted\"") && l.contains("east/vector"));
            let pid = note
                .and_then(|n| n.split("process ").nth(1))
                .map(|p| p.chars().take_while(char::is_ascii_digit));
            let pid: i32 =
                pid.expect("the node's process is noted").collect::<String>().parse().expect("a number");
            return Pid::from_raw(pid).expect("a process");
        }
        assert!(drill.try_wait().expect("the drill can be asked").is_none(), "the drill ended early");
        assert!(Instant::now() < deadline, "the drill never struck");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Freezes a process, and answers with the time between the two signals.
fn freeze(pid: Pid, span: Duration) -> Duration {
    kill_process(pid, Signal::STOP).expect("the node can be frozen");
    let began = Instant::now();
    std::thread::sleep(span);
    kill_process(pid, Signal::CONT).expect("the node can be thawed");
    began.elapsed()
}
