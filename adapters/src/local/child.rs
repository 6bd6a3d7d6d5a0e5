//! A child process held by a descriptor, not by a number.
//!
//! A pid is free for reuse once the child was waited for. So the child is waited for in one place only, under the
//! lock that every signal takes: as long as the lock says "not yet", the pid and the process group are the child's.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use harness::shortage;
use rustix::io::retry_on_intr;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use tokio::sync::watch;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Nobody knows: the kernel would not tell.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
            Exit::Unknown => f.write_str("an unknown end"),
        }
    }
}

/// A running or ended child.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    reaped: Arc<Mutex<bool>>,
    exit: watch::Receiver<Option<Exit>>,
}

impl Child {
    /// Starts the command and a thread that waits for its end.
    pub(super) fn spawn(command: &mut Command) -> io::Result<(Self, std::process::Child)> {
        let child = command.spawn().inspect_err(|e| _ = shortage::notice_start(e))?;
        let pid = Pid::from_child(&child);
        let reaped = Arc::new(Mutex::new(false));
        let (tell, exit) = watch::channel(None);
        let watched = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from).and_then(|fd| {
            let reaped = Arc::clone(&reaped);
            let name = format!("wait-{}", child.id());
            std::thread::Builder::new().name(name).spawn(move || wait(&fd, pid, &reaped, &tell))
        });
        if let Err(e) = watched {
            shortage::notice_start(&e);
            let mut child = child;
            // Nothing may be left running that is not watched.
            let _ = child.kill();
            let _ = child.wait();
            return Err(e);
        }
        Ok((Self { pid, reaped, exit }, child))
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }

    /// Signals the whole process group of the child; false if the child has ended.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<bool> {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if *reaped {
            return Ok(false);
        }
        kill_process_group(self.pid, signal)?;
        Ok(true)
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Resolves when the child has ended.
    pub(super) fn exited(&self) -> impl Future<Output = Exit> + Send + 'static {
        let mut exit = self.exit.clone();
        async move {
            match exit.wait_for(Option::is_some).await {
                Ok(exit) => exit.unwrap_or(Exit::Unknown),
                // The waiting thread never ends without a word.
                Err(_) => Exit::Unknown,
            }
        }
    }
}

/// Waits, in a thread of its own, until the child has ended, and only then takes the lock.
fn wait(fd: &OwnedFd, pid: Pid, reaped: &Mutex<bool>, tell: &watch::Sender<Option<Exit>>) {
    let ended =
        || retry_on_intr(|| waitid(WaitId::PidFd(fd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT));
    while matches!(ended(), Ok(None)) {}
    let status = {
        let mut reaped = reaped.lock().unwrap_or_else(PoisonError::into_inner);
        // The dead leader is not reaped yet, so the group is still ours: take its other members along.
        let _ = kill_process_group(pid, Signal::KILL);
        *reaped = true;
        waitid(WaitId::PidFd(fd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    };
    let exit = match status {
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        },
        Ok(None) | Err(_) => Exit::Unknown,
    };
    tell.send_replace(Some(exit));
}
