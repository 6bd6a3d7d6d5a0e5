//! Faults compile to acts: a new fault is one variant in [`crate::scenario::Fault`] and one arm here.
//!
//! A fault is dumb data; the loop that plays it is smart. Each script carries its undo, which is written to the
//! journal before the first act. Damage to data is undone by throwing the damaged state away with the stack.

use crate::{act::Act, plan::NodeRefs, scenario::Fault};

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
                let node = nodes.resolve("kill.node", node)?;
                Script { inject: vec![Act::Kill { node: node.clone() }], undo: vec![Act::Start { node }] }
            }
            Fault::Stop { node } => {
                let node = nodes.resolve("stop.node", node)?;
                Script { inject: vec![Act::Stop { node: node.clone() }], undo: vec![Act::Start { node }] }
            }
            Fault::Pause { node } => {
                let node = nodes.resolve("pause.node", node)?;
                Script { inject: vec![Act::Pause { node: node.clone() }], undo: vec![Act::Resume { node }] }
            }
            Fault::Restart { node } => {
                let node = nodes.resolve("restart.node", node)?;
                let inject = vec![Act::Kill { node: node.clone() }, Act::Start { node: node.clone() }];
                Script { inject, undo: vec![Act::Start { node }] }
            }
            Fault::Corrupt { node, what, how, fraction } => {
                let node = nodes.resolve_with("corrupt", node, *what)?;
                nodes.check_fraction("corrupt.fraction", *fraction)?;
                let damage =
                    Act::Damage { node: node.clone(), what: *what, how: *how, fraction: *fraction, seed };
                Script { inject: vec![damage], undo: vec![Act::Discard { node }] }
            }
            Fault::Cut { to, mode, direction } => {
                let to = nodes.resolve("cut.to", to)?;
                let cut = Act::Cut { to: to.clone(), mode: *mode, direction: *direction };
                Script { inject: vec![cut], undo: vec![Act::Mend { to }] }
            }
            Fault::Delay { to, by } => {
                let to = nodes.resolve("delay.to", to)?;
                Script { inject: vec![Act::Delay { to: to.clone(), by: *by }], undo: vec![Act::Mend { to }] }
            }
        };
        Some(script)
    }

    /// The word a scenario uses.
    pub fn word(&self) -> &'static str {
        match self {
            Fault::Kill { .. } => "kill",
            Fault::Stop { .. } => "stop",
            Fault::Pause { .. } => "pause",
            Fault::Restart { .. } => "restart",
            Fault::Corrupt { .. } => "corrupt",
            Fault::Cut { .. } => "cut",
            Fault::Delay { .. } => "delay",
        }
    }
}
