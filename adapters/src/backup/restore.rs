//! Bringing a chain back: onto the node it is of, into another one, or onto a standby that holds a part of it.
//!
//! Everything is fetched and verified first, and handed to the node page by page, which keeps it beside its data;
//! only then the node is told to take it. Afterwards everything is read back from the node and compared.

use super::chain::{Step, names, newest, walk};
use super::manifest::{After, Link, damaged};
use super::state::State;
use super::{Applied, BackupError, LONG, PAGE, Restored};
use crate::s3::S3;
use crate::vectordb::{BuildEngine, Client, Imported, Page};

/// Restores the newest chain: its records, the node's own newer writes on top where their files are intact, and the
/// index that was there when the newest link was taken.
///
/// # Errors
/// See [`BackupError`].
pub async fn restore(client: &Client, s3: &S3, collection: &str) -> Result<Restored, BackupError> {
    bring_back(client, s3, collection, true).await
}

/// Restores the newest chain into another node than the one it is of. Nothing that this node held is kept, and it
/// begins a history of its own. [`catch_up`] goes on from there.
///
/// # Errors
/// See [`BackupError`].
pub async fn restore_into(client: &Client, s3: &S3, collection: &str) -> Result<Restored, BackupError> {
    bring_back(client, s3, collection, false).await
}

async fn bring_back(
    client: &Client,
    s3: &S3,
    collection: &str,
    own_writes: bool,
) -> Result<Restored, BackupError> {
    let missing = || BackupError::Missing(collection.to_owned());
    let link = newest(s3, collection).await?.ok_or_else(missing)?;
    let timestamp = link.timestamp.clone();
    let steps = walk(s3, collection, link.clone(), None).await?;
    let point = steps.last().map(|step| step.manifest.point).ok_or_else(missing)?;
    let mut spec = None;
    for step in &steps {
        spec = step.spec(s3).await?;
    }
    let unfinished = names(s3, collection).await?.into_keys().filter(|name| *name > timestamp).collect();
    let (import, state) = stage(client, s3, &steps).await?;
    let patient = client.within(LONG);
    let imported = patient.import_commit(import, own_writes.then_some(point)).await?;
    verify(client, &timestamp, &state, imported).await?;
    let index = match spec {
        Some(spec) => Some(patient.build_index(spec, BuildEngine::Cpu).await?),
        None => None,
    };
    let applied = applied(&steps, link, steps.iter().map(|step| step.manifest.changes).sum());
    let records = state.census().live;
    Ok(Restored { timestamp, records, imported, index, unfinished, applied })
}

fn applied(steps: &[Step], link: Link, changes: u64) -> Applied {
    Applied { link, incrementals: steps.len().saturating_sub(1), changes }
}

/// Hands every change to the node. Each link must add up to the state that its manifest promises.
async fn stage(client: &Client, s3: &S3, steps: &[Step]) -> Result<(u64, State), BackupError> {
    let import = client.import_begin().await?;
    let mut state = State::default();
    for step in steps {
        let (mut changes, mut last) = (0, None);
        for entry in &step.manifest.pages {
            let page = step.page(s3, entry, &mut last).await?;
            changes += page.len() as u64;
            page.iter().for_each(|change| state.add(change));
            client.import_page(import, page).await?;
        }
        check(step, changes, Some(&state))?;
    }
    Ok((import, state))
}

/// Compares a link's manifest with what its pages held.
pub(super) fn check(step: &Step, changes: u64, state: Option<&State>) -> Result<(), BackupError> {
    let manifest = &step.manifest;
    if changes != manifest.changes {
        let why = format!("it promises {} changes, and its objects hold {changes}", manifest.changes);
        return Err(damaged(&step.manifest_object(), why));
    }
    let found = state.map(|state| After::from(state.census()));
    if let (Some(found), Some(after)) = (found, &manifest.after)
        && found != *after
    {
        let why = format!("it promises {after:?}, and the chain up to it adds up to {found:?}");
        return Err(damaged(&step.manifest_object(), why));
    }
    Ok(())
}

/// Reads everything back: it may differ from the chain's state by what was replayed and written since, and no more.
pub(super) async fn verify(
    client: &Client,
    timestamp: &str,
    state: &State,
    imported: Imported,
) -> Result<(), BackupError> {
    let not_verified = |why| BackupError::NotVerified { timestamp: timestamp.to_owned(), why };
    let (mut same, mut others, mut after) = (0, 0, None);
    let newer = loop {
        let Page { records, next, point } = client.survivors(after, PAGE).await?;
        for record in &records {
            if state.holds(record) { same += 1 } else { others += 1 }
        }
        if point.timeline != imported.point.timeline {
            return Err(not_verified("the node was replaced meanwhile".into()));
        }
        match next {
            Some(next) => after = Some(next),
            None => break imported.replayed + point.lsn.saturating_sub(imported.point.lsn),
        }
    };
    let gone = state.census().live.saturating_sub(same);
    if gone > newer || others > newer {
        let why =
            format!("{gone} of its records are gone and {others} are others, after {newer} newer writes");
        return Err(not_verified(why));
    }
    let status = client.status().await?;
    let untouched = imported.replayed == 0 && status.point == imported.point;
    if untouched && status.census != state.census() {
        return Err(not_verified(format!(
            "the node shows {:?} instead of {:?}",
            status.census,
            state.census()
        )));
    }
    Ok(())
}

/// Brings a standby, which holds the chain up to `from` and which nobody else writes to, up to the newest link. New
/// records are searched exactly until an index is built. Doing it again changes nothing.
///
/// # Errors
/// [`BackupError::NotInChain`] if the newest chain does not go through that link (a full backup was taken since); else
/// see [`BackupError`].
pub async fn catch_up(
    client: &Client,
    s3: &S3,
    collection: &str,
    from: &Applied,
) -> Result<Applied, BackupError> {
    let missing = || BackupError::Missing(collection.to_owned());
    let link = newest(s3, collection).await?.ok_or_else(missing)?;
    let steps = walk(s3, collection, link.clone(), Some(&from.link)).await?;
    let new = steps.get(1..).unwrap_or_default();
    // Twice over the pages, so that none is applied before all of them verify.
    for step in new {
        step.spec(s3).await?;
        let (mut changes, mut last) = (0, None);
        for entry in &step.manifest.pages {
            changes += step.page(s3, entry, &mut last).await?.len() as u64;
        }
        check(step, changes, None)?;
    }
    let mut stored = 0;
    for step in new {
        let mut last = None;
        for entry in &step.manifest.pages {
            stored += client.apply(step.page(s3, entry, &mut last).await?).await?.stored;
        }
    }
    let census = After::from(client.status().await?.census);
    match steps.last().and_then(|step| step.manifest.after.as_ref()) {
        Some(after) if *after != census => {
            let why = format!("the standby shows {census:?} instead of {after:?}; restore into it anew");
            Err(BackupError::NotVerified { timestamp: link.timestamp, why })
        }
        _ => Ok(applied(&steps, link, stored)),
    }
}
