//! The objects of registered models, beside the backup of the registry: who knows a model's checksum and not its bytes
//! can tell that it was replaced, and no more.
//!
//! An object that is not what its registration says is not backed up, and the backup with it is refused. One that is
//! gone is left out: it was gone before.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{BackupError, Content, Entry, Item, Table, hex, path, store, table};
use crate::s3::{S3, name_of};

/// A row of the registry that names an object.
struct Registered {
    name: String,
    key: u64,
    sha256: String,
}

fn registered(records: &[Item]) -> Vec<Registered> {
    let of_registry = records.iter().filter(|item| table(item) == Table::Models);
    let read = |item: &Item| {
        let Item::Record(record) = item else { return None };
        let body: serde_json::Value = serde_json::from_str(record.body.as_deref()?).ok()?;
        let (key, sha256) = (body["object"].as_u64()?, body["sha256"].as_str()?.to_owned());
        Some(Registered { name: record.name.clone(), key, sha256 })
    };
    of_registry.filter_map(read).collect()
}

/// Copies every registered model to a backup.
pub(super) async fn back_up(
    records: &[Item],
    data: &S3,
    backups: &S3,
    timestamp: &str,
) -> Result<Vec<Entry>, BackupError> {
    let mut entries = Vec::new();
    for model in registered(records) {
        let Some(body) = data.get(&name_of(model.key)).await? else { continue };
        if hex(&Sha256::digest(&body)) != model.sha256 {
            let first = format!("object {} of {}", model.key, model.name);
            return Err(BackupError::Poisoned { count: 1, first });
        }
        let object = path("models", timestamp, &model.sha256);
        entries.push(store(backups, object, body.to_vec()).await?);
    }
    Ok(entries)
}

/// Puts back each model whose object is not what its registration in the backup says, and reads it back. Answers with
/// how many were wrong or gone.
pub(super) async fn restore(content: &Content, data: &S3) -> Result<u64, BackupError> {
    let kept: BTreeMap<String, &Bytes> =
        content.models.iter().map(|body| (hex(&Sha256::digest(body)), body)).collect();
    let mut restored = 0;
    for model in registered(&content.records) {
        let Some(right) = kept.get(&model.sha256) else { continue };
        let name = name_of(model.key);
        if data.get(&name).await?.as_ref() == Some(*right) {
            continue;
        }
        data.put(&name, (*right).clone()).await?;
        if data.get(&name).await?.as_ref() != Some(*right) {
            let why = format!("object {} of {} is another one again", model.key, model.name);
            return Err(BackupError::NotVerified { timestamp: content.timestamp.clone(), why });
        }
        restored += 1;
    }
    Ok(restored)
}
