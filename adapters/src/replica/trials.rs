//! Trials by `kill -9`: writers in flight, the primary's process killed at a random moment, the standby promoted and
//! asked for every acknowledged key; then the old primary rejoins, and the next trial kills the one that took over.
//!
//! One pair of folders lasts for several trials, so histories, epochs and wiped data pile up as they would in years.
//! What is special about a store is in [`Product`]; the trials are in the tests of each store.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Mode, ReplicaClient, ReplicaConfig, Role, Status};
use crate::local::link::{Link, Mode as LinkMode};
use crate::local::port::Port;

const LIMIT: Duration = Duration::from_secs(30);
const WRITERS: u64 = 8;
/// Keys that one writer has for itself in one trial.
const KEYS: u64 = 100_000;

/// A node in a process of its own. It dies with this.
pub(crate) trait Product: Sized {
    /// How users reach it.
    type Client: Clone + Send + Sync + 'static;

    /// Starts a node and waits until it answers.
    fn start(dir: &Path, port: u16, replica: &ReplicaConfig) -> impl Future<Output = Self>;

    fn client(&self) -> Self::Client;

    /// Stores the one value that a key ever has; whether that was acknowledged.
    fn put(client: Self::Client, key: u64) -> impl Future<Output = bool> + Send;

    /// Those of `keys` that the node does not have, or with another value.
    fn missing(&self, keys: &BTreeSet<u64>) -> impl Future<Output = Vec<u64>>;

    /// `SIGKILL`, and waits for the end.
    fn kill(self) -> impl Future<Output = ()>;
}

/// What to try.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trials {
    pub(crate) seed: u64,
    pub(crate) count: u64,
    pub(crate) mode: Mode,
    /// What becomes of packets between the two.
    pub(crate) link: LinkMode,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) acknowledged: BTreeSet<u64>,
    /// What the promoted standby did not have, by trial.
    pub(crate) lost: Vec<Vec<u64>>,
}

/// Where a node lives, and the link to its replication port.
struct Site {
    dir: TempDir,
    port: u16,
    replica: ReplicaConfig,
    link: Link,
    control: ReplicaClient,
}

fn sites(mode: Mode) -> [Site; 2] {
    let ports = [(); 2].map(|()| Port::for_good());
    let links = ports.map(|port| Link::open(([127, 0, 0, 1], port).into()).unwrap());
    let peers = [links[1].addr(), links[0].addr()];
    let mut links = links.into_iter();
    [(0, mode, Role::Primary), (1, Mode::Async, Role::Standby)].map(|(at, mode, start_as)| {
        let port = ports[at];
        let replica = ReplicaConfig { port, mode, start_as, follow: Some(peers[at]), degrade_after_ms: 1000 };
        let control = ReplicaClient::new(([127, 0, 0, 1], port).into(), LIMIT);
        let (dir, link) = (tempfile::tempdir().unwrap(), links.next().unwrap());
        Site { dir, port: Port::for_good(), replica, link, control }
    })
}

impl Site {
    async fn start<P: Product>(&self) -> P {
        P::start(self.dir.path(), self.port, &self.replica).await
    }

    async fn until(&self, what: &str, is: impl Fn(&Status) -> bool) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.control.status().await;
            if status.as_ref().is_ok_and(&is) {
                return;
            }
            assert!(Instant::now() < deadline, "never {what}: {status:#?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
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

/// Writes from all sides, kills the node in the middle of it, and answers with what was acknowledged.
async fn killed_under_load<P: Product>(node: P, trial: u64, chance: &mut ChaCha8Rng) -> BTreeSet<u64> {
    let (count, mut counted) = watch::channel(0);
    let writers = (0..WRITERS).map(|writer| {
        let (client, count) = (node.client(), count.clone());
        let first = (trial * WRITERS + writer) * KEYS;
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for key in first..first + KEYS {
                if !P::put(client.clone(), key).await {
                    break;
                }
                acknowledged.push(key);
                count.send_modify(|count| *count += 1);
            }
            acknowledged
        })
    });
    let writers: Vec<_> = writers.collect();
    let (writes, moment) = (1 + chance.next_u64() % 100, Duration::from_micros(chance.next_u64() % 5000));
    let busy = timeout(LIMIT, counted.wait_for(|count| *count >= writes)).await;
    busy.expect("writes are acknowledged").unwrap();
    // Not at the end of a write, but anywhere.
    tokio::time::sleep(moment).await;
    node.kill().await;
    let acknowledged = timeout(LIMIT, futures::future::try_join_all(writers)).await;
    acknowledged.expect("a dead node's writers are told").unwrap().into_iter().flatten().collect()
}

impl Trials {
    pub(crate) async fn play<P: Product>(self) -> Outcome {
        let mut chance = ChaCha8Rng::seed_from_u64(self.seed);
        let [mut primary, mut standby] = sites(self.mode);
        for site in [&primary, &standby] {
            site.link.set(self.link).await.unwrap();
        }
        let (mut node, mut next) = (primary.start::<P>().await, standby.start::<P>().await);
        standby.has_all_of(&primary).await;
        let mut outcome = Outcome::default();
        for trial in 0..self.count {
            let epoch = trial + 2;
            let acknowledged = killed_under_load(node, trial, &mut chance).await;
            assert!(!acknowledged.is_empty());
            standby.control.promote(epoch, None).await.unwrap();
            outcome.lost.push(next.missing(&acknowledged).await);
            outcome.acknowledged.extend(acknowledged);
            // It comes back as the primary that it was, is told, and starts over as the other's standby.
            let old = primary.start::<P>().await;
            let told = |status: &Status| (status.role, status.epoch) == (Role::Fenced, epoch);
            primary.until("told", told).await;
            primary.control.follow(standby.link.addr(), true, epoch).await.unwrap();
            primary.has_all_of(&standby).await;
            standby.control.promote(epoch, Some(self.mode)).await.unwrap();
            (node, next) = (next, old);
            std::mem::swap(&mut primary, &mut standby);
        }
        // Nor was anything lost later, neither by the copies nor by what they followed.
        let lost: BTreeSet<u64> = outcome.lost.iter().flatten().copied().collect();
        let kept = outcome.acknowledged.difference(&lost).copied().collect();
        for node in [&node, &next] {
            assert_eq!(node.missing(&kept).await, Vec::<u64>::new());
        }
        outcome
    }

    /// Kills strict primaries, so many of each of some pairs, which must not lose anything.
    pub(crate) async fn lose_nothing<P: Product>(store: &str, seed: u64, pairs: u64, count: u64) {
        let began = Instant::now();
        let (mode, link) = (Mode::Sync, LinkMode::Open);
        let played = (0..pairs).map(|pair| Trials { seed: seed + pair, count, mode, link }.play::<P>());
        let outcomes = futures::future::join_all(played).await;
        let acknowledged: usize = outcomes.iter().map(|outcome| outcome.acknowledged.len()).sum();
        let kills: usize = outcomes.iter().map(|outcome| outcome.lost.len()).sum();
        let lost: Vec<u64> = outcomes.iter().flat_map(|outcome| outcome.lost.concat()).collect();
        let took = began.elapsed();
        println!("{store}: {kills} kills, {acknowledged} acknowledged, {} lost, {took:.1?}", lost.len());
        assert_eq!(kills as u64, pairs * count);
        assert_eq!(lost, Vec::<u64>::new(), "seed {seed}");
    }
}
