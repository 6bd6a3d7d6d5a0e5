//! How urgently the kernel runs a thread.
//!
//! A probe is late when the thread that sends it waits for a processor behind compilers, or behind our own stand-ins.
//! So threads that keep time ask for the best that this user is allowed: a real-time class, else a better nice value,
//! else a short slice, which anybody may have. Such threads sleep nearly always and compute nothing. Whatever they
//! start, a thread or a process, is run like any other (`SCHED_RESET_ON_FORK`).

use std::fmt;

/// What a thread was granted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Urgency {
    /// As any other thread.
    Usual,
    /// Before most other threads.
    Nice,
    /// Before every usual thread.
    RealTime,
}

impl fmt::Display for Urgency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Urgency::Usual => f.write_str("as any other thread"),
            Urgency::Nice => write!(f, "nice {NICE}"),
            Urgency::RealTime => f.write_str("real-time (SCHED_RR)"),
        }
    }
}

/// The least real-time priority: above every usual thread, and below whatever else is real-time on this machine.
const PRIORITY: u32 = 1;
/// Where there is no real-time class for us.
const NICE: i32 = -10;
/// The shortest slice that the kernel grants: who computes less is run sooner. Older kernels have no such thing.
const SLICE_NS: u64 = 100_000;

/// Makes the calling thread as urgent as it may be, and says how urgent that is. Never fails: what is not allowed is
/// left as it is.
pub fn raise() -> Urgency {
    let now = own_nice();
    if set(libc::SCHED_RR, 0, PRIORITY) {
        Urgency::RealTime
    } else if now > NICE && set(libc::SCHED_OTHER, NICE, 0) {
        Urgency::Nice
    } else {
        set(libc::SCHED_OTHER, now, 0);
        own()
    }
}

/// How urgent a thread of this program can become: one is started, raised and ended.
pub fn allowed() -> Urgency {
    std::thread::spawn(raise).join().unwrap_or(Urgency::Usual)
}

/// How urgent the calling thread is.
pub fn own() -> Urgency {
    match own_stat() {
        Some((_, policy)) if policy == libc::SCHED_RR || policy == libc::SCHED_FIFO => Urgency::RealTime,
        Some((nice, _)) if nice <= NICE => Urgency::Nice,
        _ => Urgency::Usual,
    }
}

fn own_nice() -> i32 {
    own_stat().map_or(0, |(nice, _)| nice)
}

/// Nice value and policy, as the kernel tells them; the thread's name in parentheses may hold anything.
fn own_stat() -> Option<(i32, i32)> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    // The state is the third field of the line and the first after the name.
    let field = |n: usize| fields.get(n - 3)?.trim().parse().ok();
    Some((field(19)?, field(41)?))
}

#[expect(unsafe_code, reason = "a call of the system that neither the standard library nor rustix has")]
fn set(policy: i32, nice: i32, priority: u32) -> bool {
    let attr = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: policy.unsigned_abs(),
        sched_flags: libc::SCHED_FLAG_RESET_ON_FORK as u64,
        sched_nice: nice,
        sched_priority: priority,
        sched_runtime: if policy == libc::SCHED_OTHER { SLICE_NS } else { 0 },
        sched_deadline: 0,
        sched_period: 0,
    };
    const THIS_THREAD: i32 = 0;
    const NO_FLAGS: u32 = 0;
    // SAFETY: the kernel reads `size` bytes of `attr`, which outlives the call, and writes nothing but its size.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, THIS_THREAD, &raw const attr, NO_FLAGS) };
    done == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a thread of its own: tests share theirs.
    fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(work).join().unwrap()
    }

    #[test]
    fn a_raised_thread_is_what_it_was_told_to_be() {
        let (said, is) = apart(|| (raise(), own()));
        assert_eq!(said, is);
        assert_eq!(said, allowed());
        if rustix::process::geteuid().is_root() {
            assert!(said > Urgency::Usual, "root may at least be nice: {said}");
        }
    }

    #[test]
    fn what_a_raised_thread_starts_is_as_any_other() {
        let (thread, process) = apart(|| {
            raise();
            let cat = std::process::Command::new("cat").arg("/proc/self/stat").output().unwrap();
            (apart(own), String::from_utf8(cat.stdout).unwrap())
        });
        assert_eq!(thread, Urgency::Usual);
        let fields: Vec<&str> = process.rsplit_once(") ").unwrap().1.split(' ').collect();
        let (nice, policy): (i32, i32) = (fields[16].parse().unwrap(), fields[38].parse().unwrap());
        assert_eq!(policy, libc::SCHED_OTHER);
        assert!(nice >= 0, "{nice}");
    }
}
