//! The node's process: a listener on loopback in front of the engine.
//!
//! Whatever blocks runs on blocking threads.

use super::commit::Update;
use super::engine::{Engine, EngineError, OpenError, refused};
use super::replicated::Replicated;
use super::wire::{Record, Request, Response};
use super::{Config, wire::State};
use crate::replica::{Replica, Standing, StartError};
use crate::rpc::{asked_to_leave, listen};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Searches and scans at a time: they need a processor each, and others' requests want one too.
const READERS: usize = 4;

/// Why a node does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
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
    engine: Arc<Engine>,
    replica: Option<Replica>,
    listener: TcpListener,
    addr: SocketAddr,
}

/// Runs a node until SIGTERM, SIGINT or the end of its lifeline, then seals what was written.
///
/// The caller should end the process soon after: an abandoned thread may still sit in a read of standard input.
///
/// # Errors
/// The folder or the port cannot be used.
pub async fn serve(config: Config) -> Result<(), ServeError> {
    let asked = asked_to_leave(config.lifeline).map_err(ServeError::Signals)?;
    tokio::pin!(asked);
    let engine = Engine::open(config)?;
    if let Some(sleep) = engine.core.planted.sleep() {
        let _ = timeout(sleep, &mut asked).await;
        return Ok(());
    }
    Server::bind(engine).await?.run(asked).await;
    Ok(())
}

impl Server {
    /// Listens on loopback, on the ports of the engine's config.
    ///
    /// # Errors
    /// A port cannot be used, or nobody knows any more which role the node had.
    pub async fn bind(engine: Engine) -> Result<Self, ServeError> {
        let port = engine.core.config.port;
        let bind = |source| ServeError::Bind { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        let engine = Arc::new(engine);
        let replica = match &engine.core.config.replica {
            Some(config) => {
                let product = Arc::new(Replicated(engine.clone()));
                Some(Replica::start(config, &engine.core.config.dir, product).await?)
            }
            None => None,
        };
        Ok(Self { engine, replica, listener, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its replication port.
    pub fn replica_addr(&self) -> Option<SocketAddr> {
        self.replica.as_ref().map(Replica::addr)
    }

    /// Serves until `stop` is ready, then seals what was written.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { engine, replica, listener, .. } = self;
        let standing = replica.as_ref().map(Replica::standing);
        let node = Arc::new(Shared { engine: engine.clone(), standing, readers: Semaphore::new(READERS) });
        let answers = move |request| {
            let node = node.clone();
            async move { answer(&node, request).await }
        };
        listen(listener, answers, stop).await;
        if let Some(replica) = replica {
            replica.stop().await;
        }
        close(engine).await;
    }
}

async fn close(engine: Arc<Engine>) {
    engine.core.stopping.store(true, Ordering::Relaxed);
    let closed = spawn_blocking(move || engine.close()).await;
    if let Ok(Err(error)) = closed {
        tracing::warn!("leaving without a flush, the log has everything: {error}");
    }
}

/// What every request needs.
struct Shared {
    engine: Arc<Engine>,
    standing: Option<Arc<Standing>>,
    readers: Semaphore,
}

async fn answer(node: &Shared, request: Request) -> Response {
    let engine = node.engine.clone();
    engine.core.requests.fetch_add(1, Ordering::Relaxed);
    let result = match request {
        Request::Ping => Ok(Response::Pong),
        Request::Put(Record { key, ver, vector }) => {
            write(node, Update { key, ver, vector: Some(vector.into()) }).await
        }
        Request::Delete { key, ver } => write(node, Update { key, ver, vector: None }).await,
        Request::Apply { changes } => engine.apply(changes).await.map(Response::Merged),
        read @ (Request::Search { .. } | Request::Survivors { .. } | Request::Changes { .. }) => {
            let _turn = node.readers.acquire().await;
            on_blocking_thread(engine, read).await
        }
        other => on_blocking_thread(engine, other).await,
    };
    match result {
        Ok(response) => response,
        Err(EngineError::Refused { state, why }) => Response::Refused { state, why },
        Err(EngineError::Resync(why)) => Response::Resync { why },
        Err(EngineError::Failed(why)) => Response::Failed { why },
    }
}

/// A user's write: on a replicated node only where the node's role allows it, and answered when its mode does.
async fn write(node: &Shared, update: Update) -> Result<Response, EngineError> {
    let lsn = match &node.standing {
        None => node.engine.write(update).await?,
        Some(standing) => {
            let permit = standing.may_write().map_err(|why| refused(State::Healthy, why.to_string()))?;
            let lsn = node.engine.write_newer(update).await?;
            permit.confirmed(lsn).await.map_err(|why| EngineError::Failed(why.to_string()))?;
            lsn
        }
    };
    Ok(Response::Written { lsn })
}

async fn on_blocking_thread(engine: Arc<Engine>, request: Request) -> Result<Response, EngineError> {
    let done = spawn_blocking(move || blocking(&engine, request)).await;
    done.unwrap_or_else(|error| Err(EngineError::Failed(error.to_string())))
}

fn blocking(engine: &Engine, request: Request) -> Result<Response, EngineError> {
    Ok(match request {
        Request::Get { key } => Response::Found(engine.get(key)?),
        Request::Search { query, k } => Response::Hits(engine.search(&query, k as usize)?),
        Request::Survivors { after, limit } => Response::Page(engine.survivors(after, limit as usize)?),
        Request::Changes { since, limit } => Response::Changes(engine.changes(since, limit as usize)?),
        Request::Status => Response::Status(Box::new(engine.status())),
        Request::Flush => Response::Flushed { lsn: engine.flush()? },
        Request::BuildIndex { spec, engine: by } => Response::Built(engine.build_index(spec, by)?),
        Request::RebuildIndex { engine: by } => Response::Built(engine.rebuild_index(by)?),
        Request::Reload => {
            engine.reload();
            Response::Status(Box::new(engine.status()))
        }
        Request::ImportBegin => Response::Begun { import: engine.import_begin() },
        Request::ImportPage { import, changes } => {
            Response::Staged { records: engine.import_page(import, changes)? }
        }
        Request::ImportCommit { import, since } => Response::Imported(engine.import_commit(import, since)?),
        Request::Ping | Request::Put(_) | Request::Delete { .. } | Request::Apply { .. } => {
            return Err(refused(State::Healthy, "not a blocking request"));
        }
    })
}
