//! Defects planted on purpose: a validator that was never seen to fail is not validated.
//!
//! They are those of whoever restores: the tool says that all is well, and does not look.

use super::backup::Content;
use super::replace::Rules;

/// One way of being a bad restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Yesterday's state comes back: the newest entities are not there yet, and nothing is replayed.
    StaleRestore,
    /// Roles that nobody granted stay.
    KeepsRole,
}

impl Flaw {
    pub(super) fn rules(self) -> Rules {
        match self {
            Self::StaleRestore => Rules { replay: false, ..Rules::default() },
            Self::KeepsRole => Rules { keep_roles: true, ..Rules::default() },
        }
    }

    /// What is made of a backup that was verified.
    pub(super) fn spoil(self, content: &mut Content) {
        if self == Self::StaleRestore {
            let yesterday = content.rows.len() - content.rows.len() / 10;
            content.rows.truncate(yesterday);
        }
    }
}
