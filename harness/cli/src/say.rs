//! The only way to the terminal: results to stdout, everything else to stderr.

use std::{
    io::{self, ErrorKind, IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
};

use indicatif::{MultiProgress, ProgressDrawTarget};

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
    let write = || {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    };
    // Not in the middle of a table, of which it would leave lines behind.
    match table().as_ref() {
        Some(table) => table.suspend(write),
        None => write(),
    }
}

/// From now on, what is told stands above this table.
pub(crate) fn above(shown: Option<MultiProgress>) {
    *table() = shown;
}

/// Takes a table off the terminal for good: the program ends at once.
pub(crate) fn clear() {
    if let Some(table) = table().take() {
        let _ = table.clear();
        table.set_draw_target(ProgressDrawTarget::hidden());
    }
}

fn table() -> std::sync::MutexGuard<'static, Option<MultiProgress>> {
    static TABLE: Mutex<Option<MultiProgress>> = Mutex::new(None);
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
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
