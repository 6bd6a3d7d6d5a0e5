//! The disk operations everything else is made of, and the names of the files.
//!
//! A file is replaced by writing `<name>.next`, syncing it, renaming it and syncing the folder. Tests watch every
//! step and copy the folder as a crash at that moment would have left it.

use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(super) const WAL: &str = "wal.log";
pub(super) const WAL_NEXT: &str = "wal.log.next";
pub(super) const INDEX: &str = "index.bin";
pub(super) const INDEX_NEXT: &str = "index.bin.next";
pub(super) const MANIFEST: &str = "MANIFEST";
pub(super) const MANIFEST_NEXT: &str = "MANIFEST.next";
pub(super) const SEGMENTS: &str = "segments";
pub(super) const LOCK: &str = "LOCK";

/// A node's folder.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
    #[cfg(test)]
    pub(super) watch: Watch,
}

/// What tests call before every step that changes the disk.
#[cfg(test)]
#[derive(Clone, Default)]
pub(super) struct Watch(pub(super) Option<std::sync::Arc<Watcher>>);

#[cfg(test)]
type Watcher = dyn Fn(&Path) + Send + Sync;

#[cfg(test)]
impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            #[cfg(test)]
            watch: Watch::default(),
        }
    }

    pub(super) fn create(&self) -> io::Result<()> {
        fs::create_dir_all(self.path(SEGMENTS))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Reads a whole file; what is no file (a pipe would never end) is an error.
    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let path = self.path(name);
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        fs::read(path)
    }

    /// Writes a whole file and makes it durable, name included.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step();
        let mut file = File::create(self.path(name))?;
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        file.write_all(head)?;
        self.step();
        file.write_all(tail)?;
        file.sync_all()?;
        self.sync(name)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step();
        fs::rename(self.path(from), self.path(to))?;
        self.sync(to)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.step();
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.sync(name),
        }
    }

    /// Makes the name durable.
    pub(super) fn sync(&self, name: &str) -> io::Result<()> {
        self.step();
        let path = self.path(name);
        File::open(path.parent().unwrap_or(&self.root))?.sync_all()
    }

    /// Names of the segment files, as the manifest spells them.
    pub(super) fn segments(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for item in fs::read_dir(self.path(SEGMENTS))? {
            names.push(format!("{SEGMENTS}/{}", item?.file_name().to_string_lossy()));
        }
        names.sort();
        Ok(names)
    }

    fn step(&self) {
        #[cfg(test)]
        if let Some(watch) = &self.watch.0 {
            watch(&self.root);
        }
    }
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
