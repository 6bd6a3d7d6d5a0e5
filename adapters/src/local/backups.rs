//! Backups of a node in the object store of its own region, and restores from there.

use harness::act::BackupKind;
use harness::ports::Effect;
use harness::topology::NodeId;

use super::host::LocalHost;
use super::product::{BACKUPS, COLLECTION, words};
use crate::backup;

impl LocalHost {
    pub(super) async fn back_up(&self, id: &NodeId, kind: BackupKind) -> Result<Effect, Effect> {
        let (vector, store) = (self.vector(id).await?, self.object_store(&id.region)?);
        let done = match kind {
            BackupKind::Full => backup::back_up(&vector.client, &store.backups, COLLECTION).await,
            BackupKind::Incremental => return Err(Effect::failed("world local cannot do this yet")),
        };
        let done = done.map_err(|e| Effect::failed(e.to_string()))?;
        let (at, records) = (&done.timestamp, done.records);
        let text = format!("{records} records in {} objects of {BACKUPS}, backup {at}", done.objects);
        Ok(Effect::observed(text).with("backup", at).with("records", records).with("bytes", done.bytes))
    }

    pub(super) async fn restore(&self, id: &NodeId) -> Result<Effect, Effect> {
        let (vector, store) = (self.vector(id).await?, self.object_store(&id.region)?);
        let done = backup::restore(&vector.client, &store.backups, COLLECTION).await;
        let done = done.map_err(|e| Effect::failed(e.to_string()))?;
        let replayed = done.imported.replayed;
        let whole = if done.imported.complete { "all of them" } else { "some may be lost" };
        let text = format!(
            "{} records of backup {} verified and imported, {replayed} newer writes replayed ({whole}), {} live",
            done.records, done.timestamp, done.imported.live
        );
        let effect = Effect::observed(text)
            .with("backup", &done.timestamp)
            .with("records", done.records)
            .with("replayed", replayed)
            .with("log_complete", done.imported.complete)
            .with("unfinished_backups", done.unfinished.len());
        Ok(match &done.index {
            Some(index) => effect
                .with("engine", "cpu")
                .with("kind", words(&index.spec))
                .with("vectors", index.records)
                .with("build_seconds", format!("{:.3}", index.build_seconds)),
            None => effect.with("index", "none was there"),
        })
    }
}
