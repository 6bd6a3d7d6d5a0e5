//! Two nodes with a toy for a product, real sockets, and links that can be cut.

mod failover;
mod garbage;
mod laws;
mod mutual;
mod pulling;
mod toy;

use self::toy::Toy;
use super::{Mode, Replica, ReplicaClient, ReplicaConfig, Role, StartError, Status};
use crate::local::link::Link;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

/// A folder and a port, and the link through which the other reaches the port.
struct Site {
    dir: TempDir,
    config: ReplicaConfig,
    link: Link,
}

/// A running node.
struct Node {
    toy: Arc<Toy>,
    replica: Replica,
    client: ReplicaClient,
}

/// An address nobody listens on now.
fn free() -> SocketAddr {
    ([127, 0, 0, 1], crate::local::port::Port::for_good()).into()
}

/// Two sites that follow each other, should their roles say so.
fn sites(mode: Mode, second: Role) -> [Site; 2] {
    let (addrs, mode_of_second) = ([free(), free()], if mode == Mode::Mutual { mode } else { Mode::Async });
    let links = addrs.map(|addr| Link::open(addr).unwrap());
    let follow = [links[1].addr(), links[0].addr()];
    let [first_link, second_link] = links;
    let site = |at: usize, link, mode, start_as| Site {
        dir: tempfile::tempdir().unwrap(),
        config: ReplicaConfig {
            port: addrs[at].port(),
            mode,
            start_as,
            follow: Some(follow[at]),
            degrade_after_ms: 300,
        },
        link,
    };
    [site(0, first_link, mode, Role::Primary), site(1, second_link, mode_of_second, second)]
}

impl Site {
    async fn try_start(&self) -> Result<Node, StartError> {
        let toy = Arc::new(Toy::open(self.dir.path()));
        let replica = Replica::start(&self.config, self.dir.path(), toy.clone()).await?;
        let client = ReplicaClient::new(replica.addr(), LIMIT);
        Ok(Node { toy, replica, client })
    }

    /// A predecessor's port may still be open for a moment.
    async fn start(&self) -> Node {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.try_start().await {
                Ok(node) => return node,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("replica.json")
    }
}

impl Node {
    /// A user's write.
    async fn write(&self, key: u64, ver: u64) -> Result<(), String> {
        let permit = self.replica.standing().may_write().map_err(|error| error.to_string())?;
        let lsn = self.toy.put(key, ver);
        permit.confirmed(lsn).await.map_err(|error| error.to_string())
    }

    fn status(&self) -> Status {
        self.replica.standing().status()
    }

    /// Waits until the status is as asked.
    async fn until(&self, what: &str, is: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.status();
            if is(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "never {what}: {status:#?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until everything `source` has now is here.
    async fn has_all_of(&self, source: &Node) {
        let position = source.status().position;
        let reached = |status: &Status| {
            let upto = status.following.as_ref().map(|source| source.upto);
            upto.is_some_and(|upto| upto.timeline == position.timeline && upto.lsn >= position.lsn)
        };
        self.until("caught up", reached).await;
    }

    async fn kill(self) {
        self.replica.stop().await;
    }
}
