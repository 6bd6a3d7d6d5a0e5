//! The pulling side of replication, and the herald.
//!
//! One task does whatever the node's role demands of it, for ever. Waiting for the network ends as soon as another
//! duty calls; applying never does, for a product is not asked to survive being interrupted.

use super::node::Node;
use super::saved::{Duty, Saved, Source, Wipe};
use super::wire::{Answer, Ask, Changes, Position, Request, Role, decode, encode, framing};
use futures::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two calls of the herald, and two looks of a stalled node.
const CALM: Duration = Duration::from_millis(500);
const CONNECT: Duration = Duration::from_secs(1);
/// How long a source waits for changes.
const WAIT_MS: u32 = 500;
/// How long an answer may take beside that, at first; a slow link is given more.
const PATIENCE: Duration = Duration::from_secs(3);
const MAX_PATIENCE: Duration = Duration::from_secs(30);
/// Changes asked for at a time; a slow link is asked for fewer.
const MAX_LIMIT: u32 = 1024;
const APPLY_LIMIT: Duration = Duration::from_secs(60);

type Link = Framed<TcpStream, LengthDelimitedCodec>;

/// How much is asked for, and how long an answer may take.
struct Pace {
    limit: u32,
    patience: Duration,
}

impl Pace {
    fn slower(&mut self) {
        self.limit = (self.limit / 2).max(1);
        self.patience = (self.patience * 2).min(MAX_PATIENCE);
    }

    fn faster(&mut self, took: Duration) {
        self.limit = (self.limit * 2).min(MAX_LIMIT);
        if took < self.patience / 4 {
            self.patience = (self.patience / 2).max(PATIENCE);
        }
    }
}

/// Does the node's duty for ever.
pub(super) async fn run(node: &Node) {
    let mut pace = Pace { limit: MAX_LIMIT, patience: PATIENCE };
    loop {
        let duty = node.standing.saved().duty();
        let changed = node.standing.until(move |saved| saved.duty() != duty);
        let pause = match duty {
            Duty::Rest => {
                changed.await;
                continue;
            }
            Duty::Pull { addr, .. } => {
                if let Err(why) = pull(node, duty, addr, &mut pace).await {
                    node.standing.troubled(format!("{addr}: {why}"));
                }
                PAUSE
            }
            Duty::Herald { addr, epoch } => {
                tokio::select! {
                    () = herald(node, addr, epoch) => {}
                    () = node.standing.until(move |saved| saved.duty() != duty) => {}
                }
                CALM
            }
        };
        let _ = timeout(pause, changed).await;
    }
}

async fn connect(addr: SocketAddr) -> Result<Link, String> {
    match timeout(CONNECT, TcpStream::connect(addr)).await {
        Ok(Ok(stream)) => {
            let _ = stream.set_nodelay(true);
            Ok(Framed::new(stream, framing()))
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection within {CONNECT:?}")),
    }
}

/// One question and its answer.
pub(super) async fn exchange(link: &mut Link, request: &Request) -> Result<Answer, String> {
    link.send(encode(request)?).await.map_err(|error| error.to_string())?;
    match link.next().await {
        Some(Ok(frame)) => decode(&frame),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("the connection ended".into()),
    }
}

/// Pulls until another duty calls or something goes wrong.
async fn pull(node: &Node, duty: Duty, addr: SocketAddr, pace: &mut Pace) -> Result<(), String> {
    let standing = &node.standing;
    let other = move |saved: &Saved| saved.duty() != duty;
    let mut link = tokio::select! {
        link = connect(addr) => link?,
        () = standing.until(other) => return Ok(()),
    };
    loop {
        let saved = standing.saved();
        let Some(source) = saved.follow.clone().filter(|_| !other(&saved)) else { return Ok(()) };
        let idle = standing.stalled() || source.wipe == Wipe::Pending;
        // Now and not later: should the history be replaced meanwhile, what is applied next is no continuation.
        let own = node.product.position().timeline;
        let ask = ask(&saved, &source, own, if idle { 0 } else { pace.limit });
        let request = Request::Changes(ask.clone());
        let limit = pace.patience + Duration::from_millis(WAIT_MS.into());
        let began = Instant::now();
        let answer = tokio::select! {
            answer = timeout(limit, exchange(&mut link, &request)) => answer,
            () = standing.until(other) => return Ok(()),
        };
        let Ok(answer) = answer else {
            pace.slower();
            return Err(format!("no answer within {limit:?}"));
        };
        let changes = match answer? {
            Answer::Changes(changes) => checked(changes, &ask)?,
            Answer::Failed { why } => return Err(why),
            other => return Err(format!("an answer to another question: {other:?}")),
        };
        pace.faster(began.elapsed());
        if changes.role == Role::Primary && changes.epoch > saved.epoch {
            standing
                .change(|saved| {
                    saved.adopt(changes.epoch);
                    Ok(())
                })
                .await?;
        }
        let head = Position { timeline: changes.timeline, lsn: changes.head };
        if source.wipe == Wipe::Pending {
            if changes.role != Role::Primary {
                return Err(format!("it is {}: own data are kept until a primary answers", changes.role));
            }
            standing.wipe(wipe(node)).await?;
            return Ok(());
        }
        if idle || standing.stalled() {
            standing.told(head);
            sleep(CALM).await;
            continue;
        }
        apply(node, saved.id, Source { own, ..source }, changes).await?;
        standing.told(head);
    }
}

fn ask(saved: &Saved, source: &Source, own: u64, limit: u32) -> Ask {
    // What was applied to another history is not here any more.
    let here = source.own == own;
    Ask {
        epoch: saved.epoch,
        since: if here { source.upto } else { Position::default() },
        limit,
        wait_ms: WAIT_MS,
        follower: saved.id,
    }
}

fn checked(changes: Changes, ask: &Ask) -> Result<Changes, String> {
    let continues = changes.timeline == ask.since.timeline && changes.from == ask.since.lsn;
    let begins = changes.from == 0;
    if !(continues || begins) || changes.upto < changes.from || changes.head < changes.upto {
        return Err("an answer that does not fit the question".into());
    }
    if !continues && ask.since.lsn > 0 {
        tracing::warn!("the source's history is another than before: following from its beginning");
    }
    Ok(changes)
}

async fn apply(node: &Node, order: u64, source: Source, changes: Changes) -> Result<(), String> {
    if !changes.ops.is_empty() {
        let applied = timeout(APPLY_LIMIT, node.product.apply(changes.ops)).await;
        applied.map_err(|_| format!("changes are not applied within {APPLY_LIMIT:?}"))??;
    }
    let upto = Position { timeline: changes.timeline, lsn: changes.upto };
    node.standing.applied(order, Source { upto, ..source }).await
}

async fn wipe(node: &Node) -> Result<u64, String> {
    let wiped = timeout(APPLY_LIMIT, node.product.wipe()).await;
    wiped.map_err(|_| format!("own data are not dropped within {APPLY_LIMIT:?}"))??;
    Ok(node.product.position().timeline)
}

/// Tells the old primary that it was superseded, and hears whether this one was.
async fn herald(node: &Node, addr: SocketAddr, epoch: u64) {
    let Ok(mut link) = connect(addr).await else { return };
    let told = timeout(PATIENCE, exchange(&mut link, &Request::Fence { epoch })).await;
    let (Ok(Ok(Answer::Status(status))) | Ok(Ok(Answer::Refused { status, .. }))) = told else { return };
    if status.role == Role::Primary {
        let heard = node.standing.change(|saved| {
            saved.heard_of(status.epoch);
            Ok(())
        });
        if let Err(why) = heard.await {
            tracing::warn!("superseded by epoch {}: {why}", status.epoch);
        }
    }
}
