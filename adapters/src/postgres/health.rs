//! What a user's operation says of a server: not that it accepts connections, but that it does its work.

use super::node::{Node, NodeError};

/// What was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Health {
    /// It follows another server, and takes no writes.
    pub standby: bool,
    /// Entities with values that a user can read.
    pub entities: u64,
    /// Of a standby, how long ago its newest transaction was committed, in seconds. An idle primary makes it grow.
    pub stale_seconds: Option<f64>,
    /// Pages that failed their checksum since the statistics began.
    pub checksum_failures: u64,
}

impl Node {
    /// Reads as a user does; writes, too, and reads it back over another connection, if it is a primary.
    ///
    /// # Errors
    /// See [`NodeError`]: what a user would have seen.
    pub async fn health(&self) -> Result<Health, NodeError> {
        let standby = self.in_recovery().await?;
        if !standby {
            let beat: i64 = self
                .users()
                .value("UPDATE heartbeat SET beat = beat + 1 WHERE id = 1 RETURNING beat")
                .await?;
            let seen: i64 = self.users().value("SELECT beat FROM heartbeat WHERE id = 1").await?;
            if seen < beat {
                let why = format!("{} acknowledged write {beat} and reads {seen}", self.name);
                return Err(NodeError::Refused(why));
            }
        }
        let entities = "SELECT count(*) FROM entity_rows WHERE f0 IS NOT NULL";
        let entities: i64 = self.users().value(entities).await?;
        let failures = "SELECT coalesce(sum(checksum_failures), 0)::int8 FROM pg_stat_database";
        let failures: i64 = self.operators().value(failures).await?;
        let stale = "SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8";
        let stale: Option<f64> = self.operators().value(stale).await?;
        Ok(Health {
            standby,
            entities: entities.unsigned_abs(),
            stale_seconds: stale.filter(|_| standby),
            checksum_failures: failures.unsigned_abs(),
        })
    }
}
