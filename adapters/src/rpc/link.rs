//! One connection of a client: many calls at once, paired by id.
//!
//! A call that is dropped or times out takes its entry along; its answer, should it still come, finds nobody and
//! is ignored. The connection ends with its last owner.
//!
//! What was sent cannot be called back, so a peer that is frozen or stuck collects the requests of calls that
//! nobody waits for any more, and would have to serve them all before a live one. Therefore a link that collected
//! some without an answer is spent: its client opens another, calls that still wait on it keep it, and after the
//! last of them it is reset rather than closed, so that the peer drops what it has not begun.

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
/// So many abandoned calls without an answer spend a link. One slow call does not, nor a few.
const SPENT: u64 = 16;
/// And at least this part of all that were abandoned since the last answer: while a peer is silent its kernel keeps
/// every connection until it looks, so their number must grow far slower than that of calls.
const PART: u64 = 64;

/// What the connection's tasks share with its calls. Not the queue of requests: the tasks must end with it.
struct Shared<A> {
    waiting: Mutex<HashMap<u64, oneshot::Sender<A>>>,
    dead: AtomicBool,
    born: Instant,
    /// Microseconds after `born` at which the last answer came.
    heard: AtomicU64,
    /// Calls abandoned since then.
    abandoned: AtomicU64,
    /// The same for all links of the client together.
    silence: Arc<AtomicU64>,
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

    fn hear(&self) {
        self.heard.store(self.micros(), Ordering::Relaxed);
        self.abandoned.store(0, Ordering::Relaxed);
        self.silence.store(0, Ordering::Relaxed);
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
    task: AbortHandle,
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
    /// `silence` is shared by all links of a client.
    pub(super) async fn connect(addr: SocketAddr, silence: Arc<AtomicU64>) -> std::io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (outgoing, requests) = mpsc::channel(OUTGOING);
        let shared = Arc::new(Shared {
            waiting: Mutex::new(HashMap::new()),
            dead: AtomicBool::new(false),
            born: Instant::now(),
            heard: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            silence,
        });
        let socket = Socket { stream, shared: shared.clone() };
        let task = tokio::spawn(converse(socket, requests)).abort_handle();
        Ok(Self { shared, outgoing, next: AtomicU64::new(1), task })
    }

    pub(super) fn is_dead(&self) -> bool {
        self.shared.dead.load(Ordering::Relaxed)
    }

    /// Whether too many calls were abandoned since the last answer.
    pub(super) fn is_spent(&self) -> bool {
        let silence = self.shared.silence.load(Ordering::Relaxed);
        self.shared.abandoned.load(Ordering::Relaxed) >= SPENT.max(silence / PART)
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
        self.task.abort();
    }
}

/// The connection's only owner. Whole, because half a stream says an orderly goodbye when it is dropped.
struct Socket<A> {
    stream: TcpStream,
    shared: Arc<Shared<A>>,
}

impl<A> Drop for Socket<A> {
    fn drop(&mut self) {
        self.shared.end();
        if self.shared.abandoned.load(Ordering::Relaxed) > 0 {
            let _ = self.stream.set_zero_linger();
        }
    }
}

/// Sends requests and hands out answers until either fails.
async fn converse<A: DeserializeOwned>(mut socket: Socket<A>, mut requests: mpsc::Receiver<Bytes>) {
    let Socket { stream, shared } = &mut socket;
    let (read, write) = stream.split();
    let mut answers = FramedRead::new(read, framing());
    let mut sink = FramedWrite::new(write, framing());
    let asking = async {
        while let Some(request) = requests.recv().await {
            if sink.send(request).await.is_err() {
                break;
            }
        }
    };
    let hearing = async {
        while let Some(Ok(frame)) = answers.next().await {
            let Ok(Message { id, body }) = decode::<A>(&frame) else { break };
            shared.hear();
            let waiter = shared.waiting().remove(&id);
            if let Some(waiter) = waiter {
                let _ = waiter.send(body);
            }
        }
    };
    tokio::select! {
        () = asking => {}
        () = hearing => {}
    }
}

/// Forgets a call however it ends, and counts it if it ends without an answer.
struct Waiting<'a, A> {
    shared: &'a Shared<A>,
    id: u64,
}

impl<A> Drop for Waiting<'_, A> {
    fn drop(&mut self) {
        if self.shared.waiting().remove(&self.id).is_some() {
            self.shared.abandoned.fetch_add(1, Ordering::Relaxed);
            self.shared.silence.fetch_add(1, Ordering::Relaxed);
        }
    }
}
