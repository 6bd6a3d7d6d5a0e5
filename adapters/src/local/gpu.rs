//! Workers of the local world, asked directly, past the link; and the acts that only workers know.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::corpus::Corpus;
use harness::job::Job;
use harness::plan::Plan;
use harness::ports::{Effect, EnvironmentError, INFERENCE_TOLERANCE, System};
use harness::topology::Role;

use super::environment;
use super::node::Node;
use super::product::{ObjectNode, Product};
use crate::gpu::{CallError, Client, Config, Flaw, GpuSystem};
use crate::s3::S3;

/// The bucket that checkpoints go to.
pub(crate) const CHECKPOINTS: &str = "gameday-checkpoints";

/// One question to a worker, past the link.
const LIMIT: Duration = Duration::from_secs(1);

/// A worker.
#[derive(Debug)]
pub(crate) struct GpuNode {
    /// Of which it has no use.
    pub(super) dir: PathBuf,
    corpus: Corpus,
    job: Job,
    /// Past the link.
    client: Client,
    /// Whether its device is broken; a restart does not mend it.
    broken: AtomicBool,
}

impl GpuNode {
    pub(crate) fn new(dir: PathBuf, addr: SocketAddr, plan: &Plan) -> Self {
        Self {
            dir,
            corpus: Corpus::of(&plan.scenario),
            job: job(plan),
            client: Client::new(addr),
            broken: AtomicBool::new(false),
        }
    }

    /// What its process is told.
    pub(crate) fn config(&self, port: u16) -> Config {
        let miscompute = self.broken.load(Ordering::Relaxed);
        Config { port, miscompute, lifeline: true, ..Config::new(self.corpus.clone(), self.job) }
    }

    /// Whether its device was broken.
    #[cfg(feature = "docker")]
    pub(crate) fn broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// What it says about itself, in words.
    pub(crate) async fn status(&self) -> Result<String, CallError> {
        let status = self.client.status(LIMIT).await?;
        let (engine, shards) = (status.engine, status.shards);
        Ok(format!("engine {engine}, {shards} shards and {} inferences done", status.inferences))
    }

    /// Makes the worker compute wrong, or right, and looks at what it computes then.
    pub(crate) async fn miscompute(&self, wrong: bool) -> Effect {
        // Whatever becomes of the call, a process that is started later has to know.
        self.broken.store(wrong, Ordering::Relaxed);
        match self.try_miscompute(wrong).await {
            Ok((bent, off)) if bent == wrong && (off > INFERENCE_TOLERANCE) == wrong => {
                let sums = if bent { "differ from" } else { "are" };
                Effect::observed(format!("its sums {sums} the right ones, an inference is {off:.1e} off"))
            }
            Ok((bent, off)) => {
                let sums = if bent { "differ from" } else { "are" };
                Effect::not_observed(format!("its sums {sums} the right ones, an inference is {off:.1e} off"))
            }
            Err(e) => Effect::not_observed(format!("whoever starts it next will see: {e}")),
        }
    }

    /// Whether a known shard comes back wrong, and how far off the worst of some known inferences is.
    async fn try_miscompute(&self, wrong: bool) -> Result<(bool, f32), CallError> {
        self.client.miscompute(wrong, LIMIT).await?;
        let start = self.job.start();
        let mut bent = false;
        for shard in 0..2 {
            bent |= self.client.shard(start.bytes(), shard, LIMIT).await? != self.job.shard(&start, shard);
        }
        let mut off = 0f32;
        for n in 0..4 {
            let input = self.corpus.inference_input(n);
            let known = self.corpus.inference(&input);
            let said = self.client.infer(input, LIMIT).await?;
            off = said.iter().zip(&known).fold(off, |off, (a, b)| off.max((a - b).abs()));
        }
        Ok((bent, off))
    }
}

/// The job of a drill.
pub(crate) fn job(plan: &Plan) -> Job {
    Job { seed: plan.scenario.seed }
}

/// The workers of a region, and what drives them, as users reach them: over links, as the object store is.
pub(crate) fn gpu_system(
    workers: &[SocketAddr],
    objects: S3,
    job: Job,
    flaw: Option<Flaw>,
) -> Arc<dyn System> {
    Arc::new(GpuSystem::new(workers, objects, job, flaw))
}

/// The workers of a region as users reach them; `None` if it has none.
pub(super) fn of_region(
    nodes: &[Node],
    region: &str,
    job: Job,
    flaw: Option<Flaw>,
) -> Result<Option<Arc<dyn System>>, EnvironmentError> {
    let here = |role| nodes.iter().filter(move |n| n.id.region == region && n.id.role == role);
    let link = |node: &Node| {
        let link = node.links.users().map_err(|e| environment(e, "free some ports of 127.0.0.1"))?;
        Ok(link.addr())
    };
    let workers: Vec<SocketAddr> = here(Role::Gpu).map(link).collect::<Result<_, _>>()?;
    let store = here(Role::Object).next();
    let (Some(node), false) = (store, workers.is_empty()) else { return Ok(None) };
    let Product::Object(ObjectNode { keys, .. }) = &node.product else { return Ok(None) };
    let objects = S3::new(&format!("http://{}", link(node)?), CHECKPOINTS, keys);
    let objects = objects.map_err(|e| environment(e, "report this: it is a defect of gameday"))?;
    Ok(Some(gpu_system(&workers, objects, job, flaw)))
}
