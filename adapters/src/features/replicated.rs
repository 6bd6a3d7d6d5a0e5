//! The store as a product that can be replicated: its changes feed, spoken by [`crate::replica`].
//!
//! A change travels as one postcard [`Item`]. What does not verify is not told: poison stays in its region.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::commit::clear;
use super::item::Item;
use super::store::{Store, StoreError};
use crate::replica::{Batch, Position, Replicable};

/// A store that follows and is followed.
#[derive(Debug)]
pub(super) struct Replicated(pub(super) Arc<Store>);

fn parse(op: &Bytes) -> Result<Item, String> {
    match postcard::take_from_bytes(op) {
        Ok((item, [])) => Ok(item),
        Ok((_, rest)) => Err(format!("{} bytes after a change", rest.len())),
        Err(error) => Err(format!("a change cannot be read: {error}")),
    }
}

fn words(error: StoreError) -> String {
    error.to_string()
}

#[async_trait::async_trait]
impl Replicable for Replicated {
    fn position(&self) -> Position {
        let point = self.0.point();
        Position { timeline: point.timeline, lsn: point.lsn }
    }

    fn durable(&self) -> watch::Receiver<u64> {
        self.0.durable()
    }

    async fn changes(&self, since: u64, limit: usize) -> Result<Batch, String> {
        let store = self.0.clone();
        let told = spawn_blocking(move || store.changes(since, limit)).await;
        let told = told.map_err(|error| error.to_string())?.map_err(words)?;
        let ops = told.items.iter().map(|item| postcard::to_stdvec(item).map(Bytes::from));
        let ops = ops.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        Ok(Batch { ops, upto: told.upto, more: told.more })
    }

    async fn apply(&self, ops: Vec<Bytes>) -> Result<(), String> {
        let items = ops.iter().map(parse).collect::<Result<_, _>>()?;
        self.0.apply(items).await.map(drop).map_err(words)
    }

    async fn wipe(&self) -> Result<(), String> {
        self.0.alone(|tx| Ok(clear(tx)?)).await.map_err(words)
    }
}
