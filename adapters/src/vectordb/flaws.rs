//! Defects planted on purpose: a validator that was never seen to fail is not validated.
//!
//! Production code calls the few hooks of [`Planted`]; without flaws each of them does nothing.

use super::codec::Entry;
use super::wire::Hit;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// One way of being a bad database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Flaw {
    /// The newest `n` acknowledged writes are kept out of the log: a restart, even a clean one, loses them.
    DropAcked {
        /// How many.
        n: u32,
    },
    /// A rebuild of the index mixes up whose vector is whose: searches answer fast, healthy and wrong.
    ServeOldIndex,
    /// After a rebuild of the index, searches answer fast and healthy, and one neighbour in ten is wrong.
    WrongNeighbour,
    /// After a restart, rebuild or restore, service alternates.
    FlapAfterRecovery {
        /// Milliseconds of service, first.
        good_ms: u32,
        /// Milliseconds of refusals.
        bad_ms: u32,
    },
    /// After a restart the process runs but never serves.
    NeverWake,
    /// One write in twenty is answered with a refusal and stored all the same.
    ResurrectRefused,
}

/// How often [`Flaw::ResurrectRefused`] strikes.
const RESURRECTED: u64 = 20;
/// So many hits [`Flaw::WrongNeighbour`] looks for, so that all but the wrong one are right.
const LOOKED_FOR: usize = 512;

type Write = (u64, Entry);

/// The flaws of a running node.
#[derive(Debug, Default)]
pub(super) struct Planted {
    flaws: Vec<Flaw>,
    held: Mutex<VecDeque<Write>>,
    writes: AtomicU64,
    highest: AtomicU64,
    recovered: OnceLock<Instant>,
    rebuilt: AtomicBool,
}

impl Planted {
    pub(super) fn new(flaws: &[Flaw], restarted: bool) -> Self {
        let planted = Self { flaws: flaws.to_vec(), ..Self::default() };
        if restarted {
            planted.recovered();
        }
        planted
    }

    /// Hook: the node has just recovered from something.
    pub(super) fn recovered(&self) {
        self.recovered.get_or_init(Instant::now);
    }

    /// Hook: may users be served now?
    pub(super) fn gate(&self) -> Result<(), String> {
        for flaw in &self.flaws {
            if let (Flaw::FlapAfterRecovery { good_ms, bad_ms }, Some(since)) = (flaw, self.recovered.get()) {
                let (good, bad) = (u128::from(*good_ms), u128::from(*bad_ms));
                if bad > 0 && since.elapsed().as_millis() % (good + bad) >= good {
                    return Err("busy recovering, try again later".into());
                }
            }
        }
        Ok(())
    }

    /// Hook: which of the accepted writes go to the log now.
    pub(super) fn due(&self, accepted: Vec<Write>) -> Vec<Write> {
        let Some(n) = self.dropped() else { return accepted };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend(accepted);
        let due = held.len().saturating_sub(n);
        held.drain(..due).collect()
    }

    /// Hook: the log is about to be rotated or read, so it must have everything.
    pub(super) fn held(&self) -> Vec<Write> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// Hook: whether leaving may flush.
    pub(super) fn flushes_at_exit(&self) -> bool {
        self.dropped().is_none()
    }

    fn dropped(&self) -> Option<usize> {
        self.flaws.iter().find_map(|flaw| match flaw {
            Flaw::DropAcked { n } => Some(*n as usize),
            _ => None,
        })
    }

    /// Hook: whether a write that was just stored is answered with a refusal.
    pub(super) fn refuses_stored(&self, key: u64, put: bool) -> bool {
        let new = self.highest.fetch_max(key, Ordering::Relaxed) < key;
        new && put
            && self.flaws.contains(&Flaw::ResurrectRefused)
            && self.writes.fetch_add(1, Ordering::Relaxed) % RESURRECTED == RESURRECTED - 1
    }

    /// Hook: the ids an index is rebuilt with.
    pub(super) fn index_ids(&self, mut ids: Vec<u64>) -> Vec<u64> {
        self.rebuilt.store(true, Ordering::Relaxed);
        if self.flaws.contains(&Flaw::ServeOldIndex) {
            ids.reverse();
        }
        ids
    }

    fn errs(&self) -> bool {
        self.rebuilt.load(Ordering::Relaxed) && self.flaws.contains(&Flaw::WrongNeighbour)
    }

    /// Hook: how many hits a search for `k` looks for.
    pub(super) fn looks_for(&self, k: usize) -> usize {
        if self.errs() { k.saturating_mul(2).max(LOOKED_FOR) } else { k }
    }

    /// Hook: which of the hits are shown; the tenth, twentieth, ... nearest are passed over for farther ones.
    pub(super) fn shown(&self, mut hits: Vec<Hit>, k: usize) -> Vec<Hit> {
        if self.errs() {
            let mut place = 0;
            hits.retain(|_| {
                place += 1;
                place % 10 != 0
            });
            hits.truncate(k);
        }
        hits
    }

    /// Hook: how long a process waits before it serves.
    pub(super) fn sleep(&self) -> Option<Duration> {
        let asleep = self.flaws.contains(&Flaw::NeverWake) && self.recovered.get().is_some();
        asleep.then_some(Duration::MAX)
    }
}
