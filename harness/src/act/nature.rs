//! What kind of thing an act is: asked by everybody who treats some acts unlike others.
//!
//! The match below names every act and has no arm for the rest, so the compiler asks for a new one here. Nobody keeps a
//! list of his own, which could pass a new act on in silence.

use super::Act;

/// What an act does to the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nature {
    /// It does harm: a world that promises faults without effect must not perform it.
    Breaks,
    /// It takes back what another act has done.
    Undoes,
    /// It is work on the stack, in which users are sent where they were sent before.
    Operates,
    /// It decides who takes writes, or where users are sent: the router follows it.
    Routes,
}

impl Act {
    /// What this act does to the stack.
    pub fn nature(&self) -> Nature {
        match self {
            Act::Kill { .. }
            | Act::Stop { .. }
            | Act::Reload { .. }
            | Act::Pause { .. }
            | Act::Cut { .. }
            | Act::Delay { .. }
            | Act::Damage { .. }
            | Act::Wipe { .. }
            | Act::Intrude { .. }
            | Act::Stall { .. }
            | Act::Miscompute { .. }
            | Act::Limit { .. }
            | Act::Fill { .. }
            | Act::Isolate { .. } => Nature::Breaks,
            Act::Resume { .. }
            | Act::Mend { .. }
            | Act::Discard { .. }
            | Act::Unstall { .. }
            | Act::Compute { .. }
            | Act::Unlimit { .. }
            | Act::Free { .. }
            | Act::Attach { .. }
            | Act::Teardown => Nature::Undoes,
            Act::Start { .. }
            | Act::Restart { .. }
            | Act::Backup { .. }
            | Act::Restore { .. }
            | Act::Audit { .. }
            | Act::Rebuild { .. }
            | Act::Command { .. } => Nature::Operates,
            Act::Promote { .. } | Act::Fence { .. } | Act::Rejoin { .. } | Act::Route { .. } => {
                Nature::Routes
            }
        }
    }
}
