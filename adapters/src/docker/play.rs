//! The acts of the docker world, each answered after its effect was observed.

use std::time::Duration;

use harness::act::{Act, Artifact, BackupKind, Outcome, RestoreScope};
use harness::ports::{Effect, Host as _};
use harness::topology::{NodeId, Role};
use tokio::time::{Instant, sleep, timeout};

use super::faults;
use super::host::{DockerHost, Node};
use super::minio::{BACKUPS, Minio};
use super::{disk, feature_moment, objects, vector, vector_backup, vector_damage, vector_moment};
use crate::features::acts;
use crate::local::link::Mode;
use crate::local::links::cut;
use crate::local::model;

/// A frozen product says nothing for this long.
const SILENCE: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(50);
/// One that goes on answers within this.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

impl DockerHost {
    pub(super) fn node(&self, id: &NodeId) -> Result<&Node, Effect> {
        let found = self.nodes.iter().find(|node| node.id == *id);
        found.ok_or_else(|| Effect::failed(format!("there is no node {id}")))
    }

    /// The store of a region's backups: its own.
    pub(super) fn object_store(&self, region: &str) -> Result<&Minio, Effect> {
        self.node(&NodeId::new(region, Role::Object))?.product.object()
    }

    pub(super) async fn play(&self, act: &Act) -> Result<Effect, Effect> {
        Ok(match act {
            Act::Kill { node } => self.node(node)?.container()?.kill().await,
            Act::Stop { node } => self.node(node)?.container()?.stop().await,
            Act::Start { node } => self.start(self.node(node)?).await,
            Act::Restart { node } => self.restart(self.node(node)?).await?,
            Act::Reload { node } => {
                let held = self.node(node)?;
                vector::reload(held.product.vector()?, held.container()?).await?
            }
            Act::Pause { node } => self.pause(self.node(node)?).await?,
            Act::Resume { node } => self.resume(self.node(node)?).await?,
            Act::Wipe { node } => self.node(node)?.container()?.wipe().await,
            Act::Cut { from, to, mode, direction } => {
                self.switch(from.as_deref(), to, cut(*mode, *direction)).await?
            }
            Act::Delay { from, to, by } => self.switch(from.as_deref(), to, Mode::Delay(by.std())).await?,
            Act::Mend { from, to } => self.switch(from.as_deref(), to, Mode::Open).await?,
            Act::Damage { node, what: Artifact::Model, seed, .. } => {
                model::swap(&self.node(node)?.product.object()?.data, *seed).await
            }
            Act::Damage { node, what: what @ (Artifact::Heap | Artifact::Index), fraction, seed, .. }
                if node.role == Role::Feature =>
            {
                faults::rot_pages(self.node(node)?, *what, *fraction, *seed).await?
            }
            Act::Damage { node, what: Artifact::Drive, how, fraction, seed } => {
                faults::rot_drive(self.node(node)?, *how, *fraction, *seed).await?
            }
            Act::Limit { node, cpu, memory_mb } => {
                self.node(node)?.container()?.limit(*cpu, *memory_mb).await
            }
            Act::Unlimit { node } => self.node(node)?.container()?.limit(None, None).await,
            Act::Fill { node } => {
                let held = self.node(node)?;
                disk::fill(&held.product, held.container()?).await
            }
            Act::Free { node } => disk::free(self.node(node)?.container()?).await,
            Act::Isolate { node } => self.isolate(self.node(node)?).await?,
            Act::Attach { node } => self.attach(self.node(node)?).await?,
            Act::Command { run } => self.command(run).await?,
            Act::Damage { node, what, how, fraction, seed } if node.role == Role::Feature => {
                acts::damage(self.node(node)?.product.feature()?, (*what, *how), *fraction, *seed).await
            }
            Act::Damage { node, what: Artifact::Backup, .. } if node.role == Role::Vector => {
                let (store, held) = (self.object_store(&node.region)?, self.node(node)?);
                vector_moment::mix(held.product.vector()?, held.container()?, &store.backups).await?
            }
            Act::Damage { node, what, how, fraction, seed } if node.role == Role::Vector => {
                let vector = self.node(node)?.product.vector()?;
                vector_damage::damage(vector, *what, *how, *fraction, *seed).await?
            }
            Act::Damage { node, what, how, fraction, seed } => {
                objects::damage(self.node(node)?.product.object()?, *what, *how, *fraction, *seed).await
            }
            Act::Intrude { node } => acts::intrude(self.node(node)?.product.feature()?).await,
            Act::Backup { node, kind } if node.role == Role::Feature => {
                self.back_up_features(node, *kind).await?
            }
            Act::Backup { node, kind } if node.role == Role::Vector => {
                let (store, held) = (self.object_store(&node.region)?, self.node(node)?);
                vector_backup::back_up(held.product.vector()?, held.container()?, &store.backups, *kind)
                    .await?
            }
            Act::Restore { node, scope: RestoreScope::Moment, .. } if node.role == Role::Vector => {
                let (store, held) = (self.object_store(&node.region)?, self.node(node)?);
                vector_moment::restore(held.product.vector()?, held.container()?, &store.backups).await?
            }
            Act::Restore { node, .. } if node.role == Role::Vector => {
                let (store, held) = (self.object_store(&node.region)?, self.node(node)?);
                vector_backup::restore(held.product.vector()?, held.container()?, &store.backups).await?
            }
            Act::Restore { node, scope: RestoreScope::Moment, .. } if node.role == Role::Feature => {
                let store = self.object_store(&node.region)?;
                feature_moment::restore(self.node(node)?.product.postgres()?, &store.buckets()).await?
            }
            Act::Restore { node, scope, model } if node.role == Role::Feature => {
                let store = self.object_store(&node.region)?;
                let (holder, buckets) = (self.node(node)?.product.feature()?, store.buckets());
                acts::restore(holder, &buckets, (*scope, *model), None).await
            }
            Act::Audit { node } => {
                let store = self.object_store(&node.region)?;
                acts::audit(self.node(node)?.product.feature()?, &store.buckets()).await
            }
            Act::Rebuild { node, engine } => {
                // An index of what is not here yet would be one of nothing.
                self.follow_up(self.node(node)?, vector::LONG).await?;
                vector::rebuild(self.node(node)?.product.vector()?, *engine, &self.corpus).await?
            }
            Act::Discard { .. } => Effect::observed("goes with the stack"),
            Act::Teardown => match self.teardown().await {
                Ok(()) => Effect::observed("every container, network and volume of the run is gone"),
                Err(e) => Effect::failed(e.to_string()),
            },
            Act::Miscompute { node } => self.node(node)?.product.worker()?.miscompute(true).await,
            Act::Compute { node } => self.node(node)?.product.worker()?.miscompute(false).await,
            Act::Stall { node } => self.stall(node, true).await?,
            Act::Unstall { node } => self.stall(node, false).await?,
            Act::Promote { node } => self.promote(node).await?,
            Act::Fence { node } => self.fence(node).await?,
            Act::Rejoin { node } => self.rejoin(node).await?,
            Act::Route { service, to } => self.router.send(service, to),
            Act::Backup { .. } | Act::Restore { .. } => {
                Effect::failed(format!("world `docker` cannot yet: {act}"))
            }
        })
    }

    /// A fault that is acknowledged and does nothing, and what is seen of it.
    pub(super) async fn act_without_effect(&self, act: &Act) -> Result<Effect, Effect> {
        let node = act.node().ok_or_else(|| Effect::failed(format!("{act} is about no node")))?;
        Ok(look(self.node(node)?).await)
    }

    /// Rows and records that can be restored one by one; and, for who goes back in time, the cluster and its log.
    async fn back_up_features(&self, node: &NodeId, kind: BackupKind) -> Result<Effect, Effect> {
        let (store, product) = (self.object_store(&node.region)?, &self.node(node)?.product);
        if kind == BackupKind::Incremental {
            return feature_moment::back_up(product.postgres()?, &store.backups, kind).await;
        }
        let full = acts::back_up(product.feature()?, &store.buckets(), BACKUPS).await;
        if !full.outcome.observed() || !self.plan.scenario.backup.incremental.contains(&Role::Feature) {
            return Ok(full);
        }
        let mut moment = feature_moment::back_up(product.postgres()?, &store.backups, kind).await?;
        moment.outcome = Outcome::Observed(format!("{}; {}", full.outcome.text(), moment.outcome.text()));
        moment.facts.extend(full.facts);
        Ok(moment)
    }

    /// Switches the users' link to a node, or that by which a region follows it.
    async fn switch(&self, from: Option<&str>, to: &NodeId, mode: Mode) -> Result<Effect, Effect> {
        let Some(region) = from else { return Ok(self.node(to)?.links.set(None, mode).await) };
        let found = self.bridges.iter().find(|bridge| bridge.follower == region && bridge.store == *to);
        match found {
            Some(bridge) => Ok(bridge.set(mode).await),
            None => Err(Effect::failed(format!("region {region} does not follow {to}"))),
        }
    }

    /// A container that has ended already needs no ending: to bring it back is what is asked for.
    async fn restart(&self, node: &Node) -> Result<Effect, Effect> {
        let container = node.container()?;
        let runs = async || {
            let life = container.life().await.map_err(Effect::failed)?;
            Ok::<_, Effect>(life.is_some_and(|life| life.running))
        };
        if runs().await? {
            let killed = container.kill().await;
            // It may have ended by itself, or by a fault, in the middle of this.
            if !killed.outcome.observed() && runs().await? {
                return Ok(killed);
            }
        }
        Ok(self.start(node).await)
    }

    async fn pause(&self, node: &Node) -> Result<Effect, Effect> {
        let seen = node.container()?.pause().await?;
        match timeout(SILENCE, node.product.ready()).await {
            Ok(Ok(done)) => Ok(Effect::not_observed(format!("{seen}, and still {done}"))),
            Ok(Err(why)) => Ok(Effect::observed(format!("{seen} and does not serve: {why}"))),
            Err(_) => Ok(Effect::observed(format!("{seen} and was silent for {SILENCE:?}"))),
        }
    }

    async fn isolate(&self, node: &Node) -> Result<Effect, Effect> {
        let seen = node.container()?.isolate().await?;
        match timeout(SILENCE, node.product.ready()).await {
            Ok(Ok(done)) => Ok(Effect::not_observed(format!("{seen}, and still {done}"))),
            Ok(Err(why)) => Ok(Effect::observed(format!("{seen} and is not reached: {why}"))),
            Err(_) => Ok(Effect::observed(format!("{seen} and was silent for {SILENCE:?}"))),
        }
    }

    async fn attach(&self, node: &Node) -> Result<Effect, Effect> {
        let seen = node.container()?.attach().await?;
        Ok(self.answers(node, seen).await)
    }

    async fn answers(&self, node: &Node, seen: String) -> Effect {
        let began = Instant::now();
        loop {
            let why = match timeout(ANSWER_LIMIT, node.product.ready()).await {
                Ok(Ok(done)) => return Effect::observed(format!("{seen}: {done}")),
                Ok(Err(why)) => why,
                Err(_) => "silence".into(),
            };
            if began.elapsed() > ANSWER_LIMIT {
                return Effect::not_observed(format!("{seen}, and does not serve: {why}"));
            }
            sleep(POLL).await;
        }
    }

    async fn resume(&self, node: &Node) -> Result<Effect, Effect> {
        let seen = node.container()?.resume().await?;
        match timeout(ANSWER_LIMIT, node.product.ready()).await {
            Ok(Ok(done)) => Ok(Effect::observed(format!("{seen}: {done}"))),
            Ok(Err(why)) => Ok(Effect::not_observed(format!("{seen}, and does not serve: {why}"))),
            Err(_) => Ok(Effect::not_observed(format!("{seen}, and is silent for {ANSWER_LIMIT:?}"))),
        }
    }
}

/// What is seen of a fault that was issued to nothing.
async fn look(node: &Node) -> Effect {
    let life = match node.container() {
        Ok(container) => container.life().await.map_or_else(|why| why, |life| format!("{life:?}")),
        Err(effect) => return effect,
    };
    let answer = node.product.ready().await;
    let answer =
        answer.map_or_else(|why| format!("it does not serve: {why}"), |done| format!("it serves: {done}"));
    Effect::not_observed(format!("{life}, and {answer}"))
}
