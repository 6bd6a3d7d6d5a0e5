//! Backups of a node in the object store of its own region, and restores from there.

use std::sync::{MutexGuard, PoisonError};

use harness::act::{BackupKind, RestoreScope};
use harness::ports::Effect;
use harness::scenario::Pattern;
use harness::topology::{NodeId, Role};

use super::feeder::{Fed, Feeder};
use super::host::LocalHost;
use super::product::{BACKUPS, COLLECTION, Product, built_by, words};
use crate::backup;

impl LocalHost {
    /// The node that was backed up last.
    fn backed_up(&self) -> MutexGuard<'_, Option<NodeId>> {
        self.backed_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to feed the standby of a warm pattern, if this is one.
    pub(super) fn feed_standby(&self) -> Result<(), Effect> {
        let stack = &self.plan.scenario.stack;
        let standby = self
            .nodes
            .iter()
            .find(|n| n.id.role == Role::Vector && stack.regions.first() != Some(&n.id.region));
        let Some(node) = standby.filter(|_| stack.pattern == Pattern::WarmStandby) else { return Ok(()) };
        let (Product::Vector(vector), Some(control)) = (&node.product, node.control()) else { return Ok(()) };
        let backups = self.object_store(&node.id.region)?.backups.clone();
        let fed = Fed::new(vector.client.clone(), control, backups);
        let feeder = Feeder::start(fed.clone(), self.operator.clone());
        *self.feeding.lock().unwrap_or_else(PoisonError::into_inner) = Some((fed, feeder));
        Ok(())
    }

    fn fed(&self) -> Option<Fed> {
        let feeding = self.feeding.lock().unwrap_or_else(PoisonError::into_inner);
        feeding.as_ref().map(|(fed, _)| fed.clone())
    }

    pub(super) async fn back_up(&self, id: &NodeId, kind: BackupKind) -> Result<Effect, Effect> {
        let store = self.object_store(&id.region)?;
        if id.role == Role::Feature {
            self.node(id)?.ready().await?;
            return Ok(self.features(id)?.back_up(store).await);
        }
        let vector = self.vector(id).await?;
        let (client, s3) = (&vector.client, &store.backups);
        let done = match kind {
            BackupKind::Full => backup::back_up(client, s3, COLLECTION).await,
            BackupKind::Incremental => backup::back_up_incremental(client, s3, COLLECTION).await,
        };
        let done = done.map_err(|e| Effect::failed(e.to_string()))?;
        *self.backed_up() = Some(id.clone());
        let (at, records, changes) = (&done.timestamp, done.records, done.changes);
        let text = format!(
            "{kind} backup {at} of {records} records, {changes} changes in {} objects of {BACKUPS}",
            done.objects
        );
        let effect = Effect::observed(text).with("backup", at).with("records", records);
        Ok(effect.with("changes", changes).with("bytes", done.bytes))
    }

    pub(super) async fn restore(
        &self,
        id: &NodeId,
        scope: RestoreScope,
        model: Option<u32>,
    ) -> Result<Effect, Effect> {
        let store = self.object_store(&id.region)?;
        if id.role == Role::Feature {
            self.node(id)?.ready().await?;
            return Ok(self.features(id)?.restore(store, scope, model).await);
        }
        let vector = self.vector(id).await?;
        let _turn = self.operator.turn(id.role).await;
        let fed = self.fed().filter(|_| self.plan.topology.primary(id.role) != Some(id));
        if let Some(fed) = fed
            && let Some(done) = fed.finish().await
        {
            return done.map_err(|e| Effect::failed(e.to_string()));
        }
        // What another node holds beside the backup is not of the backup's history.
        let own = self.backed_up().as_ref().is_none_or(|last| last == id);
        let (client, s3) = (&vector.client, &store.backups);
        let done = match own {
            true => backup::restore(client, s3, COLLECTION).await,
            false => backup::restore_into(client, s3, COLLECTION).await,
        };
        let done = done.map_err(|e| Effect::failed(e.to_string()))?;
        let replayed = done.imported.replayed;
        let whole = if done.imported.complete { "all of them" } else { "some may be lost" };
        let kept = match own {
            true => format!("{replayed} newer writes of its own replayed ({whole})"),
            false => "whatever it held before replaced".to_owned(),
        };
        let text = format!(
            "{} records of backup {} and {} incrementals verified and imported, {kept}, {} live",
            done.records, done.timestamp, done.applied.incrementals, done.imported.live
        );
        let effect = Effect::observed(text)
            .with("backup", &done.timestamp)
            .with("records", done.records)
            .with("incrementals", done.applied.incrementals)
            .with("replayed", replayed)
            .with("log_complete", done.imported.complete)
            .with("unfinished_backups", done.unfinished.len());
        Ok(match &done.index {
            Some(index) => built_by(effect, index)
                .with("kind", words(&index.spec))
                .with("vectors", index.records)
                .with("build_seconds", format!("{:.3}", index.build_seconds)),
            None => effect.with("index", "none was there"),
        })
    }
}
