//! What a command prints: without secrets, line by line, to whoever watches and to a log of limited size.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use super::{LINE_MAX, LOG_MAX, Show, Spec};
use crate::own::secrets::Secrets;

/// What a command prints: shown line by line, and kept up to a limit.
pub(super) struct Page<'a> {
    secrets: &'a Secrets,
    show: Option<&'a Show>,
    log: Option<File>,
    room: u64,
    /// What has not been looked through yet.
    rest: Vec<u8>,
    pub(super) last: String,
    pub(super) printed: u64,
}

impl<'a> Page<'a> {
    pub(super) fn open(spec: &Spec<'a>, show: Option<&'a Show>) -> Result<Self, String> {
        let open = |path: &PathBuf| {
            crate::local::private::write(path, b"").and_then(|()| File::options().append(true).open(path))
        };
        let log =
            spec.log.as_ref().map(open).transpose().map_err(|e| format!("its log cannot be written: {e}"))?;
        let (rest, last) = (Vec::new(), String::new());
        Ok(Page { secrets: spec.secrets, show, log, room: LOG_MAX, rest, last, printed: 0 })
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.line(&line[..end]);
        }
        // A line without end is looked through in pieces, which overlap by more than the longest secret.
        let overlap = self.secrets.longest();
        if self.rest.len() > LINE_MAX + overlap {
            let hidden = self.secrets.hide(&String::from_utf8_lossy(&self.rest));
            let mut cut = hidden.len().saturating_sub(overlap);
            while !hidden.is_char_boundary(cut) {
                cut -= 1;
            }
            self.line(&hidden.as_bytes()[..cut]);
            self.rest = hidden.as_bytes()[cut..].to_vec();
        }
    }

    fn line(&mut self, line: &[u8]) {
        let text = self.secrets.hide(String::from_utf8_lossy(line).trim_end_matches('\r'));
        if self.room > 0 {
            if let Some(show) = self.show {
                show(&text);
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
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            self.line(&rest);
        }
    }
}
