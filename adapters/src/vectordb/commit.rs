//! Group commit: one thread owns the writing of the log.
//!
//! It takes whatever writes have queued up, appends them as one frame, syncs once, applies them to the table and
//! only then answers each; while it syncs, the next group gathers. After an error of the log the node degrades:
//! an fsync that failed once must not be trusted when it succeeds later.

use super::codec::Entry;
use super::engine::{Core, EngineError, refused};
use super::files::WAL;
use super::table::Table;
use super::wire::{Merged, State};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, oneshot};

/// Bytes of one group.
const GROUP_BYTES: usize = 4 << 20;
/// Written keys that no segment has, before the engine flushes by itself.
const FLUSH_AT: usize = 65_536;

/// The next state of a key. Without a vector it is a deletion.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) key: u64,
    pub(super) ver: u64,
    pub(super) vector: Option<Arc<[f32]>>,
}

/// Where writes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A user of a node that stands alone: the last to come wins.
    User,
    /// A user of a replicated node: the highest write number wins.
    Replicated,
    /// Another node: the highest write number wins.
    Feed,
}

/// Writes on their way to the log.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) updates: Vec<Update>,
    pub(super) origin: Origin,
    pub(super) done: oneshot::Sender<Result<Merged, EngineError>>,
}

impl Job {
    fn bytes(&self) -> usize {
        let size = |update: &Update| 24 + update.vector.as_ref().map_or(0, |vector| vector.len() * 4);
        self.updates.iter().map(size).sum()
    }
}

impl Core {
    pub(super) fn commit_all(self: &Arc<Self>, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut bytes = first.bytes();
            let mut group = vec![first];
            while bytes < GROUP_BYTES
                && let Ok(job) = jobs.try_recv()
            {
                bytes += job.bytes();
                group.push(job);
            }
            self.commit(group);
        }
    }

    fn commit(self: &Arc<Self>, group: Vec<Job>) {
        match self.store(&group) {
            Ok(merged) => {
                for (merged, job) in merged.into_iter().zip(group) {
                    let answer = if self.refuses_stored(&job) {
                        Err(refused(State::Healthy, "too many writes are waiting: slow down"))
                    } else {
                        self.writes.fetch_add(merged.stored, Ordering::Relaxed);
                        Ok(merged)
                    };
                    let _ = job.done.send(answer);
                }
            }
            Err(error) => group.into_iter().for_each(|job| {
                let _ = job.done.send(Err(error.clone()));
            }),
        }
        if self.view().table.unsealed() >= FLUSH_AT && !self.flushing.swap(true, Ordering::Relaxed) {
            // After a failure the next flush by hand must succeed first: the disk needs somebody's attention.
            let core = self.clone();
            std::thread::spawn(move || {
                if let Err(error) = core.flush() {
                    tracing::warn!("{}: flush: {error}", core.config.collection);
                }
            });
        }
    }

    fn refuses_stored(&self, job: &Job) -> bool {
        match &job.updates[..] {
            [one] if job.origin != Origin::Feed => self.planted.refuses_stored(one.key, one.vector.is_some()),
            _ => false,
        }
    }

    /// Makes a group durable and visible; answers what became of each job.
    fn store(&self, group: &[Job]) -> Result<Vec<Merged>, EngineError> {
        let mut log = self.log();
        let (writes, merged) = number(&self.readable()?.table, group);
        let Some(wal) = log.as_mut() else { return Err(self.view().refusal()) };
        let due = self.planted.due(writes.clone());
        if let Err(error) = wal.append(&due) {
            self.degrade(&mut log, WAL, &error.to_string());
            return Err(EngineError::Failed(format!("the log cannot be written: {error}")));
        }
        let durable = wal.last();
        if !writes.is_empty() {
            self.fsyncs.fetch_add(1, Ordering::Relaxed);
        }
        let mut view = self.view_mut();
        writes.into_iter().for_each(|(key, entry)| view.table.apply(key, entry));
        self.durable.send_replace(durable);
        Ok(merged)
    }
}

/// Gives the accepted updates of a group their lsns; those before count as stored for those after.
fn number(table: &Table, group: &[Job]) -> (Vec<(u64, Entry)>, Vec<Merged>) {
    let (mut lsn, mut writes, mut vers) = (table.last(), Vec::new(), HashMap::new());
    let mut merged = Vec::with_capacity(group.len());
    for job in group {
        let before = lsn;
        for Update { key, ver, vector } in &job.updates {
            let stored = vers.get(key).copied().or_else(|| table.ver(*key));
            if job.origin != Origin::User && stored.is_some_and(|stored| *ver <= stored) {
                continue;
            }
            lsn += 1;
            vers.insert(*key, *ver);
            writes.push((*key, Entry { lsn, ver: *ver, vector: vector.clone() }));
        }
        merged.push(Merged { stored: lsn - before, lsn });
    }
    (writes, merged)
}
