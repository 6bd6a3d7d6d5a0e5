//! A region's store as its users reach it: through a link, and acknowledged by its follower where the pattern says so.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rand::Rng as _;
use tokio::time::sleep;

use super::{
    peers::Ack,
    world::{Shared, World},
};
use crate::{
    act::{CutMode, Direction},
    ports::{Page, PortError, Reading, System, Write},
    topology::{LinkState, NodeId, Role},
};

/// What the network does to a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    /// How late it is, each way.
    pub(super) late: Duration,
    /// It never arrives.
    pub(super) lost: bool,
    /// Its answer never arrives.
    pub(super) answer_lost: bool,
}

impl Shared {
    /// What the network does to a request from users to a node at this moment.
    pub(super) fn network(&self, node: &NodeId) -> Result<Network, PortError> {
        let mut world = self.world();
        let jitter_us = 200 + world.rng.next_u64() % 800;
        let late = Duration::from_micros(jitter_us);
        let open = Network { late, answer_lost: false, lost: false };
        match world.state.links.get(node) {
            Some(LinkState::Cut(CutMode::Refuse, _)) => Err(PortError::Definite("connection refused".into())),
            Some(LinkState::Cut(CutMode::Blackhole, Direction::FromNode)) => {
                Ok(Network { answer_lost: true, ..open })
            }
            Some(LinkState::Cut(CutMode::Blackhole, _)) => {
                Ok(Network { answer_lost: true, lost: true, ..open })
            }
            Some(LinkState::Delayed(by)) => Ok(Network { late: late + by.std(), ..open }),
            Some(LinkState::Open) | None => Ok(open),
        }
    }

    /// Waits until change `seq` of a node may be acknowledged.
    pub(super) async fn acked(&self, node: &NodeId, generation: u64, seq: u64) -> Result<(), PortError> {
        loop {
            let changed = self.changed.notified();
            let ack = {
                let world = self.world();
                let held = world.nodes.get(node).filter(|n| n.generation == generation);
                let held = held.ok_or_else(|| PortError::Indefinite("connection reset".into()))?;
                let ack = world.peers.acked(&world.state, &world.nodes, node, seq);
                match ack {
                    Ack::Now => return Ok(()),
                    _ if held.fenced => {
                        let why = "the node was fenced before its standby had the write";
                        return Err(PortError::Indefinite(why.into()));
                    }
                    _ if held.paused => Ack::Blocked,
                    Ack::At(at_us) if at_us <= self.clock.now_us() => return Ok(()),
                    later => later,
                }
            };
            match ack {
                Ack::At(at_us) => tokio::select! {
                    biased;
                    () = changed => {}
                    () = self.clock.until(at_us) => {}
                },
                Ack::Now | Ack::Blocked => changed.await,
            }
        }
    }
}

/// A request that was served, on its way back.
#[derive(Clone, Copy, Debug)]
struct Back {
    network: Network,
    generation: u64,
}

/// One store of one region.
#[derive(Debug)]
pub(super) struct SimStore {
    node: NodeId,
    shared: Arc<Shared>,
}

impl SimStore {
    pub(super) fn new(region: &str, role: Role, shared: &Arc<Shared>) -> SimStore {
        SimStore { node: NodeId::new(region, role), shared: shared.clone() }
    }

    /// A request's way to the node. `write` is what a frozen process keeps until it wakes.
    async fn there<T>(
        &self,
        search: bool,
        write: Option<Write>,
        mut serve: impl FnMut(&mut World) -> Result<T, PortError> + Send,
    ) -> Result<(T, Back), PortError> {
        let network = self.shared.network(&self.node)?;
        sleep(network.late).await;
        if network.lost {
            std::future::pending::<()>().await;
        }
        let mut queued = false;
        loop {
            let changed = self.shared.changed.notified();
            {
                let mut world = self.shared.world();
                let now_us = self.shared.clock.now_us();
                let node = world.nodes.get_mut(&self.node);
                let node = node.ok_or_else(|| PortError::Definite("no such node".into()))?;
                if node.paused || node.hangs(search) {
                    if let Some(write) = write.filter(|_| node.paused && !queued) {
                        node.queue(write);
                        queued = true;
                    }
                } else {
                    let generation = node.generation;
                    let able = node.serves(now_us).and_then(|()| write.map_or(Ok(()), |_| node.accepts()));
                    if let (Err(_), Some(write)) = (&able, write) {
                        node.refuse(write);
                    }
                    let answer = able.and_then(|()| serve(&mut world));
                    return match answer {
                        // A process that was frozen has perhaps acted on it since.
                        Err(PortError::Definite(why)) if queued => Err(PortError::Indefinite(why)),
                        answer => answer.map(|answer| (answer, Back { network, generation })),
                    };
                }
            }
            changed.await;
        }
    }

    /// The answer's way back.
    async fn back<T>(&self, answer: T, back: Back) -> Result<T, PortError> {
        sleep(back.network.late).await;
        if back.network.answer_lost {
            std::future::pending::<()>().await;
        }
        if self.shared.with(&self.node, |n, _| n.generation) != Some(back.generation) {
            return Err(PortError::Indefinite("connection reset".into()));
        }
        Ok(answer)
    }

    /// A request that changes nothing.
    pub(super) async fn ask<T: Send>(
        &self,
        search: bool,
        serve: impl FnMut(&mut World) -> Result<T, PortError> + Send,
    ) -> Result<T, PortError> {
        let (answer, back) = self.there(search, None, serve).await?;
        self.back(answer, back).await
    }
}

#[async_trait]
impl System for SimStore {
    async fn write(&self, write: Write) -> Result<(), PortError> {
        let (node, shared) = (&self.node, &self.shared);
        let store = |w: &mut World| Ok(w.store(node, write, &shared.corpus, shared.clock.now_us()));
        let (seq, back) = self.there(false, Some(write), store).await?;
        shared.acked(node, back.generation, seq).await?;
        self.back((), back).await
    }

    async fn read(&self, key: u64) -> Result<Option<Reading>, PortError> {
        self.ask(false, |w| Ok(w.nodes.get(&self.node).and_then(|n| n.cells.get(key)))).await
    }

    async fn survivors(&self, after: Option<u64>, limit: usize) -> Result<Page, PortError> {
        let page = |w: &mut World| Ok(w.nodes.get(&self.node).map(|n| n.page(after, limit)));
        let (items, next) = self.ask(false, page).await?.unwrap_or_default();
        Ok(Page { items, next })
    }

    async fn search(&self, query: &[f32], k: usize) -> Result<Vec<u64>, PortError> {
        self.ask(true, |w| w.nodes.get(&self.node).map_or(Ok(Vec::new()), |n| n.search(query, k))).await
    }
}
