//! The node's side: a listener on loopback in front of whatever answers.
//!
//! Every request is a task of its own, so nothing slow holds up anything else. Connections, requests in flight and
//! waiting answers are bounded. A frame that is no request closes its connection and nothing more. A connection that
//! its client has reset is dropped with all that is queued on it.

use super::{Message, decode, encode, framing};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Serialize, de::DeserializeOwned};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

/// Connections at a time; more are closed at once.
const CONNECTIONS: usize = 256;
/// Requests of one connection at a time; more stay unread.
const IN_FLIGHT: usize = 1024;
/// A connection without a request for so long is closed. Clients give up idle ones much earlier.
const IDLE: Duration = Duration::from_secs(300);
/// A peer that takes no answer for so long is gone.
const STUCK: Duration = Duration::from_secs(30);

/// Ends with SIGTERM, SIGINT, or with standard input if the node has such a lifeline.
///
/// The caller should end the process soon after: an abandoned thread may still sit in a read of standard input.
pub(crate) fn asked_to_leave(lifeline: bool) -> io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let lifeline = ends_with_input(lifeline);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            () = lifeline => {}
        }
    })
}

/// Ends with standard input; never, if there is no lifeline.
fn ends_with_input(held: bool) -> impl Future<Output = ()> {
    let (ended, end) = oneshot::channel();
    if held {
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            let _ = ended.send(());
        });
    }
    async move {
        match (held, end.await) {
            (true, _) => {}
            (false, _) => std::future::pending().await,
        }
    }
}

/// Serves until `stop` is ready. Requests in flight are dropped then, and with their connections.
pub(crate) async fn listen<Q, A, H>(
    listener: TcpListener,
    answer: impl Fn(Q) -> H + Send + Sync + 'static,
    stop: impl Future<Output = ()>,
) where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
    H: Future<Output = A> + Send + 'static,
{
    let answer = Arc::new(answer);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if !reset(&stream)
                        && let Ok(permit) = room.clone().try_acquire_owned()
                    {
                        let answer = answer.clone();
                        connections.spawn(async move {
                            connection(stream, answer).await;
                            drop(permit);
                        });
                    }
                }
                // Out of descriptors: accepting again at once would spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Whether the peer has reset the connection. The kernel hands out what arrived before that all the same, but nobody
/// waits for the answers.
fn reset(stream: &TcpStream) -> bool {
    let gone = PollFlags::ERR | PollFlags::HUP;
    let mut fds = [PollFd::new(stream, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(gone)
}

async fn connection<Q, A, H>(stream: TcpStream, answer: Arc<impl Fn(Q) -> H + Send + Sync + 'static>)
where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
    H: Future<Output = A> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let mut sink = FramedWrite::new(write, framing());
    let (answers, mut outgoing) = mpsc::channel::<Bytes>(64);
    let writer = async move {
        while let Some(answer) = outgoing.recv().await {
            if !matches!(timeout(STUCK, sink.send(answer)).await, Ok(Ok(()))) {
                break;
            }
        }
    };
    tokio::select! {
        () = writer => {}
        () = requests(FramedRead::new(read, framing()), answer, answers) => {}
    }
}

/// Ends when the peer does, or sends what is no request. Requests in flight are dropped then; what they have
/// already handed on goes on.
async fn requests<Q, A, H>(
    mut frames: FramedRead<OwnedReadHalf, LengthDelimitedCodec>,
    answer: Arc<impl Fn(Q) -> H + Send + Sync + 'static>,
    answers: mpsc::Sender<Bytes>,
) where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
    H: Future<Output = A> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= IN_FLIGHT {
            tasks.join_next().await;
        }
        let frame = match timeout(IDLE, frames.next()).await {
            Ok(Some(Ok(frame))) => frame,
            Err(_) if !tasks.is_empty() => continue,
            _ => break,
        };
        if reset(frames.get_ref().as_ref()) {
            break;
        }
        let Ok(Message { id, body }) = decode::<Q>(&frame) else { break };
        let (answer, answers) = (answer.clone(), answers.clone());
        tasks.spawn(async move {
            let response = answer(body).await;
            if let Ok(bytes) = encode(id, response) {
                let _ = answers.send(bytes).await;
            }
        });
    }
}
