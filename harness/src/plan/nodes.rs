//! Resolving the names in faults and recovery steps, with a diagnostic for each that is wrong.

use crate::{
    act::Artifact,
    diagnose::{Problem, closest},
    topology::{NodeId, Role, Topology},
};

/// Resolves node names relative to one step of the scenario, and collects what is wrong with them.
#[derive(Debug)]
pub struct NodeRefs<'a> {
    topology: &'a Topology,
    backed_up: &'a [Role],
    path: String,
    problems: &'a mut Vec<Problem>,
}

impl<'a> NodeRefs<'a> {
    /// For the step at `path`.
    pub fn new(
        topology: &'a Topology,
        backed_up: &'a [Role],
        path: String,
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        NodeRefs { topology, backed_up, path, problems }
    }

    /// The node of that name.
    pub fn resolve(&mut self, key: &str, name: &str) -> Option<NodeId> {
        if let Some(node) = self.topology.nodes.iter().find(|n| n.to_string() == name) {
            return Some(node.clone());
        }
        let names: Vec<String> = self.topology.nodes.iter().map(ToString::to_string).collect();
        let mut hint = format!("nodes of this stack: {}", names.join(", "));
        if let Some(near) = closest(name, &names) {
            hint = format!("did you mean `{near}`? {hint}");
        }
        self.problem(key, format!("unknown node `{name}`"), hint)
    }

    /// The node of that name, which must play that role.
    pub fn resolve_role(&mut self, key: &str, name: &str, role: Role) -> Option<NodeId> {
        let node = self.resolve(key, name)?;
        if node.role == role {
            return Some(node);
        }
        self.problem(key, format!("`{name}` is no {role} node"), format!("only {role} nodes can do this"))
    }

    /// The node of that name, which must be backed up.
    pub fn resolve_backed_up(&mut self, key: &str, name: &str) -> Option<NodeId> {
        let node = self.resolve_role(key, name, Role::Vector)?;
        if self.backed_up.contains(&node.role) {
            return Some(node);
        }
        let hint =
            format!("add `[backup]` with `full = [\"{}\"]`, so that there is a backup to restore", node.role);
        self.problem(key, format!("`{name}` is never backed up"), hint)
    }

    /// The node of that name, which must store such files. `word` is the fault's key.
    pub fn resolve_with(&mut self, word: &str, name: &str, what: Artifact) -> Option<NodeId> {
        let node = self.resolve(&format!("{word}.node"), name)?;
        let (fits, has): (bool, &str) = match node.role {
            Role::Vector => (what != Artifact::Object, "index, segment, log, manifest"),
            Role::Object => (what == Artifact::Object, "object"),
            Role::Feature | Role::Gpu => (false, "nothing that can be damaged yet"),
        };
        if fits {
            return Some(node);
        }
        let hint = format!("a {} node stores: {has}", node.role);
        self.problem(&format!("{word}.what"), format!("`{name}` stores no {what}"), hint)
    }

    /// A share of a file.
    pub fn check_fraction(&mut self, key: &str, fraction: f64) -> Option<()> {
        if fraction > 0.0 && fraction <= 1.0 {
            return Some(());
        }
        self.problem(
            key,
            format!("a fraction of {fraction} damages nothing sensible"),
            "0 < fraction <= 1".into(),
        )
    }

    /// A command line.
    pub fn check_command(&mut self, key: &str, run: &[String]) -> Option<()> {
        if run.first().is_some_and(|program| !program.trim().is_empty()) {
            return Some(());
        }
        let hint = "give the program and its arguments: run = [\"./restore.sh\", \"east\"]".into();
        self.problem(key, "no command is given".into(), hint)
    }

    fn problem<T>(&mut self, key: &str, message: String, hint: String) -> Option<T> {
        self.problems.push(Problem { path: format!("{}.{key}", self.path), message, hint: Some(hint) });
        None
    }
}
