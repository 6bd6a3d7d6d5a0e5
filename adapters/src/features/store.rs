//! The database: one connection that writes, on a thread of its own, and several that read.
//!
//! Readers see what was committed, and never wait for the writer. Everything here blocks but [`Store::apply`] and
//! [`Store::durable`].

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use harness::inventory::Inventory;
use rusqlite::{Connection, Transaction, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::commit::{Job, commit_all};
use super::inventory;
use super::item::{Item, Key, Stored, Table};
use super::query::{ROWS, get, key_of, last_lsn, missing_keys, point, records, rows_between, unsigned};
use super::schema;
use super::wire::{Applied, Changes, Point, Rows, Status};
use crate::replica::BATCH_BYTES;

/// Writes that may wait for the writer.
const QUEUE: usize = 4096;
/// Connections kept for reading.
const READERS: usize = 4;
/// Rows of one page.
const PAGE_MAX: usize = 50_000;
/// Records of the catalogue that are told; an intruder could add any number.
const CATALOGUE_MAX: usize = 20_000;
/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Definitely not done.
    #[error("refused: {0}")]
    Refused(String),
    /// Perhaps done.
    #[error("failed: {0}")]
    Failed(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What writer and readers share.
#[derive(Debug)]
pub(super) struct Core {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    point: Mutex<Point>,
    durable: watch::Sender<u64>,
    pub(super) writes: AtomicU64,
    pub(super) commits: AtomicU64,
}

/// An open feature store. Dropping it ends the writer after the writes that wait.
#[derive(Debug)]
pub struct Store {
    core: Arc<Core>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Store {
    /// Opens the store of a folder, or begins one.
    ///
    /// # Errors
    /// In words: the folder cannot be used, or holds something else.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", dir.display());
        std::fs::create_dir_all(dir).map_err(|e| failed(&e))?;
        let path = dir.join("features.db");
        let mut db = connect(&path).map_err(|e| failed(&e))?;
        schema::prepare(&mut db).map_err(|e| failed(&e))?;
        let point = point(&mut db).map_err(|e| failed(&e))?;
        let core = Arc::new(Core {
            path,
            readers: Mutex::default(),
            point: Mutex::new(point),
            durable: watch::Sender::new(point.lsn),
            writes: AtomicU64::new(0),
            commits: AtomicU64::new(0),
        });
        let (jobs, queue) = mpsc::channel(QUEUE);
        let of_writer = core.clone();
        let writer = std::thread::spawn(move || commit_all(&of_writer, db, queue));
        Ok(Self { core, jobs: Some(jobs), writer: Some(writer) })
    }

    /// Makes those states durable that are newer than what is stored; all of them or none.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if one of them cannot be stored.
    pub async fn apply(&self, items: Vec<Item>) -> Result<Applied, StoreError> {
        let items: Result<Vec<Item>, String> = items.into_iter().map(Item::checked).collect();
        let items = items.map_err(StoreError::Refused)?;
        let (done, answer) = oneshot::channel();
        self.send(Job::Apply { items, done }).await?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Failed("the writer has ended".into())))
    }

    /// Runs something in a transaction of its own, after which the lsn is told again.
    pub(super) async fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        let work = move |core: &Core, db: &mut Connection| {
            let _ = done.send(core.run(db, work));
        };
        self.send(Job::Alone(Box::new(work))).await?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Failed("the writer has ended".into())))
    }

    async fn send(&self, job: Job) -> Result<(), StoreError> {
        let gone = || StoreError::Refused("the store is closing".into());
        self.jobs.as_ref().ok_or_else(gone)?.send(job).await.map_err(|_| gone())
    }

    /// The newest durable change as it comes.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.core.durable.subscribe()
    }

    /// Which history this is, and its newest durable change.
    pub fn point(&self) -> Point {
        self.core.point()
    }

    /// One entity.
    ///
    /// # Errors
    /// SQLite's.
    pub fn row(&self, key: u64) -> Result<Option<Stored>, StoreError> {
        self.core.read(|db| get(db, &Key::Row(key)))
    }

    /// One record of the catalogue.
    ///
    /// # Errors
    /// SQLite's.
    pub fn record(&self, table: Table, name: &str) -> Result<Option<Stored>, StoreError> {
        self.core.read(|db| get(db, &Key::Record(table, name.to_owned())))
    }

    /// Rows of `from..=to` in the order of keys, deletions among them.
    ///
    /// # Errors
    /// SQLite's.
    pub fn rows(&self, from: u64, to: u64, limit: usize) -> Result<Rows, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let asked = i64::try_from(limit).unwrap_or(i64::MAX);
        let bound = |key: u64| i64::try_from(key).unwrap_or(i64::MAX);
        let point = self.point();
        let rows = self.core.read(|db| rows_between(db, bound(from), bound(to), asked))?;
        let more = rows.len() == limit;
        Ok(Rows { rows, more, point })
    }

    /// The whole catalogue, deletions among it, in the order of tables and names.
    ///
    /// # Errors
    /// SQLite's; or there is more of it than can be told.
    pub fn catalogue(&self) -> Result<Vec<Stored>, StoreError> {
        let all = self.core.read(|db| records(db, CATALOGUE_MAX + 1))?;
        match all.len() {
            0..=CATALOGUE_MAX => Ok(all),
            _ => Err(StoreError::Refused(format!("the catalogue has more than {CATALOGUE_MAX} records"))),
        }
    }

    /// Keys that were written and are not there, not even as a deletion: somebody removed them past the log.
    ///
    /// # Errors
    /// SQLite's.
    pub fn missing(&self) -> Result<Vec<Key>, StoreError> {
        let missing = self.core.read(missing_keys)?;
        Ok(missing.into_iter().map(|(key, _)| key).collect())
    }

    /// What the store consists of beside its rows.
    ///
    /// # Errors
    /// SQLite's.
    pub fn inventory(&self) -> Result<Inventory, StoreError> {
        self.core.read(inventory::inventory)
    }

    /// What is stored and has no key, by name.
    ///
    /// # Errors
    /// SQLite's.
    pub fn strangers(&self) -> Result<Vec<String>, StoreError> {
        self.core.read(|db| inventory::strangers(db, inventory::STRANGERS_MAX))
    }

    /// The newest state of keys that changed after `since`, oldest change first. What does not verify is left out:
    /// no write made it what it is now.
    ///
    /// # Errors
    /// SQLite's.
    pub fn changes(&self, since: u64, limit: usize) -> Result<Changes, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        self.core.read(|db| {
            let tx = db.unchecked_transaction()?;
            let mut listed =
                tx.prepare_cached("SELECT lsn, tab, id FROM changes WHERE lsn > ?1 ORDER BY lsn LIMIT ?2")?;
            let asked = i64::try_from(limit + 1).unwrap_or(i64::MAX);
            let since = i64::try_from(since).unwrap_or(i64::MAX);
            let listed = listed.query_map(params![since, asked], |row| {
                Ok((
                    unsigned(row.get(0)?)?,
                    key_of(row.get_ref(1)?.as_str().unwrap_or_default(), row.get_ref(2)?),
                ))
            })?;
            let (mut items, mut upto, mut more, mut bytes) = (Vec::new(), None, false, 0);
            for (seen, change) in listed.enumerate() {
                let (lsn, key) = change?;
                more = seen == limit || bytes >= BATCH_BYTES;
                if more {
                    break;
                }
                upto = Some(lsn);
                let Some(key) = key else { continue };
                let found = get(&tx, &key)?.filter(Stored::verifies).map(|stored| stored.item);
                bytes += found.as_ref().map_or(0, Item::size);
                items.extend(found);
            }
            let upto = match upto {
                Some(upto) if more => upto,
                _ => last_lsn(&tx)?,
            };
            Ok(Changes { items, upto, more })
        })
    }

    /// What the store says about itself.
    ///
    /// # Errors
    /// SQLite's.
    pub fn status(&self) -> Result<Status, StoreError> {
        let point = self.point();
        let (rows, records) = self.core.read(|db| {
            let count = |sql: &str| unsigned(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?);
            let rows = count(&format!("SELECT count(*) FROM {ROWS} WHERE f0 IS NOT NULL"))?;
            let records = Table::ALL
                .iter()
                .map(|t| count(&format!("SELECT count(*) FROM {} WHERE body IS NOT NULL", t.sql())))
                .sum::<Result<u64, _>>()?;
            Ok((rows, records))
        })?;
        let (writes, commits) =
            (self.core.writes.load(Ordering::Relaxed), self.core.commits.load(Ordering::Relaxed));
        Ok(Status { point, schema: schema::VERSION, rows, records, writes, commits })
    }
}

impl Core {
    pub(super) fn point(&self) -> Point {
        *self.point.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A transaction is durable.
    pub(super) fn reached(&self, now: Point) {
        *self.point.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.durable.send_replace(now.lsn);
    }

    /// Reads over a connection nobody else uses.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let pool = || self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = pool().pop();
        let db = idle.map_or_else(|| connect(&self.path), Ok)?;
        let done = work(&db)?;
        let mut pool = pool();
        if pool.len() < READERS {
            pool.push(db);
        }
        Ok(done)
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    // A file system without shared memory cannot have it, and says so by another mode.
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::InvalidQuery);
    }
    db.pragma_update(None, "synchronous", "FULL")?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}
