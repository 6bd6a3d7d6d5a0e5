//! Defects planted on purpose: a validator that was never seen to fail is not validated.
//!
//! They are those of whoever restores: the tool says that all is well, and does not look.

use super::replace::Rules;

/// One way of being a bad restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Yesterday's values come back: nothing that is newer than the backup is replayed.
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
}
