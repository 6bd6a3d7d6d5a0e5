//! Writing a journal: stamps, numbers, chains and flushes, under one short lock.
//!
//! An event is written with a single `write` call before [`Journal::record`] returns, so it survives the death of
//! the harness; what must survive a power cut as well (debts) is also synced.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::{Event, EventKind};
use crate::clock::Clock;

/// Sees each event after it is written: the live view.
pub type Observer = Box<dyn FnMut(&Event) + Send>;

/// How far a long piece of work is: shown while it lasts, and written nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// When this was so.
    pub at_us: u64,
    /// Records, queries.
    pub what: &'static str,
    /// So many are done.
    pub done: u64,
    /// Of so many.
    pub of: u64,
}

/// Sees how far work is: the live view.
pub type Onlooker = Box<dyn FnMut(Progress) + Send>;

/// The journal of one drill. Cheap to clone; all clones write the same journal.
#[derive(Clone)]
pub struct Journal {
    clock: Clock,
    inner: Arc<Mutex<Inner>>,
    failed: Arc<Notify>,
    onlooker: Arc<Mutex<Option<Onlooker>>>,
}

struct Inner {
    sink: Sink,
    seq: u64,
    prev: String,
    last_us: u64,
    line: Vec<u8>,
    observer: Option<Observer>,
    broken: Option<io::ErrorKind>,
}

enum Sink {
    File(File),
    Memory(Vec<u8>),
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Journal {
    /// A journal in a new file.
    ///
    /// # Errors
    /// If the file cannot be created, or exists.
    pub fn create(path: &Path, clock: Clock, observer: Option<Observer>) -> io::Result<Self> {
        Ok(Self::new(Sink::File(File::create_new(path)?), clock, observer))
    }

    /// A journal in memory, for simulations.
    pub fn in_memory(clock: Clock, observer: Option<Observer>) -> Self {
        Self::new(Sink::Memory(Vec::new()), clock, observer)
    }

    fn new(sink: Sink, clock: Clock, observer: Option<Observer>) -> Self {
        let inner =
            Inner { sink, seq: 0, prev: String::new(), last_us: 0, line: Vec::new(), observer, broken: None };
        let (inner, failed) = (Arc::new(Mutex::new(inner)), Arc::new(Notify::new()));
        Journal { clock, inner, failed, onlooker: Arc::default() }
    }

    /// Stamps and appends one event.
    ///
    /// # Errors
    /// If the disk fails. The journal then stays broken: an event that could not be written is never followed by
    /// one that could, and the drill must end.
    pub fn record(&self, kind: EventKind) -> io::Result<()> {
        let durable = matches!(kind, EventKind::Intended(_) | EventKind::Ended(_));
        let mut inner = self.lock();
        if let Some(kind) = inner.broken {
            return Err(io::Error::new(kind, "the journal could not be written before"));
        }
        // Tasks race for the lock, so a stamp taken outside it could be older than the line before.
        let at_us = self.clock.now_us().max(inner.last_us);
        let event = Event { seq: inner.seq, at_us, prev: std::mem::take(&mut inner.prev), kind };
        let result = inner.append(&event, durable);
        if let Err(e) = &result {
            inner.broken = Some(e.kind());
            self.failed.notify_one();
        }
        inner.last_us = at_us;
        if result.is_ok()
            && let Some(observer) = inner.observer.as_mut()
        {
            observer(&event);
        }
        result
    }

    /// Shows from now on how far long work is.
    pub fn show_progress(&self, onlooker: Option<Onlooker>) {
        *self.onlooker.lock().unwrap_or_else(PoisonError::into_inner) = onlooker;
    }

    /// Tells who looks on how far work is; a hundred times at most, and at its end.
    pub(crate) fn progress(&self, what: &'static str, done: u64, of: u64) {
        if done < of && done % (of / 100).max(1) != 0 {
            return;
        }
        let at_us = self.clock.now_us();
        if let Some(onlooker) = self.onlooker.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            onlooker(Progress { at_us, what, done, of });
        }
    }

    /// Waits until an event could not be written.
    pub async fn failed(&self) {
        self.failed.notified().await;
    }

    /// What a journal in memory holds; empty for one in a file.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.lock().sink {
            Sink::Memory(bytes) => bytes.clone(),
            Sink::File(_) => Vec::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn append(&mut self, event: &Event, durable: bool) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, event)?;
        self.prev = digest(&self.line);
        self.line.push(b'\n');
        self.seq += 1;
        match &mut self.sink {
            Sink::File(file) => {
                file.write_all(&self.line)?;
                if durable {
                    file.sync_data()?;
                }
            }
            Sink::Memory(bytes) => bytes.extend_from_slice(&self.line),
        }
        Ok(())
    }
}

/// SHA-256 as the chain of a journal writes it.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char])
        .collect()
}
