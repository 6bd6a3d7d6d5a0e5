//! The node's process: a listener on loopback in front of the store.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::Config;
use super::item::Item;
use super::replace::Staging;
use super::replicated::Replicated;
use super::store::{Store, StoreError};
use super::wire::{Applied, Request, Response};
use crate::replica::{Replica, Standing, StartError};
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
    /// The node cannot take part in replication.
    #[error(transparent)]
    Replica(#[from] StartError),
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
}

/// A node that listens.
#[derive(Debug)]
pub struct Server {
    store: Arc<Store>,
    replica: Option<Replica>,
    listener: TcpListener,
    addr: SocketAddr,
}

#[derive(Debug)]
struct Node {
    store: Arc<Store>,
    standing: Option<Arc<Standing>>,
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
    /// The folder or a port cannot be used, or nobody knows any more which role the node had.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let Config { dir, port, replica, .. } = config;
        let folder = dir.clone();
        let opened = spawn_blocking(move || Store::open(&folder)).await;
        let store = opened.unwrap_or_else(|e| Err(e.to_string())).map_err(ServeError::Open)?;
        let store = Arc::new(store);
        let bind = |source| ServeError::Bind { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        let replica = match &replica {
            Some(config) => Some(Replica::start(config, &dir, Arc::new(Replicated(store.clone()))).await?),
            None => None,
        };
        Ok(Self { store, replica, listener, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its replication port.
    pub fn replica_addr(&self) -> Option<SocketAddr> {
        self.replica.as_ref().map(Replica::addr)
    }

    /// Serves until `stop` is ready.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { store, replica, listener, .. } = self;
        let standing = replica.as_ref().map(Replica::standing);
        let readers = Semaphore::new(READERS);
        let of_requests =
            Arc::new(Node { store: store.clone(), standing, staging: Staging::default(), readers });
        let answers = move |request| {
            let node = of_requests.clone();
            async move { answer(node, request).await.unwrap_or_else(Response::from) }
        };
        listen(listener, answers, stop).await;
        if let Some(replica) = replica {
            replica.stop().await;
        }
        // The last owner waits for the writer's thread.
        let _ = spawn_blocking(move || drop(store)).await;
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
        Request::Apply { items } => write(&node, items).await.map(Response::Applied),
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

/// A user's write: on a replicated node only where the node's role allows it, and answered when its mode does.
async fn write(node: &Node, items: Vec<Item>) -> Result<Applied, StoreError> {
    let Some(standing) = &node.standing else { return node.store.apply(items).await };
    let permit = standing.may_write().map_err(|why| StoreError::Refused(why.to_string()))?;
    let applied = node.store.apply(items).await?;
    permit.confirmed(applied.lsn).await.map_err(|why| StoreError::Failed(why.to_string()))?;
    Ok(applied)
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
        Request::Inventory => Response::Inventory(store.inventory()?),
        Request::Strangers => Response::Strangers(store.strangers()?),
        Request::Changes { since, limit } => Response::Changes(store.changes(since, limit as usize)?),
        _ => {
            return Err(StoreError::Refused("not a question".into()));
        }
    })
}
