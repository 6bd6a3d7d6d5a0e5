//! Where things are: regions, roles, nodes and links, and a model of the state that faults put them in.
//!
//! A node is a role in a region (`east/vector`); a role with replicas has members (`east/gpu/0`). Scenarios speak
//! of roles, never of products, so one scenario runs in every world. [`State`] is the model against which the law
//! "inject, then undo, restores the topology" is tested, and the state of world `sim`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::act::{Act, Artifact, CutMode, Direction};
use crate::time::Dur;

/// What a node is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Vector search: Milvus, or gameday's own vector node.
    Vector,
    /// Objects behind an S3 API: MinIO, or gameday's own object node.
    Object,
    /// The feature store and model registry.
    Feature,
    /// Workers that take jobs and answer inference requests.
    Gpu,
}

impl Role {
    /// Every role, in order.
    pub const ALL: [Role; 4] = [Role::Vector, Role::Object, Role::Feature, Role::Gpu];

    /// Whether nodes of the role hold state that other regions follow.
    pub fn replicates(self) -> bool {
        self != Role::Gpu
    }

    /// The word a scenario uses.
    pub fn word(self) -> &'static str {
        match self {
            Role::Vector => "vector",
            Role::Object => "object",
            Role::Feature => "feature",
            Role::Gpu => "gpu",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One node: a role in a region, or one member of it. Written `east/vector` or `east/gpu/0`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId {
    /// The region's name.
    pub region: String,
    /// What the node is for.
    pub role: Role,
    /// Which replica, where the role has several.
    pub member: Option<u16>,
}

impl NodeId {
    /// The only node of a role in a region.
    pub fn new(region: &str, role: Role) -> Self {
        NodeId { region: region.into(), role, member: None }
    }

    /// A name that is safe as a file or container name: `east-vector`.
    pub fn slug(&self) -> String {
        self.to_string().replace('/', "-")
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.region, self.role)?;
        self.member.map_or(Ok(()), |m| write!(f, "/{m}"))
    }
}

impl FromStr for NodeId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a node; nodes are written region/role, such as `east/vector`");
        let mut parts = text.split('/');
        let (region, role) = (parts.next().ok_or_else(wrong)?, parts.next().ok_or_else(wrong)?);
        let role = Role::ALL.into_iter().find(|r| r.word() == role).ok_or_else(wrong)?;
        let member = parts.next().map(|m| m.parse().map_err(|_| wrong())).transpose()?;
        if region.is_empty() || parts.next().is_some() {
            return Err(wrong());
        }
        Ok(NodeId { region: region.into(), role, member })
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for NodeId {
    fn schema_name() -> Cow<'static, str> {
        "NodeId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A node: region/role, such as \"east/vector\"." })
    }
}

/// The nodes of a stack. The first region is the primary.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Topology {
    /// Every node, in launch order: object stores first, since others back up to them.
    pub nodes: Vec<NodeId>,
    /// The regions, the primary first.
    pub regions: Vec<String>,
}

impl Topology {
    /// One node for each role in each region; of workers, `workers` members.
    pub fn new(regions: &[String], roles: &[Role], workers: u16) -> Self {
        let order = [Role::Object, Role::Feature, Role::Vector, Role::Gpu];
        let members = |region: &str, role: Role| -> Vec<NodeId> {
            let node = NodeId::new(region, role);
            match role {
                Role::Gpu => (0..workers).map(|m| NodeId { member: Some(m), ..node.clone() }).collect(),
                _ => vec![node],
            }
        };
        let nodes = order
            .into_iter()
            .filter(|role| roles.contains(role))
            .flat_map(|role| regions.iter().flat_map(move |region| members(region, role)))
            .collect();
        Topology { nodes, regions: regions.to_vec() }
    }

    /// The node that plays a role for users at launch: the primary region's; of workers, the first.
    pub fn primary(&self, role: Role) -> Option<&NodeId> {
        self.of(self.regions.first()?, role).next()
    }

    /// The nodes of a role in a region: several if they are workers.
    pub fn of<'a>(&'a self, region: &'a str, role: Role) -> impl Iterator<Item = &'a NodeId> {
        self.nodes.iter().filter(move |n| n.role == role && n.region == region)
    }

    /// Every node of a region, in launch order.
    pub fn in_region<'a>(&'a self, region: &'a str) -> impl Iterator<Item = &'a NodeId> {
        self.nodes.iter().filter(move |n| n.region == region)
    }

    /// Links by which a region follows a store of another one: (follower's region, store).
    pub fn peer_links(&self) -> impl Iterator<Item = (&String, &NodeId)> {
        let stores = self.nodes.iter().filter(|n| n.role.replicates());
        stores.flat_map(|n| self.regions.iter().filter(|r| **r != n.region).map(move |r| (r, n)))
    }
}

/// What a node's process is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeState {
    /// Runs.
    Running,
    /// Frozen.
    Paused,
    /// No process.
    Down,
}

/// What a link between users and a node is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkState {
    /// Passes everything at once.
    Open,
    /// Passes nothing, or only one direction.
    Cut(CutMode, Direction),
    /// Passes everything late.
    Delayed(Dur),
}

/// The state of every node and link, as the acts so far left it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// Processes.
    pub nodes: BTreeMap<NodeId, NodeState>,
    /// Links, by the node they lead to.
    pub links: BTreeMap<NodeId, LinkState>,
    /// Links by which a region follows a store, by region and store.
    pub peers: BTreeMap<(String, NodeId), LinkState>,
    /// Damaged artifacts.
    pub damaged: BTreeMap<NodeId, BTreeSet<Artifact>>,
    /// Standbys that apply nothing.
    pub stalled: BTreeSet<NodeId>,
    /// Workers that compute wrong results.
    pub wrong: BTreeSet<NodeId>,
}

impl State {
    /// Everything runs, nothing is damaged.
    pub fn healthy(topology: &Topology) -> Self {
        State {
            nodes: topology.nodes.iter().map(|n| (n.clone(), NodeState::Running)).collect(),
            links: topology.nodes.iter().map(|n| (n.clone(), LinkState::Open)).collect(),
            peers: topology.peer_links().map(|(r, n)| ((r.clone(), n.clone()), LinkState::Open)).collect(),
            damaged: BTreeMap::new(),
            stalled: BTreeSet::new(),
            wrong: BTreeSet::new(),
        }
    }

    /// What an act does to the model. Acts on a node that is not there, and acts that make no sense in the
    /// present state (pausing what is down), change nothing.
    pub fn apply(&mut self, act: &Act) {
        use NodeState::{Down, Paused, Running};
        let mut node = |id: &NodeId, change: fn(NodeState) -> NodeState| {
            if let Some(state) = self.nodes.get_mut(id) {
                *state = change(*state);
            }
        };
        match act {
            Act::Kill { node: id } | Act::Stop { node: id } => node(id, |_| Down),
            Act::Start { node: id } => node(id, |s| if s == Down { Running } else { s }),
            Act::Restart { node: id } => node(id, |_| Running),
            Act::Pause { node: id } => node(id, |s| if s == Running { Paused } else { s }),
            Act::Resume { node: id } => node(id, |s| if s == Paused { Running } else { s }),
            Act::Cut { from, to, mode, direction } => {
                self.set_link(from, to, LinkState::Cut(*mode, *direction));
            }
            Act::Delay { from, to, by } => self.set_link(from, to, LinkState::Delayed(*by)),
            Act::Mend { from, to } => self.set_link(from, to, LinkState::Open),
            Act::Damage { node, what, .. } => {
                self.damaged.entry(node.clone()).or_default().insert(*what);
            }
            Act::Discard { node } => {
                self.damaged.remove(node);
            }
            Act::Wipe { node: id } => node(id, |_| Down),
            Act::Intrude { node } => {
                self.damaged.entry(node.clone()).or_default().insert(Artifact::Roles);
            }
            Act::Stall { node } => drop(self.stalled.insert(node.clone())),
            Act::Unstall { node } => drop(self.stalled.remove(node)),
            Act::Miscompute { node } => drop(self.wrong.insert(node.clone())),
            Act::Compute { node } => drop(self.wrong.remove(node)),
            Act::Rebuild { node, .. } => self.mend_artifact(node, Some(Artifact::Index)),
            Act::Restore { node, .. } | Act::Rejoin { node } => self.mend_artifact(node, None),
            Act::Limit { .. }
            | Act::Unlimit { .. }
            | Act::Fill { .. }
            | Act::Free { .. }
            | Act::Isolate { .. }
            | Act::Attach { .. }
            | Act::Backup { .. }
            | Act::Reload { .. }
            | Act::Audit { .. }
            | Act::Promote { .. }
            | Act::Fence { .. }
            | Act::Route { .. }
            | Act::Command { .. }
            | Act::Teardown => {}
        }
    }

    fn set_link(&mut self, from: &Option<String>, to: &NodeId, state: LinkState) {
        let link = match from {
            Some(region) => self.peers.get_mut(&(region.clone(), to.clone())),
            None => self.links.get_mut(to),
        };
        if let Some(link) = link {
            *link = state;
        }
    }

    fn mend_artifact(&mut self, node: &NodeId, what: Option<Artifact>) {
        if let Some(damaged) = self.damaged.get_mut(node) {
            damaged.retain(|a| what.is_some_and(|w| w != *a));
        }
        self.damaged.retain(|_, d| !d.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_read_as_written() {
        for text in ["east/vector", "west/gpu/3"] {
            assert_eq!(text.parse::<NodeId>().unwrap().to_string(), text);
        }
        for wrong in ["", "east", "/vector", "east/vectr", "east/gpu/x", "east/gpu/0/1"] {
            assert!(wrong.parse::<NodeId>().is_err(), "{wrong}");
        }
    }
}
