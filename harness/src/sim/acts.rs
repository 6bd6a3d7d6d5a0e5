//! What faults do to the world: processes, links, stored files, workers. Recovery is in [`super::recovery`].

use tokio::time::sleep;

use super::world::{START, Shared};
use crate::{
    act::Act,
    ports::Effect,
    topology::{NodeId, Role},
};

/// Why a drill in world `sim` ends at a command.
pub(super) const NO_COMMANDS: &str = "world `sim` runs no commands, so nobody knows what this one would have done: play the drill in world `local`";

fn gone() -> Effect {
    Effect::failed("no such node")
}

impl Shared {
    /// Performs an act. What it does to links and to the marks of [`crate::topology::State`] the caller notes.
    pub(super) async fn play(&self, act: &Act) -> Effect {
        match act {
            Act::Kill { node } | Act::Stop { node } => self.end(node),
            Act::Start { node } => self.start(node).await,
            Act::Restart { node } => {
                self.with(node, |n, _| n.kill());
                self.ended(node);
                self.start(node).await
            }
            Act::Reload { node } => {
                let done = self.with(node, |n, _| n.awake().then(|| n.reload()).is_some());
                seen(done, "the files were read again", "the node does not answer")
            }
            Act::Pause { node } => {
                let frozen = self.with(node, |n, _| {
                    n.paused = n.running;
                    n.paused
                });
                seen(frozen, "the process is stopped", "there is no process to freeze")
            }
            Act::Resume { node } => self.resume(node),
            Act::Cut { from, to, .. } | Act::Delay { from, to, .. } | Act::Mend { from, to } => {
                let world = self.world();
                let there = match from {
                    Some(region) => world.state.peers.contains_key(&(region.clone(), to.clone())),
                    None => world.state.links.contains_key(to),
                };
                seen(there.then_some(true), "a test connection felt it", "")
            }
            Act::Damage { node, what, how, fraction, seed } => {
                let mut world = self.world();
                let Some(held) = world.nodes.get_mut(node) else { return gone() };
                match held.damage(*what, *how, *fraction, *seed, &self.corpus) {
                    Ok(hit) => {
                        for (key, cell) in hit.spread {
                            world.spread(node, key, cell, self.clock.now_us());
                        }
                        Effect::observed(hit.what)
                    }
                    Err(why) => Effect::not_observed(why),
                }
            }
            Act::Discard { .. } | Act::Teardown => Effect::observed("thrown away"),
            Act::Wipe { node } => {
                let mut world = self.world();
                let Some(held) = world.nodes.get_mut(node) else { return gone() };
                if held.running {
                    return Effect::not_observed("the process still runs");
                }
                held.wipe();
                world.peers.wiped(node);
                Effect::observed("the disk is empty")
            }
            Act::Intrude { node } => {
                let done = self.with(node, |n, _| n.awake().then(|| n.intrude()).is_some());
                seen(done, "the role is listed", "the node does not answer")
            }
            Act::Stall { node } => {
                let follows = Some(self.world().peers.follows(node));
                seen(follows, "it applies nothing any more", "it follows nobody")
            }
            Act::Unstall { .. } => Effect::observed("it applies changes again"),
            Act::Miscompute { node } => {
                let there = self.with(node, |n, _| n.role == Role::Gpu && n.running);
                seen(there, "a test computation was wrong", "there is no worker to mislead")
            }
            Act::Compute { .. } => Effect::observed("it computes right results again"),
            Act::Limit { .. }
            | Act::Unlimit { .. }
            | Act::Fill { .. }
            | Act::Free { .. }
            | Act::Isolate { .. }
            | Act::Attach { .. } => Effect::failed("world `sim` has no containers"),
            Act::Command { .. } => Effect::failed(NO_COMMANDS),
            Act::Backup { .. }
            | Act::Restore { .. }
            | Act::Audit { .. }
            | Act::Promote { .. }
            | Act::Fence { .. }
            | Act::Rejoin { .. }
            | Act::Route { .. }
            | Act::Rebuild { .. } => self.recover(act).await,
        }
    }

    fn end(&self, node: &NodeId) -> Effect {
        let ended = self.with(node, |n, _| {
            let ran = n.running;
            if ran {
                n.kill();
            }
            ran
        });
        self.ended(node);
        seen(ended, "the process is gone", "there was no process to end")
    }

    /// Whatever depends on a process sees at once that it is gone. A worker's lies were in its memory.
    fn ended(&self, node: &NodeId) {
        self.world().state.wrong.remove(node);
        drop(self.world());
        self.changed.notify_waiters();
    }

    async fn start(&self, node: &NodeId) -> Effect {
        sleep(START).await;
        let done = self.with(node, |n, c| n.start(c));
        if self.world().peers.mutual {
            // An equal answers once it has heard what it missed, as far as it can.
            self.heard(node).await;
        }
        done.map_or_else(gone, |()| Effect::observed("the process answers"))
    }

    /// The process goes on, and acts on the requests that had reached it.
    fn resume(&self, node: &NodeId) -> Effect {
        let mut world = self.world();
        let Some(held) = world.nodes.get_mut(node) else { return gone() };
        let backlog = held.resume();
        if held.accepts().is_ok() {
            for write in backlog {
                world.store(node, write, &self.corpus, self.clock.now_us());
            }
        }
        Effect::observed("the process runs")
    }
}

/// `None`: no such node.
fn seen(done: Option<bool>, what: &str, why_not: &str) -> Effect {
    match done {
        Some(true) => Effect::observed(what),
        Some(false) => Effect::not_observed(why_not),
        None => gone(),
    }
}
