//! Reading a journal, a line at a time, so that a million events need no memory.

use std::{
    io::{self, BufRead},
    marker::PhantomData,
};

use thiserror::Error;

use super::{Event, EventKind, Kind, digest};

/// The longest line that is read: a page of a read-back or of answers is far below it.
const LINE_MAX: usize = 16 << 20;

/// Why a journal cannot be trusted.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The disk failed.
    #[error("the journal cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line in the middle is not an event.
    #[error("line {line} of the journal is not an event: {why}")]
    Garbled {
        /// Counted from 1.
        line: u64,
        /// What the parser said.
        why: String,
    },
    /// A line was changed, dropped or inserted.
    #[error("line {line} of the journal does not follow from the line before it: the journal was altered")]
    Broken {
        /// Counted from 1.
        line: u64,
    },
    /// Something stands after the end of a drill.
    #[error("line {line} of the journal stands after the end of the drill")]
    Trailing {
        /// Counted from 1.
        line: u64,
    },
    /// There is no drill in it.
    #[error("the journal holds no drill: its first event is missing or of another format")]
    Empty,
}

/// An iterator over the events of a journal. It checks the chain as it goes, and ends at a torn last line.
#[derive(Debug)]
pub struct Reader<R, K = EventKind> {
    input: R,
    line: Vec<u8>,
    prev: String,
    count: u64,
    /// The drill has ended: nothing follows.
    closed: bool,
    done: bool,
    kind: PhantomData<fn() -> K>,
}

impl<R: BufRead, K: Kind> Reader<R, K> {
    /// Reads from the start.
    pub fn new(input: R) -> Self {
        let (line, prev) = (Vec::new(), String::new());
        Reader { input, line, prev, count: 0, closed: false, done: false, kind: PhantomData }
    }

    fn step(&mut self) -> Result<Option<Event<K>>, JournalError> {
        self.line.clear();
        let read = io::Read::take(&mut self.input, LINE_MAX as u64).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if self.closed {
            return Err(JournalError::Trailing { line: self.count + 1 });
        }
        if self.line.pop_if(|b| *b == b'\n').is_none() {
            if read == LINE_MAX {
                let why = format!("it is longer than {LINE_MAX} bytes");
                return Err(JournalError::Garbled { line: self.count + 1, why });
            }
            // Torn: the harness died while it wrote this line, so the line was never acted upon.
            return Ok(None);
        }
        self.count += 1;
        let event: Event<K> = serde_json::from_slice(&self.line)
            .map_err(|e| JournalError::Garbled { line: self.count, why: e.to_string() })?;
        if event.seq.checked_add(1) != Some(self.count) || event.prev != self.prev {
            return Err(JournalError::Broken { line: self.count });
        }
        self.prev = digest(&self.line);
        self.closed = event.kind.closes();
        Ok(Some(event))
    }
}

impl<R: BufRead, K: Kind> Iterator for Reader<R, K> {
    type Item = Result<Event<K>, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step().transpose();
        self.done = !matches!(step, Some(Ok(_)));
        step
    }
}
