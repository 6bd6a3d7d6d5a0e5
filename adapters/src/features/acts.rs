//! What operators and intruders do to a feature store, each with what was seen of it; whatever product holds it.

use harness::act::{Artifact, Damage, RestoreScope};
use harness::ports::Effect;

use super::backup::{self, BackupError};
use super::client::CallError;
use super::flaws::Flaw;
use super::holder::{Holder, Operated};
use super::wire::{Strike, Struck};
use crate::s3::S3;

/// Lets an intruder alter the database past digests and log.
pub async fn damage<H: Operated>(
    holder: &H,
    (what, how): (Artifact, Damage),
    fraction: f64,
    seed: u64,
) -> Effect {
    let strike = match (what, how) {
        (Artifact::Values, Damage::Shift) => Strike::ShiftValues(fraction),
        (Artifact::Values, Damage::Forge) => Strike::ForgeValues(fraction),
        (Artifact::Values, Damage::Swap) => Strike::SwapValues(fraction),
        (Artifact::Values, Damage::Delete) => Strike::DeleteRows(fraction),
        (Artifact::Definitions, Damage::Shift) => Strike::AlterDefinitions(fraction),
        (Artifact::Definitions, Damage::Delete) => Strike::DeleteDefinitions(fraction),
        _ => return Effect::failed(format!("{how} of {what} is nothing that a feature node can suffer")),
    };
    struck(holder.strike(strike, seed).await)
}

/// Leaves an intruder's role behind.
pub async fn intrude<H: Operated>(holder: &H) -> Effect {
    struck(holder.strike(Strike::LeaveRole, 0).await)
}

fn struck(struck: Result<Struck, CallError>) -> Effect {
    match struck {
        Ok(struck) if struck.count > 0 => Effect::observed(struck.text).with("struck", struck.count),
        Ok(struck) => Effect::not_observed(struck.text),
        Err(e @ CallError::Indefinite(_)) => Effect::not_observed(e.to_string()),
        Err(e) => Effect::failed(e.to_string()),
    }
}

/// Takes a backup, with the objects of registered models out of `data`, into the bucket `backups` of that name.
pub async fn back_up<H: Holder>(holder: &H, (data, backups): (&S3, &S3), bucket: &str) -> Effect {
    match backup::back_up(holder, backups, Some(data)).await {
        Ok(done) => {
            let (at, rows, records) = (&done.timestamp, done.rows, done.records);
            let text = format!(
                "{rows} rows, {records} records and {} models in {} objects of {bucket}, backup {at}",
                done.models, done.objects
            );
            let effect = Effect::observed(text).with("backup", at).with("rows", rows);
            effect.with("records", records).with("bytes", done.bytes)
        }
        Err(e) => Effect::failed(e.to_string()),
    }
}

/// Restores the newest backup of a bucket, or the newest that a version of the models works with, and puts the objects
/// of registered models back into `data`; with a defect planted on purpose, if one is given.
pub async fn restore<H: Operated>(
    holder: &H,
    (data, backups): (&S3, &S3),
    scope: RestoreScope,
    model: Option<u32>,
    flaw: Option<Flaw>,
) -> Effect {
    let done = backup::restore(holder, backups, Some(data), scope, model, flaw).await;
    let done = match done {
        Ok(done) => done,
        Err(e @ (BackupError::NotVerified { .. } | BackupError::Node(CallError::Indefinite(_)))) => {
            return Effect::not_observed(e.to_string());
        }
        Err(e) => return Effect::failed(e.to_string()),
    };
    let replaced = done.replaced;
    let text = format!(
        "{} rows and {} records of backup {} verified and restored, {} altered or removed ones put right; \
         {} models put right; {} newer writes replayed, {} lost; {} roles removed that nobody granted",
        done.rows,
        done.records,
        done.timestamp,
        replaced.repaired,
        done.models,
        replaced.replayed,
        replaced.refused,
        replaced.roles_removed
    );
    let mut effect = Effect::observed(text)
        .with("backup", &done.timestamp)
        .with("scope", scope)
        .with("rolled_back", replaced.rolled_back)
        .with("rows", done.rows)
        .with("records", done.records)
        .with("repaired", replaced.repaired)
        .with("models", done.models)
        .with("replayed", replaced.replayed)
        .with("refused", replaced.refused)
        .with("roles_removed", replaced.roles_removed)
        .with("full_seconds", format!("{:.3}", done.full_seconds))
        .with("unfinished_backups", done.unfinished.len());
    if let Some(seconds) = done.critical_seconds {
        effect = effect.with("critical_seconds", format!("{seconds:.3}"));
    }
    match done.migrated_from {
        Some(schema) => effect.with("migrated_from_schema", schema),
        None => effect,
    }
}

/// Looks at the store with every detector of compromise.
pub async fn audit<H: Holder>(holder: &H, data: &S3, backups: &S3) -> Effect {
    match super::audit::audit(holder, data, backups).await {
        Ok(audit) => {
            let effect = Effect::observed(audit.to_string())
                .with("items", audit.items)
                .with("digest", audit.digest)
                .with("missing", audit.missing)
                .with("references", audit.references.len());
            match &audit.baseline {
                Ok(at) => effect
                    .with("psi", audit.psi.len())
                    .with("ks", audit.ks.len())
                    .with("roles", audit.roles.len())
                    .with("baseline", at),
                Err(why) => effect.with("baseline", format!("none: {why}")),
            }
        }
        Err(e) => Effect::failed(e.to_string()),
    }
}
