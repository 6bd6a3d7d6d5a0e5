//! A hand from outside: PostgreSQL, MinIO and Milvus are tampered with beyond their records, by their own clients, while
//! a drill is played that otherwise passes.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use adapters::docker::images::Choices;
use adapters::milvus::{Client, IndexKind};
use harness::clock::Clock;
use harness::diagnose::load;
use harness::drill::{drill, stop};
use harness::journal::{Began, Event, EventKind, Journal, Phase};
use harness::report::Report;
use harness::scenario::WorldName;
use harness::sim::began;
use harness::verdict::Verdict::Fail;

use crate::common::block_on;
use crate::stand::{Stand, docker};

/// By the superuser: a grant, a trigger whose function runs as its owner, a view of zeros, a row with a NULL, a row with a
/// negative key.
const SQL: &str = "
    GRANT pg_execute_server_program TO gameday;
    CREATE FUNCTION tap() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER tap BEFORE INSERT ON entity_rows FOR EACH ROW EXECUTE FUNCTION tap();
    CREATE OR REPLACE VIEW feast_online_store AS
        SELECT entity_key, 'feature_0'::text AS feature_name, 0.0::float8 AS value_num, now() AS event_ts, created_ts
        FROM entity_rows;
    INSERT INTO entity_rows VALUES (777777, 0, 0, now(), 1, 1, NULL, 1, 1, 1, 1, 1, '\\x00');
    ALTER TABLE entity_rows DROP CONSTRAINT entity_rows_entity_key_check;
    INSERT INTO entity_rows VALUES (-5, 0, 0, now(), 1, 1, 1, 1, 1, 1, 1, 1, '\\x00');
";
const PSQL: &str = "PGPASSFILE=/var/lib/postgresql/data/conf/passfile exec psql -v ON_ERROR_STOP=1 -q -h 127.0.0.1 \
    -U postgres -d gameday -c \"$0\"";
/// A bucket that the world may read, a bucket of a stranger's, a foreign object, and an object that is gone beside it.
const MC: &str = "export HOME=/tmp MC_CONFIG_DIR=/tmp/hand \
    MC_HOST_me=\"http://$MINIO_ROOT_USER:$MINIO_ROOT_PASSWORD@127.0.0.1:9000\"; set -e; \
    mc -q anonymous set download me/gameday; mc -q mb me/loot; echo stranger | mc -q pipe me/gameday/x/y.bin; \
    mc -q rm me/gameday/00000000000000000001; mc -q admin user add me shadow shadow-of-a-doubt; \
    mc -q admin policy attach me readwrite --user shadow";

fn hand(run: &str) {
    let name = |role: &str| format!("gameday-{run}-east-{role}");
    docker(&["exec", "-u", "postgres", &name("feature"), "sh", "-c", PSQL, SQL]);
    docker(&["exec", &name("object"), "sh", "-c", MC]);
    let port = docker(&["port", &name("vector"), "19530/tcp"]);
    let endpoint = format!("http://{}", port.lines().next().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let limit = Duration::from_secs(60);
        let ours = Client::new(&endpoint, "gameday").unwrap();
        ours.of("loot").create(8).await.unwrap();
        ours.release().await.unwrap();
        ours.drop_index().await.unwrap();
        ours.build_index(IndexKind::IvfFlat, limit).await.unwrap();
        ours.load().await.unwrap();
        // A connection may be given up on a busy machine; the hand knocks again.
        let begun = std::time::Instant::now();
        while ours.loaded(limit).await.is_err() {
            assert!(begun.elapsed() < limit, "the collection did not come back into memory");
        }
    });
}

#[track_caller]
fn failed(report: &Report, objective: &str, subject: &str, names: &[&str]) {
    let found = report.findings.iter().find(|f| f.objective == objective && f.subject == subject);
    let found = found.unwrap_or_else(|| panic!("{objective} {subject}: {:#?}", report.findings));
    assert_eq!(found.verdict, Fail, "{found:#?}");
    for name in names {
        assert!(found.measured.contains(name), "{name} is not in: {found:#?}");
    }
}

pub(crate) fn whatever_is_tampered_with_is_named() {
    let plan = load(include_bytes!("tampered.toml"), &[]).unwrap().plan;
    let report = block_on(async {
        let stand = Stand::of(plan, None, Choices::new());
        let world = Began {
            run: stand.run.clone(),
            world: WorldName::Docker,
            ..began(&stand.plan.scenario, String::new(), Vec::new())
        };
        let (clock, run) = (Clock::real(), stand.run.clone());
        let (tell, told) = std::sync::mpsc::channel::<bool>();
        let over = tell.clone();
        let hand = std::thread::spawn(move || {
            if told.recv() == Ok(true) {
                hand(&run);
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
        stand.is_clean().await;
        Report::read(Cursor::new(journal.bytes())).unwrap()
    });
    assert_eq!(report.verdict, Fail);
    failed(
        &report,
        "integrity",
        "inventory of east/feature",
        &[
            "membership of gameday in pg_execute_server_program is new",
            "function public.tap() is new",
            "trigger tap of public.entity_rows is new",
            "view public.feast_online_store is another",
            "constraint entity_rows_entity_key_check of public.entity_rows is gone",
            "stranger -5 in entity_rows",
        ],
    );
    failed(&report, "integrity", "feature", &["2 unexpected"]);
    failed(
        &report,
        "integrity",
        "inventory of east/object",
        &["policy of bucket gameday is new", "bucket loot is new", "x/y.bin", "user shadow is new"],
    );
    failed(&report, "integrity", "object", &["1 unexpected"]);
    failed(&report, "rpo", "object", &["1 lost"]);
    failed(
        &report,
        "integrity",
        "inventory of east/vector",
        &["collection loot is new", "index vector_index of gameday.vector is another", "IVF_FLAT", "HNSW"],
    );
}
