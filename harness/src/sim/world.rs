//! The simulated host and its systems.
//!
//! All state is behind one lock that is held for moments, never across an await. Time passes only in sleeps on the
//! virtual clock, with latencies drawn from the drill's seed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::{sync::Notify, time::sleep};

use super::{Flaw, node::SimNode};
use crate::{
    act::{Act, CutMode, Direction},
    clock::Clock,
    corpus::Corpus,
    plan::Plan,
    ports::{Effect, EnvironmentError, Host, Page, PortError, Reading, System, Write},
    topology::{LinkState, NodeId, Role, State, Topology},
};

/// How long a simulated process takes to start, and an index to build.
const START: Duration = Duration::from_millis(400);
const BUILD: Duration = Duration::from_millis(1500);

/// The simulated world.
#[derive(Clone, Debug)]
pub struct SimHost {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    topology: Topology,
    corpus: Corpus,
    flaw: Option<Flaw>,
    clock: Clock,
    inner: Mutex<Inner>,
    /// Told whenever a link or a process changes, so that what hangs looks again.
    changed: Notify,
}

#[derive(Debug)]
struct Inner {
    state: State,
    nodes: BTreeMap<NodeId, SimNode>,
    rng: ChaCha8Rng,
}

impl SimHost {
    /// A world for a plan, perhaps with a defect. Must be made inside the simulation's runtime.
    pub fn new(plan: &Plan, flaw: Option<Flaw>) -> Self {
        let topology = plan.topology.clone();
        let nodes = topology.nodes.iter().map(|id| (id.clone(), SimNode::new(id.role, flaw))).collect();
        let rng = ChaCha8Rng::seed_from_u64(plan.scenario.seed);
        let inner = Inner { state: State::healthy(&topology), nodes, rng };
        let corpus = Corpus::of(&plan.scenario);
        let (clock, changed) = (Clock::simulated(), Notify::new());
        SimHost {
            shared: Arc::new(Shared { topology, corpus, flaw, clock, inner: Mutex::new(inner), changed }),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, node: &NodeId, f: impl FnOnce(&mut SimNode, &Corpus) -> T) -> Option<T> {
        self.lock().nodes.get_mut(node).map(|n| f(n, &self.corpus))
    }

    async fn play(&self, act: &Act) -> Effect {
        let gone = || Effect::failed("no such node");
        match act {
            Act::Kill { node } | Act::Stop { node } => {
                match self.with(node, |n, _| std::mem::replace(&mut n.running, false).then(|| n.kill())) {
                    Some(Some(())) => Effect::observed("the process is gone"),
                    Some(None) => Effect::not_observed("there was no process to end"),
                    None => gone(),
                }
            }
            Act::Start { node } => {
                sleep(START).await;
                let done = self.with(node, |n, c| n.start(c));
                done.map_or_else(gone, |()| Effect::observed("the process answers"))
            }
            Act::Restart { node } => {
                self.with(node, |n, _| n.kill());
                sleep(START).await;
                let done = self.with(node, |n, c| n.start(c));
                done.map_or_else(gone, |()| Effect::observed("the process answers"))
            }
            Act::Pause { node } => {
                match self.with(node, |n, _| std::mem::replace(&mut n.paused, n.running)) {
                    Some(_) if self.with(node, |n, _| n.paused) == Some(true) => {
                        Effect::observed("the process is stopped")
                    }
                    Some(_) => Effect::not_observed("there is no process to freeze"),
                    None => gone(),
                }
            }
            Act::Resume { node } => {
                let done = self.with(node, |n, c| n.resume(c));
                done.map_or_else(gone, |()| Effect::observed("the process runs"))
            }
            Act::Cut { .. } | Act::Delay { .. } | Act::Mend { .. } => {
                Effect::observed("a test connection felt it")
            }
            Act::Damage { node, what, fraction, .. } => {
                let done = self.with(node, |n, _| n.damage(*what, *fraction));
                done.map_or_else(gone, |files| {
                    Effect::observed(format!("{files} files have other checksums"))
                })
            }
            Act::Discard { .. } | Act::Teardown => Effect::observed("thrown away"),
            Act::Backup { node, .. } => {
                let done = self.with(node, |n, _| n.back_up());
                done.map_or_else(gone, |records| Effect::observed(format!("{records} records backed up")))
            }
            Act::Restore { node, .. } => {
                sleep(BUILD).await;
                match self.with(node, |n, _| n.restore()) {
                    Some(Ok(what)) => Effect::observed(what),
                    Some(Err(why)) => Effect::failed(why),
                    None => gone(),
                }
            }
            Act::Rebuild { node, .. } => {
                sleep(BUILD).await;
                if self.with(node, |n, _| n.running) != Some(true) {
                    return Effect::failed("connection refused");
                }
                let done = self.with(node, |n, _| n.rebuild());
                done.map_or_else(gone, |n| {
                    Effect::observed(format!("{n} vectors indexed")).with("engine", "simulated")
                })
            }
            Act::Wipe { .. }
            | Act::Intrude { .. }
            | Act::Stall { .. }
            | Act::Unstall { .. }
            | Act::Miscompute { .. }
            | Act::Compute { .. }
            | Act::Audit { .. }
            | Act::Promote { .. }
            | Act::Fence { .. }
            | Act::Rejoin { .. }
            | Act::Route { .. } => Effect::failed("not simulated"),
            Act::Command { .. } => Effect::observed("commands are not run in a simulation; taken as done"),
        }
    }

    /// What the network does to a request: how late it is, and whether it or its answer is lost.
    fn network(&self, node: &NodeId) -> Result<Network, PortError> {
        let mut inner = self.lock();
        let jitter_us = 200 + inner.rng.next_u64() % 800;
        let late = Duration::from_micros(jitter_us);
        match inner.state.links.get(node) {
            Some(LinkState::Cut(CutMode::Refuse, _)) => Err(PortError::Definite("connection refused".into())),
            Some(LinkState::Cut(CutMode::Blackhole, Direction::FromNode)) => {
                Ok(Network { late, answer_lost: true, lost: false })
            }
            Some(LinkState::Cut(CutMode::Blackhole, _)) => {
                Ok(Network { late, answer_lost: true, lost: true })
            }
            Some(LinkState::Delayed(by)) => {
                Ok(Network { late: late + by.std(), answer_lost: false, lost: false })
            }
            Some(LinkState::Open) | None => Ok(Network { late, answer_lost: false, lost: false }),
        }
    }
}

struct Network {
    late: Duration,
    lost: bool,
    answer_lost: bool,
}

#[async_trait]
impl Host for SimHost {
    async fn launch(&self) -> Result<Vec<String>, EnvironmentError> {
        sleep(START).await;
        let shared = &self.shared;
        for node in &shared.topology.nodes {
            shared.with(node, |n, c| n.start(c));
        }
        Ok(shared.topology.nodes.iter().map(|n| format!("{n} is simulated")).collect())
    }

    async fn act(&self, act: &Act) -> Effect {
        let fault = matches!(
            act,
            Act::Kill { .. }
                | Act::Pause { .. }
                | Act::Damage { .. }
                | Act::Stop { .. }
                | Act::Cut { .. }
                | Act::Delay { .. }
        );
        if fault && self.shared.flaw == Some(Flaw::SilentFault) {
            return Effect::not_observed("acknowledged, but nothing has changed");
        }
        let effect = self.shared.play(act).await;
        if effect.outcome.observed() {
            self.shared.lock().state.apply(act);
        }
        self.shared.changed.notify_waiters();
        effect
    }

    fn system(&self, role: Role) -> Option<Arc<dyn System>> {
        let node = self.shared.topology.primary(role)?.clone();
        Some(Arc::new(SimSystem { node, shared: self.shared.clone() }))
    }

    async fn teardown(&self) -> Result<(), EnvironmentError> {
        self.shared.lock().nodes.clear();
        Ok(())
    }
}

/// A simulated product, as its users reach it.
#[derive(Debug)]
struct SimSystem {
    node: NodeId,
    shared: Arc<Shared>,
}

impl SimSystem {
    /// A request's way to the node and back. `queue` is what a frozen process keeps until it wakes.
    async fn request<T>(
        &self,
        search: bool,
        queue: Option<Write>,
        mut serve: impl FnMut(&mut SimNode, &Corpus) -> Result<T, PortError> + Send,
    ) -> Result<T, PortError> {
        let network = self.shared.network(&self.node)?;
        sleep(network.late).await;
        if network.lost {
            std::future::pending::<()>().await;
        }
        let mut queued = false;
        let (answer, generation) = loop {
            let changed = self.shared.changed.notified();
            let now_us = self.shared.clock.now_us();
            let served = self.shared.with(&self.node, |n, c| {
                if n.paused || n.hangs(search) {
                    if let Some(write) = queue.filter(|_| n.paused && !queued) {
                        n.queue(write);
                        queued = true;
                    }
                    return None;
                }
                let answer = n.serves(now_us).and_then(|()| serve(n, c));
                if let (Err(PortError::Definite(_)), Some(write)) = (&answer, queue) {
                    n.refuse(write);
                }
                Some((answer, n.generation))
            });
            match served {
                Some(Some(done)) => break done,
                Some(None) => changed.await,
                None => return Err(PortError::Definite("no such node".into())),
            }
        };
        let answer = answer?;
        sleep(network.late).await;
        if network.answer_lost {
            std::future::pending::<()>().await;
        }
        if self.shared.with(&self.node, |n, _| n.generation) != Some(generation) {
            return Err(PortError::Indefinite("connection reset".into()));
        }
        Ok(answer)
    }
}

#[async_trait]
impl System for SimSystem {
    async fn write(&self, write: Write) -> Result<(), PortError> {
        self.request(false, Some(write), |n, c| {
            n.write(write, c);
            Ok(())
        })
        .await
    }

    async fn read(&self, key: u64) -> Result<Option<Reading>, PortError> {
        self.request(false, None, |n, _| Ok(n.read(key))).await
    }

    async fn survivors(&self, after: Option<u64>, limit: usize) -> Result<Page, PortError> {
        let (items, next) = self.request(false, None, |n, _| Ok(n.after(after, limit))).await?;
        Ok(Page { items, next })
    }

    async fn search(&self, query: &[f32], k: usize) -> Result<Vec<u64>, PortError> {
        self.request(true, None, |n, _| n.search(query, k)).await
    }
}
