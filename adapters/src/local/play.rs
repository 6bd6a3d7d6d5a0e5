//! The acts of the local world, each answered after its effect was observed.
//!
//! Acts on one node are here; those between regions are in `regions`, those between a node and its backups in
//! `backups`.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use harness::act::{Act, Artifact, Damage};
use harness::ports::{Effect, Host as _};
use harness::topology::{NodeId, Role};

use super::artifact::{Order, Other};
use super::command::{self, Errand, Told};
use super::features::FeatureNode;
use super::gpu::GpuNode;
use super::hidden::state_of;
use super::host::LocalHost;
use super::link::Mode;
use super::links::cut;
use super::model;
use super::node::Node;
use super::product::{BUCKET, COLLECTION, ObjectNode, Product, VectorNode, spec};
use super::sweep::remove_state;

impl LocalHost {
    pub(super) fn node(&self, id: &NodeId) -> Result<&Node, Effect> {
        self.nodes
            .iter()
            .find(|node| node.id == *id)
            .ok_or_else(|| Effect::failed(format!("there is no node {id}")))
    }

    /// A vector node, once it answers.
    pub(super) async fn vector(&self, id: &NodeId) -> Result<&VectorNode, Effect> {
        let node = self.node(id)?;
        match &node.product {
            Product::Vector(vector) => node.ready().await.map(|()| vector),
            _ => Err(Effect::failed(format!("{id} is no vector node"))),
        }
    }

    /// A feature node, whether or not it answers.
    pub(super) fn features(&self, id: &NodeId) -> Result<&FeatureNode, Effect> {
        match &self.node(id)?.product {
            Product::Feature(store) => Ok(store),
            _ => Err(Effect::failed(format!("{id} is no feature node"))),
        }
    }

    fn worker(&self, id: &NodeId) -> Result<&GpuNode, Effect> {
        match &self.node(id)?.product {
            Product::Gpu(worker) => Ok(worker),
            _ => Err(Effect::failed(format!("{id} is no worker"))),
        }
    }

    /// The store of a region's backups: its own.
    pub(super) fn object_store(&self, region: &str) -> Result<&ObjectNode, Effect> {
        let store = |node: &Node| node.id.region == region && matches!(node.product, Product::Object(_));
        match self.nodes.iter().find(|node| store(node)).map(|node| &node.product) {
            Some(Product::Object(store)) => Ok(store),
            _ => Err(Effect::failed(format!("region {region} has no object store for backups"))),
        }
    }

    pub(super) async fn play(&self, act: &Act) -> Result<Effect, Effect> {
        Ok(match act {
            Act::Kill { node } => self.node(node)?.kill().await,
            Act::Stop { node } => self.node(node)?.stop().await,
            Act::Start { node } => self.node(node)?.start().await,
            Act::Restart { node } => self.node(node)?.restart().await,
            Act::Reload { node } => self.vector(node).await?.reload().await,
            Act::Pause { node } => self.node(node)?.pause().await,
            Act::Resume { node } => self.node(node)?.resume().await,
            Act::Cut { from, to, mode, direction } => {
                self.node(to)?.links.set(from.as_deref(), cut(*mode, *direction)).await
            }
            Act::Delay { from, to, by } => {
                self.node(to)?.links.set(from.as_deref(), Mode::Delay(by.std())).await
            }
            Act::Mend { from, to } => self.node(to)?.links.set(from.as_deref(), Mode::Open).await,
            Act::Damage { node, what: Artifact::Model, seed, .. } => {
                model::swap(&self.node(node)?.product.object()?.data, *seed).await
            }
            Act::Damage { node, what, how, fraction, seed } if node.role == Role::Feature => {
                self.features(node)?.damage(*what, *how, *fraction, *seed).await
            }
            Act::Damage { node, what, how, fraction, seed } => {
                let order = self.order(self.node(node)?, *what, *how, *fraction, *seed);
                let other = self.other();
                blocking(move || order.execute(&other)).await
            }
            Act::Discard { .. } => Effect::observed("goes with the stack"),
            Act::Wipe { node } => self.wipe(self.node(node)?).await,
            Act::Backup { node, kind } => self.back_up(node, *kind).await?,
            Act::Restore { node, scope, model } => self.restore(node, *scope, *model).await?,
            Act::Intrude { node } => self.features(node)?.intrude().await,
            Act::Audit { node } => {
                let store = self.object_store(&node.region)?;
                self.node(node)?.ready().await?;
                self.features(node)?.audit(store).await
            }
            Act::Rebuild { node, engine } => {
                self.follow_up(self.node(node)?).await?;
                self.vector(node).await?.rebuild(*engine).await
            }
            Act::Stall { node } => self.stall(node, true).await?,
            Act::Unstall { node } => self.stall(node, false).await?,
            Act::Promote { node } => self.promote(node).await?,
            Act::Fence { node } => self.fence(node).await?,
            Act::Rejoin { node } => self.rejoin(node).await?,
            Act::Route { service, to } => self.router.send(service, to),
            Act::Command { run } => self.command(run).await?,
            Act::Limit { .. }
            | Act::Unlimit { .. }
            | Act::Fill { .. }
            | Act::Free { .. }
            | Act::Isolate { .. }
            | Act::Attach { .. } => {
                Effect::failed(format!("world `local` has no containers, and cannot {act}"))
            }
            Act::Miscompute { node } => self.worker(node)?.miscompute(true).await,
            Act::Compute { node } => self.worker(node)?.miscompute(false).await,
            Act::Teardown => match self.teardown().await {
                Ok(()) => Effect::observed("every process is gone, and the state removed"),
                Err(e) => Effect::failed(e.to_string()),
            },
        })
    }

    /// A fault that is acknowledged and does nothing, and what is seen of it.
    pub(super) async fn act_without_effect(&self, act: &Act) -> Result<Effect, Effect> {
        match act {
            Act::Damage { node, what: Artifact::Model, seed, .. } => {
                Ok(model::look(&self.node(node)?.product.object()?.data, *seed).await)
            }
            Act::Damage { node, .. } if node.role == Role::Feature => Ok(self.node(node)?.look().await),
            Act::Damage { node, what, how, fraction, seed } => {
                let order = self.order(self.node(node)?, *what, *how, *fraction, *seed);
                Ok(blocking(move || order.execute_on_nothing()).await)
            }
            other => Ok(self.target(other)?.look().await),
        }
    }

    /// The node that an act is about.
    fn target(&self, act: &Act) -> Result<&Node, Effect> {
        self.node(act.node().ok_or_else(|| Effect::failed(format!("{act} is about no node")))?)
    }

    fn order(&self, node: &Node, what: Artifact, how: Damage, fraction: f64, seed: u64) -> Order {
        let folder = node.product.dir().clone();
        let scratch = state_of(&self.folder).join(format!("{}.scratch", node.id.slug()));
        Order { objects: folder.join(BUCKET), folder, scratch, what, how, fraction, seed }
    }

    fn other(&self) -> Other {
        let spec = spec(&self.plan.scenario);
        Other { collection: COLLECTION.into(), corpus: (*self.corpus).clone(), spec }
    }

    /// Empties a node's folder. A process that runs holds its files open and would notice nothing.
    async fn wipe(&self, node: &Node) -> Effect {
        if let Some(proc) = node.running() {
            let why = format!("process {} runs on this disk: kill it first", proc.pid());
            return Effect::failed(why);
        }
        let (run, folder) = (self.folder.clone(), node.product.dir().clone());
        blocking(move || emptied(&run, &folder).unwrap_or_else(Effect::failed)).await
    }

    async fn command(&self, run: &[String]) -> Result<Effect, Effect> {
        let n = self.commands.fetch_add(1, Ordering::Relaxed);
        let mut told = Told::default();
        for node in &self.nodes {
            let name = |what| command::variable(&node.id, what);
            told.tell(name("ADDR"), node.port.addr().to_string());
            match &node.product {
                Product::Object(store) => {
                    told.tell(name("BUCKET"), BUCKET);
                    told.tell(name("ACCESS_KEY"), &store.keys.access);
                    told.confide(name("SECRET_KEY"), &store.keys.secret);
                }
                Product::Vector(_) => told.tell(name("COLLECTION"), COLLECTION),
                // Who reaches these may do all that they can.
                Product::Feature(_) | Product::Gpu(_) => {}
            }
        }
        let errand = Errand {
            gate: &self.gate,
            host: self,
            topology: &self.plan.topology,
            exe: &self.exe,
            run: &self.run,
            folder: &self.folder,
            n,
        };
        command::run(errand, run, told).await
    }
}

/// Empties a folder of the run. Blocks.
fn emptied(run: &std::path::Path, folder: &PathBuf) -> Result<Effect, String> {
    let list = || match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries.count()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(format!("{}: {e}", folder.display())),
    };
    let before = list()?;
    remove_state(run, folder).map_err(|e| e.to_string())?;
    std::fs::create_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let left = list()?;
    let text = format!("{before} files and folders were on the disk, {left} are left");
    let effect = if before > 0 && left == 0 { Effect::observed(text) } else { Effect::not_observed(text) };
    Ok(effect.with("removed", before))
}

async fn blocking(work: impl FnOnce() -> Effect + Send + 'static) -> Effect {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Effect::failed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_emptied_once_and_only_inside_the_run() {
        let run = tempfile::tempdir().unwrap();
        let disk = run.path().join("state").join("east-vector");
        std::fs::create_dir_all(disk.join("segments")).unwrap();
        std::fs::write(disk.join("wal.log"), "x").unwrap();
        assert!(emptied(run.path(), &disk).unwrap().outcome.observed());
        assert_eq!(std::fs::read_dir(&disk).unwrap().count(), 0);
        assert!(!emptied(run.path(), &disk).unwrap().outcome.observed(), "there was nothing to remove");
        assert!(emptied(&disk, &run.path().join("state")).is_err());
        assert!(disk.is_dir());
    }
}
