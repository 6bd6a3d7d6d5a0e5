//! The only way to the terminal: results to stdout, everything else to stderr.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use crate::exit::Failure;

/// Writes a result. A reader that went away (`| head`) is no failure; a full disk is one.
pub(crate) fn out(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Failure::environment(
            format!("stdout cannot be written: {e}"),
            "free the disk, or redirect it elsewhere",
        )),
        _ => Ok(()),
    }
}

/// Tells the person at the terminal something. Nobody may be there.
pub(crate) fn err(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// What to type to start this program again: under `cargo run` it is not on the PATH.
pub(crate) fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "gameday".into())
}

/// Whether stderr is a terminal that wants colour.
pub(crate) fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Diagnostics of gameday itself, on request: `GAMEDAY_LOG=debug`.
pub(crate) fn trace() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("GAMEDAY_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colour()).init();
    }
}
