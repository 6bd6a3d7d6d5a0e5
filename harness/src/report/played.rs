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
    /// A fault drill on somebody's own stack.
    Fault(Box<own::fault::Facts>),
}

impl Played {
    /// Reads a journal.
    ///
    /// # Errors
    /// If the journal cannot be read, was altered, or holds no drill.
    pub fn read(mut journal: impl BufRead) -> Result<Played, JournalError> {
        let head = journal.fill_buf()?;
        let (restore, fault) = (Played::begins(head, "restore_began"), Played::begins(head, "fault_began"));
        Ok(match (restore, fault) {
            (true, _) => Played::Restore(Box::new(own::Facts::of(Reader::new(journal))?)),
            (_, true) => Played::Fault(Box::new(own::fault::Facts::of(Reader::new(journal))?)),
            _ => Played::Drill(Box::new(Facts::of(Reader::new(journal))?)),
        })
    }

    /// Whether a journal that begins with these bytes begins with an event of this name.
    pub fn begins(head: &[u8], event: &str) -> bool {
        let first = format!("\"kind\":{{\"{event}\":");
        head[..head.len().min(HEAD)].windows(first.len()).any(|w| w == first.as_bytes())
    }

    /// The conclusions.
    pub fn report(&self) -> Report {
        match self {
            Played::Drill(facts) => Report::of(facts),
            Played::Restore(facts) => Report::of_restore(facts),
            Played::Fault(facts) => Report::of_fault(facts),
        }
    }

    /// How it ended; absent if the journal breaks off.
    pub fn ending(&self) -> Option<Ending> {
        match self {
            Played::Drill(facts) => facts.ending,
            Played::Restore(facts) => facts.ending,
            Played::Fault(facts) => facts.ending,
        }
    }
}
