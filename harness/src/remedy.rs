//! Recovery steps compile to acts: a new one is one variant in [`crate::scenario::Remedy`] and one arm here.
//!
//! A recovery step is the thing under test, so it has no undo of its own: what it starts goes with the stack.

use crate::{act::Act, plan::NodeRefs, scenario::Remedy, topology::Role};

impl Remedy {
    /// The acts of a step, or `None` if it names a node that does not exist (`nodes` then holds the diagnostic).
    pub fn acts(&self, nodes: &mut NodeRefs<'_>) -> Option<Vec<Act>> {
        Some(match self {
            Remedy::Restart { node } => {
                let node = nodes.resolve("restart.node", node)?;
                vec![Act::Restart { node }]
            }
            Remedy::Restore { node } => {
                let node = nodes.resolve_backed_up("restore.node", node)?;
                vec![Act::Restore { node }]
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

    /// The word a scenario uses.
    pub fn word(&self) -> &'static str {
        match self {
            Remedy::Restart { .. } => "restart",
            Remedy::Restore { .. } => "restore",
            Remedy::Rebuild { .. } => "rebuild",
            Remedy::Command { .. } => "command",
            Remedy::None {} => "none",
        }
    }
}
