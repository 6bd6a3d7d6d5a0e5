//! The local world: every node a process of its own, reached over a link the harness owns.
//!
//! What is here are building blocks: each one breaks or mends one thing and answers only after the effect was
//! *observed*. None of them knows what a node is for.

mod child;
pub mod damage;
pub mod lifeline;
pub mod link;
pub mod port;
pub mod proc;
pub mod sweep;
pub mod watchdog;

use std::fmt;

/// What was seen after an act, in words for a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed(String);

impl Observed {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
