//! A feature node in the world `local`: what it is told and asked, and the acts that only it knows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use harness::act::{Artifact, Damage, RestoreScope};
use harness::ports::Effect;

use super::product::{BACKUPS, ObjectNode};
use crate::features::{Client, Config, Flaw, acts};
use crate::replica::ReplicaConfig;

/// A feature store.
#[derive(Debug)]
pub(super) struct FeatureNode {
    pub(super) dir: PathBuf,
    /// What is wrong with its restores on purpose.
    flaw: Option<Flaw>,
    /// Past the link.
    pub(super) client: Client,
}

impl FeatureNode {
    /// A store at `addr`, which does not have to run yet; each call to it ends within `limit`.
    pub(super) fn new(dir: PathBuf, addr: SocketAddr, limit: Duration, flaw: Option<Flaw>) -> Self {
        Self { dir, flaw, client: Client::new(addr, limit) }
    }

    /// What its process is told.
    pub(super) fn config(&self, port: u16, replica: Option<ReplicaConfig>) -> Config {
        Config { port, lifeline: true, replica, ..Config::new(&self.dir) }
    }

    /// What it says about itself, in words.
    pub(super) async fn status(&self, limit: Duration) -> Result<String, String> {
        let status = self.client.within(limit).status().await.map_err(|e| e.to_string())?;
        Ok(format!("healthy, {} entities, {} records of the catalogue", status.rows, status.records))
    }

    /// Lets an intruder alter the database past digests and log.
    pub(super) async fn damage(&self, what: Artifact, how: Damage, fraction: f64, seed: u64) -> Effect {
        acts::damage(&self.client, (what, how), fraction, seed).await
    }

    /// Leaves an intruder's role behind.
    pub(super) async fn intrude(&self) -> Effect {
        acts::intrude(&self.client).await
    }

    /// Takes a backup into an object store.
    pub(super) async fn back_up(&self, store: &ObjectNode) -> Effect {
        acts::back_up(&self.client, (&store.data, &store.backups), BACKUPS).await
    }

    /// Restores the newest backup of an object store, or the newest that a version of the models works with.
    pub(super) async fn restore(
        &self,
        store: &ObjectNode,
        scope: RestoreScope,
        model: Option<u32>,
    ) -> Effect {
        acts::restore(&self.client, (&store.data, &store.backups), scope, model, self.flaw).await
    }

    /// Looks at the store with every detector of compromise.
    pub(super) async fn audit(&self, store: &ObjectNode) -> Effect {
        acts::audit(&self.client, &store.data, &store.backups).await
    }
}
