//! What travels on a replication port: a length, then one postcard value that begins with a magic number, so that
//! a frame of another protocol is never taken for an order.
//!
//! On a connection one request is answered after the other.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::net::SocketAddr;
use tokio_util::codec::LengthDelimitedCodec;

/// The largest frame either side accepts.
pub(super) const MAX_FRAME: usize = 32 << 20;

const MAGIC: u32 = u32::from_le_bytes(*b"GDR1");

/// A moment in a node's history. Log sequence numbers of different timelines cannot be compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which history.
    pub timeline: u64,
    /// The last change that belongs to it.
    pub lsn: u64,
}

/// What a node may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Takes users' writes.
    Primary,
    /// Takes changes of its source only.
    Standby,
    /// Was primary and takes nothing any more; still tells its followers what it has.
    Fenced,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::Fenced => "fenced",
        })
    }
}

/// What a primary's acknowledgement waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// For nobody.
    Async,
    /// For the follower, strictly: without one, nothing is acknowledged.
    Sync,
    /// For the follower, which is a primary too; without one, after a while, for nobody.
    Mutual,
}

/// Who follows a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follower {
    /// A number of its own, another one after it was emptied.
    pub id: u64,
    /// Everything up to here is durable there.
    pub confirmed: u64,
    /// Changes it does not have, at most.
    pub lag: u64,
    /// Milliseconds since it asked last.
    pub heard_ms: u64,
    /// It had everything when it asked last.
    pub caught_up: bool,
}

/// Whom a node follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// Replication port of the source.
    pub addr: SocketAddr,
    /// Applied up to here, by the source's count.
    pub upto: Position,
    /// The source's last lsn when it answered last; `None` if it has not since this process began.
    pub head: Option<u64>,
    /// Changes not applied yet, at most, as of that answer.
    pub lag: Option<u64>,
    /// Milliseconds since that answer.
    pub heard_ms: Option<u64>,
    /// At that answer everything was applied. Judge it together with `heard_ms`.
    pub caught_up: bool,
    /// Own data is dropped as soon as the source answers as a primary.
    pub wipe_pending: bool,
    /// What went wrong since that answer.
    pub error: Option<String>,
}

/// What a node says about its part in replication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its number.
    pub id: u64,
    /// What it may do.
    pub role: Role,
    /// The reign it knows of.
    pub epoch: u64,
    /// What its acknowledgements wait for while it is primary.
    pub mode: Mode,
    /// Its last durable change.
    pub position: Position,
    /// In [`Mode::Mutual`]: it acknowledges alone now.
    pub degraded: bool,
    /// It was told to apply nothing.
    pub stalled: bool,
    /// Who follows it, if anybody did since this process began.
    pub follower: Option<Follower>,
    /// Whom it follows.
    pub following: Option<Following>,
}

/// A question for changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ask {
    /// The reign the follower knows of.
    pub(super) epoch: u64,
    /// Everything up to here is durable at the follower.
    pub(super) since: Position,
    /// Changes at most; with 0 only the head is told.
    pub(super) limit: u32,
    /// How long to wait for a first one.
    pub(super) wait_ms: u32,
    /// The follower's number.
    pub(super) follower: u64,
}

/// The answer to [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Changes {
    pub(super) epoch: u64,
    pub(super) role: Role,
    pub(super) timeline: u64,
    /// The changes are those after this lsn: that of the question, or 0 if it was of another history.
    pub(super) from: u64,
    #[serde(with = "ops")]
    pub(super) ops: Vec<Bytes>,
    pub(super) upto: u64,
    pub(super) more: bool,
    /// The source's last durable lsn.
    pub(super) head: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    Changes(Ask),
    Status,
    Promote { epoch: u64, mode: Option<Mode> },
    Fence { epoch: u64 },
    Follow { addr: SocketAddr, wipe: bool, epoch: u64 },
    Stall { stalled: bool },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Changes(Changes),
    /// Done, and this is how things are now.
    Status(Box<Status>),
    /// Not done.
    Refused {
        why: String,
        status: Box<Status>,
    },
    /// No changes now.
    Failed {
        why: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Frame<T> {
    magic: u32,
    body: T,
}

pub(super) fn framing() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME).new_codec()
}

pub(super) fn encode<T: Serialize>(body: &T) -> Result<Bytes, String> {
    let bytes = postcard::to_stdvec(&Frame { magic: MAGIC, body }).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_FRAME {
        return Err(format!("a message of {} bytes: {MAX_FRAME} at most", bytes.len()));
    }
    Ok(bytes.into())
}

/// A frame is one message and nothing else.
pub(super) fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes::<Frame<T>>(frame) {
        Ok((Frame { magic: MAGIC, body }, [])) => Ok(body),
        Ok((_, [])) => Err("a frame of another protocol".into()),
        Ok((_, rest)) => Err(format!("{} bytes after the message", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}

/// Byte strings as such: as sequences of numbers, each byte would be a call.
mod ops {
    use bytes::Bytes;
    use serde::de::{Deserialize, Deserializer, Error, Visitor};
    use serde::ser::{Serialize, Serializer};

    struct Op<'a>(&'a [u8]);

    impl Serialize for Op<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }

    struct Owned(Bytes);

    struct Copied;

    impl Visitor<'_> for Copied {
        type Value = Owned;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Owned, E> {
            Ok(Owned(Bytes::copy_from_slice(bytes)))
        }
    }

    impl<'de> Deserialize<'de> for Owned {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_bytes(Copied)
        }
    }

    pub(super) fn serialize<S: Serializer>(ops: &[Bytes], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ops.iter().map(|op| Op(op)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bytes>, D::Error> {
        Ok(Vec::<Owned>::deserialize(deserializer)?.into_iter().map(|op| op.0).collect())
    }
}
