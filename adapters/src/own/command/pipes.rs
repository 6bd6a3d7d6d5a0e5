//! What a command prints, on its way to us.
//!
//! A server that a runbook started, and that prints to wherever its runbook printed, must not end with gameday: whoever
//! writes to a pipe that nobody reads is ended by the kernel. So what such commands print goes through `tee`, which reads on for
//! as long as anybody writes, whether gameday is still there or not.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::OnceLock;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;

/// Both outputs of a command; one that has ended is gone. Dropped, what still comes is read and thrown away, so that nobody
/// is blocked by it.
pub(super) struct Pipes {
    pub(super) out: Option<Receiver>,
    pub(super) err: Option<Receiver>,
}

impl Pipes {
    /// Connects the outputs of a command that is about to be started. With `keeps`, whoever still writes to them can go on when
    /// gameday has ended.
    pub(super) fn into(command: &mut Command, keeps: bool) -> io::Result<Pipes> {
        let keeps = keeps && tee_reads_on();
        let one = || -> io::Result<(PipeWriter, Receiver)> {
            let (from, to) = io::pipe()?;
            let from = if keeps { relay(from)? } else { Receiver::from_owned_fd(OwnedFd::from(from))? };
            Ok((to, from))
        };
        let ((to_out, out), (to_err, err)) = (one()?, one()?);
        command.stdout(to_out).stderr(to_err);
        Ok(Pipes { out: Some(out), err: Some(err) })
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        let left = self.out.take().into_iter().chain(self.err.take());
        for pipe in left.filter_map(|pipe| pipe.into_blocking_fd().ok()) {
            // A thread of the runtime would keep it from ending.
            std::thread::spawn(move || {
                let _ = io::copy(&mut std::fs::File::from(pipe), &mut io::sink());
            });
        }
    }
}

pub(super) async fn read(pipe: &mut Option<Receiver>, buf: &mut [u8]) -> io::Result<usize> {
    match pipe {
        Some(pipe) => pipe.read(buf).await,
        None => Ok(0),
    }
}

/// Passes on what comes; nobody's signals reach it, it bears no mark, and it ends with the last of those that write.
fn relay(from: PipeReader) -> io::Result<Receiver> {
    let (mine, to) = io::pipe()?;
    let mut tee = tee();
    tee.args(["-p", "/dev/null"]).stdin(from).stdout(to).stderr(Stdio::null()).process_group(0);
    tee.spawn()?;
    drop(tee);
    Receiver::from_owned_fd(OwnedFd::from(mine))
}

fn tee() -> Command {
    let mut tee = Command::new("tee");
    tee.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    tee
}

/// Whether there is a `tee` that goes on when nobody reads what it passes on: not every one knows `-p`.
fn tee_reads_on() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let said = tee().into_std().arg("--help").stdin(Stdio::null()).output();
        said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("-p"))
    })
}
