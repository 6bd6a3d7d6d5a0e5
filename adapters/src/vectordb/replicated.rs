//! The node as a product that can be replicated: its changes feed, spoken by [`crate::replica`].
//!
//! A change travels as one postcard [`Change`]. Between nodes write numbers decide which state of a key is newer, so
//! users' writes of a replicated node obey them too ([`Engine::write_newer`]): otherwise one that comes late would
//! win here and lose there. Two states of one key with the same write number are taken to be the same.

use super::commit::{Origin, Update};
use super::engine::{Engine, EngineError};
use super::wire::{Change, Point};
use crate::replica::{BATCH_BYTES, Batch, Position, Replicable};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

impl Engine {
    /// A user's write, which changes nothing if the key shows the same or a higher write number. Answers an lsn that
    /// is durable together with what the key shows then.
    pub(super) async fn write_newer(&self, update: Update) -> Result<u64, EngineError> {
        if let Some(vector) = &update.vector {
            self.core.check_vector(vector)?;
        }
        Ok(self.submit(vec![update], Origin::Replicated).await?.lsn)
    }

    fn batch(&self, since: u64, limit: usize) -> Result<Batch, String> {
        let limit = limit.min(BATCH_BYTES / (self.core.config.dim as usize * 4 + 32)).max(1);
        let timeline = self.core.view().manifest.timeline;
        let told = self.changes(Point { timeline, lsn: since }, limit).map_err(|error| error.to_string())?;
        let ops = told.records.iter().map(|change| postcard::to_stdvec(change).map(Bytes::from));
        let ops = ops.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        Ok(Batch { ops, upto: told.point.lsn, more: told.more })
    }

    /// An empty backup is restored, with nothing on top.
    fn empty(&self) -> Result<(), String> {
        let import = self.import_begin();
        self.import_commit(import, None).map(drop).map_err(|error| error.to_string())
    }
}

fn parse(op: &Bytes) -> Result<Change, String> {
    match postcard::take_from_bytes(op) {
        Ok((change, [])) => Ok(change),
        Ok((_, rest)) => Err(format!("{} bytes after a change", rest.len())),
        Err(error) => Err(format!("a change cannot be read: {error}")),
    }
}

/// An engine that follows and is followed.
#[derive(Debug)]
pub(super) struct Replicated(pub(super) Arc<Engine>);

impl Replicated {
    /// Locks and disk are waited for on a thread that may wait.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let engine = self.0.clone();
        spawn_blocking(move || work(&engine)).await.map_err(|error| error.to_string())?
    }
}

#[async_trait::async_trait]
impl Replicable for Replicated {
    fn position(&self) -> Position {
        let core = &self.0.core;
        // Both change under the view's lock only.
        let view = core.view();
        Position { timeline: view.manifest.timeline, lsn: *core.durable.borrow() }
    }

    fn durable(&self) -> watch::Receiver<u64> {
        self.0.durable()
    }

    async fn changes(&self, since: u64, limit: usize) -> Result<Batch, String> {
        self.blocking(move |engine| engine.batch(since, limit)).await
    }

    async fn apply(&self, ops: Vec<Bytes>) -> Result<(), String> {
        let changes = ops.iter().map(parse).collect::<Result<_, _>>()?;
        self.0.apply(changes).await.map(drop).map_err(|error| error.to_string())
    }

    async fn wipe(&self) -> Result<(), String> {
        self.blocking(Engine::empty).await
    }
}
