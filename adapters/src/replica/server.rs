//! The replication port: questions for changes, and control requests.

use super::Batch;
use super::node::Node;
use super::saved::Saved;
use super::wire::{Answer, Ask, Changes, MAX_FRAME, Position, Request, decode, encode, framing};
use futures::{SinkExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::codec::Framed;

/// Connections at a time; more are closed at once.
const CONNECTIONS: usize = 64;
/// A connection without a request for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// A peer that takes no answer for so long is gone.
const STUCK: Duration = Duration::from_secs(60);
/// A question waits for changes so long at most.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// Changes in one answer at most.
const MAX_LIMIT: u32 = 65_536;
/// The product tells its changes within so long.
const READ_LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn listen(listener: TcpListener, node: Arc<Node>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if let Ok(permit) = room.clone().try_acquire_owned() {
                        let node = node.clone();
                        connections.spawn(async move {
                            connection(stream, &node).await;
                            drop(permit);
                        });
                    }
                }
                // Out of descriptors: accepting again at once would spin.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
        }
    }
}

/// Ends when the peer does, or sends what is no request.
async fn connection(stream: TcpStream, node: &Node) {
    let _ = stream.set_nodelay(true);
    let mut frames = Framed::new(stream, framing());
    while let Ok(Some(Ok(frame))) = timeout(IDLE, frames.next()).await {
        let Ok(request) = decode::<Request>(&frame) else { return };
        let answer = answer(node, request).await;
        let bytes = encode(&answer).or_else(|why| encode(&Answer::Failed { why }));
        let Ok(bytes) = bytes else { return };
        if !matches!(timeout(STUCK, frames.send(bytes)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn answer(node: &Node, request: Request) -> Answer {
    let standing = &node.standing;
    let done = match request {
        Request::Changes(ask) => {
            return match changes(node, &ask).await {
                Ok(changes) => Answer::Changes(changes),
                Err(why) => Answer::Failed { why },
            };
        }
        Request::Status => Ok(()),
        Request::Promote { epoch, mode } => standing.change(|saved| saved.promote(epoch, mode)).await,
        Request::Fence { epoch } => standing.change(|saved| saved.fence(epoch)).await,
        Request::Follow { addr, wipe, epoch } => {
            standing.change(|saved| saved.follow(addr, wipe, epoch)).await
        }
        Request::Stall { stalled } => {
            standing.stall(stalled);
            Ok(())
        }
    };
    let status = Box::new(standing.status());
    match done {
        Ok(()) => Answer::Status(status),
        Err(why) => Answer::Refused { why, status },
    }
}

async fn changes(node: &Node, ask: &Ask) -> Result<Changes, String> {
    if ask.epoch > node.standing.saved().epoch {
        let rule = |saved: &mut Saved| {
            saved.heard_of(ask.epoch);
            Ok(())
        };
        node.standing.change(rule).await?;
    }
    // Before the changes are read: should the history be replaced meanwhile, they are labelled with the old one,
    // and the next question begins anew.
    let Position { timeline, lsn: head } = node.product.position();
    let from = if ask.since.timeline == timeline && ask.since.lsn <= head { ask.since.lsn } else { 0 };
    node.standing.heard(ask.follower, Position { timeline, lsn: from });
    if head <= from && ask.limit > 0 {
        let wait = MAX_WAIT.min(Duration::from_millis(ask.wait_ms.into()));
        let _ = timeout(wait, node.product.durable().wait_for(|lsn| *lsn > from)).await;
    }
    let batch = match ask.limit {
        0 => Batch { ops: Vec::new(), upto: from, more: head > from },
        limit => read(node, from, limit.min(MAX_LIMIT) as usize).await?,
    };
    node.standing.answered(ask.follower, (!batch.more).then_some(batch.upto));
    let head = node.product.position().lsn.max(batch.upto);
    let saved = node.standing.saved();
    let Batch { ops, upto, more } = batch;
    Ok(Changes { epoch: saved.epoch, role: saved.role, timeline, from, ops, upto, more, head })
}

/// Changes that fit into a frame.
async fn read(node: &Node, from: u64, mut limit: usize) -> Result<Batch, String> {
    loop {
        let read = timeout(READ_LIMIT, node.product.changes(from, limit)).await;
        let batch = read.map_err(|_| format!("changes are not read within {READ_LIMIT:?}"))??;
        let bytes: usize = batch.ops.iter().map(|op| op.len() + 16).sum();
        if bytes + 1024 <= MAX_FRAME {
            return Ok(batch);
        }
        limit = limit.min(batch.ops.len()) / 2;
        if limit == 0 {
            return Err(format!("one change of {bytes} bytes: {MAX_FRAME} at most can be replicated"));
        }
    }
}
