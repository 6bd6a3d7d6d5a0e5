//! What is known about an index file and is not in it: `FILE.json`, beside it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use index::{Checksum, IndexSpec};
use serde::{Deserialize, Serialize};

use super::{Kind, Layout, Metric};
use crate::exit::Failure;

/// About a file that `index build` or `index convert` wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Notes {
    pub(super) kind: Kind,
    pub(super) layout: Layout,
    pub(super) metric: Metric,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) m: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ef_construction: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nlist: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nprobe: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pq_m: Option<u32>,
    /// `None` of a file that others built.
    pub(super) seed: Option<u64>,
    pub(super) dim: usize,
    pub(super) vectors: usize,
    /// Of the index file.
    pub(super) sha256: String,
    /// Of the file of vectors.
    pub(super) data_sha256: Option<String>,
    /// Share of the ten true neighbours that was found after the build.
    pub(super) recall: Option<f64>,
    /// The version that wrote it.
    pub(super) gameday: String,
}

impl Notes {
    /// What a spec says; the checksum is that of no file yet.
    pub(super) fn of(
        spec: &IndexSpec,
        metric: Metric,
        layout: Layout,
        (vectors, dim): (usize, usize),
    ) -> Notes {
        let kind = Kind::of(spec.kind);
        let (mut m, mut ef, mut lists, mut parts) = (None, None, None, None);
        match spec.kind {
            index::Kind::Hnsw { m: links, ef_construction, .. } => {
                (m, ef) = (Some(links), Some(ef_construction))
            }
            index::Kind::IvfFlat { nlist, nprobe } | index::Kind::IvfSq8 { nlist, nprobe } => {
                lists = Some((nlist, nprobe));
            }
            index::Kind::IvfPq { nlist, nprobe, m } => (lists, parts) = (Some((nlist, nprobe)), Some(m)),
        }
        Notes {
            kind,
            layout,
            metric,
            m,
            ef_construction: ef,
            nlist: lists.map(|(nlist, _)| nlist),
            nprobe: lists.map(|(_, nprobe)| nprobe),
            pq_m: parts,
            seed: Some(spec.seed),
            dim,
            vectors,
            sha256: String::new(),
            data_sha256: None,
            recall: None,
            gameday: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Those beside an index file, if there are any.
    pub(super) fn beside(file: &Path) -> Result<Option<Notes>, Failure> {
        let path = path(file);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let what = format!("`{}` cannot be read: {error}", path.display());
                return Err(Failure::usage(what, "make it readable, or move it away"));
            }
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            let what = format!("`{}` holds no notes about an index: {error}", path.display());
            Failure::usage(what, "move it away; --metric then says what it would have said")
        })
    }

    /// Writes the notes about a file that was just written. Those of an older file never stay.
    pub(super) fn write(&self, file: &Path) -> Result<(), Failure> {
        let path = path(file);
        let text = serde_json::to_string_pretty(self).expect("notes are plain data") + "\n";
        index::save_with(&path, &mut |to| to.write_all(text.as_bytes())).map(|_| ()).map_err(|error| {
            // Best effort: the checksum in it says that it is about another file.
            let _ = fs::remove_file(&path);
            let what = format!("`{}` is whole, but has no notes: {error}", file.display());
            Failure::environment(what, "free the disk, and build it again")
        })
    }

    /// Whether these notes are about a file of that checksum.
    pub(super) fn are_about(&self, sum: Checksum) -> bool {
        self.sha256.parse() == Ok(sum)
    }
}

/// Where the notes about a file are.
pub(super) fn path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}
