//! The changes feed, and its counterpart: changes of another node, applied.
//!
//! A follower holds a [`Point`] and asks for what came after it; each answer carries the next point. Only the
//! latest state of a key is told, deletions included (tombstones are never dropped), and only once it is on disk:
//! what a crash of this node can take back, nobody else has seen. So within a timeline a point stays good for
//! ever; a restore that could not keep all of the history begins another timeline, and old points are refused.
//!
//! A poll without news costs one look at the index by lsn. To wait for news, watch [`Engine::durable`].

use super::commit::{Origin, Update};
use super::engine::{Engine, EngineError};
use super::wire::{Change, Changes, Merged, Point};
use tokio::sync::watch;

impl Engine {
    /// The newest durable write; marked as changed also when the data is replaced or loaded again.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.core.durable.subscribe()
    }

    /// What changed after `since`, up to `limit` keys or about 8 MiB. Lsn 0 of the node's own timeline is always
    /// good, and tells everything.
    ///
    /// # Errors
    /// [`EngineError::Resync`] if `since` is not of this node's history; or refused.
    pub fn changes(&self, since: Point, limit: usize) -> Result<Changes, EngineError> {
        let view = self.core.readable()?;
        let timeline = view.manifest.timeline;
        if since.timeline != timeline {
            return Err(EngineError::Resync(
                "the node was replaced, or restored without all of its history, since that point".into(),
            ));
        }
        let durable = *self.core.durable.borrow();
        if since.lsn > durable {
            return Err(EngineError::Resync(format!(
                "write {} is not known here, the newest is {durable}: the node lost what it had told",
                since.lsn
            )));
        }
        let (records, more) = view.table.changes(since.lsn, durable, limit);
        let told = records.last().filter(|_| more).map_or(durable, |last| last.lsn);
        let whole = !more && durable == view.table.last();
        let census = whole.then(|| view.table.census());
        Ok(Changes { records, point: Point { timeline, lsn: told }, more, census })
    }

    /// Stores those changes whose write number is higher than what the key shows, a deletion's included. All of it
    /// is durable then, and doing it again changes nothing. Their lsns, of another node's history, are not used.
    ///
    /// # Errors
    /// Refused, or failed with some of it perhaps stored.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Merged, EngineError> {
        let vectors = || changes.iter().filter_map(|change| change.vector.as_deref());
        vectors().try_for_each(|vector| self.core.check_vector(vector))?;
        let update = |Change { key, ver, vector, .. }| Update { key, ver, vector: vector.map(Into::into) };
        self.submit(changes.into_iter().map(update).collect(), Origin::Feed).await
    }
}
