//! Evidence: what lets somebody who trusts neither the operator nor gameday check a drill.
//!
//! A folder of evidence is plain files and three ideas:
//!
//! - **Declared first.** [`ledger`]: every run is written down, with the hash of its scenario and its thresholds, before
//!   the first fault; each line carries the hash of the line before. A run that was declared and never closed counts as
//!   failed, so a bad one cannot be left out.
//! - **Sealed after.** [`seal`]: `SHA256SUMS` of the run's files, signed; its own hash stands in the ledger.
//! - **One signed head.** [`store`]: `HEAD` says how many lines the ledger has, and which; whoever kept an older copy
//!   of it elsewhere (an anchor) finds out when the ledger was rolled back. Nothing else finds that.
//!
//! A closed run is also stated as others state such things: [`attest`], a signed in-toto statement, whose hash stands in
//! the ledger.
//!
//! Everything is checked by [`verify`], and without gameday by `ssh-keygen`, `sha256sum` and [`AUDITOR`], a short
//! script. Keys are trusted only because a file from elsewhere names them ([`keys`]); none in the evidence is believed.
//! What this does not prove: the holder of the key can still play a drill of his own invention.

pub mod attest;
pub mod bundle;
pub mod dsse;
pub mod keys;
pub mod ledger;
pub mod plain;
pub mod recompute;
pub mod record;
pub mod review;
pub mod seal;
pub mod signers;
pub mod stamps;
pub mod store;
pub mod verify;

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::Path,
    time::{Duration, SystemTime},
};

/// The auditor's own check: POSIX shell, `ssh-keygen` and `sha256sum`.
pub const AUDITOR: &str = include_str!("auditor.sh");
/// How to use it, in words.
pub const AUDITOR_WORDS: &str = include_str!("AUDITOR.md");

/// Who must act on what went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// Whoever typed the command.
    Usage,
    /// Whoever runs the machine.
    Environment,
    /// The evidence does not verify.
    Evidence,
}

/// Why something could not be done, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// Who must act.
    pub whose: Whose,
    /// What happened; names the file, and the line where there is one.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Trouble {
    pub(crate) fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Trouble {
        Trouble { whose: Whose::Usage, what: what.into(), remedy: remedy.into() }
    }

    pub(crate) fn evidence(what: impl Into<String>, remedy: impl Into<String>) -> Trouble {
        Trouble { whose: Whose::Evidence, what: what.into(), remedy: remedy.into() }
    }

    pub(crate) fn read(path: &Path, e: &io::Error) -> Trouble {
        Trouble::usage(format!("`{}` cannot be read: {e}", path.display()), "name a file that is there")
    }

    pub(crate) fn unread(path: &Path, e: &plain::Unread) -> Trouble {
        Trouble::usage(format!("`{}`: {e}", path.display()), "name a plain file that is there")
    }

    pub(crate) fn write(path: &Path, e: &io::Error) -> Trouble {
        Trouble {
            whose: Whose::Environment,
            what: format!("`{}` cannot be written: {e}", path.display()),
            remedy: "free the disk, or name a folder that can be written".into(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl std::error::Error for Trouble {}

/// The wall clock as evidence writes it: RFC 3339, UTC, whole seconds.
///
/// # Errors
/// If the clock stands where no stamp can be written.
pub fn stamp(at: SystemTime) -> Result<String, Trouble> {
    harness::time::wall_seconds(at).map_err(|e| Trouble {
        whose: Whose::Environment,
        what: e.to_string(),
        remedy: "set the clock: evidence carries its time".into(),
    })
}

/// The inverse of [`stamp`]; `None` for anything that it would not have written.
pub fn time_of(stamp: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(stamp).ok().filter(|at| self::stamp(*at).is_ok_and(|s| s == stamp))
}

/// Seconds since 1970 of a stamp.
pub fn unix_of(stamp: &str) -> Option<u64> {
    time_of(stamp)?.duration_since(SystemTime::UNIX_EPOCH).ok().map(|d: Duration| d.as_secs())
}

/// Writes a file so that a reader sees the old content or the new one, never a part: temporary file, sync, rename.
///
/// What is there and is no plain file (a device, a pipe) is not replaced.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other("there is something that is not a plain file"));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::File::create(&fresh).and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()));
    written.and_then(|()| fs::rename(&fresh, path)).inspect_err(|_| drop(fs::remove_file(&fresh)))
}
