//! Calls over TCP between our own nodes and their clients: length-delimited frames, one postcard value each.
//!
//! Every request carries an id and its answer repeats it, so one connection serves many calls at once and an
//! answer nobody waits for any more is simply dropped. What is asked and answered is each product's own.

mod client;
mod link;
mod server;

pub(crate) use client::{Caller, Unanswered};
pub(crate) use server::{asked_to_leave, listen};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_util::codec::LengthDelimitedCodec;

/// The largest frame either side accepts.
pub(crate) const MAX_FRAME: usize = 32 << 20;

/// A request or response with the id that pairs them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Message<T> {
    pub(crate) id: u64,
    pub(crate) body: T,
}

pub(crate) fn framing() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME).new_codec()
}

pub(crate) fn encode<T: Serialize>(id: u64, body: T) -> Result<Bytes, String> {
    let bytes = postcard::to_stdvec(&Message { id, body }).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_FRAME {
        return Err(format!("a message of {} bytes: {MAX_FRAME} at most, send smaller pages", bytes.len()));
    }
    Ok(bytes.into())
}

/// Trailing bytes are garbage too: a frame is one message and nothing else.
pub(crate) fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<Message<T>, String> {
    match postcard::take_from_bytes(frame) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(format!("{} bytes after the message", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}
