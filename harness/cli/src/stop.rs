//! Ctrl-C and SIGTERM: once ends what is being built and removes its files, twice ends at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    exit::{Exit, Failure},
    say,
};

/// Whether anybody has asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens until the program ends, on a thread of its own.
    pub(crate) fn listen() -> Result<Stop, Failure> {
        let failed = |e: io::Error| {
            Failure::environment(format!("signals cannot be listened to: {e}"), "see `gameday doctor`")
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt()).map_err(failed)?,
                signal(SignalKind::terminate()).map_err(failed)?,
            )
        };
        let stop = Stop::default();
        let asked = stop.clone();
        let listen = move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if asked.0.swap(true, Ordering::Relaxed) {
                        say::err("\nending at once; the next run removes what this one leaves\n");
                        std::process::exit(Exit::Unknown as i32);
                    }
                    say::err("\nending what is being built. Once more ends at once.\n");
                }
            });
        };
        thread::Builder::new().name("gameday-signals".into()).spawn(listen).map_err(failed)?;
        Ok(stop)
    }

    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
