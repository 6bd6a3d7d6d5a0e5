//! Backups: objects of the region's object store, which the other region's may follow. A full one, and increments on
//! top of it; one damaged piece makes all that depends on it worthless.

use super::{
    Flaw,
    cells::{Cell, Cells, STRANGERS},
    node::SimNode,
};
use crate::{
    act::{Artifact, BackupKind},
    corpus::MODELS,
    ports::Reading,
    topology::Role,
};

/// The backup of one store: what the full one and all increments add up to.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    cells: Cells,
    /// Of a feature store: the objects of registered models, as its region had them.
    pub(super) models: Vec<(u64, Cell)>,
    increments: usize,
    /// A piece of it fails its checksum.
    pub(super) damaged: bool,
}

impl Archive {
    /// The next backup of a node. What was damaged stays so until the next full one.
    pub(super) fn next(
        before: Option<&Archive>,
        node: &SimNode,
        models: Vec<(u64, Cell)>,
        kind: BackupKind,
    ) -> Result<Archive, String> {
        let cells = node.cells.clone();
        match (kind, before) {
            (BackupKind::Full, _) => Ok(Archive { cells, models, increments: 0, damaged: false }),
            (BackupKind::Incremental, Some(b)) => {
                Ok(Archive { cells, models, increments: b.increments + 1, damaged: b.damaged })
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
    /// The objects of registered models, for the backup of a feature store; what is no model any more stays out.
    pub(super) fn models(&self, role: Role) -> Vec<(u64, Cell)> {
        let keys = if role == Role::Feature { self.cells.keys(0, MODELS) } else { Vec::new() };
        let cells = keys.into_iter().filter_map(|key| Some((key, self.cells.cell(key)?)));
        cells.filter(|(_, cell)| cell.reading != Some(Reading::Corrupt)).collect()
    }

    /// Puts objects of models back where something else is there now, and answers with what it put.
    pub(super) fn put_models_right(&mut self, models: Vec<(u64, Cell)>) -> Vec<(u64, Cell)> {
        let differs = |(key, cell): &(u64, Cell)| self.cells.cell(*key).as_ref() != Some(cell);
        let wrong: Vec<(u64, Cell)> = models.into_iter().filter(differs).collect();
        for (key, cell) in &wrong {
            self.cells.put(*key, cell.clone());
        }
        wrong
    }

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
