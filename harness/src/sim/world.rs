//! The simulated host: all nodes of all regions, behind one lock and one router.
//!
//! The lock is held for moments, never across an await. Time passes only in sleeps on the virtual clock, with
//! latencies drawn from the drill's seed. Whoever takes the lock sees a world that is up to date: see [`Shared::world`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tokio::{sync::Notify, time::sleep};

use super::{
    Flaw,
    acts::NO_COMMANDS,
    cells::Cell,
    node::SimNode,
    peers::{Change, Peers},
    store::SimStore,
    workers::SimWorkers,
};
use crate::{
    act::{Act, Nature},
    clock::Clock,
    corpus::Corpus,
    drill::Stopper,
    plan::Plan,
    ports::{Effect, EnvironmentError, Host, System, Write},
    router::{Routed, Router},
    scenario::{Pattern, Replication},
    topology::{NodeId, Role, State, Topology},
};

/// How long a simulated process takes to start.
pub(super) const START: Duration = Duration::from_millis(400);
/// How often the router looks at the health of the regions.
const HEALTH_US: u64 = 250_000;

/// The simulated world.
#[derive(Clone, Debug)]
pub struct SimHost {
    shared: Arc<Shared>,
    routed: BTreeMap<Role, Routed>,
    /// Ends a drill of which this world cannot say how it would go on.
    stopper: Option<Arc<Stopper>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) topology: Topology,
    pub(super) corpus: Corpus,
    pub(super) flaw: Option<Flaw>,
    pub(super) clock: Clock,
    pub(super) router: Arc<Router>,
    inner: Mutex<World>,
    /// Nodes that run from the start.
    at_launch: Vec<NodeId>,
    /// Told whenever a link or a process changes, so that what hangs looks again.
    pub(super) changed: Notify,
}

/// Everything that changes.
#[derive(Debug)]
pub(super) struct World {
    pub(super) state: State,
    pub(super) nodes: BTreeMap<NodeId, SimNode>,
    pub(super) peers: Peers,
    pub(super) rng: ChaCha8Rng,
    looked_us: u64,
}

impl SimHost {
    /// A world for a plan, perhaps with a defect. Must be made inside the simulation's runtime.
    pub fn new(plan: &Plan, flaw: Option<Flaw>) -> Self {
        let (topology, stack) = (plan.topology.clone(), &plan.scenario.stack);
        let mutual = stack.pattern == Pattern::ActiveActive;
        let leads = |id: &NodeId| mutual || topology.regions.first() == Some(&id.region);
        let node = |id: &NodeId| (id.clone(), SimNode::new(id.role, leads(id), flaw));
        let mut peers = Peers::new(stack.replication() == Some(Replication::Sync), mutual, flaw);
        for (region, source) in topology.peer_links() {
            if stack.followed(source.role) && leads(source) {
                peers.follow(source, &NodeId { region: region.clone(), ..source.clone() }, 0);
            }
        }
        let world = World {
            state: State::healthy(&topology),
            nodes: topology.nodes.iter().map(node).collect(),
            peers,
            rng: ChaCha8Rng::seed_from_u64(plan.scenario.seed),
            looked_us: 0,
        };
        let shared = Arc::new(Shared {
            corpus: Corpus::of(&plan.scenario),
            flaw,
            clock: Clock::simulated(),
            router: Router::new(plan),
            inner: Mutex::new(world),
            at_launch: topology.nodes.iter().filter(|n| stack.runs_at_launch(n)).cloned().collect(),
            changed: Notify::new(),
            topology,
        });
        let routed = plan.roles().into_iter().map(|role| (role, shared.routed(role))).collect();
        SimHost { shared, routed, stopper: None }
    }

    /// Ends the drill where this world cannot say how it would go on.
    #[must_use]
    pub fn stops(self, stopper: Stopper) -> Self {
        SimHost { stopper: Some(Arc::new(stopper)), ..self }
    }
}

impl Shared {
    fn routed(self: &Arc<Self>, role: Role) -> Routed {
        let system = |region: &String| -> Arc<dyn System> {
            match role {
                Role::Gpu => Arc::new(SimWorkers::new(region, self)),
                Role::Vector | Role::Object | Role::Feature => Arc::new(SimStore::new(region, role, self)),
            }
        };
        let systems = self.topology.regions.iter().map(|r| (r.clone(), system(r))).collect();
        Routed::new(self.router.clone(), role, systems)
    }

    /// The world at this moment: what has arrived by now is applied, and the router has looked at the regions.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now_us = self.clock.now_us();
        world.advance(now_us);
        if now_us / HEALTH_US != world.looked_us / HEALTH_US {
            world.looked_us = now_us;
            for region in &self.topology.regions {
                self.router.health(region, world.health(region));
            }
        }
        world
    }

    /// Does something to one node, if it is there.
    pub(super) fn with<T>(&self, node: &NodeId, f: impl FnOnce(&mut SimNode, &Corpus) -> T) -> Option<T> {
        self.world().nodes.get_mut(node).map(|n| f(n, &self.corpus))
    }
}

impl World {
    /// Applies what has reached its follower by now.
    pub(super) fn advance(&mut self, now_us: u64) {
        self.peers.advance(&self.state, &mut self.nodes, now_us);
    }

    /// A node stores a user's write and tells its followers. Answers with the number of the change.
    pub(super) fn store(&mut self, id: &NodeId, write: Write, corpus: &Corpus, now_us: u64) -> u64 {
        let mutual = self.peers.mutual;
        let Some(cell) = self.nodes.get_mut(id).map(|n| n.write(write, mutual, corpus)) else { return 0 };
        self.spread(id, write.key, cell, now_us)
    }

    /// Tells the followers of a node what a key has become.
    pub(super) fn spread(&mut self, id: &NodeId, key: u64, cell: Cell, now_us: u64) -> u64 {
        self.peers.send(id, &Change::Record(key, cell), now_us)
    }
}

#[async_trait]
impl Host for SimHost {
    async fn launch(&self) -> Result<Vec<String>, EnvironmentError> {
        sleep(START).await;
        let shared = &self.shared;
        for node in &shared.at_launch {
            shared.with(node, |n, c| n.start(c));
        }
        let line = |n: &NodeId| {
            let word = if shared.at_launch.contains(n) { "is simulated" } else { "waits for a failover" };
            format!("{n} {word}")
        };
        Ok(shared.topology.nodes.iter().map(line).collect())
    }

    async fn act(&self, act: &Act) -> Effect {
        if let (Act::Command { .. }, Some(stopper)) = (act, &self.stopper) {
            // What came after it would be charged to a runbook that was never tried.
            stopper.stop(NO_COMMANDS);
            return std::future::pending().await;
        }
        if self.shared.flaw == Some(Flaw::SilentFault) && act.nature() == Nature::Breaks {
            return Effect::not_observed("acknowledged, but nothing has changed");
        }
        let effect = self.shared.play(act).await;
        if effect.outcome.observed() {
            self.shared.world().state.apply(act);
            let fenced = matches!(act, Act::Fence { .. });
            if !(fenced && self.shared.flaw == Some(Flaw::SplitBrain)) {
                self.shared.router.apply(act);
            }
        }
        // Whatever has changed has changed now, not when somebody next looks.
        drop(self.shared.world());
        self.shared.changed.notify_waiters();
        effect
    }

    fn system(&self, role: Role) -> Option<Arc<dyn System>> {
        Some(Arc::new(self.routed.get(&role)?.clone()))
    }

    fn system_for(&self, service: &str, role: Role) -> Option<Arc<dyn System>> {
        Some(Arc::new(self.routed.get(&role)?.of_service(service)))
    }

    async fn holds(&self, act: &Act) -> Option<bool> {
        let (node, paused) = match act {
            Act::Kill { node } | Act::Stop { node } => (node, false),
            Act::Pause { node } => (node, true),
            _ => return None,
        };
        self.shared.with(node, |n, _| if paused { n.paused } else { !n.running })
    }

    fn routes(&self) -> crate::ports::Routes {
        self.shared.router.snapshot()
    }

    fn system_in(&self, region: &str, role: Role) -> Option<Arc<dyn System>> {
        self.routed.get(&role)?.in_region(region)
    }

    async fn teardown(&self) -> Result<(), EnvironmentError> {
        self.shared.world().nodes.clear();
        self.shared.changed.notify_waiters();
        Ok(())
    }
}
