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

use adapters::local::Lock;
use harness::{report::Report, time::wall_seconds};
use reports::Format;

use crate::{exit::Failure, say};

/// A run's folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    run: String,
    started: String,
    /// For as long as it is played: nobody may heal it meanwhile.
    _lock: Lock,
}

impl Folder {
    /// Makes the folder, the scenario's copy and the empty reports.
    pub(crate) fn create(out: &Path, name: &str, scenario: &[u8]) -> Result<Folder, Failure> {
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
            let run = format!("{compact}-{name}-{suffix:08x}");
            let path = out.join(&run);
            match fs::create_dir(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => break made.map(|()| (run, path)).map_err(wrong)?,
            }
        };
        fs::write(path.join("scenario.toml"), scenario).map_err(wrong)?;
        for format in Format::ALL {
            File::create_new(path.join(format.file_name())).map_err(wrong)?;
        }
        let lock = Lock::hold(&path).map_err(wrong)?;
        Ok(Folder { path, run, started, _lock: lock })
    }

    /// Points `latest` at it: from here on there is something to report, or to heal. What stands there and is no link
    /// of ours is somebody's, and stays.
    pub(crate) fn begin(&self) {
        let Some(out) = self.path.parent() else { return };
        let latest = out.join("latest");
        let links = fs::symlink_metadata(&latest).map_or(true, |there| there.is_symlink());
        let why = match links {
            true => point_latest(out, &self.run).err().map(|e| e.to_string()),
            false => Some("something else stands there, which stays as it is".into()),
        };
        if let Some(why) = why {
            say::err(&format!(
                "warning: `{}` cannot point to this run: {why}\n  this run is kept in {}\n  remedy: move it away\n",
                latest.display(),
                self.path.display()
            ));
        }
    }

    /// What to type for it: `latest`, where that leads here.
    pub(crate) fn short(&self) -> PathBuf {
        let latest = self.path.with_file_name("latest");
        let leads = fs::read_link(&latest).is_ok_and(|to| to.as_os_str() == self.run.as_str());
        if leads { latest } else { self.path.clone() }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Names the run and whatever it starts.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// The wall clock at the start, RFC 3339.
    pub(crate) fn started(&self) -> &str {
        &self.started
    }

    /// The journal's file; not made yet.
    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join("journal.jsonl")
    }

    /// Keeps a journal that was made in memory.
    pub(super) fn write_journal(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.begin();
        fs::write(self.journal(), bytes).map_err(|e| disk_failed(&self.path, &e))
    }

    /// Writes every report.
    pub(crate) fn write_reports(&self, report: &Report) -> Result<(), Failure> {
        for format in Format::ALL {
            let written = fs::write(self.path.join(format.file_name()), format.render(report));
            written.map_err(|e| disk_failed(&self.path, &e))?;
        }
        Ok(())
    }
}

/// The address of the page in a run's folder, for a browser: absolute, with only what may stand in an address.
pub(super) fn page(folder: &Path) -> String {
    let page = folder.join(Format::Html.file_name());
    let page = page.canonicalize().or_else(|_| std::path::absolute(&page)).unwrap_or(page);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    let written = page.as_os_str().as_encoded_bytes().iter();
    let written = written.map(|&b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") });
    format!("file://{}", written.collect::<String>())
}

/// The evidence could not be written.
pub(crate) fn disk_failed(folder: &Path, e: &io::Error) -> Failure {
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
