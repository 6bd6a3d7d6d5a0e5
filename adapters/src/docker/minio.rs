//! MinIO as role `object`: one server, one drive, no redundancy but what the scenario's pattern gives.
//!
//! With a second region its buckets keep versions and are replicated by MinIO itself. Its users then have a key of their
//! own, whose policy says whether they may write: that is what a standby, a fence and a promotion are here, and each is
//! tried by a write of such a user. A store that takes users' writes takes nothing from the other region any more.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use harness::corpus::Corpus;
use harness::ports::System;
use tokio::sync::watch;
use tokio::time::sleep;

use super::accounts::Accounts;
use super::iam::{People, REPLICATOR, USERS};
use super::mc::Mc;
use super::milvus::ROOT;
use super::shell::Inside;
use super::stand::{Blueprint, Disk};
use crate::features::acts::Buckets;
use crate::local::gpu::CHECKPOINTS;
use crate::milvus::Storage;
use crate::s3::{Keys, ObjectSystem, S3, S3Error};

/// The bucket that the drill's objects are in.
pub(super) const BUCKET: &str = "gameday";
/// The bucket that backups go to.
pub(super) const BACKUPS: &str = "gameday-backups";
/// The bucket that a Milvus of the region keeps its segments and index files in.
pub(super) const MILVUS: &str = "gameday-milvus";
/// The bucket in which readiness is tried: what is in the others is users'.
const READY: &str = "gameday-ready";
/// Where the server listens, inside.
pub(super) const PORT: u16 = 9000;
/// Longer than any limit of the harness, which ends a call by dropping it.
const USERS_LIMIT: Duration = Duration::from_secs(60);
/// One call of the harness's own, past the link.
const OWN_LIMIT: Duration = Duration::from_secs(30);
/// One attempt at being a user.
const READY_LIMIT: Duration = Duration::from_secs(1);

/// A change of policy is felt within this.
const POLICY_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// What the other region has too.
const REPLICATED: [&str; 3] = [BUCKET, BACKUPS, CHECKPOINTS];

/// A MinIO server.
#[derive(Debug)]
pub(super) struct Minio {
    keys: Keys,
    /// Whom the drill's users log on as.
    users: Keys,
    /// Its part in replication, if it has one.
    part: Option<Part>,
    /// The way in, once its container runs.
    inside: Arc<OnceLock<Inside>>,
    /// Past the link.
    endpoint: String,
    /// Past the link.
    pub(super) data: S3,
    /// Past the link.
    pub(super) backups: S3,
    /// A Milvus's, past the link.
    pub(super) milvus: S3,
    ready: S3,
    /// Whether its buckets are there.
    furnished: watch::Sender<bool>,
}

/// A store that replicates to, or follows, that of another region.
#[derive(Debug)]
struct Part {
    replicator: Keys,
    /// Whether its users may write.
    takes: AtomicBool,
    /// From the moment that its container runs.
    inside: OnceLock<Mc>,
    /// What a user tries, past the link.
    tried: S3,
}

impl Minio {
    /// A server published at `addr`, which does not have to run yet. With a second region, its users may write at first,
    /// or not.
    pub(super) fn new(addr: SocketAddr, secret: &str, takes: Option<bool>) -> Result<Self, S3Error> {
        // No more than forty letters.
        let keys = |name: &str| Keys::new(name, format!("{}{secret}", name.get(..1).unwrap_or_default()));
        let root = keys("gameday");
        let bucket = |name, keys| Ok(S3::new(&format!("http://{addr}"), name, keys)?.within(OWN_LIMIT));
        let (data, backups) = (bucket(BUCKET, &root)?, bucket(BACKUPS, &root)?);
        let milvus = bucket(MILVUS, &root)?;
        let ready = bucket(READY, &root)?.within(READY_LIMIT);
        let users = if takes.is_some() { keys(USERS) } else { root.clone() };
        let tried = bucket(READY, &users)?.within(READY_LIMIT);
        let part = takes.map(|takes| Part {
            replicator: keys(REPLICATOR),
            takes: AtomicBool::new(takes),
            inside: OnceLock::new(),
            tried,
        });
        let endpoint = format!("http://{addr}");
        Ok(Self {
            keys: root,
            users,
            part,
            inside: Arc::default(),
            endpoint,
            data,
            backups,
            milvus,
            ready,
            furnished: watch::Sender::new(false),
        })
    }

    /// Whom it lets do everything.
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What it needs of a container.
    pub(super) fn blueprint(&self, image: String) -> Blueprint {
        Blueprint {
            image,
            user: None,
            cmd: ["server", "/data", "--address", ":9000"].map(str::to_owned).to_vec(),
            env: vec![
                format!("MINIO_ROOT_USER={}", self.keys.access),
                format!("MINIO_ROOT_PASSWORD={}", self.keys.secret),
                // No console, no look for updates: nothing but what a drill uses.
                "MINIO_BROWSER=off".into(),
                "MINIO_UPDATE=off".into(),
                // What did not reach the other region is found, and sent again, soon.
                "MINIO_SCANNER_SPEED=fastest".into(),
            ],
            port: PORT,
            more: Vec::new(),
            disk: Disk { at: "/data", bytes: None },
            memory: 1 << 30,
            nano_cpus: 2_000_000_000,
        }
    }

    /// Another bucket as users reach it, at the far end of a link.
    pub(super) fn users_bucket(&self, link: SocketAddr, bucket: &str) -> Result<S3, S3Error> {
        S3::new(&format!("http://{link}"), bucket, &self.users)
    }

    /// Does what users do, for real: writes an object and reads it back. Health addresses answer before that works.
    pub(super) async fn ready(&self) -> Result<String, String> {
        let body = format!("ready at {:?}", std::time::SystemTime::now()).into_bytes();
        match self.ready.put("ready", body.clone()).await {
            Err(S3Error::Refused { code, .. }) if code == "NoSuchBucket" => {
                self.ready.create_bucket().await.map_err(|e| e.to_string())?;
                self.ready.put("ready", body.clone()).await.map_err(|e| e.to_string())?;
            }
            put => drop(put.map_err(|e| e.to_string())?),
        }
        match self.ready.get("ready").await.map_err(|e| e.to_string())? {
            Some(read) if read == body => Ok("an object written was read back".into()),
            _ => Err("an object written was not read back".into()),
        }
    }

    /// Where a feature store's models and backups are.
    pub(super) fn buckets(&self) -> Buckets<'_> {
        Buckets { models: &self.data, backups: &self.backups }
    }

    /// Where a Milvus on the same network, to which this server is `host`, keeps its objects.
    pub(super) fn storage(&self, host: String) -> Storage {
        Storage { host, port: PORT, bucket: MILVUS.into(), root: ROOT.into(), keys: self.keys.clone() }
    }

    /// Makes what its users find there from the first moment on; what is there already stays.
    pub(super) async fn provide(&self) -> Result<(), String> {
        for bucket in [&self.data, &self.backups, &self.milvus] {
            bucket.create_bucket().await.map_err(|e| e.to_string())?;
        }
        self.furnished.send_replace(true);
        // Not by the first checkpoint: buckets are the same from the first moment to the last.
        let checkpoints = S3::new(&self.endpoint, CHECKPOINTS, &self.keys).map_err(|e| e.to_string())?;
        checkpoints.create_bucket().await.map_err(|e| e.to_string())?;
        let Some(part) = &self.part else { return Ok(()) };
        self.mc()?.keep_versions(&REPLICATED).await?;
        self.allow(part.takes.load(Ordering::Relaxed)).await.map(drop)
    }

    /// Returns once its buckets are there, which is all that a Milvus needs of it. Never, if that fails.
    pub(super) async fn furnished(&self) {
        // The sender is ours, so it is not gone.
        let _ = self.furnished.subscribe().wait_for(|furnished| *furnished).await;
    }

    /// The way in, once its container runs.
    pub(super) fn enter(&self, inside: Inside) {
        self.inside.get_or_init(|| inside.clone());
        if let Some(Part { replicator, inside: door, .. }) = &self.part {
            let people = People { users: self.users.clone(), replicator: replicator.clone() };
            door.get_or_init(|| Mc { inside, people });
        }
    }

    fn part(&self) -> Result<&Part, String> {
        self.part.as_ref().ok_or_else(|| "it takes no part in replication".into())
    }

    fn mc(&self) -> Result<&Mc, String> {
        self.part()?.inside.get().ok_or_else(|| "its container never ran".into())
    }

    /// Whether its users may write, as a user finds out who tries.
    pub(super) async fn takes(&self) -> Result<bool, String> {
        match self.part()?.tried.put("tried", "by a user").await {
            Ok(_) => Ok(true),
            Err(S3Error::Refused { code, .. }) if code == "AccessDenied" => Ok(false),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Lets its users write, or not, and waits until one who tries finds it so.
    pub(super) async fn allow(&self, writes: bool) -> Result<String, String> {
        let part = self.part()?;
        part.takes.store(writes, Ordering::Relaxed);
        self.mc()?.allow(writes).await?;
        let began = Instant::now();
        loop {
            let seen = match self.takes().await {
                Ok(takes) if takes == writes => break,
                Ok(takes) => format!("writes are taken: {takes}"),
                Err(why) => why,
            };
            if began.elapsed() > POLICY_LIMIT {
                return Err(format!("{POLICY_LIMIT:?} after the change of policy: {seen}"));
            }
            sleep(POLL).await;
        }
        Ok(match writes {
            true => "an object that a user wrote was acknowledged".into(),
            false => "a user who tried to write was refused: AccessDenied".into(),
        })
    }

    /// Sends everything to another store, by its name in this region's network.
    pub(super) async fn replicate(&self, host: &str, sync: bool) -> Result<(), String> {
        self.mc()?.replicate(&format!("{host}:{PORT}"), sync, &REPLICATED).await
    }

    /// Throws away what it holds.
    pub(super) async fn empty(&self) -> Result<(), String> {
        self.mc()?.empty(&REPLICATED).await
    }

    /// Objects that the other region has not acknowledged.
    pub(super) async fn pending(&self) -> Result<u64, String> {
        let mut sum = 0;
        for bucket in REPLICATED {
            sum += self.mc()?.pending(bucket).await?;
        }
        Ok(sum)
    }

    /// The store as its users reach it, at the far end of a link.
    pub(super) fn system(&self, link: SocketAddr, corpus: Arc<Corpus>) -> Result<Arc<dyn System>, S3Error> {
        let s3 = S3::new(&format!("http://{link}"), BUCKET, &self.users)?;
        let accounts = Arc::new(Accounts { inside: self.inside.clone() });
        Ok(Arc::new(ObjectSystem::new(s3.within(USERS_LIMIT), corpus).administered(accounts)))
    }
}
