//! `runs.jsonl`: every run that was ever declared, in order, chained.
//!
//! Line n begins `{"seq":n,"prev":"<sha256 of line n-1 with its newline>",` so that a shell can follow the chain. An
//! unkeyed chain stops neither a shorter one nor a new one: the signed head of [`super::store`] does.

use harness::{
    journal::digest, ports::CountsAs, report::ObjectiveReport, scenario::WorldName, verdict::Verdict,
};
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// 0, 1, 2, ...
    pub seq: u64,
    /// SHA-256 of the line before with its newline; empty on the first.
    pub prev: String,
    /// The wall clock, RFC 3339.
    pub at: String,
    /// What is put on record.
    pub kind: Kind,
}

/// What is put on record.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// A drill is about to begin. Nothing was broken yet.
    #[serde(rename = "run.declared")]
    Declared(Box<Declared>),
    /// It has ended, however it did.
    #[serde(rename = "run.closed")]
    Closed(Closed),
    /// A second person has looked at it.
    #[serde(rename = "run.reviewed")]
    Reviewed(Reviewed),
    /// Something that was put on record needs a word.
    #[serde(rename = "amended")]
    Amended(Amended),
}

impl Kind {
    /// The run that it is about.
    pub fn run(&self) -> &str {
        match self {
            Kind::Declared(d) => &d.run,
            Kind::Closed(c) => &c.run,
            Kind::Reviewed(r) => &r.run,
            Kind::Amended(a) => &a.run,
        }
    }
}

/// A run before it begins.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Names the run and its folder.
    pub run: String,
    /// The scenario's name.
    pub scenario: String,
    /// SHA-256 of the scenario file.
    pub scenario_sha256: String,
    /// SHA-256 of the stack's file, where the stack is not gameday's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack_sha256: Option<String>,
    /// What was set on the command line.
    pub overrides: Vec<String>,
    /// Where it will run.
    pub world: WorldName,
    /// What its verdict will count as.
    pub counts_as: CountsAs,
    /// A defect planted on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaw: Option<String>,
    /// The thresholds, frozen.
    pub objectives: Vec<ObjectiveReport>,
    /// Who plays it.
    pub operator: String,
    /// The version of gameday.
    pub gameday: String,
}

/// A run that has ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// Which.
    pub run: String,
    /// What was concluded.
    pub verdict: Verdict,
    /// The verdict in words, or why there is none.
    pub headline: String,
    /// SHA-256 of `SHA256SUMS`.
    pub sums: String,
    /// SHA-256 of `SHA256SUMS.sig`.
    pub sig: String,
    /// SHA-256 of `attestation.dsse.json`; an older gameday wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<String>,
}

/// A run that was reviewed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reviewed {
    /// Which.
    pub run: String,
    /// By whom.
    pub reviewer: String,
    /// SHA-256 of `record.toml` as it was reviewed.
    pub record: String,
    /// SHA-256 of `review.md`.
    pub review: String,
    /// SHA-256 of `review.md.sig`.
    pub sig: String,
}

/// A word about what is on record.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amended {
    /// Which run.
    pub run: String,
    /// Who says it.
    pub by: String,
    /// What is said.
    pub reason: String,
    /// Lines before this one that are stamped later than it were stamped by a clock that was ahead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clock_was_ahead: bool,
}

/// What is wrong with a ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Counted from 1.
    pub line: u64,
    /// In words.
    pub why: String,
}

/// All lines of a ledger.
#[derive(Clone, Default, Debug)]
pub struct Ledger {
    /// In order.
    pub entries: Vec<Entry>,
    /// SHA-256 of each line, with its newline.
    pub digests: Vec<String>,
}

impl Ledger {
    /// Follows the chain.
    ///
    /// # Errors
    /// The first line that does not follow.
    pub fn parse(bytes: &[u8]) -> Result<Ledger, Broken> {
        let mut ledger = Ledger::default();
        for raw in bytes.split_inclusive(|b| *b == b'\n') {
            let line = ledger.entries.len() as u64 + 1;
            let broken = |why: String| Broken { line, why };
            if raw.last() != Some(&b'\n') {
                return Err(broken("the line is cut off".into()));
            }
            let entry: Entry =
                serde_json::from_slice(raw).map_err(|e| broken(format!("it is not an entry: {e}")))?;
            if entry.seq + 1 != line || entry.prev != ledger.head() {
                return Err(broken("it does not follow from the line before it".into()));
            }
            // One spelling for each entry: shells look for it byte by byte.
            if line_of(&entry) != raw {
                return Err(broken("it is not written as gameday writes it".into()));
            }
            if super::unix_of(&entry.at).is_none() {
                return Err(broken(format!("`{}` is not a time", entry.at)));
            }
            ledger.digests.push(digest(raw));
            ledger.entries.push(entry);
        }
        Ok(ledger)
    }

    /// SHA-256 of the last line; empty if there is none.
    pub fn head(&self) -> String {
        self.digests.last().cloned().unwrap_or_default()
    }

    /// What the next line must be.
    pub fn next(&self, at: String, kind: Kind) -> Vec<u8> {
        line_of(&Entry { seq: self.entries.len() as u64, prev: self.head(), at, kind })
    }

    /// Who put the last line on record, and so signed the head; nobody if it is about a run that is not there.
    pub fn last_signer(&self) -> Option<&str> {
        Some(match &self.entries.last()?.kind {
            Kind::Declared(d) => &d.operator,
            Kind::Closed(c) => &self.declared(&c.run)?.operator,
            Kind::Reviewed(r) => &r.reviewer,
            Kind::Amended(a) => &a.by,
        })
    }

    /// How a run was declared.
    pub fn declared(&self, run: &str) -> Option<&Declared> {
        self.entries.iter().find_map(|e| match &e.kind {
            Kind::Declared(d) if d.run == run => Some(&**d),
            _ => None,
        })
    }

    /// How a run was closed.
    pub fn closed(&self, run: &str) -> Option<&Closed> {
        self.entries.iter().find_map(|e| match &e.kind {
            Kind::Closed(c) if c.run == run => Some(c),
            _ => None,
        })
    }
}

fn line_of(entry: &Entry) -> Vec<u8> {
    let mut line = serde_json::to_vec(entry).expect("an entry is plain data");
    line.push(b'\n');
    line
}

/// `HEAD`: how long the ledger is, and what it ends with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Lines.
    pub entries: u64,
    /// SHA-256 of the last line.
    pub last: String,
    /// SHA-256 of the whole ledger.
    pub ledger: String,
}

impl Head {
    /// The head of a ledger.
    pub fn of(ledger: &Ledger, bytes: &[u8]) -> Head {
        Head { entries: ledger.entries.len() as u64, last: ledger.head(), ledger: digest(bytes) }
    }

    /// As it is signed.
    pub fn text(&self) -> String {
        format!("entries {}\nhead {}\nledger {}\n", self.entries, self.last, self.ledger)
    }

    /// The inverse of [`Head::text`]; `None` for anything that it would not have written.
    pub fn parse(text: &str) -> Option<Head> {
        let mut lines = text.lines();
        let entries = lines.next()?.strip_prefix("entries ")?.parse().ok()?;
        let last = lines.next()?.strip_prefix("head ")?.to_owned();
        let ledger = lines.next()?.strip_prefix("ledger ")?.to_owned();
        let head = Head { entries, last, ledger };
        (head.text() == text).then_some(head)
    }
}
