//! The drill loop.
use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    clock::Clock,
    journal::{Began, Ending, Journal},
    plan::Plan,
    ports::Host,
};

/// Asks a drill to stop early.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Option<String>>);

/// The other end of a [`Stop`].
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<String>>);

/// A stop that has not been asked for yet. Dropping the stopper asks for nothing.
pub fn stop() -> (Stopper, Stop) {
    let (send, receive) = watch::channel(None);
    (Stopper(send), Stop(receive))
}

impl Stopper {
    /// Ends the storm, undoes everything and reports; the verdict is then `unknown` at best.
    pub fn stop(&self, why: &str) {
        self.0.send_replace(Some(why.into()));
    }
}

impl Stop {
    /// Waits until somebody asks, and says why.
    pub async fn asked(&self) -> String {
        let mut receiver = self.0.clone();
        match receiver.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}

/// Plays a plan against a host, and writes down what happened.
///
/// # Errors
/// Only if the journal cannot be written.
pub async fn drill(
    plan: &Plan,
    began: Began,
    host: Arc<dyn Host>,
    journal: &Journal,
    clock: Clock,
    stop: Stop,
) -> io::Result<Ending> {
    let _ = (plan, began, host, journal, clock, stop);
    Ok(Ending::Environment)
}
