//! The one door through which time enters.
//!
//! Stamps are microseconds since the drill began, on the monotonic clock. In world `sim` the clock is tokio's
//! paused one, so a ten-minute drill takes as long as its events take to process; in the others, schedules run on
//! urgent threads of their own (sleeping to absolute deadlines), since the runtime's timers are a millisecond coarse
//! and stand still while the runtime is busy. Such a thread ends with its schedule, however long its period is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::urgency;

/// A clock that starts at zero when the drill begins.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Instant,
    virtual_time: bool,
}

impl Clock {
    /// Starts now, on the machine's monotonic clock.
    pub fn real() -> Self {
        Clock { base: now(), virtual_time: false }
    }

    /// Starts now, on the runtime's paused clock.
    pub fn simulated() -> Self {
        Clock { base: now(), virtual_time: true }
    }

    /// Whether it is the machine's.
    pub fn is_real(&self) -> bool {
        !self.virtual_time
    }

    /// Microseconds since the drill began.
    pub fn now_us(&self) -> u64 {
        u64::try_from(now().duration_since(self.base).as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether time passes only when everything waits: such a clock never stands still against anybody's will.
    pub fn is_simulated(&self) -> bool {
        self.virtual_time
    }

    /// Waits until a stamp; to the millisecond.
    pub async fn until(&self, at_us: u64) {
        sleep_until(self.moment(at_us)).await;
    }

    /// The moment of a stamp, for threads that sleep to it.
    pub(crate) fn moment(&self, at_us: u64) -> Instant {
        self.base + Duration::from_micros(at_us)
    }

    /// A schedule with a tick every `period`, the first one now.
    pub fn metronome(&self, period: Duration) -> Metronome {
        let start_us = self.now_us();
        let ticks = if self.virtual_time { None } else { Some(Ticker::start(period)) };
        Metronome { clock: *self, start_us, period, n: 0, ticks }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the door")]
fn now() -> Instant {
    Instant::now()
}

/// A schedule of stamps that never waits for anybody.
#[derive(Debug)]
pub struct Metronome {
    clock: Clock,
    start_us: u64,
    period: Duration,
    n: u64,
    ticks: Option<Ticker>,
}

/// One tick of a schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tick {
    /// 0, 1, 2, ...
    pub n: u64,
    /// When the schedule wanted it.
    pub due_us: u64,
}

impl Metronome {
    /// The next tick, at its time, or at once if its time has passed. Ticks are never skipped.
    /// Cancellation-safe.
    pub async fn tick(&mut self) -> Tick {
        let offset = self.period.as_nanos() * u128::from(self.n) / 1000;
        let due_us = self.start_us + u64::try_from(offset).unwrap_or(u64::MAX);
        match &mut self.ticks {
            Some(ticker) => ticker.ticks.recv().await.expect("the ticker ends only when it is dropped"),
            None => self.clock.until(due_us).await,
        }
        self.n += 1;
        Tick { n: self.n - 1, due_us }
    }
}

/// A thread that sends one message a period.
#[derive(Debug)]
struct Ticker {
    ticks: mpsc::UnboundedReceiver<()>,
    _sleeper: Sleeper,
}

impl Ticker {
    fn start(period: Duration) -> Ticker {
        let (send, ticks) = mpsc::unbounded_channel();
        let start = now();
        let sleeper = Sleeper::start("gameday-ticker", move |sleeper| {
            for n in 0u32.. {
                let offset = u64::try_from(period.as_nanos() * u128::from(n)).unwrap_or(u64::MAX);
                if !sleeper.until(start + Duration::from_nanos(offset)) || send.send(()).is_err() {
                    return;
                }
            }
        });
        Ticker { ticks, _sleeper: sleeper }
    }
}

/// An urgent thread that sleeps nearly always. Dropping it wakes it and waits for its end, which comes at once.
#[derive(Debug)]
pub(crate) struct Sleeper {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The thread's own side.
#[derive(Debug)]
pub(crate) struct Sleep {
    over: Arc<AtomicBool>,
}

impl Sleeper {
    /// Starts one; `work` must return soon after a sleep has told it that all is over.
    pub(crate) fn start(name: &str, work: impl FnOnce(Sleep) + Send + 'static) -> Sleeper {
        let over = Arc::new(AtomicBool::new(false));
        let sleep = Sleep { over: over.clone() };
        let run = move || {
            urgency::raise();
            work(sleep);
        };
        let thread = thread::Builder::new().name(name.into()).spawn(run).expect("a thread can be started");
        Sleeper { over, thread: Some(thread) }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Sleep {
    /// Sleeps until then; `false` as soon as all is over.
    pub(crate) fn until(&self, at: Instant) -> bool {
        loop {
            let left = at.saturating_duration_since(now());
            if self.over.load(Ordering::Acquire) {
                return false;
            }
            if left.is_zero() {
                return true;
            }
            thread::park_timeout(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ticks_come_at_their_time_and_none_is_skipped() {
        let clock = Clock::real();
        let mut schedule = clock.metronome(Duration::from_millis(5));
        for n in 0..20 {
            let tick = schedule.tick().await;
            assert_eq!(tick.n, n);
            assert!(clock.now_us() + 1000 >= tick.due_us, "tick {n} came too early");
        }
        // Whoever looks away for a while gets all that he missed.
        thread::sleep(Duration::from_millis(50));
        let before_us = clock.now_us();
        for n in 20..28 {
            assert_eq!(schedule.tick().await.n, n);
        }
        assert!(clock.now_us() - before_us < 40_000);
    }

    #[tokio::test]
    async fn a_schedule_with_a_long_period_ends_at_once() {
        let clock = Clock::real();
        let mut schedule = clock.metronome(Duration::from_secs(3600));
        schedule.tick().await;
        let over = schedule.ticks.as_ref().map(|t| Arc::downgrade(&t._sleeper.over)).unwrap();
        drop(schedule);
        assert_eq!(over.strong_count(), 0, "the thread has ended, and let go of what it held");
    }
}
