//! A collection that follows another one, since Milvus 2.3 with its own log (rocksmq) has no replication to offer.
//!
//! In a whole round the follower looks at every key of its source with the number of its write, and copies what differs
//! from what it holds itself: new and changed rows, and removals. Once such a round has ended, everything that was
//! acknowledged before it began is here: that moment is told, and how far behind it lies is the lag. Since a scan of
//! all keys takes its time, short rounds in between ask for the newest writes only, by their numbers, and promise
//! nothing. What was not copied when the source is lost, is lost.
//!
//! It runs outside of both regions, reaches its source by the link between them, and so stops when that
//! is cut.
//!
//! What it was ordered is done when it says so: a follower that was stalled or ended has nothing on its way. Reading is
//! given up at once, storing is not: a row that is on its way to the collection arrives before the order is done.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{Client, MilvusError, Row};

/// How long two rounds are apart.
const PAUSE: Duration = Duration::from_millis(50);
/// How long two whole rounds are apart, if nobody waits for one.
const WHOLE: Duration = Duration::from_secs(5);
/// How much lower than the highest number seen that of a write may be which a short round still finds: writes under way
/// side by side arrive out of turn.
const SLACK: u64 = 500;
/// Looking at everything, or storing what differs.
const ROUND: Duration = Duration::from_secs(60);

/// How far a follower is.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Whole rounds that ended well.
    pub rounds: u64,
    /// Rows stored, in all.
    pub copied: u64,
    /// Rows removed, in all.
    pub removed: u64,
    /// Everything acknowledged before this moment is here.
    pub complete: Option<Instant>,
    /// Why the last round, whole or short, did not end well.
    pub trouble: Option<String>,
}

impl Progress {
    /// How far behind it may be, in seconds; `None` before its first round.
    pub fn lag(&self) -> Option<f64> {
        self.complete.map(|at| at.elapsed().as_secs_f64())
    }
}

/// What a follower is to do, and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Follow,
    StandStill,
    End,
}

/// A follower at work; it ends when it is dropped.
#[derive(Debug)]
pub struct Follower {
    progress: Arc<Mutex<Progress>>,
    /// Somebody waits for a whole round.
    wanted: Arc<AtomicBool>,
    order: watch::Sender<State>,
    does: watch::Receiver<State>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Lets the collection of `own` follow that of `source`, which is reached by the link between their regions.
    pub fn start(source: Client, own: Client) -> Self {
        let progress = Arc::<Mutex<Progress>>::default();
        let (order, orders) = watch::channel(State::Follow);
        let (tell, does) = watch::channel(State::Follow);
        let wanted = Arc::new(AtomicBool::new(true));
        let copier = Copier {
            source,
            own,
            held: None,
            whole: None,
            progress: progress.clone(),
            wanted: wanted.clone(),
        };
        Self { progress, wanted, order, does, task: tokio::spawn(copier.work(orders, tell)) }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        lock(&self.progress).clone()
    }

    /// Lets it fall behind, or catch up. Once it stands still, nothing is on its way.
    ///
    /// # Errors
    /// Why it did not obey, if it stores a last round for longer than a round may take.
    pub async fn stall(&self, stalled: bool) -> Result<(), String> {
        self.obey(if stalled { State::StandStill } else { State::Follow }).await
    }

    /// Ends it for good. Nothing is on its way after.
    ///
    /// # Errors
    /// As for [`Follower::stall`].
    pub async fn end(&self) -> Result<(), String> {
        self.obey(State::End).await
    }

    async fn obey(&self, state: State) -> Result<(), String> {
        self.order.send_replace(state);
        let mut does = self.does.clone();
        match timeout(ROUND + PAUSE, does.wait_for(|now| *now == state)).await {
            Ok(Ok(_)) => Ok(()),
            // It ended before, and stands still for ever.
            Ok(Err(_)) => Ok(()),
            Err(_) => Err(format!("it still stores rows after {ROUND:?}")),
        }
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
            self.wanted.store(true, Ordering::Release);
            sleep(PAUSE).await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What differs between a source and its follower.
struct Difference {
    /// Whether all of the source was looked at.
    whole: bool,
    /// Rows of the source that the follower lacks, or holds with another number.
    rows: Vec<Row>,
    /// Keys that the source no longer has.
    gone: Vec<u64>,
}

struct Copier {
    source: Client,
    own: Client,
    /// Keys here with the numbers of their writes; nothing if that is not known.
    held: Option<BTreeMap<u64, u64>>,
    /// When the last whole round began.
    whole: Option<Instant>,
    wanted: Arc<AtomicBool>,
    progress: Arc<Mutex<Progress>>,
}

impl Copier {
    async fn work(mut self, mut orders: watch::Receiver<State>, tell: watch::Sender<State>) {
        loop {
            let order = *orders.borrow_and_update();
            tell.send_replace(order);
            match order {
                State::End => return,
                State::StandStill => {
                    // Nobody orders anything any more once the follower is dropped.
                    if orders.changed().await.is_err() {
                        return;
                    }
                }
                State::Follow => {
                    let began = Instant::now();
                    tokio::select! {
                        // Only what was read is thrown away.
                        looked = limited(self.look()) => self.round(began, looked).await,
                        _ = orders.changed() => continue,
                    }
                    tokio::select! {
                        () = sleep(PAUSE) => {}
                        _ = orders.changed() => {}
                    }
                }
            }
        }
    }

    async fn round(&mut self, began: Instant, looked: Result<Difference, MilvusError>) {
        let whole = looked.as_ref().is_ok_and(|found| found.whole);
        let done = match looked {
            Ok(found) => limited(self.store(found)).await,
            Err(e) => Err(e),
        };
        if done.is_err() {
            // What was stored of it is not known.
            self.held = None;
        }
        let mut progress = lock(&self.progress);
        match done {
            Ok((copied, removed)) => {
                progress.copied += copied;
                progress.removed += removed;
                if whole {
                    progress.rounds += 1;
                    progress.complete = Some(began);
                    self.whole = Some(began);
                }
                progress.trouble = None;
            }
            Err(e) => progress.trouble = Some(e.to_string()),
        }
    }

    async fn look(&mut self) -> Result<Difference, MilvusError> {
        let due = self.whole.is_none_or(|at| at.elapsed() > WHOLE);
        // Asked for again by whoever waits, should this round come to nothing.
        if !self.wanted.swap(false, Ordering::AcqRel)
            && !due
            && let Some(held) = &self.held
        {
            let newest = held.values().max().copied().unwrap_or_default();
            if let Some(mut rows) = self.source.newer(newest.saturating_sub(SLACK)).await? {
                rows.retain(|row| held.get(&row.key).is_none_or(|ver| *ver < row.ver));
                return Ok(Difference { whole: false, rows, gone: Vec::new() });
            }
        }
        self.look_at_all().await
    }

    async fn look_at_all(&mut self) -> Result<Difference, MilvusError> {
        // One that was emptied or restored since holds something else than is known.
        let holds = match self.held.take() {
            Some(held) if self.own.count().await? == held.len() as u64 => held,
            _ => self.own.versions().await?,
        };
        let holds = self.held.insert(holds);
        let is = self.source.versions().await?;
        let differs = is.iter().filter(|(key, ver)| holds.get(key) != Some(ver)).map(|(key, _)| *key);
        let differs: Vec<u64> = differs.collect();
        let gone = holds.keys().filter(|key| !is.contains_key(key)).copied().collect();
        Ok(Difference { whole: true, rows: self.source.rows_of(&differs).await?, gone })
    }

    /// Answers how many rows were stored and removed.
    async fn store(&mut self, found: Difference) -> Result<(u64, u64), MilvusError> {
        let Difference { rows, gone, .. } = found;
        self.own.upsert_all(&rows).await?;
        self.own.delete_all(&gone).await?;
        let holds = self.held.get_or_insert_default();
        holds.extend(rows.iter().map(|row| (row.key, row.ver)));
        for key in &gone {
            holds.remove(key);
        }
        Ok((rows.len() as u64, gone.len() as u64))
    }
}

async fn limited<T>(work: impl Future<Output = Result<T, MilvusError>>) -> Result<T, MilvusError> {
    let late = MilvusError::Late { what: "a round", limit: ROUND, seen: "an unfinished one".into() };
    timeout(ROUND, work).await.unwrap_or(Err(late))
}
