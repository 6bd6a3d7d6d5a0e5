//! Whether the engine is well: it answers, and has room on its disk. Where it does not, what is measured says nothing
//! about the products any more, so the drill is broken off as an environment that failed, not as a system that did.
//!
//! Sits beside the drill: [`lost`] is awaited for as long as the drill lasts, and answers only if there is a reason.

use std::time::Duration;

use harness::ports::EnvironmentError;
use rustix::fs::statvfs;
use tokio::time::{sleep, timeout};

use super::{Engine, environment};

/// How often the engine is asked.
const PERIOD: Duration = Duration::from_millis(500);
/// How long it may take to answer, on a machine that is busy as well.
const SILENCE: Duration = Duration::from_secs(15);
/// Room that a stack needs before it is launched, in bytes.
const TO_LAUNCH: u64 = 256 << 20;
/// Room below which products begin to refuse writes, in bytes.
const TO_GO_ON: u64 = 64 << 20;

/// Checks that there is room for a stack.
///
/// # Errors
/// If the disk is nearly full.
pub(super) async fn has_room(engine: &Engine) -> Result<(), EnvironmentError> {
    match root(engine).await {
        Some(root) => room(&root, TO_LAUNCH),
        None => Ok(()),
    }
}

/// Waits until the engine is gone, silent, or out of room, and says so.
pub(super) async fn lost(engine: &Engine) -> EnvironmentError {
    let root = root(engine).await;
    loop {
        let answered = timeout(SILENCE, engine.docker().ping()).await;
        let why = match answered {
            Ok(Ok(_)) => None,
            Ok(Err(e)) => Some(e.to_string()),
            Err(_) => Some(format!("it is silent for {SILENCE:?}")),
        };
        if let Some(why) = why {
            let remedy = "start it again, run `gameday heal` on the run's folder, and play the drill again";
            return environment(
                format!("the container engine was lost in the middle of the drill: {why}"),
                remedy,
            );
        }
        if let Some(Err(full)) = root.as_deref().map(|root| room(root, TO_GO_ON)) {
            return full;
        }
        sleep(PERIOD).await;
    }
}

/// Where the engine keeps what it has, if it says so.
async fn root(engine: &Engine) -> Option<String> {
    let said = timeout(SILENCE, engine.docker().info()).await;
    said.ok()?.ok()?.docker_root_dir
}

/// Whether the disk of a folder has so many bytes left. One that may not be asked is believed to have.
fn room(folder: &str, needed: u64) -> Result<(), EnvironmentError> {
    let Ok(disk) = statvfs(folder) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= needed {
        return Ok(());
    }
    let (free, needed) = (free >> 20, needed >> 20);
    let what =
        format!("the container engine's disk, {folder}, has {free} MiB left, and {needed} MiB are needed");
    Err(environment(
        what,
        "free some: `docker system df` says what takes room, `docker system prune` removes it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        assert_eq!(room(folder, 1), Ok(()));
        let full = room(folder, u64::MAX).unwrap_err();
        assert!(full.what.contains(folder) && full.remedy.contains("prune"), "{full}");
        assert_eq!(room("/no/such/folder", u64::MAX), Ok(()), "nobody knows");
    }
}
