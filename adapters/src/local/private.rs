//! Files and folders that hold secrets, or may: of nobody but the user who runs gameday.

use std::fs::{DirBuilder, OpenOptions, Permissions, set_permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

const FILE: u32 = 0o600;
const FOLDER: u32 = 0o700;

/// Makes a folder, with its parents. One that is there already is closed to others.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(path)?;
    set_permissions(path, Permissions::from_mode(FOLDER))
}

/// Writes a file in the place of the one that is there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE).open(path)?;
    // The mode above is of use to a new file alone, and must be in force before the first byte.
    file.set_permissions(Permissions::from_mode(FILE))?;
    file.write_all(bytes)
}

/// A word that nobody guesses.
pub(crate) fn word() -> io::Result<String> {
    use std::io::Read as _;
    let mut bytes = [0u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_reads_what_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (made, open) = (dir.path().join("a/made"), dir.path().join("open"));
        std::fs::create_dir(&open).unwrap();
        set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        for path in [&made, &open] {
            folder(path).unwrap();
            assert_eq!(mode(path), FOLDER);
        }
        let (new, old) = (made.join("new"), made.join("old"));
        std::fs::write(&old, "a longer text than the new one").unwrap();
        set_permissions(&old, Permissions::from_mode(0o644)).unwrap();
        for path in [&new, &old] {
            write(path, b"secret").unwrap();
            assert_eq!((mode(path), std::fs::read(path).unwrap().as_slice()), (FILE, b"secret".as_slice()));
        }
    }
}
