//! The manifest: which files make up the collection. Swapping it is the commit of every change but a write.
//!
//! The file is one line of JSON and one line `sha256:<of the first line>`.

use super::files::{Folder, MANIFEST, MANIFEST_NEXT, SEGMENTS, sha256};
use super::segment::Segment;
use super::wire::{IndexInfo, IndexSpec};
use serde::{Deserialize, Serialize};
use std::io;

const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    version: u32,
    pub(super) collection: String,
    pub(super) dim: u32,
    pub(super) timeline: u64,
    /// Everything up to this write is in segments; the log goes on from here.
    pub(super) flushed_lsn: u64,
    pub(super) next_segment: u64,
    pub(super) segments: Vec<Segment>,
    /// What to build when the index is rebuilt.
    pub(super) spec: Option<IndexSpec>,
    pub(super) index: Option<IndexFile>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexFile {
    pub(super) sha256: String,
    pub(super) info: IndexInfo,
}

impl Manifest {
    pub(super) fn new(collection: &str, dim: u32, timeline: u64) -> Self {
        Self {
            version: VERSION,
            collection: collection.to_owned(),
            dim,
            timeline,
            flushed_lsn: 0,
            next_segment: 1,
            segments: Vec::new(),
            spec: None,
            index: None,
        }
    }

    pub(super) fn store(&self, folder: &Folder) -> io::Result<()> {
        let line = serde_json::to_string(self).map_err(io::Error::other)?;
        let text = format!("{line}\nsha256:{}\n", sha256(line.as_bytes()));
        folder.write(MANIFEST_NEXT, text.as_bytes())?;
        folder.rename(MANIFEST_NEXT, MANIFEST)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let verified = str::from_utf8(bytes).ok().and_then(|text| {
            let (line, rest) = text.split_once('\n')?;
            (rest == format!("sha256:{}\n", sha256(line.as_bytes()))).then_some(line)
        });
        let line = verified.ok_or("the file fails its checksum")?;
        let manifest: Self = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let inside = |name: &str| {
            name.strip_prefix(SEGMENTS)
                .and_then(|name| name.strip_prefix('/'))
                .is_some_and(|name| !name.contains('/') && !name.starts_with('.'))
        };
        if manifest.version != VERSION {
            return Err(format!("version {}: this program reads version {VERSION}", manifest.version));
        }
        if !manifest.segments.iter().all(|segment| inside(&segment.file)) {
            return Err("it names a segment outside its folder".into());
        }
        Ok(manifest)
    }
}

/// A timeline nobody else has.
pub(super) fn new_timeline() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
