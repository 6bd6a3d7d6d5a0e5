//! Who plays a run holds its lock; the system lets go of it when he dies, however.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The file in a run's folder.
const FILE: &str = "run.lock";

/// Held for as long as a run is played.
#[derive(Debug)]
pub struct Lock {
    _held: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of a run's folder, and writes down who has it.
    ///
    /// # Errors
    /// If the folder cannot be written, or somebody has it.
    pub fn hold(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        let held = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
        flock(&held, FlockOperation::NonBlockingLockExclusive)?;
        std::fs::write(&path, format!("{}\n", std::process::id()))?;
        Ok(Self { _held: held, path })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // What is left of it is held by nobody.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The process that plays a run at this moment, in words; `None` if none does.
pub fn played_by(folder: &Path) -> Option<String> {
    let file = File::open(folder.join(FILE)).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let mut pid = String::new();
    let read = file.take(32).read_to_string(&mut pid);
    let pid = pid.trim();
    let known = read.is_ok() && !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit());
    Some(if known { format!("process {pid}") } else { "a process that did not write down its number".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_played_for_as_long_as_its_lock_is_held() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(played_by(dir.path()), None);
        let held = Lock::hold(dir.path()).unwrap();
        assert_eq!(played_by(dir.path()).unwrap(), format!("process {}", std::process::id()));
        assert!(Lock::hold(dir.path()).is_err());
        drop(held);
        assert_eq!(played_by(dir.path()), None);
        // What a harness that was killed left behind.
        std::fs::write(dir.path().join(FILE), "4711\n").unwrap();
        assert_eq!(played_by(dir.path()), None);
    }
}
