//! Full backups of a vector collection in an object store, and restores from them.
//!
//! ```text
//! vector-backups/{collection}/full/{timestamp}/records-000000   pages of records, in key order
//! vector-backups/{collection}/index-metadata/{timestamp}/index  what to build after a restore
//! vector-backups/{collection}/full/{timestamp}/MANIFEST         written last: every object with size and SHA-256
//! ```
//!
//! A backup without a manifest was interrupted and is no backup. A restore takes the newest that has one and verifies
//! every byte before the node overwrites anything: what does not verify is named, and an older backup never takes
//! its place silently. Timestamps are UTC and sort as text.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::s3::{S3, S3Error};
use crate::vectordb::{CallError, Client, Imported, IndexInfo, IndexSpec, Page, Point, Record};

const VERSION: u32 = 1;
const MANIFEST: &str = "MANIFEST";
/// Records of one object.
const PAGE: u32 = 10_000;
/// Objects of one collection's backups that are listed.
const LISTED_MAX: usize = 1_000_000;
/// Committing an import, or building an index, takes as long as it takes.
const LONG: Duration = Duration::from_secs(1800);

/// Why a backup was not taken or not restored. Whatever the node held before a failed restore, it still holds.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The object store failed.
    #[error("{0}")]
    Store(#[from] S3Error),
    /// The node failed.
    #[error("the vector node: {0}")]
    Node(#[from] CallError),
    /// There is nothing to restore.
    #[error("there is no complete backup of `{0}`; take one before the fault")]
    Missing(String),
    /// An object is not what the backup wrote.
    #[error("backup object {object}: {why}; nothing was overwritten")]
    Damaged {
        /// The object.
        object: String,
        /// What is wrong with it.
        why: String,
    },
    /// The clock stands still or went back.
    #[error(
        "the newest backup is of {newest}, and the clock says {now}: it would not be the newest; set the clock"
    )]
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
    /// Records in it.
    pub records: u64,
    /// Objects it is made of, the manifest left aside.
    pub objects: usize,
    /// Their size.
    pub bytes: u64,
}

/// A restore that was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    /// The backup's name.
    pub timestamp: String,
    /// Records in the backup.
    pub records: u64,
    /// What the node made of it.
    pub imported: Imported,
    /// The index that was built from the backup's metadata.
    pub index: Option<IndexInfo>,
    /// Newer backups that were never finished.
    pub unfinished: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u32,
    collection: String,
    timestamp: String,
    /// The moment in the node's history that the backup is of.
    point: Point,
    records: u64,
    /// Over all records in key order.
    digest: String,
    /// The pages of records, in order.
    pages: Vec<Entry>,
    index: Entry,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    object: String,
    size: u64,
    sha256: String,
}

/// What is known of the index at the time of the backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexMetadata {
    spec: Option<IndexSpec>,
}

/// Counts and digests records in key order.
#[derive(Debug, Default)]
struct Tally {
    records: u64,
    sha: Sha256,
}

impl Tally {
    fn add(&mut self, record: &Record) {
        self.records += 1;
        self.sha.update(fingerprint(record));
    }

    fn digest(self) -> String {
        hex(&self.sha.finalize())
    }
}

fn fingerprint(record: &Record) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(record.key.to_le_bytes());
    sha.update(record.ver.to_le_bytes());
    for value in &record.vector {
        sha.update(value.to_bits().to_le_bytes());
    }
    sha.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn full(collection: &str) -> String {
    format!("vector-backups/{collection}/full/")
}

/// Such as `2026-03-01T120000.123Z`.
fn timestamp(now: SystemTime) -> String {
    humantime::format_rfc3339_millis(now).to_string().replace(':', "")
}

/// The names of all backups, finished or not, oldest first, each with whether it has a manifest.
async fn names(s3: &S3, collection: &str) -> Result<Vec<(String, bool)>, S3Error> {
    let prefix = full(collection);
    let mut names: Vec<(String, bool)> = Vec::new();
    for object in s3.list_all(&prefix, LISTED_MAX).await? {
        let Some((name, file)) = object.key.strip_prefix(&prefix).and_then(|rest| rest.split_once('/'))
        else {
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

/// Takes a full backup.
///
/// # Errors
/// See [`BackupError`]. What was written of a backup that failed is left behind without a manifest.
pub async fn back_up(client: &Client, s3: &S3, collection: &str) -> Result<Backup, BackupError> {
    let now = timestamp(SystemTime::now());
    if let Some((newest, _)) = names(s3, collection).await?.pop()
        && newest >= now
    {
        return Err(BackupError::Clock { newest, now });
    }
    let (mut pages, mut tally, mut point) = (Vec::new(), Tally::default(), None);
    let mut after = None;
    loop {
        let page = client.survivors(after, PAGE).await?;
        page.records.iter().for_each(|record| tally.add(record));
        // Later pages may show later writes; the log has those too, and is replayed on top.
        point.get_or_insert(page.point);
        let body = postcard::to_stdvec(&page.records).map_err(|e| encoding(&e))?;
        pages.push(store(s3, format!("{}{now}/records-{:06}", full(collection), pages.len()), body).await?);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let metadata = IndexMetadata { spec: client.status().await?.index.map(|index| index.spec) };
    let body = serde_json::to_vec(&metadata).map_err(|e| encoding(&e))?;
    let index = store(s3, format!("vector-backups/{collection}/index-metadata/{now}/index"), body).await?;
    let bytes = pages.iter().map(|page| page.size).sum::<u64>() + index.size;
    let backup = Backup { timestamp: now.clone(), records: tally.records, objects: pages.len() + 1, bytes };
    let manifest = Manifest {
        version: VERSION,
        collection: collection.to_owned(),
        timestamp: now.clone(),
        point: point.unwrap_or(Point { timeline: 0, lsn: 0 }),
        records: tally.records,
        digest: tally.digest(),
        pages,
        index,
    };
    s3.put(&format!("{}{now}/{MANIFEST}", full(collection)), seal(&manifest)?).await?;
    Ok(backup)
}

fn encoding(error: &dyn std::fmt::Display) -> BackupError {
    BackupError::Damaged { object: "(being written)".into(), why: error.to_string() }
}

async fn store(s3: &S3, object: String, body: Vec<u8>) -> Result<Entry, BackupError> {
    let entry = Entry { size: body.len() as u64, sha256: hex(&Sha256::digest(&body)), object };
    s3.put(&entry.object, body).await?;
    Ok(entry)
}

/// One line of JSON, and one with its checksum.
fn seal(manifest: &Manifest) -> Result<String, BackupError> {
    let line = serde_json::to_string(manifest).map_err(|e| encoding(&e))?;
    let sum = hex(&Sha256::digest(line.as_bytes()));
    Ok(format!("{line}\nsha256:{sum}\n"))
}

fn unseal(bytes: &[u8]) -> Result<Manifest, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let (line, rest) = text.split_once('\n').ok_or("it is cut short")?;
    if rest != format!("sha256:{}\n", hex(&Sha256::digest(line.as_bytes()))) {
        return Err("it fails its checksum".into());
    }
    let manifest: Manifest = serde_json::from_str(line).map_err(|e| e.to_string())?;
    match manifest.version {
        VERSION => Ok(manifest),
        other => Err(format!("version {other}: this program reads version {VERSION}")),
    }
}

/// Restores the newest complete backup: its records, the node's own newer writes on top where their files are
/// intact, and the index that was there when the backup was taken.
///
/// # Errors
/// See [`BackupError`].
pub async fn restore(client: &Client, s3: &S3, collection: &str) -> Result<Restored, BackupError> {
    let names = names(s3, collection).await?;
    let newest = names.iter().rposition(|(_, complete)| *complete);
    let newest = newest.ok_or_else(|| BackupError::Missing(collection.to_owned()))?;
    let timestamp = names[newest].0.clone();
    let unfinished = names[newest + 1..].iter().map(|(name, _)| name.clone()).collect();
    let manifest = manifest(s3, collection, &timestamp).await?;
    let spec = index_metadata(s3, &manifest.index).await?.spec;
    let (import, prints) = stage(client, s3, &manifest, collection, &timestamp).await?;
    let patient = client.within(LONG);
    let imported = patient.import_commit(import, Some(manifest.point)).await?;
    verify(client, &timestamp, &prints, imported).await?;
    let index = match spec {
        Some(spec) => Some(patient.build_index(spec).await?),
        None => None,
    };
    Ok(Restored { timestamp, records: manifest.records, imported, index, unfinished })
}

async fn manifest(s3: &S3, collection: &str, timestamp: &str) -> Result<Manifest, BackupError> {
    let object = format!("{}{timestamp}/{MANIFEST}", full(collection));
    let damaged = |why: String| BackupError::Damaged { object: object.clone(), why };
    let body = s3.get(&object).await?.ok_or_else(|| damaged("it is missing".into()))?;
    let manifest = unseal(&body).map_err(damaged)?;
    if (manifest.collection.as_str(), manifest.timestamp.as_str()) != (collection, timestamp) {
        return Err(damaged(format!("it is of {} {}", manifest.collection, manifest.timestamp)));
    }
    Ok(manifest)
}

async fn index_metadata(s3: &S3, entry: &Entry) -> Result<IndexMetadata, BackupError> {
    let body = fetch(s3, entry).await?;
    serde_json::from_slice(&body)
        .map_err(|e| BackupError::Damaged { object: entry.object.clone(), why: e.to_string() })
}

/// One object, whose every byte is as it was written.
async fn fetch(s3: &S3, entry: &Entry) -> Result<bytes::Bytes, BackupError> {
    let damaged = |why: &str| BackupError::Damaged { object: entry.object.clone(), why: why.into() };
    let body = s3.get(&entry.object).await?.ok_or_else(|| damaged("it is missing"))?;
    if body.len() as u64 != entry.size || hex(&Sha256::digest(&body)) != entry.sha256 {
        return Err(damaged("it fails its checksum"));
    }
    Ok(body)
}

type Prints = HashSet<[u8; 32]>;

/// Hands every record to the node, which keeps them beside its data until they are committed.
async fn stage(
    client: &Client,
    s3: &S3,
    manifest: &Manifest,
    collection: &str,
    timestamp: &str,
) -> Result<(u64, Prints), BackupError> {
    let import = client.import_begin().await?;
    let (mut tally, mut prints, mut lsn) = (Tally::default(), Prints::new(), 0);
    for page in &manifest.pages {
        let damaged = |why: String| BackupError::Damaged { object: page.object.clone(), why };
        let body = fetch(s3, page).await?;
        let records: Vec<Record> = postcard::from_bytes(&body).map_err(|e| damaged(e.to_string()))?;
        for record in &records {
            tally.add(record);
            prints.insert(fingerprint(record));
        }
        let changes = (lsn + 1..).zip(records).map(|(lsn, record)| record.at(lsn)).collect();
        lsn = tally.records;
        client.import_page(import, changes).await?;
    }
    let found = (tally.records, tally.digest());
    if found != (manifest.records, manifest.digest.clone()) {
        let object = format!("{}{timestamp}/{MANIFEST}", full(collection));
        let why = format!("it promises {} records, and its objects hold {}", manifest.records, found.0);
        return Err(BackupError::Damaged { object, why });
    }
    Ok((import, prints))
}

/// Reads everything back: it may differ from the backup by what was replayed and written since, and no more.
async fn verify(
    client: &Client,
    timestamp: &str,
    backup: &Prints,
    imported: Imported,
) -> Result<(), BackupError> {
    let not_verified = |why| BackupError::NotVerified { timestamp: timestamp.to_owned(), why };
    let (mut same, mut others, mut after) = (0usize, 0u64, None);
    let newer = loop {
        let Page { records, next, point } = client.survivors(after, PAGE).await?;
        for record in &records {
            if backup.contains(&fingerprint(record)) { same += 1 } else { others += 1 }
        }
        if point.timeline != imported.point.timeline {
            return Err(not_verified("the node was replaced meanwhile".into()));
        }
        match next {
            Some(next) => after = Some(next),
            None => break imported.replayed + point.lsn.saturating_sub(imported.point.lsn),
        }
    };
    let gone = (backup.len() - same.min(backup.len())) as u64;
    if gone > newer || others > newer {
        let why =
            format!("{gone} of its records are gone and {others} are others, after {newer} newer writes");
        return Err(not_verified(why));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
