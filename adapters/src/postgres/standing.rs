//! Where a server stands: whether it takes writes, how far its log goes, and how it is made to take none.

use std::time::Duration;

use super::login::literal;
use super::node::{Node, NodeError, until};
use super::shell::must;

/// An orderly stop waits for standbys to have the whole log; a frozen or unreachable one would be waited for in vain.
const STOP_LIMIT: &str = "10";

impl Node {
    /// Whether it is a standby, which takes no writes.
    ///
    /// # Errors
    /// See [`NodeError`]: nobody can say.
    pub async fn standby(&self) -> Result<bool, NodeError> {
        Ok(self.in_recovery().await?)
    }

    /// How far its log goes: of a primary, what is on its disk; of a standby, what its readers see.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn position(&self) -> Result<String, NodeError> {
        let sql = "SELECT coalesce(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                        ELSE pg_current_wal_flush_lsn() END::text, '0/0')";
        Ok(self.operators().value(sql).await?)
    }

    /// Waits until a standby shows its readers everything up to a position.
    ///
    /// # Errors
    /// [`NodeError::Late`] among others.
    pub async fn reaches(&self, position: &str, limit: Duration) -> Result<(), NodeError> {
        let sql =
            format!("SELECT coalesce(pg_last_wal_replay_lsn() >= {}::pg_lsn, false)", literal(position));
        until("the standby has everything", limit, async || {
            let there: bool = self.operators().value(&sql).await?;
            Ok(there.then_some(()).ok_or(format!("it has not reached {position}")))
        })
        .await
    }

    /// Makes a running primary take no writes, whoever starts it again: it is stopped, which gives its standbys all of
    /// its log as far as they are reached, and started as a standby of nobody. Answers how far its log goes.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn fence(&self) -> Result<String, NodeError> {
        let mut orderly = self.layout.stop("fast");
        // The last word counts.
        orderly.argv.push(format!("--timeout={STOP_LIMIT}"));
        if self.runs().await? && must(self.shell.as_ref(), orderly).await.is_err() {
            self.stop(true).await?;
        }
        let nobody = "primary_conninfo = ''\nprimary_slot_name = ''\nsynchronous_standby_names = ''\n";
        self.signal("standby.signal", nobody).await?;
        self.start().await?;
        if !self.standby().await? {
            return Err(NodeError::Refused(format!("{} still takes writes", self.name)));
        }
        self.position().await
    }
}
