//! Two object nodes and a link between them: followers, primaries of each other, cuts, and a primary that is killed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::process_tests::{keys, spawn};
use super::{S3, S3Error, Server, ServerConfig};
use crate::local::link::{Link, Mode as LinkMode, Way};
use crate::local::port::Port;
use crate::local::proc::Proc;
use crate::replica::{Mode, ReplicaClient, ReplicaConfig, Role, Status};

const LIMIT: Duration = Duration::from_secs(30);
const BUCKETS: [&str; 2] = ["gameday", "gameday-backups"];

/// Where a node lives, and the link to its replication port.
struct Site {
    config: ServerConfig,
    link: Link,
    control: ReplicaClient,
    dir: TempDir,
}

/// A primary and a standby (or two primaries) that are not started yet.
fn sites(mode: Mode) -> [Site; 2] {
    let ports = [(); 2].map(|()| Port::for_good());
    let links = ports.map(|port| Link::open(([127, 0, 0, 1], port).into()).unwrap());
    let peers = [links[1].addr(), links[0].addr()];
    let mutual = mode == Mode::Mutual;
    let mut links = links.into_iter();
    [0, 1].map(|at| {
        let standby = at == 1 && !mutual;
        let replica = ReplicaConfig {
            port: ports[at],
            mode: if standby { Mode::Async } else { mode },
            start_as: if standby { Role::Standby } else { Role::Primary },
            follow: Some(peers[at]),
            degrade_after_ms: 300,
        };
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let config = ServerConfig {
            port: Port::for_good(),
            data,
            keys: keys(),
            lifeline: true,
            replica: Some(replica),
        };
        let control = ReplicaClient::new(([127, 0, 0, 1], ports[at]).into(), LIMIT);
        Site { config, link: links.next().unwrap(), control, dir }
    })
}

impl Site {
    /// In this process; it stops when the guard is dropped.
    async fn start(&self) -> DropGuard {
        let server = Server::bind(self.config.clone()).await.unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(server.run(async move { stopped.cancelled().await }));
        self.buckets().await;
        stop.drop_guard()
    }

    /// In a process of its own.
    async fn spawn(&self) -> Proc {
        let node = spawn(&self.config, self.dir.path());
        self.buckets().await;
        node
    }

    async fn buckets(&self) {
        let deadline = Instant::now() + LIMIT;
        for bucket in BUCKETS {
            while let Err(e) = self.s3(bucket).create_bucket().await {
                assert!(Instant::now() < deadline, "{e}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    fn s3(&self, bucket: &str) -> S3 {
        S3::new(&format!("http://127.0.0.1:{}", self.config.port), bucket, &keys()).unwrap().within(LIMIT)
    }

    async fn put(&self, key: &str, body: &[u8]) -> Result<String, S3Error> {
        self.s3(BUCKETS[0]).put(key, body.to_vec()).await
    }

    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.s3(BUCKETS[0]).get(key).await.unwrap().map(|body| body.to_vec())
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

    /// Every object of every bucket.
    async fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        for bucket in BUCKETS {
            let s3 = self.s3(bucket);
            for object in s3.list_all("", 10_000).await.unwrap() {
                let body = s3.get(&object.key).await.unwrap().unwrap();
                all.insert(format!("{bucket}/{}", object.key), body.to_vec());
            }
        }
        all
    }
}

fn bytes(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 7 * (seed + 3) + i) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_serves_readers_refuses_writers_and_is_promoted() {
    let [east, west] = sites(Mode::Async);
    let (_old, _new) = (east.start().await, west.start().await);
    east.put("a", b"1").await.unwrap();
    east.put("gone", b"2").await.unwrap();
    east.s3(BUCKETS[1]).put("full/deep/MANIFEST", "3").await.unwrap();
    east.s3(BUCKETS[0]).delete("gone").await.unwrap();
    west.has_all_of(&east).await;
    let expected = BTreeMap::from([
        ("gameday/a".to_owned(), b"1".to_vec()),
        ("gameday-backups/full/deep/MANIFEST".to_owned(), b"3".to_vec()),
    ]);
    assert_eq!(west.contents().await, expected);
    let large = vec![1; 8 << 20];
    let refusals = [
        west.put("a", b"4").await.unwrap_err(),
        west.put("b", &large).await.unwrap_err(),
        west.s3(BUCKETS[0]).delete("a").await.unwrap_err(),
        west.s3(BUCKETS[1]).put("x", "5").await.unwrap_err(),
    ];
    for refused in refusals {
        assert!(refused.definite(), "{refused}");
        assert!(
            matches!(&refused, S3Error::Refused { status: 403, code, .. } if code == "NodeIsStandby"),
            "{refused}"
        );
    }
    assert_eq!(west.contents().await, expected);
    west.control.promote(2, None).await.unwrap();
    west.put("a", b"6").await.unwrap();
    assert_eq!(west.get("a").await.unwrap(), b"6");
    east.until("told", |status| status.role == Role::Fenced).await;
    let refused = east.put("a", b"7").await.unwrap_err();
    assert!(matches!(&refused, S3Error::Refused { code, .. } if code == "NodeIsFenced"), "{refused}");
    assert_eq!(east.get("a").await.unwrap(), b"1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_converges_after_cuts_and_restarts() {
    let [east, west] = sites(Mode::Async);
    let (_old, mut new) = (east.start().await, west.start().await);
    // The link to the source is the one that the follower uses.
    let cuts = [LinkMode::Refuse, LinkMode::Open, LinkMode::Blackhole(Way::Both), LinkMode::Open];
    for (round, cut) in cuts.into_iter().cycle().take(8).enumerate() {
        for n in 0..12 {
            // Every third round's objects take several parts.
            let len = if round % 3 == 0 && n < 3 { (n + 1) * 1_500_000 } else { 100 * n };
            east.put(&format!("k{}", (round * 7 + n) % 20), &bytes(round, len)).await.unwrap();
        }
        east.s3(BUCKETS[0]).delete(&format!("k{round}")).await.unwrap();
        east.link.set(cut).await.unwrap();
        if round == 5 {
            drop(new);
            let deadline = Instant::now() + LIMIT;
            while west.s3(BUCKETS[0]).list("", None).await.is_ok() || west.control.status().await.is_ok() {
                assert!(Instant::now() < deadline, "it never stopped");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            new = west.start().await;
        }
    }
    east.link.set(LinkMode::Open).await.unwrap();
    west.has_all_of(&east).await;
    assert_eq!(west.contents().await, east.contents().await);
    assert_eq!(std::fs::read_dir(west.config.data.join(".changes/inbox")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(west.config.data.join(".changes/staged")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_64_mib_is_replicated() {
    let [east, west] = sites(Mode::Async);
    let (_old, _new) = (east.start().await, west.start().await);
    let large = bytes(1, 64 << 20);
    east.put("large", &large).await.unwrap();
    east.put("small", b"x").await.unwrap();
    west.has_all_of(&east).await;
    assert!(west.get("large").await.unwrap() == large);
    assert_eq!(west.get("small").await.unwrap(), b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_primaries_converge_and_fall_silent() {
    let [east, west] = sites(Mode::Mutual);
    let (_a, _b) = (east.start().await, west.start().await);
    for cut in [false, true] {
        let mode = if cut { LinkMode::Refuse } else { LinkMode::Open };
        east.link.set(mode).await.unwrap();
        west.link.set(mode).await.unwrap();
        let writes = async |site: &Site, who: usize| {
            for n in 0..20 {
                let key = format!("k{}", (n * (who + 2)) % 9);
                if n % 5 == 4 {
                    site.s3(BUCKETS[0]).delete(&key).await.unwrap();
                } else {
                    site.put(&key, &bytes(who * 100 + n, 10 + n)).await.unwrap();
                }
            }
        };
        tokio::join!(writes(&east, 1), writes(&west, 2));
    }
    // After the other's, and both know it: the later write wins on both.
    east.put("contested", b"first").await.unwrap();
    west.put("contested", b"second").await.unwrap();
    for site in [&east, &west] {
        site.link.set(LinkMode::Open).await.unwrap();
    }
    // If they echoed, each would have news for the other for ever.
    let deadline = Instant::now() + LIMIT;
    loop {
        let (a, b) = (east.control.status().await.unwrap(), west.control.status().await.unwrap());
        let upto = |status: &Status| status.following.as_ref().unwrap().upto;
        if upto(&a) == b.position && upto(&b) == a.position {
            break;
        }
        assert!(Instant::now() < deadline, "they never fall silent: {a:?} {b:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let contents = east.contents().await;
    assert_eq!(contents, west.contents().await);
    assert_eq!(contents["gameday/contested"], b"second");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_sync_a_killed_primary_loses_nothing_and_rejoins() {
    let [east, west] = sites(Mode::Sync);
    let (old, _new) = (east.spawn().await, west.spawn().await);
    let load = async |user: usize| {
        let mut acknowledged = Vec::new();
        for n in 0.. {
            // Some keys are overwritten while others wait for their follower.
            let (key, body) = (format!("{user}/{}", n % 50), bytes(n, 1000 + n));
            match east.put(&key, &body).await {
                Ok(_) => acknowledged.push((key, n)),
                Err(_) => break,
            }
        }
        acknowledged
    };
    let kill = async {
        east.until("busy", |status| status.position.lsn >= 150).await;
        old.kill().await.unwrap();
    };
    let (_, loaded) = tokio::join!(kill, futures::future::join_all((0..4).map(load)));
    let acknowledged: BTreeMap<String, usize> = loaded.into_iter().flatten().collect();
    assert!(acknowledged.len() > 50);
    west.control.promote(2, None).await.unwrap();
    for (key, n) in &acknowledged {
        let read = west.get(key).await;
        // The write that was under way may have arrived too.
        let known = [*n, n + 50].map(|n| Some(bytes(n, 1000 + n)));
        assert!(known.contains(&read), "{key} {n}: {:?}", read.map(|read| read.len()));
    }
    // The old primary comes back as such, is told, and starts over as a standby.
    let _old = east.spawn().await;
    east.until("told", |status| (status.role, status.epoch) == (Role::Fenced, 2)).await;
    east.control.follow(west.link.addr(), true, 2).await.unwrap();
    east.has_all_of(&west).await;
    assert_eq!(east.contents().await, west.contents().await);
    west.control.promote(2, Some(Mode::Sync)).await.unwrap();
    west.put("later", b"x").await.unwrap();
    assert_eq!(east.get("later").await.unwrap(), b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_standby_a_strict_primary_acknowledges_nothing() {
    let [east, west] = sites(Mode::Sync);
    let _old = east.start().await;
    let late = east.put("k", b"1").await.unwrap_err();
    assert!(!late.definite() && matches!(late, S3Error::Server { status: 503, .. }), "{late}");
    let _new = west.start().await;
    east.put("k", b"2").await.unwrap();
    assert_eq!(west.get("k").await.unwrap(), b"2");
}

/// The follower hears of the newest version only, and of that one after everything in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_overtaken_waits_for_the_one_that_overtook_it() {
    let [east, west] = sites(Mode::Sync);
    let _old = east.start().await;
    let first = east.control.status().await.unwrap().position.lsn;
    let writes = [("k", bytes(1, 10), 1), ("large", bytes(2, 4 << 20), 5), ("k", bytes(3, 10), 6)];
    let mut waiting = Vec::new();
    for (key, body, lsn) in writes {
        let s3 = east.s3(BUCKETS[0]);
        waiting.push(tokio::spawn(async move { s3.put(key, body).await }));
        east.until("stored", |status| status.position.lsn == first + lsn).await;
    }
    east.link.set(LinkMode::Delay(Duration::from_millis(100))).await.unwrap();
    let _new = west.start().await;
    waiting.swap_remove(0).await.unwrap().unwrap();
    assert_eq!(west.get("k").await, Some(bytes(3, 10)), "acknowledged, so it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_the_source_is_not_replicated() {
    let [east, west] = sites(Mode::Async);
    let _old = east.start().await;
    let large = bytes(3, 2_500_000);
    for key in ["bent", "short", "whole"] {
        east.put(key, &large).await.unwrap();
        east.put(&format!("small-{key}"), b"small").await.unwrap();
    }
    let file = |key: &str| east.config.data.join("gameday").join(key);
    for key in ["bent", "small-bent"] {
        let mut body = std::fs::read(file(key)).unwrap();
        body[3] ^= 1;
        std::fs::write(file(key), body).unwrap();
    }
    for key in ["short", "small-short"] {
        std::fs::OpenOptions::new().write(true).open(file(key)).unwrap().set_len(2).unwrap();
    }
    let _new = west.start().await;
    west.has_all_of(&east).await;
    let held: Vec<String> = west.contents().await.into_keys().collect();
    assert_eq!(held, ["gameday/small-whole", "gameday/whole"]);
    east.put("bent", b"written again").await.unwrap();
    west.has_all_of(&east).await;
    assert_eq!(west.get("bent").await.unwrap(), b"written again");
}
