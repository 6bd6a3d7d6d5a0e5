//! The role in force: who may write, and which writes the follower has.
//!
//! Changes of role are serialised by one lock and durable before they are answered; one that takes the right to
//! write away is in force even before it is durable. The lock goes with the bytes to the disk: a change that nobody
//! waits for any more is stored before the next one begins, never after it. Everything else here is of this process
//! only.

use super::Replicable;
use super::saved::{Disk, Saved, Source, Wipe};
use super::wire::{Follower, Following, Mode, Position, Role, Status};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, RwLock, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// After so long without the follower a write is answered as unconfirmed: waiting ones take up room.
const CONFIRM_LIMIT: Duration = Duration::from_secs(4);
/// A position is stored so often at most: an older one costs only time.
const STORE_EVERY: Duration = Duration::from_millis(500);
/// How long a wipe waits for commits under way.
const COMMITS_LIMIT: Duration = Duration::from_secs(5);

/// Why a node takes no user's write: it is definitely not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotWritable {
    /// It is a standby.
    #[error("standby: not writable, write to the primary or promote this node")]
    Standby,
    /// It was primary.
    #[error("fenced by epoch {0}: write to the primary of that epoch")]
    Fenced(u64),
}

/// Why a write that is durable here is not acknowledged: whether it survives, nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unconfirmed {
    /// The follower does not have it yet.
    #[error(
        "stored here, but no follower confirmed it within {CONFIRM_LIMIT:?}: check the link and the standby"
    )]
    Late,
    /// The node is not primary any more.
    #[error("stored here, but this node stopped being primary meanwhile: write to the new primary")]
    Demoted,
}

/// A follower, as its source knows it.
#[derive(Debug, Clone)]
struct Seen {
    id: u64,
    timeline: u64,
    confirmed: u64,
    at: Instant,
    caught_up: bool,
    /// The last answer held everything there was, up to here.
    complete: Option<u64>,
}

/// A source, as its follower knows it. Forgotten when another is followed.
#[derive(Debug, Clone, Default)]
struct Told {
    head: Option<Position>,
    at: Option<Instant>,
    error: Option<String>,
}

#[derive(Debug)]
struct State {
    saved: Saved,
    /// Counts the ends of being primary: a write is acknowledged only in the term it began in.
    term: u64,
    degraded: bool,
    stalled: bool,
    seen: Option<Seen>,
    told: Told,
    /// When `saved` was stored last, and whether a change of role has not been since.
    stored: Instant,
    unstored: bool,
}

impl State {
    fn acknowledges(&self, Position { timeline, lsn }: Position) -> bool {
        let confirmed = |seen: &Seen| seen.timeline == timeline && seen.confirmed >= lsn;
        let confirmed = self.seen.as_ref().is_some_and(confirmed);
        match self.saved.mode {
            Mode::Async => true,
            Mode::Sync => confirmed,
            Mode::Mutual => confirmed || self.degraded,
        }
    }

    fn publish(&mut self, next: Saved) {
        if self.saved.role == Role::Primary && next.role != Role::Primary {
            self.term += 1;
        }
        if self.saved.role != next.role {
            self.degraded = false;
        }
        if self.saved.duty() != next.duty() {
            self.told = Told::default();
        }
        self.saved = next;
    }
}

/// A node's part in replication; shared by its replication port and its users' one.
pub struct Standing {
    state: watch::Sender<State>,
    /// Read by commits under way, written by a wipe.
    commits: Arc<RwLock<()>>,
    changing: Arc<Mutex<()>>,
    disk: Arc<Disk>,
    degrade_after: Duration,
    product: Arc<dyn Replicable>,
}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standing").field("saved", &self.saved()).finish_non_exhaustive()
    }
}

/// The right to commit one write. Hold it until the commit is durable, then ask [`Permit::confirmed`].
#[derive(Debug)]
#[must_use]
pub struct Permit {
    standing: Arc<Standing>,
    term: u64,
    commit: OwnedRwLockReadGuard<()>,
}

impl Permit {
    /// Returns when the write, durable here with `lsn` (any later one will do), may be acknowledged.
    ///
    /// # Errors
    /// It must not be acknowledged, and must not be called undone either.
    pub async fn confirmed(self, lsn: u64) -> Result<(), Unconfirmed> {
        let Self { standing, term, commit } = self;
        drop(commit);
        let write = Position { timeline: standing.product.position().timeline, lsn };
        let mut state = standing.state.subscribe();
        let mutual = state.borrow().saved.mode == Mode::Mutual;
        let limit = if mutual { standing.degrade_after } else { CONFIRM_LIMIT };
        let settled = |state: &State| state.term != term || state.acknowledges(write);
        if timeout(limit, state.wait_for(settled)).await.is_err() {
            standing.degrade();
        }
        let state = state.borrow();
        match (state.term == term, state.acknowledges(write)) {
            (false, _) => Err(Unconfirmed::Demoted),
            (true, false) => Err(Unconfirmed::Late),
            (true, true) => Ok(()),
        }
    }
}

impl Standing {
    pub(super) fn new(
        saved: Saved,
        disk: Disk,
        degrade_after: Duration,
        product: Arc<dyn Replicable>,
    ) -> Self {
        let state = State {
            saved,
            term: 0,
            degraded: false,
            stalled: false,
            seen: None,
            told: Told::default(),
            stored: Instant::now(),
            unstored: false,
        };
        Self {
            state: watch::Sender::new(state),
            commits: Arc::default(),
            changing: Arc::default(),
            disk: Arc::new(disk),
            degrade_after,
            product,
        }
    }

    /// Asked before a user's write is committed.
    ///
    /// # Errors
    /// This node takes no writes.
    pub fn may_write(self: &Arc<Self>) -> Result<Permit, NotWritable> {
        // First the lock: whoever then finds a primary is waited for by a wipe.
        let commit = self.commits.clone().try_read_owned();
        let state = self.state.borrow();
        match (state.saved.role, commit) {
            (Role::Primary, Ok(commit)) => Ok(Permit { standing: self.clone(), term: state.term, commit }),
            (Role::Fenced, _) => Err(NotWritable::Fenced(state.saved.epoch)),
            (Role::Standby, _) | (_, Err(_)) => Err(NotWritable::Standby),
        }
    }

    pub(super) fn saved(&self) -> Saved {
        self.state.borrow().saved.clone()
    }

    pub(super) fn stalled(&self) -> bool {
        self.state.borrow().stalled
    }

    pub(super) fn stall(&self, stalled: bool) {
        self.state.send_modify(|state| state.stalled = stalled);
    }

    fn degrade(&self) {
        self.state.send_modify(|state| state.degraded = state.saved.mode == Mode::Mutual);
    }

    /// Ends when what is saved is not as asked any more.
    pub(super) fn until(&self, changed: impl Fn(&Saved) -> bool) -> impl Future<Output = ()> {
        let mut state = self.state.subscribe();
        async move {
            let _ = state.wait_for(|state| changed(&state.saved)).await;
        }
    }

    /// Applies a rule and makes its outcome durable.
    pub(super) async fn change(
        &self,
        rule: impl FnOnce(&mut Saved) -> Result<(), String>,
    ) -> Result<(), String> {
        let turn = self.changing.clone().lock_owned().await;
        let old = self.saved();
        let mut next = old.clone();
        rule(&mut next)?;
        if next == old && !self.state.borrow().unstored {
            return Ok(());
        }
        let demoted = old.role == Role::Primary && next.role != Role::Primary;
        if demoted {
            self.state.send_modify(|state| {
                state.publish(next.clone());
                state.unstored = true;
            });
        }
        let _turn = self.store(turn, next.clone()).await?;
        if !demoted {
            self.state.send_modify(|state| state.publish(next));
        }
        Ok(())
    }

    /// Answers with the lock.
    async fn store(&self, turn: OwnedMutexGuard<()>, saved: Saved) -> Result<OwnedMutexGuard<()>, String> {
        let disk = self.disk.clone();
        let stored = spawn_blocking(move || disk.store(&saved).map(|()| turn)).await;
        match stored {
            Ok(Ok(turn)) => {
                self.state.send_if_modified(|state| {
                    (state.stored, state.unstored) = (Instant::now(), false);
                    false
                });
                Ok(turn)
            }
            Ok(Err(error)) => Err(format!("its role cannot be stored: {error}")),
            Err(error) => Err(format!("its role cannot be stored: {error}")),
        }
    }

    /// Everything up to `upto` was applied, unless another order came meanwhile (then the position is of no use).
    pub(super) async fn applied(&self, order: u64, source: Source) -> Result<(), String> {
        let turn = self.changing.clone().lock_owned().await;
        let mut due = false;
        self.state.send_if_modified(|state| {
            let of_order = state.saved.id == order;
            if let Some(current) = &mut state.saved.follow
                && of_order
                && (current.addr, current.wipe) == (source.addr, source.wipe)
                && *current != source
            {
                *current = source;
                due = state.stored.elapsed() >= STORE_EVERY;
            }
            false
        });
        if due { self.store(turn, self.saved()).await.map(drop) } else { Ok(()) }
    }

    /// Runs `wipe`, which answers the timeline it began, while no commit is under way.
    pub(super) async fn wipe(&self, wipe: impl Future<Output = Result<u64, String>>) -> Result<(), String> {
        let commits = timeout(COMMITS_LIMIT, self.commits.write()).await;
        let _none = commits.map_err(|_| "a commit under way does not end")?;
        // An order that came meanwhile may have made the data precious.
        let pending = |saved: &Saved| {
            saved.role == Role::Standby && saved.follow.as_ref().is_some_and(|s| s.wipe == Wipe::Pending)
        };
        let turn = self.changing.clone().lock_owned().await;
        let mut next = self.saved();
        if !pending(&next) {
            return Ok(());
        }
        next.wiped(wipe.await?);
        let _turn = self.store(turn, next.clone()).await?;
        self.state.send_modify(|state| state.publish(next));
        Ok(())
    }

    /// A follower asked: everything up to `confirmed` is durable there.
    pub(super) fn heard(&self, id: u64, confirmed: Position) {
        let Position { timeline, lsn: confirmed } = confirmed;
        self.state.send_modify(|state| {
            let complete = state.seen.take().filter(|seen| seen.id == id).and_then(|seen| seen.complete);
            let caught_up = complete.is_some_and(|upto| confirmed >= upto);
            state.degraded &= !caught_up;
            state.seen = Some(Seen { id, timeline, confirmed, at: Instant::now(), caught_up, complete });
        });
    }

    /// It is being answered; with `complete`, that this is everything up to there.
    pub(super) fn answered(&self, id: u64, complete: Option<u64>) {
        self.state.send_if_modified(|state| {
            if let Some(seen) = state.seen.as_mut().filter(|seen| seen.id == id) {
                seen.complete = complete;
            }
            false
        });
    }

    /// The source answered that `head` is its last change.
    pub(super) fn told(&self, head: Position) {
        self.state.send_if_modified(|state| {
            state.told = Told { head: Some(head), at: Some(Instant::now()), error: None };
            false
        });
    }

    /// Following goes wrong.
    pub(super) fn troubled(&self, error: String) {
        self.state.send_if_modified(|state| {
            state.told.error = Some(error);
            false
        });
    }

    /// What the node says about itself.
    pub fn status(&self) -> Status {
        let state = self.state.borrow();
        // After the role: what was acknowledged before it changed is not beyond this position.
        let position = self.product.position();
        let saved = &state.saved;
        Status {
            id: saved.id,
            role: saved.role,
            epoch: saved.epoch,
            mode: saved.mode,
            position,
            degraded: state.degraded,
            stalled: state.stalled,
            follower: state.seen.as_ref().map(|seen| Follower {
                id: seen.id,
                confirmed: seen.confirmed,
                lag: position.lsn.saturating_sub(seen.confirmed),
                heard_ms: millis(seen.at),
                caught_up: seen.caught_up && seen.confirmed >= position.lsn,
            }),
            following: saved.follow.as_ref().map(|source| following(source, &state.told)),
        }
    }
}

fn following(source: &Source, told: &Told) -> Following {
    let behind = |head: Position| match head.timeline == source.upto.timeline {
        true => head.lsn.saturating_sub(source.upto.lsn),
        false => head.lsn,
    };
    let lag = told.head.map(behind);
    let caught_up = lag == Some(0)
        && source.wipe != Wipe::Pending
        && told.head.is_some_and(|head| head.timeline == source.upto.timeline);
    Following {
        addr: source.addr,
        upto: source.upto,
        head: told.head.map(|head| head.lsn),
        lag,
        heard_ms: told.at.map(millis),
        caught_up,
        wipe_pending: source.wipe == Wipe::Pending,
        error: told.error.clone(),
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
