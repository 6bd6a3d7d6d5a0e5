//! Group commit: one thread owns the writing of the log.
//!
//! It takes whatever writes have queued up, appends them as one frame, syncs once, applies them to the table and
//! only then answers each; while it syncs, the next group gathers. After an error of the log the node degrades:
//! an fsync that failed once must not be trusted when it succeeds later.

use super::codec::Entry;
use super::engine::{Core, EngineError, refused};
use super::files::WAL;
use super::wire::State;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, oneshot};

/// Bytes of one group.
const GROUP_BYTES: usize = 4 << 20;
/// Written keys that no segment has, before the engine flushes by itself.
const FLUSH_AT: usize = 65_536;

/// A write on its way to the log. Without a vector it is a deletion.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) key: u64,
    pub(super) ver: u64,
    pub(super) vector: Option<Arc<[f32]>>,
    pub(super) done: oneshot::Sender<Result<u64, EngineError>>,
}

impl Core {
    pub(super) fn commit_all(self: &Arc<Self>, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut bytes = 0;
            let mut group = vec![first];
            while bytes < GROUP_BYTES
                && let Ok(job) = jobs.try_recv()
            {
                bytes += job.vector.as_ref().map_or(0, |vector| vector.len() * 4);
                group.push(job);
            }
            self.commit(group);
        }
    }

    fn commit(self: &Arc<Self>, group: Vec<Job>) {
        match self.store(&group) {
            Ok(first) => {
                for (lsn, job) in (first..).zip(group) {
                    let answer = if self.planted.refuses_stored(job.key, job.vector.is_some()) {
                        Err(refused(State::Healthy, "too many writes are waiting: slow down"))
                    } else {
                        self.writes.fetch_add(1, Ordering::Relaxed);
                        Ok(lsn)
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

    /// Makes a group durable and visible; answers the first one's lsn.
    fn store(&self, group: &[Job]) -> Result<u64, EngineError> {
        let mut log = self.log();
        let first = self.readable()?.table.last() + 1;
        let Some(wal) = log.as_mut() else { return Err(self.view().refusal()) };
        let entry =
            |(lsn, job): (u64, &Job)| (job.key, Entry { lsn, ver: job.ver, vector: job.vector.clone() });
        let writes: Vec<_> = (first..).zip(group).map(entry).collect();
        let due = self.planted.due(writes.clone());
        if let Err(error) = wal.append(&due) {
            self.degrade(&mut log, WAL, &error.to_string());
            return Err(EngineError::Failed(format!("the log cannot be written: {error}")));
        }
        self.fsyncs.fetch_add(1, Ordering::Relaxed);
        let mut view = self.view_mut();
        writes.into_iter().for_each(|(key, entry)| view.table.apply(key, entry));
        Ok(first)
    }
}
