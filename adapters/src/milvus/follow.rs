//! A collection that follows another one, since Milvus 2.3 with its own log (rocksmq) has no replication to offer.
//!
//! The follower looks at every key of its source with the number of its write, round after round, and copies what
//! differs from what it holds itself: new and changed rows, and removals. It keeps nothing of the source but that
//! difference, so a row that was not copied when the source is lost, is lost. Once a round has ended, everything that
//! was acknowledged before it began is here: that moment is told, and how far behind it lies is the lag.
//!
//! Looking at everything costs a scan of keys a round; that is the price of finding removals and late writes without a
//! log to read. It runs outside of both regions, reaches its source by the link between them, and so stops when that
//! is cut.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{Client, MilvusError};

/// How long two rounds are apart.
const PAUSE: Duration = Duration::from_millis(200);
/// One round, from the first question to the last row stored.
const ROUND: Duration = Duration::from_secs(60);

/// How far a follower is.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Rounds that ended well.
    pub rounds: u64,
    /// Rows stored, in all.
    pub copied: u64,
    /// Rows removed, in all.
    pub removed: u64,
    /// Everything acknowledged before this moment is here.
    pub complete: Option<Instant>,
    /// Why the last round did not end well.
    pub trouble: Option<String>,
}

impl Progress {
    /// How far behind it may be, in seconds; `None` before its first round.
    pub fn lag(&self) -> Option<f64> {
        self.complete.map(|at| at.elapsed().as_secs_f64())
    }
}

/// A follower at work; it ends when it is dropped.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    stalled: AtomicBool,
    progress: Mutex<Progress>,
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Lets the collection of `own` follow that of `source`, which is reached by the link between their regions.
    pub fn start(source: Client, own: Client) -> Self {
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn({
            let shared = shared.clone();
            async move {
                let mut held = None;
                loop {
                    if !shared.stalled.load(Ordering::Acquire) {
                        round(&shared, &source, &own, &mut held).await;
                    }
                    sleep(PAUSE).await;
                }
            }
        });
        Self { shared, task }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.shared.progress().clone()
    }

    /// Lets it fall behind, or catch up.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.store(stalled, Ordering::Release);
    }

    /// Waits until everything acknowledged before this call is here, within a limit; why not, else.
    pub async fn caught_up(&self, limit: Duration) -> Result<(), String> {
        let asked = Instant::now();
        loop {
            let progress = self.progress();
            if progress.complete.is_some_and(|at| at >= asked) {
                return Ok(());
            }
            if asked.elapsed() > limit {
                let why = progress.trouble.unwrap_or_else(|| "its round has not ended".into());
                return Err(format!("not caught up within {limit:?}: {why}"));
            }
            sleep(PAUSE / 4).await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn round(shared: &Shared, source: &Client, own: &Client, held: &mut Option<BTreeMap<u64, u64>>) {
    let began = Instant::now();
    let done = timeout(ROUND, copy(source, own, held)).await;
    let done = done.unwrap_or_else(|_| {
        Err(MilvusError::Late { what: "a round", limit: ROUND, seen: "an unfinished one".into() })
    });
    let mut progress = shared.progress();
    match done {
        Ok((copied, removed)) => {
            progress.rounds += 1;
            progress.copied += copied;
            progress.removed += removed;
            progress.complete = Some(began);
            progress.trouble = None;
        }
        Err(e) => {
            // What was stored of it is not known.
            *held = None;
            progress.trouble = Some(e.to_string());
        }
    }
}

/// Copies what differs; answers how many rows were stored and removed.
async fn copy(
    source: &Client,
    own: &Client,
    held: &mut Option<BTreeMap<u64, u64>>,
) -> Result<(u64, u64), MilvusError> {
    if held.is_none() {
        *held = Some(own.versions().await?);
    }
    let Some(holds) = held else { return Ok((0, 0)) };
    let is = source.versions().await?;
    let differs = is.iter().filter(|(key, ver)| holds.get(key) != Some(ver)).map(|(key, _)| *key);
    let differs: Vec<u64> = differs.collect();
    let gone: Vec<u64> = holds.keys().filter(|key| !is.contains_key(key)).copied().collect();
    let rows = source.rows_of(&differs).await?;
    own.upsert_all(&rows).await?;
    holds.extend(rows.iter().map(|row| (row.key, row.ver)));
    own.delete_all(&gone).await?;
    for key in &gone {
        holds.remove(key);
    }
    Ok((rows.len() as u64, gone.len() as u64))
}
