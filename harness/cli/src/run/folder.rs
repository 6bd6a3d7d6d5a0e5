//! The folder of one run: everything that the verdict rests on, and everything that is said about it.
//!
//! Every file is made before the drill begins, so that a wrong path fails before anything is broken.

use std::{
    fs::{self, File},
    hash::{BuildHasher as _, RandomState},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use harness::{report::Report, time::wall_seconds};
use reports::Format;

use super::select::Drill;
use crate::exit::Failure;

/// A run's folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    run: String,
    started: String,
}

impl Folder {
    /// Makes the folder, the scenario's copy and the empty reports, and points `latest` at it.
    pub(super) fn create(out: &Path, drill: &Drill) -> Result<Folder, Failure> {
        let wrong = |e: io::Error| {
            let what = format!("no run can be kept in `{}`: {e}", out.display());
            Failure::usage(what, "choose a folder that can be written with --out")
        };
        fs::create_dir_all(out).map_err(wrong)?;
        let started = wall_seconds(SystemTime::now())
            .map_err(|e| Failure::environment(e.to_string(), "set the clock: every run carries its time"))?;
        let compact: String = started.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        let (run, path) = loop {
            let suffix = RandomState::new().hash_one(std::process::id()) & 0xffff_ffff;
            let run = format!("{compact}-{}-{suffix:08x}", drill.name());
            let path = out.join(&run);
            match fs::create_dir(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => break made.map(|()| (run, path)).map_err(wrong)?,
            }
        };
        fs::write(path.join("scenario.toml"), &drill.input.bytes).map_err(wrong)?;
        for format in Format::ALL {
            File::create_new(path.join(format.file_name())).map_err(wrong)?;
        }
        point_latest(out, &run).map_err(wrong)?;
        Ok(Folder { path, run, started })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Names the run and whatever it starts.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// The wall clock at the start, RFC 3339.
    pub(super) fn started(&self) -> &str {
        &self.started
    }

    /// The journal's file; not made yet.
    pub(super) fn journal(&self) -> PathBuf {
        self.path.join("journal.jsonl")
    }

    /// Keeps a journal that was made in memory.
    pub(super) fn write_journal(&self, bytes: &[u8]) -> Result<(), Failure> {
        fs::write(self.journal(), bytes).map_err(|e| disk_failed(&self.path, &e))
    }

    /// Writes every report.
    pub(super) fn write_reports(&self, report: &Report) -> Result<(), Failure> {
        for format in Format::ALL {
            let written = fs::write(self.path.join(format.file_name()), format.render(report));
            written.map_err(|e| disk_failed(&self.path, &e))?;
        }
        Ok(())
    }
}

/// The evidence could not be written.
pub(super) fn disk_failed(folder: &Path, e: &io::Error) -> Failure {
    Failure::environment(
        format!("`{}` cannot be written: {e}", folder.display()),
        "free the disk, or choose another folder with --out, and play the drill again",
    )
}

/// A link is swapped by renaming a new one over it: there is never a moment without one.
fn point_latest(out: &Path, run: &str) -> io::Result<()> {
    let fresh = out.join(format!(".latest-{run}"));
    std::os::unix::fs::symlink(run, &fresh)?;
    fs::rename(&fresh, out.join("latest")).inspect_err(|_| drop(fs::remove_file(&fresh)))
}
