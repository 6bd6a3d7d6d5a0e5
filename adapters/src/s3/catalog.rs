//! The newest version of every name, found by name and in the order of the change log.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use super::change::{Content, Name, Op, PART, State, Version};

/// A version, and the last log sequence number that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) lsn: u64,
    pub(super) version: Version,
    /// The number its file was staged under.
    pub(super) staged: u64,
}

/// Changes for another store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Each an encoded [`Op`].
    pub(super) ops: Vec<Vec<u8>>,
    /// Who has these has everything up to this lsn.
    pub(super) upto: u64,
    /// Whether there are later ones already.
    pub(super) more: bool,
}

/// What the store holds, as far as the log knows.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    names: HashMap<Arc<Name>, Newest>,
    order: BTreeMap<u64, Arc<Name>>,
    pub(super) last: u64,
    /// The largest stamp seen, in microseconds.
    pub(super) clock: u64,
}

impl Catalog {
    pub(super) fn insert(&mut self, name: Name, newest: Newest) {
        let name = Arc::new(name);
        if let Some(old) = self.names.insert(name.clone(), newest) {
            self.order.remove(&old.lsn);
        }
        self.order.insert(newest.lsn, name);
        self.last = self.last.max(newest.lsn);
        self.clock = self.clock.max(newest.version.stamp.micros);
    }

    pub(super) fn get(&self, name: &Name) -> Option<Newest> {
        self.names.get(name).copied()
    }

    /// Whether a version would win.
    pub(super) fn wants(&self, name: &Name, version: &Version) -> bool {
        self.get(name).is_none_or(|newest| *version > newest.version)
    }

    /// Names with their newest versions, in the order of the log.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Name, Newest)> {
        self.order.values().filter_map(|name| Some((&**name, *self.names.get(name)?)))
    }

    /// What changed after `since`, oldest first: `limit` messages at most, and about [`PART`] bytes, but at least one
    /// message if there is any.
    pub(super) fn changes(&self, root: &Path, since: u64, limit: usize) -> Result<Changes, String> {
        let mut found = Changes { upto: self.last, ..Changes::default() };
        let mut bytes = 0;
        for (lsn, name) in self.order.range(since.saturating_add(1)..) {
            let Some(newest) = self.names.get(name) else { continue };
            let parts = newest.version.state.parts();
            // A position in the middle of an object is that of one of its parts.
            let first = since.saturating_add(1).saturating_sub(lsn + 1 - parts);
            for part in first..parts {
                let op = message(root, name, newest.version, part)?;
                let full = found.ops.len() >= limit.max(1) || bytes + op.len() > PART as usize;
                if full && !found.ops.is_empty() {
                    found.more = true;
                    found.upto = lsn - parts + part;
                    return Ok(found);
                }
                bytes += op.len();
                found.ops.push(op);
            }
        }
        Ok(found)
    }
}

/// One part of an object, or a change without bytes.
fn message(root: &Path, name: &Name, version: Version, part: u64) -> Result<Vec<u8>, String> {
    let op = |content| Op { name: name.clone(), version, content };
    let failed = |e: io::Error| e.to_string();
    let State::Object { size, .. } = version.state else {
        return op(Content::None).encode(|_| Ok(())).map_err(failed);
    };
    let offset = part * PART;
    let read = op(Content::Part { offset }).encode(|m| read_part(&name.path(root), size, offset, m));
    read.or_else(|e| {
        tracing::warn!("object node: {name:?} cannot be read and is not replicated: {e}");
        op(Content::Unreadable).encode(|_| Ok(()))
    })
    .map_err(failed)
}

fn read_part(path: &Path, size: u64, offset: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let meta = std::fs::symlink_metadata(path)?;
    if !meta.is_file() || meta.len() != size {
        return Err(io::Error::other("it is not the file that was stored"));
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let wanted = PART.min(size - offset);
    let read = file.take(wanted).read_to_end(into)?;
    if read as u64 == wanted { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::super::change::Stamp;
    use super::*;
    use proptest::prelude::*;

    fn version(n: u64, size: u64) -> Version {
        let state = State::Object { size, sha256: [0; 32] };
        Version { stamp: Stamp { micros: n, origin: 1 }, state }
    }

    proptest! {
        /// From any position and in batches of any size, a follower hears of every newest version's every part once.
        #[test]
        fn every_part_is_told_once(
            writes in proptest::collection::vec((0u64..6, 0u64..3 * PART), 1..12),
            since in 0u64..20, limit in 0usize..4
        ) {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join("drill")).unwrap();
            let mut catalog = Catalog::default();
            for (n, (key, size)) in (1..).zip(&writes) {
                let (name, version) = (Name::new("drill", &key.to_string()), version(n, *size));
                std::fs::File::create(name.path(dir.path())).unwrap().set_len(*size).unwrap();
                let lsn = catalog.last + version.state.parts();
                catalog.insert(name, Newest { lsn, version, staged: 0 });
            }
            let mut expected = Vec::new();
            for (name, newest) in catalog.iter() {
                let parts = newest.version.state.parts();
                for part in 0..parts {
                    if newest.lsn - parts + part + 1 > since {
                        expected.push((name.clone(), part * PART));
                    }
                }
            }
            let (mut told, mut at) = (Vec::new(), since);
            loop {
                let batch = catalog.changes(dir.path(), at, limit).unwrap();
                prop_assert!(batch.ops.len() <= limit.max(1));
                for op in &batch.ops {
                    let (op, _) = Op::decode(op).unwrap();
                    let Content::Part { offset } = op.content else { panic!("{op:?}") };
                    told.push((op.name, offset));
                }
                prop_assert!(batch.upto > at || !batch.more);
                at = batch.upto;
                if !batch.more {
                    break;
                }
            }
            prop_assert_eq!(told, expected);
            prop_assert_eq!(at, catalog.last);
        }
    }

    #[test]
    fn a_file_that_is_gone_or_shorter_is_told_as_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("drill")).unwrap();
        let mut catalog = Catalog::default();
        for (n, key) in (1..).zip(["gone", "short", "whole"]) {
            catalog.insert(Name::new("drill", key), Newest { lsn: n, version: version(n, 3), staged: 0 });
        }
        std::fs::write(dir.path().join("drill/short"), "ab").unwrap();
        std::fs::write(dir.path().join("drill/whole"), "abc").unwrap();
        let batch = catalog.changes(dir.path(), 0, 10).unwrap();
        let told: Vec<_> = batch.ops.iter().map(|op| Op::decode(op).unwrap().0.content).collect();
        assert_eq!(told, [Content::Unreadable, Content::Unreadable, Content::Part { offset: 0 }]);
        assert_eq!((batch.upto, batch.more), (3, false));
    }
}
