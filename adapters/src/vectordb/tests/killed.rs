//! A pair of nodes whose primary is killed again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use super::process::{Process, somewhere};
use super::*;
use crate::local::link::Mode as LinkMode;
use crate::replica::trials::{Product, Trials};
use crate::replica::{Mode, ReplicaConfig};
use crate::vectordb::Client;
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
        client.put(record(key, key % 7)).await.is_ok()
    }

    async fn missing(&self, keys: &BTreeSet<u64>) -> Vec<u64> {
        let (mut stored, mut after) = (BTreeSet::new(), None);
        loop {
            let page = self.1.survivors(after, 5000).await.unwrap();
            let whole = page.records.into_iter().filter(|found| *found == record(found.key, found.key % 7));
            stored.extend(whole.map(|record| record.key));
            after = page.next;
            if after.is_none() {
                return keys.difference(&stored).copied().collect();
            }
        }
    }

    async fn kill(self) {
        self.signal(Signal::KILL);
        // Its end is awaited as it is dropped.
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_sync_twenty_killed_primaries_lose_nothing() {
    Trials::lose_nothing::<Process>("vector", 11, 2, 10).await;
}

/// So the trials see losses where there are any.
#[tokio::test(flavor = "multi_thread")]
async fn in_async_behind_a_slow_link_killed_primaries_lose() {
    let link = LinkMode::Delay(Duration::from_millis(40));
    let slow = Trials { seed: 12, count: 3, mode: Mode::Async, link };
    let outcome = slow.play::<Process>().await;
    assert_ne!(outcome.lost.concat(), Vec::<u64>::new());
}
