//! One simulated node: its process, what it holds, and how it behaves in each state.

use std::collections::{BTreeMap, VecDeque};

use super::{
    Flaw,
    backup::Archive,
    cells::{Cell, Cells},
};
use crate::{
    act::Artifact,
    corpus::{Corpus, LOADED_KEYS},
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
    /// Whether it takes the writes of users.
    pub(super) leads: bool,
    pub(super) fenced: bool,
    /// Counts process starts: an answer across a restart is a broken connection.
    pub(super) generation: u64,
    pub(super) damaged: Vec<Artifact>,
    pub(super) cells: Cells,
    /// The checkpoints of the region's job, by step. Only object nodes have any, like the archives.
    pub(super) checkpoints: BTreeMap<u64, Reading>,
    pub(super) archives: BTreeMap<Role, Archive>,
    /// A shard of the step under way was dropped.
    pub(super) shard_lost: bool,
    /// What the running process noticed when it loaded its files.
    index_lost: bool,
    degraded: bool,
    /// Requests that arrived while the process was frozen: it will act on them when it wakes.
    backlog: Vec<Write>,
    /// The newest acknowledged writes, with what they replaced.
    newest: VecDeque<(u64, Option<Cell>)>,
    refused: Vec<Write>,
    doubled: Vec<u64>,
    restarted: bool,
    rebuilt: bool,
    pub(super) flaw: Option<Flaw>,
}

impl SimNode {
    pub(super) fn new(role: Role, leads: bool, flaw: Option<Flaw>) -> Self {
        SimNode {
            role,
            running: false,
            paused: false,
            leads,
            fenced: false,
            generation: 0,
            damaged: Vec::new(),
            cells: Cells::default(),
            checkpoints: BTreeMap::new(),
            archives: BTreeMap::new(),
            shard_lost: false,
            index_lost: false,
            degraded: false,
            backlog: Vec::new(),
            newest: VecDeque::new(),
            refused: Vec::new(),
            doubled: Vec::new(),
            restarted: false,
            rebuilt: false,
            flaw,
        }
    }

    /// Whether the process is there and not frozen.
    pub(super) fn awake(&self) -> bool {
        self.running && !self.paused
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

    /// Whether users may write here.
    pub(super) fn accepts(&self) -> Result<(), PortError> {
        if self.fenced {
            return Err(PortError::Definite("the node is fenced".into()));
        }
        if !self.leads {
            return Err(PortError::Definite("a standby takes no writes".into()));
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

    /// How much of its work it can do.
    pub(super) fn health(&self) -> f64 {
        if !self.awake() || self.degraded {
            0.0
        } else if self.index_lost {
            0.5
        } else {
            1.0
        }
    }

    /// A user's write. With `newer`, one that a later write has overtaken changes nothing.
    pub(super) fn write(&mut self, write: Write, newer: bool, corpus: &Corpus) -> Cell {
        let cell = Cell::of(self.role, write, corpus);
        let before = if newer {
            self.cells.put_newer(write.key, cell.clone())
        } else {
            self.cells.put(write.key, cell.clone())
        };
        if write.ver > 0 {
            self.newest.push_back((write.key, before));
            if self.newest.len() > FORGOTTEN {
                self.newest.pop_front();
            }
        }
        cell
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

    /// The process goes on; these writes had reached it meanwhile.
    pub(super) fn resume(&mut self) -> Vec<Write> {
        self.paused = false;
        std::mem::take(&mut self.backlog)
    }

    pub(super) fn kill(&mut self) {
        (self.running, self.paused) = (false, false);
        self.generation += 1;
        self.backlog.clear();
        self.shard_lost = self.role == Role::Gpu && self.flaw == Some(Flaw::LostShard);
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
        self.reload();
        if self.role == Role::Vector {
            self.flawed_start(corpus);
        }
    }

    /// Notices what is rotten on disk.
    pub(super) fn reload(&mut self) {
        self.index_lost = self.damaged.contains(&Artifact::Index);
        let fatal = [Artifact::Segment, Artifact::Log, Artifact::Manifest];
        self.degraded = self.damaged.iter().any(|a| fatal.contains(a));
    }

    fn flawed_start(&mut self, corpus: &Corpus) {
        let mut loaded = self.cells.keys(LOADED_KEYS, u64::MAX);
        loaded.truncate(9);
        match self.flaw {
            Some(Flaw::ForgetsAcked) => {
                while let Some((key, before)) = self.newest.pop_back() {
                    self.cells.put_back(key, before);
                }
            }
            Some(Flaw::ResurrectsRefused) => {
                for write in std::mem::take(&mut self.refused) {
                    self.write(write, false, corpus);
                }
            }
            Some(Flaw::CorruptsValues) => self.cells.spoil(&loaded),
            Some(Flaw::DuplicatesRecords) => self.doubled = loaded,
            _ => {}
        }
    }

    /// The disk is empty.
    pub(super) fn wipe(&mut self) {
        self.cells.clear();
        self.checkpoints.clear();
        self.archives.clear();
        self.damaged.clear();
        self.newest.clear();
        self.doubled.clear();
    }

    /// What was stored comes from elsewhere now, and is sound.
    pub(super) fn replace(&mut self, cells: Cells) -> Cells {
        self.damaged.clear();
        self.newest.clear();
        (self.degraded, self.index_lost) = (false, false);
        std::mem::replace(&mut self.cells, cells)
    }

    pub(super) fn rebuild(&mut self) -> usize {
        self.rebuilt = self.restarted;
        self.index_lost = false;
        self.damaged.retain(|a| *a != Artifact::Index);
        self.cells.len()
    }

    pub(super) fn page(&self, after: Option<u64>, limit: usize) -> (Vec<(u64, Reading)>, Option<u64>) {
        self.cells.page(after, limit, &self.doubled)
    }

    pub(super) fn search(&self, query: &[f32], k: usize) -> Result<Vec<u64>, PortError> {
        if self.index_lost {
            return Err(PortError::Definite("the index file is damaged; searches are refused".into()));
        }
        if self.flaw != Some(Flaw::WrongAfterRebuild) || !self.rebuilt {
            return Ok(self.cells.nearest(query, k));
        }
        let mut all = self.cells.nearest(query, k + k.div_ceil(10));
        // The nearest of each ten stay; the last of them is passed over for a farther one.
        all.drain((k - k.div_ceil(10)).min(all.len())..k.min(all.len()));
        Ok(all)
    }
}
