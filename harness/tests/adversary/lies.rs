//! Worlds that lie, by the hundred: a seed chooses the scenario, the lie, the store, the key and the moment.
//!
//! Each drill is played in `sim` through a door that tells one lie. A world that lied must not pass, and a lie about one
//! key must be named: the drill's own account lists that key. A world that told no lie must pass. `GAMEDAY_LIES` sets how
//! many are played; 2,000 of them run every night.
#[path = "lies/door.rs"]
mod door;
#[path = "lies/kinds.rs"]
mod kinds;

use std::{
    collections::BTreeMap,
    io::Cursor,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use harness::{
    clock::Clock,
    drill::{drill, stop},
    facts::Facts,
    journal::{EventKind, Journal, Reader},
    report::Report,
    sim::{SimHost, began},
    topology::Role,
    verdict::Verdict::{Fail, Pass},
};

use super::{loaded, short};
use door::{Liar, Shared, lock};
use kinds::{Chance, DEEP, Kind, Lie, PLAIN};

/// What became of one drill.
#[derive(Debug)]
struct Played {
    report: Report,
    lied: bool,
    /// The key that was lied about, and whether the account lists it.
    key: Option<(u64, bool)>,
}

fn play(text: &str, seed: u64, lie: Lie) -> Played {
    let loaded = loaded(&text.replace("[stack]", &format!("seed = {seed}\n[stack]")));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (bytes, shared) = runtime.block_on(async {
        let clock = Clock::simulated();
        let shared = Arc::new(Shared {
            lie,
            clock,
            phase: AtomicU64::new(0),
            recovered_us: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            lies: AtomicU64::new(0),
            key: Mutex::default(),
            told: Mutex::default(),
        });
        let seen = shared.clone();
        let journal = Journal::in_memory(
            clock,
            Some(Box::new(move |event| {
                if let EventKind::Entered(phase) = &event.kind {
                    seen.phase.store(*phase as u64, SeqCst);
                }
            })),
        );
        let host = Arc::new(Liar { inner: SimHost::new(&loaded.plan, None), shared: shared.clone() });
        let (_stopper, stop) = stop();
        let began = began(&loaded.scenario, String::new(), Vec::new());
        drill(&loaded.plan, began, host, &journal, clock, stop).await.unwrap();
        (journal.bytes(), shared)
    });
    let facts = Facts::of(Reader::new(Cursor::new(&bytes))).expect("the journal can be read");
    let copies = facts.stores.iter().filter(|s| s.store == lie.role).flat_map(|s| &s.copies);
    let accounts: Vec<_> =
        copies.flat_map(|c| [&c.users, &c.restarted, &c.undone]).filter_map(|r| r.account.as_ref()).collect();
    let listed = |key: &u64| accounts.iter().any(|a| a.harm().contains(key) || a.excess().contains(key));
    let key = lock(&shared.key).map(|key| (key, listed(&key)));
    Played { report: Report::of(&facts), lied: shared.lies.load(SeqCst) > 0, key }
}

/// Plays so many drills of worlds that lie; what was wrong.
#[expect(clippy::print_stdout, reason = "a failed run shows how many lies of each kind were told")]
fn campaign(kinds: &[Kind], from: u64, count: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut by_kind: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for seed in from..from + count {
        let mut chance = Chance(seed);
        let lie = Lie::of(&mut chance, kinds);
        let played = play(&lie.scenario(&mut chance), seed, lie);
        let verdict = played.report.verdict;
        let kind = match lie.kind {
            Kind::DiesAgain(_) => "DiesAgain".to_owned(),
            other => format!("{other:?}"),
        };
        let row = by_kind.entry(kind).or_default();
        row[0] += 1;
        row[1] += u64::from(played.lied);
        row[2] += u64::from(verdict != Pass);
        let unlisted = lie.kind.must_be_listed() && played.key.is_some_and(|(_, listed)| !listed);
        let why = match (played.lied || lie.kind.waits(), verdict == Pass) {
            (true, true) => "FALSE PASS",
            (true, false) if played.lied && unlisted => "the key is not named",
            (false, false) => "no lie was told, and no pass",
            _ => continue,
        };
        wrong.push(format!("seed {seed}: {why}: {lie:?} {:?}: {:#?}", played.key, short(&played.report)));
    }
    println!("{:<40}{:>6}{:>6}{:>9}", "lie", "drills", "told", "no pass");
    for (kind, [drills, told, held]) in &by_kind {
        println!("{kind:<40}{drills:>6}{told:>6}{held:>9}");
    }
    wrong
}

/// How many, of 200 in an ordinary run.
fn share(of_200: u64) -> u64 {
    let all: u64 =
        std::env::var("GAMEDAY_LIES").map_or(200, |n| n.parse().expect("GAMEDAY_LIES is a number"));
    all * of_200 / 200
}

#[track_caller]
fn none_wrong(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn worlds_that_lie_never_pass_and_the_key_is_named() {
    none_wrong(&campaign(PLAIN, 1000, share(120)));
}

#[test]
fn worlds_that_lie_where_few_look_never_pass() {
    none_wrong(&campaign(DEEP, 50_000, share(80)));
}

#[test]
fn worlds_that_do_not_lie_pass() {
    let mut wrong = Vec::new();
    for seed in 0..60 {
        let mut chance = Chance(seed);
        let lie = Lie { kind: Kind::Honest, role: Role::Vector, pick: 0 };
        let text = lie.scenario(&mut chance);
        let played = play(&text, seed, lie);
        if played.report.verdict != Pass {
            let word = if played.report.verdict == Fail { "FALSE FAIL" } else { "unknown for nothing" };
            wrong.push(format!("seed {seed}: {word}: {:#?}", short(&played.report)));
        }
    }
    none_wrong(&wrong);
}
