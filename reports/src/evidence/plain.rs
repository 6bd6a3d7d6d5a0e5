//! Files of people who may mean harm: opened without waiting, and read only if they are plain and not too long.
//!
//! A pipe that nobody writes to, `/dev/zero` behind a link, a hole of a terabyte: whoever reads such a file as if it
//! were one of gameday's never comes back.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

use sha2::{Digest as _, Sha256};

/// The most that a file may hold that is read whole into memory: ledgers, pages, bills.
pub const MOST: u64 = 1 << 28;
/// The most that a small file of text may hold: heads, signatures, sums, signers, keys, records, reviews.
pub const SMALL: u64 = 1 << 22;
/// The most that a journal may hold; it is never read whole.
pub const JOURNAL_MOST: u64 = 1 << 34;

/// Whether a link may stand for the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Links {
    /// It lies in somebody's folder: what a link points to can be changed without touching the folder.
    Refused,
    /// Whoever typed the command named it.
    Followed,
}

/// Why a file was not read.
#[derive(Debug)]
pub enum Unread {
    /// There is none.
    Missing,
    /// It is something else, in words.
    NotPlain(&'static str),
    /// It holds more than gameday would have written.
    TooLong(u64),
    /// The disk, or the rights.
    Failed(io::Error),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Missing => write!(f, "it is missing"),
            Unread::NotPlain(what) => write!(f, "it is {what}, not a plain file"),
            Unread::TooLong(most) => write!(f, "it is longer than {most} bytes, the most that is read"),
            Unread::Failed(e) => write!(f, "it cannot be read: {e}"),
        }
    }
}

impl std::error::Error for Unread {}

fn not_plain(kind: fs::FileType) -> Option<Unread> {
    let what = match kind {
        kind if kind.is_file() => return None,
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a link",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Some(Unread::NotPlain(what))
}

/// Opens a plain file of at most so many bytes.
///
/// # Errors
/// See [`Unread`].
pub fn open(path: &Path, links: Links, most: u64) -> Result<File, Unread> {
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => Unread::Missing,
        _ => Unread::Failed(e),
    };
    // Asked first, for the right word and since opening a device may do something; asked again of what was opened.
    let seen = match links {
        Links::Refused => fs::symlink_metadata(path),
        Links::Followed => fs::metadata(path),
    };
    if let Some(why) = not_plain(seen.map_err(failed)?.file_type()) {
        return Err(why);
    }
    let follow = if links == Links::Refused { libc::O_NOFOLLOW } else { 0 };
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | follow).open(path);
    let file = file.map_err(failed)?;
    let opened = file.metadata().map_err(failed)?;
    if let Some(why) = not_plain(opened.file_type()) {
        return Err(why);
    }
    if opened.len() > most {
        return Err(Unread::TooLong(most));
    }
    Ok(file)
}

/// The whole of a plain file.
///
/// # Errors
/// See [`Unread`].
pub fn read(path: &Path, links: Links, most: u64) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    // It may grow while it is read.
    let read = open(path, links, most)?.take(most + 1).read_to_end(&mut bytes).map_err(Unread::Failed)?;
    if read as u64 > most { Err(Unread::TooLong(most)) } else { Ok(bytes) }
}

/// SHA-256 of a plain file in a folder of evidence, read in pieces.
///
/// # Errors
/// See [`Unread`].
pub fn digest(path: &Path) -> Result<String, Unread> {
    let mut input = open(path, Links::Refused, JOURNAL_MOST)?.take(JOURNAL_MOST);
    let (mut sha, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let n = input.read(&mut piece).map_err(Unread::Failed)?;
        if n == 0 {
            break;
        }
        sha.update(&piece[..n]);
    }
    Ok(sha.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// Whether a file would be the right one if its line ends were: copied as text, by a mail or a version control.
pub fn line_ends_converted(bytes: &[u8], right: impl Fn(&[u8]) -> bool) -> bool {
    if !bytes.contains(&b'\n') {
        return false;
    }
    let mut unix = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(words) => unix.extend_from_slice(&[words, b"\n"].concat()),
            None => unix.extend_from_slice(line),
        }
    }
    if unix.len() < bytes.len() && right(&unix) {
        return true;
    }
    // A scenario may have been written with them, and lost them.
    let mut dos = Vec::with_capacity(unix.len());
    for line in unix.split_inclusive(|b| *b == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(words) => dos.extend_from_slice(&[words, b"\r\n"].concat()),
            None => dos.extend_from_slice(line),
        }
    }
    dos.len() > bytes.len() && right(&dos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_of_a_sane_length_are_read_and_nothing_waits() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("plain"), "words").unwrap();
        assert_eq!(read(&at("plain"), Links::Refused, 5).unwrap(), b"words");
        assert!(matches!(read(&at("plain"), Links::Refused, 4), Err(Unread::TooLong(4))));
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
        assert!(made.success());
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        File::create(at("hole")).unwrap().set_len(1 << 41).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("zero")).unwrap();
        std::os::unix::fs::symlink("plain", at("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
        for (name, refused, followed) in [
            ("none", "it is missing", "it is missing"),
            ("pipe", "a pipe", "a pipe"),
            ("socket", "a socket", "a socket"),
            ("folder", "a folder", "a folder"),
            ("hole", "longer than", "longer than"),
            ("zero", "a link", "a device"),
            ("link", "a link", ""),
            ("dangling", "a link", "it is missing"),
        ] {
            for (links, said) in [(Links::Refused, refused), (Links::Followed, followed)] {
                let why = read(&at(name), links, SMALL).map_or_else(|e| e.to_string(), |_| String::new());
                assert!(why.contains(said) && why.is_empty() == said.is_empty(), "{name}: {why}");
            }
            assert!(digest(&at(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn converted_line_ends_are_told_from_changes() {
        let is = |bytes: &'static [u8], right: &'static [u8]| line_ends_converted(bytes, |b| b == right);
        assert!(is(b"a\r\nb\r\n", b"a\nb\n"));
        assert!(is(b"a\nb\n", b"a\r\nb\r\n"), "and the other way");
        assert!(is(b"a\r\nb", b"a\nb"));
        assert!(!is(b"a\r\nc\r\n", b"a\nb\n") && !is(b"a\rb\n", b"ab\n") && !is(b"a", b"a") && !is(b"", b""));
    }
}
