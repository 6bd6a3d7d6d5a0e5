//! What the harness itself needs of a machine to play a drill for real: descriptors, ports, disk.
//!
//! Counted for the worst that the drill's own schedules can ask for, with a store that answers nothing: so many questions
//! are under way when the last of them is given up. Generous rather than exact, since a drill that runs short half-way has
//! proved nothing.

use super::Plan;
use crate::{shortage::RESERVE, time::Dur, topology::Role};

/// Runtimes, journal, watchdog, signals, and what is open for a moment.
const BASE: u64 = 96;
/// Ports held, links, a process and its log, the operator's own questions.
const NODE: u64 = 16;
/// The client's end of a connection, and both ends of the link between it and the node.
const ENDS: u64 = 3;
/// Two of them take a port each: the client's, and the link's towards the node.
const PORTS: u64 = 2;
/// Seed writes under way at once.
const SEEDING: u64 = 64;
/// A write is given up after this.
const WRITE_LIMIT: Dur = Dur::from_secs(2);
/// So many questions share a connection to a store that has one for all, before a silent one is given up.
const SHARED: u64 = 16;
/// Journal, reports, logs.
const RECORDS: u64 = 128 << 20;

/// At most this much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    /// Open files of one process.
    pub descriptors: u64,
    /// Ports of loopback.
    pub ports: u64,
    /// In the run's folder.
    pub disk_bytes: u64,
}

impl Plan {
    /// What the harness needs in worlds `local` and `docker`; `sim` needs nothing.
    pub fn needs(&self) -> Needs {
        let nodes = self.topology.nodes.len() as u64;
        let connections: u64 = self.topology.nodes.iter().map(|node| self.connections(node.role)).sum();
        Needs {
            descriptors: BASE + RESERVE as u64 + NODE * nodes + ENDS * connections,
            ports: NODE * nodes + PORTS * connections,
            disk_bytes: self.disk(),
        }
    }

    /// Connections to one node of a role at once.
    fn connections(&self, role: Role) -> u64 {
        let asks = self.services.iter().filter(|s| s.probe.asks(role));
        let probes: u64 = asks.map(|s| under_way(s.probe.timeout, s.probe.every.us())).sum();
        let period_us =
            |rate: crate::time::Rate| u64::try_from(rate.period().as_micros()).unwrap_or(u64::MAX);
        let load = self.scenario.load.of(role).map_or(0, |rate| under_way(WRITE_LIMIT, period_us(rate)));
        match role {
            // A new connection for each request.
            Role::Object => SEEDING.max(probes + load),
            Role::Gpu => 2 + probes,
            Role::Vector | Role::Feature => 2 + (probes + load).div_ceil(SHARED),
        }
    }

    /// Each copy of what is seeded: log, files, an index, and a backup of all of it.
    fn disk(&self) -> u64 {
        let data = &self.scenario.data;
        let has = |role| self.scenario.stack.roles.contains(&role);
        let of = |role, bytes: u64| if has(role) { bytes } else { 0 };
        let vectors = data.vectors.count.saturating_mul(u64::from(data.vectors.dim)).saturating_mul(4 * 4);
        let objects = data.objects.count.saturating_mul(u64::from(data.objects.size)).saturating_mul(2);
        let features = data.features.entities.saturating_mul(4 << 10);
        let copy = [of(Role::Vector, vectors), of(Role::Object, objects), of(Role::Feature, features)];
        let copy = copy.into_iter().fold(0u64, u64::saturating_add);
        RECORDS.saturating_add(copy.saturating_mul(self.topology.regions.len() as u64))
    }
}

/// Questions that are under way at once if none is answered.
fn under_way(limit: Dur, period_us: u64) -> u64 {
    limit.us().div_ceil(period_us.max(1)) + 1
}
