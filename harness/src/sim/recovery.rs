//! What recovery steps do: backups and restores, promotion, fencing, rejoining, rebuilding, auditing.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    Flaw,
    backup::Archive,
    cells::STRANGERS,
    peers::{Change, Heard},
    world::Shared,
};
use crate::{
    act::{Act, BackupKind, RestoreScope},
    corpus::{FEATURES, MODEL_VERSION, MODELS},
    ports::Effect,
    topology::{LinkState, NodeId, Role},
};

/// How long building an index, or restoring a store, takes.
const BUILD: Duration = Duration::from_millis(1500);
/// How long restoring what critical services need takes. The rest is there with it: effects do not depend on size.
const BUILD_MINIMAL: Duration = Duration::from_millis(500);
/// How long the detectors take.
const AUDIT: Duration = Duration::from_millis(100);
/// How often a standby is asked how far it is.
const ASK: Duration = Duration::from_millis(5);

impl Shared {
    pub(super) async fn recover(&self, act: &Act) -> Effect {
        let done = match act {
            Act::Backup { node, kind } => self.back_up(node, *kind),
            Act::Restore { node, scope, model } => self.restore(node, *scope, *model).await,
            Act::Audit { node } => return self.audit(node).await.unwrap_or_else(Effect::failed),
            Act::Promote { node } => self.promote(node).await,
            Act::Fence { node } => self.fence(node),
            Act::Rejoin { node } => self.rejoin(node).await,
            Act::Route { to, .. } if self.topology.regions.contains(to) => Ok(format!("users go to {to}")),
            Act::Route { to, .. } => Err(format!("there is no region {to}")),
            Act::Rebuild { node, engine } => {
                let done = self.rebuild(node).await;
                return done.map_or_else(Effect::failed, |n| {
                    let effect = Effect::observed(format!("{n} vectors indexed"));
                    effect.with("engine", "simulated").with("asked", engine)
                });
            }
            _ => Err("this is no recovery".into()),
        };
        done.map_or_else(Effect::failed, Effect::observed)
    }

    /// Whether the process answers.
    fn answers(&self, node: &NodeId) -> Result<(), String> {
        match self.with(node, |n, _| (n.running, n.paused)) {
            None => Err("no such node".into()),
            Some((true, false)) => Ok(()),
            Some((true, true)) => Err(format!("{node} does not answer")),
            Some((false, _)) => Err("connection refused".into()),
        }
    }

    fn back_up(&self, node: &NodeId, kind: BackupKind) -> Result<String, String> {
        self.answers(node)?;
        let object = NodeId::new(&node.region, Role::Object);
        self.answers(&object)?;
        let mut world = self.world();
        let before = world.nodes.get(&object).and_then(|o| o.archives.get(&node.role)).cloned();
        let held = world.nodes.get(node).ok_or("no such node")?;
        let models = world.nodes.get(&object).map(|o| o.models(node.role)).unwrap_or_default();
        let archive = Archive::next(before.as_ref(), held, models, kind)?;
        let words = archive.words(before.as_ref());
        if let Some(object) = world.nodes.get_mut(&object) {
            object.archives.insert(node.role, archive.clone());
        }
        world.peers.send(&object, &Change::Backup(node.role, archive), self.clock.now_us());
        Ok(words)
    }

    async fn restore(
        &self,
        node: &NodeId,
        scope: RestoreScope,
        model: Option<u32>,
    ) -> Result<String, String> {
        let object = NodeId::new(&node.region, Role::Object);
        sleep(if scope == RestoreScope::Minimal { BUILD_MINIMAL } else { BUILD }).await;
        self.answers(node)?;
        self.answers(&object)?;
        if let Some(version) = model.filter(|version| *version != MODEL_VERSION) {
            return Err(format!("no backup fits model version {version}"));
        }
        let mut world = self.world();
        let archive = world.nodes.get(&object).and_then(|o| o.archives.get(&node.role)).cloned();
        let models = archive.as_ref().map(|a| a.models.clone()).unwrap_or_default();
        let done = world.nodes.get_mut(node).ok_or("no such node")?.restore(archive)?;
        let now_us = self.clock.now_us();
        let changed = world.nodes.get_mut(&object).map(|o| o.put_models_right(models)).unwrap_or_default();
        for (key, cell) in changed {
            world.spread(&object, key, cell, now_us);
        }
        // What a replica has that is newer than the backup comes from there.
        world.peers.resync(node);
        Ok(done)
    }

    async fn rebuild(&self, node: &NodeId) -> Result<usize, String> {
        sleep(BUILD).await;
        self.answers(node)?;
        while self.heard(node).await == Heard::CutOff {
            self.changed.notified().await;
        }
        self.answers(node)?;
        self.with(node, |n, _| n.rebuild()).ok_or_else(|| "no such node".into())
    }

    /// Waits until a standby has heard everything that was written until now, or cannot.
    pub(super) async fn heard(&self, node: &NodeId) -> Heard {
        let newest = self.world().peers.newest();
        loop {
            let heard = self.world().peers.heard(node, newest);
            if heard != Heard::NotYet {
                return heard;
            }
            sleep(ASK).await;
        }
    }

    async fn promote(&self, node: &NodeId) -> Result<String, String> {
        self.answers(node)?;
        if node.role == Role::Gpu {
            self.with(node, |n, _| n.fenced = false);
            return Ok("the job goes on here".into());
        }
        if self.with(node, |n, _| n.leads && !n.fenced) == Some(true) {
            return Ok("it takes the writes already".into());
        }
        let lags = self.flaw == Some(Flaw::LaggingStandby) && node.role == Role::Vector;
        let heard = if lags { Heard::All } else { self.heard(node).await };
        self.answers(node)?;
        let mut world = self.world();
        if !world.peers.mutual {
            world.peers.sever(node);
        }
        let held = world.nodes.get_mut(node).ok_or("no such node")?;
        (held.leads, held.fenced) = (true, false);
        let words =
            if heard == Heard::CutOff { "what it had not heard is lost" } else { "it had heard everything" };
        Ok(format!("it takes the writes; {words}"))
    }

    fn fence(&self, node: &NodeId) -> Result<String, String> {
        let flawed = self.flaw == Some(Flaw::SplitBrain);
        let done = self.with(node, |n, _| {
            if !flawed {
                (n.leads, n.fenced) = (n.role == Role::Gpu, true);
            }
        });
        done.map(|()| "it takes no writes".into()).ok_or_else(|| "no such node".into())
    }

    async fn rejoin(&self, node: &NodeId) -> Result<String, String> {
        self.answers(node)?;
        if node.role == Role::Gpu {
            return self
                .with(node, |n, _| n.fenced = false)
                .map(|()| "it works again".into())
                .ok_or_else(gone);
        }
        let source = self.source_for(node)?;
        sleep(BUILD).await;
        self.answers(node)?;
        self.answers(&source)?;
        let now_us = self.clock.now_us();
        let mut world = self.world();
        let from = world.nodes.get(&source).ok_or_else(gone)?;
        let (cells, checkpoints, archives) =
            (from.cells.clone(), from.checkpoints.clone(), from.archives.clone());
        let mutual = world.peers.mutual;
        world.peers.forget(node);
        world.peers.follow(&source, node, now_us);
        if mutual {
            world.peers.follow(node, &source, now_us);
        }
        let held = world.nodes.get_mut(node).ok_or_else(gone)?;
        let count = cells.len();
        held.replace(cells);
        (held.checkpoints, held.archives) = (checkpoints, archives);
        (held.leads, held.fenced) = (mutual, false);
        Ok(format!("{count} records copied; it follows {source}"))
    }

    /// Whom a node that rejoins will follow: the one that takes the writes now.
    fn source_for(&self, node: &NodeId) -> Result<NodeId, String> {
        let home = self.router.home(node.role).filter(|region| *region != node.region);
        let world = self.world();
        let leads = |id: &&NodeId| id.region != node.region && world.nodes.get(*id).is_some_and(|n| n.leads);
        let others = || world.nodes.keys().filter(|id| id.role == node.role).filter(leads);
        let source = others().find(|id| Some(&id.region) == home.as_ref()).or_else(|| others().next());
        let source = source.ok_or_else(|| format!("nobody else takes the writes of {}", node.role))?.clone();
        let link = world.state.peers.get(&(node.region.clone(), source.clone()));
        if matches!(link, Some(LinkState::Cut(..))) {
            return Err(format!("{source} cannot be reached from {}", node.region));
        }
        drop(world);
        self.answers(&source)?;
        Ok(source)
    }

    async fn audit(&self, node: &NodeId) -> Result<Effect, String> {
        sleep(AUDIT).await;
        self.answers(node)?;
        let world = self.world();
        let cells = &world.nodes.get(node).ok_or_else(gone)?.cells;
        let (entities, definitions) = (self.corpus.entities, FEATURES as u64);
        let altered = cells.spoilt(0, entities);
        let kept = |from, to: u64| (to - from) as usize - cells.keys(from, to).len();
        let removed = kept(0, entities);
        let defined = cells.spoilt(entities, entities + definitions) + kept(entities, entities + definitions);
        let roles = cells.keys(STRANGERS, u64::MAX).len();
        let object = NodeId::new(&node.region, Role::Object);
        let models = world.nodes.get(&object).map_or(0, |o| o.cells.spoilt(0, MODELS));
        let what = format!(
            "{altered} rows altered, {removed} removed, {defined} definitions altered, {roles} roles that nobody \
             granted, {models} models with another checksum"
        );
        Ok(Effect::observed(what)
            .with("values", altered + removed)
            .with("definitions", defined)
            .with("roles", roles)
            .with("models", models))
    }
}

fn gone() -> String {
    "no such node".into()
}
