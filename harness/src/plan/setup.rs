//! What the harness itself does to a stack beside faults and recovery: indexes and backups. The drill plays it, and
//! whoever reads a journal expects exactly this.

use super::Plan;
use crate::act::{Act, BackupKind, EngineChoice};
use crate::topology::Role;

impl Plan {
    /// Before anything breaks, in this order: step and act.
    pub(crate) fn preparations(&self) -> Vec<(String, Act)> {
        // A standby that follows has an index of its own, so that it can take over at once.
        let stack = &self.scenario.stack;
        let nodes = stack.regions.iter().flat_map(|r| self.topology.of(r, Role::Vector)).enumerate();
        let indexed = nodes.filter(|(i, _)| *i == 0 || stack.followed(Role::Vector)).map(|(i, node)| {
            let step = if i == 0 { "index".to_owned() } else { format!("index-{}", node.region) };
            (step, Act::Rebuild { node: node.clone(), engine: EngineChoice::Auto })
        });
        let full = self.scenario.backup.full.iter().filter_map(|role| {
            let node = self.topology.primary(*role)?.clone();
            Some((format!("backup-{role}"), Act::Backup { node, kind: BackupKind::Full }))
        });
        indexed.chain(full).collect()
    }

    /// Round `n` (from 1) of the backups on a schedule, in this order: step and act.
    pub(crate) fn incremental(&self, n: u64) -> Vec<(String, Act)> {
        let roles = self.scenario.backup.incremental.iter();
        let nodes = roles.filter_map(|role| self.topology.primary(*role));
        let step = |node: &crate::topology::NodeId| {
            let act = Act::Backup { node: node.clone(), kind: BackupKind::Incremental };
            (format!("backup-{}-{n}", node.role), act)
        };
        nodes.map(step).collect()
    }
}
