//! A network link between the harness and a node: a TCP proxy that can be cut, slowed and mended while it runs.
//!
//! Invariants:
//! - In an open connection no byte is ever lost, repeated or reordered, whatever the modes were in between. Bytes
//!   held while a link was dark are delivered when it is mended, as TCP would by retransmitting. A reset
//!   passes as a reset; what it finds held in the dark, or without room on the far side, is thrown away.
//! - Once a mode is set, no byte passes that the mode forbids: a byte is written while the mode is held still.
//! - [`Link::set`] answers only after the effect was observed on connections of its own through the same path.
//! - No task outlives the link.
//!
//! What a proxy in user space cannot do: the kernel completes handshakes by itself. So with [`Mode::Delay`] making a
//! connection costs nothing, only its bytes are late; with [`Mode::Blackhole`] a new connection is made and silent
//! rather than hanging (one that the client closed, or half-closed, before the mending never reaches the node and is
//! reset); and the death of a node shows as a reset right after connecting rather than as a refusal.

mod acceptor;
mod probe;
mod pump;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::acceptor::{Acceptor, Command, Shared};
use self::probe::{Probe, refuses};
use super::Observed;
use super::port::Port;

/// What a link does to the bytes that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Bytes pass.
    Open,
    /// Connections are reset, new ones refused.
    Refuse,
    /// Nothing passes in the given direction and nothing is closed.
    Blackhole(Way),
    /// Each byte arrives this much later, in both directions: a round trip takes twice as much longer.
    Delay(Duration),
}

/// A direction of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Both directions.
    Both,
    /// From the harness to the node.
    ToNode,
    /// From the node to the harness.
    FromNode,
}

impl Mode {
    /// The delay of bytes in a direction; `None` if they do not pass.
    fn delay(self, way: Way) -> Option<Duration> {
        match self {
            Mode::Open => Some(Duration::ZERO),
            Mode::Delay(delay) => Some(delay),
            Mode::Refuse | Mode::Blackhole(Way::Both) => None,
            Mode::Blackhole(blocked) => (blocked != way).then_some(Duration::ZERO),
        }
    }

    /// True if a handshake would get through, which needs both directions.
    pub(super) fn connects(self) -> bool {
        matches!(self, Mode::Open | Mode::Delay(_))
    }
}

/// Why a link could not be made or switched.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The system refused a socket.
    #[error("link to {target}: {what}: {source}")]
    Io {
        /// The node's address.
        target: SocketAddr,
        /// What was tried.
        what: &'static str,
        /// What failed.
        source: io::Error,
    },
    /// The mode was set but its effect was not seen.
    #[error("link to {target}: {mode:?} was set but its effect was not observed: {why}")]
    NotObserved {
        /// The node's address.
        target: SocketAddr,
        /// The mode.
        mode: Mode,
        /// What was seen instead.
        why: String,
    },
    /// The mode makes no sense.
    #[error("link to {target}: a delay has to be from 1 ms to 60 s and not {delay:?}")]
    Delay {
        /// The node's address.
        target: SocketAddr,
        /// The delay asked for.
        delay: Duration,
    },
    /// The link's task is gone.
    #[error("link to {target}: it was shut down")]
    Gone {
        /// The node's address.
        target: SocketAddr,
    },
}

/// What passed a link so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkStats {
    /// Connections alive now.
    pub connections: usize,
    /// Bytes delivered to the node.
    pub to_node: u64,
    /// Bytes delivered from the node.
    pub from_node: u64,
}

/// A link to one node.
#[derive(Debug)]
pub struct Link {
    addr: SocketAddr,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    /// One switch at a time: an observation must not see the next mode.
    turn: Semaphore,
    task: JoinHandle<()>,
    _stop: DropGuard,
}

impl Link {
    /// Opens a link to `target` on a port of its own, which never changes. Must be called inside a runtime.
    pub fn open(target: SocketAddr) -> Result<Self, LinkError> {
        let io = |source| LinkError::Io { target, what: "listen on a port of 127.0.0.1", source };
        Self::on(Port::reserve().map_err(io)?, Shared::new(target, None))
    }

    /// Opens a link on this port to a node that is looked up by name for each connection. Must be called inside a
    /// runtime. In errors the link's own address stands for the node's.
    #[cfg(feature = "docker")]
    pub(crate) fn open_on(port: Port, name: String, to: u16) -> Result<Self, LinkError> {
        let shared = Shared::new(port.addr(), Some((name, to)));
        Self::on(port, shared)
    }

    fn on(port: Port, shared: Shared) -> Result<Self, LinkError> {
        let (addr, target) = (port.addr(), shared.target);
        let io = |source| LinkError::Io { target, what: "listen", source };
        let shared = Arc::new(shared);
        let stop = CancellationToken::new();
        let (commands, orders) = mpsc::channel(1);
        let acceptor = Acceptor::new(port, Arc::clone(&shared), orders, stop.clone()).map_err(io)?;
        let task = tokio::spawn(acceptor.run());
        Ok(Self { addr, shared, commands, turn: Semaphore::new(1), task, _stop: stop.drop_guard() })
    }

    /// Where to connect instead of the node.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The mode set last.
    pub fn mode(&self) -> Mode {
        *self.shared.mode.borrow()
    }

    /// What passed so far.
    pub fn stats(&self) -> LinkStats {
        LinkStats {
            connections: self.shared.live.load(Ordering::SeqCst),
            to_node: self.shared.to_node.load(Ordering::SeqCst),
            from_node: self.shared.from_node.load(Ordering::SeqCst),
        }
    }

    /// Switches the link, for connections that exist and for new ones, and answers once the effect was observed.
    ///
    /// After an error the mode may or may not be in force.
    pub async fn set(&self, mode: Mode) -> Result<Observed, LinkError> {
        if let Mode::Delay(delay) = mode
            && !(Duration::from_millis(1)..=Duration::from_secs(60)).contains(&delay)
        {
            return Err(LinkError::Delay { target: self.shared.target, delay });
        }
        let _turn = self.turn.acquire().await.map_err(|_| self.gone())?;
        let before = self.mode();
        // A connection that the switch meets in mid-life, if the link lets one be made.
        let witness =
            if before.connects() { Probe::open(self.addr, &self.shared, before).await.ok() } else { None };
        self.apply(mode).await?;
        let seen = match mode {
            Mode::Open => self.saw_open(before).await,
            Mode::Delay(delay) => self.saw_delay(delay).await,
            Mode::Refuse => self.saw_refusal(witness).await,
            Mode::Blackhole(way) => self.saw_darkness(way, witness).await,
        };
        let target = self.shared.target;
        seen.map(Observed::new).map_err(|why| LinkError::NotObserved { target, mode, why })
    }

    /// Resets every connection and waits until the link's tasks are gone.
    pub async fn shutdown(self) {
        let Self { task, _stop, .. } = self;
        drop(_stop);
        // The task neither panics nor is aborted; either way it is gone.
        let _ = task.await;
    }

    async fn apply(&self, mode: Mode) -> Result<(), LinkError> {
        let (done, applied) = oneshot::channel();
        self.commands.send(Command { mode, done }).await.map_err(|_| self.gone())?;
        let applied = applied.await.map_err(|_| self.gone())?;
        applied.map_err(|source| LinkError::Io { target: self.shared.target, what: "listen again", source })
    }

    fn gone(&self) -> LinkError {
        LinkError::Gone { target: self.shared.target }
    }

    async fn saw_open(&self, before: Mode) -> Result<String, String> {
        let mut probe = Probe::open(self.addr, &self.shared, Mode::Open).await?;
        let mut best = probe.round_trip().await?;
        // Mending a delay has to be told from not mending it; a busy machine gets some tries.
        let was = if let Mode::Delay(delay) = before { delay * 2 } else { Duration::MAX };
        for _ in 0..20 {
            if best < was {
                break;
            }
            best = probe.round_trip().await?;
        }
        if best >= was {
            return Err(format!("a round trip still takes {best:?}"));
        }
        Ok(format!("a new connection through the link made a round trip in {best:?}"))
    }

    async fn saw_delay(&self, delay: Duration) -> Result<String, String> {
        let mut probe = Probe::open(self.addr, &self.shared, Mode::Delay(delay)).await?;
        let limit = delay + probe::PATIENCE;
        let to = probe.pass(Way::ToNode, limit).await?.ok_or("a byte to the node never arrived")?;
        let from = probe.pass(Way::FromNode, limit).await?.ok_or("a byte from the node never arrived")?;
        if to < delay || from < delay {
            return Err(format!("bytes took {to:?} and {from:?}, less than {delay:?}"));
        }
        Ok(format!("a byte took {to:?} to the node and {from:?} back"))
    }

    async fn saw_refusal(&self, witness: Option<Probe>) -> Result<String, String> {
        let live = self.stats().connections;
        if live != 0 {
            return Err(format!("{live} connections are still alive"));
        }
        let reset = match witness {
            Some(witness) => {
                witness.was_reset().await?;
                "a connection made before was reset"
            }
            None => "there was no connection to reset",
        };
        refuses(self.addr).await?;
        Ok(format!("connecting is refused; {reset}; no connection is left"))
    }

    async fn saw_darkness(&self, way: Way, witness: Option<Probe>) -> Result<String, String> {
        let before = self.stats();
        let mut words = Vec::new();
        if let Some(mut witness) = witness {
            let sent = Instant::now();
            witness.send(Way::ToNode).await?;
            witness.send(Way::FromNode).await?;
            for (direction, name) in [(Way::ToNode, "to the node"), (Way::FromNode, "from the node")] {
                let blocked = way == Way::Both || way == direction;
                let limit = if blocked { probe::SILENCE } else { probe::PATIENCE };
                let arrived = witness.arrives(direction, sent + limit).await?;
                match (blocked, arrived) {
                    (true, false) => words.push(format!("a byte {name} did not arrive within {limit:?}")),
                    (true, true) => return Err(format!("a byte {name} arrived")),
                    (false, true) => words.push(format!("a byte {name} arrived")),
                    (false, false) => return Err(format!("a byte {name} did not arrive")),
                }
            }
        } else {
            Probe::silent(self.addr, &self.shared).await?;
            words.push(format!("a new connection stayed silent for {:?}", probe::SILENCE));
        }
        let after = self.stats();
        if way != Way::FromNode && after.to_node != before.to_node {
            return Err(format!("{} bytes still passed to the node", after.to_node - before.to_node));
        }
        if way != Way::ToNode && after.from_node != before.from_node {
            return Err(format!("{} bytes still passed from the node", after.from_node - before.from_node));
        }
        words.push(format!("no byte passed on {} connections", after.connections));
        Ok(words.join("; "))
    }
}
