//! Two nodes in processes of their own, a link between them, and a primary that is killed.

use super::process::{Process, somewhere};
use super::*;
use crate::local::link::{Link, Mode as LinkMode, Way};
use crate::replica::{Mode, ReplicaClient, ReplicaConfig, ReplicaError, Role, Status};
use crate::vectordb::{BuildEngine, CallError, Census};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

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
    let mutual = mode == Mode::Mutual;
    let site = |at: usize, dir: TempDir, link| {
        let second = at == 1;
        let replica = ReplicaConfig {
            port: ports[at],
            mode: if second && !mutual { Mode::Async } else { mode },
            start_as: if second && !mutual { Role::Standby } else { Role::Primary },
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

    async fn until(&self, what: &str, is: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.control.status().await;
            if let Ok(status) = &status
                && is(status)
            {
                return status.clone();
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

async fn census(node: &Process) -> Census {
    node.1.status().await.unwrap().census
}

/// Keys of `acknowledged` that a node does not have, or not as they were written.
async fn lost(node: &Process, acknowledged: &[u64]) -> Vec<u64> {
    let mut lost = Vec::new();
    for key in acknowledged {
        if node.1.get(*key).await.unwrap() != Some(record(*key, 1)) {
            lost.push(*key);
        }
    }
    lost
}

#[tokio::test(flavor = "multi_thread")]
async fn in_sync_a_killed_primary_loses_nothing_and_rejoins() {
    let [east, west] = sites(Mode::Sync);
    let (old, new) = (east.start().await, west.start().await);
    let writers: Vec<_> = (0..8_u64)
        .map(|writer| {
            let client = old.1.clone();
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for key in writer * 1_000_000.. {
                    match client.put(record(key, 1)).await {
                        Ok(_) => acknowledged.push(key),
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    east.until("busy", |status| status.position.lsn >= 400).await;
    old.signal(Signal::KILL);
    let acknowledged = futures::future::try_join_all(writers).await.unwrap().concat();
    assert!(acknowledged.len() >= 200, "only {}", acknowledged.len());
    let refused = new.1.put(record(1, 2)).await.unwrap_err();
    assert!(matches!(&refused, CallError::Refused { why, .. } if why.starts_with("standby")), "{refused}");
    west.control.promote(2, None).await.unwrap();
    assert_eq!(lost(&new, &acknowledged).await, Vec::<u64>::new());
    let far = Record { key: 77, ver: 5, vector: vec![1000.0; DIM as usize] };
    new.1.put(far.clone()).await.unwrap();
    // Whatever its role, it answers searches; and an index is built as on any node.
    new.1.build_index(spec(), BuildEngine::Cpu).await.unwrap();
    assert_eq!(new.1.search(far.vector.clone(), 1).await.unwrap()[0].key, 77);
    // The old primary comes back as such, with writes that nobody else has, and is told.
    drop(old);
    let old = east.start().await;
    east.until("told", |status| (status.role, status.epoch) == (Role::Fenced, 2)).await;
    let refused = old.1.put(record(1, 3)).await.unwrap_err();
    assert!(
        matches!(&refused, CallError::Refused { why, .. } if why.starts_with("fenced by epoch 2")),
        "{refused}"
    );
    east.control.follow(west.link.addr(), true, 2).await.unwrap();
    east.has_all_of(&west).await;
    assert_eq!(census(&old).await, census(&new).await);
    assert_eq!(old.1.search(far.vector.clone(), 1).await.unwrap()[0].key, 77);
    // With a follower again, the new primary can be as strict as the old one was.
    west.control.promote(2, Some(Mode::Sync)).await.unwrap();
    new.1.put(record(78, 6)).await.unwrap();
    assert_eq!(old.1.get(78).await.unwrap(), Some(record(78, 6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_async_a_killed_primary_loses_its_lag() {
    let [east, west] = sites(Mode::Async);
    let (old, new) = (east.start().await, west.start().await);
    let put = async |key| _ = old.1.put(record(key, 1)).await.unwrap();
    for key in 0..100 {
        put(key).await;
    }
    west.has_all_of(&east).await;
    east.link.set(LinkMode::Blackhole(Way::Both)).await.unwrap();
    for key in 100..140 {
        put(key).await;
    }
    let lag = east.control.status().await.unwrap().follower.unwrap().lag;
    old.signal(Signal::KILL);
    west.control.promote(2, None).await.unwrap();
    let lost = lost(&new, &(0..140).collect::<Vec<_>>()).await;
    assert_eq!((lost.len() as u64, lost), (lag, (100..140).collect()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_standby_a_strict_primary_acknowledges_nothing() {
    let [east, west] = sites(Mode::Sync);
    let old = east.start().await;
    let silence = old.1.within(Duration::from_millis(300)).put(record(1, 1)).await.unwrap_err();
    assert!(!silence.is_definite(), "{silence}");
    let late = old.1.put(record(2, 1)).await.unwrap_err();
    assert!(matches!(&late, CallError::Indefinite(why) if why.contains("no follower confirmed")), "{late}");
    let new = west.start().await;
    old.1.put(record(3, 1)).await.unwrap();
    assert_eq!(lost(&new, &[1, 2, 3]).await, Vec::<u64>::new());
    let early = east.control.promote(1, Some(Mode::Async)).await.unwrap();
    assert_eq!(early.mode, Mode::Async);
    let refused = west.control.promote(1, None).await.unwrap_err();
    assert!(matches!(refused, ReplicaError::Refused { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_primaries_converge_after_a_partition_and_a_restart() {
    let [east, west] = sites(Mode::Mutual);
    let (a, b) = (east.start().await, west.start().await);
    a.1.put(record(0, 1)).await.unwrap();
    east.link.set(LinkMode::Refuse).await.unwrap();
    west.link.set(LinkMode::Refuse).await.unwrap();
    for key in 0..60 {
        a.1.put(record(key, 2 + key % 2)).await.unwrap();
        b.1.put(record(30 + key, 4 - key % 2)).await.unwrap();
    }
    a.1.delete(5, 9).await.unwrap();
    b.1.put(record(5, 8)).await.unwrap();
    assert!(east.control.status().await.unwrap().degraded && west.control.status().await.unwrap().degraded);
    assert_ne!(census(&a).await, census(&b).await);
    b.signal(Signal::KILL);
    drop(b);
    let b = west.start().await;
    east.link.set(LinkMode::Open).await.unwrap();
    west.link.set(LinkMode::Open).await.unwrap();
    for (one, other) in [(&east, &west), (&west, &east), (&east, &west)] {
        one.has_all_of(other).await;
    }
    assert_eq!(census(&a).await, census(&b).await);
    assert_eq!((a.1.get(5).await.unwrap(), b.1.get(5).await.unwrap()), (None, None));
    // A write that comes late, by its number, changes nothing on either.
    a.1.put(record(5, 7)).await.unwrap();
    west.has_all_of(&east).await;
    assert_eq!((a.1.get(5).await.unwrap(), b.1.get(5).await.unwrap()), (None, None));
}
