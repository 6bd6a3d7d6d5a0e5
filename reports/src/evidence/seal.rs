//! One run's files: which they are, their sums, the signature over the sums.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read as _},
    path::Path,
};

use sha2::{Digest as _, Sha256};

use super::{
    Trouble,
    keys::{self, Signer},
    ledger::Closed,
};
use crate::Format;

/// The events of the drill.
pub const JOURNAL: &str = "journal.jsonl";
/// The scenario, byte by byte.
pub const SCENARIO: &str = "scenario.toml";
/// The sums.
pub const SUMS: &str = "SHA256SUMS";
/// The signature over them.
pub const SUMS_SIG: &str = "SHA256SUMS.sig";
/// What only people know; not sealed, because they write it after the drill. A review covers it.
pub const RECORD: &str = "record.toml";
/// The review.
pub const REVIEW: &str = "review.md";
/// The reviewer's signature.
pub const REVIEW_SIG: &str = "review.md.sig";

/// The files of a run that are sealed: what happened, what was to happen, and every view derived from it.
fn files() -> Vec<&'static str> {
    let mut all = vec![JOURNAL, SCENARIO];
    all.extend(Format::ALL.map(Format::file_name));
    all.sort_unstable();
    all
}

/// Makes a run's folder with the scenario and every other file empty, so that a full or wrong disk is found before
/// anything is broken.
///
/// # Errors
/// If there is such a folder, or the disk fails.
pub fn prepare(evidence: &Path, run: &str, scenario: &[u8]) -> Result<(), Trouble> {
    let folder = evidence.join(run);
    fs::create_dir(&folder).map_err(|e| Trouble::write(&folder, &e))?;
    for name in files().into_iter().chain([SUMS, SUMS_SIG, RECORD]) {
        let path = folder.join(name);
        let content = if name == SCENARIO { scenario } else { b"" };
        fs::write(&path, content).map_err(|e| Trouble::write(&path, &e))?;
    }
    Ok(())
}

/// Sums and signs what lies in a run's folder; answers with the hashes of `SHA256SUMS` and of its signature.
///
/// # Errors
/// If the disk fails.
pub fn seal(folder: &Path, signer: &Signer) -> Result<(String, String), Trouble> {
    let mut sums = String::new();
    for name in files() {
        let path = folder.join(name);
        let sum = digest_file(&path).map_err(|e| Trouble::read(&path, &e))?;
        sums.push_str(&format!("{sum}  {name}\n"));
    }
    let signature = signer.sign(keys::EVIDENCE, sums.as_bytes());
    for (name, text) in [(SUMS, &sums), (SUMS_SIG, &signature)] {
        let path = folder.join(name);
        super::replace_file(&path, text.as_bytes()).map_err(|e| Trouble::write(&path, &e))?;
    }
    Ok((harness::journal::digest(sums.as_bytes()), harness::journal::digest(signature.as_bytes())))
}

/// The files of `SHA256SUMS` with their sums.
///
/// # Errors
/// The first line, counted from 1, that is not a sum and a plain file name in order.
pub fn parse_sums(text: &str) -> Result<BTreeMap<String, String>, usize> {
    let mut sums = BTreeMap::new();
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let (sum, name) = line.strip_suffix('\n').and_then(|l| l.split_once("  ")).ok_or(i + 1)?;
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let after = sums.last_key_value().is_none_or(|(last, _): (&String, _)| last.as_str() < name);
        if sum.len() != 64 || !sum.bytes().all(hex) || !plain(name) || !after {
            return Err(i + 1);
        }
        sums.insert(name.to_owned(), sum.to_owned());
    }
    Ok(sums)
}

/// Whether a name stands for a file directly in its folder, and reads the same for every tool.
pub fn plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['.', '-'])
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Checks a closed run's folder against its line of the ledger. Answers with what is wrong: a file and why.
pub fn check(
    folder: &Path,
    closed: &Closed,
    at: &str,
    allowed: &keys::Allowed,
) -> (Vec<(String, String)>, Option<String>) {
    let mut wrong = Vec::new();
    let mut say = |file: &str, why: String| wrong.push((file.to_owned(), why));
    let sums = fs::read(folder.join(SUMS)).unwrap_or_default();
    let signature = fs::read(folder.join(SUMS_SIG)).unwrap_or_default();
    if harness::journal::digest(&sums) != closed.sums {
        say(SUMS, "it is not what the ledger says it was when the run was closed".into());
    }
    if harness::journal::digest(&signature) != closed.sig {
        say(SUMS_SIG, "it is not what the ledger says it was when the run was closed".into());
    }
    let signed = allowed.check(keys::EVIDENCE, &sums, &signature, &super::compact(at)).map(str::to_owned);
    if let Err(why) = &signed {
        say(SUMS_SIG, why.clone());
    }
    let listed = match std::str::from_utf8(&sums).map_err(|_| 1).and_then(parse_sums) {
        Ok(listed) => listed,
        Err(line) => {
            say(&format!("{SUMS}:{line}"), "this is not a line of sums".into());
            BTreeMap::new()
        }
    };
    for name in [JOURNAL, SCENARIO] {
        if !listed.contains_key(name) {
            say(SUMS, format!("it does not name {name}"));
        }
    }
    for (name, sum) in &listed {
        let path = folder.join(name);
        let regular = fs::symlink_metadata(&path).is_ok_and(|m| m.is_file());
        match regular.then(|| digest_file(&path)) {
            None => say(name, "it is missing, or not a file".into()),
            Some(Err(e)) => say(name, format!("it cannot be read: {e}")),
            Some(Ok(found)) if &found != sum => say(name, "it was changed after it was signed".into()),
            Some(Ok(_)) => {}
        }
    }
    match names(folder) {
        Err(e) => say("", format!("the folder cannot be read: {e}")),
        Ok(found) => {
            let plain = |n: &&String| fs::symlink_metadata(folder.join(n)).is_ok_and(|m| m.is_file());
            for name in found.iter().filter(|n| !plain(n)) {
                say(name, "it is not a plain file".into());
            }
            let known = [SUMS, SUMS_SIG, RECORD, REVIEW, REVIEW_SIG];
            for name in found.iter().filter(|n| !listed.contains_key(*n) && !known.contains(&n.as_str())) {
                say(name, "it is not covered by the signature: it was added later".into());
            }
        }
    }
    (wrong, signed.ok())
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let each = |e: io::Result<fs::DirEntry>| e.map(|e| e.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = fs::read_dir(folder)?.map(each).collect::<io::Result<_>>()?;
    names.sort_unstable();
    Ok(names)
}

/// SHA-256 of a file, read in pieces.
pub(crate) fn digest_file(path: &Path) -> io::Result<String> {
    let mut input = BufReader::with_capacity(1 << 18, File::open(path)?);
    let (mut sha, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let n = input.read(&mut piece)?;
        if n == 0 {
            break;
        }
        sha.update(&piece[..n]);
    }
    Ok(sha.finalize().iter().map(|b| format!("{b:02x}")).collect())
}
