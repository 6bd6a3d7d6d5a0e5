//! The lines of the journal that prove a report, quoted in it, so that a reader sees them without the journal.
//!
//! Facts keep the numbers of events only; the lines themselves are fetched in a second pass, without parsing them.

use std::{
    collections::BTreeSet,
    io::{self, BufRead},
};

use super::Report;
use crate::journal::digest;

/// The most lines that a report quotes.
const LINES_MAX: usize = 400;
/// The most bytes of a line that are quoted; pages of a read-back are longer.
const BYTES_MAX: usize = 360;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cited {
    /// The event's number; in the file it is one line further, since lines count from 1.
    pub seq: u64,
    /// Its beginning.
    pub line: String,
    /// How many bytes it really has.
    pub bytes: u64,
    /// SHA-256 of all of it, without the newline.
    pub sha256: String,
}

impl Report {
    /// The events that findings and steps name, each once, as many as are quoted.
    fn evidence(&self) -> BTreeSet<u64> {
        let findings = self.findings.iter().flat_map(|f| &f.evidence);
        let steps = self.drawing.steps.iter().flat_map(|s| &s.evidence);
        let mut all = BTreeSet::new();
        for seq in findings.chain(steps) {
            if all.len() < LINES_MAX {
                all.insert(*seq);
            }
        }
        all
    }

    /// Quotes the lines that prove the report from the journal that it was made of.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn cite(&mut self, mut journal: impl BufRead) -> io::Result<()> {
        let wanted = self.evidence();
        let (mut line, mut seq) = (Vec::new(), 0);
        while seq < self.events {
            line.clear();
            // A torn last line is no event.
            if journal.read_until(b'\n', &mut line)? == 0 || line.pop_if(|b| *b == b'\n').is_none() {
                break;
            }
            if wanted.contains(&seq) {
                let text = String::from_utf8_lossy(&line);
                let cut = text.floor_char_boundary(BYTES_MAX);
                self.drawing.cited.push(Cited {
                    seq,
                    line: text[..cut].to_owned(),
                    bytes: line.len() as u64,
                    sha256: digest(&line),
                });
            }
            seq += 1;
            if seq == self.events {
                self.drawing.head = Some(digest(&line));
            }
        }
        Ok(())
    }
}
