//! Faults compile to acts: a new fault is one variant in [`crate::scenario::Fault`] and one arm here.
//!
//! A fault is dumb data; the loop that plays it is smart. Each script carries its undo, which is written to the
//! journal before the first act. Damage to data is undone by throwing the damaged state away with the stack.

use crate::{
    act::{Act, Artifact, CutMode, Direction, LossKind},
    plan::NodeRefs,
    scenario::Fault,
    topology::{NodeId, Role},
};

/// What a fault does, and how it is undone.
#[derive(Clone, PartialEq, Debug)]
pub struct Script {
    /// Played in order when the fault strikes.
    pub inject: Vec<Act>,
    /// Played in order when it is lifted.
    pub undo: Vec<Act>,
}

impl Fault {
    /// The acts of a fault, or `None` if it names a node that does not exist (`nodes` then holds the diagnostic).
    /// `seed` chooses the bytes that damage hits.
    pub fn script(&self, nodes: &mut NodeRefs<'_>, seed: u64) -> Option<Script> {
        let script = match self {
            Fault::Kill { node } => {
                let nodes = nodes.resolve_all("kill.node", node)?;
                Script {
                    inject: each(&nodes, |node| Act::Kill { node }),
                    undo: each(&nodes, |node| Act::Start { node }),
                }
            }
            Fault::Stop { node } => {
                let nodes = nodes.resolve_all("stop.node", node)?;
                Script {
                    inject: each(&nodes, |node| Act::Stop { node }),
                    undo: each(&nodes, |node| Act::Start { node }),
                }
            }
            Fault::Pause { node } => {
                let nodes = nodes.resolve_all("pause.node", node)?;
                Script {
                    inject: each(&nodes, |node| Act::Pause { node }),
                    undo: each(&nodes, |node| Act::Resume { node }),
                }
            }
            Fault::Restart { node } => {
                let nodes = nodes.resolve_all("restart.node", node)?;
                let mut inject = each(&nodes, |node| Act::Kill { node });
                inject.extend(each(&nodes, |node| Act::Start { node }));
                Script { inject, undo: each(&nodes, |node| Act::Start { node }) }
            }
            Fault::Reload { node } => {
                let node = nodes.resolve_role("reload.node", node, Role::Vector)?;
                Script { inject: vec![Act::Reload { node }], undo: Vec::new() }
            }
            Fault::Corrupt { node, what, how, fraction } => {
                let node = nodes.resolve_with("corrupt", node, *what, *how)?;
                nodes.check_fraction("corrupt.fraction", *fraction)?;
                let damage =
                    Act::Damage { node: node.clone(), what: *what, how: *how, fraction: *fraction, seed };
                Script { inject: vec![damage], undo: vec![Act::Discard { node }] }
            }
            Fault::Cut { to, mode, direction } => {
                let nodes = nodes.resolve_all("cut.to", to)?;
                let cut = |to| Act::Cut { from: None, to, mode: *mode, direction: *direction };
                Script { inject: each(&nodes, cut), undo: each(&nodes, |to| Act::Mend { from: None, to }) }
            }
            Fault::Delay { to, by } => {
                let nodes = nodes.resolve_all("delay.to", to)?;
                Script {
                    inject: each(&nodes, |to| Act::Delay { from: None, to, by: *by }),
                    undo: each(&nodes, |to| Act::Mend { from: None, to }),
                }
            }
            Fault::Region { region, how } => {
                let region = nodes.region("region.region", region)?;
                match how {
                    LossKind::Kill => {
                        let nodes = nodes.running_in(&region);
                        Script {
                            inject: each(&nodes, |node| Act::Kill { node }),
                            undo: each(&nodes, |node| Act::Start { node }),
                        }
                    }
                    LossKind::Partition => {
                        let users = nodes.running_in(&region).into_iter().map(|to| (None, to));
                        let peers = nodes.peer_links().into_iter();
                        let touches = |(from, to): &(String, NodeId)| *from == region || to.region == region;
                        let peers = peers.filter(touches).map(|(from, to)| (Some(from), to));
                        links(users.chain(peers).collect())
                    }
                }
            }
            Fault::Split { regions } => {
                for region in regions {
                    nodes.region("split.regions", region)?;
                }
                let between = |(from, to): &(String, NodeId)| {
                    from != &to.region && regions.contains(from) && regions.contains(&to.region)
                };
                let peers = nodes.peer_links().into_iter().filter(between);
                let peers: Vec<_> = peers.map(|(from, to)| (Some(from), to)).collect();
                if peers.is_empty() {
                    return nodes.no_peers("split.regions");
                }
                links(peers)
            }
            Fault::Wipe { node } => {
                let node = nodes.resolve("wipe.node", node)?;
                Script {
                    inject: vec![Act::Kill { node: node.clone() }, Act::Wipe { node: node.clone() }],
                    undo: vec![Act::Discard { node: node.clone() }, Act::Start { node }],
                }
            }
            Fault::Intrude { node } => {
                let node = nodes.resolve_role("intrude.node", node, Role::Feature)?;
                Script {
                    inject: vec![Act::Intrude { node: node.clone() }],
                    undo: vec![Act::Discard { node }],
                }
            }
            Fault::Stall { node } => {
                let node = nodes.resolve_standby("stall.node", node)?;
                Script { inject: vec![Act::Stall { node: node.clone() }], undo: vec![Act::Unstall { node }] }
            }
            Fault::Miscompute { node } => {
                let nodes = nodes.resolve_workers("miscompute.node", node)?;
                Script {
                    inject: each(&nodes, |node| Act::Miscompute { node }),
                    undo: each(&nodes, |node| Act::Compute { node }),
                }
            }
            Fault::Limit { node, cpu, memory_mb } => {
                let all = nodes.resolve_all("limit.node", node)?;
                nodes.check_limits("limit", *cpu, *memory_mb)?;
                let limit = |node| Act::Limit { node, cpu: *cpu, memory_mb: *memory_mb };
                Script { inject: each(&all, limit), undo: each(&all, |node| Act::Unlimit { node }) }
            }
            Fault::Fill { node } => {
                let node = nodes.resolve_disk("fill.node", node)?;
                Script {
                    inject: vec![Act::Fill { node: node.clone() }],
                    undo: vec![Act::Free { node: node.clone() }, Act::Start { node }],
                }
            }
            Fault::Isolate { node } => {
                let all = nodes.resolve_all("isolate.node", node)?;
                Script {
                    inject: each(&all, |node| Act::Isolate { node }),
                    undo: each(&all, |node| Act::Attach { node }),
                }
            }
        };
        Some(script)
    }

    /// Whether only containers can suffer it: of what is no container, the harness owns neither drive nor limits.
    pub fn needs_containers(&self) -> bool {
        match self {
            Fault::Limit { .. } | Fault::Isolate { .. } | Fault::Fill { .. } => true,
            Fault::Corrupt { what: Artifact::Heap | Artifact::Drive, .. } => true,
            Fault::Corrupt { what: Artifact::Index, node, .. } => {
                node.split('/').nth(1) == Some(Role::Feature.word())
            }
            Fault::Corrupt { what: Artifact::Backup, node, .. } => {
                node.split('/').nth(1) == Some(Role::Vector.word())
            }
            _ => false,
        }
    }

    /// The word a scenario uses.
    pub fn word(&self) -> &'static str {
        match self {
            Fault::Kill { .. } => "kill",
            Fault::Stop { .. } => "stop",
            Fault::Pause { .. } => "pause",
            Fault::Restart { .. } => "restart",
            Fault::Reload { .. } => "reload",
            Fault::Corrupt { .. } => "corrupt",
            Fault::Cut { .. } => "cut",
            Fault::Delay { .. } => "delay",
            Fault::Region { .. } => "region",
            Fault::Split { .. } => "split",
            Fault::Wipe { .. } => "wipe",
            Fault::Intrude { .. } => "intrude",
            Fault::Stall { .. } => "stall",
            Fault::Miscompute { .. } => "miscompute",
            Fault::Limit { .. } => "limit",
            Fault::Fill { .. } => "fill",
            Fault::Isolate { .. } => "isolate",
        }
    }
}

fn each(nodes: &[NodeId], act: impl Fn(NodeId) -> Act) -> Vec<Act> {
    nodes.iter().cloned().map(act).collect()
}

/// Links that swallow everything.
fn links(links: Vec<(Option<String>, NodeId)>) -> Script {
    let (mode, direction) = (CutMode::Blackhole, Direction::Both);
    Script {
        inject: links.iter().cloned().map(|(from, to)| Act::Cut { from, to, mode, direction }).collect(),
        undo: links.into_iter().map(|(from, to)| Act::Mend { from, to }).collect(),
    }
}
