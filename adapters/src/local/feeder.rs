//! The cron job of a warm standby: what the backups in its region's object store hold is put on as they arrive.
//!
//! It holds the operator's turn while it works, so it never meets a restore or a promotion half-way, and it ends when
//! its node is no standby any more. What it cannot do now (the store is lost, a backup is still on its way) it tries
//! again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use harness::ports::Effect;
use harness::topology::Role;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::product::COLLECTION;
use super::regions::Operator;
use crate::backup::{self, Applied, BackupError};
use crate::replica::{self, ReplicaClient};
use crate::s3::S3;
use crate::vectordb::Client;

/// How often the object store is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// A standby that is fed, and how far it got.
#[derive(Debug, Clone)]
pub(super) struct Fed {
    client: Client,
    control: ReplicaClient,
    backups: S3,
    applied: Arc<Mutex<Option<Applied>>>,
}

impl Fed {
    /// The vector node behind `client`, from the backups in its own region.
    pub(super) fn new(client: Client, control: ReplicaClient, backups: S3) -> Self {
        Self { client, control, backups, applied: Arc::default() }
    }

    fn applied(&self) -> Option<Applied> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, applied: Option<Applied>) {
        *self.applied.lock().unwrap_or_else(PoisonError::into_inner) = applied;
    }

    /// Puts on what is newer than what the node holds. The caller has the operator's turn.
    async fn feed(&self) -> Result<Applied, BackupError> {
        if let Some(applied) = self.applied() {
            match backup::catch_up(&self.client, &self.backups, COLLECTION, &applied).await {
                Ok(newer) => {
                    self.note(Some(newer.clone()));
                    return Ok(newer);
                }
                // What it holds is of no use any more; everything is put on anew.
                Err(BackupError::NotInChain(_) | BackupError::NotVerified { .. }) => self.note(None),
                Err(e) => return Err(e),
            }
        }
        let restored = backup::restore_into(&self.client, &self.backups, COLLECTION).await?;
        self.note(Some(restored.applied.clone()));
        Ok(restored.applied)
    }

    /// The last feeding before the node takes over; `None` if it was never fed. The caller has the operator's turn.
    pub(super) async fn finish(&self) -> Option<Result<Effect, BackupError>> {
        let before = self.applied()?;
        let fed = self.feed().await;
        let live = self.client.status().await.map_or(0, |status| status.live);
        Some(fed.map(|now| {
            let (was, is) = (&before.link.timestamp, &now.link.timestamp);
            let text = format!("fed up to backup {was}, and now up to {is}, the newest here; {live} live");
            Effect::observed(text).with("backup", is).with("incrementals", now.incrementals)
        }))
    }
}

/// The job. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Feeder(JoinHandle<()>);

impl Feeder {
    pub(super) fn start(fed: Fed, operator: Arc<Operator>) -> Self {
        Self(tokio::spawn(async move {
            loop {
                {
                    let _turn = operator.turn(Role::Vector).await;
                    match fed.control.status().await {
                        Ok(status) if status.role != replica::Role::Standby => return,
                        Ok(_) => drop(fed.feed().await.inspect_err(|e| tracing::debug!("warm standby: {e}"))),
                        Err(e) => tracing::debug!("warm standby: {e}"),
                    }
                }
                sleep(EVERY).await;
            }
        }))
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.0.abort();
    }
}
