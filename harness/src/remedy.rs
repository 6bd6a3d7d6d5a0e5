//! Recovery steps compile to acts: a new one is one variant in [`crate::scenario::Remedy`] and one arm here.
//!
//! A recovery step is the thing under test, so it has no undo of its own: what it starts goes with the stack.

use crate::{
    act::{Act, RestoreScope},
    plan::NodeRefs,
    scenario::{Pattern, Priority, Remedy, Service},
    topology::{NodeId, Role},
};

impl Remedy {
    /// The acts of a step, or `None` if it names a node that does not exist (`nodes` then holds the diagnostic).
    pub fn acts(&self, nodes: &mut NodeRefs<'_>) -> Option<Vec<Act>> {
        Some(match self {
            Remedy::Restart { node } => {
                let nodes = nodes.resolve_all("restart.node", node)?;
                nodes.into_iter().map(|node| Act::Restart { node }).collect()
            }
            Remedy::Restore { node, scope, model } => {
                let node = nodes.resolve_backed_up("restore.node", node)?;
                if model.is_some() && node.role != Role::Feature {
                    return nodes.no_models("restore.model", &node);
                }
                if *scope == RestoreScope::Moment && !nodes.knows_moments("restore.scope", &node) {
                    return None;
                }
                vec![Act::Restore { node, scope: *scope, model: *model }]
            }
            Remedy::Failover { to, priority, fence } => failover(nodes, to, *priority, *fence)?,
            Remedy::Promote { node } => {
                let node = nodes.resolve("promote.node", node)?;
                vec![Act::Promote { node }]
            }
            Remedy::Fence { node } => {
                let node = nodes.resolve("fence.node", node)?;
                vec![Act::Fence { node }]
            }
            Remedy::Rejoin { node } => {
                let node = nodes.resolve("rejoin.node", node)?;
                vec![Act::Rejoin { node }]
            }
            Remedy::Route { service, to } => {
                let to = nodes.region("route.to", to)?;
                let service = nodes.service("route.service", service)?.name.clone();
                vec![Act::Route { service, to }]
            }
            Remedy::Audit { node } => {
                let node = nodes.resolve_role("audit.node", node, Role::Feature)?;
                vec![Act::Audit { node }]
            }
            Remedy::Rebuild { node, engine } => {
                let node = nodes.resolve_role("rebuild.node", node, Role::Vector)?;
                vec![Act::Rebuild { node, engine: *engine }]
            }
            Remedy::Command { run } => {
                nodes.check_command("command.run", run)?;
                vec![Act::Command { run: run.clone() }]
            }
            Remedy::None {} => Vec::new(),
        })
    }

    /// Whether only containers can be mended like this: a Milvus has metadata apart from its objects, a PostgreSQL a log.
    pub fn needs_containers(&self) -> bool {
        matches!(self, Remedy::Restore { scope: RestoreScope::Moment, .. })
    }

    /// The word a scenario uses.
    pub fn word(&self) -> &'static str {
        match self {
            Remedy::Restart { .. } => "restart",
            Remedy::Restore { .. } => "restore",
            Remedy::Rebuild { .. } => "rebuild",
            Remedy::Failover { .. } => "failover",
            Remedy::Promote { .. } => "promote",
            Remedy::Fence { .. } => "fence",
            Remedy::Rejoin { .. } => "rejoin",
            Remedy::Route { .. } => "route",
            Remedy::Audit { .. } => "audit",
            Remedy::Command { .. } => "command",
            Remedy::None {} => "none",
        }
    }
}

/// The stores that the services need, each: fence the old node, bring the new one up to date where nothing does so by
/// itself, promote it. Then the services' users are sent there. What has moved already is left as it is by the worlds.
fn failover(nodes: &mut NodeRefs<'_>, to: &str, priority: Option<Priority>, fence: bool) -> Option<Vec<Act>> {
    let to = nodes.region("failover.to", to)?;
    let pattern = nodes.scenario().stack.pattern;
    let moves = |s: &&Service| priority.is_none_or(|p| s.priority == p);
    let services: Vec<Service> = nodes.scenario().service.iter().filter(moves).cloned().collect();
    if services.is_empty() {
        return nodes.nobody("failover.priority");
    }
    let mut acts = Vec::new();
    for role in [Role::Object, Role::Feature, Role::Vector, Role::Gpu] {
        if !services.iter().any(|s| s.uses.contains(&role)) {
            continue;
        }
        let (old, new) = nodes.sides(role, &to);
        if fence && role.replicates() {
            acts.extend(old.into_iter().map(|node| Act::Fence { node }));
        }
        for node in &new {
            acts.extend(awaken(pattern, node));
        }
        acts.extend(new.into_iter().take(1).map(|node| Act::Promote { node }));
    }
    acts.extend(services.into_iter().map(|s| Act::Route { service: s.name, to: to.clone() }));
    Some(acts)
}

/// What a standby needs before it can take over.
fn awaken(pattern: Pattern, node: &NodeId) -> Vec<Act> {
    let restores = matches!(node.role, Role::Vector | Role::Feature);
    let start = Act::Start { node: node.clone() };
    let restore = Act::Restore { node: node.clone(), scope: RestoreScope::Full, model: None };
    match pattern {
        Pattern::ColdStandby if restores => vec![start, restore],
        Pattern::ColdStandby => vec![start],
        Pattern::WarmStandby if restores => vec![restore],
        _ => Vec::new(),
    }
}
