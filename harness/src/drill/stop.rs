//! Asking a drill to stop early.

use tokio::sync::watch;

/// What a drill listens to.
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
        let asked = receiver.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match asked {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }
}
