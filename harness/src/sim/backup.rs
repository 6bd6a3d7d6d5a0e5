//! Backups: objects of the region's object store, which the other region's may follow. A full one, and increments on
//! top of it; one damaged piece makes all that depends on it worthless.

use super::{
    Flaw,
    cells::{Cells, STRANGERS},
    node::SimNode,
};
use crate::{
    act::{Artifact, BackupKind},
    topology::Role,
};

/// The backup of one store: what the full one and all increments add up to.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    cells: Cells,
    increments: usize,
    /// A piece of it fails its checksum.
    pub(super) damaged: bool,
}

impl Archive {
    /// The next backup of a node. What was damaged stays so until the next full one.
    pub(super) fn next(
        before: Option<&Archive>,
        node: &SimNode,
        kind: BackupKind,
    ) -> Result<Archive, String> {
        let cells = node.cells.clone();
        match (kind, before) {
            (BackupKind::Full, _) => Ok(Archive { cells, increments: 0, damaged: false }),
            (BackupKind::Incremental, Some(b)) => {
                Ok(Archive { cells, increments: b.increments + 1, damaged: b.damaged })
            }
            (BackupKind::Incremental, None) => Err("there is no full backup to add to".into()),
        }
    }

    /// As a follower has it after receiving the newest piece: on top of its own copy of the others, or not at all.
    pub(super) fn received(self, own: Option<&Archive>) -> Option<Archive> {
        let damaged = if self.increments > 0 { own?.damaged } else { false };
        Some(Archive { damaged, ..self })
    }

    /// What the newest piece holds, in words.
    pub(super) fn words(&self, before: Option<&Archive>) -> String {
        match before.filter(|_| self.increments > 0) {
            Some(before) => format!("{} changes backed up", self.cells.changed_since(&before.cells)),
            None => format!("{} records backed up", self.cells.len()),
        }
    }
}

impl SimNode {
    /// The newest backup, with what is newer here on top where it is intact.
    pub(super) fn restore(&mut self, archive: Option<Archive>) -> Result<String, String> {
        let archive = archive.ok_or("there is no backup")?;
        if archive.damaged {
            return Err("backup object fails its checksum".into());
        }
        let count = archive.cells.len();
        let log_lost = self.damaged.contains(&Artifact::Log);
        let stale = match self.flaw {
            Some(Flaw::StaleRestore) => true,
            Some(Flaw::StaleFeatures) => self.role == Role::Feature,
            _ => false,
        };
        let held = self.replace(archive.cells);
        if self.flaw == Some(Flaw::KeepsRole) {
            self.cells.adopt_strangers(&held);
        }
        let strangers = held.keys(STRANGERS, u64::MAX).len();
        if !log_lost && !stale {
            self.cells.overlay(held);
        }
        let log = if log_lost { "lost" } else { "replayed" };
        let increments = archive.increments;
        Ok(format!(
            "{count} records restored ({increments} increments), log {log}, {strangers} strangers removed"
        ))
    }
}
