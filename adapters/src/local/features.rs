//! A feature node in the world `local`: what it is told and asked, and the acts that only it knows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use harness::act::{Artifact, Damage, RestoreScope};
use harness::ports::Effect;

use super::product::{BACKUPS, ObjectNode};
use crate::features::backup::{self, BackupError};
use crate::features::{CallError, Client, Config, Flaw, Strike, audit};
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
        let strike = match (what, how) {
            (Artifact::Values, Damage::Shift) => Strike::ShiftValues(fraction),
            (Artifact::Values, Damage::Forge) => Strike::ForgeValues(fraction),
            (Artifact::Values, Damage::Swap) => Strike::SwapValues(fraction),
            (Artifact::Values, Damage::Delete) => Strike::DeleteRows(fraction),
            (Artifact::Definitions, Damage::Shift) => Strike::AlterDefinitions(fraction),
            (Artifact::Definitions, Damage::Delete) => Strike::DeleteDefinitions(fraction),
            _ => return Effect::failed(format!("{how} of {what} is nothing that a feature node can suffer")),
        };
        self.strike(strike, seed).await
    }

    /// Leaves an intruder's role behind.
    pub(super) async fn intrude(&self) -> Effect {
        self.strike(Strike::LeaveRole, 0).await
    }

    async fn strike(&self, strike: Strike, seed: u64) -> Effect {
        match self.client.strike(strike, seed).await {
            Ok(struck) if struck.count > 0 => Effect::observed(struck.text).with("struck", struck.count),
            Ok(struck) => Effect::not_observed(struck.text),
            Err(e @ CallError::Indefinite(_)) => Effect::not_observed(e.to_string()),
            Err(e) => Effect::failed(e.to_string()),
        }
    }

    /// Takes a backup into an object store.
    pub(super) async fn back_up(&self, store: &ObjectNode) -> Effect {
        match backup::back_up(&self.client, &store.backups, Some(&store.data)).await {
            Ok(done) => {
                let (at, rows, records) = (&done.timestamp, done.rows, done.records);
                let text = format!(
                    "{rows} rows, {records} records and {} models in {} objects of {BACKUPS}, backup {at}",
                    done.models, done.objects
                );
                let effect = Effect::observed(text).with("backup", at).with("rows", rows);
                effect.with("records", records).with("bytes", done.bytes)
            }
            Err(e) => Effect::failed(e.to_string()),
        }
    }

    /// Restores the newest backup of an object store, or the newest that a version of the models works with.
    pub(super) async fn restore(
        &self,
        store: &ObjectNode,
        scope: RestoreScope,
        model: Option<u32>,
    ) -> Effect {
        let done =
            backup::restore(&self.client, &store.backups, Some(&store.data), scope, model, self.flaw).await;
        let done = match done {
            Ok(done) => done,
            Err(e @ (BackupError::NotVerified { .. } | BackupError::Node(CallError::Indefinite(_)))) => {
                return Effect::not_observed(e.to_string());
            }
            Err(e) => return Effect::failed(e.to_string()),
        };
        let replaced = done.replaced;
        let text = format!(
            "{} rows and {} records of backup {} verified and restored, {} altered or removed ones put right; \
             {} models put right; {} newer writes replayed, {} lost; {} roles removed that nobody granted",
            done.rows,
            done.records,
            done.timestamp,
            replaced.repaired,
            done.models,
            replaced.replayed,
            replaced.refused,
            replaced.roles_removed
        );
        let mut effect = Effect::observed(text)
            .with("backup", &done.timestamp)
            .with("scope", scope)
            .with("rolled_back", replaced.rolled_back)
            .with("rows", done.rows)
            .with("records", done.records)
            .with("repaired", replaced.repaired)
            .with("models", done.models)
            .with("replayed", replaced.replayed)
            .with("refused", replaced.refused)
            .with("roles_removed", replaced.roles_removed)
            .with("full_seconds", format!("{:.3}", done.full_seconds))
            .with("unfinished_backups", done.unfinished.len());
        if let Some(seconds) = done.critical_seconds {
            effect = effect.with("critical_seconds", format!("{seconds:.3}"));
        }
        match done.migrated_from {
            Some(schema) => effect.with("migrated_from_schema", schema),
            None => effect,
        }
    }

    /// Looks at the store with every detector of compromise.
    pub(super) async fn audit(&self, store: &ObjectNode) -> Effect {
        match audit(&self.client, &store.data, &store.backups).await {
            Ok(audit) => {
                let effect = Effect::observed(audit.to_string())
                    .with("items", audit.items)
                    .with("digest", audit.digest)
                    .with("missing", audit.missing)
                    .with("references", audit.references.len());
                match &audit.baseline {
                    Ok(at) => effect
                        .with("psi", audit.psi.len())
                        .with("ks", audit.ks.len())
                        .with("roles", audit.roles.len())
                        .with("baseline", at),
                    Err(why) => effect.with("baseline", format!("none: {why}")),
                }
            }
            Err(e) => Effect::failed(e.to_string()),
        }
    }
}
