//! The links of one node: the one that its users come by, and those by which other regions follow it.
//!
//! A fenced node's users are shut out at the network, and stay so: until the fence is lifted, what is done to their
//! link is remembered and takes effect only then. So neither a healed partition nor a restart lets anybody in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use harness::act::{CutMode, Direction};
use harness::ports::Effect;
use tokio::sync::Semaphore;

use super::link::{Link, LinkError, Mode, Way};
use super::node::Gate;

#[derive(Debug, Default)]
struct Slot {
    users: Option<Arc<Link>>,
    /// By the region that follows.
    peers: BTreeMap<String, Arc<Link>>,
    /// While the node is fenced: what the users' link would do otherwise.
    beneath: Option<Mode>,
}

/// The links in front of one node.
#[derive(Debug)]
pub(crate) struct Links {
    gate: Gate,
    users_port: SocketAddr,
    peers_port: SocketAddr,
    slot: Mutex<Slot>,
    /// One switch of the users' link at a time, so that no mending meets a fencing half-way.
    turn: Semaphore,
}

impl Links {
    /// For a node that serves users on one port and followers on another. Opens nothing.
    pub(crate) fn new(gate: Gate, users_port: SocketAddr, peers_port: SocketAddr) -> Self {
        Self { gate, users_port, peers_port, slot: Mutex::default(), turn: Semaphore::new(1) }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The users' link; opened by the first call, which must be inside a runtime.
    pub(crate) fn users(&self) -> Result<Arc<Link>, String> {
        let mut slot = self.slot();
        if let Some(link) = &slot.users {
            return Ok(link.clone());
        }
        let link = self.open(self.users_port)?;
        slot.users = Some(link.clone());
        Ok(link)
    }

    /// The link by which a region follows the node; opened by the first call, which must be inside a runtime.
    pub(crate) fn peer(&self, region: &str) -> Result<Arc<Link>, String> {
        let mut slot = self.slot();
        if let Some(link) = slot.peers.get(region) {
            return Ok(link.clone());
        }
        let link = self.open(self.peers_port)?;
        slot.peers.insert(region.to_owned(), link.clone());
        Ok(link)
    }

    fn open(&self, port: SocketAddr) -> Result<Arc<Link>, String> {
        self.gate.pass(|| Link::open(port).map(Arc::new).map_err(|e| e.to_string()))
    }

    /// Whether the network lets users through, were the node not fenced.
    pub(crate) fn passes(&self) -> bool {
        let slot = self.slot();
        let mode = slot.beneath.or_else(|| slot.users.as_ref().map(|link| link.mode()));
        mode.is_some_and(Mode::connects)
    }

    /// Whether the network lets a region follow the node.
    pub(crate) fn passes_to(&self, region: &str) -> bool {
        self.slot().peers.get(region).is_some_and(|link| link.mode().connects())
    }

    /// Whether the node is fenced at the network.
    pub(crate) fn fenced(&self) -> bool {
        self.slot().beneath.is_some()
    }

    /// Switches the users' link, or that by which `from` follows the node.
    pub(crate) async fn set(&self, from: Option<&str>, mode: Mode) -> Effect {
        let Some(region) = from else { return self.set_users(mode).await };
        let link = self.slot().peers.get(region).cloned();
        match link {
            Some(link) => switched(&link, mode).await,
            None => Effect::failed(format!("region {region} does not follow this node")),
        }
    }

    async fn set_users(&self, mode: Mode) -> Effect {
        let Ok(_turn) = self.turn.acquire().await else { return shut_down() };
        let link = match self.users() {
            Ok(link) => link,
            Err(why) => return Effect::failed(why),
        };
        let fenced = {
            let mut slot = self.slot();
            slot.beneath.as_mut().map(|beneath| *beneath = mode).is_some()
        };
        if !fenced {
            return switched(&link, mode).await;
        }
        let shut = switched(&link, Mode::Refuse).await;
        match mode {
            // Who mends what a fence keeps shut has done all there is to do.
            Mode::Open if shut.outcome.observed() => {
                Effect::observed(format!("the node is fenced and stays shut: {}", shut.outcome.text()))
            }
            _ => Effect::not_observed(format!("the node was fenced before: {}", shut.outcome.text())),
        }
    }

    /// Shuts the users out, whatever else is done to their link.
    pub(crate) async fn fence(&self) -> Effect {
        let Ok(_turn) = self.turn.acquire().await else { return shut_down() };
        let link = match self.users() {
            Ok(link) => link,
            Err(why) => return Effect::failed(why),
        };
        self.slot().beneath.get_or_insert(link.mode());
        switched(&link, Mode::Refuse).await
    }

    /// Lets users in again, as far as the network does.
    pub(crate) async fn lift(&self) -> Effect {
        let Ok(_turn) = self.turn.acquire().await else { return shut_down() };
        let (beneath, link) = {
            let mut slot = self.slot();
            (slot.beneath.take(), slot.users.clone())
        };
        match (beneath, link) {
            (Some(mode), Some(link)) => switched(&link, mode).await,
            _ => Effect::observed("users were not shut out"),
        }
    }

    /// Ends every link. The gate has to be closed.
    pub(crate) async fn end(&self) {
        let Slot { users, peers, .. } = std::mem::take(&mut *self.slot());
        for link in users.into_iter().chain(peers.into_values()) {
            // Who still holds it ends it.
            if let Some(link) = Arc::into_inner(link) {
                link.shutdown().await;
            }
        }
    }
}

fn shut_down() -> Effect {
    Effect::failed("the link was shut down")
}

pub(crate) async fn switched(link: &Link, mode: Mode) -> Effect {
    match link.set(mode).await {
        Ok(seen) => Effect::observed(seen.to_string()),
        Err(e @ LinkError::NotObserved { .. }) => Effect::not_observed(e.to_string()),
        Err(e) => Effect::failed(e.to_string()),
    }
}

/// The mode of a cut link.
pub(crate) fn cut(mode: CutMode, direction: Direction) -> Mode {
    let way = match direction {
        Direction::Both => Way::Both,
        Direction::ToNode => Way::ToNode,
        Direction::FromNode => Way::FromNode,
    };
    match mode {
        CutMode::Refuse => Mode::Refuse,
        CutMode::Blackhole => Mode::Blackhole(way),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::port::Port;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpStream;

    const DARK: Mode = Mode::Blackhole(Way::Both);

    /// Links in front of a node that does not run.
    fn links() -> (Links, [Port; 2]) {
        let ports = [Port::reserve().unwrap(), Port::reserve().unwrap()];
        let links = Links::new(Gate::default(), ports[0].addr(), ports[1].addr());
        links.users().unwrap();
        links.peer("west").unwrap();
        (links, ports)
    }

    async fn observed(effect: impl Future<Output = Effect>) -> String {
        let effect = effect.await;
        assert!(effect.outcome.observed(), "{effect:?}");
        effect.outcome.text().to_owned()
    }

    #[tokio::test]
    async fn links_of_a_node_that_does_not_run_are_seen_to_switch() {
        let (links, _ports) = links();
        for from in [None, Some("west")] {
            for mode in [DARK, Mode::Open, Mode::Refuse, Mode::Open] {
                observed(links.set(from, mode)).await;
            }
        }
        assert!(!links.set(Some("north"), DARK).await.outcome.observed());
    }

    #[tokio::test]
    async fn a_peers_link_leads_to_the_other_port() {
        let (links, [users, peers]) = links();
        let (users, peers) = (users.listen(8).unwrap(), peers.listen(8).unwrap());
        let _one = TcpStream::connect(links.users().unwrap().addr()).await.unwrap();
        users.accept().await.unwrap();
        let _other = TcpStream::connect(links.peer("west").unwrap().addr()).await.unwrap();
        peers.accept().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_mended_does_not_open_what_is_fenced() {
        let (links, _ports) = links();
        let addr = links.users().unwrap().addr();
        observed(links.set(None, DARK)).await;
        assert!(!links.passes());
        observed(links.fence()).await;
        assert!(TcpStream::connect(addr).await.is_err());
        let mended = observed(links.set(None, Mode::Open)).await;
        assert!(mended.contains("fenced") && links.fenced() && links.passes(), "{mended}");
        assert!(TcpStream::connect(addr).await.is_err());
        // A fault finds nothing to break.
        assert!(!links.set(None, DARK).await.outcome.observed());
        observed(links.set(None, Mode::Open)).await;
        observed(links.lift()).await;
        assert!(!links.fenced());
        // Nobody listens, so the link resets what it lets in.
        let mut near = TcpStream::connect(addr).await.unwrap();
        assert!(near.read(&mut [0]).await.is_err());
    }

    #[tokio::test]
    async fn a_lifted_fence_leaves_a_partition_as_it_is() {
        let (links, _ports) = links();
        observed(links.fence()).await;
        assert!(!links.set(None, DARK).await.outcome.observed());
        observed(links.lift()).await;
        assert!(!links.passes());
        assert_eq!(links.users().unwrap().mode(), DARK);
    }
}
