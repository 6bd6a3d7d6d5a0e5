//! What is written about a backup: the manifest of a link, the pointer to the newest link, their names and checksums.

use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::BackupError;
use crate::s3::S3;
use crate::vectordb::{Census, IndexSpec, Point};

const VERSION: u32 = 2;
pub(super) const MANIFEST: &str = "MANIFEST";

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Everything.
    Full,
    /// What changed since its base.
    Incremental,
}

impl Kind {
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// Names one backup and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Full or incremental.
    pub kind: Kind,
    /// Its name.
    pub timestamp: String,
    /// SHA-256 of its manifest.
    pub sha256: String,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) version: u32,
    pub(super) collection: String,
    pub(super) timestamp: String,
    /// The link before; a full backup has none.
    pub(super) base: Option<Link>,
    /// The moment in the node's history that the backup is of.
    pub(super) point: Point,
    /// Changes in its pages.
    pub(super) changes: u64,
    /// The whole state after it, if the node could tell.
    pub(super) after: Option<After>,
    /// Its changes, in the order of lsns.
    pub(super) pages: Vec<Entry>,
    pub(super) index: Entry,
}

/// A census as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    pub(super) keys: u64,
    pub(super) live: u64,
    pub(super) digest: String,
}

impl From<Census> for After {
    fn from(census: Census) -> Self {
        Self { keys: census.keys, live: census.live, digest: format!("{:032x}", census.digest) }
    }
}

/// An object, and what its bytes are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) object: String,
    pub(super) size: u64,
    pub(super) sha256: String,
}

/// What is known of the index at the time of the backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexMetadata {
    pub(super) spec: Option<IndexSpec>,
}

/// The pointer to the newest link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Latest {
    version: u32,
    collection: String,
    link: Link,
}

impl Manifest {
    pub(super) fn new(
        collection: &str,
        timestamp: &str,
        base: Option<Link>,
        point: Point,
        index: Entry,
    ) -> Self {
        let (collection, timestamp) = (collection.to_owned(), timestamp.to_owned());
        let (version, changes, after, pages) = (VERSION, 0, None, Vec::new());
        Self { version, collection, timestamp, base, point, changes, after, pages, index }
    }

    pub(super) fn kind(&self) -> Kind {
        if self.base.is_some() { Kind::Incremental } else { Kind::Full }
    }
}

pub(super) fn root(collection: &str) -> String {
    format!("vector-backups/{collection}/")
}

/// An object of a link.
pub(super) fn object(collection: &str, kind: Kind, timestamp: &str, name: &str) -> String {
    format!("{}{}/{timestamp}/{name}", root(collection), kind.folder())
}

pub(super) fn index_object(collection: &str, timestamp: &str) -> String {
    format!("{}index-metadata/{timestamp}/index", root(collection))
}

pub(super) fn latest_object(collection: &str) -> String {
    format!("{}latest", root(collection))
}

/// Such as `2026-03-01T120000.123Z`.
pub(super) fn timestamp(now: SystemTime) -> Result<String, BackupError> {
    Ok(harness::time::wall_millis(now)?.replace(':', ""))
}

pub(super) fn damaged(object: &str, why: impl ToString) -> BackupError {
    BackupError::Damaged { object: object.to_owned(), why: why.to_string() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// One line of JSON, and one with its checksum.
fn seal(value: &impl Serialize) -> Result<String, String> {
    let line = serde_json::to_string(value).map_err(|e| e.to_string())?;
    Ok(format!("{line}\nsha256:{}\n", sha256(line.as_bytes())))
}

fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let (line, rest) = text.split_once('\n').ok_or("it is cut short")?;
    if rest != format!("sha256:{}\n", sha256(line.as_bytes())) {
        return Err("it fails its checksum".into());
    }
    serde_json::from_str(line).map_err(|e| e.to_string())
}

/// Stores an object, to be named in a manifest.
pub(super) async fn store(s3: &S3, object: String, body: Vec<u8>) -> Result<Entry, BackupError> {
    let entry = Entry { size: body.len() as u64, sha256: sha256(&body), object };
    s3.put(&entry.object, body).await?;
    Ok(entry)
}

/// One object, whose every byte is as it was written.
pub(super) async fn fetch(s3: &S3, entry: &Entry) -> Result<Bytes, BackupError> {
    let body = s3.get(&entry.object).await?.ok_or_else(|| damaged(&entry.object, "it is missing"))?;
    if body.len() as u64 != entry.size || sha256(&body) != entry.sha256 {
        return Err(damaged(&entry.object, "it fails its checksum"));
    }
    Ok(body)
}

/// Stores a manifest, and then the pointer that makes it the newest.
pub(super) async fn publish(s3: &S3, manifest: &Manifest) -> Result<(), BackupError> {
    let collection = &manifest.collection;
    let name = object(collection, manifest.kind(), &manifest.timestamp, MANIFEST);
    let body = seal(manifest).map_err(|why| damaged(&name, why))?;
    let (kind, timestamp) = (manifest.kind(), manifest.timestamp.clone());
    let link = Link { kind, timestamp, sha256: sha256(body.as_bytes()) };
    s3.put(&name, body).await?;
    let name = latest_object(collection);
    let latest = Latest { version: VERSION, collection: collection.clone(), link };
    s3.put(&name, seal(&latest).map_err(|why| damaged(&name, why))?).await?;
    Ok(())
}

/// The newest link, as the pointer names it.
pub(super) async fn latest(s3: &S3, collection: &str) -> Result<Option<Link>, BackupError> {
    let name = latest_object(collection);
    let Some(body) = s3.get(&name).await? else { return Ok(None) };
    let latest: Latest = unseal(&body).map_err(|why| damaged(&name, why))?;
    match (latest.version, latest.collection == collection) {
        (VERSION, true) => Ok(Some(latest.link)),
        (VERSION, false) => Err(damaged(&name, format!("it is of collection `{}`", latest.collection))),
        (other, _) => Err(damaged(&name, format!("version {other}: this program reads version {VERSION}"))),
    }
}

/// The manifest that a link names, and no other.
pub(super) async fn manifest(s3: &S3, collection: &str, link: &Link) -> Result<Manifest, BackupError> {
    let name = object(collection, link.kind, &link.timestamp, MANIFEST);
    let missing = "it is missing, and a finished backup names it";
    let body = s3.get(&name).await?.ok_or_else(|| damaged(&name, missing))?;
    if sha256(&body) != link.sha256 {
        return Err(damaged(&name, "it fails the checksum that the chain has of it"));
    }
    let manifest: Manifest = unseal(&body).map_err(|why| damaged(&name, why))?;
    let says = (manifest.collection.as_str(), manifest.timestamp.as_str(), manifest.kind());
    if manifest.version != VERSION || says != (collection, &link.timestamp, link.kind) {
        return Err(damaged(&name, format!("it is of version {} of {says:?}", manifest.version)));
    }
    Ok(manifest)
}
