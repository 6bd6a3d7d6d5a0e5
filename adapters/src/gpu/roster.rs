//! The workers as a driver sees them.
//!
//! A worker that failed or was slow is *suspected*: it gets no work for a moment, and then another chance. What shards
//! and what inferences learn is kept apart, since they are in different haste. One that computed wrong is
//! *quarantined*: it gets no work of either kind until it has answered a question with a known answer rightly.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use harness::job::Job;

use super::client::Client;
use super::step::SHARD_LIMIT;

/// How long a worker that failed gets no work.
const FAILED_FOR: Duration = Duration::from_millis(50);
/// How long one that was slower than another gets none.
const SLOW_FOR: Duration = Duration::from_millis(300);
/// How often a quarantined one is asked what is known.
const PROBED_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug)]
struct Worker {
    client: Client,
    standing: Mutex<Standing>,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    /// By shards.
    suspect_until: Instant,
    /// By inferences.
    avoided_until: Instant,
    quarantined: bool,
    probe_at: Instant,
}

/// The workers of one region, known by their places.
#[derive(Debug)]
pub(super) struct Roster {
    workers: Vec<Worker>,
    turn: AtomicUsize,
}

impl Roster {
    pub(super) fn new(workers: &[SocketAddr]) -> Self {
        let now = Instant::now();
        let standing = Standing { suspect_until: now, avoided_until: now, quarantined: false, probe_at: now };
        let worker =
            |addr: &SocketAddr| Worker { client: Client::new(*addr), standing: Mutex::new(standing) };
        Self { workers: workers.iter().map(worker).collect(), turn: AtomicUsize::new(0) }
    }

    pub(super) fn client(&self, worker: usize) -> Client {
        self.workers[worker].client.clone()
    }

    fn standing(&self, worker: usize) -> MutexGuard<'_, Standing> {
        self.workers[worker].standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places that take turns at coming first.
    fn by_turns(&self) -> impl Iterator<Item = usize> + use<> {
        let count = self.workers.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        (0..count).map(move |i| first.wrapping_add(i) % count)
    }

    /// Workers that get shards: neither suspected nor quarantined.
    pub(super) fn ready(&self) -> Vec<usize> {
        let now = Instant::now();
        let ready = |w: &usize| {
            let standing = self.standing(*w);
            !standing.quarantined && standing.suspect_until <= now
        };
        self.by_turns().filter(ready).collect()
    }

    /// Every worker that may be asked for an inference, suspected ones last.
    pub(super) fn by_trust(&self) -> Vec<usize> {
        let now = Instant::now();
        let mut all: Vec<usize> = self.by_turns().filter(|w| !self.standing(*w).quarantined).collect();
        all.sort_by_key(|w| self.standing(*w).avoided_until > now);
        all
    }

    /// Whether every other worker is quarantined.
    pub(super) fn is_alone(&self, worker: usize) -> bool {
        (0..self.workers.len()).all(|w| w == worker || self.standing(w).quarantined)
    }

    /// An inference failed, or took long.
    pub(super) fn avoid(&self, worker: usize) {
        self.standing(worker).avoided_until = Instant::now() + SLOW_FOR;
    }

    /// A shard failed.
    pub(super) fn failed(&self, worker: usize) {
        self.standing(worker).suspect_until = Instant::now() + FAILED_FOR;
    }

    /// A shard took longer than on another worker.
    pub(super) fn slow(&self, worker: usize) {
        self.standing(worker).suspect_until = Instant::now() + SLOW_FOR;
    }

    pub(super) fn quarantine(&self, worker: usize) {
        let mut standing = self.standing(worker);
        standing.quarantined = true;
        standing.probe_at = Instant::now() + PROBED_EVERY;
    }

    fn reinstate(&self, worker: usize) {
        self.standing(worker).quarantined = false;
    }

    /// Asks quarantined workers what is known, now and then, without waiting for them.
    pub(super) fn probe_quarantined(self: &Arc<Self>, job: Job) {
        for worker in self.to_probe() {
            let roster = self.clone();
            tokio::spawn(async move {
                let start = job.start();
                let said = roster.client(worker).shard(start.bytes(), 0, SHARD_LIMIT).await;
                let known = tokio::task::spawn_blocking(move || job.shard(&start, 0)).await;
                if let (Ok(said), Ok(known)) = (said, known)
                    && said == known
                {
                    roster.reinstate(worker);
                }
            });
        }
    }

    /// Quarantined workers whose time has come.
    fn to_probe(&self) -> Vec<usize> {
        let now = Instant::now();
        let due = |w: &usize| {
            let mut standing = self.standing(*w);
            let due = standing.quarantined && standing.probe_at <= now;
            if due {
                standing.probe_at = now + PROBED_EVERY;
            }
            due
        };
        (0..self.workers.len()).filter(due).collect()
    }
}
