//! The client's side: one connection, kept while it is good, opened again by the next call when it is not.
//!
//! Every call ends within its limit. Connecting is a task of its own, shared by all calls that wait for it: a call
//! that gives up does not undo the progress of the others.

use super::link::{Link, LinkError};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use harness::shortage;
use serde::{Serialize, de::DeserializeOwned};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// A connection nobody used for so long is not trusted any more.
const IDLE_MICROS: u64 = 60_000_000;
/// A connection attempt that takes longer is begun anew.
const CONNECT: Duration = Duration::from_secs(2);

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The request was never sent: definitely not done.
    NotSent(String),
    /// Nobody knows whether it was done.
    Indefinite(String),
}

type Attempt<A> = Shared<BoxFuture<'static, Result<Arc<Link<A>>, Unanswered>>>;

struct Slot<A> {
    link: Option<Arc<Link<A>>>,
    attempt: Option<Attempt<A>>,
}

/// A handle to a node that answers with `A`. Clones share the connection.
pub(crate) struct Caller<A> {
    addr: SocketAddr,
    limit: Duration,
    slot: Arc<Mutex<Slot<A>>>,
    /// Calls abandoned since the node was last heard.
    silence: Arc<AtomicU64>,
}

impl<A> Clone for Caller<A> {
    fn clone(&self) -> Self {
        Self { addr: self.addr, limit: self.limit, slot: self.slot.clone(), silence: self.silence.clone() }
    }
}

impl<A> std::fmt::Debug for Caller<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("addr", &self.addr).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<A: DeserializeOwned + Send + 'static> Caller<A> {
    /// A client of the node at `addr`, each of whose calls ends within `limit`. Connects with the first call.
    pub(crate) fn new(addr: SocketAddr, limit: Duration) -> Self {
        let slot = Arc::new(Mutex::new(Slot { link: None, attempt: None }));
        Self { addr, limit, slot, silence: Arc::default() }
    }

    /// The same connection with another limit.
    pub(crate) fn within(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    fn slot(&self) -> MutexGuard<'_, Slot<A>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn call(&self, request: impl Serialize) -> Result<A, Unanswered> {
        let mut used = None;
        match timeout(self.limit, self.exchange(request, &mut used)).await {
            Ok(result) => result,
            Err(_) => {
                if let Some((link, began)) = used {
                    self.give_up_silent(&link, began);
                }
                Err(Unanswered::Indefinite(format!("none within {:?}", self.limit)))
            }
        }
    }

    async fn exchange(
        &self,
        request: impl Serialize,
        used: &mut Option<(Arc<Link<A>>, u64)>,
    ) -> Result<A, Unanswered> {
        let link = self.link().await?;
        let (link, _) = used.insert((link.clone(), link.now()));
        link.call(request).await.map_err(|error| match error {
            LinkError::NotSent(why) => Unanswered::NotSent(why),
            LinkError::Broken => Unanswered::Indefinite("the connection broke".into()),
        })
    }

    /// A link that said nothing during a whole call may be dead: the next call opens another. Calls that still
    /// wait on this one keep it.
    fn give_up_silent(&self, link: &Arc<Link<A>>, began: u64) {
        if link.heard() <= began {
            self.slot().link.take_if(|current| Arc::ptr_eq(current, link));
        }
    }

    async fn link(&self) -> Result<Arc<Link<A>>, Unanswered> {
        let attempt = {
            let mut slot = self.slot();
            let usable = |link: &&Arc<Link<A>>| {
                // While calls wait on it (or hold it), silence is judged by them.
                let idle =
                    Arc::strong_count(link) == 1 && link.now().saturating_sub(link.heard()) > IDLE_MICROS;
                !link.is_dead() && !link.is_spent() && !idle
            };
            if let Some(link) = slot.link.as_ref().filter(usable) {
                return Ok(link.clone());
            }
            slot.link = None;
            slot.attempt.get_or_insert_with(|| self.attempt()).clone()
        };
        attempt.await
    }

    /// Connects in a task; whoever starts it does not have to wait for its end.
    fn attempt(&self) -> Attempt<A> {
        let (addr, slot, silence) = (self.addr, self.slot.clone(), self.silence.clone());
        let task = tokio::spawn(async move {
            let result = match timeout(CONNECT, Link::connect(addr, silence)).await {
                Ok(Ok(link)) => Ok(Arc::new(link)),
                Ok(Err(error)) => {
                    shortage::notice(&error);
                    Err(Unanswered::NotSent(format!("{addr}: {error}")))
                }
                Err(_) => Err(Unanswered::NotSent(format!("{addr}: no connection within {CONNECT:?}"))),
            };
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            slot.link = result.as_ref().ok().cloned();
            slot.attempt = None;
            result
        });
        let slot = self.slot.clone();
        async move {
            task.await.unwrap_or_else(|error| {
                slot.lock().unwrap_or_else(PoisonError::into_inner).attempt = None;
                Err(Unanswered::NotSent(format!("connecting was interrupted: {error}")))
            })
        }
        .boxed()
        .shared()
    }
}
