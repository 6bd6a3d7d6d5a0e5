//! Canaries, planted ahead of time and pruned by age: made for cron.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::own::stack::Stack;

use super::bucket::record;
use super::place::{self, Place, Sited, Unread};
use super::secrets::Secrets;

/// The components of a stack that have canaries, or those that are named.
///
/// # Errors
/// The name that has none.
pub fn components<'a>(stack: &'a Stack, named: &[String]) -> Result<Vec<&'a String>, String> {
    if let Some(wrong) = named.iter().find(|id| !stack.canary.contains_key(*id)) {
        return Err(format!("[canary] has no `{wrong}`"));
    }
    Ok(stack.canary.keys().filter(|id| named.is_empty() || named.contains(id)).collect())
}

fn open(stack: &Stack, id: &String, dir: &Path, secrets: &Arc<Secrets>) -> Result<Arc<dyn Place>, Unread> {
    let sited = Sited {
        component: &stack.component[id],
        canary: stack.canary.get(id),
        secrets,
        scratch: false,
        dir,
        run: "gameday-canary",
    };
    place::open(sited).map_err(Unread::Failed)
}

/// Plants one canary; answers with its name.
///
/// # Errors
/// Why it could not be planted.
pub async fn plant(stack: &Stack, id: &String, dir: &Path, secrets: &Arc<Secrets>) -> Result<String, Unread> {
    let record = record().map_err(|e| Unread::Failed(e.to_string()))?;
    let planted = open(stack, id, dir, secrets)?.plant(&record).await;
    planted.map(|()| record.id).map_err(|e| hidden(&e, secrets))
}

/// Removes the canaries that are older than the stack's file says; answers how many.
///
/// # Errors
/// Why they could not be removed.
pub async fn prune(stack: &Stack, id: &String, dir: &Path, secrets: &Arc<Secrets>) -> Result<u64, Unread> {
    let keep = stack.canary.get(id).map_or(Duration::MAX, |c| c.keep.std());
    let before = SystemTime::now().checked_sub(keep).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let before_us = u64::try_from(before.unwrap_or_default().as_micros()).unwrap_or(0);
    open(stack, id, dir, secrets)?.prune(before_us).await.map_err(|e| hidden(&e, secrets))
}

fn hidden(e: &Unread, secrets: &Secrets) -> Unread {
    Unread::Failed(secrets.hide(&e.to_string()))
}
