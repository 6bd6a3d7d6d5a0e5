//! A Milvus that follows that of another region: Milvus 2.3 with its own log has no replication, so rows are copied by
//! [`Follower`], over the link between the regions.
//!
//! A follower exists exactly as long as its node follows: a promotion ends it before the node takes a write, so that
//! nothing is copied over what users wrote there. What it had not copied when its source was lost, is lost, and the
//! ledger counts it. A Milvus cannot refuse writes, neither as a standby nor behind a fence: nobody is sent to a
//! standby, and a fence is put up at the network.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harness::ports::Effect;
use harness::topology::NodeId;

use super::bridge::Bridge;
use super::host::{DockerHost, Node};
use super::milvus::{COLLECTION, Milvus};
use crate::milvus::{Client, Follower};

/// The followers at work, by the node that follows.
#[derive(Debug, Default)]
pub(super) struct Followers(Mutex<BTreeMap<NodeId, Arc<Follower>>>);

impl Followers {
    fn all(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Follower>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What makes a node follow, if it does.
    pub(super) fn of(&self, id: &NodeId) -> Option<Arc<Follower>> {
        self.all().get(id).cloned()
    }

    /// Ends all of them, as they stand.
    pub(super) fn abandon(&self) {
        self.all().clear();
    }
}

impl DockerHost {
    /// The link by which a node's region follows a store.
    pub(super) fn way(&self, follower: &NodeId, store: &NodeId) -> Option<&Bridge> {
        self.bridges.iter().find(|bridge| bridge.follower == follower.region && bridge.store == *store)
    }

    /// Whether what a node follows could be asked for what it has not copied yet.
    async fn source_answers(&self, follower: &NodeId, source: &Node) -> bool {
        let Ok(container) = source.container() else { return false };
        self.way(follower, &source.id).is_some_and(Bridge::passes)
            && matches!(container.life().await, Ok(Some(life)) if life.running && !life.paused)
    }

    /// Lets `other` follow `primary`, and waits until it holds what is there.
    pub(super) async fn follow_vectors(
        &self,
        primary: &NodeId,
        (other, to): (&NodeId, &Milvus),
        limit: Duration,
    ) -> Result<String, String> {
        let door = self.way(other, primary).and_then(|way| way.door.as_ref());
        let door = door.ok_or_else(|| format!("no link leads from {} to {primary}", other.region))?;
        let source = Client::new(&format!("http://{}", door.addr()), COLLECTION);
        let source = source.map_err(|e| e.to_string())?;
        if let Some(old) = self.operator.followers.of(other) {
            old.end().await?;
        }
        let follower = Arc::new(Follower::start(source, to.client.clone()));
        follower.caught_up(limit).await?;
        let progress = follower.progress();
        self.operator.followers.all().insert(other.clone(), follower);
        Ok(format!(
            "every row, after the fact: {} copied and {} removed by now",
            progress.copied, progress.removed
        ))
    }

    /// Waits until a node that follows holds what its source had when it was asked, if that can be asked.
    pub(super) async fn follow_up(&self, node: &Node, limit: Duration) -> Result<Option<String>, Effect> {
        let Some(follower) = self.operator.followers.of(&node.id) else { return Ok(None) };
        let Some(source) = self.counterpart(node) else { return Ok(None) };
        if !self.source_answers(&node.id, source).await {
            let lag = follower.progress().lag().map_or("long".into(), |s| format!("{s:.2} s"));
            return Ok(Some(format!("its source cannot be asked; all of it was here {lag} ago")));
        }
        let done = follower.caught_up(limit).await;
        done.map_err(|why| Effect::failed(format!("{}: {why}", node.id)))?;
        Ok(Some("it has every row of its source".into()))
    }

    /// Ends what makes a node follow, so that it takes the writes.
    pub(super) async fn promote_vectors(&self, node: &Node, drain: Duration) -> Result<String, String> {
        let Some(follower) = self.operator.followers.of(&node.id) else {
            let state = node.product.ready().await?;
            return Ok(format!("it follows nobody: {state}"));
        };
        let old = self.counterpart(node).ok_or("it follows nobody")?;
        let proof = self.taken_from(old).await?;
        let rest = match self.follow_up(node, drain).await {
            Ok(rest) => rest.unwrap_or_default(),
            Err(effect) => effect.outcome.text().to_owned(),
        };
        follower.end().await?;
        let copied = follower.progress().copied;
        self.operator.followers.all().remove(&node.id);
        let state = node.product.ready().await?;
        Ok(format!("{proof}; nothing is copied any more, {copied} rows were; {rest}; {state}"))
    }

    /// A node that follows copies nothing, or goes on.
    pub(super) async fn stall_vectors(&self, id: &NodeId, stalled: bool) -> Result<Effect, Effect> {
        let Some(follower) = self.operator.followers.of(id) else {
            let why = format!("{id} follows nobody");
            return Err(if stalled { Effect::failed(why) } else { Effect::observed(why) });
        };
        follower.stall(stalled).await.map_err(Effect::failed)?;
        let copied = follower.progress().copied;
        let how = if stalled { "stands still" } else { "goes on" };
        Ok(Effect::observed(format!("what copies rows to {id} {how}; it has copied {copied}")))
    }
}
