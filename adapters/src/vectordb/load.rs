//! Start-up: verify every file, or say which one is damaged.
//!
//! While data is damaged nothing is repaired or removed: a restore may still want what is there.

use super::ann::Ann;
use super::codec::Entry;
use super::files::{Folder, INDEX, INDEX_NEXT, MANIFEST, MANIFEST_NEXT, WAL, WAL_NEXT, sha256};
use super::manifest::{IndexFile, Manifest, new_timeline};
use super::table::Table;
use super::wal::{self, Log, Wal};
use super::wire::{Damage, Point, State};
use super::{Config, segment};
use std::io;
use std::sync::Arc;

/// What start-up found.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) state: State,
    pub(super) damage: Vec<Damage>,
    pub(super) notes: Vec<String>,
    pub(super) manifest: Manifest,
    pub(super) wal: Option<Wal>,
    pub(super) table: Table,
    pub(super) ann: Option<Arc<Ann>>,
    /// There was nothing here before.
    pub(super) fresh: bool,
}

impl Loaded {
    /// A node that knows nothing and says why.
    fn degraded(config: &Config, damage: Vec<Damage>) -> Self {
        Self {
            state: State::Degraded,
            damage,
            notes: Vec::new(),
            manifest: Manifest::new(&config.collection, config.dim, 0),
            wal: None,
            table: Table::default(),
            ann: None,
            fresh: false,
        }
    }
}

pub(super) fn load(folder: &Folder, config: &Config) -> Loaded {
    let fresh = match blank(folder) {
        Ok(fresh) => fresh,
        Err(error) => return Loaded::degraded(config, vec![damage(".", error)]),
    };
    if fresh && let Err(error) = initialise(folder, config) {
        return Loaded::degraded(config, vec![damage(MANIFEST, error)]);
    }
    match verified(folder, config) {
        Ok(loaded) => Loaded { fresh, ..loaded },
        Err(damage) => Loaded::degraded(config, damage),
    }
}

fn damage(file: &str, why: impl ToString) -> Damage {
    Damage { file: file.to_owned(), why: why.to_string() }
}

/// Whether the folder holds no more than what an interrupted initialisation leaves.
fn blank(folder: &Folder) -> io::Result<bool> {
    if folder.exists(MANIFEST) || folder.exists(INDEX) || !folder.segments()?.is_empty() {
        return Ok(false);
    }
    match folder.read(WAL) {
        Ok(bytes) => {
            Ok(wal::origin(&bytes).is_some_and(|(timeline, _)| bytes == wal::image(timeline, 0, 0, &[])))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// The log first: a manifest without a log is damage, a new log without a manifest is not.
fn initialise(folder: &Folder, config: &Config) -> io::Result<()> {
    let timeline = new_timeline();
    folder.write(WAL_NEXT, &wal::image(timeline, 0, 0, &[]))?;
    folder.rename(WAL_NEXT, WAL)?;
    Manifest::new(&config.collection, config.dim, timeline).store(folder)
}

fn verified(folder: &Folder, config: &Config) -> Result<Loaded, Vec<Damage>> {
    let manifest = read_manifest(folder, config).map_err(|why| vec![damage(MANIFEST, why)])?;
    finish_renames(folder, &manifest).map_err(|error| vec![damage(".", error)])?;
    let dim = manifest.dim as usize;
    let mut found = Vec::new();
    let mut table = Table::new(manifest.flushed_lsn);
    for meta in &manifest.segments {
        match segment::read(folder, meta, dim) {
            Ok(entries) => entries.into_iter().for_each(|(key, entry)| table.apply(key, entry)),
            Err(why) => found.push(damage(&meta.file, why)),
        }
    }
    let log = read_log(folder, &manifest).map_err(|why| found.push(damage(WAL, why)));
    let (Ok(log), true) = (log, found.is_empty()) else { return Err(found) };
    let wal = Wal::open(folder, &log).map_err(|error| vec![damage(WAL, error)])?;
    let mut notes = Vec::new();
    if log.torn > 0 {
        notes.push(format!("{WAL}: dropped {} bytes of a write that was never acknowledged", log.torn));
    }
    log.writes.into_iter().for_each(|(key, entry)| table.apply(key, entry));
    let (ann, index_damage) = match manifest.index.as_ref().map(|file| read_index(folder, file, dim)) {
        None => (None, None),
        Some(Ok(ann)) => (Some(Arc::new(ann)), None),
        Some(Err(why)) => (None, Some(damage(INDEX, why))),
    };
    if let Some(file) = manifest.index.as_ref().filter(|_| ann.is_some()) {
        table.index(file.info.lsn);
    }
    remove_leftovers(folder, &manifest, &mut notes);
    Ok(Loaded {
        state: if index_damage.is_some() { State::IndexDamaged } else { State::Healthy },
        damage: index_damage.into_iter().collect(),
        notes,
        manifest,
        wal: Some(wal),
        table,
        ann,
        fresh: false,
    })
}

fn read_manifest(folder: &Folder, config: &Config) -> Result<Manifest, String> {
    let manifest = Manifest::parse(&folder.read(MANIFEST).map_err(|error| error.to_string())?)?;
    if (manifest.collection.as_str(), manifest.dim) != (config.collection.as_str(), config.dim) {
        return Err(format!(
            "it is of collection `{}` with dimension {}, the node's is `{}` with {}: start it with its own folder",
            manifest.collection, manifest.dim, config.collection, config.dim
        ));
    }
    Ok(manifest)
}

/// A crash between the swap of the manifest and a rename leaves the new file under its temporary name.
fn finish_renames(folder: &Folder, manifest: &Manifest) -> io::Result<()> {
    let belongs = |name: &str| {
        let origin = folder.read(name).ok().and_then(|bytes| wal::origin(&bytes));
        origin == Some((manifest.timeline, manifest.flushed_lsn))
    };
    if belongs(WAL_NEXT) && !belongs(WAL) {
        folder.rename(WAL_NEXT, WAL)?;
    }
    if let Some(file) = &manifest.index
        && folder.read(INDEX_NEXT).is_ok_and(|bytes| sha256(&bytes) == file.sha256)
    {
        folder.rename(INDEX_NEXT, INDEX)?;
    }
    Ok(())
}

fn read_log(folder: &Folder, manifest: &Manifest) -> Result<Log, String> {
    let log = wal::read(&folder.read(WAL).map_err(|error| error.to_string())?, manifest.dim as usize)?;
    if (log.timeline, log.base) != (manifest.timeline, manifest.flushed_lsn) {
        return Err(format!(
            "it goes on from write {} of another file or time, the segments end at write {}",
            log.base, manifest.flushed_lsn
        ));
    }
    Ok(log)
}

fn read_index(folder: &Folder, file: &IndexFile, dim: usize) -> Result<Ann, String> {
    let bytes = folder.read(INDEX).map_err(|error| error.to_string())?;
    if sha256(&bytes) != file.sha256 {
        return Err("the file fails its checksum".into());
    }
    let ann = Ann::from_bytes(&bytes, &file.info.spec)?;
    if !ann.fits(dim) || ann.len() as u64 != file.info.records {
        return Err(format!("it does not hold {} vectors of dimension {dim}", file.info.records));
    }
    Ok(ann)
}

fn remove_leftovers(folder: &Folder, manifest: &Manifest, notes: &mut Vec<String>) {
    let mut unknown: Vec<String> = [WAL_NEXT, INDEX_NEXT, MANIFEST_NEXT]
        .iter()
        .filter(|name| folder.exists(name))
        .map(|s| s.to_string())
        .collect();
    if manifest.index.is_none() && folder.exists(INDEX) {
        unknown.push(INDEX.to_owned());
    }
    let named = |name: &String| manifest.segments.iter().any(|segment| segment.file == *name);
    unknown.extend(folder.segments().unwrap_or_default().into_iter().filter(|name| !named(name)));
    for name in unknown {
        match folder.remove(&name) {
            Ok(()) => notes.push(format!("{name}: removed, left behind by an interrupted operation")),
            Err(error) => notes.push(format!("{name}: left behind, cannot be removed: {error}")),
        }
    }
}

/// What a restore can replay on top of a backup.
#[derive(Debug, Default)]
pub(super) struct Salvage {
    /// Intact writes after the backup, in no order.
    pub(super) writes: Vec<(u64, Entry)>,
    /// The last write of the log, if the log is intact.
    pub(super) last: Option<u64>,
    /// Nothing after the backup can be missing.
    pub(super) complete: bool,
}

/// Collects what verifies and is newer than `since`; nothing if that is a point of another history.
pub(super) fn salvage(folder: &Folder, config: &Config, since: Point) -> Salvage {
    let dim = config.dim as usize;
    let mut writes = Vec::new();
    let manifest = read_manifest(folder, config).ok().filter(|manifest| manifest.timeline == since.timeline);
    let mut segments_intact = manifest.is_some();
    for meta in manifest.iter().flat_map(|manifest| &manifest.segments) {
        if meta.last_lsn > since.lsn {
            match segment::read(folder, meta, dim) {
                Ok(entries) => writes.extend(entries),
                Err(_) => segments_intact = false,
            }
        }
    }
    let log = folder.read(WAL).ok().and_then(|bytes| wal::read(&bytes, dim).ok());
    let log = log.filter(|log| log.timeline == since.timeline);
    let flushed = manifest.map_or(0, |manifest| manifest.flushed_lsn);
    let complete =
        log.as_ref().is_some_and(|log| log.base <= since.lsn || (segments_intact && log.base <= flushed));
    let last = log.as_ref().map(|log| log.last);
    writes.extend(log.into_iter().flat_map(|log| log.writes));
    writes.retain(|(_, entry)| entry.lsn > since.lsn);
    Salvage { writes, last, complete }
}
