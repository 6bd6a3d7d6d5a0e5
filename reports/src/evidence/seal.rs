//! One run's files: which they are, their sums, the signature over the sums.

use std::{collections::BTreeMap, fs, io, path::Path};

use harness::{journal::digest, report::Report, verdict::Verdict};

use super::{
    Trouble, attest,
    keys::{self, Signer},
    ledger::{Closed, Declared},
    plain::{self, Links},
};
use crate::Format;

/// The events of the drill.
pub const JOURNAL: &str = "journal.jsonl";
/// The scenario, byte by byte.
pub const SCENARIO: &str = "scenario.toml";
/// The stack that a drill is about, byte by byte, where it is not gameday's own.
pub const STACK: &str = "stack.toml";
/// The sums.
pub const SUMS: &str = "SHA256SUMS";
/// The signature over them.
pub const SUMS_SIG: &str = "SHA256SUMS.sig";
/// The run as a signed statement for tools of others; not summed, because it states the sums: its hash is in the ledger.
pub const ATTESTATION: &str = "attestation.dsse.json";
/// What only people know; not sealed, because they write it after the drill. A review covers it.
pub const RECORD: &str = "record.toml";
/// The review.
pub const REVIEW: &str = "review.md";
/// The reviewer's signature.
pub const REVIEW_SIG: &str = "review.md.sig";

/// What is said of a file that is right but for its line ends.
pub(super) const CONVERTED: &str =
    "its line ends were converted, and nothing else: copy it again, byte by byte";

/// The files of a run that are sealed: what happened, what was to happen, and every view derived from it.
fn files(stack: bool) -> Vec<&'static str> {
    let mut all = vec![JOURNAL, SCENARIO];
    all.extend(stack.then_some(STACK));
    all.extend(Format::ALL.map(Format::file_name));
    all.sort_unstable();
    all
}

/// Makes a run's folder with the scenario and every other file empty, so that a full or wrong disk is found before
/// anything is broken.
///
/// # Errors
/// If there is such a folder, or the disk fails.
pub fn prepare(evidence: &Path, run: &str, scenario: &[u8], stack: Option<&[u8]>) -> Result<(), Trouble> {
    let folder = evidence.join(run);
    fs::create_dir(&folder).map_err(|e| Trouble::write(&folder, &e))?;
    for name in files(stack.is_some()).into_iter().chain([SUMS, SUMS_SIG, ATTESTATION, RECORD]) {
        let path = folder.join(name);
        let content = match name {
            SCENARIO => scenario,
            STACK => stack.unwrap_or_default(),
            _ => b"",
        };
        fs::write(&path, content).map_err(|e| Trouble::write(&path, &e))?;
    }
    Ok(())
}

/// Sums, signs and states what lies in the folder of a run that has ended; answers with its line of the ledger. There is
/// no report where nothing could be judged.
///
/// # Errors
/// If the disk fails.
pub fn seal(
    folder: &Path,
    declared: &Declared,
    (verdict, headline): (Verdict, String),
    report: Option<&Report>,
    signer: &Signer,
) -> Result<Closed, Trouble> {
    let mut sums = String::new();
    for name in files(declared.stack_sha256.is_some()) {
        let path = folder.join(name);
        let sum = plain::digest(&path).map_err(|e| Trouble::unread(&path, &e))?;
        sums.push_str(&format!("{sum}  {name}\n"));
    }
    let signature = signer.sign(keys::EVIDENCE, sums.as_bytes());
    let attestation = attest::attest(declared, (verdict, &headline), &sums, report, signer);
    let written = [(SUMS, sums.as_bytes()), (SUMS_SIG, signature.as_bytes()), (ATTESTATION, &attestation)];
    for (name, bytes) in written {
        let path = folder.join(name);
        super::replace_file(&path, bytes).map_err(|e| Trouble::write(&path, &e))?;
    }
    let [sums, sig, attestation] = written.map(|(_, bytes)| digest(bytes));
    Ok(Closed { run: declared.run.clone(), verdict, headline, sums, sig, attestation: Some(attestation) })
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
    (declared, closed): (&Declared, &Closed),
    at: &str,
    allowed: &keys::Allowed,
) -> (Vec<(String, String)>, Option<String>) {
    let mut wrong = Vec::new();
    let mut say = |file: &str, why: String| wrong.push((file.to_owned(), why));
    let mut read = |name: &str, said: &str| {
        let bytes = plain::read(&folder.join(name), Links::Refused, plain::SMALL).map_err(|e| e.to_string());
        let right = |bytes: &[u8]| digest(bytes) == said;
        match &bytes {
            Err(why) => say(name, why.clone()),
            Ok(bytes) if right(bytes) => {}
            Ok(bytes) if plain::line_ends_converted(bytes, right) => say(name, CONVERTED.into()),
            Ok(_) => say(name, "it is not what the ledger says it was when the run was closed".into()),
        }
        bytes.unwrap_or_default()
    };
    let sums = read(SUMS, &closed.sums);
    let signature = read(SUMS_SIG, &closed.sig);
    let attestation = closed.attestation.as_ref().map(|said| (read(ATTESTATION, said), said));
    let operator = declared.operator.as_str();
    let signed = allowed.check(operator, keys::EVIDENCE, &sums, &signature, at).map(|()| operator.to_owned());
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
    let stack = declared.stack_sha256.as_ref().map(|_| STACK);
    for name in [JOURNAL, SCENARIO].into_iter().chain(stack) {
        if !listed.contains_key(name) {
            say(SUMS, format!("it does not name {name}"));
        }
    }
    if let Some((bytes, _)) = attestation.as_ref().filter(|(bytes, said)| digest(bytes) == **said) {
        let wrong = attest::check(bytes, (declared, closed), &listed, at, allowed);
        wrong.into_iter().for_each(|why| say(ATTESTATION, why));
    }
    for (name, sum) in &listed {
        let path = folder.join(name);
        match plain::digest(&path) {
            Err(why) => say(name, why.to_string()),
            Ok(found) if &found != sum => {
                let bytes = plain::read(&path, Links::Refused, plain::MOST).unwrap_or_default();
                let right = |bytes: &[u8]| &digest(bytes) == sum;
                let converted = plain::line_ends_converted(&bytes, right);
                say(name, if converted { CONVERTED } else { "it was changed after it was signed" }.into());
            }
            Ok(_) => {}
        }
    }
    match names(folder) {
        Err(e) => say("", format!("the folder cannot be read: {e}")),
        Ok(found) => {
            let plain = |n: &&String| fs::symlink_metadata(folder.join(n)).is_ok_and(|m| m.is_file());
            for name in found.iter().filter(|n| !plain(n)) {
                say(name, "it is not a plain file".into());
            }
            let mut known = vec![SUMS, SUMS_SIG, RECORD, REVIEW, REVIEW_SIG];
            known.extend(attestation.is_some().then_some(ATTESTATION));
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
