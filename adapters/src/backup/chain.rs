//! The order of backups: what is there, and the chain that leads from a full backup to the newest link.

use std::collections::BTreeMap;

use super::manifest::{
    Entry, IndexMetadata, Kind, Link, MANIFEST, Manifest, damaged, fetch, latest, latest_object, manifest,
    object, root,
};
use super::{BackupError, LINKS_MAX, LISTED_MAX};
use crate::s3::S3;
use crate::vectordb::{Change, IndexSpec};

/// A verified manifest, and the name by which the chain knows it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) link: Link,
    pub(super) manifest: Manifest,
    /// The last write of its base.
    after: u64,
}

/// The timestamps of all backups, finished or not, each with whether it has a manifest.
pub(super) async fn names(s3: &S3, collection: &str) -> Result<BTreeMap<String, bool>, BackupError> {
    let root = root(collection);
    let mut names = BTreeMap::new();
    for listed in s3.list_all(&root, LISTED_MAX).await? {
        let mut parts = listed.key.strip_prefix(&root).unwrap_or_default().splitn(3, '/');
        let (Some(folder), Some(name), Some(file)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if [Kind::Full, Kind::Incremental].iter().any(|kind| kind.folder() == folder) {
            *names.entry(name.to_owned()).or_default() |= file == MANIFEST;
        }
    }
    Ok(names)
}

/// The newest link; `None` if no backup was ever finished.
pub(super) async fn newest(s3: &S3, collection: &str) -> Result<Option<Link>, BackupError> {
    let found = latest(s3, collection).await?;
    if found.is_none() && names(s3, collection).await?.values().any(|complete| *complete) {
        let why = "it is missing, and there are backups with manifests";
        return Err(damaged(&latest_object(collection), why));
    }
    Ok(found)
}

/// Every manifest from `until`, or else from the chain's full backup, to `newest`, oldest first.
pub(super) async fn walk(
    s3: &S3,
    collection: &str,
    newest: Link,
    until: Option<&Link>,
) -> Result<Vec<Step>, BackupError> {
    let mut steps: Vec<Step> = Vec::new();
    let mut next = Some(newest);
    while let Some(link) = next {
        let manifest = manifest(s3, collection, &link).await?;
        if let Some(later) = steps.last_mut() {
            joins(collection, &manifest, later)?;
            later.after = manifest.point.lsn;
        }
        next = manifest.base.clone().filter(|_| Some(&link) != until);
        steps.push(Step { link, manifest, after: 0 });
        if steps.len() > LINKS_MAX {
            return Err(damaged(&latest_object(collection), format!("a chain of over {LINKS_MAX} links")));
        }
    }
    steps.reverse();
    match until {
        Some(until) if steps.first().is_none_or(|first| first.link != *until) => {
            Err(BackupError::NotInChain(until.timestamp.clone()))
        }
        _ => Ok(steps),
    }
}

/// A base is older than what stands on it, and of the same history.
fn joins(collection: &str, base: &Manifest, later: &Step) -> Result<(), BackupError> {
    let (before, after) = (base.point, later.manifest.point);
    if base.timestamp < later.manifest.timestamp
        && before.timeline == after.timeline
        && before.lsn <= after.lsn
    {
        return Ok(());
    }
    let name = object(collection, later.link.kind, &later.link.timestamp, MANIFEST);
    Err(damaged(&name, format!("it does not follow its base {}", base.timestamp)))
}

impl Step {
    /// What to build after a restore.
    pub(super) async fn spec(&self, s3: &S3) -> Result<Option<IndexSpec>, BackupError> {
        let entry = &self.manifest.index;
        let metadata: Result<IndexMetadata, _> = serde_json::from_slice(&fetch(s3, entry).await?);
        metadata.map(|metadata| metadata.spec).map_err(|e| damaged(&entry.object, e))
    }

    /// One page of the changes; `last` is the newest write of the pages before it.
    pub(super) async fn page(
        &self,
        s3: &S3,
        entry: &Entry,
        last: &mut Option<u64>,
    ) -> Result<Vec<Change>, BackupError> {
        let body = fetch(s3, entry).await?;
        let changes: Vec<Change> = postcard::from_bytes(&body).map_err(|e| damaged(&entry.object, e))?;
        for change in &changes {
            if change.lsn <= last.unwrap_or(self.after) || change.lsn > self.manifest.point.lsn {
                let why = format!("write {} is out of its place", change.lsn);
                return Err(damaged(&entry.object, why));
            }
            *last = Some(change.lsn);
        }
        Ok(changes)
    }

    pub(super) fn manifest_object(&self) -> String {
        object(&self.manifest.collection, self.link.kind, &self.link.timestamp, MANIFEST)
    }
}
