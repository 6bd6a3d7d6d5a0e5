//! The workers of a region, as their users reach them: they share a job, and answer inference requests.
//!
//! A step is done by whichever workers are there; its checkpoint is an object in the region's object store. A worker
//! that computes wrong results is outvoted as long as another one computes right ones.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::sleep;

use super::{
    peers::Change,
    store::SimStore,
    world::{Shared, World},
};
use crate::{
    ports::{Page, PortError, Reading, System, Write},
    topology::{LinkState, NodeId, Role},
};

/// How long a step takes.
const STEP: Duration = Duration::from_millis(5);

impl World {
    fn workers(&self, region: &str) -> impl Iterator<Item = &NodeId> {
        self.nodes.keys().filter(move |id| id.role == Role::Gpu && id.region == region)
    }

    /// Workers that are there and that users reach.
    fn able(&self, region: &str) -> Vec<NodeId> {
        let reached = |id: &&NodeId| !matches!(self.state.links.get(*id), Some(LinkState::Cut(..)));
        let awake = |id: &&NodeId| self.nodes.get(*id).is_some_and(|n| n.awake() && !n.fenced);
        self.workers(region).filter(reached).filter(awake).cloned().collect()
    }

    /// Whether no worker computes right results.
    fn all_wrong(&self, region: &str) -> bool {
        self.able(region).iter().all(|id| self.state.wrong.contains(id))
    }

    /// What the next step's checkpoint will be worth.
    fn computed(&mut self, region: &str, step: u64) -> Reading {
        let mut lost = false;
        for (_, node) in self.nodes.iter_mut().filter(|(id, _)| id.role == Role::Gpu && id.region == region) {
            lost |= std::mem::take(&mut node.shard_lost);
        }
        if lost || self.all_wrong(region) { Reading::Corrupt } else { Reading::Ver(step) }
    }

    /// Stores a checkpoint: the number of the change, and the object node's generation. `None` while it cannot.
    fn check_point(&mut self, object: &NodeId, step: u64, now_us: u64) -> Option<(u64, u64)> {
        self.nodes.get(object).filter(|n| n.awake())?;
        let reading = self.computed(&object.region, step);
        let node = self.nodes.get_mut(object)?;
        node.checkpoints.insert(step, reading);
        let generation = node.generation;
        Some((self.peers.send(object, &Change::Checkpoint(step, reading), now_us), generation))
    }
}

/// A worker that has taken a request.
#[derive(Debug)]
struct Taken {
    worker: NodeId,
    generation: u64,
    late: Duration,
}

/// The workers of one region.
#[derive(Debug)]
pub(super) struct SimWorkers {
    region: String,
    object: NodeId,
    /// Where checkpoints are read.
    store: SimStore,
    shared: Arc<Shared>,
}

impl SimWorkers {
    pub(super) fn new(region: &str, shared: &Arc<Shared>) -> SimWorkers {
        SimWorkers {
            region: region.into(),
            object: NodeId::new(region, Role::Object),
            store: SimStore::new(region, Role::Object, shared),
            shared: shared.clone(),
        }
    }

    /// Waits for a worker.
    async fn taken(&self, n: u64) -> Result<Taken, PortError> {
        loop {
            let changed = self.shared.changed.notified();
            let picked = {
                let world = self.shared.world();
                if world.workers(&self.region).next().is_none() {
                    return Err(PortError::Definite("no such node".into()));
                }
                let able = world.able(&self.region);
                let at = usize::try_from(n).unwrap_or(0).checked_rem(able.len());
                at.map(|at| (able[at].clone(), world.nodes.get(&able[at]).map_or(0, |n| n.generation)))
            };
            if let Some((worker, generation)) = picked {
                let late = self.shared.network(&worker)?.late;
                return Ok(Taken { worker, generation, late });
            }
            changed.await;
        }
    }

    /// Whether the worker has been there all the time.
    fn stayed(&self, taken: &Taken) -> bool {
        let same = |world: &World| world.able(&self.region).contains(&taken.worker);
        let world = self.shared.world();
        same(&world) && world.nodes.get(&taken.worker).map(|n| n.generation) == Some(taken.generation)
    }
}

#[async_trait]
impl System for SimWorkers {
    async fn write(&self, write: Write) -> Result<(), PortError> {
        loop {
            let taken = self.taken(write.key).await?;
            sleep(taken.late + STEP).await;
            if !self.stayed(&taken) {
                // The others take over its shards.
                continue;
            }
            let changed = self.shared.changed.notified();
            let now_us = self.shared.clock.now_us();
            let stored = self.shared.world().check_point(&self.object, write.key, now_us);
            let Some((seq, generation)) = stored else {
                changed.await;
                continue;
            };
            self.shared.acked(&self.object, generation, seq).await?;
            sleep(taken.late).await;
            return Ok(());
        }
    }

    async fn read(&self, key: u64) -> Result<Option<Reading>, PortError> {
        let reading =
            |w: &mut World| w.nodes.get(&self.object).and_then(|n| n.checkpoints.get(&key).copied());
        self.store.ask(false, |w| Ok(reading(w))).await
    }

    async fn survivors(&self, after: Option<u64>, limit: usize) -> Result<Page, PortError> {
        let none = BTreeMap::new();
        let page =
            |w: &mut World| page(w.nodes.get(&self.object).map_or(&none, |n| &n.checkpoints), after, limit);
        self.store.ask(false, |w| Ok(page(w))).await
    }

    async fn resume_job(&self) -> Result<u64, PortError> {
        let newest = |w: &mut World| {
            let kept = w.nodes.get(&self.object).into_iter().flat_map(|n| n.checkpoints.iter().rev());
            kept.into_iter()
                .find(|(_, reading)| matches!(reading, Reading::Ver(_)))
                .map_or(0, |(step, _)| *step)
        };
        let from = self.store.ask(false, |w| Ok(newest(w))).await?;
        let taken = self.taken(from).await?;
        sleep(taken.late + STEP).await;
        Ok(from)
    }

    async fn infer(&self, input: &[f32]) -> Result<Vec<f32>, PortError> {
        let taken = self.taken(u64::from(input.first().map_or(0, |x| x.to_bits()))).await?;
        sleep(2 * taken.late).await;
        if !self.stayed(&taken) {
            return Err(PortError::Indefinite("connection reset".into()));
        }
        let mut answer = self.shared.corpus.inference(input);
        if self.shared.world().all_wrong(&self.region) {
            answer.iter_mut().for_each(|x| *x += 1.0);
        }
        Ok(answer)
    }
}

fn page(steps: &BTreeMap<u64, Reading>, after: Option<u64>, limit: usize) -> Page {
    let from = after.map_or(0, |a| a.saturating_add(1));
    let mut items: Vec<(u64, Reading)> =
        steps.range(from..).take(limit.saturating_add(1)).map(|(k, r)| (*k, *r)).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().map(|(key, _)| *key).filter(|_| more);
    Page { items, next }
}
