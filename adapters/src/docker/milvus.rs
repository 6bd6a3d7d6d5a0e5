//! Milvus as role `vector`: one standalone server. Its objects are in the MinIO of its region, metadata (etcd) and log
//! (rocksmq) on its own disk.
//!
//! It counts as started when a row that a user wrote is read back and the drill's collection answers a search; its own
//! `/healthz` says so long before, and both times are told. A collection whose index cannot be loaded never answers:
//! after [`GRACE`] the server counts as started without it, and says why.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::try_join;
use harness::act::{Act, Artifact, Damage};
use harness::corpus::Corpus;
use harness::plan::Plan;
use harness::ports::{EnvironmentError, System};
use harness::topology::NodeId;
use tokio::sync::Mutex as Turn;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::environment;
use super::minio::Minio;
use super::shell::Inside;
use super::stand::{Blueprint, Disk};
use super::vector_damage::Decoys;
use crate::backup::Seen;
use crate::local::port::Port;
use crate::milvus::{
    Client, Files, IndexKind, Knobs, LoadState, Manifest, MilvusError, MilvusSystem, Ports, Row, Storage,
    Unsupported, etcd_yaml, glog_conf, launch, milvus_yaml, supported,
};
use crate::postgres::{Command, Output, Shell as _};
use crate::s3::S3;

/// What every key in the bucket begins with.
pub(super) const ROOT: &str = "files";
/// The collection that the drill's vectors are in.
pub(super) const COLLECTION: &str = "gameday";
/// The collection in which readiness is tried.
const READY: &str = "gameday_ready";
/// Its vectors need some length.
const READY_DIM: usize = 8;
/// Inside, a port is nobody else's.
const PORTS: Ports = Ports { first: PORT };
/// Where users come in, inside.
pub(super) const PORT: u16 = 19530;
/// One attempt at being a user.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Making an empty collection, with its index and in memory.
const MAKING: Duration = Duration::from_secs(45);
/// How long a collection with data may take to be searchable once rows are written and read back.
const GRACE: Duration = Duration::from_secs(12);
/// How long `/healthz` is asked, and how often.
const HEALTH_LIMIT: Duration = Duration::from_secs(90);
const HEALTH_EVERY: Duration = Duration::from_millis(50);
/// Where it finds its configuration: written at each start, since a wipe makes the container anew. Parts of a backup that
/// were put beside its own take their place before it reads them: see `vector_moment`.
const START: &str = "set -e; mkdir -p /run/milvus /tmp/gameday \"$GAMEDAY_DATA\"; \
    (cd \"$GAMEDAY_DATA\"; if [ -f put-back.ready ]; then from=$(cat put-back.ready); \
    for part in etcd rocksmq rocksmq_meta_kv; do tar -xzf \"$from/$part/files.tgz\" -C \"$from\"/$part; \
    rm -rf \"$part\"; mv \"$from/$part/$part\" \"$part\"; done; rm -f put-back.ready; rm -rf put-back-*; fi); \
    printf %s \"$GAMEDAY_MILVUS_YAML\" >/tmp/gameday/milvus.yaml; \
    printf %s \"$GAMEDAY_ETCD_YAML\" >/tmp/gameday/etcd.yaml; \
    printf %s \"$GAMEDAY_GLOG_CONF\" >/tmp/gameday/glog.conf; \
    unset GAMEDAY_MILVUS_YAML; cd \"$GAMEDAY_DATA\"; \
    for bin in /opt/milvus/bin /milvus/bin; do if [ -x $bin/milvus ]; then exec $bin/milvus run standalone; fi; done; \
    echo 'this image has no milvus in /opt/milvus/bin or /milvus/bin' >&2; exit 127";

/// When a start was seen to succeed, each counted from the start.
#[derive(Debug, Default)]
struct Times {
    began: Option<Instant>,
    healthz: Option<Duration>,
    written: Option<Duration>,
    searched: Option<Duration>,
    asking: Option<JoinHandle<()>>,
}

/// A Milvus server.
#[derive(Debug)]
pub(super) struct Milvus {
    metrics: Port,
    storage: Storage,
    knobs: Knobs,
    /// Past the link.
    pub(super) client: Client,
    ready: Client,
    /// The bucket of its objects, past the link.
    pub(super) s3: S3,
    pub(super) kind: IndexKind,
    pub(super) dim: usize,
    /// A query to try searches with.
    pub(super) query: Vec<f32>,
    /// One operator at a time.
    pub(super) turn: Turn<()>,
    /// Digests of objects, from moments when they were known to be good.
    pub(super) known: Turn<Manifest>,
    /// What the newest backup adds up to.
    pub(super) seen: Turn<Seen>,
    /// Of which kind the index of other data is that a fault of the plan puts in place, if one does.
    pub(super) decoy_kind: Option<IndexKind>,
    /// Index files of other data, made before anything breaks.
    decoys: OnceLock<Decoys>,
    inside: OnceLock<Inside>,
    made: AtomicBool,
    /// Why no server of this image will ever do.
    pub(super) refused: OnceLock<Unsupported>,
    attempts: AtomicU64,
    times: Arc<Mutex<Times>>,
}

impl Milvus {
    /// A server published at `addr`, which keeps its objects in `store`, to whom it is `host`. Nothing has to run yet.
    pub(super) fn new(
        id: &NodeId,
        addr: SocketAddr,
        store: &Minio,
        host: String,
        plan: &Plan,
    ) -> Result<Self, EnvironmentError> {
        let client = |collection| {
            let client = Client::new(&format!("http://{addr}"), collection);
            client.map_err(|e| environment(e, "report this: it is a defect of gameday"))
        };
        let metrics = Port::reserve().map_err(|e| environment(e, "free some ports of 127.0.0.1"))?;
        let corpus = Corpus::of(&plan.scenario);
        Ok(Self {
            metrics,
            storage: store.storage(host),
            knobs: Knobs::default(),
            client: client(COLLECTION)?,
            ready: client(READY)?,
            s3: store.milvus.clone(),
            kind: kind(plan.scenario.data.vectors.index),
            dim: corpus.dim,
            query: corpus.query(0),
            turn: Turn::default(),
            known: Turn::default(),
            seen: Turn::default(),
            decoy_kind: decoy_kind(id, plan),
            decoys: OnceLock::new(),
            inside: OnceLock::new(),
            made: AtomicBool::new(false),
            refused: OnceLock::new(),
            attempts: AtomicU64::new(1),
            times: Arc::default(),
        })
    }

    fn files() -> Files {
        Files {
            bin: "/opt/milvus/bin".into(),
            configs: "/tmp/gameday".into(),
            data: "/var/lib/milvus".into(),
        }
    }

    /// What it needs of a container.
    pub(super) fn blueprint(&self, image: String) -> Blueprint {
        let files = Self::files();
        let own = ["METRICS_PORT", "DEPLOY_MODE", "MILVUSCONF"];
        // Where an image has its libraries, it knows best.
        let given = launch(&files, PORTS).env.into_iter().filter(|(name, _)| own.contains(&name.as_str()));
        let more = [
            ("GAMEDAY_DATA", files.data.display().to_string()),
            ("GAMEDAY_MILVUS_YAML", milvus_yaml(&files, PORTS, &self.storage, &self.knobs)),
            ("GAMEDAY_ETCD_YAML", etcd_yaml(&files, PORTS)),
            ("GAMEDAY_GLOG_CONF", glog_conf().to_owned()),
        ];
        let more = more.into_iter().map(|(name, value)| (name.to_owned(), value));
        Blueprint {
            image,
            user: Some("root"),
            cmd: ["sh", "-c", START].map(str::to_owned).to_vec(),
            env: given.chain(more).map(|(name, value)| format!("{name}={value}")).collect(),
            port: PORTS.proxy(),
            more: vec![(PORTS.metrics(), self.metrics.addr())],
            disk: Disk { at: "/var/lib/milvus", bytes: None },
            memory: 4 << 30,
            nano_cpus: 2_000_000_000,
        }
    }

    /// What sets the times that a drill measures.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        self.knobs.facts()
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock of a start begins, and `/healthz` is asked for the sake of comparison.
    pub(super) fn boot(&self, inside: Inside) {
        self.inside.get_or_init(|| inside);
        let began = Instant::now();
        let (times, at) = (self.times.clone(), self.metrics.addr());
        let asking = tokio::spawn(async move {
            while began.elapsed() < HEALTH_LIMIT {
                if healthy(at).await {
                    times.lock().unwrap_or_else(PoisonError::into_inner).healthz = Some(began.elapsed());
                    return;
                }
                sleep(HEALTH_EVERY).await;
            }
        });
        let fresh = Times { began: Some(began), asking: Some(asking), ..Times::default() };
        let old = std::mem::replace(&mut *self.times(), fresh);
        old.asking.iter().for_each(JoinHandle::abort);
    }

    /// What the last start took, in seconds.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let times = self.times();
        let named = [
            ("healthz_seconds", times.healthz),
            ("first_write_seconds", times.written),
            ("first_search_seconds", times.searched),
        ];
        let known = named.into_iter().filter_map(|(name, took)| Some((name, took?)));
        known.map(|(name, took)| (name.to_owned(), format!("{:.3}", took.as_secs_f64()))).collect()
    }

    /// Does what users do, for real: writes a row and reads it back, and searches.
    pub(super) async fn ready(&self) -> Result<String, String> {
        match timeout(ATTEMPT, self.write_and_read()).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return Err(self.without_collection(why.to_string()).await),
            Err(_) => return Err(self.without_collection(format!("silent for {ATTEMPT:?}")).await),
        }
        let written = {
            let mut times = self.times();
            let since = times.began.map(|began| began.elapsed()).unwrap_or_default();
            *times.written.get_or_insert(since)
        };
        if !self.made.load(Ordering::Acquire) {
            return Ok("a row written was read back".into());
        }
        let tried = timeout(ATTEMPT, self.searchable()).await;
        let why = match tried.unwrap_or_else(|_| Err(format!("silent for {ATTEMPT:?}"))) {
            Ok(()) => {
                let mut times = self.times();
                let since = times.began.map(|began| began.elapsed()).unwrap_or_default();
                let searched = *times.searched.get_or_insert(since);
                let healthz =
                    times.healthz.map_or("not".into(), |h| format!("after {:.2} s", h.as_secs_f64()));
                return Ok(format!(
                    "a row written was read back after {:.2} s, a search was answered after {:.2} s (/healthz: {healthz})",
                    written.as_secs_f64(),
                    searched.as_secs_f64()
                ));
            }
            Err(why) => why,
        };
        let waited = self.times().began.map(|began| began.elapsed()).unwrap_or_default();
        if waited < written + GRACE {
            return Err(why);
        }
        Ok(format!("a row written was read back; collection {COLLECTION} is not searchable: {why}"))
    }

    async fn write_and_read(&self) -> Result<(), MilvusError> {
        let ver = self.attempts.fetch_add(1, Ordering::Relaxed);
        let row = Row { key: 0, ver, vector: vec![1.0; READY_DIM] };
        self.ready.upsert(std::slice::from_ref(&row)).await?;
        match self.ready.get(0).await? {
            Some(read) if read == row => Ok(()),
            // Two attempts may overlap; the newer one's row is as good.
            Some(read) if read.ver > ver => Ok(()),
            other => Err(MilvusError::Garbled(format!("row {ver} was written, and {other:?} read"))),
        }
    }

    /// Why an attempt failed; makes the collection to try with, if that is why.
    async fn without_collection(&self, why: String) -> String {
        match timeout(ATTEMPT, self.ready.version()).await {
            Ok(Ok(version)) => {
                if let Err(unsupported) = supported(&version) {
                    return self.refused.get_or_init(|| unsupported).to_string();
                }
            }
            _ => return why,
        }
        if !matches!(timeout(ATTEMPT, self.ready.exists()).await, Ok(Ok(false))) {
            return why;
        }
        // Milvus takes seconds to load one, and does nothing meanwhile; so the drill's own is made beside it.
        let both = try_join(make(&self.ready, READY_DIM, self.kind), self.make_own());
        match timeout(MAKING, both).await {
            Ok(Ok(_)) => why,
            Ok(Err(e)) => format!("collections {READY} and {COLLECTION}: {e}"),
            Err(_) => format!("collections {READY} and {COLLECTION} were not made within {MAKING:?}"),
        }
    }

    /// Makes the drill's collection, once in a run: a server that lost it does not get it back by itself.
    async fn make_own(&self) -> Result<(), MilvusError> {
        match self.made.load(Ordering::Acquire) {
            true => Ok(()),
            false => make(&self.client, self.dim, self.kind).await,
        }
    }

    async fn searchable(&self) -> Result<(), String> {
        let state = self.client.load_state().await.map_err(|e| e.to_string())?;
        if state != LoadState::Loaded {
            return Err(format!("{state:?}"));
        }
        self.client.search(&self.query, 1).await.map(drop).map_err(|e| e.to_string())
    }

    /// Sees that the drill's collection is there when it starts for the first time, and keeps a copy of its metadata.
    pub(super) async fn provide(&self) -> Result<(), String> {
        if self.made.load(Ordering::Acquire) {
            return Ok(());
        }
        let version = self.client.version().await.map_err(|e| e.to_string())?;
        supported(&version).map_err(|e| e.to_string())?;
        self.make_own().await.map_err(|e| format!("collection {COLLECTION}: {e}"))?;
        // What an operator has who backed up the metadata once and never again.
        let copy = Command::script("cd /var/lib/milvus && cp -a etcd etcd.first", []);
        self.inside()?.run(copy).await.map_err(|e| e.to_string()).and_then(done)?;
        self.made.store(true, Ordering::Release);
        Ok(())
    }

    /// The way in, for commands.
    pub(super) fn inside(&self) -> Result<&Inside, String> {
        self.inside.get().ok_or_else(|| "its container was never started".into())
    }

    /// Keeps index files of other data for later.
    pub(super) fn keep(&self, decoys: Decoys) {
        self.decoys.get_or_init(|| decoys);
    }

    /// The bytes that take the place of an index file of the n-th segment: the file of the same name where the kind is
    /// the same, else the one in the same position.
    pub(super) fn decoy(&self, segment: usize, key: &str, how: Damage) -> Result<Bytes, String> {
        let files = self.decoys.get().and_then(|all| all.get(segment));
        let files = files.ok_or("no index of other data was made for it before the storm")?;
        let name = key.rsplit('/').next().unwrap_or(key);
        let found = match how {
            Damage::Swap => files.get(name),
            // The first of its files begins as one of the other kind does.
            _ => files.iter().find(|(other, _)| other.as_str() != "SLICE_META").map(|(_, bytes)| bytes),
        };
        found.cloned().ok_or_else(|| format!("the index of other data has no file {name}"))
    }

    /// The store as its users reach it, at the far end of a link.
    pub(super) fn system(&self, link: SocketAddr, corpus: Arc<Corpus>) -> Result<Arc<dyn System>, String> {
        let client = Client::new(&format!("http://{link}"), COLLECTION).map_err(|e| e.to_string())?;
        Ok(Arc::new(MilvusSystem::new(client, corpus)))
    }
}

impl Drop for Milvus {
    fn drop(&mut self) {
        self.times().asking.iter().for_each(JoinHandle::abort);
    }
}

/// Makes an empty collection with its index, and loads it; what is there already stays.
pub(super) async fn make(client: &Client, dim: usize, kind: IndexKind) -> Result<(), MilvusError> {
    if !client.exists().await? {
        client.create(dim).await?;
    }
    client.build_index(kind, MAKING).await?;
    client.load().await?;
    client.loaded(MAKING).await
}

/// Which index of other data the plan needs.
fn decoy_kind(id: &NodeId, plan: &Plan) -> Option<IndexKind> {
    let own = kind(plan.scenario.data.vectors.index);
    let other = match own {
        IndexKind::Hnsw => IndexKind::IvfFlat,
        IndexKind::IvfFlat => IndexKind::Hnsw,
    };
    plan.cues.iter().flat_map(|cue| &cue.acts).find_map(|act| match act {
        Act::Damage { node, what: Artifact::Index, how: Damage::Swap, .. } if node == id => Some(own),
        Act::Damage { node, what: Artifact::Index, how: Damage::OtherKind, .. } if node == id => Some(other),
        _ => None,
    })
}

/// The index that a scenario asks for.
fn kind(asked: harness::scenario::IndexKind) -> IndexKind {
    match asked {
        harness::scenario::IndexKind::Hnsw => IndexKind::Hnsw,
        harness::scenario::IndexKind::IvfFlat => IndexKind::IvfFlat,
    }
}

/// A command that has to succeed.
fn done(output: Output) -> Result<(), String> {
    if output.code == 0 { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

/// What Milvus says of itself.
async fn healthy(at: SocketAddr) -> bool {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let asked = async {
        let mut link = tokio::net::TcpStream::connect(at).await?;
        link.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
        let mut answer = Vec::new();
        link.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    match timeout(ATTEMPT, asked).await {
        Ok(Ok(answer)) => answer.starts_with(b"HTTP/1.0 200"),
        _ => false,
    }
}
