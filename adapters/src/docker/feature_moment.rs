//! A PostgreSQL as it was at one moment: point-in-time recovery from the object store.
//!
//! A full backup copies the cluster; with it, and with every incremental one after it, a restore point is named and the
//! log up to there is shipped: see `crate::postgres::ship`. A restore puts the cluster back and replays the log up to the
//! newest restore point at which the audit finds nothing: points go on being named while an intruder is at work, and one
//! that holds his work restores it. What was written after the point is lost, and nothing replays it.
//!
//! The audit's references are left out of that: they may be broken by objects of models, which are not this server's.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use harness::act::BackupKind;
use harness::ports::Effect;

use super::postgres::Postgres;
use crate::features::acts::Buckets;
use crate::features::{Audit, audit};
use crate::postgres::{Node, NodeError, RestorePoint};
use crate::s3::S3;

fn failed(e: impl std::fmt::Display) -> Effect {
    Effect::failed(e.to_string())
}

/// Names the present moment, and brings what it takes to go back there into the object store.
pub(super) async fn back_up(held: &Postgres, backups: &S3, kind: BackupKind) -> Result<Effect, Effect> {
    let _turn = held.turn.lock().await;
    let node = held.node().map_err(Effect::failed)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let shipped = async {
        if kind == BackupKind::Full {
            node.base_backup().await?;
        }
        let point = node.restore_point(&format!("at-{}", now.as_micros())).await?;
        let shipped = match kind {
            BackupKind::Full => node.ship(backups, &point).await?,
            BackupKind::Incremental => node.ship_log(backups, &point).await?,
        };
        Ok::<_, NodeError>((point, shipped))
    };
    let (point, shipped) = shipped.await.map_err(failed)?;
    let text = format!(
        "restore point {}: {} new of {} files of the log are in the object store, beside a copy of the cluster of {} bytes",
        point.name(),
        shipped.new,
        shipped.segments,
        shipped.base_bytes
    );
    Ok(Effect::observed(text).with("point", point.name()).with("segments", shipped.new))
}

/// Takes the server back to the newest restore point at which the audit finds nothing.
pub(super) async fn restore(held: &Postgres, buckets: &Buckets<'_>) -> Result<Effect, Effect> {
    let _turn = held.turn.lock().await;
    let began = Instant::now();
    let node = held.node().map_err(Effect::failed)?;
    // All of it is verified before any of it is used.
    let points = node.fetch(buckets.backups, node.name()).await.map_err(failed)?;
    let mut passed = Vec::new();
    for point in points.iter().rev() {
        if let Some(why) = taken_back(node, point, buckets).await? {
            passed.push(format!("{}: {why}", point.name()));
            continue;
        }
        node.abandon_after(buckets.backups, point).await.map_err(failed)?;
        let entities = node.health().await.map_err(failed)?.entities;
        let took = began.elapsed().as_secs_f64();
        let mut text = format!(
            "back at restore point {}, the newest of {} at which the audit finds nothing: {entities} entities after \
             {took:.2} s",
            point.name(),
            points.len(),
        );
        if !passed.is_empty() {
            text += &format!("; newer ones are not clean ({})", passed.join(", "));
        }
        return Ok(Effect::observed(text)
            .with("path", "moment")
            .with("point", point.name())
            .with("points_passed", passed.len())
            .with("act_seconds", format!("{took:.3}")));
    }
    Err(Effect::not_observed(format!(
        "none of {} restore points is clean: {}",
        points.len(),
        passed.join(", ")
    )))
}

/// Goes to a restore point, and says what the audit finds there.
async fn taken_back(
    node: &Node,
    point: &RestorePoint,
    buckets: &Buckets<'_>,
) -> Result<Option<String>, Effect> {
    node.recover_to(point).await.map_err(failed)?;
    let found = audit(node.operators(), buckets.models, buckets.backups).await.map_err(failed)?;
    let own = Audit { references: Vec::new(), ..found };
    Ok((!own.clean()).then(|| own.to_string()))
}
