//! Whether the harness itself stood still.
//!
//! Threads that only sleep, as urgent as those that time the probes, and a task on the runtime that sends them: each
//! wakes every 10 ms, and one that comes far too late has found a moment in which a probe could be sent late, or an
//! answer read late. Such a gap is ours and not the stack's. It reaches from the last moment at which the sleeper surely
//! ran; gaps that touch are one event. A simulated clock waits for everybody, so there is nothing to watch.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

use crate::clock::{Clock, Sleep, Sleeper};

/// Takes a span in which the harness stood still: from, to.
pub type Tell = Box<dyn Fn(u64, u64) + Send + Sync>;

/// A sleeper wakes so often.
const BEAT_US: u64 = 10_000;
/// It may come so much later than it wanted.
const GRACE_US: u64 = 20_000;
/// Sleepers at most: on a larger machine they see what these see.
const THREADS_MAX: usize = 4;

/// Watches until it is dropped; then all that was found has been told, and no thread is left.
#[derive(Debug)]
pub struct Pulse {
    // In this order: nobody finds a gap once the last one is written.
    _threads: Vec<Sleeper>,
    task: Option<JoinHandle<()>>,
    gaps: Arc<Gaps>,
}

impl Pulse {
    /// Starts to watch.
    pub fn start(clock: Clock, tell: Tell) -> Pulse {
        let gaps = Arc::new(Gaps { tell, open: Mutex::default() });
        if clock.is_simulated() {
            return Pulse { _threads: Vec::new(), task: None, gaps };
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let thread = |_| {
            let gaps = gaps.clone();
            Sleeper::start("gameday-pulse", move |sleep| thread(&sleep, clock, &gaps))
        };
        let threads = (0..cores.min(THREADS_MAX)).map(thread).collect();
        let task = tokio::spawn(task(clock, gaps.clone()));
        Pulse { _threads: threads, task: Some(task), gaps }
    }

    /// Stops, and tells what is not yet told.
    pub async fn finish(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // Cancelled, as it should be.
            let _ = task.await;
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        self._threads.clear();
        self.gaps.close();
    }
}

fn thread(sleep: &Sleep, clock: Clock, gaps: &Gaps) {
    let mut awake_us = clock.now_us();
    while sleep.until(clock.moment(awake_us + BEAT_US)) {
        let now_us = clock.now_us();
        gaps.beat(awake_us, now_us);
        awake_us = now_us;
    }
}

async fn task(clock: Clock, gaps: Arc<Gaps>) {
    let mut awake_us = clock.now_us();
    loop {
        clock.until(awake_us + BEAT_US).await;
        let now_us = clock.now_us();
        gaps.beat(awake_us, now_us);
        awake_us = now_us;
    }
}

/// What the sleepers found, the newest of it still open: others may have seen the same stall.
struct Gaps {
    tell: Tell,
    open: Mutex<Option<(u64, u64)>>,
}

impl std::fmt::Debug for Gaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gaps").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Gaps {
    /// A sleeper that was awake at one moment and then wanted to wake after a beat woke at another.
    fn beat(&self, awake_us: u64, now_us: u64) {
        let late = now_us.saturating_sub(awake_us) > BEAT_US + GRACE_US;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.as_mut() {
            Some((from_us, to_us)) if late && awake_us <= *to_us && now_us >= *from_us => {
                (*from_us, *to_us) = (awake_us.min(*from_us), now_us.max(*to_us));
            }
            // One that slept through all of it may still be about to say so.
            Some((_, to_us)) if !late && now_us <= *to_us + BEAT_US + GRACE_US => {}
            Some(gap) if !late => {
                let gap = *gap;
                *open = None;
                self.tell(gap);
            }
            Some(gap) => self.tell(std::mem::replace(gap, (awake_us, now_us))),
            None if late => *open = Some((awake_us, now_us)),
            None => {}
        }
    }

    fn close(&self) {
        if let Some(gap) = self.open.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.tell(gap);
        }
    }

    fn tell(&self, (from_us, to_us): (u64, u64)) {
        (self.tell)(from_us, to_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Stalls = Arc<Mutex<Vec<(u64, u64)>>>;

    /// Where stalls are told, and who tells them.
    fn listener() -> (Stalls, Tell) {
        let stalls = Stalls::default();
        let told = stalls.clone();
        (stalls, Box::new(move |from_us, to_us| told.lock().unwrap().push((from_us, to_us))))
    }

    fn found(beats: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let (stalls, tell) = listener();
        let gaps = Gaps { tell, open: Mutex::default() };
        beats.iter().for_each(|(awake_ms, now_ms)| gaps.beat(awake_ms * 1000, now_ms * 1000));
        gaps.close();
        let stalls = stalls.lock().unwrap();
        stalls.iter().map(|(from, to)| (from / 1000, to / 1000)).collect()
    }

    #[test]
    fn only_what_comes_far_too_late_is_a_stall() {
        assert_eq!(found(&[(0, 10), (10, 40), (40, 50)]), []);
        assert_eq!(found(&[(0, 10), (10, 41), (41, 51)]), [(10, 41)]);
    }

    #[test]
    fn what_touches_is_one_stall() {
        let two = [(0, 100), (5, 110), (100, 110), (110, 120), (120, 150), (150, 160)];
        assert_eq!(found(&two), [(0, 110)]);
        assert_eq!(found(&[(0, 100), (100, 200), (200, 300)]), [(0, 300)]);
        assert_eq!(found(&[(0, 100), (100, 110), (110, 200), (200, 240)]), [(0, 100), (110, 240)]);
        // One that woke in time, and one that says a moment later that it did not.
        assert_eq!(found(&[(0, 100), (100, 110), (20, 112)]), [(0, 112)]);
    }

    #[tokio::test]
    async fn a_runtime_that_stands_still_is_seen_though_every_thread_wakes() {
        let (stalls, tell) = listener();
        let pulse = Pulse::start(Clock::real(), tell);
        let clock = Clock::real();
        // The task has to sleep before it can oversleep.
        clock.until(clock.now_us() + 3 * BEAT_US).await;
        std::thread::sleep(std::time::Duration::from_millis(120));
        clock.until(clock.now_us() + 3 * BEAT_US).await;
        pulse.finish().await;
        let longest = stalls.lock().unwrap().iter().map(|(from, to)| to - from).max();
        assert!(longest >= Some(100_000), "{longest:?}");
    }

    #[tokio::test]
    async fn nothing_is_left_when_it_has_ended_or_was_dropped() {
        for dropped in [false, true] {
            let pulse = Pulse::start(Clock::real(), listener().1);
            let gaps = Arc::downgrade(&pulse.gaps);
            if dropped {
                drop(pulse)
            } else {
                pulse.finish().await
            }
            // Every thread, and the task, holds one. An aborted task is gone once the runtime has turned.
            tokio::task::yield_now().await;
            assert_eq!(gaps.strong_count(), 0, "dropped: {dropped}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_never_stalls() {
        let clock = Clock::simulated();
        let (stalls, tell) = listener();
        let pulse = Pulse::start(clock, tell);
        assert!(pulse._threads.is_empty() && pulse.task.is_none());
        clock.until(60_000_000).await;
        std::thread::sleep(std::time::Duration::from_millis(50));
        pulse.finish().await;
        assert_eq!(*stalls.lock().unwrap(), []);
    }
}
