//! The one door through which time enters.
//!
//! Stamps are microseconds since the drill began, on the monotonic clock. In world `sim` the clock is tokio's
//! paused one, so a ten-minute drill takes as long as its events take to process; in the others, schedules run on
//! threads of their own (`clock_nanosleep` with absolute deadlines), since the runtime's timers are a millisecond
//! coarse and stand still while the runtime is busy.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

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

    /// Waits until a stamp; to the millisecond.
    pub async fn until(&self, at_us: u64) {
        sleep_until(self.base + Duration::from_micros(at_us)).await;
    }

    /// A schedule with a tick every `period`, the first one now.
    pub fn metronome(&self, period: Duration) -> Metronome {
        let start_us = self.now_us();
        let ticks = if self.virtual_time { None } else { Some(spawn_ticker(period)) };
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
    ticks: Option<mpsc::UnboundedReceiver<()>>,
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
            Some(ticks) => ticks.recv().await.expect("the ticker ends only after this receiver is dropped"),
            None => self.clock.until(due_us).await,
        }
        self.n += 1;
        Tick { n: self.n - 1, due_us }
    }
}

/// A thread that sends one message a period until nobody listens any more.
fn spawn_ticker(period: Duration) -> mpsc::UnboundedReceiver<()> {
    use rustix::thread::{ClockId, clock_nanosleep_absolute};
    let (send, receive) = mpsc::unbounded_channel();
    let start = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let ticker = move || {
        for n in 0u32.. {
            let at = Duration::new(start.tv_sec.cast_unsigned(), u32::try_from(start.tv_nsec).unwrap_or(0))
                + Duration::from_nanos(u64::try_from(period.as_nanos() * u128::from(n)).unwrap_or(u64::MAX));
            let at = rustix::thread::Timespec {
                tv_sec: at.as_secs().cast_signed(),
                tv_nsec: at.subsec_nanos().into(),
            };
            while clock_nanosleep_absolute(ClockId::Monotonic, &at).is_err() {}
            if send.send(()).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("gameday-ticker".into()).spawn(ticker).expect("a thread can be started");
    receive
}
