//! What the tests of the worlds have in common, whatever a node is made of there: how they are run, and how the acts of
//! a scenario are found. Each world's `main.rs` includes this file.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use harness::act::Act;
use harness::plan::{Plan, StepKind};
use harness::ports::{PortError, System, Write};
use harness::topology::{NodeId, Role};
use tokio::time::timeout;

/// A test and its name.
pub(crate) type Test = (&'static str, fn());

/// Whether these arguments ask for a list of the tests, which is printed then.
pub(crate) fn listed(tests: &[Test], args: &[String]) -> bool {
    let asked = args.iter().any(|arg| arg == "--list");
    if asked {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
    }
    asked
}

/// Runs the tests whose names contain one of the words, one after the other; all of them without a word.
pub(crate) fn run(tests: &[Test], args: &[String]) -> ExitCode {
    let words: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let mut failed = Vec::new();
    for (name, test) in tests.iter().filter(|(name, _)| chosen(name)) {
        let began = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {} ({:.1?})", if passed { "ok" } else { "FAILED" }, began.elapsed());
        if !passed {
            failed.push(name);
        }
    }
    println!("test result: {}", if failed.is_empty() { "ok".into() } else { format!("FAILED: {failed:?}") });
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}

/// An id that no other run of a world has.
pub(crate) fn run_id(world: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{world}-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn node(region: &str, role: Role) -> NodeId {
    NodeId::new(region, role)
}

/// The acts of every step of a kind, and those that undo them.
pub(crate) fn acts(plan: &Plan, kind: StepKind) -> (Vec<Act>, Vec<Act>) {
    let cues = || plan.cues.iter().filter(|cue| cue.kind == kind);
    (cues().flat_map(|c| c.acts.clone()).collect(), cues().flat_map(|c| c.undo.clone()).collect())
}

/// Writes a record, and waits for the answer so long.
pub(crate) async fn put(system: &dyn System, key: u64, limit: Duration) -> Result<(), PortError> {
    // No two writes have the same number.
    let write = system.write(Write { key, ver: key + 1, delete: false });
    timeout(limit, write).await.unwrap_or_else(|_| Err(PortError::Indefinite("silence".into())))
}

/// The watchdogs of a run, by their command line: they bear no mark.
pub(crate) fn watchdogs(run: &str) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let guards = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|&b| b == 0).collect();
        words.get(1) == Some(&b"__watchdog".as_slice()) && words.get(2) == Some(&run.as_bytes())
    };
    pids.filter(guards).collect()
}
