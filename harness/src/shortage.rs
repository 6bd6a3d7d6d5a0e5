//! What this process itself ran out of: descriptors, ports, memory, disk.
//!
//! None of it says anything about the stack under test, so none of it may be charged to it. Whoever gets an error of the
//! operating system for a call of our own shows it to [`notice`] before it becomes a word about a store. A drill watches
//! from its first event on, and breaks off as one whose environment failed. What cannot be seen in an error (a library
//! hid it) is found by trying: before a bad outcome is written down, the drill tries to have a descriptor and a port.
//!
//! A few descriptors are kept back from the start, for undo and read-back: see `Reserve`.

use std::{
    error::Error,
    fs::File,
    io,
    net::TcpListener,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::io::Errno;
use tokio::sync::watch;

use crate::ports::EnvironmentError;

/// Descriptors that are kept back: an undo starts a process and asks it, a read-back connects, a sweep reads `/proc`.
pub const RESERVE: usize = 64;

/// How often something ran out since this process began, and what it was the last time.
#[derive(Clone, Debug, Default)]
struct Seen {
    times: u64,
    last: Option<EnvironmentError>,
}

/// Of the whole process, since it is the process that runs out.
static SEEN: LazyLock<watch::Sender<Seen>> = LazyLock::new(|| watch::Sender::new(Seen::default()));

/// What there is too little of, if that is what an error of one of our own calls says, and what to do about it.
fn lacking(error: &io::Error) -> Option<(&'static str, &'static str)> {
    let files = "raise the limit (`ulimit -n`, LimitNOFILE of a service), or load and probe less";
    Some(match Errno::from_io_error(error)? {
        Errno::MFILE => ("this process may open no more files", files),
        Errno::NFILE => ("this machine may open no more files", "raise fs.file-max, or end other programs"),
        Errno::ADDRNOTAVAIL => (
            "no port of this machine is free",
            "widen net.ipv4.ip_local_port_range, end other programs, or load and probe less",
        ),
        Errno::NOMEM | Errno::NOBUFS => (
            "no memory is free",
            "end other programs, or use a smaller drill (--set data.vectors.count=2000)",
        ),
        Errno::NOSPC | Errno::DQUOT => {
            ("no disk space is left", "free the disk, or choose another folder with --out")
        }
        _ => return None,
    })
}

/// Takes note if an error of one of our own calls says that we ran out of something; true if it does.
pub fn notice(error: &io::Error) -> bool {
    let Some((what, remedy)) = lacking(error) else { return false };
    tell(format!("gameday itself ran out: {what} ({error})"), remedy);
    true
}

/// The same for an error that a library made of one: its causes are looked through.
pub fn notice_in(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.downcast_ref::<io::Error>().is_some_and(notice) {
            return true;
        }
        // An error of the operating system may carry another one inside.
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map(|e| e as &(dyn Error + 'static)).or_else(|| cause.source());
    }
    false
}

/// The same for a process or a thread that could not be started: there may be too many of them.
pub fn notice_start(error: &io::Error) -> bool {
    if Errno::from_io_error(error) == Some(Errno::AGAIN) {
        let remedy = "raise the limit (`ulimit -u`, pids.max of the group), or end other programs";
        tell(format!("gameday itself ran out: no process or thread can be started ({error})"), remedy);
        return true;
    }
    notice(error)
}

fn tell(what: String, remedy: &str) {
    let error = EnvironmentError { what, remedy: remedy.into() };
    SEEN.send_modify(|seen| {
        seen.times += 1;
        seen.last = Some(error);
    });
}

/// Tries to have what every question to a store needs: a descriptor and a port.
fn try_all() {
    if let Err(error) = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)) {
        // The port was not named, so one that is in use means that all are.
        let error = match error.kind() {
            io::ErrorKind::AddrInUse => Errno::ADDRNOTAVAIL.into(),
            _ => error,
        };
        notice(&error);
    }
}

/// What one drill knows of our own shortages, and what it keeps back for the time after one. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// `None` in a simulation, which needs nothing of the machine.
    seen: Option<watch::Receiver<Seen>>,
    /// Shortages of before are of no concern.
    before: u64,
    reserve: Arc<Mutex<Option<Reserve>>>,
    /// Debts are paid, whatever is lacking.
    closing: Arc<AtomicBool>,
}

impl Own {
    /// From now on.
    pub(crate) fn watch(real: bool) -> Own {
        let seen = real.then(|| SEEN.subscribe());
        let before = seen.as_ref().map_or(0, |seen| seen.borrow().times);
        let reserve = real.then(Reserve::take).flatten();
        Own { seen, before, reserve: Arc::new(Mutex::new(reserve)), closing: Arc::default() }
    }

    /// What this process ran out of since.
    pub(crate) fn lacking(&self) -> Option<EnvironmentError> {
        let seen = self.seen.as_ref()?.borrow();
        seen.last.clone().filter(|_| seen.times > self.before)
    }

    /// Waits until this process runs out of something.
    pub(crate) async fn ran_out(&self) -> EnvironmentError {
        let Some(mut seen) = self.seen.clone() else { return std::future::pending().await };
        let found = seen.wait_for(|seen| seen.times > self.before).await.ok().and_then(|s| s.last.clone());
        match found {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// Lets a bad outcome be written down if this process lacks nothing. Otherwise it never returns: the drill, which
    /// waits in [`Own::ran_out`], ends the one who asks.
    pub(crate) async fn vouch(&self) {
        if self.seen.is_none() || self.closing.load(Ordering::Acquire) {
            return;
        }
        try_all();
        if self.lacking().is_some() {
            std::future::pending().await
        }
    }

    /// The storm is over: what was kept back for the time after it is let go.
    pub(crate) fn release(&self) {
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Pays debts: whatever is lacking, what they come to is written down.
    pub(crate) async fn closing<T>(&self, debts: impl Future<Output = T>) -> T {
        self.release();
        self.closing.store(true, Ordering::Release);
        let paid = debts.await;
        self.closing.store(false, Ordering::Release);
        paid
    }
}

/// Descriptors that are held open to be let go when they are needed.
#[derive(Debug)]
struct Reserve(#[expect(dead_code, reason = "held, never read")] Vec<File>);

impl Reserve {
    fn take() -> Option<Reserve> {
        let open = || File::open("/dev/null").inspect_err(|e| _ = notice(e));
        // Fewer are better than none; that there were not enough is noticed, and ends the drill.
        Some(Reserve((0..RESERVE).map_while(|_| open().ok()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(errno: Errno) -> io::Error {
        errno.into()
    }

    #[test]
    fn only_what_we_lack_is_a_shortage() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOMEM, Errno::NOSPC] {
            let (what, remedy) = lacking(&os(errno)).unwrap();
            assert!(!what.is_empty() && !remedy.is_empty(), "{errno}");
        }
        for errno in [Errno::CONNREFUSED, Errno::CONNRESET, Errno::TIMEDOUT, Errno::PIPE, Errno::IO] {
            assert!(lacking(&os(errno)).is_none(), "{errno}");
        }
        assert!(lacking(&io::Error::other("Too many open files (os error 24)")).is_none(), "words of others");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("a library's own words")]
    struct Wrapped(#[source] io::Error);

    #[tokio::test]
    async fn a_shortage_is_found_in_the_causes_and_stops_who_would_write_it_down() {
        let own = Own::watch(true);
        own.vouch().await;
        assert_eq!(own.lacking(), None);
        assert!(!notice_in(&Wrapped(os(Errno::CONNREFUSED))));
        assert!(notice_in(&Wrapped(io::Error::other(Wrapped(os(Errno::MFILE))))));
        assert!(own.ran_out().await.what.contains("no more files"));
        let vouched = tokio::time::timeout(std::time::Duration::from_millis(20), own.vouch()).await;
        assert!(vouched.is_err(), "nobody vouches for a process that ran out");
        // A later drill begins anew, and debts are paid whatever is lacking.
        Own::watch(true).vouch().await;
        own.closing(own.vouch()).await;
    }
}
