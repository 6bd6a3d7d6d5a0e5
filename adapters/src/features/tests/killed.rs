//! A pair of nodes whose primary is killed again and again.

use std::collections::BTreeSet;

use super::process::{Process, somewhere};
use super::*;
use crate::features::Config;
use crate::replica::ReplicaConfig;
use crate::replica::trials::{Product, Trials};
use rustix::process::Signal;

impl Product for Process {
    type Client = Client;

    async fn start(dir: &Path, port: u16, replica: &ReplicaConfig) -> Self {
        let config = Config { port, replica: Some(replica.clone()), ..somewhere(dir) };
        Process::start(&config).ready().await
    }

    fn client(&self) -> Client {
        self.1.clone()
    }

    async fn put(client: Client, key: u64) -> bool {
        client.apply(vec![row(key, 1 + key % 7)]).await.is_ok()
    }

    async fn missing(&self, keys: &BTreeSet<u64>) -> Vec<u64> {
        let stored = self.1.rows(0, u64::MAX, 100_000).await.unwrap();
        assert!(!stored.more);
        let stored = stored.rows.into_iter().filter(|stored| stored.verifies()).filter_map(|stored| {
            let Item::Row(found) = &stored.item else { return None };
            (stored.item == row(found.key, 1 + found.key % 7)).then_some(found.key)
        });
        keys.difference(&stored.collect()).copied().collect()
    }

    async fn kill(self) {
        self.signal(Signal::KILL);
        // Its end is awaited as it is dropped.
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_sync_fifteen_killed_primaries_lose_nothing() {
    Trials::lose_nothing::<Process>("feature", 21, 3, 5).await;
}
