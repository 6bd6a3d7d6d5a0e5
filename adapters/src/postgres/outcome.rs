//! Which errors are definite: the only question that a ledger asks of a failed write.
//!
//! Every write is one statement, committed with it. Once it was sent, the client cannot know where its connection
//! broke: before the commit, or between commit and answer. So only the server's own word counts, and only a plain
//! `ERROR`: it is raised before the commit record, and the transaction is undone. `FATAL` and `PANIC` end a backend at
//! any moment, also after the commit (a shutdown while it waits for a standby), and so do the operator's interventions.
//!
//! A cancelled wait for a synchronous standby is the trap: the server commits, tells a *warning*, and then success, of
//! a row that no standby has. [`commits_alone`] knows the warning.

use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::features::CallError;

/// The class of a refusal that says nothing of the statement: connection trouble, an operator's intervention.
const INTERVENTIONS: [&str; 2] = ["08", "57"];

/// What a question that was sent came to.
pub(super) fn of_sent(error: &tokio_postgres::Error) -> CallError {
    harness::shortage::notice_in(error);
    match error.as_db_error() {
        Some(refusal) if refused(refusal.parsed_severity(), refusal.code()) => {
            CallError::Refused(words(refusal))
        }
        Some(refusal) => CallError::Indefinite(words(refusal)),
        None => CallError::Indefinite(chain(error)),
    }
}

/// Whether a refusal of a statement says that it was not done.
fn refused(severity: Option<Severity>, code: &SqlState) -> bool {
    let class = code.code().get(..2).unwrap_or_default();
    severity == Some(Severity::Error)
        && !INTERVENTIONS.contains(&class)
        && *code != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
}

/// What an attempt to connect came to: whatever it was, the question was never sent.
pub(super) fn of_connecting(error: &tokio_postgres::Error) -> CallError {
    harness::shortage::notice_in(error);
    CallError::NotSent(error.as_db_error().map_or_else(|| chain(error), words))
}

/// Whether a notice says that a transaction was committed here and perhaps nowhere else.
pub(super) fn commits_alone(notice: &DbError) -> bool {
    alone(notice.parsed_severity(), notice.routine())
}

/// The warning has no code of its own, and its words are in the server's language: it is known by who gives it.
fn alone(severity: Option<Severity>, routine: Option<&str>) -> bool {
    severity == Some(Severity::Warning) && routine == Some("SyncRepWaitForLSN")
}

fn words(refusal: &DbError) -> String {
    format!("{} ({})", refusal.message(), refusal.code().code())
}

/// An error with what it came from.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_error_is_definite() {
        let table = [
            (Severity::Error, SqlState::READ_ONLY_SQL_TRANSACTION, true),
            (Severity::Error, SqlState::UNIQUE_VIOLATION, true),
            (Severity::Error, SqlState::DISK_FULL, true),
            (Severity::Error, SqlState::DATA_CORRUPTED, true),
            (Severity::Error, SqlState::UNDEFINED_TABLE, true),
            (Severity::Error, SqlState::QUERY_CANCELED, false),
            (Severity::Error, SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN, false),
            (Severity::Error, SqlState::TRANSACTION_RESOLUTION_UNKNOWN, false),
            (Severity::Fatal, SqlState::ADMIN_SHUTDOWN, false),
            (Severity::Fatal, SqlState::CRASH_SHUTDOWN, false),
            (Severity::Fatal, SqlState::UNIQUE_VIOLATION, false),
            (Severity::Panic, SqlState::DISK_FULL, false),
        ];
        for (severity, code, definite) in table {
            assert_eq!(refused(Some(severity), &code), definite, "{severity:?} {code:?}");
        }
        assert!(!refused(None, &SqlState::UNIQUE_VIOLATION));
    }

    #[test]
    fn a_commit_that_no_standby_has_is_known_by_its_warning() {
        assert!(alone(Some(Severity::Warning), Some("SyncRepWaitForLSN")));
        assert!(!alone(Some(Severity::Notice), Some("SyncRepWaitForLSN")));
        assert!(!alone(Some(Severity::Warning), Some("BufferSync")));
        assert!(!alone(Some(Severity::Warning), None));
    }
}
