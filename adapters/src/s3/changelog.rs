//! The change log: a write of the store is acknowledged once the frame that holds its change was synced.
//!
//! # Layout
//!
//! ```text
//! 0   magic "GDCHG01\n" | timeline: u64 | crc32 of these 16 bytes | 4 zero bytes
//! 32  tip: lsn: u64 | length: u64 | crc32 of these 16 bytes | 12 zero bytes
//! 64  frames: length: u32 | first lsn: u64 | crc32 of the body | crc32 of these 16 bytes | body
//! ```
//!
//! One frame is one group of changes, its body `postcard`. Log sequence numbers are not stored but counted: each
//! change takes as many as it has parts.
//!
//! # Torn or damaged?
//!
//! A crash while appending leaves a prefix of the one frame being written, and nothing of it was acknowledged. So a
//! tail is torn, and dropped, only if it is shorter than its intact header says (or shorter than a header).
//! Everything else is damage, and the store does not open: a frame of full length with a wrong checksum, a gap in
//! the lsns, a log that ends before its tip. The tip is rewritten, unsynced, after every sync; a loss of power may
//! set it back, never forward.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::change::{Name, Version};

const MAGIC: &[u8; 8] = b"GDCHG01\n";
const HEADER: usize = 64;
const TIP_AT: usize = 32;
const FRAME_HEADER: usize = 20;

/// One change, as it is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Logged {
    pub(super) name: Name,
    pub(super) version: Version,
    /// The staged file that holds an object's bytes until it is moved into place.
    pub(super) staged: u64,
}

/// What a log's bytes say once they are verified.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) timeline: u64,
    pub(super) last: u64,
    /// With the last lsn of each.
    pub(super) changes: Vec<(u64, Logged)>,
    /// Length without a torn tail.
    len: usize,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Verifies a log and reads its changes.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, String> {
    let head = bytes.get(..HEADER).ok_or("it is shorter than its header")?;
    let sound = |at: usize, len: usize| u32_at(head, at + len) == Some(crc32fast::hash(&head[at..at + len]));
    let padding = head[20..TIP_AT].iter().chain(&head[TIP_AT + 20..]).all(|byte| *byte == 0);
    if !head.starts_with(MAGIC) || !sound(0, 16) || !sound(TIP_AT, 16) || !padding {
        return Err("its header fails its checksum".into());
    }
    let field = |at| u64_at(head, at).unwrap_or_default();
    let (timeline, tip) = (field(8), (field(TIP_AT), field(TIP_AT + 8)));
    let mut log = Contents { timeline, last: 0, changes: Vec::new(), len: HEADER };
    while let Some(rest) = bytes.get(log.len..).filter(|rest| !rest.is_empty()) {
        let at = log.len;
        match frame(rest, log.last).map_err(|why| format!("{why} at byte {at}"))? {
            None => break,
            Some((len, changes)) => {
                log.len += len;
                for change in changes {
                    log.last += change.version.state.parts();
                    log.changes.push((log.last, change));
                }
            }
        }
    }
    if log.last < tip.0 || (log.len as u64) < tip.1 {
        return Err(format!("it ends at change {}, but change {} was acknowledged", log.last, tip.0));
    }
    Ok(log)
}

/// The frame `bytes` begin with, or `None` if it was torn.
fn frame(bytes: &[u8], last: u64) -> Result<Option<(usize, Vec<Logged>)>, &'static str> {
    let Some((head, rest)) = bytes.split_at_checked(FRAME_HEADER) else { return Ok(None) };
    if u32_at(head, 16) != Some(crc32fast::hash(&head[..16])) {
        return Err("a frame's header fails its checksum");
    }
    if u64_at(head, 4) != last.checked_add(1) {
        return Err("changes are missing");
    }
    let len = u32_at(head, 0).unwrap_or_default() as usize;
    let Some(body) = rest.get(..len) else { return Ok(None) };
    if u32_at(head, 12) != Some(crc32fast::hash(body)) {
        return Err("a frame fails its checksum");
    }
    match postcard::take_from_bytes::<Vec<Logged>>(body) {
        Ok((changes, [])) if !changes.is_empty() => Ok(Some((FRAME_HEADER + len, changes))),
        _ => Err("a frame holds no changes"),
    }
}

fn encode(first: u64, changes: &[Logged]) -> io::Result<Vec<u8>> {
    let body = postcard::to_stdvec(changes).map_err(io::Error::other)?;
    let mut frame = u32::try_from(body.len()).map_err(io::Error::other)?.to_le_bytes().to_vec();
    frame.extend(first.to_le_bytes());
    frame.extend(crc32fast::hash(&body).to_le_bytes());
    frame.extend(crc32fast::hash(&frame).to_le_bytes());
    frame.extend(body);
    Ok(frame)
}

fn summed(fields: [u64; 2]) -> Vec<u8> {
    let mut bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// The log being written. After an error it must not be used again, for nobody knows what the disk holds.
#[derive(Debug)]
pub(super) struct ChangeLog {
    path: PathBuf,
    file: File,
    len: u64,
    pub(super) last: u64,
    pub(super) timeline: u64,
}

impl ChangeLog {
    /// Puts an empty log in place, whatever was there.
    pub(super) fn create(path: &Path, timeline: u64) -> io::Result<Self> {
        let next = path.with_extension("next");
        let mut bytes = summed([u64::from_le_bytes(*MAGIC), timeline]);
        bytes.resize(TIP_AT, 0);
        bytes.extend(summed([0, HEADER as u64]));
        bytes.resize(HEADER, 0);
        let mut file = File::create(&next)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&next, path)?;
        File::open(path.parent().unwrap_or(path))?.sync_all()?;
        let file = File::options().read(true).write(true).open(path)?;
        Ok(Self { path: path.to_owned(), file, len: HEADER as u64, last: 0, timeline })
    }

    /// Goes on with a log that was read, without its torn tail.
    pub(super) fn open(path: &Path, log: &Contents) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let len = log.len as u64;
        if file.metadata()?.len() > len {
            file.set_len(len)?;
            file.sync_all()?;
        }
        Ok(Self { path: path.to_owned(), file, len, last: log.last, timeline: log.timeline })
    }

    /// Appends one frame and makes it durable.
    pub(super) fn append(&mut self, changes: &[Logged]) -> io::Result<()> {
        self.check()?;
        let frame = encode(self.last + 1, changes)?;
        self.file.write_all_at(&frame, self.len)?;
        self.file.sync_data()?;
        self.len += frame.len() as u64;
        self.last += changes.iter().map(|change| change.version.state.parts()).sum::<u64>();
        self.file.write_all_at(&summed([self.last, self.len]), TIP_AT as u64)
    }

    /// The log's name must still lead to the file being written: what is written to a file without a name is lost.
    fn check(&self) -> io::Result<()> {
        let (ours, named) = (self.file.metadata()?, fs::metadata(&self.path)?);
        let same = ours.ino() == named.ino() && ours.dev() == named.dev();
        if same && ours.len() == self.len {
            return Ok(());
        }
        Err(io::Error::other("the change log was replaced, removed or changed in length by somebody else"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::{PART, Stamp, State};
    use super::*;

    fn change(n: u64, state: State) -> Logged {
        let stamp = Stamp { micros: n, origin: 9 };
        Logged { name: Name::new("drill", &format!("k{n}")), version: Version { stamp, state }, staged: n }
    }

    /// A log of three frames, and its bytes.
    fn sample(dir: &Path) -> (Contents, Vec<u8>) {
        let path = dir.join("log");
        let mut log = ChangeLog::create(&path, 77).unwrap();
        let object = |size| State::Object { size, sha256: [3; 32] };
        log.append(&[change(1, State::Bucket), change(2, object(5))]).unwrap();
        log.append(&[change(3, object(3 * PART))]).unwrap();
        log.append(&[change(4, State::Deleted)]).unwrap();
        let bytes = fs::read(path).unwrap();
        (read(&bytes).unwrap(), bytes)
    }

    #[test]
    fn an_object_counts_its_parts() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = sample(dir.path());
        assert_eq!(log.changes.iter().map(|(lsn, _)| *lsn).collect::<Vec<_>>(), [1, 2, 5, 6]);
        assert_eq!((log.timeline, log.last), (77, 6));
    }

    #[test]
    fn every_bit_that_flips_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (_, mut bytes) = sample(dir.path());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                assert!(read(&bytes).is_err(), "byte {at} bit {bit}");
                bytes[at] ^= 1 << bit;
            }
        }
    }

    /// Wherever it is cut, what was acknowledged by then is there or its loss is found.
    #[test]
    fn a_torn_tail_is_dropped_and_a_shortened_log_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (whole, bytes) = sample(dir.path());
        let path = dir.path().join("log");
        let third = encode(6, &[change(4, State::Deleted)]).unwrap().len();
        let end = bytes.len() - third;
        let mut before = bytes.clone();
        before[TIP_AT..TIP_AT + 20].copy_from_slice(&summed([5, end as u64]));
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err(), "the tip says {}", bytes.len());
            let torn = read(&before[..cut]);
            if cut < end {
                assert!(torn.is_err(), "cut at {cut}");
                continue;
            }
            let torn = torn.unwrap();
            assert_eq!(torn.changes, whole.changes[..3], "cut at {cut}");
            fs::write(&path, &before[..cut]).unwrap();
            let mut log = ChangeLog::open(&path, &torn).unwrap();
            log.append(&[change(4, State::Deleted)]).unwrap();
            assert_eq!(read(&fs::read(&path).unwrap()).unwrap(), whole);
        }
    }

    #[test]
    fn a_log_that_somebody_else_changed_takes_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = ChangeLog::create(&path, 1).unwrap();
        ChangeLog::create(&path, 2).unwrap();
        assert!(log.append(&[change(1, State::Bucket)]).is_err());
        fs::remove_file(&path).unwrap();
        assert!(log.append(&[change(1, State::Bucket)]).is_err());
    }
}
