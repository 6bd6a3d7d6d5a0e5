//! The harness's side: control requests, each over a connection of its own.

use super::follow::exchange;
use super::wire::{Answer, Mode, Request, Status, framing};
use harness::shortage;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::codec::Framed;

/// Why a control request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// Not done.
    #[error("refused: {why}")]
    Refused {
        /// Why, and the remedy.
        why: String,
        /// How things are.
        status: Box<Status>,
    },
    /// Perhaps done; ask again, for every request may be repeated.
    #[error("replication port {addr}: {why}")]
    NoAnswer {
        /// The port.
        addr: SocketAddr,
        /// What happened instead.
        why: String,
    },
}

/// A handle to a node's replication port.
#[derive(Debug, Clone)]
pub struct ReplicaClient {
    addr: SocketAddr,
    limit: Duration,
}

impl ReplicaClient {
    /// A client of the replication port `addr`, each of whose calls ends within `limit`.
    pub fn new(addr: SocketAddr, limit: Duration) -> Self {
        Self { addr, limit }
    }

    /// How things are.
    ///
    /// # Errors
    /// See [`ReplicaError`].
    pub async fn status(&self) -> Result<Status, ReplicaError> {
        self.call(Request::Status).await
    }

    /// Makes a standby (or a fenced node) the primary of `epoch`, which must be higher than the one it knows, and
    /// tells the node it followed, for as long as it reigns. `mode` is what its acknowledgements wait for from now
    /// on; `None` keeps the one it has. Asked of the primary of that epoch it only sets the mode.
    ///
    /// # Errors
    /// See [`ReplicaError`].
    pub async fn promote(&self, epoch: u64, mode: Option<Mode>) -> Result<Status, ReplicaError> {
        self.call(Request::Promote { epoch, mode }).await
    }

    /// Makes a primary refuse users' writes from now on. Nothing it acknowledged is beyond the answer's position: a
    /// standby that has reached it can be promoted without loss.
    ///
    /// # Errors
    /// See [`ReplicaError`].
    pub async fn fence(&self, epoch: u64) -> Result<Status, ReplicaError> {
        self.call(Request::Fence { epoch }).await
    }

    /// Makes a node the standby of the one whose replication port is `addr`. With `wipe` its own data are dropped
    /// once that one answers as a primary: an old primary has writes nobody else has.
    ///
    /// # Errors
    /// See [`ReplicaError`].
    pub async fn follow(&self, addr: SocketAddr, wipe: bool, epoch: u64) -> Result<Status, ReplicaError> {
        self.call(Request::Follow { addr, wipe, epoch }).await
    }

    /// Makes a node stop, or go on, applying changes, while it still asks how far behind it is. A restart ends it.
    ///
    /// # Errors
    /// See [`ReplicaError`].
    pub async fn stall(&self, stalled: bool) -> Result<Status, ReplicaError> {
        self.call(Request::Stall { stalled }).await
    }

    async fn call(&self, request: Request) -> Result<Status, ReplicaError> {
        let no_answer = |why: String| ReplicaError::NoAnswer { addr: self.addr, why };
        let exchanged = async {
            let stream = TcpStream::connect(self.addr).await.inspect_err(|e| _ = shortage::notice(e));
            let stream = stream.map_err(|error| error.to_string())?;
            let _ = stream.set_nodelay(true);
            exchange(&mut Framed::new(stream, framing()), &request).await
        };
        match timeout(self.limit, exchanged).await {
            Ok(Ok(Answer::Status(status))) => Ok(*status),
            Ok(Ok(Answer::Refused { why, status })) => Err(ReplicaError::Refused { why, status }),
            Ok(Ok(other)) => Err(no_answer(format!("an answer to another question: {other:?}"))),
            Ok(Err(why)) => Err(no_answer(why)),
            Err(_) => Err(no_answer(format!("no answer within {:?}", self.limit))),
        }
    }
}
