//! The client of one worker: one connection for each call under way, kept for the next one if the call went well.
//!
//! Every question a worker is asked can be asked twice, so a kept connection that turns out to be dead is replaced
//! within the call. A call that fails, or is given up, condemns all kept connections: what broke one broke them all.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use harness::job::Sums;
use harness::shortage;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::wire::{Request, Response, Status, decode, encode, framing};

/// Connections kept for later calls.
const KEPT: usize = 4;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The worker refused.
    #[error("worker {addr} refused: {why}")]
    Refused {
        /// The worker.
        addr: SocketAddr,
        /// Why.
        why: String,
    },
    /// No answer, or one that is none.
    #[error("no answer from worker {addr}: {why}")]
    NoAnswer {
        /// The worker.
        addr: SocketAddr,
        /// What was seen instead.
        why: String,
    },
}

type Connection = Framed<TcpStream, LengthDelimitedCodec>;

/// A handle to a worker. Clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    addr: SocketAddr,
    kept: Arc<Mutex<Vec<Connection>>>,
}

/// A call under way; unless it ends well, the kept connections are not trusted any more.
struct Call<'a>(Option<&'a Client>);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.0 {
            client.kept().clear();
        }
    }
}

impl Client {
    /// A client of the worker at `addr`. Connects with the first call.
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, kept: Arc::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, request: &Request, limit: Duration) -> Result<Response, CallError> {
        let silent = |why: String| CallError::NoAnswer { addr: self.addr, why };
        let bytes = encode(request).map_err(silent)?;
        match timeout(limit, self.exchange(bytes)).await {
            Ok(Ok(Response::Refused(why))) => Err(CallError::Refused { addr: self.addr, why }),
            Ok(answer) => answer.map_err(silent),
            Err(_) => Err(silent(format!("none within {limit:?}"))),
        }
    }

    async fn exchange(&self, request: Bytes) -> Result<Response, String> {
        let mut call = Call(Some(self));
        let kept = self.kept().pop();
        let (answer, connection) = match kept {
            Some(connection) => match converse(connection, request.clone()).await {
                Ok(done) => done,
                Err(_) => self.afresh(request).await?,
            },
            None => self.afresh(request).await?,
        };
        call.0 = None;
        let mut kept = self.kept();
        if kept.len() < KEPT {
            kept.push(connection);
        }
        Ok(answer)
    }

    async fn afresh(&self, request: Bytes) -> Result<(Response, Connection), String> {
        let stream = TcpStream::connect(self.addr).await.inspect_err(|e| _ = shortage::notice(e));
        let stream = stream.map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        converse(Framed::new(stream, framing()), request).await
    }

    fn confused<T>(&self, response: &Response) -> Result<T, CallError> {
        Err(CallError::NoAnswer {
            addr: self.addr,
            why: format!("an answer to another question: {response:?}"),
        })
    }

    /// Asks whether the worker answers at all.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn ping(&self, limit: Duration) -> Result<(), CallError> {
        match self.call(&Request::Ping, limit).await? {
            Response::Pong => Ok(()),
            other => self.confused(&other),
        }
    }

    /// What the worker says about itself.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn status(&self, limit: Duration) -> Result<Status, CallError> {
        match self.call(&Request::Status, limit).await? {
            Response::Status(status) => Ok(status),
            other => self.confused(&other),
        }
    }

    /// The sums of a shard of the step after the checkpoint with these bytes.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn shard(&self, before: Vec<u8>, shard: u32, limit: Duration) -> Result<Sums, CallError> {
        match self.call(&Request::Shard { before, shard }, limit).await? {
            Response::Sums(sums) => Ok(*sums),
            other => self.confused(&other),
        }
    }

    /// What the network answers to an input.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn infer(&self, input: Vec<f32>, limit: Duration) -> Result<Vec<f32>, CallError> {
        match self.call(&Request::Infer { input }, limit).await? {
            Response::Output(output) => Ok(output),
            other => self.confused(&other),
        }
    }

    /// Makes the worker compute wrong from now on, or right.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn miscompute(&self, wrong: bool, limit: Duration) -> Result<(), CallError> {
        match self.call(&Request::Miscompute(wrong), limit).await? {
            Response::Done => Ok(()),
            other => self.confused(&other),
        }
    }
}

/// One question, one answer.
async fn converse(mut connection: Connection, request: Bytes) -> Result<(Response, Connection), String> {
    connection.send(request).await.map_err(|e| e.to_string())?;
    let frame = connection.next().await.ok_or("the connection was closed")?;
    let answer = decode(&frame.map_err(|e| e.to_string())?)?;
    Ok((answer, connection))
}
