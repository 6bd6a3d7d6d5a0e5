//! Clocks of a build: wall time, processor time of this process and of everybody else, peak memory. Linux only.
//!
//! `/proc/stat` counts in ticks of 10 ms, so foreign time of a build under a second is coarse.

use std::{fs, time::Instant};

use rustix::param::clock_ticks_per_second;

/// What passed between two moments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) foreign_seconds: f64,
    pub(super) stolen_seconds: f64,
    pub(super) peak_bytes: u64,
    pub(super) before_bytes: u64,
}

/// A clock that runs.
#[derive(Debug)]
pub(super) struct Clock {
    before_bytes: u64,
    /// Ticks of all processors: at work, stolen by the hypervisor.
    machine: (u64, u64),
    own: u64,
    wall: Instant,
}

impl Clock {
    /// Starts; from here on the peak of memory is a new one.
    pub(super) fn start() -> Clock {
        let before_bytes = memory("VmRSS");
        // Where the system does not allow it, the peak is that of the whole process: larger, never smaller.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Clock { before_bytes, machine: machine(), own: own(), wall: Instant::now() }
    }

    /// What passed since.
    pub(super) fn stop(&self) -> Passed {
        let seconds = self.wall.elapsed().as_secs_f64();
        let per_second = clock_ticks_per_second().max(1) as f64;
        let (busy, stolen) = machine();
        let ticks = |now: u64, then: u64| now.saturating_sub(then) as f64 / per_second;
        let cpu_seconds = ticks(own(), self.own);
        let stolen_seconds = ticks(stolen, self.machine.1);
        let foreign = ticks(busy, self.machine.0) - cpu_seconds - stolen_seconds;
        Passed {
            seconds,
            cpu_seconds,
            foreign_seconds: foreign.max(0.0),
            stolen_seconds,
            peak_bytes: memory("VmHWM"),
            before_bytes: self.before_bytes,
        }
    }
}

/// A figure of this process's `/proc/self/status`, in bytes.
fn memory(figure: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    figure_of(&text, figure)
}

/// A figure of some `/proc/.../status`, in bytes; 0 where it has none.
pub(super) fn figure_of(status: &str, figure: &str) -> u64 {
    let line = status.lines().find_map(|l| l.strip_prefix(figure)?.strip_prefix(':'));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

fn machine() -> (u64, u64) {
    busy_and_stolen(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

/// User, nice, system, idle, iowait, irq, softirq, steal; guest time is in user time already.
fn busy_and_stolen(stat: &str) -> (u64, u64) {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).map(|t| t.parse().unwrap_or(0)).collect();
    let at = |i: usize| ticks.get(i).copied().unwrap_or(0);
    let all = ticks.iter().fold(0u64, |sum, t| sum.saturating_add(*t));
    (all.saturating_sub(at(3)).saturating_sub(at(4)), at(7))
}

/// Of this process, all its threads, and the children that it has waited for.
fn own() -> u64 {
    own_ticks(&fs::read_to_string("/proc/self/stat").unwrap_or_default())
}

/// The fields after the name, which may hold spaces and parentheses itself.
fn own_ticks(stat: &str) -> u64 {
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // utime, stime, cutime, cstime are fields 14 to 17; the first after the name is the third.
    after.split_whitespace().skip(11).take(4).filter_map(|t| t.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_files_are_read_right() {
        let stat = "cpu  100 10 50 1000 30 5 6 7 40 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_and_stolen(stat), (100 + 10 + 50 + 5 + 6 + 7, 7));
        let own = "42 (a) name)) S 1 2 3 4 5 6 7 8 9 10 400 30 20 1 20 0 9 0";
        assert_eq!(own_ticks(own), 451);
        assert_eq!(figure_of("Name: x\nVmHWM:\t  12 kB\nVmRSS:\t 7 kB\n", "VmRSS"), 7 << 10);
        for garbage in ["", "cpu", "cpu a b c", ")", "VmHWM: x"] {
            assert_eq!((busy_and_stolen(garbage), own_ticks(garbage)), ((0, 0), 0));
            assert_eq!(figure_of(garbage, "VmHWM"), 0);
        }
    }

    #[test]
    fn own_work_is_own_and_memory_has_a_peak() {
        let clock = Clock::start();
        let mut sum = 0u64;
        while clock.wall.elapsed().as_millis() < 200 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let passed = clock.stop();
        drop(block);
        assert!(passed.cpu_seconds >= 0.05, "{passed:?}");
        assert!(passed.peak_bytes >= passed.before_bytes + (60 << 20), "{passed:?}");
    }
}
