//! The router in front of the regions: where writers and the users of each service are sent.
//!
//! It holds no connections: a world asks it for a region at every call, so that users follow a failover at once. Who
//! takes the writes of a role is decided by promotion and fencing alone. Where two regions take them (active-active,
//! or a failover without fencing), writers are spread over both, as users of two regions are. In the pattern
//! active-active users of a service go to the healthiest region by themselves; elsewhere only a step moves them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::{
    act::{Act, Nature},
    inventory::Inventory,
    plan::Plan,
    ports::{Effect, Page, PortError, Reading, System, Write},
    scenario::Pattern,
    topology::{Role, Topology},
};

/// A healthier region must be better by this much before users are moved: scores that flicker move nobody.
const MARGIN: f64 = 0.15;

/// What a health score is made of, each from 0 (nothing works) to 1. A part that the stack lacks is `None`.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Health {
    /// Vector and object stores.
    pub databases: Option<f64>,
    /// Workers.
    pub ml_platform: Option<f64>,
    /// The links.
    pub network: Option<f64>,
    /// The feature store.
    pub feature_store: Option<f64>,
}

impl Health {
    /// 0.4 databases, 0.3 ML platform, 0.2 network, 0.1 feature store; weights of what is lacking are shared out.
    pub fn score(&self) -> f64 {
        let parts =
            [(0.4, self.databases), (0.3, self.ml_platform), (0.2, self.network), (0.1, self.feature_store)];
        let present = || parts.iter().filter_map(|(w, p)| p.map(|p| (*w, p)));
        let weights: f64 = present().map(|(w, _)| w).sum();
        if weights > 0.0 { present().map(|(w, p)| w * p).sum::<f64>() / weights } else { 0.0 }
    }
}

/// The router of one stack.
#[derive(Debug)]
pub struct Router {
    pattern: Pattern,
    regions: Vec<String>,
    routes: Mutex<Routes>,
}

#[derive(Debug)]
struct Routes {
    /// Regions that take the writes of a role, the newest first.
    writers: BTreeMap<Role, Vec<String>>,
    /// Where the users of a service are sent.
    services: BTreeMap<String, String>,
    scores: BTreeMap<String, f64>,
}

impl Router {
    /// At launch: the primary region takes everything; in the pattern active-active, every region takes writes.
    pub fn new(plan: &Plan) -> Arc<Router> {
        let Topology { regions, .. } = &plan.topology;
        let pattern = plan.scenario.stack.pattern;
        let everywhere = pattern == Pattern::ActiveActive;
        let first = || regions.iter().take(1).cloned();
        let writers = |role: Role| {
            let all = everywhere && role.replicates();
            if all { regions.clone() } else { first().collect() }
        };
        let routes = Routes {
            writers: plan.roles().into_iter().map(|r| (r, writers(r))).collect(),
            services: plan.services.iter().zip(first().cycle()).map(|(s, r)| (s.name.clone(), r)).collect(),
            scores: BTreeMap::new(),
        };
        Arc::new(Router { pattern, regions: regions.clone(), routes: Mutex::new(routes) })
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the users of a service to a region.
    pub fn send(&self, service: &str, to: &str) -> Effect {
        if self.region_of(service).is_none() || !self.regions.iter().any(|region| region == to) {
            return Effect::failed(format!("there is no service {service}, or no region {to}"));
        }
        self.apply(&Act::Route { service: service.to_owned(), to: to.to_owned() });
        match self.region_of(service) {
            Some(now) if now == to => {
                Effect::observed(format!("the router sends users of {service} to {now}"))
            }
            now => Effect::not_observed(format!("the router sends users of {service} to {now:?}")),
        }
    }

    /// Takes note of an act whose effect was seen.
    pub fn apply(&self, act: &Act) {
        if act.nature() != Nature::Routes {
            return;
        }
        let mut routes = self.routes();
        match act {
            Act::Promote { node } => {
                let writers = routes.writers.entry(node.role).or_default();
                // Workers hold no state, so a job has one home.
                writers.retain(|r| *r != node.region && node.role.replicates());
                writers.insert(0, node.region.clone());
            }
            Act::Fence { node } => {
                if let Some(writers) = routes.writers.get_mut(&node.role) {
                    writers.retain(|r| *r != node.region);
                }
            }
            Act::Rejoin { node } if self.pattern == Pattern::ActiveActive => {
                let writers = routes.writers.entry(node.role).or_default();
                if !writers.contains(&node.region) {
                    writers.push(node.region.clone());
                }
            }
            Act::Route { service, to } => {
                routes.services.insert(service.clone(), to.clone());
            }
            // With one region that takes writes, who rejoins follows it.
            Act::Rejoin { .. } => {}
            other => debug_assert!(false, "the router does not know how to follow: {other}"),
        }
    }

    /// Everything that is decided at this moment.
    pub fn snapshot(&self) -> crate::ports::Routes {
        let routes = self.routes();
        let home = |role: &Role| Some((*role, (*self.able(&routes, *role).first()?).clone()));
        crate::ports::Routes {
            homes: routes.writers.keys().filter_map(home).collect(),
            services: routes.services.clone(),
        }
    }

    /// The region that takes the n-th write of a role; `None` while nobody does.
    pub fn writer(&self, role: Role, n: u64) -> Option<String> {
        let routes = self.routes();
        let able = self.able(&routes, role);
        let at = usize::try_from(n).unwrap_or(0).checked_rem(able.len())?;
        Some(able[at].clone())
    }

    /// The region whose copy of a store counts: that of the newest writer.
    pub fn home(&self, role: Role) -> Option<String> {
        let routes = self.routes();
        self.able(&routes, role).first().map(|r| (*r).clone())
    }

    /// Writers, without those that the router has seen to be dead where others are left.
    fn able<'a>(&self, routes: &'a Routes, role: Role) -> Vec<&'a String> {
        let writers = routes.writers.get(&role).map(Vec::as_slice).unwrap_or_default();
        let alive = |r: &&String| self.pattern != Pattern::ActiveActive || routes.score(r) > 0.5;
        let able: Vec<&String> = writers.iter().filter(alive).collect();
        if able.is_empty() { writers.iter().collect() } else { able }
    }

    /// The region to which users of a service are sent.
    pub fn region_of(&self, service: &str) -> Option<String> {
        self.routes().services.get(service).cloned()
    }

    /// The newest health of a region. In the pattern active-active, users leave a region that is clearly worse.
    pub fn health(&self, region: &str, health: Health) {
        let mut routes = self.routes();
        routes.scores.insert(region.into(), health.score());
        if self.pattern != Pattern::ActiveActive {
            return;
        }
        let Routes { services, scores, .. } = &mut *routes;
        let score = |r: &String| scores.get(r).copied().unwrap_or(1.0);
        for at in services.values_mut() {
            let best = self.regions.iter().max_by(|a, b| score(a).total_cmp(&score(b)));
            if let Some(best) = best.filter(|b| score(b) > score(at) + MARGIN) {
                *at = best.clone();
            }
        }
    }

    /// The newest score of a region; 1 if it was never asked.
    pub fn score(&self, region: &str) -> f64 {
        self.routes().score(region)
    }
}

impl Routes {
    fn score(&self, region: &str) -> f64 {
        self.scores.get(region).copied().unwrap_or(1.0)
    }
}

/// Who asks.
#[derive(Clone, Debug)]
enum Caller {
    /// Writers, and readers of everything.
    Anybody,
    /// The users of a service.
    Service(String),
}

/// The stores of one role in every region, behind the router.
#[derive(Clone, Debug)]
pub struct Routed {
    router: Arc<Router>,
    role: Role,
    caller: Caller,
    systems: BTreeMap<String, Arc<dyn System>>,
}

impl Routed {
    /// For writers and for read-back.
    pub fn new(router: Arc<Router>, role: Role, systems: BTreeMap<String, Arc<dyn System>>) -> Routed {
        Routed { router, role, caller: Caller::Anybody, systems }
    }

    /// For the users of a service.
    pub fn of_service(&self, service: &str) -> Routed {
        Routed { caller: Caller::Service(service.into()), ..self.clone() }
    }

    /// A region's own store.
    pub fn in_region(&self, region: &str) -> Option<Arc<dyn System>> {
        self.systems.get(region).cloned()
    }

    fn reader(&self) -> Result<&Arc<dyn System>, PortError> {
        let region = match &self.caller {
            Caller::Anybody => self.router.home(self.role),
            Caller::Service(name) => self.router.region_of(name),
        };
        self.at(region)
    }

    fn at(&self, region: Option<String>) -> Result<&Arc<dyn System>, PortError> {
        let nobody = || PortError::Definite(format!("the router knows no region for {}", self.role));
        self.systems.get(&region.ok_or_else(nobody)?).ok_or_else(nobody)
    }
}

#[async_trait]
impl System for Routed {
    async fn write(&self, write: Write) -> Result<(), PortError> {
        self.at(self.router.writer(self.role, write.ver))?.write(write).await
    }

    async fn read(&self, key: u64) -> Result<Option<Reading>, PortError> {
        self.reader()?.read(key).await
    }

    async fn survivors(&self, after: Option<u64>, limit: usize) -> Result<Page, PortError> {
        self.reader()?.survivors(after, limit).await
    }

    async fn search(&self, query: &[f32], k: usize) -> Result<Vec<u64>, PortError> {
        self.reader()?.search(query, k).await
    }

    async fn inventory(&self) -> Result<Option<Inventory>, PortError> {
        self.reader()?.inventory().await
    }

    async fn infer(&self, input: &[f32]) -> Result<Vec<f32>, PortError> {
        self.reader()?.infer(input).await
    }
}

/// The stores that a host has opened, of every role in every region.
#[derive(Debug)]
pub struct Systems(BTreeMap<Role, Routed>);

impl Systems {
    /// Of several nodes of a role in one region, the first is the door.
    pub fn new(
        router: &Arc<Router>,
        opened: impl IntoIterator<Item = (Role, String, Arc<dyn System>)>,
    ) -> Systems {
        let mut roles: BTreeMap<Role, BTreeMap<String, Arc<dyn System>>> = BTreeMap::new();
        for (role, region, system) in opened {
            roles.entry(role).or_default().entry(region).or_insert(system);
        }
        let routed = |(role, systems)| (role, Routed::new(router.clone(), role, systems));
        Systems(roles.into_iter().map(routed).collect())
    }

    /// For writers and for read-back.
    pub fn of_role(&self, role: Role) -> Option<Arc<dyn System>> {
        Some(Arc::new(self.0.get(&role)?.clone()))
    }

    /// For the users of a service.
    pub fn of_service(&self, service: &str, role: Role) -> Option<Arc<dyn System>> {
        Some(Arc::new(self.0.get(&role)?.of_service(service)))
    }

    /// A region's own store.
    pub fn in_region(&self, region: &str, role: Role) -> Option<Arc<dyn System>> {
        self.0.get(&role)?.in_region(region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_what_is_lacking_are_shared_out() {
        let whole = Health {
            databases: Some(1.0),
            ml_platform: Some(0.0),
            network: Some(1.0),
            feature_store: Some(1.0),
        };
        assert!((whole.score() - 0.7).abs() < 1e-9);
        let part = Health { databases: Some(0.5), network: Some(1.0), ..Health::default() };
        assert!((part.score() - (0.4 * 0.5 + 0.2) / 0.6).abs() < 1e-9);
        assert_eq!(Health::default().score(), 0.0);
    }
}
