//! A journal of any kind of drill, read: which kind it is, its first event says.

use std::io::BufRead;

use super::Report;
use crate::{
    facts::Facts,
    journal::{Ending, JournalError, Reader},
    own,
};

/// So far into a journal stands what kind it is.
const HEAD: usize = 256;

/// The facts of a drill.
#[derive(Debug)]
pub enum Played {
    /// Faults on a stack that gameday launched.
    Drill(Box<Facts>),
    /// A restore drill on somebody's own stack.
    Restore(Box<own::Facts>),
}

impl Played {
    /// Reads a journal.
    ///
    /// # Errors
    /// If the journal cannot be read, was altered, or holds no drill.
    pub fn read(mut journal: impl BufRead) -> Result<Played, JournalError> {
        let head = journal.fill_buf()?;
        let head = &head[..head.len().min(HEAD)];
        let own = b"\"kind\":{\"restore_began\":";
        Ok(match head.windows(own.len()).any(|w| w == own) {
            true => Played::Restore(Box::new(own::Facts::of(Reader::new(journal))?)),
            false => Played::Drill(Box::new(Facts::of(Reader::new(journal))?)),
        })
    }

    /// The conclusions.
    pub fn report(&self) -> Report {
        match self {
            Played::Drill(facts) => Report::of(facts),
            Played::Restore(facts) => Report::of_restore(facts),
        }
    }

    /// How it ended; absent if the journal breaks off.
    pub fn ending(&self) -> Option<Ending> {
        match self {
            Played::Drill(facts) => facts.ending,
            Played::Restore(facts) => facts.ending,
        }
    }
}
