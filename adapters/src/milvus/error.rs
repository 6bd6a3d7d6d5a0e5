//! What went wrong, and the ledger's one question: could a write that failed have happened all the same?

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use harness::ports::PortError;
use milvus::proto::common::Status;

use crate::s3::S3Error;

/// Why Milvus did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum MilvusError {
    /// No connection was made: nothing was sent.
    #[error("not sent: {0}")]
    NotSent(String),
    /// The call broke: nobody knows whether it was carried out.
    #[error("the call broke: {0}")]
    Broken(String),
    /// Milvus answered with an error.
    #[error("Milvus answered code {code}: {reason}")]
    Answered {
        /// Its code.
        code: i32,
        /// Its words.
        reason: String,
    },
    /// An answer that makes no sense.
    #[error("a garbled answer: {0}")]
    Garbled(String),
    /// The request cannot be put into words.
    #[error("{0}")]
    Unspeakable(String),
    /// Something did not come about in time.
    #[error("{what} did not come about within {limit:?}; last seen: {seen}")]
    Late {
        /// What was awaited.
        what: &'static str,
        /// For how long.
        limit: Duration,
        /// What was there instead.
        seen: String,
    },
    /// Rebuilding would read segment data that is not what was written, which kills the server.
    #[error("refused: {0} segment files are not what was written, first {1}; restore them first")]
    RottenSegments(usize, String),
    /// The object store failed.
    #[error("{0}")]
    Store(#[from] S3Error),
}

impl MilvusError {
    /// True if the request surely changed nothing.
    pub fn is_definite(&self) -> bool {
        match self {
            MilvusError::NotSent(_) | MilvusError::Unspeakable(_) | MilvusError::RottenSegments(..) => true,
            // Which codes come before a write is handed to the log is nowhere promised: each is a "perhaps".
            MilvusError::Answered { .. }
            | MilvusError::Broken(_)
            | MilvusError::Garbled(_)
            | MilvusError::Late { .. }
            | MilvusError::Store(_) => false,
        }
    }
}

impl From<tonic::Status> for MilvusError {
    fn from(status: tonic::Status) -> Self {
        harness::shortage::notice_in(&status);
        let mut said = format!("{:?}: {}", status.code(), status.message());
        let mut cause = status.source();
        while let Some(error) = cause {
            // A refused connection carries nothing. Everything else may have been read by somebody.
            let refused = error.downcast_ref::<std::io::Error>();
            if refused.is_some_and(|e| e.kind() == ErrorKind::ConnectionRefused) {
                return MilvusError::NotSent(error.to_string());
            }
            let why = error.to_string();
            if !said.contains(&why) {
                said = format!("{said}: {why}");
            }
            cause = error.source();
        }
        MilvusError::Broken(said)
    }
}

impl From<MilvusError> for PortError {
    fn from(error: MilvusError) -> Self {
        let why = error.to_string();
        if error.is_definite() { PortError::Definite(why) } else { PortError::Indefinite(why) }
    }
}

/// Reads the status inside an answer. An answer without one is garbled.
pub(crate) fn check(status: Option<Status>) -> Result<(), MilvusError> {
    let status = status.ok_or_else(|| MilvusError::Garbled("an answer without a status".into()))?;
    #[expect(deprecated, reason = "servers before 2.3 fill this field only")]
    let legacy = status.error_code;
    match (status.code, legacy) {
        (0, 0) => Ok(()),
        // The old codes are of another numbering: whatever they say, the write is in doubt.
        (0, legacy) => Err(MilvusError::Answered { code: -legacy, reason: status.reason }),
        (code, _) => Err(MilvusError::Answered { code, reason: status.reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_never_sent_is_definite() {
        let answered = |code| MilvusError::Answered { code, reason: "x".into() };
        for code in [-1, 1, 2, 5, 100, 103, 1100, 1804, 65535] {
            assert!(!answered(code).is_definite(), "{code}");
        }
        assert!(MilvusError::NotSent("x".into()).is_definite());
        assert!(!MilvusError::Broken("x".into()).is_definite());
        assert!(!MilvusError::from(tonic::Status::unavailable("gone")).is_definite());
        assert!(!MilvusError::from(tonic::Status::deadline_exceeded("late")).is_definite());
    }

    #[test]
    fn an_answer_without_status_is_no_success() {
        assert!(matches!(check(None), Err(MilvusError::Garbled(_))));
        assert!(check(Some(Status::default())).is_ok());
        let refused = Status { code: 100, reason: "no".into(), ..Status::default() };
        assert!(matches!(check(Some(refused)), Err(MilvusError::Answered { code: 100, .. })));
    }
}
