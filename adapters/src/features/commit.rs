//! Writes: one thread owns the connection that writes.
//!
//! It takes whatever has queued up, makes one transaction of it, and answers after the commit, which is when it is
//! durable; while the disk syncs, the next group gathers.

use std::sync::atomic::Ordering;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::item::{Digest, Item, Key, Table};
use super::query::{ROWS, begin_timeline, get, last_lsn, unsigned};
use super::schema::VALUES;
use super::store::{Core, StoreError};
use super::wire::{Applied, Point};

/// Writes of one transaction.
const GROUP: usize = 1024;

type Alone = Box<dyn FnOnce(&Core, &mut Connection) + Send>;

/// Something for the writer.
pub(super) enum Job {
    /// States, each of which is stored if it is newer.
    Apply { items: Vec<Item>, done: oneshot::Sender<Result<Applied, StoreError>> },
    /// Something that wants a transaction of its own.
    Alone(Alone),
}

/// Works until nobody can send any more.
pub(super) fn commit_all(core: &Core, mut db: Connection, mut jobs: mpsc::Receiver<Job>) {
    let mut next = jobs.blocking_recv();
    while let Some(job) = next.take() {
        let mut group = Vec::new();
        let mut size = 0;
        next = Some(job);
        while let Some(Job::Apply { items, done }) = next.take_if(|job| matches!(job, Job::Apply { .. })) {
            size += items.len();
            group.push((items, done));
            next = if size < GROUP { jobs.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            core.commit(&mut db, group);
        }
        if let Some(Job::Alone(work)) = next.take() {
            work(core, &mut db);
        }
        next = jobs.blocking_recv();
    }
}

type Group = Vec<(Vec<Item>, oneshot::Sender<Result<Applied, StoreError>>)>;

impl Core {
    fn commit(&self, db: &mut Connection, group: Group) {
        let stored = self.run(db, |tx| {
            let stored: rusqlite::Result<Vec<u64>> =
                group.iter().map(|(items, _)| items.iter().map(|item| store_newer(tx, item)).sum()).collect();
            Ok(stored?)
        });
        match stored {
            Ok(stored) => {
                self.commits.fetch_add(1, Ordering::Relaxed);
                let lsn = self.point().lsn;
                for ((items, done), stored) in group.into_iter().zip(stored) {
                    self.writes.fetch_add(items.len() as u64, Ordering::Relaxed);
                    let _ = done.send(Ok(Applied { stored, lsn }));
                }
            }
            Err(error) => {
                for (_, done) in group {
                    let _ = done.send(Err(error.clone()));
                }
            }
        }
    }

    /// One transaction; what it did is durable when this returns, or undone.
    pub(super) fn run<T>(
        &self,
        db: &mut Connection,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&tx)?;
        let lsn = last_lsn(&tx)?;
        let timeline: i64 =
            tx.query_row("SELECT value FROM meta WHERE name = 'timeline'", [], |r| r.get(0))?;
        tx.commit()?;
        self.reached(Point { timeline: unsigned(timeline)?, lsn });
        Ok(done)
    }
}

/// Stores a state if it is newer than what is there; answers how many it stored, 0 or 1.
pub(super) fn store_newer(tx: &Transaction<'_>, item: &Item) -> rusqlite::Result<u64> {
    let old = get(tx, &item.key())?;
    let newer = old.is_none_or(|old| item.newer_than(old.item.event_us(), old.item.ver(), &old.digest));
    if newer {
        put(tx, item)?;
        log(tx, item)?;
    }
    Ok(u64::from(newer))
}

/// Stores a state, whatever is there.
pub(super) fn put(tx: &Transaction<'_>, item: &Item) -> rusqlite::Result<()> {
    put_as(tx, item, &item.digest())
}

/// Stores a state with a digest that may be another's.
pub(super) fn put_as(tx: &Transaction<'_>, item: &Item, digest: &Digest) -> rusqlite::Result<()> {
    let ver = signed(item.ver());
    match item {
        Item::Row(row) => {
            let [a, b, c, d, e, f, g, h] = row.values.map_or([None; 8], |values| values.map(Some));
            let sql = format!(
                "INSERT OR REPLACE INTO {ROWS} (key, ver, event_us, digest, {VALUES})
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
            );
            let values = params![signed(row.key), ver, row.event_us, digest, a, b, c, d, e, f, g, h];
            tx.prepare_cached(&sql)?.execute(values)?;
        }
        Item::Record(record) => {
            let sql = format!(
                "INSERT OR REPLACE INTO {} (name, ver, event_us, digest, body) VALUES (?1, ?2, ?3, ?4, ?5)",
                record.table.sql()
            );
            let values = params![record.name, ver, record.event_us, digest, record.body];
            tx.prepare_cached(&sql)?.execute(values)?;
        }
    }
    Ok(())
}

/// Gives a state the next number in the log.
pub(super) fn log(tx: &Transaction<'_>, item: &Item) -> rusqlite::Result<()> {
    let mut log = tx.prepare_cached("INSERT OR REPLACE INTO changes (tab, id, ver) VALUES (?1, ?2, ?3)")?;
    let ver = signed(item.ver());
    match item.key() {
        Key::Row(key) => log.execute(params![ROWS, signed(key), ver])?,
        Key::Record(table, name) => log.execute(params![table.sql(), name, ver])?,
    };
    Ok(())
}

/// Drops everything and begins another history.
pub(super) fn clear(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    for table in ["changes", ROWS].into_iter().chain(Table::ALL.map(Table::sql)) {
        tx.execute(&format!("DELETE FROM {table}"), [])?;
    }
    begin_timeline(tx).map(drop)
}

/// Checked before anything gets here: see [`Item::checked`].
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
