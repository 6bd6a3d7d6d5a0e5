//! The health monitor of a stack with two regions: asks every node, and tells the router how each region is.
//!
//! It asks as a user does, over the links, with a connection of its own to each node, and waits for nobody: a node
//! that is silent for [`LIMIT`] is bad for now. One bad answer moves nobody, since a busy machine is late now and
//! then; two in a row count.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use harness::router::{Health, Router};
use harness::topology::{NodeId, Role};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::product::Pulse;

/// How often every node is asked.
const EVERY: Duration = Duration::from_millis(200);
/// How long it may take to answer.
const LIMIT: Duration = Duration::from_millis(250);
/// Bad answers in a row that count.
const BAD: u32 = 2;

/// One node, as the monitor knows it.
#[derive(Debug)]
pub(super) struct Patient {
    pub(super) id: NodeId,
    /// The users' link.
    pub(super) link: SocketAddr,
    pub(super) pulse: Pulse,
    /// How well it is when asked last, counted after [`BAD`] bad answers; and its link.
    node: Beat,
    network: Beat,
}

/// A value from 0 to 1 that falls only when it was bad several times in a row.
#[derive(Debug, Default)]
struct Beat {
    bad: u32,
    value: Option<f64>,
}

impl Beat {
    fn note(&mut self, seen: f64) {
        self.bad = if seen < 1.0 { self.bad.saturating_add(1) } else { 0 };
        if self.bad == 0 || self.bad >= BAD {
            self.value = Some(seen);
        }
    }

    /// What was not asked often enough to be called bad is good.
    fn value(&self) -> f64 {
        self.value.unwrap_or(1.0)
    }
}

impl Patient {
    pub(super) fn new(id: NodeId, link: SocketAddr, pulse: Pulse) -> Self {
        Self { id, link, pulse, node: Beat::default(), network: Beat::default() }
    }

    async fn visit(&mut self) {
        let felt = timeout(LIMIT, self.pulse.feel()).await;
        // Silence is the network's as far as anybody can tell; a reset comes from the far end.
        let (node, network) = match felt {
            Ok(Ok(value)) => (value, 1.0),
            Ok(Err(_)) => (0.0, if connects(self.link).await { 1.0 } else { 0.0 }),
            Err(_) => (0.0, 0.0),
        };
        self.node.note(node);
        self.network.note(network);
    }
}

async fn connects(link: SocketAddr) -> bool {
    matches!(timeout(LIMIT, TcpStream::connect(link)).await, Ok(Ok(_)))
}

/// The health of a region, from what is known of its nodes.
fn health(patients: &[Patient], region: &str) -> Health {
    let mean = |wanted: &dyn Fn(&Patient) -> bool, value: &dyn Fn(&Patient) -> f64| {
        let all = patients.iter().filter(|p| p.id.region == region && wanted(p));
        let all: Vec<f64> = all.map(value).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    };
    let of = |roles: &[Role]| mean(&|p| roles.contains(&p.id.role), &|p| p.node.value());
    Health {
        databases: of(&[Role::Vector, Role::Object]),
        ml_platform: of(&[Role::Gpu]),
        network: mean(&|_| true, &|p| p.network.value()),
        feature_store: of(&[Role::Feature]),
    }
}

/// The monitor's task. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Monitor(JoinHandle<()>);

impl Monitor {
    /// Asks from now on.
    pub(super) fn start(mut patients: Vec<Patient>, regions: Vec<String>, router: Arc<Router>) -> Self {
        Self(tokio::spawn(async move {
            let mut round = interval(EVERY);
            round.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                round.tick().await;
                join_all(patients.iter_mut().map(Patient::visit)).await;
                for region in &regions {
                    router.health(region, health(&patients, region));
                }
            }
        }))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_answer_moves_nobody() {
        let mut beat = Beat::default();
        assert_eq!(beat.value(), 1.0);
        for (seen, value) in [(0.0, 1.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0), (0.5, 0.5), (1.0, 1.0)] {
            beat.note(seen);
            assert_eq!(beat.value(), value);
        }
    }
}
