//! One connection of a client: many calls at once, paired by id.
//!
//! A call that is dropped or times out takes its entry along; its answer, should it still come, finds nobody and
//! is ignored. The connection ends with its last owner.

use super::{Message, decode, encode, framing};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_util::codec::{FramedRead, FramedWrite};

/// Requests that may wait for the socket.
const OUTGOING: usize = 1024;

/// What the connection's tasks share with its calls. Not the queue of requests: the tasks must end with it.
struct Shared<A> {
    waiting: Mutex<HashMap<u64, oneshot::Sender<A>>>,
    dead: AtomicBool,
    born: Instant,
    /// Microseconds after `born` at which the last answer came.
    heard: AtomicU64,
}

impl<A> Shared<A> {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<A>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every waiting call hears of the end by its dropped sender. Under the lock, so that no call registers after.
    fn end(&self) {
        let mut waiting = self.waiting();
        self.dead.store(true, Ordering::Relaxed);
        waiting.clear();
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// An open connection to a node that answers with `A`.
pub(super) struct Link<A> {
    shared: Arc<Shared<A>>,
    outgoing: mpsc::Sender<Bytes>,
    next: AtomicU64,
    tasks: [AbortHandle; 2],
}

/// Why a call over a link has no answer.
#[derive(Debug)]
pub(super) enum LinkError {
    /// Nothing was sent.
    NotSent(String),
    /// It may have been sent.
    Broken,
}

impl<A: DeserializeOwned + Send + 'static> Link<A> {
    pub(super) async fn connect(addr: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let mut answers = FramedRead::new(read, framing());
        let mut sink = FramedWrite::new(write, framing());
        let (outgoing, mut requests) = mpsc::channel::<Bytes>(OUTGOING);
        let shared = Arc::new(Shared {
            waiting: Mutex::new(HashMap::new()),
            dead: AtomicBool::new(false),
            born: Instant::now(),
            heard: AtomicU64::new(0),
        });
        let of_writer = shared.clone();
        let writer = tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                if sink.send(request).await.is_err() {
                    break;
                }
            }
            of_writer.end();
        });
        let of_reader = shared.clone();
        let reader = tokio::spawn(async move {
            while let Some(Ok(frame)) = answers.next().await {
                let Ok(Message { id, body }) = decode::<A>(&frame) else { break };
                of_reader.heard.store(of_reader.micros(), Ordering::Relaxed);
                let waiter = of_reader.waiting().remove(&id);
                if let Some(waiter) = waiter {
                    let _ = waiter.send(body);
                }
            }
            of_reader.end();
        });
        let tasks = [writer.abort_handle(), reader.abort_handle()];
        Ok(Self { shared, outgoing, next: AtomicU64::new(1), tasks })
    }

    pub(super) fn is_dead(&self) -> bool {
        self.shared.dead.load(Ordering::Relaxed)
    }

    /// Microseconds on this link's clock.
    pub(super) fn now(&self) -> u64 {
        self.shared.micros()
    }

    /// When the last answer came, or the link was opened.
    pub(super) fn heard(&self) -> u64 {
        self.shared.heard.load(Ordering::Relaxed)
    }

    pub(super) async fn call(&self, request: impl Serialize) -> Result<A, LinkError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let bytes = encode(id, request).map_err(LinkError::NotSent)?;
        let (answer, answered) = oneshot::channel();
        let _waiting = Waiting { shared: &self.shared, id };
        {
            let mut waiting = self.shared.waiting();
            if self.is_dead() {
                return Err(LinkError::NotSent("the connection had just ended".into()));
            }
            waiting.insert(id, answer);
        }
        self.outgoing
            .send(bytes)
            .await
            .map_err(|_| LinkError::NotSent("the connection had just ended".into()))?;
        answered.await.map_err(|_| LinkError::Broken)
    }
}

impl<A> Drop for Link<A> {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Forgets a call however it ends.
struct Waiting<'a, A> {
    shared: &'a Shared<A>,
    id: u64,
}

impl<A> Drop for Waiting<'_, A> {
    fn drop(&mut self) {
        self.shared.waiting().remove(&self.id);
    }
}
