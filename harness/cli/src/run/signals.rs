//! Ctrl-C and SIGTERM. Once: undo, report, end. Twice: end at once and leave the undoing to the watchdog.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use harness::drill::Stopper;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    exit::{Exit, Failure},
    say,
};

/// Listens until the program ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Signals(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    asked: Option<&'static str>,
    stopper: Option<Stopper>,
}

impl Signals {
    /// Listens on a thread of its own: it must be heard whatever the drill's runtime is doing.
    pub(super) fn listen() -> Result<Signals, Failure> {
        let failed = |e: std::io::Error| {
            Failure::environment(format!("signals cannot be listened to: {e}"), "see `gameday doctor`")
        };
        let signals = Signals::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let (interrupt, terminate) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt()).map_err(failed)?,
                signal(SignalKind::terminate()).map_err(failed)?,
            )
        };
        let heard = signals.clone();
        let listen = move || runtime.block_on(heard.hear(interrupt, terminate));
        thread::Builder::new().name("gameday-signals".into()).spawn(listen).map_err(failed)?;
        Ok(signals)
    }

    /// From now on, the first signal stops this drill.
    pub(super) fn arm(&self, stopper: Stopper) {
        let mut state = self.state();
        // The signal may have come a moment before.
        if let Some(why) = state.asked {
            stopper.stop(why);
        }
        state.stopper = Some(stopper);
    }

    /// The drill has ended: the next signal has nobody to tell.
    pub(super) fn disarm(&self) {
        self.state().stopper = None;
    }

    /// Whether anybody has asked to stop.
    pub(super) fn asked(&self) -> bool {
        self.state().asked.is_some()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn hear(&self, mut interrupt: Signal, mut terminate: Signal) {
        loop {
            let why = tokio::select! {
                _ = interrupt.recv() => "Ctrl-C",
                _ = terminate.recv() => "SIGTERM",
            };
            self.take(why);
        }
    }

    fn take(&self, why: &'static str) {
        let mut state = self.state();
        if state.asked.is_some() {
            say::err(&format!(
                "\n{why} again: ending at once. The watchdog undoes what is left of the run;\n\
                 `gameday heal runs/latest` makes sure of it.\n"
            ));
            std::process::exit(Exit::Unknown as i32);
        }
        state.asked = Some(why);
        if let Some(stopper) = &state.stopper {
            stopper.stop(why);
        }
        say::err(&format!("\n{why}: undoing what was broken, then reporting. Once more ends at once.\n"));
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
