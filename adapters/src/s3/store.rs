//! The store's memory and its one writer.
//!
//! One thread owns the change log, the catalog and the names in the data folder; everything that changes or reads
//! them is a job in its queue, so nothing is locked and nothing races. It takes whatever writes have queued up,
//! appends them to the log as one frame, syncs once, moves the staged files into place, syncs the folders and only
//! then answers each; while it syncs, the next group gathers.
//!
//! A crash between log and move is repaired when the store is opened: a staged file whose change is the newest of its
//! name is moved, every other removed. After an error of log or folders nothing more is written until then, for
//! nobody knows what the disk holds.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};

use super::catalog::{Catalog, Changes, Newest};
use super::change::{Name, Stamp, State, Version};
use super::changelog::{ChangeLog, Logged, read};
use super::places::{self, Group};
use super::staging::{FOLDER, Staged, Staging};

/// Jobs that wait; further ones wait outside.
const QUEUE: usize = 1024;
/// Changes of one group.
const GROUP: usize = 512;

/// Why a change was not made.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum StoreError {
    /// Nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// Nobody knows whether it was.
    #[error("the store cannot be written: {0}; restart the node")]
    Failed(String),
}

/// A change to be made.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) name: Name,
    pub(super) state: State,
    pub(super) staged: Option<Staged>,
    /// The stamp of a change that another store made; none for one that is made here and now.
    pub(super) stamp: Option<Stamp>,
}

#[derive(Debug)]
enum Job {
    Change(Change, oneshot::Sender<Result<u64, StoreError>>),
    Wants(Vec<(Name, Version)>, oneshot::Sender<Vec<bool>>),
    Newest(Name, oneshot::Sender<u64>),
    Changes(u64, usize, oneshot::Sender<Result<Changes, String>>),
    Wipe(oneshot::Sender<Result<(), StoreError>>),
}

/// The door to the store. Clones are cheap.
#[derive(Debug, Clone)]
pub(super) struct Store {
    writer: Arc<Running>,
    staging: Arc<Staging>,
    shared: Arc<Shared>,
}

/// The writer's thread. The last door that closes waits for it, so that who opens the folder next finds it at rest.
#[derive(Debug)]
struct Running {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.jobs = None;
        // It panics only on a defect of its own, which it has told by then.
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// What is known without asking the writer.
#[derive(Debug)]
struct Shared {
    durable: watch::Sender<u64>,
    /// Timeline and last durable lsn.
    position: Mutex<(u64, u64)>,
}

impl Shared {
    fn moved(&self, timeline: u64, lsn: u64) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = (timeline, lsn);
        self.durable.send_replace(lsn);
    }
}

impl Store {
    /// Opens the store over an existing folder and finishes what a crash left half done.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let (log, catalog, used) = open_log(root)?;
        let staging = Arc::new(Staging::open(root, used.iter().copied().max().unwrap_or(0))?);
        let shared = Arc::new(Shared { durable: watch::Sender::new(0), position: Mutex::default() });
        shared.moved(log.timeline, catalog.last);
        let mut writer = Writer {
            root: root.to_owned(),
            log,
            catalog,
            staging: staging.clone(),
            shared: shared.clone(),
            broken: None,
        };
        writer.repair()?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("changes".into()).spawn(move || writer.run(queue))?;
        let writer = Arc::new(Running { jobs: Some(jobs), thread: Some(thread) });
        Ok(Self { writer, staging, shared })
    }

    pub(super) fn staging(&self) -> &Arc<Staging> {
        &self.staging
    }

    /// Timeline, and the last durable lsn.
    pub(super) fn position(&self) -> (u64, u64) {
        *self.shared.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last durable lsn as it grows.
    pub(super) fn durable(&self) -> watch::Receiver<u64> {
        self.shared.durable.subscribe()
    }

    /// Makes a change durable and answers its lsn, or that of the newer version that is there already.
    pub(super) async fn change(&self, change: Change) -> Result<u64, StoreError> {
        self.ask(|done| Job::Change(change, done)).await?
    }

    /// Makes several, side by side.
    pub(super) async fn change_all(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let all = changes.into_iter().map(|change| self.change(change));
        futures::future::try_join_all(all).await.map(drop)
    }

    /// Which of these versions would win here.
    pub(super) async fn wants(&self, versions: Vec<(Name, Version)>) -> Result<Vec<bool>, StoreError> {
        self.ask(|done| Job::Wants(versions, done)).await
    }

    /// The lsn of a name's newest version; 0 if there is none.
    pub(super) async fn newest(&self, name: Name) -> Result<u64, StoreError> {
        self.ask(|done| Job::Newest(name, done)).await
    }

    /// See [`Catalog::changes`].
    pub(super) async fn changes(&self, since: u64, limit: usize) -> Result<Changes, String> {
        self.ask(|done| Job::Changes(since, limit, done)).await.map_err(|e| e.to_string())?
    }

    /// Drops everything and begins another timeline.
    pub(super) async fn wipe(&self) -> Result<(), StoreError> {
        self.ask(Job::Wipe).await?
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, StoreError> {
        let gone = || StoreError::Failed("its writer has ended".into());
        let (done, answer) = oneshot::channel();
        let jobs = self.writer.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job(done)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}

/// Reads the log, or begins one in an empty folder; with the numbers of the staged files it names.
fn open_log(root: &Path) -> io::Result<(ChangeLog, Catalog, Vec<u64>)> {
    let path = root.join(FOLDER).join("log");
    let remedy = "empty the folder and fill it from another store or a backup";
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if let Some(bucket) = places::buckets(root)?.first() {
                let what = format!("there is a bucket {}, but no change log; {remedy}", bucket.display());
                return Err(io::Error::other(what));
            }
            std::fs::create_dir_all(root.join(FOLDER))?;
            File::open(root)?.sync_all()?;
            return Ok((ChangeLog::create(&path, random())?, Catalog::default(), Vec::new()));
        }
        Err(e) => return Err(e),
    };
    let contents = read(&bytes)
        .map_err(|why| io::Error::other(format!("the change log is damaged: {why}; {remedy}")))?;
    let log = ChangeLog::open(&path, &contents)?;
    let mut catalog = Catalog::default();
    let used = contents.changes.iter().map(|(_, change)| change.staged).collect();
    for (lsn, change) in contents.changes {
        catalog.insert(change.name, Newest { lsn, version: change.version, staged: change.staged });
    }
    Ok((log, catalog, used))
}

/// A number nobody else has.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// The thread that writes.
#[derive(Debug)]
struct Writer {
    root: PathBuf,
    log: ChangeLog,
    catalog: Catalog,
    staging: Arc<Staging>,
    shared: Arc<Shared>,
    /// Why nothing is written any more.
    broken: Option<String>,
}

type Waiting = (Change, oneshot::Sender<Result<u64, StoreError>>);

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| queue.blocking_recv()) {
            match job {
                Job::Change(change, done) => next = self.gather((change, done), &mut queue),
                Job::Wants(versions, done) => {
                    let wants = versions.iter().map(|(name, version)| self.catalog.wants(name, version));
                    let _ = done.send(wants.collect());
                }
                Job::Newest(name, done) => {
                    let _ = done.send(self.catalog.get(&name).map_or(0, |newest| newest.lsn));
                }
                Job::Changes(since, limit, done) => {
                    let _ = done.send(self.catalog.changes(&self.root, since, limit));
                }
                Job::Wipe(done) => {
                    let _ = done.send(self.wipe().map_err(|e| self.fail(&e)));
                }
            }
        }
    }

    /// Commits the changes that have queued up; answers the job that does not belong to them.
    fn gather(&mut self, first: Waiting, queue: &mut mpsc::Receiver<Job>) -> Option<Job> {
        let mut group = Group::new(&self.root);
        let mut waiting = Vec::new();
        let mut job = Some(Job::Change(first.0, first.1));
        let next = loop {
            match job {
                Some(Job::Change(change, done)) if group.takes(&change.name) => waiting.push((change, done)),
                other => break other,
            }
            job = if waiting.len() < GROUP { queue.try_recv().ok() } else { None };
        };
        self.commit(waiting);
        next
    }

    fn commit(&mut self, waiting: Vec<Waiting>) {
        let mut group = Vec::with_capacity(waiting.len());
        for (change, done) in waiting {
            match self.admit(&change) {
                Ok(None) => group.push((change, done)),
                Ok(Some(newer)) => drop(done.send(Ok(newer))),
                Err(error) => drop(done.send(Err(error))),
            }
        }
        if group.is_empty() {
            return;
        }
        let (changes, waiting): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        match self.store(changes) {
            Ok(lsns) => lsns.into_iter().zip(waiting).for_each(|(lsn, done)| drop(done.send(Ok(lsn)))),
            Err(e) => {
                let error = self.fail(&e);
                waiting.into_iter().for_each(|done| drop(done.send(Err(error.clone()))));
            }
        }
    }

    /// Whether a change can be made; the lsn of what is there, if that is newer.
    fn admit(&self, change: &Change) -> Result<Option<u64>, StoreError> {
        if let Some(why) = &self.broken {
            return Err(StoreError::Failed(why.clone()));
        }
        if let (Some(stamp), Some(newest)) = (change.stamp, self.catalog.get(&change.name))
            && newest.version >= (Version { stamp, state: change.state })
        {
            return Ok(Some(newest.lsn));
        }
        let file = matches!(change.state, State::Object { .. });
        if file && let Err(why) = places::room(&self.root, &change.name) {
            return Err(StoreError::Refused(why));
        }
        Ok(None)
    }

    /// Logs changes of different names and puts them in place; answers their lsns.
    fn store(&mut self, mut changes: Vec<Change>) -> io::Result<Vec<u64>> {
        // Should the log fail, nobody knows whether it names them.
        changes.iter_mut().filter_map(|change| change.staged.as_mut()).for_each(Staged::keep);
        let logged: Vec<Logged> = changes.iter().map(|change| self.logged(change)).collect();
        self.staging.sync()?;
        self.log.append(&logged)?;
        let mut folders = HashSet::new();
        let mut lsns = Vec::with_capacity(changes.len());
        let mut lsn = self.catalog.last;
        for (change, logged) in changes.into_iter().zip(logged) {
            places::put(&self.root, &change.name, change.staged, change.state, &mut folders)?;
            lsn += logged.version.state.parts();
            lsns.push(lsn);
            let newest = Newest { lsn, version: logged.version, staged: logged.staged };
            self.catalog.insert(logged.name, newest);
        }
        places::sync(&folders)?;
        self.shared.moved(self.log.timeline, lsn);
        Ok(lsns)
    }

    fn logged(&mut self, change: &Change) -> Logged {
        let stamp = change.stamp.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
            let micros = u64::try_from(now).unwrap_or(0).max(self.catalog.clock + 1);
            self.catalog.clock = micros;
            Stamp { micros, origin: self.log.timeline }
        });
        let staged = change.staged.as_ref().map_or(0, |staged| staged.id);
        Logged { name: change.name.clone(), version: Version { stamp, state: change.state }, staged }
    }

    fn fail(&mut self, error: &io::Error) -> StoreError {
        tracing::error!("object node: the store cannot be written: {error}");
        StoreError::Failed(self.broken.insert(error.to_string()).clone())
    }

    /// Finishes what was logged and not done before a crash.
    fn repair(&mut self) -> io::Result<()> {
        let left: HashSet<u64> = self.staging.left()?.into_iter().collect();
        let mut folders = HashSet::new();
        let mut moved = HashSet::new();
        for (name, newest) in self.catalog.iter() {
            match newest.version.state {
                State::Object { .. } if left.contains(&newest.staged) => {
                    let staged = self.staging.found(newest.staged, newest.version.state);
                    places::put(&self.root, name, Some(staged), newest.version.state, &mut folders)?;
                    moved.insert(newest.staged);
                }
                State::Object { .. } => {}
                state => places::put(&self.root, name, None, state, &mut folders)?,
            }
        }
        places::sync(&folders)?;
        left.difference(&moved).try_for_each(|id| std::fs::remove_file(self.staging.path(*id)))
    }

    /// The data go first: until the log is replaced, this can be done again.
    fn wipe(&mut self) -> io::Result<()> {
        for bucket in places::buckets(&self.root)? {
            std::fs::remove_dir_all(bucket)?;
        }
        self.staging.clear()?;
        File::open(&self.root)?.sync_all()?;
        self.log = ChangeLog::create(&self.root.join(FOLDER).join("log"), random())?;
        let clock = self.catalog.clock;
        self.catalog = Catalog::default();
        self.catalog.clock = clock;
        self.broken = None;
        self.shared.moved(self.log.timeline, 0);
        Ok(())
    }
}
