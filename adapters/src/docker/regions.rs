//! Acts between regions: who takes the writes of a store, who follows whom, and where users are sent.
//!
//! A fence is the store's own doing where it can be asked (PostgreSQL starts again as a standby of nobody; MinIO's users
//! lose the right to write), or, where it cannot, put up at the users' link, where it holds whatever happens to the
//! node. PostgreSQL is promoted only with proof that the old primary takes no writes, so a failover without a fence is
//! refused here where world `local` lets two regions take writes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use harness::ports::Effect;
use harness::scenario::{Pattern, Replication};
use harness::topology::{NodeId, Role};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::followers::Followers;
use super::host::{DockerHost, Node};
use super::milvus;
use super::minio::{self, Minio};
use super::product::Product;
use crate::postgres::{Fenced, Mode};

/// How long a node that is to take over may still take to apply what its fenced source is known to have.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// How long a node that follows may take to catch up.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);
/// How long a store is asked before it counts as one that cannot be asked.
const ASK_LIMIT: Duration = Duration::from_secs(3);
/// How long a fence that a store puts up itself may take.
const FENCE_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// What an operator remembers.
#[derive(Debug)]
pub(super) struct Operator {
    /// One change at a time in a role, so that two failovers side by side do not cross.
    turns: BTreeMap<Role, Semaphore>,
    known: Mutex<Known>,
    /// What makes a Milvus follow that of another region.
    pub(super) followers: Followers,
}

#[derive(Debug, Default)]
struct Known {
    /// Why a node takes no writes, and how far it went where it said so.
    fenced: BTreeMap<NodeId, (String, Option<String>)>,
    /// The frozen receivers of standbys.
    frozen: BTreeMap<NodeId, u32>,
}

impl Operator {
    pub(super) fn new() -> Self {
        let turns = Role::ALL.into_iter().map(|role| (role, Semaphore::new(1))).collect();
        Self { turns, known: Mutex::default(), followers: Followers::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DockerHost {
    /// The node that holds the same store in the other region.
    pub(super) fn counterpart(&self, node: &Node) -> Option<&Node> {
        let same = |n: &&Node| n.id.role == node.id.role && n.id.region != node.id.region;
        self.nodes.iter().filter(|n| n.id.role.replicates()).find(same)
    }

    /// The product that a node is made a copy of, if it starts on an empty disk.
    pub(super) fn source(&self, node: &Node) -> Option<&Product> {
        let followed = self.plan.scenario.stack.followed(node.id.role);
        let writes = self.router.home(node.id.role).is_none_or(|home| home == node.id.region);
        let first = self.plan.topology.regions.first() == Some(&node.id.region);
        // While nobody takes writes, the first region is as good as any.
        if !followed || writes && (first || self.router.home(node.id.role).is_some()) {
            return None;
        }
        self.counterpart(node).map(|other| &other.product)
    }

    /// Begins what follows between regions, once every store of the role runs. Answers with what was seen.
    pub(super) async fn join_regions(&self, role: Role) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        let first = self.plan.topology.regions.first();
        let stores = self.nodes.iter().filter(|n| n.id.role == role && Some(&n.id.region) == first);
        for node in stores.filter(|n| self.plan.scenario.stack.followed(n.id.role)) {
            if let Some(other) = self.counterpart(node) {
                let seen = self.follow(node, other).await.map_err(|why| format!("{}: {why}", other.id))?;
                lines.push(format!("{} follows {}: {seen}", other.id, node.id));
            }
        }
        Ok(lines)
    }

    fn synchronous(&self) -> bool {
        self.plan.scenario.stack.replication() == Some(Replication::Sync)
    }

    /// Lets `other` follow `primary` in the mode of the scenario, and waits until it has what is there.
    async fn follow(&self, primary: &Node, other: &Node) -> Result<String, String> {
        let sync = self.synchronous();
        match (&primary.product, &other.product) {
            (Product::Object(from), Product::Object(_)) => {
                from.replicate(&format!("to-{}", other.id.slug()), sync).await?;
                self.sent(from, CATCH_UP_LIMIT).await?;
                let mode = if sync { "synchronously while it is reached" } else { "asynchronously" };
                Ok(format!("every version of its buckets, {mode}"))
            }
            (Product::Feature(_), Product::Feature(_)) => {
                let (from, to) = (primary.product.server()?, other.product.server()?);
                from.caught_up(to, CATCH_UP_LIMIT).await.map_err(|e| e.to_string())?;
                let mode = if sync { Mode::Synchronous } else { Mode::Asynchronous };
                from.set_mode(to, mode).await.map_err(|e| e.to_string())?;
                let lag = from.lag(to).await.map_err(|e| e.to_string())?;
                let lag = lag.ok_or("it does not stream")?;
                Ok(format!("{}, {}, {} bytes behind", lag.state, lag.sync, lag.unreplayed))
            }
            (Product::Vector(_), Product::Vector(to)) => {
                self.follow_vectors(&primary.id, (&other.id, to), CATCH_UP_LIMIT).await
            }
            _ => Err("nothing replicates it here".into()),
        }
    }

    /// Waits until every object has reached the other region.
    async fn sent(&self, store: &Minio, limit: Duration) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let left = store.pending().await?;
            if left == 0 {
                return Ok(());
            }
            if began.elapsed() > limit {
                return Err(format!("{left} objects wait to be sent"));
            }
            sleep(POLL).await;
        }
    }

    /// The node takes no writes any more.
    pub(super) async fn fence(&self, id: &NodeId) -> Result<Effect, Effect> {
        let node = self.node(id)?;
        let _turn = self.turn(id.role).await;
        let asked = timeout(FENCE_LIMIT, self.fence_itself(node)).await;
        let why = match asked.unwrap_or_else(|_| Err(format!("no answer within {FENCE_LIMIT:?}"))) {
            Ok((seen, at)) => {
                self.operator.known().fenced.insert(id.clone(), (seen.clone(), at));
                return Ok(Effect::observed(format!("{id} itself: {seen}")).with("fenced_by", "itself"));
            }
            Err(why) => why,
        };
        let shut = node.links.fence().await;
        if !shut.outcome.observed() {
            return Err(shut);
        }
        let how = format!("its users are shut out at the network: {}", shut.outcome.text());
        self.operator.known().fenced.insert(id.clone(), (how.clone(), None));
        Ok(Effect::observed(format!("{id} cannot be asked ({why}); {how}")).with("fenced_by", "network"))
    }

    async fn turn(&self, role: Role) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.operator.turns.get(&role)?.acquire().await.ok()
    }

    /// Why a node cannot be asked where users come in, if it cannot.
    async fn unreachable(&self, node: &Node) -> Option<String> {
        if !node.links.passes() {
            return Some("the network lets nobody through to it".into());
        }
        let container = match node.container() {
            Ok(container) => container,
            Err(effect) => return Some(effect.outcome.text().to_owned()),
        };
        match container.life().await {
            Ok(Some(life)) if life.running && !life.paused => None,
            Ok(Some(life)) if life.paused => Some(format!("container {} is paused", container.name)),
            Ok(_) => Some(format!("container {} does not run", container.name)),
            Err(why) => Some(why),
        }
    }

    /// What a store that fenced itself says, and how far it went.
    async fn fence_itself(&self, node: &Node) -> Result<(String, Option<String>), String> {
        if let Some(why) = self.unreachable(node).await {
            return Err(why);
        }
        match &node.product {
            Product::Object(store) => {
                let seen = store.allow(false).await?;
                // Taken as known only if all of it is on its way.
                Ok((seen, None))
            }
            Product::Feature(_) => {
                let server = node.product.server()?;
                let standby = timeout(ASK_LIMIT, server.standby()).await;
                if standby.map_err(|_| "it does not answer")?.map_err(|e| e.to_string())? {
                    return Ok(("it is a standby, and takes no writes".into(), None));
                }
                let at = server.fence().await.map_err(|e| e.to_string())?;
                let seen =
                    format!("it was started again as a standby of nobody, at {at}, and takes no writes");
                Ok((seen, Some(at)))
            }
            Product::Vector(_) => Err("a Milvus cannot refuse its users' writes".into()),
            other => Err(format!("{} takes no part in replication", other.name())),
        }
    }

    /// The node takes the writes of its role.
    pub(super) async fn promote(&self, id: &NodeId) -> Result<Effect, Effect> {
        let node = self.node(id)?;
        let _turn = self.turn(id.role).await;
        let failed = |why: String| Effect::failed(format!("{id} cannot take over: {why}"));
        if let Some(why) = self.unreachable(node).await {
            return Err(failed(why));
        }
        let seen = match &node.product {
            Product::Object(store) if self.plan.scenario.stack.followed(id.role) => {
                self.promote_objects(node, store).await.map_err(failed)?
            }
            Product::Feature(_) if self.plan.scenario.stack.followed(id.role) => {
                self.promote_server(node).await.map_err(failed)?
            }
            Product::Vector(_) if self.plan.scenario.stack.followed(id.role) => {
                self.promote_vectors(node, DRAIN_LIMIT).await.map_err(failed)?
            }
            product => {
                let state = product.ready().await.map_err(failed)?;
                format!("it answers, and follows nobody: {state}")
            }
        };
        self.operator.known().fenced.remove(id);
        let lifted = node.links.lift().await;
        if !lifted.outcome.observed() {
            return Err(lifted);
        }
        Ok(Effect::observed(format!("{id} takes the writes: {seen}")))
    }

    async fn promote_objects(&self, node: &Node, store: &Minio) -> Result<String, String> {
        if !node.links.fenced() && store.takes().await? {
            return Ok("it took them before".into());
        }
        let rest = match self.counterpart(node) {
            Some(other) if self.unreachable(other).await.is_none() => match other.product.object() {
                Ok(old) => match self.sent(old, DRAIN_LIMIT).await {
                    Ok(()) => "it has every object of its source".to_owned(),
                    Err(why) => format!("of its source {why}"),
                },
                Err(effect) => effect.outcome.text().to_owned(),
            },
            _ => "its source cannot be asked what it had not sent".into(),
        };
        let seen = store.allow(true).await?;
        Ok(format!("{seen}; nothing is taken from its source any more; {rest}"))
    }

    async fn promote_server(&self, node: &Node) -> Result<String, String> {
        let server = node.product.server()?;
        let standby = timeout(ASK_LIMIT, server.standby()).await;
        if !standby.map_err(|_| "it does not answer")?.map_err(|e| e.to_string())? && !node.links.fenced() {
            return Ok("it took them before".into());
        }
        let old = self.counterpart(node).ok_or("it follows nobody")?;
        let known = self.operator.known().fenced.get(&old.id).cloned();
        let (proof, at) = match known {
            Some((how, at)) => (Fenced::by_host(format!("{}: {how}", old.id)), at),
            None => (self.proof(old).await?, None),
        };
        let rest = match at {
            Some(at) => match server.reaches(&at, DRAIN_LIMIT).await {
                Ok(()) => format!("it has the log of its source up to {at}"),
                Err(e) => e.to_string(),
            },
            None => "how far its source went is not known".into(),
        };
        let done = server.promote(proof).await.map_err(|e| e.to_string())?;
        self.operator.known().frozen.remove(&node.id);
        let frozen = if done.receiver_was_frozen { "; its receiver was frozen" } else { "" };
        Ok(format!("a primary after {:.2} s; {}; {rest}{frozen}", done.seconds, done.fenced))
    }

    /// That a store which cannot say so itself takes no writes any more.
    pub(super) async fn taken_from(&self, old: &Node) -> Result<String, String> {
        if let Some((how, _)) = self.operator.known().fenced.get(&old.id) {
            return Ok(format!("{}: {how}", old.id));
        }
        let container = old.container().map_err(|effect| effect.outcome.text().to_owned())?;
        match container.ended().await {
            Some(end) => Ok(format!("container {} ended with {end}", container.name)),
            None => Err(format!("{} may still take writes: fence it first", old.id)),
        }
    }

    /// That nobody fenced the old primary, and that it takes no writes all the same.
    async fn proof(&self, old: &Node) -> Result<Fenced, String> {
        let container = old.container().map_err(|effect| effect.outcome.text().to_owned())?;
        if let Some(end) = container.ended().await {
            return Ok(Fenced::by_host(format!("container {} ended with {end}", container.name)));
        }
        Fenced::prove(old.product.server()?).await.map_err(|e| e.to_string())
    }

    /// The node throws away what it alone holds and follows the one that takes the writes now.
    pub(super) async fn rejoin(&self, id: &NodeId) -> Result<Effect, Effect> {
        let node = self.node(id)?;
        let failed = |why: String| Effect::failed(format!("{id} cannot rejoin: {why}"));
        let pattern = self.plan.scenario.stack.pattern;
        let followed = self.plan.scenario.stack.followed(id.role);
        let Some(primary) = self.counterpart(node).filter(|_| followed) else {
            return Err(failed(format!("in the pattern {pattern} no region follows this store")));
        };
        let _turn = self.turn(id.role).await;
        for asked in [primary, node] {
            if let Some(why) = self.unreachable(asked).await {
                return Err(failed(format!("{}: {why}", asked.id)));
            }
        }
        let link = self.bridges.iter().find(|b| b.follower == id.region && b.store == primary.id);
        if link.is_some_and(|link| !link.passes()) {
            return Err(failed(format!("the network does not let it follow {}", primary.id)));
        }
        let how = self.rejoined(node, primary).await.map_err(failed)?;
        let seen = self.follow(primary, node).await.map_err(failed)?;
        self.operator.known().fenced.remove(id);
        let lifted = node.links.lift().await;
        if !lifted.outcome.observed() {
            return Err(lifted);
        }
        Ok(Effect::observed(format!("{id} {how} and follows {}: {seen}", primary.id)))
    }

    async fn rejoined(&self, node: &Node, primary: &Node) -> Result<String, String> {
        match (&node.product, &primary.product) {
            (Product::Object(old), Product::Object(new)) => {
                if !new.takes().await? {
                    return Err(format!("{} does not take the writes", primary.id));
                }
                old.empty().await?;
                old.allow(false).await?;
                Ok("was emptied".into())
            }
            (Product::Feature(_), Product::Feature(_)) => {
                let (old, new) = (node.product.server()?, primary.product.server()?);
                if new.standby().await.map_err(|e| e.to_string())? {
                    return Err(format!("{} does not take the writes", primary.id));
                }
                old.rejoin(new).await.map_err(|e| e.to_string())?;
                Ok("was rewound to where the new primary left it".into())
            }
            (Product::Vector(_), Product::Vector(_)) => {
                if self.operator.followers.of(&primary.id).is_some() {
                    return Err(format!("{} does not take the writes", primary.id));
                }
                Ok("is made equal row by row".into())
            }
            (product, _) => Err(format!("nothing replicates {} here", product.name())),
        }
    }

    /// A standby receives nothing, or goes on.
    pub(super) async fn stall(&self, id: &NodeId, stalled: bool) -> Result<Effect, Effect> {
        let node = self.node(id)?;
        let refused = |e: crate::postgres::NodeError| Effect::failed(e.to_string());
        if node.id.role == Role::Vector {
            return self.stall_vectors(id, stalled).await;
        }
        if node.id.role != Role::Feature {
            let why = format!("{id}: a standby of MinIO cannot be stalled here; cut its link instead");
            return Err(Effect::failed(why));
        }
        let server = node.product.server().map_err(Effect::failed)?;
        if stalled {
            let pid = server.freeze_receiver().await.map_err(refused)?;
            self.operator.known().frozen.insert(id.clone(), pid);
            return Ok(Effect::observed(format!("process {pid}, the receiver of {id}, stands still")));
        }
        let Some(pid) = self.operator.known().frozen.remove(id) else {
            return Ok(Effect::observed(format!("no receiver of {id} stands still")));
        };
        server.thaw_receiver(pid).await.map_err(refused)?;
        Ok(Effect::observed(format!("process {pid}, the receiver of {id}, goes on")))
    }
}

/// What this world does not do between regions yet, if the scenario asks for it.
pub(super) fn lacking(plan: &harness::plan::Plan) -> Option<String> {
    let stack = &plan.scenario.stack;
    match stack.pattern {
        // Milvus has no replication of its own, and what copies its rows comes after the fact.
        Pattern::HotStandby
            if stack.roles.contains(&Role::Vector) && stack.replication() == Some(Replication::Sync) =>
        {
            Some("a Milvus in world `docker` is followed asynchronously only".into())
        }
        Pattern::Single | Pattern::HotStandby => None,
        pattern => Some(format!("world `docker` does not play the pattern `{pattern}` yet")),
    }
}

/// The port at which a store is reached by the other region; `None` if nothing replicates it here.
pub(super) fn port_of(role: Role) -> Option<u16> {
    match role {
        Role::Object => Some(minio::PORT),
        Role::Feature => Some(super::postgres::PORT),
        Role::Vector => Some(milvus::PORT),
        Role::Gpu => None,
    }
}
