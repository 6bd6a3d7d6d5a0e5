//! Backups of a store that has no feed of changes: everything that it holds is looked at, and what differs from the
//! chain so far is a change. Same objects, same manifests, same verification as of a node that has a feed.
//!
//! A link is not the state of one moment but of the time that it took to look: a row written meanwhile may or may not
//! be in it, and is in the next one. Deletions are found too, as keys that are gone. The chain's log sequence numbers
//! are its own: change `n` of a chain has number `n`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use async_trait::async_trait;

use super::chain::{names, newest, walk};
use super::manifest::{
    After, Entry, IndexMetadata, Kind, Link, Manifest, damaged, index_object, object, publish, store,
    timestamp,
};
use super::state::State;
use super::{Backup, BackupError, PAGE};
use crate::s3::S3;
use crate::vectordb::{Change, IndexSpec, Point, Record};

/// Only one history is told: the chain's own.
const TIMELINE: u64 = 1;

/// A store whose rows can be looked at.
#[async_trait]
pub trait Rows: Send + Sync {
    /// Every key, and the number of the write that it shows.
    async fn versions(&self) -> Result<BTreeMap<u64, u64>, String>;
    /// The rows of these keys, as far as they are there.
    async fn fetch(&self, keys: &[u64]) -> Result<Vec<Record>, String>;
}

/// What a chain adds up to, each key by the number of its write. Kept between backups, so that a chain is read only
/// once.
#[derive(Debug, Default)]
pub struct Seen(Option<(Link, Known)>);

#[derive(Debug, Default, Clone)]
struct Known {
    lsn: u64,
    rows: BTreeMap<u64, u64>,
}

/// A chain that was read and verified, every byte of it.
#[derive(Debug)]
pub struct Chain {
    /// The newest link's name.
    pub timestamp: String,
    /// Incrementals in it.
    pub incrementals: usize,
    /// What to build afterwards.
    pub spec: Option<IndexSpec>,
    /// Every row that it adds up to.
    pub records: BTreeMap<u64, Record>,
    /// Backups that were never finished.
    pub unfinished: usize,
}

/// Takes a full backup, or one of what differs from the newest.
///
/// # Errors
/// See [`BackupError`]. What was written of a backup that failed is left behind, and is no backup.
pub async fn back_up_rows(
    rows: &dyn Rows,
    (s3, collection): (&S3, &str),
    kind: Kind,
    spec: IndexSpec,
    seen: &mut Seen,
) -> Result<Backup, BackupError> {
    let now = timestamp(SystemTime::now())?;
    if let Some((newest, _)) = names(s3, collection).await?.pop_last()
        && newest >= now
    {
        return Err(BackupError::Clock { newest, now });
    }
    let (base, mut known) = match kind {
        Kind::Full => (None, Known::default()),
        Kind::Incremental => {
            let (link, known) = standing(s3, collection, seen).await?;
            (Some(link), known)
        }
    };
    let is = rows.versions().await.map_err(BackupError::Rows)?;
    let mut gone: Vec<u64> = known.rows.keys().filter(|key| !is.contains_key(key)).copied().collect();
    if !gone.is_empty() {
        // What a look at everything has not met may have moved meanwhile: it is asked for by its key.
        let there: BTreeSet<u64> =
            rows.fetch(&gone).await.map_err(BackupError::Rows)?.into_iter().map(|r| r.key).collect();
        gone.retain(|key| !there.contains(key));
    }
    let differs = is.iter().filter(|(key, ver)| known.rows.get(key) != Some(ver));
    let differs: Vec<u64> = differs.map(|(key, _)| *key).collect();
    let (mut pages, mut changes, mut bytes) = (Vec::new(), 0, 0);
    let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
    for keys in differs.chunks(page) {
        let mut told = Vec::with_capacity(keys.len());
        // One that was removed since is gone in the next link.
        for record in rows.fetch(keys).await.map_err(BackupError::Rows)? {
            known.lsn += 1;
            known.rows.insert(record.key, record.ver);
            told.push(record.at(known.lsn));
        }
        changes += told.len() as u64;
        pages.push(put_page(s3, (collection, kind, &now), pages.len(), &told).await?);
    }
    if !gone.is_empty() {
        let mut told = Vec::with_capacity(gone.len());
        for key in gone {
            known.lsn += 1;
            let ver = known.rows.remove(&key).unwrap_or_default();
            told.push(Change { lsn: known.lsn, key, ver, vector: None });
        }
        changes += told.len() as u64;
        pages.push(put_page(s3, (collection, kind, &now), pages.len(), &told).await?);
    }
    let name = index_object(collection, &now);
    let body = serde_json::to_vec(&IndexMetadata { spec: Some(spec) }).map_err(|e| damaged(&name, e))?;
    let index = store(s3, name, body).await?;
    bytes += pages.iter().map(|page: &Entry| page.size).sum::<u64>() + index.size;
    let backup = Backup {
        timestamp: now.clone(),
        kind,
        records: known.rows.len() as u64,
        changes,
        objects: pages.len() + 1,
        bytes,
    };
    let point = Point { timeline: TIMELINE, lsn: known.lsn };
    let mut manifest = Manifest { changes, pages, ..Manifest::new(collection, &now, base, point, index) };
    if kind == Kind::Full {
        manifest.after = Some(after(&known));
    }
    publish(s3, &manifest).await?;
    // The pointer names exactly what was just published, unless somebody else took a backup at the same time.
    seen.0 = newest(s3, collection).await?.filter(|link| link.timestamp == now).map(|link| (link, known));
    Ok(backup)
}

/// The newest link, and what the chain up to it adds up to.
async fn standing(s3: &S3, collection: &str, seen: &mut Seen) -> Result<(Link, Known), BackupError> {
    let none = || BackupError::NeedsFull { collection: collection.to_owned(), why: "there is none".into() };
    let link = newest(s3, collection).await?.ok_or_else(none)?;
    if let Some((last, known)) = &seen.0
        && *last == link
    {
        return Ok((link, known.clone()));
    }
    let chain = read_chain(s3, collection).await?;
    let steps = walk(s3, collection, link.clone(), None).await?;
    let lsn = steps.last().map(|step| step.manifest.point.lsn).unwrap_or_default();
    let rows = chain.records.into_iter().map(|(key, record)| (key, record.ver)).collect();
    Ok((link, Known { lsn, rows }))
}

async fn put_page(
    s3: &S3,
    (collection, kind, now): (&str, Kind, &str),
    n: usize,
    changes: &[Change],
) -> Result<Entry, BackupError> {
    let name = object(collection, kind, now, &format!("changes-{n:06}"));
    let body = postcard::to_stdvec(changes).map_err(|e| damaged(&name, e))?;
    store(s3, name, body).await
}

/// Of a full backup: nothing in it was ever removed.
fn after(known: &Known) -> After {
    let mut census = crate::vectordb::Census::default();
    known.rows.iter().for_each(|(key, ver)| census.add(*key, *ver, true));
    After::from(census)
}

/// Reads the newest chain. Every object that it names has to be what was written, and every link has to add up to
/// what its manifest promises.
///
/// # Errors
/// See [`BackupError`].
pub async fn read_chain(s3: &S3, collection: &str) -> Result<Chain, BackupError> {
    let missing = || BackupError::Missing(collection.to_owned());
    let link = newest(s3, collection).await?.ok_or_else(missing)?;
    let timestamp = link.timestamp.clone();
    let steps = walk(s3, collection, link, None).await?;
    let (mut records, mut state, mut spec) = (BTreeMap::new(), State::default(), None);
    for step in &steps {
        spec = step.spec(s3).await?;
        let (mut changes, mut last) = (0, None);
        for entry in &step.manifest.pages {
            for change in step.page(s3, entry, &mut last).await? {
                changes += 1;
                state.add(&change);
                let Change { key, ver, vector, .. } = change;
                match vector {
                    Some(vector) => drop(records.insert(key, Record { key, ver, vector })),
                    None => drop(records.remove(&key)),
                }
            }
        }
        super::restore::check(step, changes, Some(&state))?;
    }
    let unfinished = names(s3, collection).await?.into_keys().filter(|name| *name > timestamp).count();
    let incrementals = steps.len().saturating_sub(1);
    Ok(Chain { timestamp, incrementals, spec, records, unfinished })
}
