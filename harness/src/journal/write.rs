//! Writing a journal: stamps, numbers and chains under one short lock, and a thread that does the waiting for the disk.
//!
//! [`Journal::record`] puts an event in its place and hands its line on; who keeps time never waits for a disk, which may
//! take a second beside a busy writer. What must be on the disk before anything is done (debts) and the end are waited
//! for and synced, and so is everything before them. Lines are written in their order, each whole: a harness that dies
//! loses at most the newest ones, and a journal that breaks off is never a pass.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::{Event, EventKind, Kind};
use crate::{clock::Clock, urgency};

/// Sees each event once it has its place: the live view.
pub type Observer<K = EventKind> = Box<dyn FnMut(&Event<K>) + Send>;

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

/// With so much to be written yet, events wait for the disk after all: memory is not without end.
const BACKLOG_MAX: usize = 64 << 20;

/// The journal of one drill. Cheap to clone; all clones write the same journal. With the last one the file is written to
/// its end and the thread has ended.
pub struct Journal<K: Kind = EventKind> {
    clock: Clock,
    shared: Arc<Shared<K>>,
    /// None in memory.
    hand: Option<Arc<Hand<K>>>,
    /// Who looks on how far long work is.
    onlooker: Arc<Mutex<Option<Onlooker>>>,
}

/// What the journal and its writing thread have in common.
struct Shared<K> {
    state: Mutex<State<K>>,
    /// There is something to write, or nothing will follow.
    more: Condvar,
    /// Something was written, or cannot be.
    done: Condvar,
    failed: Notify,
}

struct State<K> {
    seq: u64,
    prev: String,
    last_us: u64,
    line: Vec<u8>,
    observer: Option<Observer<K>>,
    /// Lines that are not written yet; in memory, all of them.
    lines: Vec<u8>,
    /// Events that are on the file, and those that have to be synced.
    written: u64,
    sync: u64,
    over: bool,
    broken: Option<io::ErrorKind>,
}

/// The writing thread. Dropping it lets it write what is left, and waits for its end.
struct Hand<K: Kind> {
    shared: Arc<Shared<K>>,
    thread: Option<JoinHandle<()>>,
}

impl<K: Kind> Clone for Journal<K> {
    fn clone(&self) -> Self {
        let Journal { clock, shared, hand, onlooker } = self;
        Journal { clock: *clock, shared: shared.clone(), hand: hand.clone(), onlooker: onlooker.clone() }
    }
}

impl<K: Kind> fmt::Debug for Journal<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl<K: Kind> Journal<K> {
    /// A journal in a new file.
    ///
    /// # Errors
    /// If the file cannot be created, or exists, or no thread can be started.
    pub fn create(path: &Path, clock: Clock, observer: Option<Observer<K>>) -> io::Result<Self> {
        Self::onto(File::create_new(path)?, clock, observer)
    }

    fn onto(file: File, clock: Clock, observer: Option<Observer<K>>) -> io::Result<Self> {
        let mut journal = Self::in_memory(clock, observer);
        let shared = journal.shared.clone();
        let thread = thread::Builder::new().name("gameday-journal".into());
        let thread = thread.spawn(move || shared.write_all(file))?;
        journal.hand = Some(Arc::new(Hand { shared: journal.shared.clone(), thread: Some(thread) }));
        Ok(journal)
    }

    /// A journal in memory, for simulations.
    pub fn in_memory(clock: Clock, observer: Option<Observer<K>>) -> Self {
        let state = State {
            seq: 0,
            prev: String::new(),
            last_us: 0,
            line: Vec::new(),
            observer,
            lines: Vec::new(),
            written: 0,
            sync: 0,
            over: false,
            broken: None,
        };
        let (more, done, failed) = (Condvar::new(), Condvar::new(), Notify::new());
        let shared = Arc::new(Shared { state: Mutex::new(state), more, done, failed });
        Journal { clock, shared, hand: None, onlooker: Arc::default() }
    }

    /// Stamps one event and appends it. What is synced (an intent, the end) is on the disk, with all that came before them, when this
    /// returns; everything else is written in its turn.
    ///
    /// # Errors
    /// If the disk failed, at this event or at one before. The journal then stays broken: an event that could not be
    /// written is never followed by one that could, and the drill must end; see [`Journal::failed`].
    pub fn record(&self, kind: K) -> io::Result<()> {
        let durable = kind.synced();
        let mut state = self.shared.lock();
        if let Some(kind) = state.broken {
            return Err(io::Error::new(kind, "the journal could not be written before"));
        }
        // Tasks race for the lock, so a stamp taken outside it could be older than the line before.
        let at_us = self.clock.now_us().max(state.last_us);
        if let Err(e) = state.append(at_us, kind) {
            state.broken = Some(e.kind());
            self.shared.failed.notify_one();
            return Err(e);
        }
        if self.hand.is_none() {
            return Ok(());
        }
        let seq = state.seq;
        if durable {
            state.sync = seq;
        }
        self.shared.more.notify_one();
        if durable || state.lines.len() > BACKLOG_MAX {
            while state.written < seq && state.broken.is_none() {
                state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        match state.broken {
            Some(kind) if state.written < seq => {
                Err(io::Error::new(kind, "the journal could not be written"))
            }
            _ => Ok(()),
        }
    }

    /// Shows from now on how far long work is.
    pub fn show_progress(&self, onlooker: Option<Onlooker>) {
        *self.onlooker.lock().unwrap_or_else(PoisonError::into_inner) = onlooker;
    }

    /// Tells who looks on how far work is; a hundred times at most, and at its end.
    pub(crate) fn progress(&self, what: &'static str, done: u64, of: u64) {
        if done < of && !done.is_multiple_of((of / 100).max(1)) {
            return;
        }
        let at_us = self.clock.now_us();
        if let Some(onlooker) = self.onlooker.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            onlooker(Progress { at_us, what, done, of });
        }
    }

    /// Waits until an event could not be written.
    pub async fn failed(&self) {
        self.shared.failed.notified().await;
    }

    /// What a journal in memory holds; empty for one in a file.
    pub fn bytes(&self) -> Vec<u8> {
        if self.hand.is_some() { Vec::new() } else { self.shared.lock().lines.clone() }
    }
}

impl<K: Kind> State<K> {
    fn append(&mut self, at_us: u64, kind: K) -> io::Result<()> {
        let event = Event { seq: self.seq, at_us, prev: std::mem::take(&mut self.prev), kind };
        self.line.clear();
        serde_json::to_writer(&mut self.line, &event)?;
        self.prev = digest(&self.line);
        self.line.push(b'\n');
        self.lines.extend_from_slice(&self.line);
        self.seq += 1;
        self.last_us = at_us;
        if let Some(observer) = self.observer.as_mut() {
            observer(&event);
        }
        Ok(())
    }
}

impl<K: Kind> Shared<K> {
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread's work: everything that is there, again and again, until nothing will follow.
    fn write_all(&self, mut file: File) {
        // It holds the lock that those who keep time need: it must not be kept from giving it back.
        urgency::raise();
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            while state.lines.is_empty() && !state.over {
                state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.lines.is_empty() {
                return;
            }
            std::mem::swap(&mut batch, &mut state.lines);
            let (upto, sync) = (state.seq, state.sync > state.written);
            drop(state);
            let result = file.write_all(&batch).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
            batch.clear();
            let mut state = self.lock();
            match &result {
                Ok(()) => state.written = upto,
                Err(e) => state.broken = Some(e.kind()),
            }
            self.done.notify_all();
            if result.is_err() {
                self.failed.notify_one();
                return;
            }
        }
    }
}

impl<K: Kind> Drop for Hand<K> {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.more.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
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

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read as _};

    use super::*;
    use crate::journal::{Ending, Intent, Phase, Reader};
    use crate::plan::StepKind;

    fn note(n: usize) -> EventKind {
        EventKind::Noted(format!("{n} {}", "x".repeat(500)))
    }

    fn intent() -> EventKind {
        EventKind::Intended(Intent {
            step: "s".into(),
            why: StepKind::Fault,
            acts: Vec::new(),
            undo: Vec::new(),
        })
    }

    #[test]
    fn who_keeps_time_never_waits_for_the_disk() {
        const EVENTS: usize = 2000;
        // A pipe holds 64 KiB: as long as nobody reads, its writer stands still like one to a busy disk.
        let (mut out, file) = io::pipe().unwrap();
        let journal =
            Journal::onto(File::from(std::os::fd::OwnedFd::from(file)), Clock::real(), None).unwrap();
        (0..EVENTS).for_each(|n| journal.record(note(n)).unwrap());
        assert!(journal.shared.lock().written < EVENTS as u64, "the pipe holds all of it: it proves nothing");
        let read = thread::spawn(move || {
            let mut bytes = Vec::new();
            out.read_to_end(&mut bytes).unwrap();
            bytes
        });
        drop(journal);
        let bytes = read.join().unwrap();
        let events: Vec<Event> = Reader::new(&bytes[..]).map(Result::unwrap).collect();
        assert_eq!(events.len(), EVENTS);
        assert!(events.iter().enumerate().all(|(n, e)| e.kind == note(n)), "each in its place");
    }

    #[test]
    fn what_is_acted_upon_is_on_the_file_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let journal = Journal::create(&path, Clock::real(), None).unwrap();
        let held = || Reader::new(BufReader::new(File::open(&path).unwrap())).map(|e| e.unwrap().kind);
        for round in 1..50 {
            journal.record(note(round)).unwrap();
            journal.record(intent()).unwrap();
            assert_eq!(held().count(), 2 * round);
        }
        let many: Vec<_> = (0..4)
            .map(|n| {
                let journal = journal.clone();
                thread::spawn(move || (0..200).for_each(|_| journal.record(note(n)).unwrap()))
            })
            .collect();
        many.into_iter().for_each(|t| t.join().unwrap());
        journal.record(EventKind::Ended(Ending::Complete)).unwrap();
        assert_eq!(held().count(), 98 + 800 + 1);
        assert_eq!(held().last(), Some(EventKind::Ended(Ending::Complete)));
    }

    #[tokio::test]
    async fn a_full_disk_breaks_the_journal_for_good() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let journal = Journal::onto(full, Clock::real(), None).unwrap();
        journal.record(EventKind::Entered(Phase::Launch)).unwrap();
        journal.failed().await;
        let refused = journal.record(intent()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        let full = File::options().write(true).open("/dev/full").unwrap();
        let journal = Journal::onto(full, Clock::real(), None).unwrap();
        assert_eq!(journal.record(intent()).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(journal.record(note(1)).is_err());
    }

    #[test]
    fn the_thread_ends_with_the_last_clone() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::create(&dir.path().join("journal.jsonl"), Clock::real(), None).unwrap();
        let (clone, shared) = (journal.clone(), Arc::downgrade(&journal.shared));
        drop(journal);
        clone.record(note(1)).unwrap();
        drop(clone);
        assert_eq!(shared.strong_count(), 0);
        assert!(std::fs::read(dir.path().join("journal.jsonl")).unwrap().ends_with(b"\n"));
    }
}
