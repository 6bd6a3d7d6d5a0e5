//! Restore: a backup is staged beside the data, sealed, verified and swapped in by the manifest.
//!
//! Until the swap the old data stays as it is, damaged or not. Writes of the node's own that are newer than the
//! backup are replayed on top, as far as files that hold them verify; the answer says whether that was all. Records
//! keep the lsns they had, tombstones too, so that a changes feed can go on where the history does.
//! Afterwards there is no index: searches are exact until one is built.

use super::codec::Entry;
use super::engine::{Core, Engine, EngineError, refused};
use super::files::{INDEX, MANIFEST, SEGMENTS, WAL, WAL_NEXT};
use super::load::{Salvage, salvage};
use super::maintain::failed;
use super::manifest::{Manifest, new_timeline};
use super::segment;
use super::table::Table;
use super::wal::{self, Wal};
use super::wire::{Change, Imported, Point, State};
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

type Records = BTreeMap<u64, Entry>;

/// A backup that is arriving.
#[derive(Debug)]
pub(super) struct Staged {
    import: u64,
    records: Records,
}

impl Engine {
    /// Begins a restore and forgets any other that was not committed.
    pub fn import_begin(&self) -> u64 {
        let import = self.core.imports.fetch_add(1, Ordering::Relaxed) + 1;
        *self.core.staged.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Staged { import, records: Records::new() });
        import
    }

    /// Adds a part of the backup; of several states of one key the newest counts. Answers how many keys are staged.
    ///
    /// # Errors
    /// Refused: another import, or a vector that does not fit.
    pub fn import_page(&self, import: u64, changes: Vec<Change>) -> Result<u64, EngineError> {
        let vectors = || changes.iter().filter_map(|change| change.vector.as_deref());
        vectors().try_for_each(|vector| self.core.check_vector(vector))?;
        let mut staged = self.core.staged.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(staged) = staged.as_mut().filter(|staged| staged.import == import) else {
            return Err(unknown());
        };
        let entry =
            |Change { lsn, key, ver, vector }| (key, Entry { lsn, ver, vector: vector.map(Into::into) });
        overlay(&mut staged.records, changes.into_iter().map(entry));
        Ok(staged.records.len() as u64)
    }

    /// Replaces the data by the staged backup, of the point `since`; `None` replays nothing on top and begins a new
    /// history.
    ///
    /// # Errors
    /// Refused, or the disk's error.
    pub fn import_commit(&self, import: u64, since: Option<Point>) -> Result<Imported, EngineError> {
        let core = &self.core;
        let _maintenance = core.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        let mut staged = core.staged.lock().unwrap_or_else(PoisonError::into_inner);
        let staged = staged.take_if(|staged| staged.import == import).ok_or_else(unknown)?;
        check_history(&staged.records, since)?;
        let imported = core.replace(staged.records, since)?;
        core.planted.recovered();
        Ok(imported)
    }
}

fn unknown() -> EngineError {
    refused(State::Healthy, "no such import: another one began, or it was committed")
}

/// Every record has an lsn of its own, and none is newer than the backup.
fn check_history(records: &Records, since: Option<Point>) -> Result<(), EngineError> {
    let newest = since.map_or(u64::MAX >> 1, |since| since.lsn.min(u64::MAX >> 1));
    let mut lsns = HashSet::with_capacity(records.len());
    let wrong = records.values().find(|entry| !(1..=newest).contains(&entry.lsn) || !lsns.insert(entry.lsn));
    wrong.map_or(Ok(()), |entry| {
        let why = format!("write {} comes twice, or cannot be in a backup of write {newest}", entry.lsn);
        Err(refused(State::Healthy, why))
    })
}

impl Core {
    /// The caller holds `maintenance`. Writes wait until the swap is done.
    fn replace(&self, mut records: Records, since: Option<Point>) -> Result<Imported, EngineError> {
        let mut log = self.log();
        if let Some(wal) = log.as_mut() {
            wal.append(&self.planted.held()).map_err(|error| failed("the log cannot be written", error))?;
        }
        let salvage = since.map(|since| salvage(&self.folder, &self.config, since)).unwrap_or_default();
        let point = successor(since, &salvage, &records);
        let replayed = salvage.writes.len() as u64;
        overlay(&mut records, salvage.writes);

        let (old, spec) = {
            let view = self.view();
            (view.manifest.clone(), view.manifest.spec)
        };
        let mut manifest = Manifest::new(&self.config.collection, self.config.dim, point.timeline);
        manifest.spec = spec;
        manifest.flushed_lsn = point.lsn;
        manifest.next_segment =
            self.next_segment(&old).map_err(|error| failed("reading the folder", error))?;
        let entries: Vec<_> = records.into_iter().collect();
        self.seal(&mut manifest, &entries)?;
        let image = wal::image(point.timeline, point.lsn, point.lsn, &[]);
        self.folder.write(WAL_NEXT, &image).map_err(|error| failed("writing the next log", error))?;
        let swapped = manifest
            .store(&self.folder)
            .and_then(|()| self.folder.rename(WAL_NEXT, WAL))
            .and_then(|()| self.reopen(&image));
        match swapped {
            Ok(wal) => *log = Some(wal),
            Err(error) => {
                self.degrade(&mut log, MANIFEST, &error.to_string());
                return Err(failed("swapping the manifest", error));
            }
        }
        let kept: Vec<String> = manifest.segments.iter().map(|segment| segment.file.clone()).collect();
        let live = self.show(manifest, entries);
        self.remove_segments(&old, &kept);
        let _ = self.folder.remove(INDEX);
        Ok(Imported { live, replayed, complete: salvage.complete, point })
    }

    /// Seals and reads back: the old data is given up only for something that verifies.
    fn seal(&self, manifest: &mut Manifest, entries: &[(u64, Entry)]) -> Result<(), EngineError> {
        if entries.is_empty() {
            return Ok(());
        }
        let dim = self.config.dim as usize;
        let segment = segment::write(&self.folder, manifest.next_segment, dim, entries)
            .map_err(|error| failed("writing a segment", error))?;
        let back =
            segment::read(&self.folder, &segment, dim).map_err(|why| failed("verifying a segment", why))?;
        if back != entries {
            return Err(failed("verifying a segment", "it does not read as it was written"));
        }
        manifest.next_segment += 1;
        manifest.segments.push(segment);
        Ok(())
    }

    /// A damaged manifest does not say which numbers are taken.
    fn next_segment(&self, old: &Manifest) -> io::Result<u64> {
        let number = |name: &String| name.strip_prefix(SEGMENTS)?.get(1..7)?.parse::<u64>().ok();
        let taken = self.folder.segments()?.iter().filter_map(number).max().unwrap_or(0);
        Ok(old.next_segment.max(taken + 1))
    }

    fn reopen(&self, image: &[u8]) -> io::Result<Wal> {
        let log = wal::read(image, self.config.dim as usize).map_err(io::Error::other)?;
        Wal::open(&self.folder, &log)
    }

    fn show(&self, manifest: Manifest, entries: Vec<(u64, Entry)>) -> u64 {
        let mut table = Table::new(manifest.flushed_lsn);
        entries.into_iter().for_each(|(key, entry)| table.apply(key, entry));
        let live = table.live();
        let mut view = self.view_mut();
        (view.state, view.ann) = (State::Healthy, None);
        view.damage.clear();
        view.generation += 1;
        self.durable.send_replace(table.last());
        (view.manifest, view.table) = (manifest, table);
        live
    }
}

/// The history goes on if nothing of it is missing; otherwise its end is unknown, and a new one begins.
fn successor(since: Option<Point>, salvage: &Salvage, records: &Records) -> Point {
    match (since, salvage.last) {
        (Some(since), Some(last)) if salvage.complete => {
            Point { timeline: since.timeline, lsn: last.max(since.lsn) }
        }
        _ => {
            let entries = records.values().chain(salvage.writes.iter().map(|(_, entry)| entry));
            let newest = entries.map(|entry| entry.lsn).max().unwrap_or(0);
            Point { timeline: new_timeline(), lsn: newest.max(since.map_or(1, |since| since.lsn.max(1))) }
        }
    }
}

fn overlay(records: &mut Records, writes: impl IntoIterator<Item = (u64, Entry)>) {
    for (key, entry) in writes {
        let newer = records.get(&key).is_none_or(|old| old.lsn < entry.lsn);
        if newer {
            records.insert(key, entry);
        }
    }
}
