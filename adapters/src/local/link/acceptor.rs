//! The task behind a link: takes connections, switches modes, ends with the link.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use harness::shortage;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::pump::{Ended, pump};
use super::{Mode, Way};
use crate::local::port::Port;

/// Connections at a time; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 1024;
/// Connections the kernel keeps while none is accepted.
const BACKLOG: u32 = 1024;
/// How long connecting to the node may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a handshake under way may take to end once the link is cut; on loopback it takes microseconds.
const HANDSHAKE: Duration = Duration::from_millis(50);

/// An order to switch; answered once every connection obeys.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) mode: Mode,
    pub(super) done: oneshot::Sender<io::Result<()>>,
}

/// What the link, its task and its connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) target: SocketAddr,
    /// The node's name and port, where its address may change: looked up for each connection.
    named: Option<(String, u16)>,
    /// Written by the acceptor only. Bytes are written to a socket while this is borrowed, so that once a mode is
    /// set none passes that it forbids.
    pub(super) mode: watch::Sender<Mode>,
    pub(super) to_node: AtomicU64,
    pub(super) from_node: AtomicU64,
    pub(super) live: AtomicUsize,
    /// Connections of the link's own probes: where they come from, and where they go instead of the node.
    pub(super) probes: Mutex<HashMap<SocketAddr, SocketAddr>>,
}

impl Shared {
    pub(super) fn new(target: SocketAddr, named: Option<(String, u16)>) -> Self {
        Self {
            target,
            named,
            mode: watch::channel(Mode::Open).0,
            to_node: AtomicU64::new(0),
            from_node: AtomicU64::new(0),
            live: AtomicUsize::new(0),
            probes: Mutex::new(HashMap::new()),
        }
    }

    /// Where a connection from `peer` goes.
    fn destination(&self, peer: SocketAddr) -> Destination {
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        match (probes.remove(&peer), &self.named) {
            (Some(probe), _) => Destination::Addr(probe),
            (None, Some((name, port))) => Destination::Name(name.clone(), *port),
            (None, None) => Destination::Addr(self.target),
        }
    }
}

enum Destination {
    Addr(SocketAddr),
    Name(String, u16),
}

impl Destination {
    async fn connect(self) -> io::Result<TcpStream> {
        match self {
            Self::Addr(addr) => TcpStream::connect(addr).await,
            Self::Name(name, port) => TcpStream::connect((name, port)).await,
        }
        // Before the user is reset for it.
        .inspect_err(|e| _ = shortage::notice(e))
    }
}

/// Counts a connection for as long as it lives.
struct Live(Arc<Shared>);

impl Live {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.live.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) struct Acceptor {
    port: Port,
    listener: Option<TcpListener>,
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Command>,
    stop: CancellationToken,
    /// Ends the connections of now; replaced after each cut.
    cut: CancellationToken,
    connections: JoinSet<()>,
}

impl Acceptor {
    pub(super) fn new(
        port: Port,
        shared: Arc<Shared>,
        orders: mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let listener = Some(port.listen(BACKLOG)?);
        let cut = CancellationToken::new();
        Ok(Self { port, listener, shared, orders, stop, cut, connections: JoinSet::new() })
    }

    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            let takes = self.connections.len() < CONNECTIONS && self.shared.mode.borrow().connects();
            let listener = self.listener.as_ref().filter(|_| takes);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(order) = self.orders.recv() => {
                    let applied = self.apply(order.mode).await;
                    // Whoever asked may have given up waiting.
                    let _ = order.done.send(applied);
                }
                Some(_) = self.connections.join_next() => {}
                accepted = accept(listener) => match accepted {
                    Ok((client, peer)) => self.take(client, peer),
                    Err(e) => {
                        shortage::notice(&e);
                        // Out of descriptors, most likely: let some connections end first.
                        tracing::warn!("link: accept: {e}");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                },
            }
        }
        self.listener = None;
        self.reset_all().await;
    }

    async fn apply(&mut self, mode: Mode) -> io::Result<()> {
        if mode == Mode::Refuse {
            self.shared.mode.send_replace(mode);
            self.listener = None;
            self.reset_all().await;
            return Ok(());
        }
        if self.listener.is_none() {
            self.listener = Some(self.port.listen(BACKLOG)?);
        }
        let before = self.shared.mode.send_replace(mode);
        if matches!(before, Mode::Blackhole(_)) && mode.connects() {
            self.take_waiting();
        }
        Ok(())
    }

    async fn reset_all(&mut self) {
        self.cut.cancel();
        while self.connections.join_next().await.is_some() {}
        self.cut = CancellationToken::new();
    }

    /// Takes what the kernel accepted in the dark, but not what was given up since: its handshake would never have
    /// got through, and forwarding it would deliver a request that nobody waits for.
    fn take_waiting(&mut self) {
        while let Some(listener) = &self.listener
            && let Some(Ok((client, peer))) = listener.accept().now_or_never()
        {
            if abandoned(&client) {
                let _ = client.set_zero_linger();
            } else {
                self.take(client, peer);
            }
        }
    }

    fn take(&mut self, client: TcpStream, peer: SocketAddr) {
        let to = self.shared.destination(peer);
        let live = Live::new(&self.shared);
        let shared = Arc::clone(&self.shared);
        let cut = self.cut.clone();
        self.connections.spawn(async move {
            connection(client, to, &shared, cut).await;
            drop(live);
        });
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

fn abandoned(client: &TcpStream) -> bool {
    let mut fds = [PollFd::new(client, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let closed = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(closed)
}

/// One connection from accept to end. Every socket closes with this future.
async fn connection(mut client: TcpStream, to: Destination, shared: &Shared, cut: CancellationToken) {
    let connecting = tokio::time::timeout(CONNECT, to.connect());
    tokio::pin!(connecting);
    let connected = tokio::select! {
        () = cut.cancelled() => {
            // The node may have accepted already: it must see a reset too, and no orderly end.
            if let Ok(Ok(Ok(node))) = tokio::time::timeout(HANDSHAKE, connecting).await {
                let _ = node.set_zero_linger();
            }
            None
        }
        connected = &mut connecting => connected.ok().and_then(Result::ok),
    };
    // On loopback a socket that connects to a free port may be connected to itself.
    let connected = connected.filter(|node| node.local_addr().ok() != node.peer_addr().ok());
    let Some(mut node) = connected else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = node.set_nodelay(true);
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_node, to_node) = node.split();
        let up = pump(from_client, to_node, &shared.mode, Way::ToNode, &shared.to_node);
        let down = pump(from_node, to_client, &shared.mode, Way::FromNode, &shared.from_node);
        let both = async { tokio::try_join!(up, down).map(|_| ()) };
        tokio::select! {
            () = cut.cancelled() => Err(Ended::Reset),
            ended = both => ended,
        }
    };
    if ended.is_err() {
        let _ = client.set_zero_linger();
        let _ = node.set_zero_linger();
    }
}
