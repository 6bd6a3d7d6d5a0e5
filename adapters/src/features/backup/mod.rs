//! Backups of a feature store in an object store.
//!
//! ```text
//! feature-backups/definitions/{timestamp}/definitions.json
//! feature-backups/state/{timestamp}/rows-000000.parquet       rows, in the order of keys
//! feature-backups/dependencies/{timestamp}/dependencies.json
//! feature-backups/compatibility/{timestamp}/compatibility.json  with the model registry and the roles
//! feature-backups/models/{timestamp}/{sha256}                 the objects of registered models
//! feature-backups/state/{timestamp}/MANIFEST                  written last: every object with size and SHA-256
//! ```
//!
//! A backup without a manifest was interrupted and is no backup. A store in which something does not verify is not
//! backed up: its newest backup would be its newest poison. Deletions are part of a backup, so that a restore cannot
//! bring back what had been removed. Timestamps are UTC and sort as text.
//!
//! Schema 1 of a backup called the time of a row `event_ts`, in milliseconds; it is migrated when it is read.

mod models;
mod restore;
mod state;

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use restore::{Content, Restored, newest, restore};

use super::client::CallError;
use super::holder::Holder;
use super::item::{Item, Stored, Table};
use super::schema;
use crate::s3::{S3, S3Error};

/// The version of the manifest.
const VERSION: u32 = 1;
const MANIFEST: &str = "MANIFEST";
/// Rows of one object.
const ROWS: u32 = 50_000;
/// Objects of backups that are listed.
const LISTED_MAX: usize = 1_000_000;

/// Why a backup was not taken or not restored. Whatever the node held before a failed restore, it still holds, but
/// for [`BackupError::NotVerified`].
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The object store failed.
    #[error("{0}")]
    Store(#[from] S3Error),
    /// The node failed.
    #[error("the feature node: {0}")]
    Node(#[from] CallError),
    /// The store holds what no write made.
    #[error("{count} items do not verify, the first is {first}: restore before you back up")]
    Poisoned {
        /// How many.
        count: usize,
        /// Which one first.
        first: String,
    },
    /// The clock stands where no backup can be named after it.
    #[error("{0}; set the clock")]
    NoClock(#[from] harness::time::ClockWrong),
    /// There is nothing to restore.
    #[error("there is no complete backup; take one before the fault")]
    Missing,
    /// An object is not what the backup wrote.
    #[error("backup object {object}: {why}; nothing was overwritten")]
    Damaged {
        /// The object.
        object: String,
        /// What is wrong with it.
        why: String,
    },
    /// The backup is intact and does not fit.
    #[error("backup {timestamp}: {why}; nothing was overwritten")]
    Unfit {
        /// The backup.
        timestamp: String,
        /// What does not fit, and what would.
        why: String,
    },
    /// The clock stands still or went back.
    #[error("the newest backup is of {newest}, and the clock says {now}: set the clock")]
    Clock {
        /// The newest backup.
        newest: String,
        /// The time.
        now: String,
    },
    /// The node does not hold what was restored.
    #[error("the restore of {timestamp} did not verify: {why}")]
    NotVerified {
        /// The backup.
        timestamp: String,
        /// What was found.
        why: String,
    },
}

/// A backup that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its name.
    pub timestamp: String,
    /// Rows in it, deletions among them.
    pub rows: u64,
    /// Records of the catalogue in it.
    pub records: u64,
    /// Objects of models in it.
    pub models: usize,
    /// Objects it is made of, the manifest left aside.
    pub objects: usize,
    /// Their size.
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u32,
    /// Of the tables that the backup is of.
    schema: u32,
    timestamp: String,
    rows: u64,
    records: u64,
    /// Over the digests of all rows and records, in order.
    digest: String,
    /// Objects with rows, in order.
    state: Vec<Entry>,
    definitions: Entry,
    dependencies: Entry,
    compatibility: Entry,
    #[serde(default)]
    models: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    object: String,
    size: u64,
    sha256: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn path(part: &str, timestamp: &str, file: &str) -> String {
    format!("feature-backups/{part}/{timestamp}/{file}")
}

/// Such as `2026-03-01T120000.123Z`.
fn timestamp(now: SystemTime) -> Result<String, BackupError> {
    Ok(harness::time::wall_millis(now)?.replace(':', ""))
}

/// The names of all backups, finished or not, oldest first, each with whether it has a manifest.
async fn names(s3: &S3) -> Result<Vec<(String, bool)>, S3Error> {
    let prefix = "feature-backups/state/";
    let mut names: Vec<(String, bool)> = Vec::new();
    for object in s3.list_all(prefix, LISTED_MAX).await? {
        let Some((name, file)) = object.key.strip_prefix(prefix).and_then(|rest| rest.split_once('/')) else {
            continue;
        };
        if names.last().is_none_or(|last| last.0 != name) {
            names.push((name.to_owned(), false));
        }
        if let Some(last) = names.last_mut() {
            last.1 |= file == MANIFEST;
        }
    }
    Ok(names)
}

/// Digests items in order.
fn digest<'a>(items: impl IntoIterator<Item = &'a Item>) -> String {
    let mut sha = Sha256::new();
    items.into_iter().for_each(|item| sha.update(item.digest()));
    hex(&sha.finalize())
}

/// Everything that a node holds, in order; refused if anything of it does not verify.
async fn everything<H: Holder>(holder: &H) -> Result<(Vec<Item>, Vec<Item>), BackupError> {
    let (mut rows, mut from) = (Vec::new(), 0);
    loop {
        let (page, more) = holder.page(from, u64::MAX, ROWS).await?;
        let last = page.last().and_then(|stored| match &stored.item {
            Item::Row(row) => Some(row.key),
            Item::Record(_) => None,
        });
        rows.extend(page);
        match last {
            Some(last) if more => from = last + 1,
            _ => break,
        }
    }
    let records = holder.catalogue().await?;
    let missing = holder.missing().await?;
    let poisoned = rows.iter().chain(&records).filter(|stored| !stored.verifies());
    let mut bad: Vec<String> = poisoned.map(|stored| stored.item.key().to_string()).collect();
    bad.extend(missing.iter().map(ToString::to_string));
    if let Some(first) = bad.first() {
        return Err(BackupError::Poisoned { count: bad.len(), first: first.clone() });
    }
    let items = |stored: Vec<Stored>| stored.into_iter().map(|stored| stored.item).collect();
    Ok((items(rows), items(records)))
}

/// Takes a backup, with the objects of registered models if the store of them is given.
///
/// # Errors
/// See [`BackupError`]. What was written of a backup that failed is left behind without a manifest.
pub async fn back_up<H: Holder>(holder: &H, s3: &S3, models: Option<&S3>) -> Result<Backup, BackupError> {
    let now = timestamp(SystemTime::now())?;
    if let Some((newest, _)) = names(s3).await?.pop()
        && newest >= now
    {
        return Err(BackupError::Clock { newest, now });
    }
    let (rows, records) = everything(holder).await?;
    let mut state = Vec::new();
    for (n, chunk) in rows.chunks(ROWS as usize).enumerate() {
        let object = path("state", &now, &format!("rows-{n:06}.parquet"));
        let body = state::encode(chunk).map_err(|e| unwritable(&object, &e))?;
        state.push(store(s3, object, body).await?);
    }
    let part = |tables: &'static [Table]| records.iter().filter(move |item| tables.contains(&table(item)));
    let definitions =
        json(s3, path("definitions", &now, "definitions.json"), part(&[Table::Definitions])).await?;
    let dependencies =
        json(s3, path("dependencies", &now, "dependencies.json"), part(&[Table::Dependencies])).await?;
    let rest = part(&[Table::Compatibility, Table::Models, Table::Roles]);
    let compatibility = json(s3, path("compatibility", &now, "compatibility.json"), rest).await?;
    let models = match models {
        Some(data) => models::back_up(&records, data, s3, &now).await?,
        None => Vec::new(),
    };
    let manifest = Manifest {
        version: VERSION,
        schema: schema::VERSION,
        timestamp: now.clone(),
        rows: rows.len() as u64,
        records: records.len() as u64,
        digest: digest(rows.iter().chain(&records)),
        state,
        definitions,
        dependencies,
        compatibility,
        models,
    };
    s3.put(&path("state", &now, MANIFEST), seal(&manifest)?).await?;
    let all = manifest.entries();
    Ok(Backup {
        timestamp: now,
        rows: manifest.rows,
        records: manifest.records,
        models: manifest.models.len(),
        objects: all.len(),
        bytes: all.iter().map(|entry| entry.size).sum(),
    })
}

impl Manifest {
    fn entries(&self) -> Vec<&Entry> {
        let rest = [&self.definitions, &self.dependencies, &self.compatibility];
        self.state.iter().chain(rest).chain(&self.models).collect()
    }
}

/// Rows are of no table of the catalogue, and none of them gets here.
fn table(item: &Item) -> Table {
    match item {
        Item::Record(record) => record.table,
        Item::Row(_) => Table::Definitions,
    }
}

fn unwritable(object: &str, error: &dyn std::fmt::Display) -> BackupError {
    BackupError::Damaged { object: object.into(), why: format!("it cannot be written: {error}") }
}

async fn json<'a>(
    s3: &S3,
    object: String,
    items: impl Iterator<Item = &'a Item>,
) -> Result<Entry, BackupError> {
    let body = serde_json::to_vec(&items.collect::<Vec<_>>()).map_err(|e| unwritable(&object, &e))?;
    store(s3, object, body).await
}

async fn store(s3: &S3, object: String, body: Vec<u8>) -> Result<Entry, BackupError> {
    let entry = Entry { size: body.len() as u64, sha256: hex(&Sha256::digest(&body)), object };
    s3.put(&entry.object, body).await?;
    Ok(entry)
}

/// One line of JSON, and one with its checksum.
fn seal(manifest: &Manifest) -> Result<String, BackupError> {
    let line = serde_json::to_string(manifest).map_err(|e| unwritable(MANIFEST, &e))?;
    let sum = hex(&Sha256::digest(line.as_bytes()));
    Ok(format!("{line}\nsha256:{sum}\n"))
}

fn unseal(bytes: &[u8]) -> Result<Manifest, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let (line, rest) = text.split_once('\n').ok_or("it is cut short")?;
    if rest != format!("sha256:{}\n", hex(&Sha256::digest(line.as_bytes()))) {
        return Err("it fails its checksum".into());
    }
    serde_json::from_str(line).map_err(|e| e.to_string())
}

/// Backups that only tests take.
#[cfg(test)]
pub(super) mod tests_only {
    use super::*;

    pub(in crate::features) async fn decode(file: bytes::Bytes) -> Result<Vec<Item>, String> {
        restore::decode(file, schema::VERSION).await
    }

    /// A backup as a program with schema 1 took it, newer than any other.
    pub(in crate::features) async fn as_schema_1(s3: &S3, rows: Vec<Item>, records: Vec<Item>) {
        let now = "2900-01-01T000000.000Z".to_owned();
        let body = state::encode_as(&rows, 1).unwrap();
        let all = |tables: &'static [Table]| records.iter().filter(move |item| tables.contains(&table(item)));
        let rest = all(&[Table::Dependencies, Table::Compatibility, Table::Models, Table::Roles]);
        let manifest = Manifest {
            version: VERSION,
            schema: 1,
            rows: rows.len() as u64,
            records: records.len() as u64,
            digest: digest(rows.iter().chain(&records)),
            state: vec![store(s3, path("state", &now, "rows"), body).await.unwrap()],
            definitions: json(s3, path("definitions", &now, "d"), all(&[Table::Definitions])).await.unwrap(),
            dependencies: json(s3, path("dependencies", &now, "d"), all(&[])).await.unwrap(),
            compatibility: json(s3, path("compatibility", &now, "c"), rest).await.unwrap(),
            models: Vec::new(),
            timestamp: now,
        };
        s3.put(&path("state", &manifest.timestamp, MANIFEST), seal(&manifest).unwrap()).await.unwrap();
    }

    /// A backup of a future nobody knows, newer still.
    pub(in crate::features) async fn as_schema_9(s3: &S3) {
        let now = "2901-01-01T000000.000Z".to_owned();
        let nothing = json(s3, path("state", &now, "x"), std::iter::empty()).await.unwrap();
        let [definitions, dependencies, compatibility] = [nothing.clone(), nothing.clone(), nothing];
        let manifest = Manifest {
            version: VERSION,
            schema: 9,
            rows: 0,
            records: 0,
            digest: digest([]),
            state: Vec::new(),
            definitions,
            dependencies,
            compatibility,
            models: Vec::new(),
            timestamp: now,
        };
        s3.put(&path("state", &manifest.timestamp, MANIFEST), seal(&manifest).unwrap()).await.unwrap();
    }
}
