//! Backups against real nodes: what is restored is what was there, and no damaged byte is.

mod chains;
mod laws;

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::manifest::timestamp;
use super::*;
use crate::s3::{Keys, S3, Server as ObjectServer, ServerConfig};
use crate::vectordb::{self, Client, Config, Engine, IndexSpec, Record, Server as VectorServer, State};

const DIM: u32 = 4;
const LIMIT: Duration = Duration::from_secs(20);

fn record(key: u64, ver: u64) -> Record {
    let value = |i: u64| ((key * 31 + ver * 7 + i * 3) % 101) as f32;
    Record { key, ver, vector: (0..u64::from(DIM)).map(value).collect() }
}

struct Stack {
    client: Client,
    s3: S3,
    dir: tempfile::TempDir,
}

async fn stack() -> Stack {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::new("gameday", "not-a-secret");
    let config = ServerConfig {
        port: 0,
        data: dir.path().join("objects"),
        keys: keys.clone(),
        lifeline: false,
        replica: None,
    };
    let objects = ObjectServer::bind(config).await.unwrap();
    let s3 = S3::new(&format!("http://{}", objects.addr()), "gameday-backups", &keys).unwrap();
    tokio::spawn(objects.run(std::future::pending()));
    s3.create_bucket().await.unwrap();
    let client = node(&dir.path().join("vectors")).await;
    Stack { client, s3, dir }
}

async fn contents(node: &Client) -> Vec<Record> {
    node.survivors(None, 100_000).await.unwrap().records
}

async fn node(dir: &Path) -> Client {
    let engine = Engine::open(Config::new(dir, "docs", DIM)).unwrap();
    let server = VectorServer::bind(engine).await.unwrap();
    let client = Client::new(server.addr(), LIMIT);
    tokio::spawn(server.run(std::future::pending()));
    client
}

impl Stack {
    async fn fill(&self, keys: std::ops::Range<u64>, ver: u64) {
        for key in keys {
            self.client.put(record(key, ver)).await.unwrap();
        }
    }

    async fn contents(&self) -> Vec<Record> {
        contents(&self.client).await
    }

    async fn full(&self) -> Backup {
        back_up(&self.client, &self.s3, "docs").await.unwrap()
    }

    async fn incremental(&self) -> Backup {
        back_up_incremental(&self.client, &self.s3, "docs").await.unwrap()
    }

    /// An empty node with a folder of its own.
    async fn standby(&self) -> Client {
        let name = format!("standby-{}", std::fs::read_dir(self.dir.path()).unwrap().count());
        node(&self.dir.path().join(name)).await
    }

    async fn build(&self) -> IndexInfo {
        let spec = IndexSpec {
            kind: vectordb::Kind::Hnsw { m: 8, ef_construction: 50, ef: 50 },
            seed: 7,
            min_recall: 0,
        };
        self.client.build_index(spec, vectordb::BuildEngine::Cpu).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_is_what_was_there() {
    let stack = stack().await;
    stack.fill(0..300, 1).await;
    stack.client.delete(7, 2).await.unwrap();
    let built = stack.build().await;
    let before = stack.contents().await;
    let backup = back_up(&stack.client, &stack.s3, "docs").await.unwrap();
    assert_eq!((backup.records, backup.objects), (299, 2));
    // Onto another, empty node: nothing of the first one's log can help.
    let other = Stack { client: node(&stack.dir.path().join("other")).await, ..stack };
    other.fill(0..10, 9).await;
    let restored = restore(&other.client, &other.s3, "docs").await.unwrap();
    assert_eq!(other.contents().await, before);
    assert_eq!((restored.records, restored.imported.replayed), (299, 0));
    assert_eq!(restored.index.unwrap().spec, built.spec);
    assert_eq!(other.client.status().await.unwrap().state, State::Healthy);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_after_the_backup_are_replayed_on_top() {
    let stack = stack().await;
    stack.fill(0..50, 1).await;
    back_up(&stack.client, &stack.s3, "docs").await.unwrap();
    stack.fill(40..60, 2).await;
    stack.client.delete(3, 3).await.unwrap();
    let before = stack.contents().await;
    let restored = restore(&stack.client, &stack.s3, "docs").await.unwrap();
    assert_eq!((restored.imported.replayed, restored.imported.complete), (21, true));
    assert_eq!(stack.contents().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_complete_backup_is_taken() {
    let stack = stack().await;
    assert!(matches!(restore(&stack.client, &stack.s3, "docs").await, Err(BackupError::Missing(_))));
    stack.fill(0..5, 1).await;
    back_up(&stack.client, &stack.s3, "docs").await.unwrap();
    stack.fill(0..9, 2).await;
    let second = back_up(&stack.client, &stack.s3, "docs").await.unwrap();
    stack.s3.put("vector-backups/docs/full/9999-01-01T000000.000Z/records-000000", "torn").await.unwrap();
    let restored = restore(&stack.client, &stack.s3, "docs").await.unwrap();
    assert_eq!((restored.timestamp, restored.records), (second.timestamp, 9));
    assert_eq!(restored.unfinished, ["9999-01-01T000000.000Z"]);
    let clock = back_up(&stack.client, &stack.s3, "docs").await;
    assert!(matches!(clock, Err(BackupError::Clock { .. })), "{clock:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damaged_or_missing_object_is_restored() {
    let stack = stack().await;
    stack.fill(0..40, 1).await;
    stack.build().await;
    back_up(&stack.client, &stack.s3, "docs").await.unwrap();
    stack.fill(0..40, 2).await;
    let before = (stack.contents().await, stack.client.status().await.unwrap().index);
    let objects = stack.s3.list_all("vector-backups/", 100).await.unwrap();
    assert_eq!(objects.len(), 4);
    for object in objects.iter().map(|o| &o.key) {
        let good = stack.s3.get(object).await.unwrap().unwrap();
        let mut wrong: Vec<Option<Vec<u8>>> =
            vec![None, Some(Vec::new()), Some(good[..good.len() - 1].to_vec())];
        for at in (0..good.len()).step_by(29).chain([good.len() - 1]) {
            let mut bent = good.to_vec();
            bent[at] ^= 1 << (at % 8);
            wrong.push(Some(bent));
        }
        for (i, body) in wrong.into_iter().enumerate() {
            match body {
                Some(body) => stack.s3.put(object, body).await.map(drop).unwrap(),
                None => stack.s3.delete(object).await.unwrap(),
            }
            let error = restore(&stack.client, &stack.s3, "docs").await.unwrap_err();
            let named = matches!(&error, BackupError::Damaged { object: named, .. } if named == object);
            assert!(named, "{object}, damage {i}: {error}");
        }
        stack.s3.put(object, good).await.unwrap();
    }
    let after = (stack.contents().await, stack.client.status().await.unwrap().index);
    assert_eq!(after, before, "nothing was overwritten");
    restore(&stack.client, &stack.s3, "docs").await.unwrap();
}

#[test]
fn timestamps_sort_as_text() {
    let at = |ms| timestamp(SystemTime::UNIX_EPOCH + Duration::from_millis(ms)).unwrap();
    assert_eq!(at(1_000_000_000_123), "2001-09-09T014640.123Z");
    let times = [0, 999, 1000, 1001, 59_999, 60_000, 86_400_000, 1_000_000_000_000];
    let names: Vec<String> = times.map(at).to_vec();
    assert!(names.is_sorted());
}
