//! When a node process has to go: the harness closed (or lost) the pipe on its standard input, or asks it to stop.
//!
//! The harness holds the writing end of every node's standard input and never writes to it. However the harness
//! dies, the kernel closes that end and the node reads the end of file.

use std::io::{self, Read};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Resolves when standard input ends or fails.
///
/// The reader is a plain detached thread: the runtime's own standard input would keep a runtime from shutting down
/// for as long as the pipe is open.
pub fn stdin_closed() -> io::Result<oneshot::Receiver<()>> {
    let (gone, rx) = oneshot::channel();
    std::thread::Builder::new().name("lifeline".to_owned()).spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buf = [0u8; 64];
        loop {
            match stdin.read(&mut buf) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // Nobody waits any more when the node is stopping for another reason.
        let _ = gone.send(());
    })?;
    Ok(rx)
}

/// Why a node was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// `SIGTERM` arrived.
    Terminated,
    /// The lifeline on standard input ended.
    LifelineCut,
}

/// Waits for `SIGTERM`, and with `lifeline` also for the end of standard input.
pub async fn stop_requested(lifeline: bool) -> io::Result<StopReason> {
    let mut term = signal(SignalKind::terminate())?;
    if !lifeline {
        term.recv().await;
        return Ok(StopReason::Terminated);
    }
    let closed = stdin_closed()?;
    tokio::select! {
        _ = term.recv() => Ok(StopReason::Terminated),
        _ = closed => Ok(StopReason::LifelineCut),
    }
}
