//! Restores: a backup is verified to its last byte before the node overwrites anything.

use std::collections::BTreeMap;
use std::time::Instant;

use harness::act::RestoreScope;
use harness::corpus::FEATURES;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    BackupError, Entry, MANIFEST, Manifest, VERSION, digest, hex, names, path, state, table, unseal,
};
use crate::features::flaws::Flaw;
use crate::features::holder::{Holder, Operated};
use crate::features::item::{Item, Key, Record, Table};
use crate::features::replace::{Replaced, Rules};
use crate::features::schema;
use crate::s3::S3;

/// Items handed over at a time.
const STAGE: usize = 10_000;

/// A restore that was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    /// The backup's name.
    pub timestamp: String,
    /// Rows in the backup.
    pub rows: u64,
    /// Records of the catalogue in it.
    pub records: u64,
    /// Objects of models that were not what the registry says, put right.
    pub models: u64,
    /// What the node made of it.
    pub replaced: Replaced,
    /// Seconds until critical features were back, if they came first.
    pub critical_seconds: Option<f64>,
    /// Seconds until everything was back and verified.
    pub full_seconds: f64,
    /// The schema that the backup was migrated from.
    pub migrated_from: Option<u32>,
    /// Newer backups that were never finished.
    pub unfinished: Vec<String>,
}

/// A backup whose every byte was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// Its name.
    pub timestamp: String,
    /// Rows, in the order of keys.
    pub rows: Vec<Item>,
    /// Records of the catalogue, in the order of tables and names.
    pub records: Vec<Item>,
    /// The objects of registered models.
    pub models: Vec<bytes::Bytes>,
    /// The schema that it was migrated from.
    pub migrated_from: Option<u32>,
    /// Newer backups that were never finished.
    pub unfinished: Vec<String>,
}

/// Reads and verifies the newest complete backup.
///
/// # Errors
/// See [`BackupError`].
pub async fn newest(s3: &S3) -> Result<Content, BackupError> {
    let names = names(s3).await?;
    let newest = names.iter().rposition(|(_, complete)| *complete).ok_or(BackupError::Missing)?;
    let unfinished = names[newest + 1..].iter().map(|(name, _)| name.clone()).collect();
    read(s3, names[newest].0.clone(), unfinished).await
}

/// The newest complete backup with definitions that every model works with in that version. A damaged one on the way
/// is an error: nobody knows whether it would have been the right one.
async fn fitting(s3: &S3, model_version: u32) -> Result<Content, BackupError> {
    let names = names(s3).await?;
    let (mut unfit, mut unfinished) = (None, Vec::new());
    for (name, complete) in names.into_iter().rev() {
        if !complete {
            unfinished.push(name);
            continue;
        }
        let content = read(s3, name, unfinished.clone()).await?;
        match content.fits(model_version) {
            Ok(()) => return Ok(content),
            // What is wrong with the newest one helps most.
            Err(why) => unfit = unfit.or(Some(why)),
        }
    }
    Err(unfit.unwrap_or(BackupError::Missing))
}

/// Reads a backup and verifies its every byte.
async fn read(s3: &S3, timestamp: String, unfinished: Vec<String>) -> Result<Content, BackupError> {
    let manifest = manifest(s3, &timestamp).await?;
    let mut rows = Vec::new();
    for entry in &manifest.state {
        let body = fetch(s3, entry).await?;
        rows.extend(decode(body, manifest.schema).await.map_err(|why| damaged(&entry.object, why))?);
    }
    let mut records: Vec<Item> = Vec::new();
    for entry in [&manifest.definitions, &manifest.dependencies, &manifest.compatibility] {
        let body = fetch(s3, entry).await?;
        let part: Vec<Item> =
            serde_json::from_slice(&body).map_err(|e| damaged(&entry.object, e.to_string()))?;
        records.extend(part);
    }
    let found = (rows.len() as u64, records.len() as u64, digest(rows.iter().chain(&records)));
    if found != (manifest.rows, manifest.records, manifest.digest.clone()) {
        let why = format!("it promises {} rows, and its objects hold {} others", manifest.rows, found.0);
        return Err(damaged(&path("state", &timestamp, MANIFEST), why));
    }
    let mut models = Vec::new();
    for entry in &manifest.models {
        models.push(fetch(s3, entry).await?);
    }
    let migrated_from = migrate(&mut rows, &manifest)?;
    Ok(Content { timestamp, rows, records, models, migrated_from, unfinished })
}

/// The rows of a file. The library that reads it panics on some that nobody should have signed: not on this thread.
pub(super) async fn decode(file: bytes::Bytes, schema: u32) -> Result<Vec<Item>, String> {
    let decoded = tokio::task::spawn_blocking(move || state::decode(file, schema)).await;
    decoded.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

/// Rows of the schema before become rows of this one; of any other schema nobody knows what they mean.
fn migrate(rows: &mut [Item], manifest: &Manifest) -> Result<Option<u32>, BackupError> {
    match manifest.schema {
        schema::VERSION => Ok(None),
        1 => {
            for item in rows {
                if let Item::Row(row) = item {
                    row.event_us = row.event_us.saturating_mul(1000);
                }
            }
            Ok(Some(1))
        }
        other => {
            let known = schema::VERSION;
            let why = format!(
                "it is of schema {other}, and this program reads 1 and {known}: use the one that wrote it"
            );
            Err(BackupError::Unfit { timestamp: manifest.timestamp.clone(), why })
        }
    }
}

async fn manifest(s3: &S3, timestamp: &str) -> Result<Manifest, BackupError> {
    let object = path("state", timestamp, MANIFEST);
    let body = s3.get(&object).await?.ok_or_else(|| damaged(&object, "it is missing".into()))?;
    let manifest = unseal(&body).map_err(|why| damaged(&object, why))?;
    if manifest.version != VERSION || manifest.timestamp != timestamp {
        let why = format!("it is version {} of {}", manifest.version, manifest.timestamp);
        return Err(damaged(&object, why));
    }
    if !(1..=schema::VERSION).contains(&manifest.schema) {
        migrate(&mut [], &manifest)?;
    }
    Ok(manifest)
}

fn damaged(object: &str, why: String) -> BackupError {
    BackupError::Damaged { object: object.into(), why }
}

/// One object, whose every byte is as it was written.
async fn fetch(s3: &S3, entry: &Entry) -> Result<bytes::Bytes, BackupError> {
    let found = s3.get(&entry.object).await?;
    let body = found.ok_or_else(|| damaged(&entry.object, "it is missing".into()))?;
    if body.len() as u64 != entry.size || hex(&Sha256::digest(&body)) != entry.sha256 {
        return Err(damaged(&entry.object, "it fails its checksum".into()));
    }
    Ok(body)
}

/// Restores the newest complete backup, the node's own newer writes on top where they verify. If a `model_version` is
/// given, it is the newest one with definitions that every model is known to work with in that version, and newer
/// writes of the catalogue are undone: only rows stay. `models` is the store of the registered models' objects: those
/// that are not what the registry says are put right first.
///
/// # Errors
/// See [`BackupError`].
pub async fn restore<H: Operated>(
    holder: &H,
    s3: &S3,
    models: Option<&S3>,
    scope: RestoreScope,
    model_version: Option<u32>,
    flaw: Option<Flaw>,
) -> Result<Restored, BackupError> {
    let began = Instant::now();
    let content = match model_version {
        Some(version) => fitting(s3, version).await?,
        None => newest(s3).await?,
    };
    let models = match models {
        Some(data) => super::models::restore(&content, data).await?,
        None => 0,
    };
    let restore = holder.begin().await?;
    for chunk in content.rows.chunks(STAGE).chain(content.records.chunks(STAGE)) {
        holder.stage(restore, chunk.to_vec()).await?;
    }
    let mut rules = flaw.map_or_else(Rules::default, Flaw::rules);
    rules.undo_catalogue = model_version.is_some();
    let mut first = Replaced::default();
    let critical_seconds = match scope {
        RestoreScope::Full | RestoreScope::Moment => None,
        RestoreScope::Minimal => {
            let only = Some(content.critical());
            first = holder.replace(restore, Rules { only, ..rules }).await?;
            Some(began.elapsed().as_secs_f64())
        }
    };
    let replaced = holder.replace(restore, rules).await?;
    if flaw.is_none() {
        content.verify(holder).await?;
    }
    Ok(Restored {
        rows: content.rows.len() as u64,
        records: content.records.len() as u64,
        models,
        replaced: together(first, replaced, scope),
        critical_seconds,
        full_seconds: began.elapsed().as_secs_f64(),
        migrated_from: content.migrated_from,
        timestamp: content.timestamp,
        unfinished: content.unfinished,
    })
}

/// What two commits did. What the first one has sorted out, the second one does not find any more.
fn together(first: Replaced, last: Replaced, scope: RestoreScope) -> Replaced {
    match scope {
        RestoreScope::Full | RestoreScope::Moment => last,
        // The second one finds the rows that the first one put right in part only: they are the same rows.
        RestoreScope::Minimal => Replaced { items: last.items, replayed: last.replayed, ..first },
    }
}

impl Content {
    fn record(&self, wanted: Table) -> impl Iterator<Item = (&Record, Value)> {
        let of_table = self.records.iter().filter(move |item| table(item) == wanted);
        of_table.filter_map(|item| match item {
            Item::Record(record) => {
                let body = serde_json::from_str(record.body.as_deref()?).unwrap_or(Value::Null);
                Some((record, body))
            }
            Item::Row(_) => None,
        })
    }

    /// Which features are critical, by their definitions `feature_N`.
    fn critical(&self) -> [bool; FEATURES] {
        let mut critical = [false; FEATURES];
        for (record, body) in self.record(Table::Definitions) {
            let n = record.name.strip_prefix("feature_").and_then(|n| n.parse::<usize>().ok());
            if let Some(flag) = n.and_then(|n| critical.get_mut(n)) {
                *flag = body["critical"].as_bool().unwrap_or(false);
            }
        }
        critical
    }

    /// Whether the models work with the definitions that this backup brings back.
    fn fits(&self, model_version: u32) -> Result<(), BackupError> {
        let version = u64::from(model_version);
        let newest = self.record(Table::Definitions).filter_map(|(_, body)| body["version"].as_u64()).max();
        for (model, _) in self.record(Table::Models) {
            let fits = self.record(Table::Compatibility).any(|(_, body)| {
                body["model"].as_str() == Some(&model.name)
                    && body["model_version"].as_u64() == Some(version)
                    && body["definitions"].as_u64() == newest
            });
            if !fits {
                let (name, newest) = (&model.name, newest.unwrap_or_default());
                let why = format!(
                    "{name} version {version} is not known to work with version {newest} of the definitions; \
                     choose a model version that is"
                );
                return Err(BackupError::Unfit { timestamp: self.timestamp.clone(), why });
            }
        }
        Ok(())
    }

    /// Reads everything back: all of it verifies, and each key of the backup has its state or a newer one.
    async fn verify<H: Holder>(&self, holder: &H) -> Result<(), BackupError> {
        let not_verified = |why| BackupError::NotVerified { timestamp: self.timestamp.clone(), why };
        let (rows, records) = match super::everything(holder).await {
            Ok(all) => all,
            Err(e @ BackupError::Poisoned { .. }) => return Err(not_verified(e.to_string())),
            Err(e) => return Err(e),
        };
        let all: BTreeMap<Key, &Item> = rows.iter().chain(&records).map(|item| (item.key(), item)).collect();
        for item in self.rows.iter().chain(&self.records) {
            let same_or_newer =
                |now: &&Item| *now == item || now.newer_than(item.event_us(), item.ver(), &item.digest());
            if !all.get(&item.key()).is_some_and(same_or_newer) {
                return Err(not_verified(format!("{} is older than in the backup, or gone", item.key())));
            }
        }
        Ok(())
    }
}
