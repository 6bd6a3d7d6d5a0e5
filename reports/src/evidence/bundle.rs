//! A quarter as a folder that can be handed over: the whole ledger, the folders of the quarter's runs, the list of all
//! of them with what became of each, and the auditor's own script.

use std::{collections::BTreeSet, fs, path::Path};

use harness::journal::digest;
use serde::{Deserialize, Serialize};

use super::{
    Trouble,
    keys::{self, Allowed, Signer},
    plain::{self, Links},
    seal::{self, SUMS, SUMS_SIG},
    store::{HEAD, HEAD_SIG, RUNS},
    verify::{Checked, Problem},
};

/// The list of what is in it.
pub const LIST: &str = "bundle.json";
const SCRIPT: &str = "verify.sh";
const WORDS: &str = "AUDITOR.md";
/// Everything but runs that a bundle covers by its own sums.
const COVERED: [&str; 6] = [WORDS, HEAD, HEAD_SIG, LIST, RUNS, SCRIPT];

/// What a bundle holds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Which quarter.
    pub quarter: String,
    /// Entries of the ledger before the quarter, and the hash of the last of them.
    pub opening: (u64, String),
    /// Entries of the ledger, and the hash of the last.
    pub closing: (u64, String),
    /// Every run that was declared in the quarter.
    pub runs: Vec<Line>,
}

/// One run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its name.
    pub run: String,
    /// When it was declared.
    pub declared: String,
    /// What became of it.
    pub outcome: String,
}

/// Makes a bundle of evidence that was checked. `from..until` are stamps.
///
/// # Errors
/// If there is something at `out` already, or the disk fails.
pub fn bundle(
    evidence: &Path,
    checked: &Checked,
    (quarter, from, until): (&str, &str, &str),
    signer: &Signer,
    out: &Path,
) -> Result<List, Trouble> {
    let bytes = plain::read(&evidence.join(RUNS), Links::Refused, plain::MOST).ok();
    let ledger = bytes.and_then(|b| super::ledger::Ledger::parse(&b).ok());
    let ledger = ledger.ok_or_else(|| {
        Trouble::evidence(format!("`{}` does not verify", evidence.display()), "verify it first")
    })?;
    let before = ledger.entries.iter().take_while(|e| e.at.as_str() < from).count();
    let outcome = |r: &super::verify::Run| {
        r.closed.as_ref().map_or("never closed: counts as failed".to_owned(), |(_, c)| c.headline.clone())
    };
    let inside = |r: &&super::verify::Run| r.declared_within(from, until);
    let lines = checked.runs.iter().filter(inside).map(|r| Line {
        run: r.declared.run.clone(),
        declared: r.declared_at.clone(),
        outcome: outcome(r),
    });
    let list = List {
        quarter: quarter.to_owned(),
        opening: (before as u64, before.checked_sub(1).map_or(String::new(), |i| ledger.digests[i].clone())),
        closing: (ledger.entries.len() as u64, ledger.head()),
        runs: lines.collect(),
    };
    fs::create_dir(out).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Trouble::usage(
            format!("there is something at `{}` already", out.display()),
            "name a new folder with --out",
        ),
        _ => Trouble::write(out, &e),
    })?;
    for run in &list.runs {
        copy(&evidence.join(&run.run), &out.join(&run.run))?;
    }
    let mut json = serde_json::to_string_pretty(&list).expect("a list is plain data");
    json.push('\n');
    let written = [(LIST, json.as_str()), (SCRIPT, super::AUDITOR), (WORDS, super::AUDITOR_WORDS)];
    for (name, text) in written {
        let path = out.join(name);
        fs::write(&path, text).map_err(|e| Trouble::write(&path, &e))?;
    }
    for name in [RUNS, HEAD, HEAD_SIG] {
        let path = out.join(name);
        fs::copy(evidence.join(name), &path).map_err(|e| Trouble::write(&path, &e))?;
    }
    let mut sums = String::new();
    for name in COVERED {
        let path = out.join(name);
        sums.push_str(&format!(
            "{}  {name}\n",
            plain::digest(&path).map_err(|e| Trouble::unread(&path, &e))?
        ));
    }
    for (name, text) in [(SUMS, &sums), (SUMS_SIG, &signer.sign(keys::EVIDENCE, sums.as_bytes()))] {
        let path = out.join(name);
        fs::write(&path, text).map_err(|e| Trouble::write(&path, &e))?;
    }
    Ok(list)
}

fn copy(from: &Path, to: &Path) -> Result<(), Trouble> {
    // A run that was declared and never began has no folder.
    let Ok(names) = seal::names(from) else { return Ok(()) };
    fs::create_dir(to).map_err(|e| Trouble::write(to, &e))?;
    for name in names {
        let path = to.join(&name);
        fs::copy(from.join(&name), &path).map_err(|e| Trouble::write(&path, &e))?;
    }
    Ok(())
}

/// What a bundle adds to plain evidence.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Parts {
    /// Its files.
    pub(super) files: BTreeSet<String>,
    /// The runs whose folders it holds.
    pub(super) runs: BTreeSet<String>,
}

/// Checks what a bundle adds; `None` for evidence that is no bundle.
pub(super) fn parts(folder: &Path, allowed: &Allowed, problems: &mut Vec<Problem>) -> Option<Parts> {
    let marks = [LIST, SUMS, SUMS_SIG];
    if !marks.iter().any(|m| folder.join(m).exists()) {
        return None;
    }
    let mut say =
        |name: &str, what: &str| problems.push(Problem { place: folder.join(name), what: what.to_owned() });
    let read = |name: &str| plain::read(&folder.join(name), Links::Refused, plain::MOST);
    for name in COVERED.into_iter().chain([SUMS, SUMS_SIG]) {
        if let Err(why) = read(name) {
            say(name, &why.to_string());
        }
    }
    let read = |name: &str| read(name).unwrap_or_default();
    let (sums, signature) = (read(SUMS), read(SUMS_SIG));
    let list: Option<List> = serde_json::from_slice(&read(LIST)).ok();
    let ledger = super::ledger::Ledger::parse(&read(RUNS)).unwrap_or_default();
    let at = ledger.entries.last().map_or("", |e| e.at.as_str());
    // The ledger does not say who made the bundle.
    let who = allowed.who(&signature, at).unwrap_or_default();
    if let Err(why) = allowed.check(&who, keys::EVIDENCE, &sums, &signature, at) {
        say(SUMS_SIG, &why);
    }
    let listed = std::str::from_utf8(&sums).ok().and_then(|s| seal::parse_sums(s).ok()).unwrap_or_default();
    if listed.keys().map(String::as_str).ne(COVERED) {
        say(SUMS, "it does not name the files of a bundle");
    }
    for name in COVERED {
        let right = |bytes: &[u8]| listed.get(name) == Some(&digest(bytes));
        let bytes = read(name);
        if !right(&bytes) {
            let converted = plain::line_ends_converted(&bytes, right);
            say(name, if converted { seal::CONVERTED } else { "it is not what was signed" });
        }
    }
    let Some(list) = list else {
        say(LIST, "it is not the list of a bundle");
        return None;
    };
    let mut files: BTreeSet<String> = COVERED.map(str::to_owned).into();
    files.extend([SUMS.to_owned(), SUMS_SIG.to_owned()]);
    Some(Parts { files, runs: list.runs.into_iter().map(|r| r.run).collect() })
}
