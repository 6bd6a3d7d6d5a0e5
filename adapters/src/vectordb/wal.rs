//! The write-ahead log: a write is acknowledged once the frame that holds it was synced.
//!
//! # Layout
//!
//! ```text
//! 0   magic "GDWAL01\n" | timeline: u64 | base: u64 | crc32 of these 24 bytes | 4 zero bytes
//! 32  tip: lsn: u64 | length: u64 | crc32 of these 16 bytes | 12 zero bytes
//! 64  frames: length: u32 | first lsn: u64 | count: u32 | crc32 of the body | crc32 of these 20 bytes | body
//! ```
//!
//! One frame is one group commit, its body the entries of [`codec`](super::codec), their lsns without a gap from
//! `base + 1` on. The manifest names timeline and base, so no other log can take this one's place.
//!
//! # Torn or damaged?
//!
//! A crash while appending leaves a prefix of the one frame being written, and nothing of it was acknowledged.
//! So a tail is torn, and dropped with a note, only if it is shorter than its intact header says (or shorter
//! than a header). Everything else is damage: a frame of full length with a wrong checksum, wherever it is; a
//! gap in the lsns; bytes after the last frame.
//!
//! The tip is rewritten, unsynced, after every sync: it says how far the log was durable. A log that ends before
//! its tip was shortened, even if at the border of a frame. A kill never sets the tip back, for the kernel keeps
//! it; a loss of power may, to a value that is older and never too new.

use super::codec::{Entry, Reader, write_entry};
use super::files::{Folder, WAL};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

const MAGIC: &[u8; 8] = b"GDWAL01\n";
const HEADER: usize = 64;
const TIP_AT: usize = 32;
const FRAME_HEADER: usize = 24;

/// What a log's bytes say once they are verified.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) timeline: u64,
    /// The last write that is not in this log because segments have it.
    pub(super) base: u64,
    pub(super) last: u64,
    pub(super) writes: Vec<(u64, Entry)>,
    /// Length without a torn tail.
    len: usize,
    /// Bytes of a torn tail.
    pub(super) torn: usize,
}

/// Timeline and base, if the first bytes of a log are intact.
pub(super) fn origin(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut reader = Reader(bytes);
    let head = reader.take(24)?;
    let crc = reader.u32()?;
    let mut head_reader = Reader(head);
    let magic = head_reader.take(8)?;
    (magic == MAGIC && crc == crc32fast::hash(head)).then_some((head_reader.u64()?, head_reader.u64()?))
}

/// Verifies a log and reads its writes.
pub(super) fn read(bytes: &[u8], dim: usize) -> Result<Log, String> {
    let (timeline, base) = origin(bytes).ok_or("the header fails its checksum")?;
    let (tip_lsn, tip_len) = tip(bytes).ok_or("the mark of its durable end fails its checksum")?;
    let mut log = Log { timeline, base, last: base, writes: Vec::new(), len: HEADER, torn: 0 };
    while log.len < bytes.len() {
        let rest = bytes.get(log.len..).unwrap_or_default();
        match frame(rest, log.last, dim).map_err(|why| format!("{why} at byte {}", log.len))? {
            Some((size, writes)) => {
                log.len += size;
                log.last += writes.len() as u64;
                log.writes.extend(writes);
            }
            None => {
                log.torn = rest.len();
                break;
            }
        }
    }
    if log.last < tip_lsn || (log.len as u64) < tip_len {
        return Err(format!("it ends at write {}, but write {tip_lsn} was acknowledged", log.last));
    }
    Ok(log)
}

fn tip(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut reader = Reader(bytes.get(TIP_AT..HEADER)?);
    let mark = reader.take(16)?;
    let crc = reader.u32()?;
    let mut mark_reader = Reader(mark);
    (crc == crc32fast::hash(mark)).then_some((mark_reader.u64()?, mark_reader.u64()?))
}

type Frame = (usize, Vec<(u64, Entry)>);

/// The frame `bytes` begin with, or `None` if it was torn.
fn frame(bytes: &[u8], last: u64, dim: usize) -> Result<Option<Frame>, &'static str> {
    let Some((head, rest)) = bytes.split_at_checked(FRAME_HEADER) else { return Ok(None) };
    let (fields, crc) = head.split_at(FRAME_HEADER - 4);
    if Reader(crc).u32() != Some(crc32fast::hash(fields)) {
        return Err("a frame's header fails its checksum");
    }
    let mut fields = Reader(fields);
    let (Some(len), Some(first), Some(count), Some(crc)) =
        (fields.u32(), fields.u64(), fields.u32(), fields.u32())
    else {
        return Err("a frame's header is too short");
    };
    if Some(first) != last.checked_add(1) {
        return Err("writes are missing");
    }
    let Some(body) = rest.get(..len as usize) else { return Ok(None) };
    if crc != crc32fast::hash(body) {
        return Err("a frame fails its checksum");
    }
    let writes = Reader(body).entries(count.into(), dim).ok_or("a frame of another dimension")?;
    if !writes.iter().map(|(_, entry)| entry.lsn).eq((first..).take(count as usize)) {
        return Err("a frame's writes are out of order");
    }
    Ok(Some((FRAME_HEADER + len as usize, writes)))
}

/// The bytes of a log whose frames are `tail`, the last of them holding write `last`.
pub(super) fn image(timeline: u64, base: u64, last: u64, tail: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(timeline.to_le_bytes());
    bytes.extend(base.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.resize(TIP_AT, 0);
    bytes.extend(tip_bytes(last, (HEADER + tail.len()) as u64));
    bytes.resize(HEADER, 0);
    bytes.extend(tail);
    bytes
}

fn tip_bytes(lsn: u64, len: u64) -> Vec<u8> {
    let mut bytes = lsn.to_le_bytes().to_vec();
    bytes.extend(len.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// The log being written. It has one owner at a time; after an error it must not be used again, for nobody knows
/// what the disk holds.
#[derive(Debug)]
pub(super) struct Wal {
    folder: Folder,
    file: File,
    len: u64,
    last: u64,
    pub(super) timeline: u64,
}

impl Wal {
    /// Goes on with a log that was read, without its torn tail.
    pub(super) fn open(folder: &Folder, log: &Log) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(folder.path(WAL))?;
        let len = log.len as u64;
        if log.torn > 0 {
            file.set_len(len)?;
            file.sync_all()?;
        }
        Ok(Self { folder: folder.clone(), file, len, last: log.last, timeline: log.timeline })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The last write in it, which is durable.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Appends one frame and makes it durable.
    pub(super) fn append(&mut self, writes: &[(u64, Entry)]) -> io::Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        self.check()?;
        if writes.first().map(|(_, entry)| entry.lsn) != self.last.checked_add(1) {
            return Err(io::Error::other("writes out of order would make the log unreadable"));
        }
        let frame = encode(writes)?;
        self.file.write_all_at(&frame, self.len)?;
        self.file.sync_data()?;
        self.len += frame.len() as u64;
        self.last += writes.len() as u64;
        self.file.write_all_at(&tip_bytes(self.last, self.len), TIP_AT as u64)
    }

    /// The log's name must still lead to the file being written, and nobody else may have changed its length:
    /// what is written to a file without a name is lost.
    pub(super) fn check(&self) -> io::Result<()> {
        let (ours, named) = (self.file.metadata()?, fs::metadata(self.folder.path(WAL))?);
        let same = ours.ino() == named.ino() && ours.dev() == named.dev();
        if same && ours.len() == self.len {
            return Ok(());
        }
        Err(io::Error::other("the file was replaced, removed or changed in length by somebody else"))
    }

    /// A log that begins after write `base`, whose frames are those of this one from byte `from` on.
    pub(super) fn rotated(&self, base: u64, from: u64) -> io::Result<Vec<u8>> {
        self.check()?;
        let mut tail = vec![0; usize::try_from(self.len.saturating_sub(from)).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut tail, from)?;
        Ok(image(self.timeline, base, self.last.max(base), &tail))
    }

    /// Goes on with the file that was just renamed over this one.
    pub(super) fn rotate(&mut self, base: u64) -> io::Result<()> {
        self.file = File::options().read(true).write(true).open(self.folder.path(WAL))?;
        self.len = self.file.metadata()?.len();
        self.last = self.last.max(base);
        Ok(())
    }
}

fn encode(writes: &[(u64, Entry)]) -> io::Result<Vec<u8>> {
    let first = writes.first().map_or(0, |(_, entry)| entry.lsn);
    let mut body = Vec::new();
    for (key, entry) in writes {
        write_entry(&mut body, *key, entry);
    }
    let len = u32::try_from(body.len()).map_err(io::Error::other)?;
    let count = u32::try_from(writes.len()).map_err(io::Error::other)?;
    let mut frame = len.to_le_bytes().to_vec();
    frame.extend(first.to_le_bytes());
    frame.extend(count.to_le_bytes());
    frame.extend(crc32fast::hash(&body).to_le_bytes());
    frame.extend(crc32fast::hash(&frame).to_le_bytes());
    frame.extend(body);
    Ok(frame)
}
