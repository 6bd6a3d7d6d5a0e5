//! Index files: written at once or not at all, and read with what is noted about them.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use index::{Checksum, Index, IndexSpec, Kind, LoadError};

use super::{Layout, Metric, notes::Notes, stopped, watch::Watch, word};
use crate::exit::Failure;

/// An index file that was read.
pub(super) struct Opened {
    pub(super) bytes: Vec<u8>,
    pub(super) sum: Checksum,
    pub(super) notes: Option<Notes>,
}

impl Opened {
    pub(super) fn read(path: &Path) -> Result<Opened, Failure> {
        let regular = fs::metadata(path).map(|there| there.is_file());
        let bytes = regular.and_then(|regular| match regular {
            true => fs::read(path),
            false => Err(io::Error::other("it is no regular file")),
        });
        let bytes = bytes.map_err(|error| {
            let what = format!("`{}` cannot be read: {error}", path.display());
            Failure::usage(what, "name an index file that can be read")
        })?;
        Ok(Opened { sum: Checksum::of(&bytes), notes: Notes::beside(path)?, bytes })
    }

    /// How distances are measured: as was asked for, or as is noted; the file itself does not say it.
    pub(super) fn metric(&self, asked: Option<Metric>, path: &Path) -> Result<Metric, Failure> {
        asked.or(self.notes.as_ref().map(|notes| notes.metric)).ok_or_else(|| {
            let what = format!("`{}` does not say how its distances are measured", path.display());
            Failure::usage(what, "say it with --metric: l2, ip or cosine")
        })
    }

    /// The index in the file. A search in it looks at as much as is noted; of a graph, at a hundred candidates.
    pub(super) fn index(&self, metric: Metric) -> Result<Index, LoadError> {
        if Index::is_faiss(&self.bytes) {
            return Index::from_faiss(&self.bytes, metric.into());
        }
        let mut spec = IndexSpec { metric: metric.into(), ..index::spec_of(&self.bytes)? };
        let noted = self.notes.as_ref().and_then(|notes| notes.nprobe);
        match (&mut spec.kind, noted) {
            (
                Kind::IvfFlat { nprobe, nlist }
                | Kind::IvfSq8 { nprobe, nlist }
                | Kind::IvfPq { nprobe, nlist, .. },
                Some(noted),
            ) => *nprobe = noted.clamp(1, *nlist),
            (Kind::Hnsw { .. }, _) | (_, None) => {}
        }
        Index::from_bytes(&self.bytes, &spec)
    }
}

/// Refuses a place where no file can be put, before anything is built.
pub(super) fn placeable(out: &Path, from: &Path) -> Result<(), Failure> {
    let refuse = |why: &str| {
        let what = format!("no index can be written to `{}`: {why}", out.display());
        Err(Failure::usage(what, "name another file with --out"))
    };
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return refuse("there is no such folder");
    }
    match fs::metadata(out) {
        Ok(there) if !there.is_file() => refuse("there is something that is no regular file"),
        Ok(_) if same(out, from) => refuse("it is the file to read from"),
        _ => Ok(()),
    }
}

fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Writes an index in a layout, replacing what was there when all of it is on disk; answers the checksum and the length.
pub(super) fn write(
    index: &Index,
    layout: Layout,
    out: &Path,
    watch: &Watch,
) -> Result<(Checksum, u64), Failure> {
    let mut length = 0;
    let saved = index::save_with(out, &mut |to| {
        let mut to = Stoppable { to, watch, length: 0 };
        match layout {
            Layout::Faiss => index.write_faiss(&mut to)?,
            Layout::Hnswlib | Layout::Gameday => index.write(&mut to)?,
        }
        length = to.length;
        Ok(())
    });
    match saved {
        Ok(sum) => Ok((sum, length)),
        Err(_) if watch.asked() => Err(stopped()),
        Err(error) => {
            let remedy = "free the disk, or name a file elsewhere with --out; what was there before is whole";
            Err(Failure::environment(error.to_string(), remedy))
        }
    }
}

/// A file that takes nothing more once somebody asked to stop.
struct Stoppable<'a> {
    to: &'a mut dyn Write,
    watch: &'a Watch,
    length: u64,
}

impl Write for Stoppable<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.watch.asked() {
            return Err(io::Error::other("it was stopped"));
        }
        let written = self.to.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Refuses a layout that has no such kind of index.
pub(super) fn fits(kind: super::Kind, layout: Layout) -> Result<(), Failure> {
    match (kind, layout) {
        (super::Kind::Hnsw, Layout::Gameday) => {
            Err(Failure::usage("gameday's own file of a graph is hnswlib's", "--to hnswlib"))
        }
        (super::Kind::Hnsw, _) | (_, Layout::Faiss | Layout::Gameday) => Ok(()),
        (kind, Layout::Hnswlib) => {
            let what = format!("hnswlib has graphs only, and no {}", word(kind));
            Err(Failure::usage(what, "--to faiss, or --kind hnsw"))
        }
    }
}
