//! The folder of evidence as it grows: a line is appended, and the new head is signed.
//!
//! Three files change together (`runs.jsonl`, `HEAD`, `HEAD.sig`), and a power cut may come between any two of them.
//! The next head is therefore signed beside the old one *before* the line is appended; whoever opens the folder next
//! finds one signed head that fits the ledger, or refuses. Nothing is signed again because it happens to lie there.

use std::{
    fs::{self, File},
    io::{self, Seek as _, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    Trouble,
    keys::{self, Allowed, Signer},
    ledger::{Head, Kind, Ledger},
    plain::{self, Links},
    replace_file, stamp, stamps,
};

/// The ledger's file.
pub const RUNS: &str = "runs.jsonl";
/// The signed head.
pub const HEAD: &str = "HEAD";
/// Its signature.
pub const HEAD_SIG: &str = "HEAD.sig";

/// A folder of evidence, open for one more line. Others wait.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
    bytes: Vec<u8>,
    ledger: Ledger,
}

impl Store {
    /// Opens a folder, or begins one; waits for whoever has it open.
    ///
    /// # Errors
    /// If its ledger does not fit its signed head, or the head was signed by nobody who may.
    pub fn open(path: &Path, allowed: &Allowed) -> Result<Store, Trouble> {
        fs::create_dir_all(path).map_err(|e| Trouble::write(path, &e))?;
        let runs = path.join(RUNS);
        if !runs.exists()
            && (path.join(HEAD).exists() || fs::read_dir(path).is_ok_and(|mut d| d.next().is_some()))
        {
            return Err(Trouble::evidence(
                format!("`{}` is not empty, and has no {RUNS}", path.display()),
                "name a new folder, or go back to an untouched copy of this one",
            ));
        }
        let unread = |e: plain::Unread| {
            Trouble::evidence(format!("{}: {e}", runs.display()), "go back to an untouched copy")
        };
        match plain::open(&runs, Links::Refused, plain::MOST) {
            Ok(_) | Err(plain::Unread::Missing) => {}
            Err(e) => return Err(unread(e)),
        }
        let file = File::options().read(true).append(true).create(true).open(&runs);
        let mut file = file.map_err(|e| Trouble::write(&runs, &e))?;
        file.lock().map_err(|e| Trouble::write(&runs, &e))?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes).map_err(|e| Trouble::read(&runs, &e))?;
        let settled = settle(path, &file, bytes, allowed)?;
        let ledger = Ledger::parse(&settled).map_err(|b| {
            Trouble::evidence(
                format!("{}:{}: {}", runs.display(), b.line, b.why),
                "go back to an untouched copy",
            )
        })?;
        Ok(Store { path: path.to_owned(), file, bytes: settled, ledger })
    }

    /// What is on record.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts something on record, signs the new head, and answers with it.
    ///
    /// # Errors
    /// If the clock stands before what is on record (see [`super::stamps`]), or the disk fails. The folder then opens as
    /// it was before, or as it should be now.
    pub fn append(&mut self, at: SystemTime, kind: Kind, signer: &Signer) -> Result<Head, Trouble> {
        let at = stamp(at)?;
        if let Some(why) = stamps::refuse(&self.ledger.entries, &at, &kind) {
            return Err(why);
        }
        let line = self.ledger.next(at, kind);
        let mut bytes = self.bytes.clone();
        bytes.extend_from_slice(&line);
        let ledger = Ledger::parse(&bytes).expect("a line of ours follows");
        let head = Head::of(&ledger, &bytes);
        let text = head.text();
        let signature = signer.sign(keys::HEAD, text.as_bytes());
        let write = |name: &str, bytes: &[u8]| {
            let path = self.path.join(name);
            replace_file(&path, bytes).map_err(|e| Trouble::write(&path, &e))
        };
        write(&next(HEAD), text.as_bytes())?;
        write(&next(HEAD_SIG), signature.as_bytes())?;
        let appended = self.file.seek(io::SeekFrom::End(0)).and_then(|_| self.file.write_all(&line));
        appended
            .and_then(|()| self.file.sync_all())
            .map_err(|e| Trouble::write(&self.path.join(RUNS), &e))?;
        adopt(&self.path)?;
        (self.bytes, self.ledger) = (bytes, ledger);
        Ok(head)
    }
}

fn next(name: &str) -> String {
    format!(".next-{name}")
}

fn adopt(path: &Path) -> Result<(), Trouble> {
    for name in [HEAD, HEAD_SIG] {
        let to = path.join(name);
        fs::rename(path.join(next(name)), &to).map_err(|e| Trouble::write(&to, &e))?;
    }
    Ok(())
}

/// Finds the signed head that fits the ledger, and finishes or drops what a power cut left half done.
fn settle(path: &Path, file: &File, bytes: Vec<u8>, allowed: &Allowed) -> Result<Vec<u8>, Trouble> {
    let read = |name: String| plain::read(&path.join(name), Links::Refused, plain::SMALL).ok();
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let heads: Vec<Vec<u8>> = [HEAD.to_owned(), next(HEAD)].into_iter().filter_map(read).collect();
    let signatures: Vec<Vec<u8>> =
        [HEAD_SIG.to_owned(), next(HEAD_SIG)].into_iter().filter_map(read).collect();
    // A line that was cut off was never signed for; whole lines are never dropped.
    for kept in [&bytes[..], &bytes[..whole]] {
        if kept.is_empty() && !path.join(HEAD).exists() {
            clear(path, file, 0)?;
            return Ok(Vec::new());
        }
        let Ok(ledger) = Ledger::parse(kept) else { continue };
        let text = Head::of(&ledger, kept).text();
        let at = ledger.entries.last().map_or("", |e| e.at.as_str());
        let signed = heads.iter().filter(|h| h.as_slice() == text.as_bytes()).find_map(|h| {
            let who = ledger.last_signer()?;
            signatures.iter().find(|s| allowed.check(who, keys::HEAD, h, s, at).is_ok())
        });
        if let Some(signature) = signed {
            let write = |name: &str, bytes: &[u8]| {
                let to = path.join(name);
                replace_file(&to, bytes).map_err(|e| Trouble::write(&to, &e))
            };
            if read(HEAD.into()).as_deref() != Some(text.as_bytes()) {
                write(HEAD, text.as_bytes())?;
            }
            if read(HEAD_SIG.into()).as_ref() != Some(signature) {
                write(HEAD_SIG, signature)?;
            }
            clear(path, file, kept.len() as u64)?;
            return Ok(kept.to_vec());
        }
    }
    Err(Trouble::evidence(
        format!("`{}` does not fit its signed head", path.join(RUNS).display()),
        "run `gameday evidence verify` on it; go back to an untouched copy, and name all its signers with --signers",
    ))
}

fn clear(path: &Path, file: &File, keep: u64) -> Result<(), Trouble> {
    for name in [HEAD, HEAD_SIG] {
        match fs::remove_file(path.join(next(name))) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Trouble::write(path, &e)),
            _ => {}
        }
    }
    file.set_len(keep).map_err(|e| Trouble::write(&path.join(RUNS), &e))
}
