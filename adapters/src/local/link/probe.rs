//! How a link observes itself: a connection made by the harness, with both its ends in hand, that takes the same
//! path through acceptor and pumps as any other. Only the far end differs: it is a socket of ours, not the node.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{timeout, timeout_at};

use super::acceptor::Shared;
use super::{Mode, Way};

/// How long something that ought to happen may take, beside the delay in force.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// How long nothing has to happen before a direction counts as dark.
pub(super) const SILENCE: Duration = Duration::from_millis(100);

/// A connection through the link with both ends here.
#[derive(Debug)]
pub(super) struct Probe {
    near: TcpStream,
    far: TcpStream,
    delay: Duration,
}

/// Takes a probe's entry off the list of destinations, used or not.
struct Registered<'a>(SocketAddr, &'a Shared);

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.1.probes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

impl Probe {
    /// Connects through the link at `addr`, which is in `mode`.
    pub(super) async fn open(addr: SocketAddr, shared: &Arc<Shared>, mode: Mode) -> Result<Self, String> {
        let delay = mode.delay(Way::ToNode).unwrap_or_default();
        let (near, far) = timeout(PATIENCE, async {
            let (near, far, _registered) = dial(addr, shared).await?;
            let (far, _) = far.accept().await.map_err(|e| format!("accept: {e}"))?;
            Ok::<_, String>((near, far))
        })
        .await
        .map_err(|_| format!("a connection through the link was not made within {PATIENCE:?}"))??;
        near.set_nodelay(true).map_err(|e| e.to_string())?;
        far.set_nodelay(true).map_err(|e| e.to_string())?;
        Ok(Self { near, far, delay })
    }

    /// Connects through a dark link: fine if nothing comes through.
    pub(super) async fn silent(addr: SocketAddr, shared: &Arc<Shared>) -> Result<(), String> {
        let through = timeout(SILENCE, async {
            let (mut near, far, _registered) = dial(addr, shared).await?;
            near.write_all(&[1]).await.map_err(|e| format!("write: {e}"))?;
            far.accept().await.map_err(|e| format!("accept: {e}"))?;
            Ok::<_, String>(())
        });
        match through.await {
            Err(_) => Ok(()),
            Ok(Ok(())) => Err("a new connection came through".to_owned()),
            Ok(Err(why)) => Err(format!("a new connection failed instead of staying silent: {why}")),
        }
    }

    /// Sends one byte in a direction and waits for it: how long it took, or `None` if it did not come in time.
    pub(super) async fn pass(&mut self, way: Way, limit: Duration) -> Result<Option<Duration>, String> {
        let began = Instant::now();
        self.send(way).await?;
        let arrived = self.arrives(way, began + limit).await?;
        Ok(arrived.then(|| began.elapsed()))
    }

    /// Sends a byte.
    pub(super) async fn send(&mut self, way: Way) -> Result<(), String> {
        let from = if way == Way::FromNode { &mut self.far } else { &mut self.near };
        from.write_all(&[1]).await.map_err(|e| format!("a probe could not send: {e}"))
    }

    /// Waits for the next byte in a direction; false if there was none in time.
    pub(super) async fn arrives(&mut self, way: Way, until: Instant) -> Result<bool, String> {
        let to = if way == Way::FromNode { &mut self.near } else { &mut self.far };
        match timeout_at(until.into(), to.read_u8()).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(e)) => Err(format!("a probe could not receive: {e}")),
            Err(_) => Ok(false),
        }
    }

    /// A byte there and one back.
    pub(super) async fn round_trip(&mut self) -> Result<Duration, String> {
        let limit = self.delay + PATIENCE;
        let mut sum = Duration::ZERO;
        for way in [Way::ToNode, Way::FromNode] {
            sum += self
                .pass(way, limit)
                .await?
                .ok_or_else(|| format!("no byte came through within {limit:?}"))?;
        }
        Ok(sum)
    }

    /// Fine if both ends were reset.
    pub(super) async fn was_reset(mut self) -> Result<(), String> {
        for (end, name) in [(&mut self.near, "near"), (&mut self.far, "far")] {
            match timeout(PATIENCE, end.read_u8()).await {
                Ok(Err(e)) if e.kind() == ErrorKind::ConnectionReset => {}
                Ok(other) => {
                    return Err(format!("the {name} end of a connection saw {other:?} and no reset"));
                }
                Err(_) => return Err(format!("the {name} end of a connection is still alive")),
            }
        }
        Ok(())
    }
}

/// The near end, connected, and a listener for the far one.
async fn dial<'a>(
    addr: SocketAddr,
    shared: &'a Arc<Shared>,
) -> Result<(TcpStream, TcpListener, Registered<'a>), String> {
    let said = |what: &'static str| {
        move |e: std::io::Error| {
            harness::shortage::notice(&e);
            format!("{what}: {e}")
        }
    };
    let far = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(said("listen"))?;
    let there = far.local_addr().map_err(said("listen"))?;
    let near = TcpSocket::new_v4().map_err(said("socket"))?;
    near.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).map_err(said("bind"))?;
    let here = near.local_addr().map_err(said("bind"))?;
    shared.probes.lock().unwrap_or_else(PoisonError::into_inner).insert(here, there);
    let registered = Registered(here, shared);
    let near = near.connect(addr).await.map_err(said("connect"))?;
    Ok((near, far, registered))
}

/// Fine if connecting is refused.
pub(super) async fn refuses(addr: SocketAddr) -> Result<(), String> {
    match timeout(PATIENCE, TcpStream::connect(addr)).await {
        Ok(Err(e)) if e.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Ok(Err(e)) => Err(format!("connecting failed with {e} and was not refused")),
        Ok(Ok(_)) => Err("a connection was made".to_owned()),
        Err(_) => Err("connecting hangs".to_owned()),
    }
}
