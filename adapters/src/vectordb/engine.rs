//! The engine: what all parts share, the reads, and the entrance of writes.
//!
//! Locks are taken in the order maintenance, staged, log, view, and none is held across an await.

use super::Config;
use super::ann::Ann;
use super::commit::{Job, Origin, Update};
use super::files::{Folder, LOCK};
use super::flaws::Planted;
use super::import::Staged;
use super::load::{Loaded, load};
use super::manifest::Manifest;
use super::table::Table;
use super::wal::Wal;
use super::wire::{Damage, Hit, Merged, Page, Point, Record, State, Status};
use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// Writes that may wait for the log; more are refused.
const QUEUE: usize = 4096;
/// How long a start waits for its predecessor to be gone.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Results a search may ask for.
const MAX_K: usize = 16_384;

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Definitely not done.
    #[error("refused ({state}): {why}")]
    Refused {
        /// What the node is able to do.
        state: State,
        /// Why, and the remedy.
        why: String,
    },
    /// A changes feed cannot go on from the point that was named.
    #[error("full resync needed: {0}")]
    Resync(String),
    /// Perhaps done.
    #[error("failed: {0}")]
    Failed(String),
}

/// Why a node cannot even come up degraded.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be used.
    #[error("folder {}: {source}: a node needs a folder it can write", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process runs on it.
    #[error("folder {}: another process holds its lock: end that one first", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// A dimension no index takes.
    #[error("dimension {0}: use 1 to 65536")]
    Dim(u32),
}

/// What reads see.
#[derive(Debug)]
pub(super) struct View {
    pub(super) state: State,
    pub(super) damage: Vec<Damage>,
    pub(super) notes: Vec<String>,
    pub(super) manifest: Manifest,
    pub(super) table: Table,
    pub(super) ann: Option<Arc<Ann>>,
    /// Counts replacements of the table: what was built from an earlier one must not be installed.
    pub(super) generation: u64,
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) folder: Folder,
    pub(super) planted: Planted,
    /// Held by whatever swaps the manifest.
    pub(super) maintenance: Mutex<()>,
    pub(super) wal: Mutex<Option<Wal>>,
    /// The newest write that is on disk. Set while the log is held; set back only together with the view.
    pub(super) durable: watch::Sender<u64>,
    view: RwLock<View>,
    pub(super) staged: Mutex<Option<Staged>>,
    pub(super) building: AtomicBool,
    pub(super) stopping: AtomicBool,
    pub(super) flushing: AtomicBool,
    pub(super) imports: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) fsyncs: AtomicU64,
    pub(super) requests: AtomicU64,
    _lock: File,
}

/// One collection in one folder.
#[derive(Debug)]
pub struct Engine {
    pub(super) core: Arc<Core>,
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Engine {
    /// Opens a folder, makes it if missing, and verifies all of it. Damage does not fail: see [`Engine::status`].
    ///
    /// # Errors
    /// The folder cannot be made, or another process holds it.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let folder = Folder::new(&config.dir);
        Self::open_in(config, folder)
    }

    pub(super) fn open_in(config: Config, folder: Folder) -> Result<Self, OpenError> {
        if !(1..=65_536).contains(&config.dim) {
            return Err(OpenError::Dim(config.dim));
        }
        let dir = config.dir.clone();
        let lock = folder.create().and_then(|()| File::create(folder.path(LOCK)));
        let lock = lock.map_err(|source| OpenError::Folder { dir: dir.clone(), source })?;
        await_lock(&lock).map_err(|_| OpenError::Locked { dir })?;
        let loaded = load(&folder, &config);
        let planted = Planted::new(&config.flaws, !loaded.fresh);
        let Loaded { state, damage, notes, manifest, wal, table, ann, .. } = loaded;
        let core = Arc::new(Core {
            config,
            folder,
            planted,
            maintenance: Mutex::default(),
            wal: Mutex::new(wal),
            durable: watch::Sender::new(table.last()),
            view: RwLock::new(View { state, damage, notes, manifest, table, ann, generation: 0 }),
            staged: Mutex::default(),
            building: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            flushing: AtomicBool::new(false),
            imports: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            fsyncs: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            _lock: lock,
        });
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writer = std::thread::spawn({
            let core = core.clone();
            move || core.commit_all(jobs)
        });
        Ok(Self { core, queue: Some(queue), writer: Some(writer) })
    }

    /// Stores a record, replacing the key's previous one. Answers its log sequence number once it is durable.
    ///
    /// # Errors
    /// Refused, or failed with the write perhaps stored.
    pub async fn put(&self, record: Record) -> Result<u64, EngineError> {
        let Record { key, ver, vector } = record;
        self.write(Update { key, ver, vector: Some(vector.into()) }).await
    }

    /// Removes a key.
    ///
    /// # Errors
    /// Refused, or failed with the write perhaps stored.
    pub async fn delete(&self, key: u64, ver: u64) -> Result<u64, EngineError> {
        self.write(Update { key, ver, vector: None }).await
    }

    pub(super) async fn write(&self, update: Update) -> Result<u64, EngineError> {
        if let Some(vector) = &update.vector {
            self.core.check_vector(vector)?;
        }
        Ok(self.submit(vec![update], Origin::User).await?.lsn)
    }

    pub(super) async fn submit(&self, updates: Vec<Update>, origin: Origin) -> Result<Merged, EngineError> {
        let (done, answer) = oneshot::channel();
        let queue = self.queue.as_ref().map(|queue| queue.try_send(Job { updates, origin, done }));
        match queue {
            Some(Ok(())) => {}
            Some(Err(mpsc::error::TrySendError::Full(_))) => {
                return Err(refused(State::Healthy, "too many writes are waiting: slow down"));
            }
            _ => return Err(refused(State::Degraded, "the log's thread has ended: restart the node")),
        }
        let ended = |_| EngineError::Failed("the log's thread ended: restart the node".into());
        answer.await.map_err(ended)?
    }

    /// The newest record of a key.
    ///
    /// # Errors
    /// Refused.
    pub fn get(&self, key: u64) -> Result<Option<Record>, EngineError> {
        Ok(self.core.readable()?.table.get(key))
    }

    /// The `k` nearest records.
    ///
    /// # Errors
    /// Refused.
    pub fn search(&self, query: &[f32], k: usize) -> Result<Vec<Hit>, EngineError> {
        self.core.check_vector(query)?;
        if k > MAX_K {
            return Err(refused(State::Healthy, format!("k is {k}: {MAX_K} at most")));
        }
        let view = self.core.readable()?;
        if view.state != State::Healthy {
            return Err(view.refusal());
        }
        let planted = &self.core.planted;
        let found = view.table.search(view.ann.as_deref(), query, planted.looks_for(k));
        found.map(|hits| planted.shown(hits, k)).map_err(|why| refused(view.state, why))
    }

    /// Everything live after a key, in the order of keys, up to `limit` records or about 8 MiB.
    ///
    /// # Errors
    /// Refused.
    pub fn survivors(&self, after: Option<u64>, limit: usize) -> Result<Page, EngineError> {
        let view = self.core.readable()?;
        let (records, next) = view.table.page(after, limit);
        Ok(Page { records, next, point: view.point() })
    }

    /// What the node says about itself; answered in every state.
    pub fn status(&self) -> Status {
        let core = &self.core;
        let view = core.view();
        Status {
            collection: core.config.collection.clone(),
            dim: core.config.dim,
            state: view.state,
            damage: view.damage.clone(),
            notes: view.notes.clone(),
            point: view.point(),
            flushed_lsn: view.manifest.flushed_lsn,
            live: view.table.live(),
            census: view.table.census(),
            unindexed: view.table.unindexed(),
            segments: view.manifest.segments.len() as u64,
            index: view.manifest.index.as_ref().map(|file| file.info.clone()),
            building: core.building.load(Ordering::Relaxed),
            writes: core.writes.load(Ordering::Relaxed),
            fsyncs: core.fsyncs.load(Ordering::Relaxed),
            requests: core.requests.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.core.stopping.store(true, Ordering::Relaxed);
        self.queue.take();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// A killed predecessor holds the lock until the system has taken it apart.
fn await_lock(lock: &File) -> Result<(), TryLockError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_WAIT / 50),
            result => return result,
        }
    }
}

pub(super) fn refused(state: State, why: impl Into<String>) -> EngineError {
    EngineError::Refused { state, why: why.into() }
}

impl View {
    pub(super) fn point(&self) -> Point {
        Point { timeline: self.manifest.timeline, lsn: self.table.last() }
    }

    pub(super) fn refusal(&self) -> EngineError {
        let damage: Vec<String> = self.damage.iter().map(ToString::to_string).collect();
        let remedy = match self.state {
            State::Healthy => "try again",
            State::IndexDamaged => "rebuild the index",
            State::Degraded => "import a backup",
        };
        refused(self.state, format!("{}: {remedy}", damage.join("; ")))
    }

    fn degrade(&mut self, file: &str, why: &str) {
        self.state = State::Degraded;
        self.damage.push(Damage { file: file.to_owned(), why: why.to_owned() });
    }
}

impl Core {
    pub(super) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Option<Wal>> {
        self.wal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn readable(&self) -> Result<RwLockReadGuard<'_, View>, EngineError> {
        let view = self.view();
        if view.state == State::Degraded {
            return Err(view.refusal());
        }
        self.planted.gate().map_err(|why| refused(view.state, why))?;
        Ok(view)
    }

    pub(super) fn check_vector(&self, vector: &[f32]) -> Result<(), EngineError> {
        let dim = self.config.dim as usize;
        if vector.len() != dim {
            let why = format!("a vector of {} values: the collection has {dim}", vector.len());
            return Err(refused(State::Healthy, why));
        }
        if vector.iter().any(|value| !value.is_finite()) {
            return Err(refused(
                State::Healthy,
                "a vector with NaN or infinity: only finite values have distances",
            ));
        }
        Ok(())
    }

    /// Nobody knows what the log's file holds any more: stop using it.
    pub(super) fn degrade(&self, log: &mut Option<Wal>, file: &str, why: &str) {
        *log = None;
        self.view_mut().degrade(file, why);
    }
}
