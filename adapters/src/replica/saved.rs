//! What outlives the process, and which changes of role are allowed.
//!
//! The rules are pure functions on [`Saved`]; the file `replica.json` is replaced atomically and carries its
//! checksum. A damaged one keeps the node from starting: guessing a role could make a second primary.

use super::ReplicaConfig;
use super::wire::{Mode, Position, Role};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const NAME: &str = "replica.json";
const NEXT: &str = "replica.json.next";

/// What a node knows about its part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    /// Of this node's data: another one after they were dropped.
    pub(super) id: u64,
    pub(super) role: Role,
    pub(super) epoch: u64,
    pub(super) mode: Mode,
    pub(super) follow: Option<Source>,
    /// Whom this primary followed before it was promoted: to be told so.
    pub(super) supersedes: Option<SocketAddr>,
}

/// Whom a node follows, and how far it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) addr: SocketAddr,
    /// By the source's count. May be older than the data, never newer.
    pub(super) upto: Position,
    /// The node's own timeline that `upto` belongs to; in another one it means nothing.
    pub(super) own: u64,
    pub(super) wipe: Wipe,
}

/// Whether a node drops its own data before it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wipe {
    No,
    Pending,
    Done,
}

impl Source {
    pub(super) fn new(addr: SocketAddr, wipe: Wipe) -> Self {
        Self { addr, upto: Position::default(), own: 0, wipe }
    }

    fn wipe_pending(&self) -> bool {
        self.wipe == Wipe::Pending
    }
}

/// What a node does about others by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// Nothing.
    Rest,
    /// Pull changes. The number tells apart two orders to follow the same node.
    Pull { addr: SocketAddr, id: u64 },
    /// Tell the old primary.
    Herald { addr: SocketAddr, epoch: u64 },
}

impl Saved {
    pub(super) fn new(config: &ReplicaConfig) -> Self {
        Self {
            id: random(),
            role: config.start_as,
            epoch: 1,
            mode: config.mode,
            follow: config.follow.map(|addr| Source::new(addr, Wipe::No)),
            supersedes: None,
        }
    }

    pub(super) fn duty(&self) -> Duty {
        let pulls = self.role == Role::Standby || (self.role == Role::Primary && self.mode == Mode::Mutual);
        match (&self.follow, self.supersedes) {
            (Some(source), _) if pulls => Duty::Pull { addr: source.addr, id: self.id },
            (_, Some(addr)) if self.role == Role::Primary => Duty::Herald { addr, epoch: self.epoch },
            _ => Duty::Rest,
        }
    }

    /// To primary, in a higher epoch. Twice is as good as once; `mode` is the one to have from now on.
    pub(super) fn promote(&mut self, epoch: u64, mode: Option<Mode>) -> Result<(), String> {
        let again = self.role == Role::Primary && epoch == self.epoch;
        if epoch <= self.epoch && !again {
            return Err(format!("epoch {} is known here: promote with a higher one", self.epoch));
        }
        if self.follow.as_ref().is_some_and(Source::wipe_pending) {
            return Err(
                "its data are to be dropped: wait until it has caught up, or let it follow without".into()
            );
        }
        let mode = mode.unwrap_or(self.mode);
        if self.role != Role::Primary && mode != Mode::Mutual {
            self.supersedes = self.follow.take().map(|source| source.addr);
        }
        (self.role, self.epoch, self.mode) = (Role::Primary, epoch, mode);
        Ok(())
    }

    /// From primary to fenced, by a higher epoch. A standby takes no writes as it is.
    pub(super) fn fence(&mut self, epoch: u64) -> Result<(), String> {
        match self.role {
            Role::Primary if epoch <= self.epoch => {
                Err(format!("it is the primary of epoch {}: fence it with a higher one", self.epoch))
            }
            Role::Primary => {
                (self.role, self.epoch) = (Role::Fenced, epoch);
                Ok(())
            }
            Role::Fenced => {
                self.epoch = self.epoch.max(epoch);
                Ok(())
            }
            Role::Standby => Ok(()),
        }
    }

    /// To standby of `addr`; with `wipe` its own data are dropped once that one answers as a primary.
    pub(super) fn follow(&mut self, addr: SocketAddr, wipe: bool, epoch: u64) -> Result<(), String> {
        if epoch < self.epoch || (epoch == self.epoch && self.role == Role::Primary) {
            let what = if self.role == Role::Primary { "it is the primary of" } else { "it knows" };
            return Err(format!("{what} epoch {}: let it follow in a higher one", self.epoch));
        }
        let old = self.follow.take().filter(|source| source.addr == addr);
        let begun = self.role == Role::Standby && self.epoch == epoch;
        let wipe = if wipe { Wipe::Pending } else { Wipe::No };
        self.follow = Some(match old {
            // Asked again.
            Some(source) if begun && (wipe == Wipe::No || source.wipe != Wipe::No) => source,
            Some(source) if wipe == Wipe::No => Source { wipe, ..source },
            _ => Source::new(addr, wipe),
        });
        (self.role, self.epoch, self.supersedes) = (Role::Standby, epoch, None);
        Ok(())
    }

    /// Another node knows of a higher epoch.
    pub(super) fn heard_of(&mut self, epoch: u64) {
        if self.role == Role::Primary && epoch > self.epoch {
            self.epoch = epoch;
            // Mutual primaries are all primaries.
            if self.mode != Mode::Mutual {
                self.role = Role::Fenced;
            }
        }
    }

    /// The source answered as the primary of an epoch.
    pub(super) fn adopt(&mut self, epoch: u64) {
        if self.role == Role::Standby || self.mode == Mode::Mutual {
            self.epoch = self.epoch.max(epoch);
        }
    }

    /// The node's data were dropped and it is on the timeline `own` now.
    pub(super) fn wiped(&mut self, own: u64) {
        if let Some(source) = self.follow.as_mut().filter(|source| source.wipe_pending()) {
            *source = Source { own, ..Source::new(source.addr, Wipe::Done) };
            self.id = random();
        }
    }
}

/// A number nobody else has.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// The file.
#[derive(Debug)]
pub(super) struct Disk(PathBuf);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// Of `standing`, written without spaces.
    crc32: u32,
    standing: Saved,
}

fn checksum(saved: &Saved) -> io::Result<u32> {
    Ok(crc32fast::hash(&serde_json::to_vec(saved)?))
}

impl Disk {
    pub(super) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// `None` if there is no file.
    pub(super) fn load(&self) -> io::Result<Option<Saved>> {
        let bytes = match fs::read(self.0.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let document: Document = serde_json::from_slice(&bytes)?;
        if checksum(&document.standing)? != document.crc32 {
            return Err(io::Error::other(format!("{NAME} fails its checksum")));
        }
        Ok(Some(document.standing))
    }

    pub(super) fn store(&self, saved: &Saved) -> io::Result<()> {
        let document = Document { crc32: checksum(saved)?, standing: saved.clone() };
        let mut file = File::create(self.0.join(NEXT))?;
        file.write_all(&serde_json::to_vec_pretty(&document)?)?;
        file.sync_all()?;
        fs::rename(self.0.join(NEXT), self.0.join(NAME))?;
        File::open(&self.0)?.sync_all()
    }
}
