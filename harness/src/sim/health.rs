//! What the router is told about the health of a region: how much of each part works and is reached by users.

use super::world::World;
use crate::{
    router::Health,
    topology::{LinkState, NodeId, Role},
};

impl World {
    /// The health of a region at this moment.
    pub(super) fn health(&self, region: &str) -> Health {
        let of = |roles: &'static [Role]| {
            self.nodes.keys().filter(move |id| id.region == region && roles.contains(&id.role))
        };
        let reached = |id: &NodeId| !matches!(self.state.links.get(id), Some(LinkState::Cut(..)));
        let works =
            |id: &NodeId| self.nodes.get(id).filter(|_| reached(id)).map_or(0.0, |node| node.health());
        Health {
            databases: mean(of(&[Role::Vector, Role::Object]).map(works)),
            ml_platform: mean(of(&[Role::Gpu]).map(works)),
            network: mean(of(&Role::ALL).map(|id| f64::from(u8::from(reached(id))))),
            feature_store: mean(of(&[Role::Feature]).map(works)),
        }
    }
}

/// `None` of nothing.
fn mean(parts: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = parts.fold((0.0, 0u32), |(sum, count), part| (sum + part, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
