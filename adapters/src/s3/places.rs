//! Where objects lie in the data folder: an object is a file, and the parts of its key are folders.
//!
//! Folders come with the first object in them and go with the last one, so a key that is a folder always has objects
//! below it. Only plain files are removed, and no link is followed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::change::{Name, State};
use super::durable::absent;
use super::staging::Staged;

/// Names of a group of changes, none of which is in the way of another.
#[derive(Debug)]
pub(super) struct Group<'a> {
    root: &'a Path,
    files: HashSet<PathBuf>,
    folders: HashSet<PathBuf>,
}

impl<'a> Group<'a> {
    pub(super) fn new(root: &'a Path) -> Self {
        Self { root, files: HashSet::new(), folders: HashSet::new() }
    }

    /// Adds a name, unless the outcome would depend on the order.
    pub(super) fn takes(&mut self, name: &Name) -> bool {
        let path = name.path(self.root);
        let above: Vec<PathBuf> =
            path.ancestors().skip(1).take_while(|p| *p != self.root).map(Path::to_owned).collect();
        let free = !self.files.contains(&path)
            && !self.folders.contains(&path)
            && !above.iter().any(|folder| self.files.contains(folder));
        if free {
            self.files.insert(path);
            self.folders.extend(above);
        }
        free
    }
}

/// The buckets: every folder but our own.
pub(super) fn buckets(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether an object can be put there.
pub(super) fn room(root: &Path, name: &Name) -> Result<(), String> {
    let path = name.path(root);
    if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
        return Err(format!("there are objects below {:?}: this store cannot hold both", name.key));
    }
    let mut above = path.ancestors().skip(1).take_while(|p| *p != root);
    match above.find(|p| fs::symlink_metadata(p).is_ok_and(|meta| !meta.is_dir())) {
        Some(_) => Err(format!("there is an object above {:?}: this store cannot hold both", name.key)),
        None => Ok(()),
    }
}

/// Does what was logged; doing it again changes nothing. Names the folders that have to be synced.
pub(super) fn put(
    root: &Path,
    name: &Name,
    staged: Option<Staged>,
    state: State,
    folders: &mut HashSet<PathBuf>,
) -> io::Result<()> {
    let path = name.path(root);
    let parent = path.parent().unwrap_or(root).to_owned();
    match (state, staged) {
        (State::Bucket, _) => make(root, &path, folders)?,
        (State::Object { .. }, Some(staged)) => {
            make(root, &parent, folders)?;
            staged.place(&path)?;
            folders.insert(parent);
        }
        (State::Object { .. }, None) => return Err(io::Error::other("an object without bytes")),
        (State::Deleted, _) => remove(root, &path, folders)?,
    }
    Ok(())
}

/// Makes a folder and those above it.
fn make(root: &Path, folder: &Path, folders: &mut HashSet<PathBuf>) -> io::Result<()> {
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(root);
    make(root, above, folders)?;
    fs::create_dir(folder)?;
    folders.insert(above.to_owned());
    Ok(())
}

/// Removes a file, and the folders above it that are empty now; the bucket stays.
fn remove(root: &Path, path: &Path, folders: &mut HashSet<PathBuf>) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => fs::remove_file(path)?,
        Ok(_) => return Ok(()),
        Err(e) if absent(&e) => return Ok(()),
        Err(e) => return Err(e),
    }
    for folder in path.ancestors().skip(1) {
        folders.insert(folder.to_owned());
        let bucket = folder.parent() == Some(root);
        if bucket || fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}

/// Makes the names in these folders durable; those that are gone need nothing.
pub(super) fn sync(folders: &HashSet<PathBuf>) -> io::Result<()> {
    for folder in folders {
        match File::open(folder) {
            Ok(folder) => folder.sync_all()?,
            Err(e) if absent(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
