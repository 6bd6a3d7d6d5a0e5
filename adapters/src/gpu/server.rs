//! The worker's process: a listener on loopback in front of an engine.
//!
//! Connections are bounded, and so are the shards under way: they need a processor each. A frame that is no request
//! closes its connection and nothing more.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use harness::job::{Checkpoint, SHARDS, Sums};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::codec::Framed;

use super::wire::{Request, Response, Status, decode, encode, framing};
use super::{Config, Engine, OpenCl};
use crate::local::lifeline::stop_requested;

/// Connections at a time; more are closed at once.
const CONNECTIONS: usize = 64;
/// Shards computed at a time.
const SIDE_BY_SIDE: usize = 2;
/// A connection without a request for so long is closed.
const IDLE: Duration = Duration::from_secs(300);
/// A peer that takes no answer for so long is gone.
const STUCK: Duration = Duration::from_secs(30);
/// No job has more steps.
const STEPS_MAX: u64 = 1 << 40;
/// Coordinates of centroids are means of points, which are far smaller.
const COORDINATE_MAX: i32 = 1 << 20;

/// Why a worker does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port cannot be used.
    #[error("worker: cannot listen on {listen}:{port}: {source}; choose a free port")]
    Bind {
        /// The address.
        listen: Ipv4Addr,
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// Signals or standard input cannot be watched.
    #[error("worker: cannot watch for the order to stop: {0}")]
    Stop(#[source] io::Error),
}

/// Runs a worker until `SIGTERM` or, if so configured, the end of standard input.
///
/// # Errors
/// The port cannot be used, or nobody could tell the worker to stop.
pub async fn serve(config: Config) -> Result<(), ServeError> {
    let lifeline = config.lifeline;
    let server = Server::bind(config).await?;
    let mut watched = Ok(());
    server.run(async { watched = stop_requested(lifeline).await.map(drop).map_err(ServeError::Stop) }).await;
    watched
}

/// A worker that listens.
#[derive(Debug)]
pub struct Server {
    worker: Arc<Worker>,
    listener: TcpListener,
    addr: SocketAddr,
}

/// What every connection needs.
#[derive(Debug)]
struct Worker {
    engine: Arc<dyn Engine>,
    turns: Semaphore,
    wrong: AtomicBool,
    shards: AtomicU64,
    inferences: AtomicU64,
}

impl Server {
    /// Listens on loopback.
    ///
    /// # Errors
    /// The port cannot be used.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let bind = |source| ServeError::Bind { listen: config.listen, port: config.port, source };
        let listener = TcpListener::bind((config.listen, config.port)).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        let worker = Worker {
            engine: Arc::new(OpenCl::new(&config.corpus, config.job)),
            turns: Semaphore::new(SIDE_BY_SIDE),
            wrong: AtomicBool::new(config.miscompute),
            shards: AtomicU64::new(0),
            inferences: AtomicU64::new(0),
        };
        Ok(Self { worker: Arc::new(worker), listener, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop` is ready.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { worker, listener, .. } = self;
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        if let Ok(permit) = room.clone().try_acquire_owned() {
                            let worker = worker.clone();
                            connections.spawn(async move {
                                worker.connection(stream).await;
                                drop(permit);
                            });
                        }
                    }
                    // Out of descriptors: accepting again at once would spin.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
            }
        }
        connections.shutdown().await;
    }
}

impl Worker {
    /// Ends when the peer does, or sends what is no request.
    async fn connection(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut framed = Framed::new(stream, framing());
        while let Ok(Some(Ok(frame))) = timeout(IDLE, framed.next()).await {
            let Ok(request) = decode::<Request>(&frame) else { break };
            let Ok(answer) = encode(&self.answer(request).await) else { break };
            if !matches!(timeout(STUCK, framed.send(answer)).await, Ok(Ok(()))) {
                break;
            }
        }
    }

    async fn answer(&self, request: Request) -> Response {
        match request {
            Request::Ping => Response::Pong,
            Request::Status => Response::Status(Status {
                engine: self.engine.name(),
                shards: self.shards.load(Ordering::Relaxed),
                inferences: self.inferences.load(Ordering::Relaxed),
            }),
            Request::Shard { before, shard } => match self.shard(&before, shard).await {
                Ok(sums) => Response::Sums(Box::new(sums)),
                Err(why) => Response::Refused(why),
            },
            Request::Infer { input } if input.len() == self.engine.inputs() => {
                self.inferences.fetch_add(1, Ordering::Relaxed);
                let mut output = self.engine.infer(&input);
                if self.wrong.load(Ordering::Relaxed) {
                    output.iter_mut().for_each(|y| *y *= 1.01);
                }
                Response::Output(output)
            }
            Request::Infer { input } => {
                let wanted = self.engine.inputs();
                Response::Refused(format!("an input of {} values: send {wanted}", input.len()))
            }
            Request::Miscompute(wrong) => {
                self.wrong.store(wrong, Ordering::Relaxed);
                Response::Done
            }
        }
    }

    async fn shard(&self, before: &[u8], shard: u32) -> Result<Sums, String> {
        let before = Checkpoint::parse(before).filter(plausible).ok_or("that is no checkpoint")?;
        if shard >= SHARDS {
            return Err(format!("shard {shard}: a step has {SHARDS}"));
        }
        let turn = self.turns.acquire().await.map_err(|e| e.to_string())?;
        let engine = self.engine.clone();
        let sums = spawn_blocking(move || engine.shard(&before, shard)).await;
        drop(turn);
        let mut sums = sums.map_err(|e| e.to_string())?;
        self.shards.fetch_add(1, Ordering::Relaxed);
        if self.wrong.load(Ordering::Relaxed) {
            bend(&mut sums, shard);
        }
        Ok(sums)
    }
}

/// Whether a step can follow without overflow.
fn plausible(before: &Checkpoint) -> bool {
    let small = |x: &i32| x.unsigned_abs() < COORDINATE_MAX.unsigned_abs();
    before.step < STEPS_MAX && before.centroids().as_flattened().iter().all(small)
}

/// The least that can be wrong: one bit of a sum, or one count.
fn bend(sums: &mut Sums, shard: u32) {
    match shard % 2 {
        0 => sums.sums[0][0] ^= 1,
        _ => sums.counts[0] += 1,
    }
}
