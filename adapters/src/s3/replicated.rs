//! The store as a product that can be replicated: its change log, spoken by [`crate::replica`].
//!
//! Objects travel in parts (see `change`), so one of any size passes links of any speed, is never in memory as a
//! whole, and goes on where it was after a cut. What arrives is checked against the checksum that was logged when the
//! object was written: damage to a source's files is not replicated, and such an object is missing at the follower
//! until it is written again.

use std::sync::Arc;

use bytes::Bytes;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use tokio::sync::watch;

use super::change::{Content, Name, Op};
use super::staging::{Arrived, Staging};
use super::store::{Change, Store, StoreError};
use crate::replica::{Batch, NotWritable, Permit, Position, Replicable, Standing};

/// Rounds of waiting for versions that overtook a write.
const ROUNDS: usize = 8;

/// A store that follows and is followed.
#[derive(Debug)]
pub(super) struct Replicated(pub(super) Store);

#[async_trait::async_trait]
impl Replicable for Replicated {
    fn position(&self) -> Position {
        let (timeline, lsn) = self.0.position();
        Position { timeline, lsn }
    }

    fn durable(&self) -> watch::Receiver<u64> {
        self.0.durable()
    }

    async fn changes(&self, since: u64, limit: usize) -> Result<Batch, String> {
        let found = self.0.changes(since, limit).await?;
        let ops = found.ops.into_iter().map(Bytes::from).collect();
        Ok(Batch { ops, upto: found.upto, more: found.more })
    }

    async fn apply(&self, ops: Vec<Bytes>) -> Result<(), String> {
        let told = |e: StoreError| e.to_string();
        let heads: Vec<(Name, _)> = ops
            .iter()
            .map(|op| Op::decode(op).map(|(op, _)| (op.name, op.version)))
            .collect::<Result<_, _>>()?;
        let wants = self.0.wants(heads).await.map_err(told)?;
        let staging = self.0.staging().clone();
        let arrived = tokio::task::spawn_blocking(move || {
            let arrived = ops.iter().zip(wants).map(|(op, wanted)| arrive(&staging, op, wanted));
            arrived.filter_map(Result::transpose).collect::<Result<Vec<Change>, String>>()
        });
        let changes = arrived.await.map_err(|e| e.to_string())??;
        self.0.change_all(changes).await.map_err(told)
    }

    async fn wipe(&self) -> Result<(), String> {
        self.0.wipe().await.map_err(|e| e.to_string())
    }
}

/// Takes what a message holds; answers the change that can be made now, if any.
fn arrive(staging: &Staging, message: &[u8], wanted: bool) -> Result<Option<Change>, String> {
    let (Op { name, version, content }, part) = Op::decode(message)?;
    if !wanted {
        staging.forget(&name, Some(&version));
        return Ok(None);
    }
    let change =
        |name, staged| Some(Change { name, state: version.state, staged, stamp: Some(version.stamp) });
    match content {
        Content::None => Ok(change(name, None)),
        Content::Unreadable => {
            tracing::warn!("object node: the source cannot read {name:?}: it is not replicated");
            staging.forget(&name, Some(&version));
            Ok(None)
        }
        Content::Part { offset } => match staging.arrive(&name, version, offset, part) {
            Ok(Arrived::Whole(staged)) => Ok(change(name, Some(staged))),
            Ok(Arrived::Part) => Ok(None),
            Ok(Arrived::Damaged) => {
                tracing::warn!("object node: the source's {name:?} is damaged: it is not replicated");
                Ok(None)
            }
            Err(e) => Err(e.to_string()),
        },
    }
}

/// What a user's write needs on a replicated node.
#[derive(Debug, Clone)]
pub(super) struct Rights(pub(super) Option<Arc<Standing>>);

impl Rights {
    /// The right to commit one write.
    pub(super) fn permit(&self) -> S3Result<Option<Permit>> {
        let Some(standing) = &self.0 else { return Ok(None) };
        standing.may_write().map(Some).map_err(|why| refusal(&why))
    }

    /// Returns when a write may be acknowledged.
    ///
    /// A follower is told the newest version of each name only. So one that has confirmed a write may never have
    /// heard of it, if another overtook it: then that one has to be confirmed too.
    pub(super) async fn confirmed(
        &self,
        permit: Option<Permit>,
        store: &Store,
        name: Name,
        mut lsn: u64,
    ) -> S3Result<()> {
        let mut permit = permit;
        for _ in 0..ROUNDS {
            let Some(granted) = permit else { return Ok(()) };
            granted.confirmed(lsn).await.map_err(|e| s3_error!(ServiceUnavailable, "{e}"))?;
            let newest = store.newest(name.clone()).await.map_err(|e| s3_error!(e, InternalError))?;
            if newest <= lsn {
                return Ok(());
            }
            lsn = newest;
            // It was made, so whoever is refused now is told that nobody knows.
            permit = self.permit().map_err(|e| s3_error!(e, ServiceUnavailable))?;
        }
        Err(s3_error!(ServiceUnavailable, "it was overwritten again and again"))
    }
}

/// Surely nothing was done: 403, with a code that names the reason.
fn refusal(why: &NotWritable) -> S3Error {
    let code = match why {
        NotWritable::Standby => "NodeIsStandby",
        NotWritable::Fenced(_) => "NodeIsFenced",
    };
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), why.to_string());
    error.set_status_code(hyper::StatusCode::FORBIDDEN);
    error
}
