//! A hand from outside: stores that are tampered with beyond their records, while a drill is played that otherwise
//! passes. The hand uses no code of ours for it where files will do.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use harness::clock::Clock;
use harness::diagnose::load;
use harness::drill::{drill, stop};
use harness::journal::{Began, Event, EventKind, Journal, Phase};
use harness::plan::Plan;
use harness::report::Report;
use harness::scenario::WorldName;
use harness::sim::began;
use harness::verdict::Verdict::{Fail, Pass};

use crate::common::block_on;
use crate::stand::Stand;

fn plan() -> Plan {
    load(include_bytes!("tampered.toml"), &[]).unwrap().plan
}

/// Plays a drill, and lets a hand do something to the folder of its nodes once the faults begin.
fn play(hand: impl FnOnce(&Path) + Send + 'static) -> Report {
    block_on(async {
        let stand = Stand::for_plan(plan(), std::env::current_exe().unwrap(), None).unwrap();
        let world = Began {
            run: stand.run.clone(),
            world: WorldName::Local,
            ..began(&stand.plan.scenario, String::new(), Vec::new())
        };
        let clock = Clock::real();
        let (tell, told) = std::sync::mpsc::channel::<bool>();
        let (over, state) = (tell.clone(), stand.folder().join("state"));
        let hand = std::thread::spawn(move || {
            if told.recv() == Ok(true) {
                hand(&state);
            }
        });
        let begun = move |event: &Event| {
            if matches!(event.kind, EventKind::Entered(Phase::Storm)) {
                let _ = tell.send(true);
            }
        };
        let journal = Journal::in_memory(clock, Some(Box::new(begun)));
        let (_stopper, stop) = stop();
        drill(&stand.plan, world, Arc::clone(&stand.host), &journal, clock, stop).await.unwrap();
        // A stack that was never steady had no storm to wait for.
        let _ = over.send(false);
        hand.join().unwrap();
        stand.is_clean();
        Report::read(Cursor::new(journal.bytes())).unwrap()
    })
}

/// What the findings that failed say, by subject.
fn failed(report: &Report, objective: &str, subject: &str) -> String {
    let found = report.findings.iter().find(|f| f.objective == objective && f.subject == subject);
    let found = found.unwrap_or_else(|| panic!("{objective} {subject}: {:#?}", report.findings));
    assert_eq!(found.verdict, Fail, "{found:#?}");
    assert!(!found.evidence.is_empty(), "{found:#?}");
    found.measured.clone()
}

#[track_caller]
fn names(told: &str, all: &[&str]) {
    for one in all {
        assert!(told.contains(one), "{one} is not in: {told}");
    }
}

pub(crate) fn a_stack_that_nobody_tampers_with_passes() {
    let report = play(|_| {});
    let inventories = report.findings.iter().filter(|f| f.subject.starts_with("inventory of"));
    let all: Vec<_> = inventories.collect();
    // Of each store, before its restart and after.
    assert_eq!(all.len(), 6, "{:#?}", report.findings);
    for finding in all {
        assert_eq!((finding.verdict, finding.evidence.len()), (Pass, 2), "{finding:#?}");
    }
}

/// Views, triggers, tables and roles; rows that no key names, with a NULL, or gone past the log.
fn tamper_with_features(state: &Path) {
    let db = rusqlite::Connection::open(state.join("east-feature/features.db")).unwrap();
    db.busy_timeout(Duration::from_secs(20)).unwrap();
    db.execute_batch(
        "BEGIN IMMEDIATE;
         CREATE TABLE loot (x);
         CREATE VIEW features_daily AS SELECT key, 0.0 AS f0 FROM entity_rows;
         CREATE TRIGGER tap AFTER DELETE ON entity_rows BEGIN SELECT 1; END;
         CREATE INDEX entity_rows_f7 ON entity_rows (f7);
         INSERT INTO roles VALUES ('shadow', 0, 0, '{\"grants\":[\"read\"]}', zeroblob(32));
         INSERT INTO meta VALUES ('backdoor', 1);
         INSERT INTO entity_rows VALUES (-5, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, zeroblob(32));
         INSERT INTO entity_rows VALUES (777777, 0, 0, 1, 1, 1, NULL, 1, 1, 1, 1, zeroblob(32));
         INSERT INTO entity_rows VALUES (777778, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, zeroblob(32));
         INSERT INTO entity_rows VALUES (777779, 0, 0, 'x', 1, 1, 1, 1, 1, 1, 1, 'no digest');
         INSERT INTO changes (tab, id, ver) VALUES ('entity_rows', -7, 0), ('elsewhere', 1, 0);
         UPDATE dependencies SET body = NULL WHERE name = (SELECT max(name) FROM dependencies);
         COMMIT;",
    )
    .unwrap();
}

/// A bucket and an object of a stranger's, and an object that is gone beside it.
fn tamper_with_objects(state: &Path) {
    let data = state.join("east-object");
    std::fs::create_dir(data.join("loot")).unwrap();
    std::fs::create_dir(data.join("gameday/x")).unwrap();
    std::fs::write(data.join("gameday/x/y.bin"), "stranger").unwrap();
    std::fs::write(data.join("gameday/!first"), "stranger").unwrap();
    std::fs::remove_file(data.join("gameday/00000000000000000001")).unwrap();
}

/// The index is built anew as one of another kind.
fn tamper_with_vectors(state: &Path) {
    let config: PathBuf = state.join("east-vector.json");
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(config).unwrap()).unwrap();
    let port = u16::try_from(config["vector"]["port"].as_u64().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use adapters::vectordb::{BuildEngine, Client, IndexSpec, Kind};
        let client = Client::new((std::net::Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(60));
        let spec = IndexSpec { kind: Kind::IvfFlat { nlist: 16, nprobe: 16 }, seed: 1, min_recall: 0 };
        client.build_index(spec, BuildEngine::Cpu).await.unwrap();
    });
}

pub(crate) fn whatever_is_tampered_with_is_named() {
    let report = play(|state| {
        tamper_with_features(state);
        tamper_with_objects(state);
        tamper_with_vectors(state);
    });
    assert_eq!(report.verdict, Fail);
    let told = failed(&report, "integrity", "inventory of east/feature");
    let strangers =
        ["stranger \"-5\" in entity_rows", "stranger \"-7\" in changes", "stranger \"1\" in changes"];
    let schema = [
        "table loot",
        "view features_daily",
        "trigger tap",
        "index entity_rows_f7",
        "role shadow",
        "meta backdoor",
    ];
    names(&told, &[&schema[..], &strangers].concat());
    // -5, two entries of the log, three rows of keys that nobody wrote, and the role.
    names(&failed(&report, "integrity", "feature"), &["7 unexpected"]);
    // The load leaves the catalogue and the models alone, so what was done to them stays to be seen.
    names(&failed(&report, "rpo", "feature"), &["1 corrupt"]);
    let told = failed(&report, "integrity", "inventory of east/object");
    names(&told, &["bucket loot is new", "stranger \"x/y.bin\" in bucket gameday", "stranger \"!first\""]);
    names(&failed(&report, "integrity", "object"), &["2 unexpected"]);
    names(&failed(&report, "rpo", "object"), &["1 lost"]);
    let told = failed(&report, "integrity", "inventory of east/vector");
    names(&told, &["index of gameday is another (ivf_flat nlist=16", "and was (hnsw"]);
}
