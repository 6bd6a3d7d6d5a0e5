//! Acts between regions: who takes the writes of a store, who follows whom, and where users are sent.
//!
//! The harness is the operator: it alone raises the epoch, so that of two nodes that believe to be primary the one
//! promoted later wins wherever they meet. It reaches a node only where the network lets users through, as an operator
//! outside would. A fence is confirmed by the node itself, or, where the node cannot be asked, put up at the network
//! (STONITH), where it holds whatever happens to the node.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use harness::ports::Effect;
use harness::scenario::{Pattern, Replication};
use harness::topology::{NodeId, Role};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;

use super::host::LocalHost;
use super::node::Node;
use crate::replica::{self, Following, Mode, Position, ReplicaClient, ReplicaConfig, Status};

/// How long a node that is to take over may still take to apply what its fenced source told it to have.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// How long a node that follows may take to catch up.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(20);
/// In the pattern active-active, how long a write waits for a region that may be gone.
const DEGRADE_AFTER_MS: u32 = 1000;

/// What an operator remembers.
#[derive(Debug)]
pub(super) struct Operator {
    epoch: AtomicU64,
    /// One change at a time in a role, so that two failovers side by side do not cross.
    turns: BTreeMap<Role, Semaphore>,
    /// Nodes that confirmed their fence, and the last write that they may have acknowledged.
    fenced: Mutex<BTreeMap<NodeId, Position>>,
}

impl Operator {
    pub(super) fn new() -> Self {
        let turns = Role::ALL.into_iter().map(|role| (role, Semaphore::new(1))).collect();
        // Every node starts in epoch 1.
        Self { epoch: AtomicU64::new(1), turns, fenced: Mutex::default() }
    }

    fn next_epoch(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(super) async fn turn(&self, role: Role) -> Option<SemaphorePermit<'_>> {
        self.turns.get(&role)?.acquire().await.ok()
    }

    fn remember(&self, node: &NodeId, at: Option<Position>) {
        let mut fenced = self.fenced.lock().unwrap_or_else(PoisonError::into_inner);
        match at {
            Some(at) => fenced.insert(node.clone(), at),
            None => fenced.remove(node),
        };
    }

    fn fenced_at(&self, node: &NodeId) -> Option<Position> {
        self.fenced.lock().unwrap_or_else(PoisonError::into_inner).get(node).copied()
    }
}

impl LocalHost {
    /// A node's part in replication at its first start. Its source's link is opened, which must be inside a runtime.
    pub(super) fn part(&self, node: &Node) -> Result<Option<ReplicaConfig>, String> {
        let stack = &self.plan.scenario.stack;
        let Some(other) = self.counterpart(node) else { return Ok(None) };
        let source = match stack.followed(node.id.role) {
            true => Some(other.links.peer(&node.id.region)?.addr()),
            false => None,
        };
        let mutual = stack.pattern == Pattern::ActiveActive;
        let first = stack.regions.first() == Some(&node.id.region);
        let mode = match stack.replication() {
            Some(_) if mutual => Mode::Mutual,
            Some(Replication::Sync) if first => Mode::Sync,
            // Once a standby is promoted, nobody follows it.
            _ => Mode::Async,
        };
        let (start_as, follow) = match (first, mutual) {
            (_, true) => (replica::Role::Primary, source),
            (true, false) => (replica::Role::Primary, None),
            (false, false) => (replica::Role::Standby, source),
        };
        Ok(Some(ReplicaConfig { port: 0, mode, start_as, follow, degrade_after_ms: DEGRADE_AFTER_MS }))
    }

    /// The node that holds the same store in the other region.
    fn counterpart(&self, node: &Node) -> Option<&Node> {
        let same = |n: &&Node| n.id.role == node.id.role && n.id.region != node.id.region;
        self.nodes.iter().filter(|n| n.id.role.replicates()).find(same)
    }

    /// How a node stands, asked where users come in.
    async fn ask(&self, node: &Node, control: &ReplicaClient) -> Result<Status, String> {
        if !node.links.passes() {
            return Err("the network lets nobody through to it".into());
        }
        control.status().await.map_err(|e| e.to_string())
    }

    /// The node takes no writes any more.
    pub(super) async fn fence(&self, id: &NodeId) -> Result<Effect, Effect> {
        let node = self.node(id)?;
        let _turn = self.operator.turn(id.role).await;
        let why = match self.fence_itself(node).await {
            Ok(seen) => return Ok(Effect::observed(seen).with("fenced_by", "itself")),
            Err(why) => why,
        };
        let shut = node.links.fence().await;
        if !shut.outcome.observed() {
            return Err(shut);
        }
        let seen =
            format!("{id} cannot be asked ({why}), so it is fenced at the network: {}", shut.outcome.text());
        Ok(Effect::observed(seen).with("fenced_by", "network"))
    }

    async fn fence_itself(&self, node: &Node) -> Result<String, String> {
        let control = node.control().ok_or("it takes no part in replication")?;
        let status = self.ask(node, &control).await?;
        if status.role != replica::Role::Primary {
            return Ok(format!("the node says that it takes no writes: {}", role_of(&status)));
        }
        let status = control.fence(self.operator.next_epoch()).await.map_err(|e| e.to_string())?;
        if status.role == replica::Role::Primary {
            return Err(format!("it still says: {}", role_of(&status)));
        }
        self.operator.remember(&node.id, Some(status.position));
        Ok(format!("the node confirms that it takes no writes: {}", role_of(&status)))
    }

    /// The node takes the writes of its role.
    pub(super) async fn promote(&self, id: &NodeId) -> Result<Effect, Effect> {
        let node = self.node(id)?;
        let Some(control) = node.control() else { return self.vouch(node).await };
        let _turn = self.operator.turn(id.role).await;
        let failed = |why: String| Effect::failed(format!("{id} cannot take over: {why}"));
        let before = self.ask(node, &control).await.map_err(failed)?;
        if before.role == replica::Role::Primary && !node.links.fenced() {
            let seen = format!("{id} already takes the writes: {}", role_of(&before));
            return Ok(Effect::observed(seen).with("promoted", "before"));
        }
        let drained = self.drain(node, &control).await;
        let epoch = self.operator.next_epoch();
        let status = control.promote(epoch, None).await.map_err(|e| failed(e.to_string()))?;
        if status.role != replica::Role::Primary {
            return Err(Effect::not_observed(format!("{id} still says: {}", role_of(&status))));
        }
        self.operator.remember(id, None);
        let lifted = node.links.lift().await;
        if !lifted.outcome.observed() {
            return Err(lifted);
        }
        let seen = format!("{id} takes the writes: {}; {drained}", role_of(&status));
        Ok(Effect::observed(seen).with("epoch", status.epoch).with("position", status.position.lsn))
    }

    /// A node without replication takes over as it is, if it answers.
    async fn vouch(&self, node: &Node) -> Result<Effect, Effect> {
        if !node.links.passes() {
            return Err(Effect::failed("the network lets nobody through to it"));
        }
        let state = node.product.status().await.map_err(Effect::failed)?;
        let lifted = node.links.lift().await;
        if !lifted.outcome.observed() {
            return Err(lifted);
        }
        Ok(Effect::observed(format!("{} answers, and follows nobody: {state}", node.id)))
    }

    /// Waits for what the fenced source is known to have acknowledged; says what is known of the rest.
    async fn drain(&self, node: &Node, control: &ReplicaClient) -> String {
        let source = self.counterpart(node);
        let target = source.and_then(|source| self.operator.fenced_at(&source.id));
        let began = Instant::now();
        loop {
            let Ok(Status { following: Some(following), .. }) = control.status().await else {
                return "it followed nobody".into();
            };
            match target {
                Some(target) if has(&following, target) => return "it has every write of its source".into(),
                Some(_) if began.elapsed() < DRAIN_LIMIT => sleep(POLL).await,
                _ => return behind(&following),
            }
        }
    }

    /// The node throws away what it holds and follows the one that takes the writes now.
    pub(super) async fn rejoin(&self, id: &NodeId) -> Result<Effect, Effect> {
        let node = self.node(id)?;
        let failed = |why: String| Effect::failed(format!("{id} cannot rejoin: {why}"));
        let pattern = self.plan.scenario.stack.pattern;
        let other = self.counterpart(node).filter(|_| self.plan.scenario.stack.followed(id.role));
        let Some((control, other)) = node.control().zip(other) else {
            let why =
                format!("in the pattern {pattern} no region follows this store; restore it from a backup");
            return Err(failed(why));
        };
        let _turn = self.operator.turn(id.role).await;
        let Some(primary) = other.control() else { return Err(failed("there is nobody to follow".into())) };
        let status = self.ask(other, &primary).await.map_err(|why| failed(format!("{}: {why}", other.id)))?;
        if status.role != replica::Role::Primary {
            return Err(failed(format!("{} does not take the writes: {}", other.id, role_of(&status))));
        }
        self.ask(node, &control).await.map_err(failed)?;
        if !other.links.passes_to(&id.region) {
            return Err(failed(format!("the network does not let it follow {}", other.id)));
        }
        let link = other.links.peer(&id.region).map_err(failed)?;
        let refused = |e: replica::ReplicaError| failed(e.to_string());
        // A follower that knew a higher epoch than its source would depose it: the source begins a new one first.
        let epoch = self.operator.next_epoch();
        primary.promote(epoch, None).await.map_err(refused)?;
        control.follow(link.addr(), true, epoch).await.map_err(refused)?;
        let seen = caught_up(&control, &primary).await?;
        let mode = if pattern == Pattern::ActiveActive { Some(Mode::Mutual) } else { self.confirms() };
        if let Some(mode) = mode {
            let waits = if mode == Mode::Mutual { &control } else { &primary };
            waits.promote(self.operator.next_epoch(), Some(mode)).await.map_err(refused)?;
        }
        self.operator.remember(id, None);
        let lifted = node.links.lift().await;
        if !lifted.outcome.observed() {
            return Err(lifted);
        }
        let now = control.status().await.map_err(refused)?;
        Ok(Effect::observed(format!("{seen}; {id} is {}", role_of(&now))).with("position", now.position.lsn))
    }

    /// The mode of a primary that is followed again, where it is not what a promoted standby has.
    fn confirms(&self) -> Option<Mode> {
        (self.plan.scenario.stack.replication() == Some(Replication::Sync)).then_some(Mode::Sync)
    }

    /// Waits until a node that follows has what its source has, so that an index of it is one of everything. One that
    /// cannot follow now is not waited for.
    pub(super) async fn follow_up(&self, node: &Node) -> Result<(), Effect> {
        let source = self.counterpart(node).filter(|other| other.links.passes_to(&node.id.region));
        let Some((control, source)) = node.control().zip(source.and_then(Node::control)) else {
            return Ok(());
        };
        let follows = control.status().await.is_ok_and(|s| s.following.is_some() && !s.stalled);
        if !follows || source.status().await.is_err() {
            return Ok(());
        }
        caught_up(&control, &source).await.map(drop)
    }

    /// A standby applies nothing, or goes on.
    pub(super) async fn stall(&self, id: &NodeId, stalled: bool) -> Result<Effect, Effect> {
        let control = self.node(id)?.control();
        let control = control.ok_or_else(|| Effect::failed(format!("{id} follows nobody")))?;
        let status = control.stall(stalled).await.map_err(|e| Effect::failed(e.to_string()))?;
        let known = status.following.as_ref().map_or_else(|| "it follows nobody".to_owned(), behind);
        let seen = format!("{id} says: stalled = {}; {known}", status.stalled);
        Ok(if status.stalled == stalled { Effect::observed(seen) } else { Effect::not_observed(seen) })
    }
}

/// Waits until a follower has everything that its source had at the time of the call.
async fn caught_up(follower: &ReplicaClient, source: &ReplicaClient) -> Result<String, Effect> {
    let began = Instant::now();
    let said = |e: replica::ReplicaError| Effect::failed(e.to_string());
    let target = source.status().await.map_err(said)?.position;
    loop {
        // A node that drops all it holds may be slow to answer.
        let known = match follower.status().await {
            Ok(Status { following: Some(following), .. }) if has(&following, target) => {
                let took = began.elapsed().as_secs_f64();
                return Ok(format!("everything up to write {} was applied after {took:.2} s", target.lsn));
            }
            Ok(Status { following: Some(following), .. }) => behind(&following),
            Ok(_) => return Err(Effect::failed("it follows nobody")),
            Err(e) => e.to_string(),
        };
        if began.elapsed() > CATCH_UP_LIMIT {
            return Err(Effect::not_observed(format!("not caught up within {CATCH_UP_LIMIT:?}: {known}")));
        }
        sleep(POLL).await;
    }
}

fn has(following: &Following, target: Position) -> bool {
    let Following { upto, wipe_pending, .. } = following;
    !wipe_pending && upto.timeline == target.timeline && upto.lsn >= target.lsn
}

/// What a follower knows of its distance.
fn behind(following: &Following) -> String {
    let heard = following.heard_ms.map_or("never".to_owned(), |ms| format!("{ms} ms ago"));
    let lag = following.lag.map_or("an unknown number of".to_owned(), |lag| lag.to_string());
    let error = following.error.as_ref().map_or(String::new(), |why| format!(" ({why})"));
    format!("{lag} changes behind when it heard of its source last, {heard}{error}")
}

fn role_of(status: &Status) -> String {
    let Status { role, epoch, position, .. } = status;
    let alone = if status.degraded { ", acknowledging alone" } else { "" };
    format!("{role} of epoch {epoch} at write {}{alone}", position.lsn)
}
