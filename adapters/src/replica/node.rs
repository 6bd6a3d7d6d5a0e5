//! Starts and ends a node's part in replication.

use super::saved::{Disk, Saved};
use super::standing::Standing;
use super::wire::{Mode, Role};
use super::{ReplicaConfig, Replicable, follow, server};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};

/// Why a node cannot take part in replication.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What it was is not known.
    #[error("{}: {source}: put the file back, or empty the whole folder and let the node follow", file.display())]
    Saved {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The port cannot be used.
    #[error("replication port {port}: {source}: choose one that is free")]
    Bind {
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration makes no sense.
    #[error("replication: {0}")]
    Config(&'static str),
}

/// What the tasks share.
pub(super) struct Node {
    pub(super) standing: Arc<Standing>,
    pub(super) product: Arc<dyn Replicable>,
}

/// A node's part in replication. Ends with its owner.
pub struct Replica {
    node: Arc<Node>,
    addr: SocketAddr,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Replica {
    /// Opens the replication port and begins to do what the node's role demands. `dir` is the node's folder, which
    /// must exist; `replica.json` in it is kept by this module alone.
    ///
    /// Call this before users are served, and ask [`Standing::may_write`] for each of their writes.
    ///
    /// # Errors
    /// The port cannot be used, or nobody knows any more which role the node had.
    pub async fn start(
        config: &ReplicaConfig,
        dir: &Path,
        product: Arc<dyn Replicable>,
    ) -> Result<Self, StartError> {
        if config.start_as == Role::Fenced {
            return Err(StartError::Config("a node starts as primary or as standby"));
        }
        if config.mode == Mode::Mutual && config.follow.is_none() {
            return Err(StartError::Config("a node in mode mutual needs a node to follow"));
        }
        let saved = opened(config, dir).await?;
        let degrade_after = Duration::from_millis(config.degrade_after_ms.into());
        let standing = Arc::new(Standing::new(saved, Disk::new(dir), degrade_after, product.clone()));
        let bind = |source| StartError::Bind { port: config.port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        let node = Arc::new(Node { standing, product });
        let mut tasks = JoinSet::new();
        tasks.spawn(server::listen(listener, node.clone()));
        let following = node.clone();
        tasks.spawn(async move { follow::run(&following).await });
        Ok(Self { node, addr, tasks })
    }

    /// The replication port.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whom the node's write path asks.
    pub fn standing(&self) -> Arc<Standing> {
        self.node.standing.clone()
    }

    /// Closes the port and stops following. Dropping does the same without waiting.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// What the node was, or becomes by its first start.
async fn opened(config: &ReplicaConfig, dir: &Path) -> Result<Saved, StartError> {
    let failed = |source| StartError::Saved { file: dir.join("replica.json"), source };
    let (disk, first) = (Disk::new(dir), Saved::new(config));
    let open = move || match disk.load()? {
        Some(saved) => Ok(saved),
        None => disk.store(&first).map(|()| first),
    };
    spawn_blocking(open).await.map_err(io::Error::other).and_then(|opened| opened).map_err(failed)
}
