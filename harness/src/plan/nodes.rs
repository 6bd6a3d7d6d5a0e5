//! Resolving the names in faults and recovery steps, with a diagnostic for each that is wrong.

use crate::{
    act::{Artifact, Damage},
    diagnose::{Problem, closest},
    scenario::{Scenario, Service},
    topology::{NodeId, Role, Topology},
};

/// Resolves node names relative to one step of the scenario, and collects what is wrong with them.
#[derive(Debug)]
pub struct NodeRefs<'a> {
    topology: &'a Topology,
    scenario: &'a Scenario,
    path: String,
    problems: &'a mut Vec<Problem>,
}

impl<'a> NodeRefs<'a> {
    /// For the step at `path`.
    pub fn new(
        topology: &'a Topology,
        scenario: &'a Scenario,
        path: String,
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        NodeRefs { topology, scenario, path, problems }
    }

    /// The scenario that is compiled.
    pub fn scenario(&self) -> &'a Scenario {
        self.scenario
    }

    /// The nodes of that name: one, or every member of a role with several.
    pub fn resolve_all(&mut self, key: &str, name: &str) -> Option<Vec<NodeId>> {
        let whole =
            |n: &&NodeId| n.member.is_some() && NodeId { member: None, ..(*n).clone() }.to_string() == name;
        let members: Vec<NodeId> = self.topology.nodes.iter().filter(whole).cloned().collect();
        if members.is_empty() { self.resolve(key, name).map(|n| vec![n]) } else { Some(members) }
    }

    /// Workers of that name.
    pub fn resolve_workers(&mut self, key: &str, name: &str) -> Option<Vec<NodeId>> {
        let nodes = self.resolve_all(key, name)?;
        if nodes.iter().all(|n| n.role == Role::Gpu) {
            return Some(nodes);
        }
        self.problem(key, format!("`{name}` is no gpu node"), "only gpu nodes compute".into())
    }

    /// The node of that name, which must follow another one.
    pub fn resolve_standby(&mut self, key: &str, name: &str) -> Option<NodeId> {
        let node = self.resolve(key, name)?;
        let follows = self.scenario.stack.replication().is_some() && node.role.replicates();
        if follows && self.topology.regions.first() != Some(&node.region) {
            return Some(node);
        }
        let hint =
            "name a store of the second region of a stack with the pattern `hot-standby` or `active-active`";
        self.problem(key, format!("`{name}` follows nobody"), hint.into())
    }

    /// The region of that name.
    pub fn region(&mut self, key: &str, name: &str) -> Option<String> {
        if self.topology.regions.iter().any(|r| r == name) {
            return Some(name.to_owned());
        }
        let near = closest(name, &self.topology.regions);
        let near = near.map(|n| format!("did you mean `{n}`? ")).unwrap_or_default();
        let hint = format!("{near}regions of this stack: {}", self.topology.regions.join(", "));
        self.problem(key, format!("unknown region `{name}`"), hint)
    }

    /// The service of that name.
    pub fn service(&mut self, key: &str, name: &str) -> Option<&'a Service> {
        if let Some(service) = self.scenario.service.iter().find(|s| s.name == name) {
            return Some(service);
        }
        let names: Vec<String> = self.scenario.service.iter().map(|s| s.name.clone()).collect();
        let near = closest(name, &names).map(|n| format!("did you mean `{n}`? ")).unwrap_or_default();
        let hint = format!("{near}services of this scenario: {}", names.join(", "));
        self.problem(key, format!("unknown service `{name}`"), hint)
    }

    /// Every node of a region that runs from the start. The standby of a cold pattern has only its object store.
    pub fn running_in(&self, region: &str) -> Vec<NodeId> {
        let cold = |n: &NodeId| !self.scenario.stack.runs_at_launch(n);
        self.topology.in_region(region).filter(|n| !cold(n)).cloned().collect()
    }

    /// Links by which a region follows a store of another one, where the pattern has them.
    pub fn peer_links(&self) -> Vec<(String, NodeId)> {
        let stack = &self.scenario.stack;
        let used = |(_, node): &(&String, &NodeId)| stack.followed(node.role);
        self.topology.peer_links().filter(used).map(|(r, n)| (r.clone(), n.clone())).collect()
    }

    /// No region follows another one.
    pub fn no_peers<T>(&mut self, key: &str) -> Option<T> {
        let hint = "give the stack the pattern `hot-standby` or `active-active`";
        self.problem(key, "no region follows another one".into(), hint.into())
    }

    /// No service is concerned.
    pub fn nobody<T>(&mut self, key: &str) -> Option<T> {
        self.problem(key, "no service has this priority".into(), "name a priority that a service has".into())
    }

    /// The nodes of a role outside a region, and those in it.
    pub fn sides(&self, role: Role, region: &str) -> (Vec<NodeId>, Vec<NodeId>) {
        self.topology.nodes.iter().filter(|n| n.role == role).cloned().partition(|n| n.region != region)
    }

    /// The node of that name.
    pub fn resolve(&mut self, key: &str, name: &str) -> Option<NodeId> {
        if let Some(node) = self.topology.nodes.iter().find(|n| n.to_string() == name) {
            return Some(node.clone());
        }
        let names: Vec<String> = self.topology.nodes.iter().map(ToString::to_string).collect();
        let mut hint = format!("nodes of this stack: {}", names.join(", "));
        // The role alone is enough where only one region has it.
        let mut of_role = names.iter().filter(|n| n.split('/').nth(1) == Some(name));
        let only = of_role.next().filter(|_| of_role.next().is_none());
        if let Some(near) = closest(name, &names).or(only.map(String::as_str)) {
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
        let node = self.resolve(key, name)?;
        if !matches!(node.role, Role::Vector | Role::Feature) {
            let hint = "vector and feature nodes can be restored".into();
            return self.problem(key, format!("`{name}` cannot be restored from a backup"), hint);
        }
        if self.scenario.backup.full.contains(&node.role) {
            return Some(node);
        }
        let hint =
            format!("add `[backup]` with `full = [\"{}\"]`, so that there is a backup to restore", node.role);
        self.problem(key, format!("`{name}` is never backed up"), hint)
    }

    /// A model's version was asked of a store that no model depends on.
    pub fn no_models<T>(&mut self, key: &str, node: &NodeId) -> Option<T> {
        let hint = "leave it out: models work with definitions of features".into();
        self.problem(key, format!("a {} node has no models' versions", node.role), hint)
    }

    /// Whether backups of a node know moments to go back to; a diagnostic says why they don't.
    pub fn knows_moments(&mut self, key: &str, node: &NodeId) -> bool {
        if node.role != Role::Feature || self.scenario.backup.incremental.contains(&node.role) {
            return true;
        }
        let hint = "add `feature` to `backup.incremental`: each ships the log up to one moment".into();
        self.problem::<()>(key, "a feature node without its log goes back to no moment".into(), hint);
        false
    }

    /// The node of that name, which must have a disk of its own that can be small.
    pub fn resolve_disk(&mut self, key: &str, name: &str) -> Option<NodeId> {
        let node = self.resolve(key, name)?;
        if matches!(node.role, Role::Object | Role::Feature) {
            return Some(node);
        }
        let hint = "disks of object and feature nodes can be filled".into();
        self.problem(key, format!("the disk of `{name}` cannot be filled"), hint)
    }

    /// The node of that name, which must store such things and let them be damaged in this way. `word` is the
    /// fault's key.
    pub fn resolve_with(&mut self, word: &str, name: &str, what: Artifact, how: Damage) -> Option<NodeId> {
        let node = self.resolve(&format!("{word}.node"), name)?;
        let (fits, has): (bool, &str) = match node.role {
            Role::Vector => (
                matches!(
                    what,
                    Artifact::Index
                        | Artifact::Segment
                        | Artifact::Log
                        | Artifact::Manifest
                        | Artifact::Backup
                ),
                "index, segment, log, manifest, backup",
            ),
            Role::Object => (
                matches!(what, Artifact::Object | Artifact::Backup | Artifact::Model | Artifact::Drive),
                "object, backup, model, drive",
            ),
            Role::Feature => (
                matches!(what, Artifact::Values | Artifact::Definitions | Artifact::Heap | Artifact::Index),
                "values, definitions, heap, index",
            ),
            Role::Gpu => (false, "nothing"),
        };
        if !fits {
            let hint = format!("a {} node stores: {has}", node.role);
            return self.problem(&format!("{word}.what"), format!("`{name}` stores no {what}"), hint);
        }
        let (possible, ways): (bool, &str) = match what {
            Artifact::Values => (
                matches!(how, Damage::Shift | Damage::Forge | Damage::Swap | Damage::Delete),
                "shift, forge, swap, delete",
            ),
            Artifact::Definitions => (matches!(how, Damage::Shift | Damage::Delete), "shift, delete"),
            Artifact::Model => (how == Damage::Swap, "swap"),
            // The metadata in it is swapped for older one.
            Artifact::Backup if node.role == Role::Vector => (how == Damage::Swap, "swap"),
            Artifact::Heap | Artifact::Drive => (how == Damage::Flip, "flip"),
            Artifact::Index if node.role == Role::Feature => (how == Damage::Flip, "flip"),
            Artifact::Index => (
                !matches!(how, Damage::Shift | Damage::Forge),
                "flip, truncate, zero, delete, swap, other_kind",
            ),
            _ => (
                !matches!(how, Damage::Shift | Damage::Forge | Damage::OtherKind),
                "flip, truncate, zero, delete, swap",
            ),
        };
        if !possible {
            let hint = format!("how: {ways}");
            return self.problem(&format!("{word}.how"), format!("no {how} of {what}"), hint);
        }
        Some(node)
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

    /// What a node is limited to.
    pub fn check_limits(&mut self, key: &str, cpu: Option<f64>, memory_mb: Option<u32>) -> Option<()> {
        if cpu.is_none() && memory_mb.is_none() {
            return self.problem(key, "nothing is limited".into(), "give `cpu` or `memory_mb`".into());
        }
        if cpu.is_some_and(|cpu| !(0.01..=64.0).contains(&cpu)) {
            return self.problem(&format!("{key}.cpu"), "no such limit".into(), "0.01 <= cpu <= 64".into());
        }
        if memory_mb.is_some_and(|mb| mb < 16) {
            let hint = "memory_mb >= 16".into();
            return self.problem(&format!("{key}.memory_mb"), "no process fits in there".into(), hint);
        }
        Some(())
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
