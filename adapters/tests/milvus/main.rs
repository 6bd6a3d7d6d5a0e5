//! A real Milvus with its bucket in a real MinIO, killed and damaged. Needs the folder of Milvus's program in
//! `GAMEDAY_MILVUS_BIN` and the program of MinIO in `GAMEDAY_MINIO`; says so where they are missing.

#![expect(clippy::unwrap_used, reason = "a test")]

mod stand;

use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters::milvus::{Damage, Follower, IndexKind, LoadState, Manifest, MilvusError, MilvusSystem, Row};
use adapters::milvus::{damage, index_objects, is_binlog};
use harness::corpus::{Corpus, LOADED_KEYS};
use harness::ports::{Reading, System, Write};
use stand::{LONG, ROOT, Stand, say};

const SEEDED: u64 = 4000;

fn corpus() -> Arc<Corpus> {
    let text = include_str!("../../../scenarios/vector_index_corruption.toml");
    let mut corpus = Corpus::of(&harness::diagnose::load(text.as_bytes(), &[]).unwrap().scenario);
    corpus.vectors = SEEDED;
    Arc::new(corpus)
}

async fn recall(stand: &Stand, corpus: &Corpus) -> f64 {
    let mut found = 0;
    for n in 0..20 {
        let query = corpus.query(n);
        let mut exact: Vec<(f32, u64)> = (0..SEEDED)
            .map(|key| (harness::corpus::squared_distance(&query, &corpus.vector(key, 0)), key))
            .collect();
        exact.sort_by(|a, b| a.0.total_cmp(&b.0));
        let keys = stand.client.search(&query, 10).await.unwrap();
        found += exact[..10].iter().filter(|(_, key)| keys.contains(key)).count();
    }
    found as f64 / 200.0
}

async fn everything(system: &dyn System) -> Vec<(u64, Reading)> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = system.survivors(after, 1000).await.unwrap();
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn milvus_keeps_and_loses_what_it_should() {
    let Some(mut stand) = Stand::launch().await else { return };
    let corpus = corpus();
    let query = corpus.query(0);
    let system = MilvusSystem::new(stand.client.clone(), corpus.clone());

    // Seed, flush, index, load.
    stand.client.create(corpus.dim).await.unwrap();
    for first in (0..SEEDED).step_by(1000) {
        let rows: Vec<Row> =
            (first..first + 1000).map(|key| Row { key, ver: 0, vector: corpus.vector(key, 0) }).collect();
        stand.client.insert(&rows).await.unwrap();
    }
    stand.client.flush(LONG).await.unwrap();
    let state = stand.client.build_index(IndexKind::Hnsw, LONG).await.unwrap();
    assert_eq!(state.indexed, SEEDED);
    stand.client.load().await.unwrap();
    stand.client.searchable(&query, 10, LONG).await.unwrap();
    let healthy = recall(&stand, &corpus).await;
    say(&format!("recall@10 of a healthy index: {healthy}"));
    assert!(healthy > 0.9);

    // The laws of a system.
    let fresh = LOADED_KEYS + 1;
    let write = |key, ver, delete| Write { key, ver, delete };
    for ver in [1, 2] {
        system.write(write(fresh, ver, false)).await.unwrap();
        assert_eq!(system.read(fresh).await, Ok(Some(Reading::Ver(ver))));
    }
    system.write(write(fresh, 3, true)).await.unwrap();
    assert_eq!(system.read(fresh).await, Ok(None));
    let bent = Row { key: fresh, ver: 4, vector: corpus.vector(fresh, 5) };
    stand.client.upsert(&[bent]).await.unwrap();
    assert_eq!(system.read(fresh).await, Ok(Some(Reading::Corrupt)));
    system.write(write(fresh, 6, true)).await.unwrap();
    let all = everything(&system).await;
    assert!(all.iter().map(|i| i.0).eq(0..SEEDED), "{} keys", all.len());
    assert!(all.iter().all(|i| i.1 == Reading::Ver(0)));

    // Digests of a quiet moment.
    stand.client.flush(LONG).await.unwrap();
    let manifest = Manifest::take(&stand.s3, ROOT).await.unwrap();
    let segments = stand.client.segments().await.unwrap();
    let index = index_objects(&manifest, &segments)[0].to_owned();
    assert!(manifest.audit(&stand.s3, ROOT).await.unwrap().wrong().next().is_none());

    // Latent: what is in memory serves, only the digests see it. Loud: after a reload it never gets ready.
    let good = damage(&stand.s3, &index, &Damage::Header).await.unwrap();
    assert!(recall(&stand, &corpus).await > 0.9);
    let audit = manifest.audit(&stand.s3, ROOT).await.unwrap();
    assert_eq!(audit.damaged, [index.as_str()]);
    stand.client.release().await.unwrap();
    stand.client.load().await.unwrap();
    let stuck = stand.client.searchable(&query, 10, Duration::from_secs(8)).await;
    assert!(matches!(stuck, Err(MilvusError::Late { .. })), "{stuck:?}");
    assert_eq!(stand.client.load_state().await.unwrap(), LoadState::Loading);
    let begun = Instant::now();
    manifest.restore(&stand.s3, &index, good).await.unwrap();
    stand.client.searchable(&query, 10, LONG).await.unwrap();
    say(&format!("loud: searchable {:?} after the object was put back", begun.elapsed()));
    assert!(recall(&stand, &corpus).await > 0.9);

    // The trap: no rebuild over rotten segment data.
    let binlog = manifest.objects.keys().find(|key| is_binlog(key)).unwrap().clone();
    let good = damage(&stand.s3, &binlog, &Damage::Header).await.unwrap();
    let audit = manifest.audit(&stand.s3, ROOT).await.unwrap();
    let refused = stand.client.rebuild(IndexKind::Hnsw, &audit, &query, LONG).await;
    assert!(matches!(refused, Err(MilvusError::RottenSegments(1, _))), "{refused:?}");
    manifest.restore(&stand.s3, &binlog, good).await.unwrap();
    let audit = manifest.audit(&stand.s3, ROOT).await.unwrap();
    let begun = Instant::now();
    stand.client.rebuild(IndexKind::Hnsw, &audit, &query, LONG).await.unwrap();
    say(&format!("rebuild: searchable after {:?}", begun.elapsed()));
    assert!(recall(&stand, &corpus).await > 0.9);

    // A collection that follows another one holds what was acknowledged before its last round, and nothing of what
    // was written while it stood still.
    let copy = stand.client.of("copy");
    copy.create(corpus.dim).await.unwrap();
    copy.build_index(IndexKind::Hnsw, LONG).await.unwrap();
    copy.load().await.unwrap();
    copy.loaded(LONG).await.unwrap();
    let follower = Follower::start(stand.client.clone(), copy.clone());
    follower.caught_up(LONG).await.unwrap();
    system.write(write(7, 1, false)).await.unwrap();
    system.write(write(9, 2, true)).await.unwrap();
    system.write(write(LOADED_KEYS + 50, 3, false)).await.unwrap();
    follower.caught_up(LONG).await.unwrap();
    let standby = MilvusSystem::new(copy.clone(), corpus.clone());
    let same = everything(&system).await;
    assert_eq!(everything(&standby).await, same);
    assert_eq!((standby.read(7).await, standby.read(9).await), (Ok(Some(Reading::Ver(1))), Ok(None)));
    follower.stall(true).await.unwrap();
    system.write(write(7, 4, false)).await.unwrap();
    assert!(follower.caught_up(Duration::from_secs(2)).await.is_err());
    assert_eq!(standby.read(7).await, Ok(Some(Reading::Ver(1))), "not copied is not there");
    say(&format!("follower: {:?}", follower.progress()));
    drop(follower);
    copy.drop_collection().await.unwrap();
    for (key, ver, delete) in [(7, 5, true), (9, 6, true), (LOADED_KEYS + 50, 7, true)] {
        system.write(write(key, ver, delete)).await.unwrap();
    }
    for key in [7, 9] {
        system.write(write(key, 0, false)).await.unwrap();
    }

    // Killed: nothing acknowledged is lost, flushed or not.
    let unflushed = 50;
    for n in 1..=unflushed {
        system.write(write(LOADED_KEYS + 100 + n, n, false)).await.unwrap();
    }
    stand.kill().await;
    let (healthz, searched) = stand.start_and_time(&query).await;
    say(&format!("after kill -9: /healthz {healthz:?}, first good search {searched:?}"));
    let all = everything(&system).await;
    assert_eq!(all.len() as u64, SEEDED + unflushed);
    assert!(all[SEEDED as usize..].iter().zip(1..).all(|((_, reading), n)| *reading == Reading::Ver(n)));

    // The log lost: what was not flushed is gone, to the row, and nothing else.
    stand.kill().await;
    stand.lose_log();
    let (healthz, searched) = stand.start_and_time(&query).await;
    say(&format!("without its log: /healthz {healthz:?}, first good search {searched:?}"));
    let left = everything(&system).await;
    let lost = all.len() - left.len();
    say(&format!("without its log: {lost} of {unflushed} unflushed rows lost"));
    assert!(left.iter().take(SEEDED as usize).map(|i| i.0).eq(0..SEEDED));
    assert_eq!(lost as u64, unflushed);
    stand.end().await;
}
