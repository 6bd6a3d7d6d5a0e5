//! Figures of many runs in one file, a JSON object a line: how a rebuild changes from night to night.
//!
//! A line holds what one contender did on one data set in one run. Lines are only ever added; one that cannot be read (a disk that was
//! full, a hand that slipped) is named with its number and never hides the others.

mod judge;
mod plot;

pub use judge::{FEWEST, Finding, Judged, MEMORY_GREW, Verdict, judge};
pub use plot::plot;

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    Trouble,
    result::{ContenderResult, Results, SetResult},
    stats::Spread,
    summary::{curve, foreign, peak_bytes, seconds},
};

/// The format of a line.
pub const SCHEMA: &str = "gameday-bench-history/1";
/// No history of ours comes near.
const TOO_LARGE: u64 = 256 << 20;

/// What one contender did on one data set in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// [`SCHEMA`].
    pub schema: String,
    /// When the run began, in seconds since 1970.
    pub began: u64,
    /// The same for a person.
    pub date: String,
    /// The version of gameday, and the commit where one was named.
    pub commit: String,
    /// Processor, instruction sets and cores: times of two machines are not compared.
    pub machine: String,
    /// The data set.
    pub set: String,
    /// Sha256 of its vectors and queries.
    pub digest: String,
    /// Who.
    pub engine: String,
    /// The kind of index.
    pub kind: String,
    /// The parameters of the build, its threads, and who searched.
    pub params: String,
    /// Whether it is an engine of gameday's own; others are shown, not judged.
    pub ours: bool,
    /// Builds in the run.
    pub builds: usize,
    /// Their median in seconds.
    pub seconds: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// Part of the machine that others took meanwhile.
    pub others: f64,
    /// Peak memory in bytes.
    pub peak_bytes: f64,
    /// Setting of the searcher and recall@10 there.
    pub recall: Vec<(u32, f64)>,
}

impl Entry {
    /// What must be the same for two figures to be of the same thing.
    fn key(&self) -> [&str; 6] {
        [&self.machine, &self.set, &self.digest, &self.engine, &self.kind, &self.params]
    }

    /// Its build time with interval.
    fn spread(&self) -> Spread {
        Spread { n: self.builds, median: self.seconds, low: self.low, high: self.high }
    }

    fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            return Err(format!("its schema is {:?}, this program reads {SCHEMA:?}", self.schema));
        }
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let ordered = self.low <= self.seconds && self.seconds <= self.high;
        if ![self.low, self.seconds, self.high].into_iter().all(positive) || !ordered {
            return Err(format!("{} seconds within {} to {}", self.seconds, self.low, self.high));
        }
        if !self.peak_bytes.is_finite() || self.peak_bytes < 0.0 || !self.others.is_finite() {
            return Err("its memory, or what others took, is no number".into());
        }
        match self.recall.iter().find(|(_, recall)| !(0.0..=1.0).contains(recall)) {
            Some((setting, recall)) => Err(format!("a recall of {recall} at setting {setting}")),
            None => Ok(()),
        }
    }
}

/// A history that was read.
#[derive(Debug, Default)]
pub struct History {
    /// Its lines, oldest run first.
    pub entries: Vec<Entry>,
    /// Lines that cannot be read: number, from 1, and what is wrong.
    pub garbage: Vec<(usize, String)>,
}

impl History {
    /// What a file holds.
    ///
    /// # Errors
    /// No file, or one that is too large to be a history.
    pub fn read(path: &Path) -> Result<History, Trouble> {
        let remedy = "name a file that `gameday bench index --history FILE` wrote";
        let name = path.display();
        let unread = |e: std::io::Error| Trouble::usage(format!("{name} cannot be read: {e}"), remedy);
        let file = File::open(path).map_err(unread)?;
        let mut bytes = Vec::new();
        file.take(TOO_LARGE + 1).read_to_end(&mut bytes).map_err(unread)?;
        if bytes.len() as u64 > TOO_LARGE {
            return Err(Trouble::usage(format!("{name} is no history: it is larger than 256 MiB"), remedy));
        }
        Ok(History::parse(&bytes))
    }

    /// The lines in some bytes.
    pub fn parse(bytes: &[u8]) -> History {
        let mut all = History::default();
        for (at, line) in bytes.split(|b| *b == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let read = serde_json::from_slice::<Entry>(line).map_err(|e| e.to_string());
            match read.and_then(|entry| entry.check().map(|()| entry)) {
                Ok(entry) => all.entries.push(entry),
                Err(what) => all.garbage.push((at + 1, what)),
            }
        }
        all.entries.sort_by_key(|entry| entry.began);
        all
    }
}

/// The lines of a result; who failed has no figures, and no line.
pub fn entries(results: &Results, commit: Option<&str>) -> Vec<Entry> {
    let sets = results.sets.iter();
    sets.flat_map(|set| set.contenders.iter().filter_map(|c| entry(results, set, c, commit))).collect()
}

fn entry(r: &Results, set: &SetResult, c: &ContenderResult, commit: Option<&str>) -> Option<Entry> {
    let m = &r.machine;
    let s = seconds(c)?;
    let began = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(r.began))?;
    let searcher = c.searcher.as_deref().unwrap_or("nobody");
    Some(Entry {
        schema: SCHEMA.into(),
        began: r.began,
        date: harness::time::wall_millis(began).ok()?,
        commit: commit.map_or_else(|| r.gameday.clone(), |commit| format!("{} {commit}", r.gameday)),
        machine: format!("{}, {}, {} cores", m.cpu, m.features, m.cores),
        set: set.name.clone(),
        digest: set.digest.clone(),
        engine: c.name.clone(),
        kind: c.kind.clone(),
        params: format!("{}, {} threads, searched by {searcher}", c.params, r.threads),
        ours: c.ours,
        builds: s.n,
        seconds: s.median,
        low: s.low,
        high: s.high,
        others: foreign(c, m.cores).unwrap_or(0.0),
        peak_bytes: peak_bytes(c).unwrap_or(0.0),
        recall: curve(c).into_iter().map(|(setting, recall, _)| (setting, recall)).collect(),
    })
}

/// Adds lines to a file, which is made where there is none. A line that was torn stays a line of its own.
///
/// # Errors
/// What the system said.
pub fn append(path: &Path, entries: &[Entry]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let mut text = String::new();
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            text.push('\n');
        }
    }
    for entry in entries {
        text += &serde_json::to_string(entry).expect("a line is plain data");
        text.push('\n');
    }
    // In one write, so that two runs that end at once do not mix their lines.
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
pub(super) mod tests;
