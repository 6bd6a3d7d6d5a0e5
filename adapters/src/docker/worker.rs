//! Role `gpu`: workers are this very program in a container, and its driver is with the harness, as in world `local`.
//!
//! The job's checkpoints are in the region's object store. A device that was broken by a fault stays broken over
//! restarts: whoever starts the worker tells it so before anybody hears that it answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use harness::plan::Plan;
use harness::ports::{Effect, EnvironmentError, System};
use harness::topology::Role;

use super::environment;
use super::host::Node;
use super::stand::{Blueprint, Disk, becoming};
use crate::local::gpu::{CHECKPOINTS, GpuNode, gpu_system, job};
use crate::local::{NODE, NodeConfig};

/// Where the worker listens, inside.
const PORT: u16 = 9400;

/// A worker.
#[derive(Debug)]
pub(super) struct Worker(GpuNode);

impl Worker {
    /// A worker published at `addr`, which does not have to run yet.
    pub(super) fn new(addr: SocketAddr, plan: &Plan) -> Self {
        Self(GpuNode::new(PathBuf::new(), addr, plan))
    }

    /// What it needs of a container.
    pub(super) fn blueprint(&self, image: String) -> Blueprint {
        let mut config = self.0.config(PORT);
        config.listen = Ipv4Addr::UNSPECIFIED;
        // A container has no standard input that could end.
        config.lifeline = false;
        config.miscompute = false;
        let (cmd, env) = becoming(NODE, &NodeConfig::Gpu(config));
        Blueprint {
            image,
            user: None,
            cmd,
            env,
            port: PORT,
            more: Vec::new(),
            disk: Disk { at: "/var/lib/gameday", bytes: None },
            memory: 512 << 20,
            nano_cpus: 1_000_000_000,
        }
    }

    /// What it says about itself.
    pub(super) async fn ready(&self) -> Result<String, String> {
        self.0.status().await.map_err(|e| e.to_string())
    }

    /// Breaks a device that was broken before its process was started anew.
    pub(super) async fn provide(&self) -> Result<(), String> {
        if !self.0.broken() {
            return Ok(());
        }
        let effect = self.0.miscompute(true).await;
        if effect.outcome.observed() { Ok(()) } else { Err(effect.outcome.text().to_owned()) }
    }

    /// Makes it compute wrong, or right, and looks at what it computes then.
    pub(super) async fn miscompute(&self, wrong: bool) -> Effect {
        self.0.miscompute(wrong).await
    }
}

/// The workers of a region and what drives them, as users reach them; `None` if it has none.
pub(super) fn of_region(
    nodes: &[Node],
    region: &str,
    plan: &Plan,
) -> Result<Option<Arc<dyn System>>, EnvironmentError> {
    let here = |role| nodes.iter().filter(move |n| n.id.region == region && n.id.role == role);
    let link = |node: &Node| {
        let link = node.links.users().map_err(|e| environment(e, "free some ports of 127.0.0.1"))?;
        Ok(link.addr())
    };
    let workers: Vec<SocketAddr> = here(Role::Gpu).map(link).collect::<Result<_, _>>()?;
    let (Some(store), false) = (here(Role::Object).next(), workers.is_empty()) else { return Ok(None) };
    let Ok(minio) = store.product.object() else { return Ok(None) };
    let objects = minio.users_bucket(link(store)?, CHECKPOINTS);
    let objects = objects.map_err(|e| environment(e, "report this: it is a defect of gameday"))?;
    Ok(Some(gpu_system(&workers, objects, job(plan), None)))
}
