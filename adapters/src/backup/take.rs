//! Taking backups: pages of the node's changes feed, then the manifest, then the pointer.
//!
//! Writes go on meanwhile. The feed is read until nothing is left to tell, so a link is the state of one moment; a key
//! that is written while it is read may come twice, and the later one counts.

use std::time::SystemTime;

use super::chain::{names, newest};
use super::manifest::{
    After, Entry, IndexMetadata, Kind, Link, Manifest, damaged, index_object, manifest, object, publish,
    store, timestamp,
};
use super::state::State;
use super::{Backup, BackupError, PAGE, PAGES_MAX};
use crate::s3::S3;
use crate::vectordb::{CallError, Census, Client, Point};

/// Takes a full backup. It begins a new chain.
///
/// # Errors
/// See [`BackupError`]. What was written of a backup that failed is left behind, and is no backup.
pub async fn back_up(client: &Client, s3: &S3, collection: &str) -> Result<Backup, BackupError> {
    let now = now(s3, collection).await?;
    let since = Point { lsn: 0, ..client.status().await?.point };
    let taking = Taking { client, s3, collection, now, state: Some(State::default()) };
    taking.take(None, since).await
}

/// Takes a backup of what changed since the newest one, full or incremental.
///
/// # Errors
/// [`BackupError::NeedsFull`] if there is none, or the node's history is not the one it is of any more; else see
/// [`BackupError`]. What was written of a backup that failed is left behind, and is no backup.
pub async fn back_up_incremental(client: &Client, s3: &S3, collection: &str) -> Result<Backup, BackupError> {
    let needs_full = |why: String| BackupError::NeedsFull { collection: collection.to_owned(), why };
    let base = newest(s3, collection).await?.ok_or_else(|| needs_full("there is none to stand on".into()))?;
    let since = manifest(s3, collection, &base).await?.point;
    let now = now(s3, collection).await?;
    let taking = Taking { client, s3, collection, now, state: None };
    match taking.take(Some(base), since).await {
        Err(BackupError::Node(CallError::Resync(why))) => Err(needs_full(why)),
        done => done,
    }
}

/// The new backup's name: newer than whatever is there.
async fn now(s3: &S3, collection: &str) -> Result<String, BackupError> {
    let now = timestamp(SystemTime::now())?;
    match names(s3, collection).await?.pop_last() {
        Some((newest, _)) if newest >= now => Err(BackupError::Clock { newest, now }),
        _ => Ok(now),
    }
}

/// A backup being taken.
struct Taking<'a> {
    client: &'a Client,
    s3: &'a S3,
    collection: &'a str,
    now: String,
    /// What a full backup adds up to.
    state: Option<State>,
}

/// What the feed told.
struct Told {
    pages: Vec<Entry>,
    changes: u64,
    point: Point,
    census: Option<Census>,
}

impl Taking<'_> {
    async fn take(mut self, base: Option<Link>, since: Point) -> Result<Backup, BackupError> {
        let kind = if base.is_some() { Kind::Incremental } else { Kind::Full };
        let told = self.pages(kind, since).await?;
        let status = self.client.status().await?;
        let metadata = IndexMetadata { spec: status.index.map(|index| index.spec) };
        let name = index_object(self.collection, &self.now);
        let body = serde_json::to_vec(&metadata).map_err(|e| damaged(&name, e))?;
        let index = store(self.s3, name, body).await?;
        let census = self.census(told.census)?;
        let bytes = told.pages.iter().map(|page| page.size).sum::<u64>() + index.size;
        let backup = Backup {
            timestamp: self.now.clone(),
            kind,
            records: census.map_or(status.live, |census| census.live),
            changes: told.changes,
            objects: told.pages.len() + 1,
            bytes,
        };
        let manifest = Manifest {
            changes: told.changes,
            after: census.map(After::from),
            pages: told.pages,
            ..Manifest::new(self.collection, &self.now, base, told.point, index)
        };
        publish(self.s3, &manifest).await?;
        Ok(backup)
    }

    async fn pages(&mut self, kind: Kind, mut since: Point) -> Result<Told, BackupError> {
        let (mut pages, mut changes) = (Vec::new(), 0);
        loop {
            let told = self.client.changes(since, PAGE).await?;
            since = told.point;
            changes += told.records.len() as u64;
            if let Some(state) = &mut self.state {
                told.records.iter().for_each(|change| state.add(change));
            }
            if !told.records.is_empty() {
                let name = format!("changes-{:06}", pages.len());
                let name = object(self.collection, kind, &self.now, &name);
                let body = postcard::to_stdvec(&told.records).map_err(|e| damaged(&name, e))?;
                pages.push(store(self.s3, name, body).await?);
            }
            if !told.more {
                return Ok(Told { pages, changes, point: told.point, census: told.census });
            }
            if pages.len() >= PAGES_MAX {
                return Err(self.not_verified("writes come faster than they can be backed up".into()));
            }
        }
    }

    /// The state afterwards: what a full backup adds up to, and what the node says, must agree.
    fn census(&self, said: Option<Census>) -> Result<Option<Census>, BackupError> {
        let own = self.state.as_ref().map(State::census);
        match (own, said) {
            (Some(own), Some(said)) if own != said => {
                Err(self.not_verified(format!("the node has {said:?}, and it told {own:?}")))
            }
            (own, said) => Ok(own.or(said)),
        }
    }

    fn not_verified(&self, why: String) -> BackupError {
        BackupError::NotVerified { timestamp: self.now.clone(), why }
    }
}
