//! What a change of the store is: a name, and the version that it has from now on.
//!
//! # Which version wins
//!
//! The larger one, and versions are totally ordered: by [`Stamp`], then by content. A stamp is a hybrid logical clock:
//! microseconds of the wall clock, but always above every stamp the store has seen, and the number of the store
//! that took the write, which settles ties. So a write that began after another was acknowledged wins over it,
//! whichever store took either (the nodes of this world share a clock); applying a change twice changes nothing; two
//! stores that follow each other stop as soon as both have the larger version; and all end with the same one.
//!
//! # Parts
//!
//! An object counts as many log sequence numbers as it has parts of [`PART`] bytes. So a position may lie in the middle
//! of an object, and one of any size travels in small messages from where it was left.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::durable::check_key;

/// Bytes of a part: what a message should not exceed by much.
pub(super) const PART: u64 = 1 << 20;

/// Bytes of a message's checksum.
const SUM: usize = 4;

/// No honest clock says more: the year 4253.
const LATEST: u64 = 1 << 56;

/// An object, or a bucket if the key is empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Name {
    pub(super) bucket: String,
    pub(super) key: String,
}

impl Name {
    pub(super) fn new(bucket: &str, key: &str) -> Self {
        Self { bucket: bucket.to_owned(), key: key.to_owned() }
    }

    /// Its file or folder.
    pub(super) fn path(&self, root: &Path) -> PathBuf {
        let bucket = root.join(&self.bucket);
        if self.key.is_empty() { bucket } else { bucket.join(&self.key) }
    }
}

/// When and where a version was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) micros: u64,
    pub(super) origin: u64,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum State {
    Bucket,
    Deleted,
    Object { size: u64, sha256: [u8; 32] },
}

impl State {
    /// How many log sequence numbers it counts.
    pub(super) fn parts(&self) -> u64 {
        match self {
            Self::Object { size, .. } => size.div_ceil(PART).max(1),
            Self::Bucket | Self::Deleted => 1,
        }
    }
}

/// A version of a name. The order is the one by which versions win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) stamp: Stamp,
    pub(super) state: State,
}

/// A change on its way to another store: a checksum, `postcard` of this, then the bytes of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Op {
    pub(super) name: Name,
    pub(super) version: Version,
    pub(super) content: Content,
}

/// What of an object a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Content {
    /// There are no bytes: a bucket, or a deletion.
    None,
    /// The part that begins here.
    Part { offset: u64 },
    /// The sender cannot read its own file, or it has another length.
    Unreadable,
}

impl Op {
    /// The message, whose part `fill` appends.
    pub(super) fn encode(&self, fill: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<Vec<u8>> {
        let mut message = Vec::with_capacity(PART as usize + 2048);
        message.extend([0; SUM]);
        message = postcard::to_extend(self, message).map_err(io::Error::other)?;
        fill(&mut message)?;
        let sum = crc32fast::hash(&message[SUM..]);
        message[..SUM].copy_from_slice(&sum.to_le_bytes());
        Ok(message)
    }

    /// The change and the bytes of its part. Whatever does not fit is refused: it came over a network.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), String> {
        let (sum, bytes) = bytes.split_at_checked(SUM).ok_or("a change that is cut short")?;
        if sum != crc32fast::hash(bytes).to_le_bytes() {
            return Err("a change that fails its checksum".into());
        }
        let (op, part): (Self, _) =
            postcard::take_from_bytes(bytes).map_err(|e| format!("a change that is none: {e}"))?;
        let Self { name, version, content } = &op;
        let bucket = name.key.is_empty();
        if !s3s::path::check_bucket_name(&name.bucket) || !(bucket || check_key(&name.key).is_ok()) {
            return Err(format!("a change of the impossible name {name:?}"));
        }
        let fits = match (version.state, *content) {
            (State::Bucket, Content::None) => bucket && part.is_empty(),
            (State::Deleted, Content::None) => !bucket && part.is_empty(),
            (State::Object { .. }, Content::Unreadable) => !bucket && part.is_empty(),
            (State::Object { size, .. }, Content::Part { offset }) => {
                let begins = offset == 0 || (offset < size && offset.is_multiple_of(PART));
                !bucket && begins && part.len() as u64 == PART.min(size.saturating_sub(offset))
            }
            _ => false,
        };
        if !fits || version.stamp.micros > LATEST {
            return Err(format!("a change of {name:?} that contradicts itself"));
        }
        Ok((op, part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn op(content: Content) -> Op {
        let stamp = Stamp { micros: 5, origin: 7 };
        let state = State::Object { size: 3, sha256: [1; 32] };
        Op { name: Name::new("drill", "a/b"), version: Version { stamp, state }, content }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let whole = op(Content::Part { offset: 0 });
        let sent = |op: &Op, part: &[u8]| {
            let fill = |message: &mut Vec<u8>| {
                message.extend(part);
                Ok(())
            };
            op.encode(fill).unwrap()
        };
        assert_eq!(Op::decode(&sent(&whole, b"abc")).unwrap(), (whole.clone(), &b"abc"[..]));
        let named = |bucket, key| Op { name: Name::new(bucket, key), ..whole.clone() };
        let later = Stamp { micros: u64::MAX, origin: 0 };
        let wrong = [
            (whole.clone(), &b"ab"[..]),
            (op(Content::Part { offset: 1 }), b"bc"),
            (op(Content::Part { offset: PART }), b""),
            (op(Content::None), b""),
            (op(Content::Unreadable), b"abc"),
            (named("drill", "../x"), b"abc"),
            (named(".changes", "x"), b"abc"),
            (named("drill", ""), b"abc"),
            (Op { version: Version { stamp: later, ..whole.version }, ..whole.clone() }, b"abc"),
        ];
        for (op, part) in wrong {
            assert!(Op::decode(&sent(&op, part)).is_err(), "{op:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_change(mut noise in proptest::collection::vec(any::<u8>(), 4..200)) {
            let sum = crc32fast::hash(&noise[SUM..]);
            noise[..SUM].copy_from_slice(&sum.to_le_bytes());
            let _ = Op::decode(&noise);
        }
    }
}
