//! Files on their way into the store: written and synced beside the data, then logged, then moved into place.
//!
//! A staged file is removed unless it was moved; those that a killed process left are moved or removed when the store
//! is opened, as the log says. Objects that arrive from another store in several parts grow in the inbox, where they
//! survive a restart, until the last part has come and the whole has the checksum that was promised.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use super::change::{Name, PART, State, Version};

/// The folder of everything that is not data.
pub(super) const FOLDER: &str = ".changes";

/// Where files are staged.
#[derive(Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    next: AtomicU64,
}

/// A complete, synced file that is not in place yet.
#[derive(Debug)]
pub(super) struct Staged {
    path: PathBuf,
    pub(super) id: u64,
    pub(super) state: State,
    kept: bool,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Writing {
    file: File,
    sha: Sha256,
    size: u64,
    staged: Staged,
}

/// What became of a part that arrived.
#[derive(Debug)]
pub(super) enum Arrived {
    /// It is durable; others are missing.
    Part,
    /// The object is complete.
    Whole(Staged),
    /// The object is complete and is not what was promised: its source's file is damaged.
    Damaged,
}

impl Staging {
    /// Opens the folders. The next file gets a number above `used`.
    pub(super) fn open(root: &Path, used: u64) -> io::Result<Self> {
        let folder = root.join(FOLDER);
        for sub in ["staged", "inbox"] {
            fs::create_dir_all(folder.join(sub))?;
        }
        Ok(Self { folder, next: AtomicU64::new(used + 1) })
    }

    pub(super) fn path(&self, id: u64) -> PathBuf {
        self.folder.join("staged").join(id.to_string())
    }

    /// The numbers of the files that are there.
    pub(super) fn left(&self) -> io::Result<Vec<u64>> {
        let names = fs::read_dir(self.folder.join("staged"))?;
        Ok(names.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    /// Makes the names of staged files durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(self.folder.join("staged"))?.sync_all()
    }

    /// A file that was staged before a crash.
    pub(super) fn found(&self, id: u64, state: State) -> Staged {
        Staged { path: self.path(id), id, state, kept: true }
    }

    fn reserve(&self) -> Staged {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let state = State::Object { size: 0, sha256: [0; 32] };
        Staged { path: self.path(id), id, state, kept: false }
    }

    /// Begins a file.
    pub(super) fn begin(&self) -> io::Result<Writing> {
        let staged = self.reserve();
        let file = File::options().write(true).create_new(true).open(&staged.path)?;
        Ok(Writing { file, sha: Sha256::new(), size: 0, staged })
    }

    /// Takes one part of an object of another store and makes it durable.
    pub(super) fn arrive(
        &self,
        name: &Name,
        version: Version,
        offset: u64,
        part: &[u8],
    ) -> io::Result<Arrived> {
        let State::Object { size, .. } = version.state else {
            return Err(io::Error::other("only objects have parts"));
        };
        if size <= PART {
            let mut whole = self.begin()?;
            whole.write(part)?;
            return checked(whole.finish()?, version);
        }
        let path = self.inbox(name, &version);
        if offset == 0 {
            self.forget(name, None);
        }
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        if file.metadata()?.len() < offset {
            return Err(io::Error::other(format!("an earlier part of {name:?} is missing")));
        }
        file.write_all_at(part, offset)?;
        file.sync_data()?;
        if offset == 0 {
            File::open(self.folder.join("inbox"))?.sync_all()?;
        }
        if offset + part.len() as u64 != size {
            return Ok(Arrived::Part);
        }
        let mut staged = self.reserve();
        staged.state = whole(&mut file)?;
        fs::rename(&path, &staged.path)?;
        checked(staged, version)
    }

    /// Drops the parts of a version, or of every version, of an object.
    pub(super) fn forget(&self, name: &Name, version: Option<&Version>) {
        if let Some(version) = version {
            let _ = fs::remove_file(self.inbox(name, version));
            return;
        }
        let prefix = digest(name);
        for entry in fs::read_dir(self.folder.join("inbox")).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|file| file.starts_with(&prefix)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Drops everything.
    pub(super) fn clear(&self) -> io::Result<()> {
        for sub in ["staged", "inbox"] {
            for entry in fs::read_dir(self.folder.join(sub))? {
                fs::remove_file(entry?.path())?;
            }
        }
        Ok(())
    }

    fn inbox(&self, name: &Name, version: &Version) -> PathBuf {
        self.folder.join("inbox").join(format!("{}-{}", digest(name), digest(version)))
    }
}

impl Writing {
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sha.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Makes the bytes durable.
    pub(super) fn finish(self) -> io::Result<Staged> {
        self.file.sync_all()?;
        let state = State::Object { size: self.size, sha256: self.sha.finalize().into() };
        let mut staged = self.staged;
        staged.state = state;
        Ok(staged)
    }
}

impl Staged {
    /// Moves the file to its place, whose folder exists.
    pub(super) fn place(mut self, to: &Path) -> io::Result<()> {
        self.keep();
        fs::rename(&self.path, to)
    }

    /// The file stays whatever becomes of this value: the log may name it.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn checked(staged: Staged, version: Version) -> io::Result<Arrived> {
    Ok(if staged.state == version.state { Arrived::Whole(staged) } else { Arrived::Damaged })
}

/// Size and checksum of a file.
fn whole(file: &mut File) -> io::Result<State> {
    file.seek(SeekFrom::Start(0))?;
    let (mut sha, mut size, mut buf) = (Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        match file.read(&mut buf)? {
            0 => return Ok(State::Object { size, sha256: sha.finalize().into() }),
            n => {
                sha.update(&buf[..n]);
                size += n as u64;
            }
        }
    }
}

/// A name for a file.
fn digest(of: &impl serde::Serialize) -> String {
    let bytes = postcard::to_stdvec(of).expect("plain data can always be written");
    Sha256::digest(&bytes)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
