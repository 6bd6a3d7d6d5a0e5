//! Tests of the feature store as a whole.

mod audit;
mod backup;
mod inventory;
mod killed;
mod models;
mod process;
mod replicated;
mod store;
mod system;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::corpus::{Corpus, FEATURES};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Client, Config, Item, Record, Row, Server, Store, Table};
use crate::trials::corpus;

const LIMIT: Duration = Duration::from_secs(20);

fn open(dir: &Path) -> Store {
    Store::open(dir).unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn values(key: u64, ver: u64) -> [f64; FEATURES] {
    std::array::from_fn(|f| ((key * 31 + ver * 7 + f as u64) % 97) as f64 / 8.0)
}

fn row(key: u64, ver: u64) -> Item {
    Item::Row(Row { key, ver, event_us: ver as i64 * 1000, values: Some(values(key, ver)) })
}

fn gone(key: u64, ver: u64) -> Item {
    Item::Row(Row { key, ver, event_us: ver as i64 * 1000, values: None })
}

fn record(table: Table, name: &str, body: &str) -> Item {
    Item::Record(Record { table, name: name.into(), ver: 0, event_us: 0, body: Some(body.into()) })
}

/// Everything that is stored, deletions among it.
fn contents(store: &Store) -> Vec<Item> {
    let rows = store.rows(0, u64::MAX, usize::MAX).unwrap();
    assert!(!rows.more);
    rows.rows.into_iter().chain(store.catalogue().unwrap()).map(|stored| stored.item).collect()
}

struct Node {
    client: Client,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A node in this process.
async fn node(dir: &Path) -> Node {
    let server = Server::bind(Config::new(dir)).await.unwrap();
    let client = Client::new(server.addr(), LIMIT);
    let (stop, stopped) = oneshot::channel();
    Node { client, stop, task: tokio::spawn(server.run(async move { drop(stopped.await) })) }
}

impl Node {
    async fn end(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}
