//! The node's process: a listener on loopback in front of the engine.
//!
//! Whatever blocks runs on blocking threads.

use super::engine::{Engine, EngineError, OpenError};
use super::wire::{Request, Response};
use super::{Config, wire::State};
use crate::rpc::{asked_to_leave, listen};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
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
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
}

/// A node that listens.
#[derive(Debug)]
pub struct Server {
    engine: Arc<Engine>,
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
    /// Listens on loopback, on the port of the engine's config.
    ///
    /// # Errors
    /// The port cannot be used.
    pub async fn bind(engine: Engine) -> Result<Self, ServeError> {
        let port = engine.core.config.port;
        let bind = |source| ServeError::Bind { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        Ok(Self { engine: Arc::new(engine), listener, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop` is ready, then seals what was written.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { engine, listener, .. } = self;
        let node = Arc::new(Shared { engine: engine.clone(), readers: Semaphore::new(READERS) });
        let answers = move |request| {
            let node = node.clone();
            async move { answer(&node, request).await }
        };
        listen(listener, answers, stop).await;
        close(engine).await;
    }
}

async fn close(engine: Arc<Engine>) {
    engine.core.stopping.store(true, std::sync::atomic::Ordering::Relaxed);
    let closed = spawn_blocking(move || engine.close()).await;
    if let Ok(Err(error)) = closed {
        tracing::warn!("leaving without a flush, the log has everything: {error}");
    }
}

/// What every request needs.
struct Shared {
    engine: Arc<Engine>,
    readers: Semaphore,
}

async fn answer(node: &Shared, request: Request) -> Response {
    let engine = node.engine.clone();
    let written = |result: Result<u64, EngineError>| result.map(|lsn| Response::Written { lsn });
    let result = match request {
        Request::Ping => Ok(Response::Pong),
        Request::Put(record) => written(engine.put(record).await),
        Request::Delete { key, ver } => written(engine.delete(key, ver).await),
        read @ (Request::Search { .. } | Request::Survivors { .. }) => {
            let _turn = node.readers.acquire().await;
            on_blocking_thread(engine, read).await
        }
        other => on_blocking_thread(engine, other).await,
    };
    match result {
        Ok(response) => response,
        Err(EngineError::Refused { state, why }) => Response::Refused { state, why },
        Err(EngineError::Failed(why)) => Response::Failed { why },
    }
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
        Request::Status => Response::Status(Box::new(engine.status())),
        Request::Flush => Response::Flushed { lsn: engine.flush()? },
        Request::BuildIndex { spec } => Response::Built(engine.build_index(spec, super::BuildEngine::Cpu)?),
        Request::RebuildIndex { engine: by } => Response::Built(engine.rebuild_index(by)?),
        Request::Reload => {
            engine.reload();
            Response::Status(Box::new(engine.status()))
        }
        Request::ImportBegin => Response::Begun { import: engine.import_begin() },
        Request::ImportPage { import, records } => {
            Response::Staged { records: engine.import_page(import, records)? }
        }
        Request::ImportCommit { import, since } => Response::Imported(engine.import_commit(import, since)?),
        Request::Ping | Request::Put(_) | Request::Delete { .. } => {
            return Err(super::engine::refused(State::Healthy, "not a blocking request"));
        }
    })
}
