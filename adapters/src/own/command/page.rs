//! What a command prints: without secrets, line by line, to whoever watches and to a log of limited size.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use super::{LINE_MAX, LOG_MAX, Show, Spec};
use crate::own::secrets::Secrets;

/// Lines that are shown to whoever watches; the rest are in the log.
const SHOWN_MAX: u64 = 2_000;

/// What a command prints on one of its outputs, or on both: shown line by line, and kept up to a limit.
pub(super) struct Page<'a> {
    secrets: &'a Secrets,
    show: Option<&'a Show>,
    log: Option<File>,
    room: u64,
    shown: u64,
    /// What has not been looked through yet, of each output: a line of one may come in the middle of a line of the other.
    rest: [Vec<u8>; 2],
    pub(super) last: String,
    pub(super) printed: u64,
}

/// Which output.
#[derive(Clone, Copy)]
pub(super) enum Output {
    Out = 0,
    Err = 1,
}

impl<'a> Page<'a> {
    pub(super) fn open(spec: &Spec<'a>, show: Option<&'a Show>) -> Result<Self, String> {
        let open = |path: &PathBuf| {
            // What an earlier attempt said stays.
            let made = if path.exists() { Ok(()) } else { crate::local::private::write(path, b"") };
            made.and_then(|()| File::options().append(true).open(path))
        };
        let log =
            spec.log.as_ref().map(open).transpose().map_err(|e| format!("its log cannot be written: {e}"))?;
        let (rest, last) = (Default::default(), String::new());
        Ok(Page { secrets: spec.secrets, show, log, room: LOG_MAX, shown: 0, rest, last, printed: 0 })
    }

    pub(super) fn take(&mut self, output: Output, bytes: &[u8]) {
        let mut rest = std::mem::take(&mut self.rest[output as usize]);
        let mut piece = bytes;
        while let Some(end) = piece.iter().position(|b| *b == b'\n') {
            // Past what is kept, only the last line is of use.
            if rest.is_empty() && self.room == 0 {
                let last = piece.iter().rposition(|b| *b == b'\n').unwrap_or(end);
                let begin = piece[..last].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                self.line(&piece[begin..last]);
                piece = &piece[last + 1..];
                continue;
            }
            rest.extend_from_slice(&piece[..end]);
            self.line(&rest);
            rest.clear();
            piece = &piece[end + 1..];
        }
        rest.extend_from_slice(piece);
        // A line without end is looked through in pieces, which overlap by more than the longest secret.
        let overlap = self.secrets.longest();
        if rest.len() > LINE_MAX + overlap {
            let hidden = self.secrets.hide(&String::from_utf8_lossy(&rest));
            let mut cut = hidden.len().saturating_sub(overlap);
            while !hidden.is_char_boundary(cut) {
                cut -= 1;
            }
            self.line(&hidden.as_bytes()[..cut]);
            rest = hidden.as_bytes()[cut..].to_vec();
        }
        self.rest[output as usize] = rest;
    }

    fn line(&mut self, line: &[u8]) {
        let text = self.secrets.hide(String::from_utf8_lossy(line).trim_end_matches('\r'));
        if self.room > 0 {
            if let Some(show) = self.show.filter(|_| self.shown <= SHOWN_MAX) {
                show(if self.shown < SHOWN_MAX { &text } else { "[what follows is in the log alone]" });
                self.shown += 1;
            }
            let kept = text.len() as u64 + 1;
            let cut = if kept > self.room { "[what follows is not kept]\n" } else { "" };
            self.room = self.room.saturating_sub(kept);
            if let Some(log) = &mut self.log {
                // A log that cannot be written is no reason to end a restore.
                let _ = writeln!(log, "{text}{cut}");
            }
        }
        if !text.trim().is_empty() {
            self.last = text.chars().take(200).collect();
        }
    }

    pub(super) fn end(&mut self) {
        for output in 0..self.rest.len() {
            let rest = std::mem::take(&mut self.rest[output]);
            if !rest.is_empty() {
                self.line(&rest);
            }
        }
    }
}
