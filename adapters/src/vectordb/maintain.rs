//! Flush, index build and reload. Each ends with one swap of the manifest, and a crash before or after any step
//! loses nothing: new files wait under temporary names, old ones go last.
//!
//! A flush writes the segment while writes go on; only the swap holds the log. A build holds nothing at all while
//! it runs.

use super::ann::Ann;
use super::engine::{Core, Engine, EngineError, refused};
use super::files::{INDEX, INDEX_NEXT, MANIFEST, WAL, WAL_NEXT, sha256};
use super::load::load;
use super::manifest::{IndexFile, Manifest};
use super::segment;
use super::wire::{BuildEngine, IndexInfo, IndexSpec, Point, State};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// Why what was built is not to be served: searches find less in it than was asked for.
fn too_little(found: Option<f64>, least: u16) -> Option<String> {
    let (found, least) = (found?, f64::from(least) / 1_000.0);
    (found < least).then(|| {
        format!(
            "the index that was built finds {:.1} % of true neighbours, and {:.1} % were asked for: it is not served",
            (found * 1_000.0).floor() / 10.0,
            least * 100.0
        )
    })
}

/// More segments than this are merged by the next flush.
const MAX_SEGMENTS: usize = 8;

impl Engine {
    /// Seals everything written so far into segments. Answers the last sealed write.
    ///
    /// # Errors
    /// Refused, or the disk's error.
    pub fn flush(&self) -> Result<u64, EngineError> {
        self.core.flush()
    }

    /// Flushes, builds an index of everything and serves from it. Writes and searches go on meanwhile.
    ///
    /// # Errors
    /// Refused (an invalid spec, a build already running), or the disk's error.
    pub fn build_index(&self, spec: IndexSpec, engine: BuildEngine) -> Result<IndexInfo, EngineError> {
        self.core.build(spec, engine, |ids| ids)
    }

    /// Builds the index again, with the spec it had.
    ///
    /// # Errors
    /// As for [`Engine::build_index`]; refused too if no spec is known.
    pub fn rebuild_index(&self, engine: BuildEngine) -> Result<IndexInfo, EngineError> {
        let (state, spec) = {
            let view = self.core.view();
            (view.state, view.manifest.spec)
        };
        let spec =
            spec.ok_or_else(|| refused(state, "no index was ever built here: build one with a spec"))?;
        let info = self.core.build(spec, engine, |ids| self.core.planted.index_ids(ids))?;
        self.core.planted.recovered();
        Ok(info)
    }

    /// Verifies and loads everything from disk again, as a restart would.
    pub fn reload(&self) {
        let core = &self.core;
        let _maintenance = core.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        let mut log = core.log();
        *log = None;
        core.planted.held();
        let loaded = load(&core.folder, &core.config);
        *log = loaded.wal;
        let mut view = core.view_mut();
        (view.state, view.damage, view.notes) = (loaded.state, loaded.damage, loaded.notes);
        (view.manifest, view.table, view.ann) = (loaded.manifest, loaded.table, loaded.ann);
        view.generation += 1;
        core.durable.send_replace(view.table.last());
    }

    /// Leaves in good order: what was written is sealed.
    ///
    /// # Errors
    /// As for [`Engine::flush`]. Nothing acknowledged is lost: the log has it.
    pub fn close(&self) -> Result<(), EngineError> {
        if self.core.planted.flushes_at_exit() && self.core.view().state != State::Degraded {
            self.core.flush()?;
        }
        Ok(())
    }
}

pub(super) fn failed(what: &str, error: impl std::fmt::Display) -> EngineError {
    EngineError::Failed(format!("{what}: {error}"))
}

/// What a flush or build works on.
struct Cut {
    point: Point,
    /// Length of the log at that point.
    len: u64,
}

/// Set while an index is built; cleared however the build ends.
struct Building<'a>(&'a AtomicBool);

impl Drop for Building<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Core {
    pub(super) fn flush(&self) -> Result<u64, EngineError> {
        let _maintenance = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        let point = self.flush_locked()?;
        self.flushing.store(false, Ordering::Relaxed);
        Ok(point.lsn)
    }

    /// The caller holds `maintenance`.
    fn flush_locked(&self) -> Result<Point, EngineError> {
        let cut = self.cut()?;
        let (mut manifest, entries) = {
            let view = self.view();
            if view.manifest.flushed_lsn == cut.point.lsn {
                return Ok(cut.point);
            }
            let merge = view.manifest.segments.len() >= MAX_SEGMENTS;
            let entries = if merge { view.table.all() } else { view.table.to_seal() };
            let mut manifest = view.manifest.clone();
            if merge {
                manifest.segments.clear();
            }
            (manifest, entries)
        };
        let entries: Vec<_> = entries.into_iter().filter(|(_, entry)| entry.lsn <= cut.point.lsn).collect();
        let dim = self.config.dim as usize;
        let segment = segment::write(&self.folder, manifest.next_segment, dim, &entries)
            .map_err(|error| failed("writing a segment", error))?;
        manifest.next_segment += 1;
        manifest.segments.push(segment);
        manifest.flushed_lsn = cut.point.lsn;
        self.swap(manifest, &cut)?;
        Ok(cut.point)
    }

    /// The last write at this moment, and how much of the log leads to it.
    fn cut(&self) -> Result<Cut, EngineError> {
        let mut log = self.log();
        let view = self.view();
        let Some(wal) = log.as_mut().filter(|_| view.state != State::Degraded) else {
            return Err(view.refusal());
        };
        wal.append(&self.planted.held()).map_err(|error| failed("the log cannot be written", error))?;
        self.durable.send_replace(wal.last());
        Ok(Cut { point: view.point(), len: wal.len() })
    }

    /// The commit of a flush: manifest, then the log without what the segments have.
    fn swap(&self, manifest: Manifest, cut: &Cut) -> Result<(), EngineError> {
        let mut log = self.log();
        let Some(wal) = log.as_mut() else { return Err(self.view().refusal()) };
        wal.rotated(cut.point.lsn, cut.len)
            .and_then(|image| self.folder.write(WAL_NEXT, &image))
            .map_err(|error| failed("writing the next log", error))?;
        // From here on the disk may be past the swap: writing to the old log would lose writes.
        let swapped = manifest
            .store(&self.folder)
            .and_then(|()| self.folder.rename(WAL_NEXT, WAL))
            .and_then(|()| wal.rotate(cut.point.lsn));
        if let Err(error) = swapped {
            self.degrade(&mut log, MANIFEST, &error.to_string());
            return Err(failed("swapping the manifest", error));
        }
        let mut view = self.view_mut();
        let old = std::mem::replace(&mut view.manifest, manifest);
        view.table.seal(cut.point.lsn);
        let kept: Vec<String> = view.manifest.segments.iter().map(|segment| segment.file.clone()).collect();
        drop(view);
        self.remove_segments(&old, &kept);
        Ok(())
    }

    /// Old segments go last; what cannot be removed now, the next start removes.
    pub(super) fn remove_segments(&self, old: &Manifest, kept: &[String]) {
        for segment in old.segments.iter().filter(|segment| !kept.contains(&segment.file)) {
            if let Err(error) = self.folder.remove(&segment.file) {
                tracing::warn!("{}: {error}", segment.file);
            }
        }
    }

    pub(super) fn build(
        &self,
        spec: IndexSpec,
        engine: BuildEngine,
        ids_of: impl Fn(Vec<u64>) -> Vec<u64>,
    ) -> Result<IndexInfo, EngineError> {
        let state = self.view().state;
        if self.building.swap(true, Ordering::Relaxed) {
            return Err(refused(state, "an index is being built: wait for it"));
        }
        let _building = Building(&self.building);
        self.build_alone(spec, engine, ids_of)
    }

    fn build_alone(
        &self,
        spec: IndexSpec,
        engine: BuildEngine,
        ids_of: impl Fn(Vec<u64>) -> Vec<u64>,
    ) -> Result<IndexInfo, EngineError> {
        let began = Instant::now();
        let generation = self.view().generation;
        let point = self.flush()?;
        let (ids, data) = self.rows(point);
        let ids = ids_of(ids);
        let stop = || self.stopping.load(Ordering::Relaxed);
        let ann = Ann::build(self.config.dim as usize, &ids, &data, &spec, engine, &stop)
            .map_err(|why| refused(self.view().state, why))?;
        let (bytes, ran) = (ann.to_bytes(), ann.ran());
        if let Some(why) = ran.and_then(|(_, ran)| too_little(ran.recall, spec.min_recall)) {
            return Err(refused(self.view().state, why));
        }
        let info = IndexInfo {
            spec,
            engine: ran.map_or(engine, |(engine, _)| engine),
            tier: ran.map_or(String::new(), |(_, ran)| ran.tier.clone()),
            note: ran.and_then(|(_, ran)| ran.note.clone()),
            recall: ran.and_then(|(_, ran)| ran.recall),
            records: ids.len() as u64,
            lsn: point,
            build_seconds: began.elapsed().as_secs_f64(),
        };
        let file = IndexFile { sha256: sha256(&bytes), info: info.clone() };
        self.install(file, Arc::new(ann), &bytes, generation)?;
        Ok(info)
    }

    /// Live records not newer than `lsn`, as a build wants them.
    fn rows(&self, lsn: u64) -> (Vec<u64>, Vec<f32>) {
        let entries = self.view().table.all();
        let (mut ids, mut data) = (Vec::new(), Vec::new());
        for (key, entry) in entries.into_iter().filter(|(_, entry)| entry.lsn <= lsn) {
            if let Some(vector) = entry.vector {
                ids.push(key);
                data.extend_from_slice(&vector);
            }
        }
        (ids, data)
    }

    /// The commit of a build.
    fn install(
        &self,
        file: IndexFile,
        ann: Arc<Ann>,
        bytes: &[u8],
        generation: u64,
    ) -> Result<(), EngineError> {
        let _maintenance = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        let mut manifest = {
            let view = self.view();
            if view.state == State::Degraded || view.generation != generation {
                return Err(refused(
                    view.state,
                    "the data was replaced or damaged during the build: build again",
                ));
            }
            view.manifest.clone()
        };
        let lsn = file.info.lsn;
        manifest.spec = Some(file.info.spec);
        manifest.index = Some(file);
        let stored: io::Result<()> = self
            .folder
            .write(INDEX_NEXT, bytes)
            .and_then(|()| manifest.store(&self.folder))
            .and_then(|()| self.folder.rename(INDEX_NEXT, INDEX));
        stored.map_err(|error| failed("writing the index", error))?;
        let mut view = self.view_mut();
        view.manifest = manifest;
        view.table.index(lsn);
        view.ann = Some(ann);
        if view.state == State::IndexDamaged {
            view.state = State::Healthy;
            view.damage.clear();
        }
        Ok(())
    }
}
