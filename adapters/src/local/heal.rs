//! Cleaning up a run by hand, from its folder alone.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use harness::journal::{Event, EventKind};
use harness::ports::EnvironmentError;
use serde::{Deserialize, Serialize};

use super::hidden::state_of;
use super::sweep::Killed;
use super::watchdog::{self, Guarded, WatchdogError};

/// The file that names the run, written before anything is started.
const FILE: &str = "run.json";
/// The first line of a journal is never longer.
const LINE_MAX: u64 = 16 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Named {
    run: String,
}

/// What a clean-up did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealReport {
    /// The run.
    pub run: String,
    /// Processes that were killed.
    pub killed: Vec<Killed>,
    /// Whether there was state to remove.
    pub removed: bool,
    /// What was removed from a container engine, in words.
    pub from_engine: Vec<String>,
}

impl HealReport {
    /// Whether there was nothing to do.
    pub fn was_clean(&self) -> bool {
        self.killed.is_empty() && !self.removed && self.from_engine.is_empty()
    }
}

/// Ends every process of the run in `folder` and removes its state. Reports and journal stay; what was done is
/// appended to `heal.jsonl`. Nothing to heal is fine.
///
/// # Errors
/// If the folder is not a run's, or something would not go.
pub fn heal(folder: &Path) -> Result<HealReport, EnvironmentError> {
    let folder = folder.canonicalize().map_err(|e| EnvironmentError {
        what: format!("cannot open {}: {e}", folder.display()),
        remedy: "give the folder of a run, such as runs/<name>".into(),
    })?;
    let run = run_of(&folder).ok_or_else(|| EnvironmentError {
        what: format!("{} is not the folder of a run", folder.display()),
        remedy: format!("a run's folder holds `{FILE}` or `journal.jsonl`"),
    })?;
    let guarded = Guarded { run: run.clone(), state: state_of(&folder), run_dir: folder };
    let healed = watchdog::heal(&guarded).map_err(|e| match e {
        WatchdogError::Engine(error) => error,
        other => EnvironmentError {
            what: other.to_string(),
            remedy: "end the named processes and remove the state folder by hand".into(),
        },
    })?;
    Ok(HealReport { run, killed: healed.killed, removed: healed.removed, from_engine: healed.from_engine })
}

/// Writes the run's name into its folder.
pub(crate) fn name_run(folder: &Path, run: &str) -> std::io::Result<()> {
    let named = serde_json::to_string(&Named { run: run.to_owned() }).map_err(std::io::Error::other)?;
    std::fs::write(folder.join(FILE), named + "\n")
}

fn run_of(folder: &Path) -> Option<String> {
    let named = || {
        let file = std::fs::File::open(folder.join(FILE)).ok()?;
        serde_json::from_reader::<_, Named>(file.take(LINE_MAX)).ok().map(|named| named.run)
    };
    let journal = || {
        let file = std::fs::File::open(folder.join("journal.jsonl")).ok()?;
        let mut line = String::new();
        BufReader::new(file.take(LINE_MAX)).read_line(&mut line).ok()?;
        match serde_json::from_str::<Event>(&line).ok()?.kind {
            EventKind::Began(began) => Some(began.run),
            _ => None,
        }
    };
    named().or_else(journal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::sweep::{MARK, find};

    #[test]
    fn what_a_run_left_is_gone_and_healing_twice_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let run = format!("heal-{}", std::process::id());
        name_run(dir.path(), &run).unwrap();
        std::fs::create_dir_all(dir.path().join("state/east-vector")).unwrap();
        std::fs::write(dir.path().join("report.txt"), "kept").unwrap();
        let mut left = std::process::Command::new("sleep").arg("1000").env(MARK, &run).spawn().unwrap();
        let healed = heal(dir.path()).unwrap();
        left.wait().unwrap();
        assert_eq!((healed.killed.len(), healed.removed, healed.run.as_str()), (1, true, run.as_str()));
        assert!(find(&run).unwrap().is_empty());
        assert!(!dir.path().join("state").exists() && dir.path().join("report.txt").exists());
        assert!(heal(dir.path()).unwrap().was_clean());
    }

    #[test]
    fn a_journal_names_its_run() {
        let text = include_str!("../../../scenarios/vector_index_corruption.toml");
        let loaded = harness::diagnose::load(text.as_bytes(), &[]).unwrap();
        let began = harness::sim::began(&loaded.scenario, String::new(), Vec::new());
        let dir = tempfile::tempdir().unwrap();
        let event =
            Event { seq: 0, at_us: 0, prev: String::new(), kind: EventKind::Began(Box::new(began.clone())) };
        std::fs::write(dir.path().join("journal.jsonl"), serde_json::to_string(&event).unwrap() + "\n{torn")
            .unwrap();
        assert_eq!(heal(dir.path()).unwrap().run, began.run);
    }

    #[test]
    fn other_folders_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(heal(dir.path()).is_err());
        assert!(heal(&dir.path().join("nothing")).is_err());
        std::fs::write(dir.path().join(FILE), "{\"run\":\"../x y\"}").unwrap();
        assert!(heal(dir.path()).is_err());
        std::fs::write(dir.path().join(FILE), [0xff; 10]).unwrap();
        assert!(heal(dir.path()).is_err());
    }
}
