//! Compiled programs, kept in the user's cache folder, so that only the first build on a machine waits for a compiler.
//!
//! A file is a line that says what it is, the key of its program, the SHA-256 of what follows, and the program as the
//! driver made it. The key is a digest of everything that the program depends on: source, options, device, driver. What
//! is damaged, of another key, or not of this user alone is no program: it is compiled anew and written anew.
//!
//! A file appears whole or not at all, and an engine that is killed while it writes leaves nothing: it is written
//! without a name and gets its name at the end. Nobody needs the cache: where it cannot be had, each build compiles.
//!
//! A driver that keeps programs itself is left to do it: to be asked for one, `PoCL` compiles it a second time.

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use rustix::io::Errno;
use rustix::process::geteuid;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::{env, time};

/// The first line of a file; another number means another form.
const FORM: &str = "gameday-opencl-program/1\n";
/// No program of ours comes near.
const LONGEST: u64 = 64 << 20;
/// Programs that are kept; the oldest go first.
const MOST: usize = 64;
/// Where programs are kept, instead of the user's cache; `off` keeps none.
const VARIABLE: &str = "GAMEDAY_OPENCL_CACHE";

/// What a program depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// The key of these parts, in this order.
    pub(crate) fn of(parts: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Self(hex(&digest.finalize()))
    }
}

/// The folder, if there is one.
#[derive(Debug, Clone)]
pub(crate) struct Cache(Option<PathBuf>);

impl Cache {
    /// In `GAMEDAY_OPENCL_CACHE`, or in the folder `opencl` of gameday's cache, unless the driver keeps programs itself.
    pub(crate) fn of_user(driver_keeps: bool) -> Self {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self(match set(VARIABLE) {
            Some(off) if off == Path::new("off") => None,
            Some(folder) => Some(folder),
            None if driver_keeps => None,
            None => set("GAMEDAY_CACHE")
                .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("gameday")))
                .or_else(|| set("HOME").map(|home| home.join(".cache").join("gameday")))
                .map(|folder| folder.join("opencl")),
        })
    }

    /// The program of a key, if a sound one is there.
    pub(crate) fn read(&self, key: &Key) -> Option<Vec<u8>> {
        let bytes = own(&self.path(key)?).ok()?;
        program(&bytes, key).map(<[u8]>::to_vec)
    }

    /// Keeps a program, if that is possible. It is asked for only then.
    pub(crate) fn keep(&self, key: &Key, program: impl FnOnce() -> Option<Vec<u8>>) {
        let (Some(folder), Some(path)) = (&self.0, self.path(key)) else { return };
        let Some(program) = program() else { return };
        // Whatever stands in the way: the next build compiles again, and is as right.
        let _ = write(folder, &path, &framed(key, &program)).and_then(|()| thin_out(folder));
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        self.0.as_ref().map(|folder| folder.join(format!("{}.program", key.0)))
    }
}

fn framed(key: &Key, program: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{FORM}{}\n{}\n", key.0, hex(&Sha256::digest(program))).into_bytes();
    bytes.extend_from_slice(program);
    bytes
}

/// The program in a file's bytes, if they are of this key and undamaged.
fn program<'a>(bytes: &'a [u8], key: &Key) -> Option<&'a [u8]> {
    let rest = bytes.strip_prefix(FORM.as_bytes())?;
    let rest = rest.strip_prefix(key.0.as_bytes())?.strip_prefix(b"\n")?;
    let (digest, rest) = rest.split_at_checked(64)?;
    let program = rest.strip_prefix(b"\n")?;
    (!program.is_empty() && digest == hex(&Sha256::digest(program)).as_bytes()).then_some(program)
}

/// The bytes of a file that nobody else can have written: what is in it will run.
fn own(path: &Path) -> io::Result<Vec<u8>> {
    let file =
        open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    let file = File::from(file);
    let meta = file.metadata()?;
    let ours = meta.uid() == geteuid().as_raw() && meta.mode() & 0o022 == 0;
    if !meta.is_file() || !ours || meta.len() > LONGEST {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let file = open(folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    file.sync_data()?;
    let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
    let name = || linkat(CWD, nameless.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW);
    match name() {
        // A damaged one is in the way, or another engine was faster: then its program gives way to its like.
        Err(Errno::EXIST) => {
            fs::remove_file(path)?;
            Ok(name().or_else(|error| if error == Errno::EXIST { Ok(()) } else { Err(error) })?)
        }
        done => Ok(done?),
    }
}

/// Removes the oldest programs, if there are too many.
fn thin_out(folder: &Path) -> io::Result<()> {
    let mut all: Vec<(time::SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|word| word == "program") {
            all.push((entry.metadata()?.modified()?, path));
        }
    }
    all.sort();
    let excess = all.len().saturating_sub(MOST);
    all.iter().take(excess).try_for_each(|(_, path)| fs::remove_file(path))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache(Some(folder.path().join("some").join("where")));
        (folder, cache)
    }

    #[test]
    fn keys_tell_parts_apart() {
        assert_eq!(Key::of(&["a", "b"]), Key::of(&["a", "b"]));
        for other in [&["ab"][..], &["b", "a"], &["a", "b", ""], &["a", "c"]] {
            assert_ne!(Key::of(&["a", "b"]), Key::of(other));
        }
    }

    #[test]
    fn what_is_kept_is_read_by_its_own_key_alone() {
        let (_folder, cache) = cache();
        let (key, other) = (Key::of(&["a"]), Key::of(&["b"]));
        assert_eq!(cache.read(&key), None);
        cache.keep(&key, || Some(b"program".to_vec()));
        assert_eq!(cache.read(&key).unwrap(), b"program");
        assert_eq!(cache.read(&other), None);
        // A file of another key under this name is foreign.
        cache.keep(&other, || Some(b"other".to_vec()));
        fs::copy(cache.path(&key).unwrap(), cache.path(&other).unwrap()).unwrap();
        assert_eq!(cache.read(&other), None);
        cache.keep(&other, || Some(b"other".to_vec()));
        assert_eq!(cache.read(&other).unwrap(), b"other");
        assert_eq!(Cache(None).read(&key), None);
        Cache(None).keep(&key, || panic!("there is nowhere to keep it"));
    }

    #[test]
    fn no_damage_is_taken_for_a_program_and_the_next_one_is_sound_again() {
        let (_folder, cache) = cache();
        let key = Key::of(&["a"]);
        let path = cache.path(&key).unwrap();
        let whole = framed(&key, b"some program");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            assert_eq!(program(&bytes, &key), None, "byte {at}");
            assert_eq!(program(&whole[..at], &key), None, "cut at {at}");
        }
        for damaged in [&b""[..], b"once upon a time", &whole[..whole.len() - 1]] {
            cache.keep(&key, || Some(b"x".to_vec()));
            fs::write(&path, damaged).unwrap();
            assert_eq!(cache.read(&key), None);
            cache.keep(&key, || Some(b"some program".to_vec()));
            assert_eq!(cache.read(&key).unwrap(), b"some program");
        }
        let names: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn a_file_that_others_can_write_or_that_is_no_file_is_not_trusted() {
        let (folder, cache) = cache();
        let key = Key::of(&["a"]);
        cache.keep(&key, || Some(b"program".to_vec()));
        let path = cache.path(&key).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(cache.read(&key), None);
        cache.keep(&key, || Some(b"program".to_vec()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(cache.read(&key).unwrap(), b"program");
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert_eq!(cache.read(&key), None, "a link");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(cache.read(&key), None, "a folder");
        cache.keep(&key, || Some(b"program".to_vec()));
        assert_eq!(cache.read(&key), None, "a folder stays in the way, and nothing breaks");
    }

    #[test]
    fn many_at_once_read_a_whole_program_or_none() {
        let (_folder, cache) = cache();
        let key = Key::of(&["a"]);
        let whole = vec![7u8; 100_000];
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        cache.keep(&key, || Some(whole.clone()));
                        assert!(cache.read(&key).is_none_or(|found| found == whole));
                    }
                });
            }
        });
        assert_eq!(cache.read(&key).unwrap(), whole);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let (_folder, cache) = cache();
        let keys: Vec<Key> = (0..MOST + 3).map(|n| Key::of(&[&n.to_string()])).collect();
        for (n, key) in keys.iter().enumerate() {
            cache.keep(key, || Some(b"program".to_vec()));
            if let Ok(file) = File::options().write(true).open(cache.path(key).unwrap()) {
                file.set_modified(time::UNIX_EPOCH + time::Duration::from_secs(n as u64)).unwrap();
            }
        }
        let kept = keys.iter().filter(|key| cache.read(key).is_some()).count();
        assert_eq!(kept, MOST);
        assert!(cache.read(&keys[MOST + 2]).is_some() && cache.read(&keys[0]).is_none());
    }
}
