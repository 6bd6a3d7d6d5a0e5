//! What runs on a node: gameday's own vector database, object store, feature store, or a worker. Asked directly, past
//! the link.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::act::EngineChoice;
use harness::corpus::Corpus;
use harness::plan::Plan;
use harness::ports::{Effect, EnvironmentError, System};
use harness::scenario::{IndexKind, Scenario};
use harness::topology::Role;

use super::defect::Defect;
use super::environment;
use super::features::FeatureNode;
use super::gpu::{CHECKPOINTS, GpuNode};
use super::hidden::NodeConfig;
use super::port::Port;
use super::private;
use crate::features::acts::Buckets;
use crate::features::{self, FeatureSystem};
use crate::gpu;
use crate::replica::ReplicaConfig;
use crate::s3::{Keys, ObjectSystem, S3, S3Error};
use crate::vectordb::{self, BuildEngine, CallError, Client, IndexSpec, State, VectorSystem};

/// The bucket that the drill's objects are in.
pub(super) const BUCKET: &str = "gameday";
/// The bucket that backups go to.
pub(super) const BACKUPS: &str = "gameday-backups";
/// The name of the vector collection.
pub(super) const COLLECTION: &str = "gameday";

/// Longer than any limit of the harness, which ends a call by dropping it.
const USERS_LIMIT: Duration = Duration::from_secs(60);
/// One call of the harness's own, past the link.
const OWN_LIMIT: Duration = Duration::from_secs(30);
/// One question about a node's state.
const STATUS_LIMIT: Duration = Duration::from_secs(1);
/// One index build.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);

/// What runs on a node.
#[derive(Debug)]
pub(super) enum Product {
    /// The vector database.
    Vector(VectorNode),
    /// The object store.
    Object(ObjectNode),
    /// The feature store.
    Feature(FeatureNode),
    /// A worker.
    Gpu(GpuNode),
}

/// A vector database.
#[derive(Debug)]
pub(super) struct VectorNode {
    pub(super) dir: PathBuf,
    pub(super) dim: u32,
    pub(super) spec: IndexSpec,
    pub(super) defect: Defect,
    /// Past the link.
    pub(super) client: Client,
}

/// An object store.
#[derive(Debug)]
pub(super) struct ObjectNode {
    pub(super) dir: PathBuf,
    pub(super) keys: Keys,
    /// Past the link.
    pub(super) data: S3,
    /// Past the link.
    pub(super) backups: S3,
    /// Past the link.
    checkpoints: S3,
}

impl ObjectNode {
    /// A store at `addr`, which does not have to run yet.
    pub(super) fn new(dir: PathBuf, addr: std::net::SocketAddr, keys: Keys) -> Result<Self, S3Error> {
        let endpoint = format!("http://{addr}");
        let bucket = |name| S3::new(&endpoint, name, &keys);
        let (data, backups, checkpoints) = (bucket(BUCKET)?, bucket(BACKUPS)?, bucket(CHECKPOINTS)?);
        Ok(Self { dir, keys, data, backups, checkpoints })
    }

    /// Where a feature store's models and backups are.
    pub(super) fn buckets(&self) -> Buckets<'_> {
        Buckets { models: &self.data, backups: &self.backups }
    }
}

impl Product {
    /// The product that plays a role, with its files in `dir`. Nothing is started.
    pub(super) fn of(
        role: Role,
        port: &Port,
        dir: PathBuf,
        plan: &Plan,
        defect: &Defect,
    ) -> Result<Self, EnvironmentError> {
        let v = &plan.scenario.data.vectors;
        match role {
            Role::Vector => Ok(Product::Vector(VectorNode {
                dir,
                dim: v.dim,
                spec: spec(&plan.scenario),
                defect: defect.clone(),
                client: Client::new(port.addr(), OWN_LIMIT),
            })),
            Role::Object => {
                // A key that only this run knows.
                let secret =
                    private::word().map_err(|e| environment(e, "check that /dev/urandom can be read"))?;
                let store = ObjectNode::new(dir, port.addr(), Keys::new("gameday", secret));
                store
                    .map(Product::Object)
                    .map_err(|e| environment(e, "report this: it is a defect of gameday"))
            }
            Role::Feature => {
                Ok(Product::Feature(FeatureNode::new(dir, port.addr(), OWN_LIMIT, defect.features)))
            }
            Role::Gpu => Ok(Product::Gpu(GpuNode::new(dir, port.addr(), plan))),
        }
    }

    /// The object store, if it is one.
    pub(super) fn object(&self) -> Result<&ObjectNode, Effect> {
        match self {
            Product::Object(node) => Ok(node),
            other => Err(Effect::failed(format!("{} stores no objects", other.name()))),
        }
    }

    /// In words.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Product::Vector(_) => "gameday's vector node",
            Product::Object(_) => "gameday's object node",
            Product::Feature(_) => "gameday's feature node",
            Product::Gpu(_) => "gameday's worker",
        }
    }

    /// The folder of its files.
    pub(super) fn dir(&self) -> &PathBuf {
        match self {
            Product::Vector(node) => &node.dir,
            Product::Object(node) => &node.dir,
            Product::Feature(node) => &node.dir,
            Product::Gpu(node) => &node.dir,
        }
    }

    /// What its process is told at its n-th start.
    pub(super) fn config(&self, port: u16, start: u32, replica: Option<ReplicaConfig>) -> NodeConfig {
        match self {
            Product::Vector(node) => NodeConfig::Vector(vectordb::Config {
                port,
                lifeline: true,
                flaws: node.defect.at_start(start),
                replica,
                ..vectordb::Config::new(&node.dir, COLLECTION, node.dim)
            }),
            Product::Object(node) => NodeConfig::Object {
                port,
                data: node.dir.clone(),
                access: node.keys.access.clone(),
                secret: node.keys.secret.clone(),
                replica,
            },
            Product::Feature(node) => NodeConfig::Feature(node.config(port, replica)),
            Product::Gpu(node) => NodeConfig::Gpu(node.config(port)),
        }
    }

    /// Makes what its users find there from the first moment on; what is there already stays.
    pub(super) async fn provide(&self) -> Result<(), String> {
        match self {
            Product::Vector(_) | Product::Feature(_) | Product::Gpu(_) => Ok(()),
            Product::Object(node) => {
                for bucket in [&node.data, &node.backups, &node.checkpoints] {
                    bucket.create_bucket().await.map_err(|e| e.to_string())?;
                }
                Ok(())
            }
        }
    }

    /// What it says about itself, in words.
    pub(super) async fn status(&self) -> Result<String, String> {
        match self {
            Product::Vector(node) => node.status().await.map_err(|e| e.to_string()),
            Product::Object(node) => {
                // A question about an object looks at the disk, unlike a mere connection.
                let asked = node.data.within(STATUS_LIMIT).head("status").await;
                asked.map(|_| "healthy".into()).map_err(|e| e.to_string())
            }
            Product::Feature(node) => node.status(STATUS_LIMIT).await,
            Product::Gpu(node) => node.status().await.map_err(|e| e.to_string()),
        }
    }

    /// The product as the health monitor reaches it, at the far end of a link.
    pub(super) fn pulse(&self, link: std::net::SocketAddr) -> Result<Pulse, S3Error> {
        Ok(match self {
            Product::Vector(_) => Pulse::Vector(Client::new(link, STATUS_LIMIT)),
            Product::Object(node) => {
                let s3 = S3::new(&format!("http://{link}"), BUCKET, &node.keys)?;
                Pulse::Object(s3.within(STATUS_LIMIT))
            }
            Product::Feature(_) => Pulse::Feature(features::Client::new(link, STATUS_LIMIT)),
            Product::Gpu(_) => Pulse::Gpu(gpu::Client::new(link)),
        })
    }

    /// The product as its users reach it, at the far end of a link.
    pub(super) fn system(
        &self,
        link: std::net::SocketAddr,
        corpus: Arc<Corpus>,
    ) -> Result<Arc<dyn System>, S3Error> {
        Ok(match self {
            Product::Vector(_) => Arc::new(VectorSystem::new(Client::new(link, USERS_LIMIT), corpus)),
            Product::Object(node) => {
                let s3 = S3::new(&format!("http://{link}"), BUCKET, &node.keys)?;
                Arc::new(ObjectSystem::new(s3.within(USERS_LIMIT), corpus))
            }
            Product::Feature(_) => {
                Arc::new(FeatureSystem::new(features::Client::new(link, USERS_LIMIT), corpus))
            }
            Product::Gpu(_) => {
                return Err(S3Error::Config("workers are reached through their driver".into()));
            }
        })
    }
}

/// A node as the health monitor asks it, at the far end of its link.
#[derive(Debug)]
pub(super) enum Pulse {
    /// A vector database.
    Vector(Client),
    /// An object store.
    Object(S3),
    /// A feature store.
    Feature(features::Client),
    /// A worker.
    Gpu(gpu::Client),
}

impl Pulse {
    /// How well the node is, from 0 to 1. The caller sets the limit.
    pub(super) async fn feel(&self) -> Result<f64, String> {
        match self {
            Pulse::Vector(client) => {
                let status = client.status().await.map_err(|e| e.to_string())?;
                Ok(match status.state {
                    State::Healthy => 1.0,
                    State::IndexDamaged => 0.5,
                    State::Degraded => 0.0,
                })
            }
            Pulse::Object(s3) => s3.head("status").await.map(|_| 1.0).map_err(|e| e.to_string()),
            Pulse::Feature(client) => client.status().await.map(|_| 1.0).map_err(|e| e.to_string()),
            Pulse::Gpu(client) => client.status(STATUS_LIMIT).await.map(|_| 1.0).map_err(|e| e.to_string()),
        }
    }
}

impl VectorNode {
    async fn status(&self) -> Result<String, CallError> {
        let status = self.client.within(STATUS_LIMIT).status().await?;
        let damage: Vec<String> = status.damage.iter().map(ToString::to_string).collect();
        Ok(match damage.is_empty() {
            true => format!("{}, {} records", status.state, status.live),
            false => format!("{} ({})", status.state, damage.join("; ")),
        })
    }

    /// Makes the node verify and load its files again.
    pub(super) async fn reload(&self) -> Effect {
        match self.client.within(BUILD_LIMIT).reload().await {
            Ok(status) => {
                Effect::observed(format!("its files were read again; the node is {}", status.state))
            }
            Err(e) => Effect::failed(e.to_string()),
        }
    }

    /// Builds the index anew: with the parameters it had, or those of the scenario if there never was one.
    pub(super) async fn rebuild(&self, asked: EngineChoice) -> Effect {
        let began = Instant::now();
        match self.try_rebuild(engine(asked)).await {
            Ok((info, after)) => {
                let seconds = format!("{:.3}", info.build_seconds);
                let kind = words(&info.spec);
                let why = info.note.as_ref().map_or(String::new(), |why| format!("; {why}"));
                let text = format!(
                    "{kind} index of {} vectors built in {seconds} s, engine={}, {} (asked: {asked}{why}); the node is {}",
                    info.records, info.engine, info.tier, after.state
                );
                let seen = after.state == State::Healthy
                    && after.index.as_ref().is_some_and(|index| index.lsn >= info.lsn);
                let effect = if seen { Effect::observed(text) } else { Effect::not_observed(text) };
                built_by(effect, &info)
                    .with("asked", asked)
                    .with("build_seconds", seconds)
                    .with("vectors", info.records)
                    .with("kind", kind)
                    .with("act_seconds", format!("{:.3}", began.elapsed().as_secs_f64()))
            }
            Err(e @ CallError::Indefinite(_)) => Effect::not_observed(e.to_string()),
            Err(e) => Effect::failed(e.to_string()),
        }
    }

    async fn try_rebuild(
        &self,
        engine: BuildEngine,
    ) -> Result<(vectordb::IndexInfo, vectordb::Status), CallError> {
        let builder = self.client.within(BUILD_LIMIT);
        let info = match self.client.status().await?.index {
            Some(_) => builder.rebuild_index(engine).await?,
            None => builder.build_index(self.spec, engine).await?,
        };
        Ok((info, self.client.status().await?))
    }
}

/// Who is asked to build: by itself a node builds on its processor.
fn engine(asked: EngineChoice) -> BuildEngine {
    match asked {
        EngineChoice::Auto | EngineChoice::Cpu => BuildEngine::Cpu,
        EngineChoice::OpenCl => BuildEngine::OpenCl,
    }
}

/// With who really built an index, what was found in it then, and why it was not built as asked.
pub(super) fn built_by(effect: Effect, info: &vectordb::IndexInfo) -> Effect {
    let mut effect = effect.with("engine", info.engine).with("tier", &info.tier);
    if let Some(recall) = info.recall {
        effect = effect.with("build_recall", format!("{recall:.4}"));
    }
    match &info.note {
        Some(why) => effect.with("why", why),
        None => effect,
    }
}

/// The kind of an index, by the scenario's word.
pub(super) fn words(spec: &IndexSpec) -> &'static str {
    match spec.kind {
        vectordb::Kind::Hnsw { .. } => "hnsw",
        vectordb::Kind::IvfFlat { .. } => "ivf_flat",
    }
}

/// The index that a scenario asks for: one that is to be served finds as much as its users want to be shown.
pub(super) fn spec(scenario: &Scenario) -> IndexSpec {
    let least = scenario.service.iter().filter_map(|service| service.probe.search.as_ref());
    let least = least.map(|search| search.min_recall).fold(0.0, f64::max);
    let v = &scenario.data.vectors;
    IndexSpec { min_recall: (least * 1_000.0).round() as u16, ..plain(v.index, v.count, scenario.seed) }
}

/// The same of which nothing is asked.
pub(super) fn plain(kind: IndexKind, count: u64, seed: u64) -> IndexSpec {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let native = match kind {
        IndexKind::Hnsw => index::IndexSpec::hnsw(),
        IndexKind::IvfFlat => index::IndexSpec::ivf_flat(count),
    };
    let kind = match native.kind {
        index::Kind::Hnsw { m, ef_construction, ef } => vectordb::Kind::Hnsw { m, ef_construction, ef },
        index::Kind::IvfFlat { nlist, nprobe } => vectordb::Kind::IvfFlat { nlist, nprobe },
        index::Kind::IvfSq8 { .. } | index::Kind::IvfPq { .. } => {
            unreachable!("scenarios name `hnsw` and `ivf_flat` only, and the spec was made above")
        }
    };
    IndexSpec { kind, seed, min_recall: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_tells_what_was_found_in_the_graph_and_why_it_was_not_built_in_bulk() {
        let mut info = vectordb::IndexInfo {
            spec: plain(IndexKind::Hnsw, 10, 1),
            engine: BuildEngine::Cpu,
            tier: "fp32 avx2".into(),
            note: Some("so vectors were inserted one by one".into()),
            recall: Some(0.99754),
            records: 10,
            lsn: 10,
            build_seconds: 0.1,
        };
        let facts = |info: &vectordb::IndexInfo| built_by(Effect::observed("built"), info).facts;
        let told = facts(&info);
        let of = |name: &str| told.iter().find(|(fact, _)| fact == name).map(|(_, value)| value.as_str());
        assert_eq!(of("build_recall"), Some("0.9975"));
        assert_eq!(of("why"), Some("so vectors were inserted one by one"));
        (info.note, info.recall) = (None, None);
        assert_eq!(facts(&info).len(), 2, "engine and tier");
    }
}
