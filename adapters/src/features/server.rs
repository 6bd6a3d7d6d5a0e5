//! The node's process: a listener on loopback in front of the store.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::Config;
use super::replace::Staging;
use super::store::{Store, StoreError};
use super::wire::{Request, Response};
use crate::rpc::{asked_to_leave, listen};

/// Reads at a time: pages need a processor each, and others' requests want one too.
const READERS: usize = 4;

/// Why a node does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The folder cannot be used.
    #[error("{0}")]
    Open(String),
    /// The port cannot be used.
    #[error("port {port}: {source}: choose one that is free")]
    Bind {
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
}

/// A node that listens.
#[derive(Debug)]
pub struct Server {
    node: Arc<Node>,
    listener: TcpListener,
    addr: SocketAddr,
}

#[derive(Debug)]
struct Node {
    store: Store,
    staging: Staging,
    readers: Semaphore,
}

/// Runs a node until SIGTERM, SIGINT or the end of its lifeline.
///
/// The caller should end the process soon after: an abandoned thread may still sit in a read of standard input.
///
/// # Errors
/// The folder or the port cannot be used.
pub async fn serve(config: Config) -> Result<(), ServeError> {
    let asked = asked_to_leave(config.lifeline).map_err(ServeError::Signals)?;
    Server::bind(config).await?.run(asked).await;
    Ok(())
}

impl Server {
    /// Opens the store and listens on loopback.
    ///
    /// # Errors
    /// The folder or the port cannot be used.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let opened = spawn_blocking(move || Store::open(&config.dir)).await;
        let store = opened.unwrap_or_else(|e| Err(e.to_string())).map_err(ServeError::Open)?;
        let port = config.port;
        let bind = |source| ServeError::Bind { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        Ok(Self {
            node: Arc::new(Node { store, staging: Staging::default(), readers: Semaphore::new(READERS) }),
            listener,
            addr,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop` is ready.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { node, listener, .. } = self;
        let of_requests = node.clone();
        let answers = move |request| {
            let node = of_requests.clone();
            async move { answer(node, request).await.unwrap_or_else(Response::from) }
        };
        listen(listener, answers, stop).await;
        // The last owner waits for the writer's thread.
        let _ = spawn_blocking(move || drop(node)).await;
    }
}

impl From<StoreError> for Response {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(why) => Self::Refused { why },
            StoreError::Failed(why) => Self::Failed { why },
        }
    }
}

async fn answer(node: Arc<Node>, request: Request) -> Result<Response, StoreError> {
    match request {
        Request::Ping => Ok(Response::Pong),
        Request::Apply { items } => node.store.apply(items).await.map(Response::Applied),
        Request::Strike { strike, seed } => node.store.strike(strike, seed).await.map(Response::Struck),
        Request::Begin => Ok(Response::Begun(node.staging.begin())),
        Request::Stage { restore, items } => node.staging.stage(restore, items).map(Response::Staged),
        Request::Replace { restore, rules } => {
            node.store.replace(&node.staging, restore, rules).await.map(Response::Replaced)
        }
        read => {
            let _turn = node.readers.acquire().await;
            let store = node.clone();
            let done = spawn_blocking(move || answer_read(&store.store, read)).await;
            done.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
        }
    }
}

/// Blocks.
fn answer_read(store: &Store, request: Request) -> Result<Response, StoreError> {
    Ok(match request {
        Request::Status => Response::Status(store.status()?),
        Request::Row { key } => Response::Found(store.row(key)?),
        Request::Record { table, name } => Response::Found(store.record(table, &name)?),
        Request::Rows { from, to, limit } => Response::Rows(store.rows(from, to, limit as usize)?),
        Request::Catalogue => Response::Catalogue(store.catalogue()?),
        Request::Missing => Response::Missing(store.missing()?),
        Request::Changes { since, limit } => Response::Changes(store.changes(since, limit as usize)?),
        _ => {
            return Err(StoreError::Refused("not a question".into()));
        }
    })
}
