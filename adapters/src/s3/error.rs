//! What can go wrong between a client and an S3 server, and the one question a ledger asks of it: could the request
//! have taken effect all the same?

use std::time::Duration;

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum S3Error {
    /// The client cannot be built from what it was given.
    #[error("S3 client: {0}")]
    Config(String),
    /// The key cannot be used.
    #[error("S3 {op}: key {key:?}: {why}")]
    Key {
        /// The call.
        op: &'static str,
        /// The key.
        key: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// No connection was made, so nothing was sent.
    #[error("S3 {op}: no connection: {why}; is the node up and the link open?")]
    Connect {
        /// The call.
        op: &'static str,
        /// What failed.
        why: String,
    },
    /// The server spoke S3 and refused before it did anything.
    #[error("S3 {op}: refused with {status} {code}")]
    Refused {
        /// The call.
        op: &'static str,
        /// HTTP status.
        status: u16,
        /// S3 error code.
        code: String,
    },
    /// The server failed while it worked on the request.
    #[error("S3 {op}: the server failed with {status} {code}")]
    Server {
        /// The call.
        op: &'static str,
        /// HTTP status.
        status: u16,
        /// S3 error code, empty if the answer had none.
        code: String,
    },
    /// No complete answer within the limit.
    #[error("S3 {op}: no answer within {limit:?}")]
    Timeout {
        /// The call.
        op: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke after it was made.
    #[error("S3 {op}: the connection broke: {why}")]
    Broken {
        /// The call.
        op: &'static str,
        /// What failed.
        why: String,
    },
    /// The answer is larger than the caller allows.
    #[error(
        "S3 {op}: the answer is larger than {limit} bytes; raise the limit of the client if that is right"
    )]
    TooLarge {
        /// The call.
        op: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// The answer is not what an S3 server says.
    #[error("S3 {op}: not the answer of an S3 server: {why}")]
    Protocol {
        /// The call.
        op: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl S3Error {
    /// True if the request surely had no effect; false if nobody knows.
    pub fn definite(&self) -> bool {
        match self {
            Self::Config(_) | Self::Key { .. } | Self::Connect { .. } | Self::Refused { .. } => true,
            Self::Server { .. }
            | Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::TooLarge { .. }
            | Self::Protocol { .. } => false,
        }
    }

    /// Sorts a transport error. No request is ever sent over a connection that was used before, so a failure to
    /// connect means that nothing was sent; everything later may have arrived.
    pub(super) fn transport(op: &'static str, limit: Duration, error: &reqwest::Error) -> Self {
        harness::shortage::notice_in(error);
        if error.is_timeout() {
            Self::Timeout { op, limit }
        } else if error.is_connect() {
            Self::Connect { op, why: causes(error) }
        } else if error.is_builder() {
            Self::Config(causes(error))
        } else {
            Self::Broken { op, why: causes(error) }
        }
    }
}

/// The chain of causes without the signed address, which carries the access key and a signature.
fn causes(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        parts.push(cause.to_string());
        next = cause.source();
    }
    if parts.is_empty() { "no cause given".to_owned() } else { parts.join(": ") }
}
