//! Sealed records: `magic | dim: u32 | count: u64 | entries`, immutable, known to the manifest by its SHA-256.
//!
//! Tombstones are sealed like records. One segment holds a key at most once; among segments the newer lsn wins.

use super::codec::{Entry, Reader, write_entry};
use super::files::{Folder, SEGMENTS, sha256};
use serde::{Deserialize, Serialize};
use std::io;

const MAGIC: &[u8; 8] = b"GDSEG01\n";

/// What the manifest says about a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Segment {
    pub(super) file: String,
    pub(super) sha256: String,
    pub(super) entries: u64,
    /// The newest write in it.
    pub(super) last_lsn: u64,
}

/// Writes a segment.
pub(super) fn write(
    folder: &Folder,
    number: u64,
    dim: usize,
    entries: &[(u64, Entry)],
) -> io::Result<Segment> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(u32::try_from(dim).map_err(io::Error::other)?.to_le_bytes());
    bytes.extend((entries.len() as u64).to_le_bytes());
    for (key, entry) in entries {
        write_entry(&mut bytes, *key, entry);
    }
    let file = format!("{SEGMENTS}/{number:06}.seg");
    folder.write(&file, &bytes)?;
    Ok(Segment {
        file,
        sha256: sha256(&bytes),
        entries: entries.len() as u64,
        last_lsn: entries.iter().map(|(_, entry)| entry.lsn).max().unwrap_or(0),
    })
}

/// Verifies a segment and reads it.
pub(super) fn read(folder: &Folder, segment: &Segment, dim: usize) -> Result<Vec<(u64, Entry)>, String> {
    let bytes = folder.read(&segment.file).map_err(|error| error.to_string())?;
    if sha256(&bytes) != segment.sha256 {
        return Err("the file fails its checksum".into());
    }
    parse(&bytes, dim)
        .filter(|entries| entries.len() as u64 == segment.entries)
        .ok_or_else(|| format!("no segment of {} entries of dimension {dim}", segment.entries))
}

fn parse(bytes: &[u8], dim: usize) -> Option<Vec<(u64, Entry)>> {
    let mut reader = Reader(bytes);
    let fits = reader.take(MAGIC.len())? == MAGIC && reader.u32()? as usize == dim;
    let count = reader.u64()?;
    if fits { reader.entries(count, dim) } else { None }
}
