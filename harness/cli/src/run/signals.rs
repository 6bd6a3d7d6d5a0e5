//! Ctrl-C, and the other signals that ask a program to end. Once: undo, report, end. Twice: end at once and leave the undoing to the watchdog.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    thread,
};

use harness::drill::Stopper;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    exit::{Exit, Failure},
    say,
};

/// What asks a drill to end, by what name, and whether whoever started this program may have it ignored.
const KINDS: [(SignalKind, &str, bool); 4] = [
    (SignalKind::interrupt(), "Ctrl-C", false),
    (SignalKind::terminate(), "SIGTERM", false),
    (SignalKind::hangup(), "SIGHUP", true),
    (SignalKind::quit(), "SIGQUIT", true),
];

/// Whether this process was started so that it never hears a signal.
fn ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let number = u32::try_from(kind.as_raw_value()).unwrap_or(0);
    number.checked_sub(1).and_then(|bit| mask.checked_shr(bit)).is_some_and(|bits| bits & 1 == 1)
}

/// Listens until the program ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    asked: Option<&'static str>,
    /// The drill that is being played, and the folder of its run.
    playing: Option<(Stopper, PathBuf)>,
}

impl Signals {
    /// Listens on a thread of its own: it must be heard whatever the drill's runtime is doing.
    pub(crate) fn listen() -> Result<Signals, Failure> {
        let failed = |e: std::io::Error| {
            Failure::environment(format!("signals cannot be listened to: {e}"), "see `gameday doctor`")
        };
        let signals = Signals::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let mut heeded = Vec::new();
        for (kind, why, may_be_ignored) in KINDS {
            // Under `nohup`, and for jobs in the background of a script, the terminal's end is no reason.
            if may_be_ignored && ignored(kind) {
                continue;
            }
            let _inside = runtime.enter();
            heeded.push((why, signal(kind).map_err(failed)?));
        }
        let heard = signals.clone();
        let listen = move || runtime.block_on(heard.hear(heeded));
        thread::Builder::new().name("gameday-signals".into()).spawn(listen).map_err(failed)?;
        Ok(signals)
    }

    /// From now on, the first signal stops this drill.
    pub(crate) fn arm(&self, stopper: Stopper, folder: &Path) {
        let mut state = self.state();
        // The signal may have come a moment before.
        if let Some(why) = state.asked {
            stopper.stop(why);
        }
        state.playing = Some((stopper, folder.to_owned()));
    }

    /// The drill has ended: the next signal has nobody to tell.
    pub(crate) fn disarm(&self) {
        self.state().playing = None;
    }

    /// Whether anybody has asked to stop.
    pub(crate) fn asked(&self) -> bool {
        self.state().asked.is_some()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn hear(&self, mut heeded: Vec<(&'static str, Signal)>) {
        loop {
            let why = std::future::poll_fn(|cx| {
                let came = heeded
                    .iter_mut()
                    .find_map(|(why, signal)| signal.poll_recv(cx).is_ready().then_some(*why));
                came.map_or(Poll::Pending, Poll::Ready)
            });
            self.take(why.await);
        }
    }

    fn take(&self, why: &'static str) {
        let mut state = self.state();
        if state.asked.is_some() {
            let left = state.playing.as_ref().map_or(String::new(), |(_, folder)| {
                let (program, folder) = (say::program(), folder.display());
                format!(
                    " The watchdog undoes what is left of the run;\n`{program} heal {folder}` makes sure of it."
                )
            });
            say::clear();
            say::err(&format!("\n{why} again: ending at once.{left}\n"));
            std::process::exit(Exit::Unknown as i32);
        }
        state.asked = Some(why);
        let doing = match &state.playing {
            Some((stopper, _)) => {
                stopper.stop(why);
                "undoing what was broken, then reporting"
            }
            None => "ending after what is being done",
        };
        say::err(&format!("\n{why}: {doing}. Once more ends at once.\n"));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As if somebody had pressed it.
    pub(in crate::run) fn ctrl_c(signals: &Signals) {
        signals.take("Ctrl-C");
    }
}
