//! One simulated node: what it holds, and how it behaves in each state.

use std::collections::{BTreeMap, VecDeque};

use super::Flaw;
use crate::{
    act::Artifact,
    corpus::{Corpus, LOADED_KEYS, squared_distance},
    ports::{PortError, Reading, Write},
    topology::Role,
};

/// How many of the newest acknowledged writes a forgetful node loses.
const FORGOTTEN: usize = 25;
/// How long a flapping node is good, and then bad.
const FLAP_US: u64 = 400_000;

/// A simulated node.
#[derive(Debug)]
pub(super) struct SimNode {
    pub(super) role: Role,
    pub(super) running: bool,
    pub(super) paused: bool,
    /// Counts process starts: an answer across a restart is a broken connection.
    pub(super) generation: u64,
    pub(super) damaged: Vec<Artifact>,
    /// What the running process noticed when it loaded its files.
    index_lost: bool,
    degraded: bool,
    records: BTreeMap<u64, Record>,
    backup: Option<BTreeMap<u64, Record>>,
    /// Requests that arrived while the process was frozen: it will act on them when it wakes.
    backlog: Vec<Write>,
    /// The newest acknowledged writes, with what they replaced.
    newest: VecDeque<(u64, Option<Record>)>,
    refused: Vec<Write>,
    doubled: Vec<u64>,
    restarted: bool,
    rebuilt: bool,
    flaw: Option<Flaw>,
}

#[derive(Clone, PartialEq, Debug)]
struct Record {
    reading: Reading,
    vector: Vec<f32>,
}

impl SimNode {
    pub(super) fn new(role: Role, flaw: Option<Flaw>) -> Self {
        SimNode {
            role,
            running: false,
            paused: false,
            generation: 0,
            damaged: Vec::new(),
            index_lost: false,
            degraded: false,
            records: BTreeMap::new(),
            backup: None,
            backlog: Vec::new(),
            newest: VecDeque::new(),
            refused: Vec::new(),
            doubled: Vec::new(),
            restarted: false,
            rebuilt: false,
            flaw,
        }
    }

    /// Whether a request may be served at this moment.
    pub(super) fn serves(&self, now_us: u64) -> Result<(), PortError> {
        if !self.running {
            return Err(PortError::Definite("connection refused".into()));
        }
        if self.degraded {
            return Err(PortError::Definite("files are damaged; the node does not serve".into()));
        }
        if self.flaw == Some(Flaw::Flaps) && self.restarted && now_us / FLAP_US % 2 == 1 {
            return Err(PortError::Definite("not ready".into()));
        }
        Ok(())
    }

    /// Whether requests hang.
    pub(super) fn hangs(&self, search: bool) -> bool {
        let vector = self.restarted && self.role == Role::Vector;
        match self.flaw {
            Some(Flaw::NeverWakes) => vector,
            Some(Flaw::HangingSearch) => vector && search,
            _ => false,
        }
    }

    pub(super) fn write(&mut self, write: Write, corpus: &Corpus) {
        let vector = if self.role == Role::Vector { corpus.vector(write.key, write.ver) } else { Vec::new() };
        let record = Record { reading: Reading::Ver(write.ver), vector };
        let before = if write.delete {
            self.records.remove(&write.key)
        } else {
            self.records.insert(write.key, record)
        };
        if write.ver > 0 {
            self.newest.push_back((write.key, before));
            if self.newest.len() > FORGOTTEN {
                self.newest.pop_front();
            }
        }
    }

    /// A write that was refused.
    pub(super) fn refuse(&mut self, write: Write) {
        if self.flaw == Some(Flaw::ResurrectsRefused) && write.key >= LOADED_KEYS {
            self.refused.push(write);
        }
    }

    /// A write that reached a frozen process.
    pub(super) fn queue(&mut self, write: Write) {
        self.backlog.push(write);
    }

    pub(super) fn resume(&mut self, corpus: &Corpus) {
        self.paused = false;
        for write in std::mem::take(&mut self.backlog) {
            self.write(write, corpus);
        }
    }

    pub(super) fn kill(&mut self) {
        (self.running, self.paused) = (false, false);
        self.generation += 1;
        self.backlog.clear();
    }

    /// Loads what is on disk.
    pub(super) fn start(&mut self, corpus: &Corpus) {
        if self.running {
            return;
        }
        self.running = true;
        let first = self.generation == 0;
        self.generation += 1;
        if first {
            return;
        }
        self.restarted = true;
        self.index_lost = self.damaged.contains(&Artifact::Index);
        let fatal = [Artifact::Segment, Artifact::Log, Artifact::Manifest];
        self.degraded = self.damaged.iter().any(|a| fatal.contains(a));
        if self.role == Role::Vector {
            self.flawed_start(corpus);
        }
    }

    fn flawed_start(&mut self, corpus: &Corpus) {
        let loaded =
            |r: &BTreeMap<u64, Record>| r.keys().copied().filter(|k| *k >= LOADED_KEYS).take(9).collect();
        match self.flaw {
            Some(Flaw::ForgetsAcked) => {
                while let Some((key, before)) = self.newest.pop_back() {
                    match before {
                        Some(record) => self.records.insert(key, record),
                        None => self.records.remove(&key),
                    };
                }
            }
            Some(Flaw::ResurrectsRefused) => {
                for write in std::mem::take(&mut self.refused) {
                    self.write(write, corpus);
                }
            }
            Some(Flaw::CorruptsValues) => {
                let keys: Vec<u64> = loaded(&self.records);
                for key in keys {
                    self.records.entry(key).and_modify(|r| r.reading = Reading::Corrupt);
                }
            }
            Some(Flaw::DuplicatesRecords) => self.doubled = loaded(&self.records),
            _ => {}
        }
    }

    pub(super) fn back_up(&mut self) -> usize {
        self.backup = Some(self.records.clone());
        self.records.len()
    }

    /// The newest backup, with the log replayed on top where it is intact.
    pub(super) fn restore(&mut self) -> Result<String, String> {
        let backup = self.backup.clone().ok_or("there is no backup")?;
        let count = backup.len();
        let log_lost = self.damaged.contains(&Artifact::Log);
        if log_lost || self.flaw == Some(Flaw::StaleRestore) {
            self.records = backup;
        }
        self.damaged.clear();
        (self.degraded, self.index_lost) = (false, false);
        Ok(format!("{count} records restored, log {}", if log_lost { "lost" } else { "replayed" }))
    }

    pub(super) fn rebuild(&mut self) -> usize {
        self.rebuilt = self.restarted;
        self.index_lost = false;
        self.damaged.retain(|a| *a != Artifact::Index);
        self.records.len()
    }

    /// Damages stored objects at once; other files are only looked at when the process loads them.
    pub(super) fn damage(&mut self, what: Artifact, fraction: f64) -> usize {
        if !self.damaged.contains(&what) {
            self.damaged.push(what);
        }
        if what != Artifact::Object {
            return 1;
        }
        let count = ((self.records.len() as f64 * fraction).ceil() as usize).min(self.records.len());
        for record in self.records.values_mut().take(count) {
            record.reading = Reading::Corrupt;
        }
        count
    }

    pub(super) fn read(&self, key: u64) -> Option<Reading> {
        self.records.get(&key).map(|r| r.reading)
    }

    pub(super) fn after(&self, after: Option<u64>, limit: usize) -> (Vec<(u64, Reading)>, Option<u64>) {
        let from = after.map_or(0, |a| a.saturating_add(1));
        let mut items = Vec::new();
        let mut last = None;
        for (key, record) in self.records.range(from..).take(limit) {
            items.push((*key, record.reading));
            if self.doubled.contains(key) {
                items.push((*key, record.reading));
            }
            last = Some(*key);
        }
        let more = last.filter(|l| self.records.range(l.saturating_add(1)..).next().is_some());
        (items, more)
    }

    pub(super) fn search(&self, query: &[f32], k: usize) -> Result<Vec<u64>, PortError> {
        if self.index_lost {
            return Err(PortError::Definite("the index file is damaged; searches are refused".into()));
        }
        let mut all: Vec<(f32, u64)> =
            self.records.iter().map(|(key, r)| (squared_distance(query, &r.vector), *key)).collect();
        let wrong = self.flaw == Some(Flaw::WrongAfterRebuild) && self.rebuilt;
        let wanted = if wrong { (k + k.div_ceil(10)).min(all.len()) } else { k.min(all.len()) };
        if wanted > 0 && wanted < all.len() {
            all.select_nth_unstable_by(wanted - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        }
        all.truncate(wanted);
        all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        if wrong {
            // The nearest of each ten stay; the last of them is passed over for a farther one.
            all.drain(k - k.div_ceil(10)..k.min(all.len()));
        }
        Ok(all.into_iter().map(|(_, key)| key).collect())
    }
}
