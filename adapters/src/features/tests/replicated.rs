//! Two nodes in processes of their own, a link between them, a primary that is killed, and poison that stays at home.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{Process, somewhere};
use super::*;
use crate::features::{CallError, Rules, Strike};
use crate::local::link::{Link, Mode as LinkMode};
use crate::replica::{Mode, ReplicaClient, ReplicaConfig, Role, Status};

/// Where a node lives, and the link to its replication port.
struct Site {
    config: Config,
    link: Link,
    control: ReplicaClient,
    _dir: TempDir,
}

/// A primary and a standby (or two primaries) that are not started yet.
fn sites(mode: Mode) -> [Site; 2] {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let ports = [0, 1].map(|at: usize| somewhere(dirs[at].path()).port);
    let links = ports.map(|port| Link::open(([127, 0, 0, 1], port).into()).unwrap());
    let peers = [links[1].addr(), links[0].addr()];
    let site = |at: usize, dir: TempDir, link| {
        let standby = at == 1 && mode != Mode::Mutual;
        let replica = ReplicaConfig {
            port: ports[at],
            mode: if standby { Mode::Async } else { mode },
            start_as: if standby { Role::Standby } else { Role::Primary },
            follow: Some(peers[at]),
            degrade_after_ms: 1000,
        };
        let control = ReplicaClient::new(([127, 0, 0, 1], replica.port).into(), LIMIT);
        Site { config: Config { replica: Some(replica), ..somewhere(dir.path()) }, link, control, _dir: dir }
    };
    let ([east_dir, west_dir], [east_link, west_link]) = (dirs, links);
    [site(0, east_dir, east_link), site(1, west_dir, west_link)]
}

impl Site {
    async fn start(&self) -> Process {
        Process::start(&self.config).ready().await
    }

    async fn until(&self, what: &str, is: impl Fn(&Status) -> bool) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.control.status().await;
            if status.as_ref().is_ok_and(&is) {
                return;
            }
            assert!(Instant::now() < deadline, "never {what}: {status:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until everything that `source` has now is here.
    async fn has_all_of(&self, source: &Site) {
        let position = source.control.status().await.unwrap().position;
        let reached = |status: &Status| {
            let upto = status.following.as_ref().map(|source| source.upto);
            upto.is_some_and(|upto| upto.timeline == position.timeline && upto.lsn >= position.lsn)
        };
        self.until("caught up", reached).await;
    }
}

async fn all(node: &Process) -> Vec<Item> {
    let rows = node.1.rows(0, u64::MAX, 50_000).await.unwrap().rows;
    let records = node.1.catalogue().await.unwrap();
    rows.into_iter().chain(records).map(|stored| stored.item).collect()
}

async fn put(node: &Process, item: Item) -> Result<(), CallError> {
    node.1.apply(vec![item]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_sync_a_killed_primary_loses_nothing_and_rejoins() {
    let [east, west] = sites(Mode::Sync);
    let (old, new) = (east.start().await, west.start().await);
    put(&old, record(Table::Roles, "admin", "{}")).await.unwrap();
    let writers = (0..8_u64).map(|writer| {
        let client = old.1.clone();
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for key in writer * 1_000_000.. {
                match client.apply(vec![row(key, 1)]).await {
                    Ok(_) => acknowledged.push(key),
                    Err(_) => break,
                }
            }
            acknowledged
        })
    });
    let writers: Vec<_> = writers.collect();
    east.until("busy", |status| status.position.lsn >= 400).await;
    old.signal(Signal::KILL);
    let acknowledged = futures::future::try_join_all(writers).await.unwrap().concat();
    assert!(acknowledged.len() >= 200, "only {}", acknowledged.len());
    let refused = put(&new, row(1, 2)).await.unwrap_err();
    assert!(matches!(&refused, CallError::Refused(why) if why.starts_with("standby")), "{refused}");
    west.control.promote(2, None).await.unwrap();
    let stored = all(&new).await;
    let lost = acknowledged.iter().filter(|key| !stored.contains(&row(**key, 1))).count();
    assert_eq!((lost, stored.contains(&record(Table::Roles, "admin", "{}"))), (0, true));
    put(&new, gone(1_000_000, 5)).await.unwrap();
    // The old primary comes back as such, with writes that nobody else has, and is told.
    drop(old);
    let old = east.start().await;
    east.until("told", |status| (status.role, status.epoch) == (Role::Fenced, 2)).await;
    assert!(put(&old, row(1, 3)).await.is_err_and(|e| e.is_definite()));
    east.control.follow(west.link.addr(), true, 2).await.unwrap();
    east.has_all_of(&west).await;
    assert_eq!(all(&old).await, all(&new).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_primaries_converge_after_a_partition() {
    let [east, west] = sites(Mode::Mutual);
    let (a, b) = (east.start().await, west.start().await);
    put(&a, row(0, 1)).await.unwrap();
    east.link.set(LinkMode::Refuse).await.unwrap();
    west.link.set(LinkMode::Refuse).await.unwrap();
    for key in 0..60 {
        put(&a, row(key, 2 + key % 2)).await.unwrap();
        put(&b, row(30 + key, 4 - key % 2)).await.unwrap();
    }
    put(&a, gone(5, 9)).await.unwrap();
    put(&b, row(5, 8)).await.unwrap();
    assert_ne!(all(&a).await, all(&b).await);
    east.link.set(LinkMode::Open).await.unwrap();
    west.link.set(LinkMode::Open).await.unwrap();
    for (one, other) in [(&east, &west), (&west, &east), (&east, &west)] {
        one.has_all_of(other).await;
    }
    let merged = all(&a).await;
    assert_eq!(merged, all(&b).await);
    assert!(merged.contains(&gone(5, 9)) && merged.contains(&row(0, 2)) && merged.contains(&row(89, 3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_stays_at_home_and_a_restored_source_is_followed_on() {
    let [east, west] = sites(Mode::Sync);
    let (old, new) = (east.start().await, west.start().await);
    for key in 0..20 {
        put(&old, row(key, 1)).await.unwrap();
    }
    let good = all(&new).await;
    old.1.strike(Strike::ShiftValues(0.5), 1).await.unwrap();
    old.1.strike(Strike::LeaveRole, 1).await.unwrap();
    put(&old, row(20, 1)).await.unwrap();
    assert_eq!(all(&new).await, [good.clone(), vec![row(20, 1)]].concat());
    // A restore begins another timeline, and the standby goes on with it.
    let restore = old.1.begin().await.unwrap();
    old.1.stage(restore, good.clone()).await.unwrap();
    old.1.replace(restore, Rules::default()).await.unwrap();
    put(&old, row(21, 1)).await.unwrap();
    west.has_all_of(&east).await;
    assert_eq!(all(&new).await, [good, vec![row(20, 1), row(21, 1)]].concat());
    assert_eq!(all(&old).await, all(&new).await);
}
