//! A pair of object nodes whose primary is killed again and again.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};

use super::process_tests::{keys, spawn};
use super::{S3, ServerConfig};
use crate::local::proc::Proc;
use crate::replica::ReplicaConfig;
use crate::replica::trials::{Product, Trials};

const LIMIT: Duration = Duration::from_secs(30);

struct Node(Proc, S3);

/// Of several sizes, some of which take more than one packet.
fn body(key: u64) -> Vec<u8> {
    (0..100 + key % 13 * 1000).map(|at| (at * 7 + key * 31) as u8).collect()
}

impl Product for Node {
    type Client = S3;

    async fn start(dir: &Path, port: u16, replica: &ReplicaConfig) -> Self {
        let replica = Some(replica.clone());
        let config = ServerConfig { port, data: dir.join("data"), keys: keys(), lifeline: true, replica };
        let node = spawn(&config, dir);
        let s3 = S3::new(&format!("http://127.0.0.1:{port}"), "gameday", &keys()).unwrap().within(LIMIT);
        let deadline = Instant::now() + LIMIT;
        while let Err(e) = s3.create_bucket().await {
            assert!(Instant::now() < deadline, "{e}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Node(node, s3)
    }

    fn client(&self) -> S3 {
        self.1.clone()
    }

    async fn put(client: S3, key: u64) -> bool {
        client.put(&key.to_string(), body(key)).await.is_ok()
    }

    async fn missing(&self, keys: &BTreeSet<u64>) -> Vec<u64> {
        let read = stream::iter(keys.iter().copied()).map(|key| async move {
            let found = self.1.get(&key.to_string()).await.unwrap();
            found.is_none_or(|found| found[..] != body(key)[..]).then_some(key)
        });
        read.buffered(8).filter_map(std::future::ready).collect().await
    }

    async fn kill(self) {
        self.0.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_sync_fifteen_killed_primaries_lose_nothing() {
    Trials::lose_nothing::<Node>("object", 31, 5, 3).await;
}
