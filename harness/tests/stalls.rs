//! A drill in real time whose runtime is made to stand still: the gap is in the journal, it covers every probe that was
//! sent late by it, and nothing of all that watched is left.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeSet,
    io::Cursor,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use harness::{
    clock::Clock,
    diagnose::load,
    drill::{drill, stop},
    facts::Facts,
    journal::{Ending, EventKind, Journal, Phase, Reader},
    scenario::WorldName,
    sim::{SimHost, began},
};

const SCENARIO: &str = r#"
name = "stalls"
[stack]
regions = ["east"]
roles = ["object"]
[data]
objects = { count = 5, size = 64 }
[load]
object = "50/s"
[[service]]
name = "documents"
uses = ["object"]
probe = { get = {}, every = "10ms", timeout = "200ms" }
[[fault]]
at = "300ms"
inject = { kill = { node = "east/object" } }
[[recover]]
when = "detected"
act = { restart = { node = "east/object" } }
[objectives]
rto = "10s"
stable_for = "400ms"
"#;

const STILL: Duration = Duration::from_millis(200);

/// Plays it, on a runtime that stands still once, soon after the storm has begun.
fn play(stop_at_storm: bool) -> (Ending, Vec<u8>) {
    let loaded = load(SCENARIO.as_bytes(), &[]).expect("the scenario is valid");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be built");
    let storm = Arc::new(AtomicBool::new(false));
    let seen = storm.clone();
    let observer = Box::new(move |event: &harness::journal::Event| {
        if event.kind == EventKind::Entered(Phase::Storm) {
            seen.store(true, Ordering::Release);
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let ending = runtime.block_on(async {
        let clock = Clock::real();
        let journal = Journal::create(&path, clock, Some(observer)).unwrap();
        let (stopper, stop) = stop();
        tokio::spawn(async move {
            while !storm.load(Ordering::Acquire) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            std::thread::sleep(STILL);
            if stop_at_storm {
                stopper.stop("asked to");
            }
        });
        let host = Arc::new(SimHost::new(&loaded.plan, None));
        // On the world's own clock `sim` never stalls; this one is real.
        let mut began = began(&loaded.scenario, String::new(), Vec::new());
        began.world = WorldName::Local;
        drill(&loaded.plan, began, host, &journal, clock, stop).await.unwrap()
    });
    (ending, std::fs::read(&path).unwrap())
}

/// Threads of ours that keep time, watch, or write.
fn ours() -> BTreeSet<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|t| std::fs::read_to_string(t.path().join("comm")).ok());
    names.map(|n| n.trim().to_owned()).filter(|n| n.starts_with("gameday-")).collect()
}

fn none_is_left() {
    // A thread that was joined may stand in `/proc` for a moment longer.
    for _ in 0..2000 {
        if ours().is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("still there: {:?}", ours());
}

/// One test, since it looks at the threads of the whole program.
#[test]
fn a_harness_that_stands_still_says_so_and_leaves_no_thread() {
    let (ending, journal) = play(false);
    none_is_left();
    assert_eq!(ending, Ending::Complete);
    let events = || Reader::new(Cursor::new(&journal));
    let facts = Facts::of(events()).unwrap();
    assert_eq!(facts.odd, None);
    assert!(facts.notes.iter().any(|n| n.starts_with("probes are timed by threads")), "{:?}", facts.notes);
    let longest = facts.stalls.iter().map(|(from, to)| to - from).max();
    assert!(longest >= Some(150_000), "{:?}", facts.stalls);
    let written = events().filter(|e| matches!(e.as_ref().unwrap().kind, EventKind::Stalled { .. })).count();
    assert_eq!(written, facts.stalls.len());
    let probes = facts.services.iter().flat_map(|s| &s.probes);
    let late: Vec<_> = probes.filter(|p| p.sent_us - p.due_us > 50_000).collect();
    assert!(late.len() >= 10, "every probe that was due while it stood still is late: {late:?}");
    for p in late {
        // All but a moment of its lateness, in which the runtime had already stopped turning or was still catching up.
        let in_stall = |(from, to): &(u64, u64)| (*to).min(p.sent_us).saturating_sub((*from).max(p.due_us));
        let covered = facts.stalls.iter().any(|s| in_stall(s) + 50_000 >= p.sent_us - p.due_us);
        assert!(covered, "{p:?} was late in no stall: {:?}", facts.stalls);
    }

    let (ending, journal) = play(true);
    none_is_left();
    assert_eq!(ending, Ending::Aborted);
    let facts = Facts::of(Reader::new(Cursor::new(&journal))).unwrap();
    assert_eq!(facts.odd, None);
}
