//! Which act takes back, or replaces, what another one has done.

use super::Act;
use crate::topology::NodeId;

impl Act {
    /// Whether this act ends what another one has done, or takes its place: a node that is started is no longer down, and a
    /// link that is delayed is no longer cut. A user's command may end anything.
    pub fn ends(&self, done: &Act) -> bool {
        use Act::{
            Attach, Command, Compute, Cut, Delay, Fill, Free, Isolate, Kill, Limit, Mend, Miscompute, Pause,
            Promote, Rejoin, Restart, Resume, Stall, Start, Stop, Unlimit, Unstall, Wipe,
        };
        let node = |a: &NodeId| done.node() == Some(a);
        match (self, done) {
            (Command { .. }, _) => true,
            (Start { node: n } | Restart { node: n }, Kill { .. } | Stop { .. }) => node(n),
            (Start { node: n } | Restart { node: n } | Resume { node: n }, Pause { .. }) => node(n),
            (
                Mend { from, to } | Cut { from, to, .. } | Delay { from, to, .. },
                Cut { from: was_from, to: was_to, .. } | Delay { from: was_from, to: was_to, .. },
            ) => from == was_from && to == was_to,
            (Attach { node: n }, Isolate { .. }) => node(n),
            (Unlimit { node: n } | Limit { node: n, .. }, Limit { .. }) => node(n),
            (Free { node: n } | Wipe { node: n }, Fill { .. }) => node(n),
            (
                Unstall { node: n } | Restart { node: n } | Rejoin { node: n } | Promote { node: n },
                Stall { .. },
            ) => node(n),
            (Compute { node: n }, Miscompute { .. }) => node(n),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        act::{CutMode, Direction},
        time::Dur,
        topology::Role,
    };

    fn node(role: Role) -> NodeId {
        NodeId { region: "east".into(), role, member: None }
    }

    #[test]
    fn only_what_undoes_or_replaces_it_ends_an_act() {
        let (object, feature) = (node(Role::Object), node(Role::Feature));
        let kill = |node: &NodeId| Act::Kill { node: node.clone() };
        let start = |node: &NodeId| Act::Start { node: node.clone() };
        let resume = |node: &NodeId| Act::Resume { node: node.clone() };
        let pause = |node: &NodeId| Act::Pause { node: node.clone() };
        let cut = |from: Option<&str>| Act::Cut {
            from: from.map(str::to_owned),
            to: object.clone(),
            mode: CutMode::Refuse,
            direction: Direction::Both,
        };
        let delay = |from: Option<&str>| Act::Delay {
            from: from.map(str::to_owned),
            to: object.clone(),
            by: Dur::from_millis(1),
        };
        let mend = Act::Mend { from: None, to: object.clone() };
        for (later, done, ends) in [
            (start(&object), kill(&object), true),
            (start(&feature), kill(&object), false),
            (resume(&object), kill(&object), false),
            (resume(&object), pause(&object), true),
            (kill(&object), pause(&object), false),
            (mend.clone(), cut(None), true),
            (mend.clone(), cut(Some("west")), false),
            (delay(None), cut(None), true),
            (delay(Some("west")), cut(None), false),
            (mend, kill(&object), false),
            (Act::Command { run: vec!["true".into()] }, kill(&object), true),
        ] {
            assert_eq!(later.ends(&done), ends, "{later} after {done}");
        }
    }
}
