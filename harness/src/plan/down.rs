//! Recovery steps that are sure to find their node down: a backup is restored into a store that answers, an index is
//! built by one. Told before anything is started, not minutes later.
//!
//! Only what is sure is told: where anything may have started the node by then, the drill shows it.

use super::{Cue, Trigger, check::problem};
use crate::{
    act::{Act, RestoreScope},
    diagnose::Problem,
    plan::StepKind,
    scenario::{Remedy, Scenario, WorldName},
    topology::{NodeId, Role},
};

/// Needs that every step was compiled: the n-th recovery step is the n-th cue behind the faults.
pub(super) fn check(s: &Scenario, cues: &[Cue], out: &mut Vec<Problem>) {
    for (i, step) in s.recover.iter().enumerate() {
        let (at, Some(key)) = (s.fault.len() + i, asks(s, &step.act)) else { continue };
        let Some(cue) = cues.get(at) else { continue };
        for (j, act) in cue.acts.iter().enumerate() {
            let Some(node) = act.node() else { continue };
            let own = cue.acts[..j].iter().any(|before| starts(before, node));
            if own || (0..cues.len()).any(|c| c != at && may_start(s, cues, c, at, node)) {
                continue;
            }
            let why = if s.stack.runs_at_launch(node) {
                let ends = |c: &usize| cues[*c].acts.iter().any(|act| ends(act, node));
                let Some(by) = (0..cues.len()).filter(ends).find(|c| before(cues, *c, at)) else { continue };
                format!("`{}` ends it", cues[by].name)
            } else {
                format!("the pattern `{}` does not start it at launch", s.stack.pattern)
            };
            let message = format!("`{node}` does not run then: {why}, and no step starts it before");
            let hint = format!(
                "add a step with `act = {{ restart = {{ node = \"{node}\" }} }}` and a name, and let this one come \
                 `after` it"
            );
            problem(out, format!("recover.{i}.act.{key}"), message, &hint);
        }
    }
}

/// The key that names the node of a step that can be taken only if the node answers.
fn asks(s: &Scenario, act: &Remedy) -> Option<&'static str> {
    match act {
        // These start the container themselves.
        Remedy::Restore { scope: RestoreScope::Moment, .. } => None,
        Remedy::Restore { node, .. } if s.worlds == [WorldName::Docker] && plays(node, Role::Vector) => None,
        Remedy::Restore { .. } => Some("restore.node"),
        Remedy::Rebuild { .. } => Some("rebuild.node"),
        Remedy::Audit { .. } => Some("audit.node"),
        Remedy::Promote { .. } => Some("promote.node"),
        Remedy::Rejoin { .. } => Some("rejoin.node"),
        _ => None,
    }
}

fn plays(node: &str, role: Role) -> bool {
    node.split('/').nth(1) == Some(role.word())
}

fn ends(act: &Act, node: &NodeId) -> bool {
    matches!(act, Act::Kill { node: n } | Act::Stop { node: n } if n == node)
}

/// A command may do anything.
fn starts(act: &Act, node: &NodeId) -> bool {
    matches!(act, Act::Start { node: n } | Act::Restart { node: n } if n == node)
        || matches!(act, Act::Command { .. })
}

/// Whether step `c` may have started the node by the time of step `at`.
fn may_start(s: &Scenario, cues: &[Cue], c: usize, at: usize, node: &NodeId) -> bool {
    let cue = &cues[c];
    let lifted = cue.hold.is_some() && cue.undo.iter().any(|act| starts(act, node));
    let acts = cue.acts.iter().any(|act| starts(act, node))
        // A Milvus that is restored is started by that.
        || (s.worlds == [WorldName::Docker]
            && cue.acts.iter().any(|act| matches!(act, Act::Restore { node: n, .. } if n == node)));
    (lifted || acts) && !before(cues, at, c)
}

/// Whether step `first` has surely begun before step `then` does. Needs that no step waits for itself.
fn before(cues: &[Cue], first: usize, then: usize) -> bool {
    let named = |name: &String| {
        cues.iter().position(|c| c.name == *name).is_some_and(|p| p == first || before(cues, first, p))
    };
    match (&cues[then].trigger, &cues[then].gate, &cues[first].trigger) {
        (Trigger::After(name), _, _) => named(name),
        (Trigger::Detected(_), Some(gate), _) => named(gate),
        (Trigger::At(then), _, Trigger::At(first)) => first < then,
        (Trigger::At(_), _, _) => false,
        (Trigger::Detected(roles), None, _) => {
            // The first fault on such a node opens it.
            let hits = |c: &Cue| c.acts.iter().filter_map(Act::node).any(|n| roles.contains(&n.role));
            let mut faults =
                (0..cues.len()).filter(|f| cues[*f].kind == StepKind::Fault && hits(&cues[*f])).peekable();
            faults.peek().is_some() && faults.all(|f| f == first || before(cues, first, f))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnose::load;

    const DRILL: &str = r#"
name = "down"
[stack]
regions = ["east"]
roles = ["vector", "object", "feature"]
[backup]
full = ["vector", "feature"]
[[service]]
name = "rag"
uses = ["vector", "object", "feature"]
probe = { search = { k = 10 }, get = {}, lookup = {}, every = "100ms" }
[objectives]
rto = "30s"
"#;

    /// Whether the drill with these steps is refused because the node is down.
    fn down(steps: &str) -> bool {
        match load(format!("{DRILL}{steps}").as_bytes(), &[]) {
            Ok(_) => false,
            Err(found) => {
                assert!(found.iter().all(|d| d.message.contains("does not run then")), "{found:?}");
                true
            }
        }
    }

    const KILL: &str =
        "[[fault]]\nname = \"crash\"\nat = \"2s\"\ninject = { kill = { node = \"east/feature\" } }\n";
    const RESTORE: &str = "act = { restore = { node = \"east/feature\" } }\n";

    #[test]
    fn what_is_sure_to_find_its_node_down_is_a_mistake() {
        let recover = |when: &str, act: &str| format!("[[recover]]\n{when}\n{act}");
        for when in ["when = \"detected\"", "at = \"3s\"", "after = \"crash\""] {
            assert!(down(&format!("{KILL}{}", recover(when, RESTORE))), "{when}");
        }
        assert!(down(&format!(
            "{KILL}{}{}",
            recover("name = \"first\"\nafter = \"crash\"", "act = { none = {} }\n"),
            recover("after = \"first\"", "act = { audit = { node = \"east/feature\" } }\n")
        )));
    }

    #[test]
    fn what_may_find_it_running_is_none() {
        let recover = |when: &str, act: &str| format!("[[recover]]\n{when}\n{act}");
        let restart = "act = { restart = { node = \"east/feature\" } }\n";
        let command = "act = { command = { run = [\"./start.sh\"] } }\n";
        for first in [restart, command] {
            let first = recover("name = \"first\"\nwhen = \"detected\"", first);
            assert!(!down(&format!("{KILL}{first}{}", recover("after = \"first\"", RESTORE))), "{first}");
            assert!(!down(&format!("{KILL}{first}{}", recover("at = \"9s\"", RESTORE))), "{first}");
        }
        assert!(!down(&format!("{KILL}{}", recover("at = \"1s\"", RESTORE))), "before the fault");
        let held = KILL.replace("at = \"2s\"", "at = \"2s\"\nfor = \"5s\"");
        assert!(!down(&format!("{held}{}", recover("at = \"20s\"", RESTORE))), "lifted by then");
        let other = KILL.replace("east/feature", "east/vector");
        assert!(!down(&format!("{other}{}", recover("at = \"9s\"", RESTORE))), "another node");
        let restarted = KILL.replace("kill", "restart");
        assert!(!down(&format!("{restarted}{}", recover("when = \"detected\"", RESTORE))));
    }
}
