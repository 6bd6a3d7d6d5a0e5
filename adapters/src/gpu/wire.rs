//! What travels between driver and worker: a length, then one postcard value. A connection carries one call at a time,
//! so nothing pairs answers with questions but their order.

use bytes::Bytes;
use harness::job::Sums;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_util::codec::LengthDelimitedCodec;

/// The largest frame either side accepts: a checkpoint takes little more than a kilobyte.
pub(super) const MAX_FRAME: usize = 64 << 10;

/// What a worker says about itself. It does not say whether its results are right: it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What it computes with.
    pub engine: String,
    /// Shards answered by this process.
    pub shards: u64,
    /// Inferences answered by this process.
    pub inferences: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Request {
    Ping,
    Status,
    /// One shard of the step after a checkpoint, given by its bytes.
    Shard {
        before: Vec<u8>,
        shard: u32,
    },
    Infer {
        input: Vec<f32>,
    },
    /// From now on compute wrong, or right.
    Miscompute(bool),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Response {
    Pong,
    Status(Status),
    Sums(Box<Sums>),
    Output(Vec<f32>),
    Done,
    /// The request makes no sense.
    Refused(String),
}

pub(super) fn framing() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME).new_codec()
}

pub(super) fn encode<T: Serialize>(message: &T) -> Result<Bytes, String> {
    let bytes = postcard::to_stdvec(message).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_FRAME {
        return Err(format!("a message of {} bytes: {MAX_FRAME} at most", bytes.len()));
    }
    Ok(bytes.into())
}

/// Trailing bytes are garbage too: a frame is one message and nothing else.
pub(super) fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(frame) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(format!("{} bytes after the message", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn garbage_is_refused_or_read_and_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = decode::<Request>(&noise);
            let _ = decode::<Response>(&noise);
        }

        #[test]
        fn frames_read_as_written_and_only_whole(shard in any::<u32>(), before in proptest::collection::vec(any::<u8>(), 1..300)) {
            let request = Request::Shard { before, shard };
            let bytes = encode(&request).unwrap();
            prop_assert_eq!(decode::<Request>(&bytes), Ok(request));
            prop_assert!(decode::<Request>(&bytes[..bytes.len() - 1]).is_err());
            let mut longer = bytes.to_vec();
            longer.push(0);
            prop_assert!(decode::<Request>(&longer).is_err());
        }
    }
}
