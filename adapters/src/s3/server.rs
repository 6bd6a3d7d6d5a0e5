//! The object node: an S3 server over files, on loopback only, in a process of its own.
//!
//! Invariants: it listens on `127.0.0.1` and nowhere else; an acknowledged object is on disk (see `durable`); it ends
//! when told to (`SIGTERM`, or the end of its lifeline) after the requests in flight were given a moment, and
//! never waits longer than that.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Keys;
use super::durable::Durable;
use super::replicated::{Replicated, Rights};
use super::store::Store;
use crate::local::lifeline::stop_requested;
use crate::replica::{Replica, ReplicaConfig, StartError};

/// Connections served at a time; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 512;
/// How long requests in flight may take once the node is told to stop.
const GRACE: Duration = Duration::from_secs(2);
/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What an object node needs to know.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Port on `127.0.0.1`; 0 takes a free one.
    pub port: u16,
    /// Folder of the data; made if it is missing.
    pub data: PathBuf,
    /// The only key pair that is let in.
    pub keys: Keys,
    /// Stop when standard input ends.
    pub lifeline: bool,
    /// How it takes part in replication, if it does.
    pub replica: Option<ReplicaConfig>,
}

/// Why an object node could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data folder cannot be used.
    #[error("object node: cannot use the data folder {path}: {why}; check that it exists and is writable")]
    Data {
        /// The folder.
        path: PathBuf,
        /// What failed.
        why: String,
    },
    /// The port cannot be bound.
    #[error("object node: cannot listen on 127.0.0.1:{port}: {source}; choose a free port")]
    Listen {
        /// The port asked for.
        port: u16,
        /// What failed.
        source: io::Error,
    },
    /// The node cannot take part in replication.
    #[error("object node: {0}")]
    Replica(#[from] StartError),
    /// Signals or standard input cannot be watched.
    #[error("object node: cannot watch for the order to stop: {0}")]
    Stop(#[source] io::Error),
}

/// Runs an object node until `SIGTERM` or, if so configured, the end of standard input.
pub async fn serve(config: ServerConfig) -> Result<(), ServerError> {
    let lifeline = config.lifeline;
    let server = Server::bind(config).await?;
    let mut watched = Ok(());
    server
        .run(async {
            match stop_requested(lifeline).await {
                Ok(reason) => tracing::info!(?reason, "object node stops"),
                Err(e) => watched = Err(ServerError::Stop(e)),
            }
        })
        .await;
    watched
}

/// An object node that owns its port and has yet to run.
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    service: S3Service,
    replica: Option<Replica>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the data folder and binds the port; takes its part in replication from now on.
    pub async fn bind(config: ServerConfig) -> Result<Self, ServerError> {
        let bad_data = |why: String| ServerError::Data { path: config.data.clone(), why };
        std::fs::create_dir_all(&config.data).map_err(|e| bad_data(e.to_string()))?;
        let store = Store::open(&config.data).map_err(|e| bad_data(e.to_string()))?;
        let replica = match &config.replica {
            Some(replica) => {
                let product = Arc::new(Replicated(store.clone()));
                Some(Replica::start(replica, &config.data, product).await?)
            }
            None => None,
        };
        let rights = Rights(replica.as_ref().map(Replica::standing));
        let store = Durable::new(&config.data, store, rights).map_err(bad_data)?;
        let mut builder = S3ServiceBuilder::new(store);
        builder.set_auth(SimpleAuth::from_single(config.keys.access, config.keys.secret));
        let service = builder.build();
        let (listener, addr) =
            listen(config.port).map_err(|source| ServerError::Listen { port: config.port, source })?;
        Ok(Self { listener, addr, service, replica })
    }

    /// Its replication port.
    pub fn replica_addr(&self) -> Option<SocketAddr> {
        self.replica.as_ref().map(Replica::addr)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop` resolves.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let drain = CancellationToken::new();
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let accepted = async {
                let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
                (slot, self.listener.accept().await)
            };
            tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => {}
                (slot, accepted) = accepted => match accepted {
                    Ok((socket, _)) => {
                        let connection = connection(socket, self.service.clone(), drain.clone());
                        connections.spawn(async move { connection.await; drop(slot); });
                    }
                    Err(e) => {
                        // Out of descriptors, most likely: let some connections end first.
                        tracing::warn!("object node: accept: {e}");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                },
            }
        }
        drop(self.listener);
        drain.cancel();
        let all = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, all).await;
        connections.shutdown().await;
        if let Some(replica) = self.replica {
            replica.stop().await;
        }
    }
}

fn listen(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    // A restarted node takes its port back while connections of its predecessor linger.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let listener = socket.listen(1024)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

async fn connection(socket: TcpStream, service: S3Service, drain: CancellationToken) {
    let _ = socket.set_nodelay(true);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(socket), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = drain.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!("object node: connection: {e}");
    }
}
