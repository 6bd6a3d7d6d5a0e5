//! How a store of one region follows that of another: an ordered queue of changes for each pair.
//!
//! Nothing runs in the background. Between two acts the state of the world stands still, so a queue is drained lazily,
//! up to the present moment, whenever anybody looks ([`Peers::advance`]): the result is that of a task that had been
//! awake all the time.

use std::collections::{BTreeMap, VecDeque};

use super::{Flaw, backup::Archive, cells::Cell, node::SimNode};
use crate::{
    ports::Reading,
    topology::{LinkState, NodeId, Role, State},
};

/// From a write on one side to its being applied on the other.
const LAG_US: u64 = 20_000;
/// The lag of a standby with that flaw.
const FLAWED_LAG_US: u64 = 12_000_000;
/// Where both sides take writes, one goes on alone after the other was unreachable for so long.
const ALONE_AFTER_US: u64 = 1_000_000;

/// What a follower is told.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A record is written or deleted.
    Record(u64, Cell),
    /// A step's checkpoint is stored.
    Checkpoint(u64, Reading),
    /// A newer backup is there.
    Backup(Role, Archive),
}

/// Changes on their way from one store to one follower.
#[derive(Debug)]
struct Channel {
    queue: VecDeque<Sent>,
    /// Since when it passes changes.
    open_us: u64,
    /// Since when it passes none; `None` while it does.
    blocked_us: Option<u64>,
    /// The follower has lost its disk: it needs everything.
    whole: bool,
    /// The follower was promoted: it follows no more.
    severed: bool,
}

#[derive(Debug)]
struct Sent {
    seq: u64,
    at_us: u64,
    change: Change,
}

/// Whether a write may be acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ack {
    /// Now.
    Now,
    /// Not before this moment.
    At(u64),
    /// Not before something changes.
    Blocked,
}

/// How much a follower has heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// Everything that was asked for.
    All,
    /// The rest is on its way.
    NotYet,
    /// The rest is out of its reach.
    CutOff,
}

/// All channels of a stack: (source, follower).
#[derive(Debug)]
pub(super) struct Peers {
    channels: BTreeMap<(NodeId, NodeId), Channel>,
    seq: u64,
    /// Acknowledged by the follower first.
    sync: bool,
    /// Both sides take writes.
    pub(super) mutual: bool,
    flaw: Option<Flaw>,
}

impl Peers {
    pub(super) fn new(sync: bool, mutual: bool, flaw: Option<Flaw>) -> Self {
        Peers { channels: BTreeMap::new(), seq: 0, sync, mutual, flaw }
    }

    /// From now on, changes of `source` are for `follower` too.
    pub(super) fn follow(&mut self, source: &NodeId, follower: &NodeId, now_us: u64) {
        let channel = Channel {
            queue: VecDeque::new(),
            open_us: now_us,
            blocked_us: None,
            whole: false,
            severed: false,
        };
        self.channels.insert((source.clone(), follower.clone()), channel);
    }

    /// Everything that passed between a node and others is forgotten.
    pub(super) fn forget(&mut self, node: &NodeId) {
        self.channels.retain(|(source, follower), _| source != node && follower != node);
    }

    /// A promoted standby listens no more. What it has not heard is lost to it.
    pub(super) fn sever(&mut self, follower: &NodeId) {
        for (_, channel) in self.channels.iter_mut().filter(|((_, f), _)| f == follower) {
            channel.severed = true;
        }
    }

    /// A disk was emptied: what it had not sent is gone, and what it had received must come again.
    pub(super) fn wiped(&mut self, node: &NodeId) {
        for (_, channel) in self.channels.iter_mut().filter(|((s, _), _)| s == node) {
            channel.queue.clear();
        }
        self.resync(node);
    }

    /// A follower needs everything anew.
    pub(super) fn resync(&mut self, follower: &NodeId) {
        for (_, channel) in self.channels.iter_mut().filter(|((_, f), _)| f == follower) {
            channel.whole = true;
        }
    }

    /// A change of `source`: its number.
    pub(super) fn send(&mut self, source: &NodeId, change: &Change, now_us: u64) -> u64 {
        self.seq += 1;
        for (_, channel) in self.channels.iter_mut().filter(|((s, _), _)| s == source) {
            channel.queue.push_back(Sent { seq: self.seq, at_us: now_us, change: change.clone() });
        }
        self.seq
    }

    /// Applies all that has arrived by now.
    pub(super) fn advance(&mut self, state: &State, nodes: &mut BTreeMap<NodeId, SimNode>, now_us: u64) {
        for ((source, follower), channel) in &mut self.channels {
            let Some(late_us) = late_us(state, nodes, source, follower).filter(|_| !channel.severed) else {
                channel.blocked_us.get_or_insert(now_us);
                continue;
            };
            if channel.blocked_us.take().is_some() {
                channel.open_us = now_us;
            }
            let lag_us = lag_us(self.flaw, source) + late_us;
            if channel.whole && now_us >= channel.open_us + lag_us {
                channel.whole = false;
                copy_all(nodes, source, follower);
            }
            let Some(node) = nodes.get_mut(follower) else { continue };
            let arrived =
                |s: &Sent| !channel.whole && s.at_us.max(channel.open_us).saturating_add(lag_us) <= now_us;
            while channel.queue.front().is_some_and(arrived) {
                let Some(sent) = channel.queue.pop_front() else { break };
                node.apply(sent.change, self.mutual);
            }
        }
    }

    /// Whether change `seq` of a store may be acknowledged; a moment that has passed means now.
    pub(super) fn acked(
        &self,
        state: &State,
        nodes: &BTreeMap<NodeId, SimNode>,
        source: &NodeId,
        seq: u64,
    ) -> Ack {
        if !self.sync {
            return Ack::Now;
        }
        let mut worst = Ack::Now;
        for ((_, follower), channel) in self.channels.iter().filter(|((s, _), _)| s == source) {
            let fenced = nodes.get(follower).is_none_or(|n| n.fenced);
            let waiting = channel.queue.binary_search_by_key(&seq, |s| s.seq).ok().filter(|_| !fenced);
            let Some(sent) = waiting.and_then(|i| channel.queue.get(i)) else { continue };
            let arrives_us = sent.at_us.max(channel.open_us) + lag_us(self.flaw, source);
            let ack = match (channel.blocked_us, late_us(state, nodes, source, follower)) {
                (None, Some(late_us)) => Ack::At(arrives_us + late_us),
                (Some(since), _) if self.mutual => Ack::At(since + ALONE_AFTER_US),
                _ => Ack::Blocked,
            };
            worst = match (worst, ack) {
                (Ack::At(a), Ack::At(b)) => Ack::At(a.max(b)),
                (Ack::Blocked, _) | (_, Ack::Blocked) => Ack::Blocked,
                (a, Ack::Now) => a,
                (Ack::Now, b) => b,
            };
        }
        worst
    }

    /// The number of the newest change of all.
    pub(super) fn newest(&self) -> u64 {
        self.seq
    }

    /// Whether a node has heard every change up to a number, as far as it can hear anything at all.
    pub(super) fn heard(&self, follower: &NodeId, seq: u64) -> Heard {
        let incoming = || self.channels.iter().filter(|((_, f), c)| f == follower && !c.severed);
        let behind = |c: &Channel| c.whole || c.queue.front().is_some_and(|s| s.seq <= seq);
        if !incoming().any(|(_, c)| behind(c)) {
            Heard::All
        } else if incoming().any(|(_, c)| behind(c) && c.blocked_us.is_none()) {
            Heard::NotYet
        } else {
            Heard::CutOff
        }
    }

    /// Whether a node follows another one.
    pub(super) fn follows(&self, follower: &NodeId) -> bool {
        self.channels.iter().any(|((_, f), c)| f == follower && !c.severed)
    }
}

fn lag_us(flaw: Option<Flaw>, source: &NodeId) -> u64 {
    let lags = flaw == Some(Flaw::LaggingStandby) && source.role == Role::Vector;
    if lags { FLAWED_LAG_US } else { LAG_US }
}

/// How late changes are beyond the usual lag; `None` while none pass.
fn late_us(
    state: &State,
    nodes: &BTreeMap<NodeId, SimNode>,
    source: &NodeId,
    follower: &NodeId,
) -> Option<u64> {
    let awake = |id| nodes.get(id).is_some_and(SimNode::awake);
    if !awake(source) || !awake(follower) || state.stalled.contains(follower) {
        return None;
    }
    match state.peers.get(&(follower.region.clone(), source.clone())) {
        Some(LinkState::Cut(..)) => None,
        Some(LinkState::Delayed(by)) => Some(by.us()),
        Some(LinkState::Open) | None => Some(0),
    }
}

/// Everything that one node holds goes to the other.
pub(super) fn copy_all(nodes: &mut BTreeMap<NodeId, SimNode>, source: &NodeId, follower: &NodeId) {
    let Some(from) = nodes.get(source) else { return };
    let (cells, checkpoints, archives) =
        (from.cells.clone(), from.checkpoints.clone(), from.archives.clone());
    if let Some(to) = nodes.get_mut(follower) {
        to.cells.merge(&cells);
        to.checkpoints.extend(checkpoints);
        to.archives.extend(archives);
    }
}

impl SimNode {
    fn apply(&mut self, change: Change, newer: bool) {
        match change {
            Change::Record(key, cell) if newer => drop(self.cells.put_newer(key, cell)),
            Change::Record(key, cell) => drop(self.cells.put(key, cell)),
            Change::Checkpoint(step, reading) => drop(self.checkpoints.insert(step, reading)),
            Change::Backup(role, archive) => {
                if let Some(archive) = archive.received(self.archives.get(&role)) {
                    self.archives.insert(role, archive);
                }
            }
        }
    }
}
