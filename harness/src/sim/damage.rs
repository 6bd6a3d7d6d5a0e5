//! What damage does to what a node holds.
//!
//! Rotten files of a vector node are noticed when its process loads them. Everything else is wrong at once.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{
    cells::{Cell, STRANGERS},
    node::SimNode,
};
use crate::{
    act::{Artifact, Damage},
    corpus::{Corpus, FEATURES, MODELS},
};

/// What was hit.
#[derive(Debug)]
pub(super) struct Hit {
    /// In words.
    pub(super) what: String,
    /// Records that look to a replica like ordinary changes.
    pub(super) spread: Vec<(u64, Cell)>,
}

impl SimNode {
    /// Damages what is stored, or says that there is nothing to damage.
    pub(super) fn damage(
        &mut self,
        what: Artifact,
        how: Damage,
        fraction: f64,
        seed: u64,
        corpus: &Corpus,
    ) -> Result<Hit, String> {
        let catalogue = corpus.entities;
        let keys = match what {
            Artifact::Object => first(self.cells.keys(0, STRANGERS), fraction),
            Artifact::Model => first(self.cells.keys(0, MODELS), fraction),
            Artifact::Values => some(self.cells.keys(0, catalogue), fraction, seed),
            Artifact::Definitions => {
                some(self.cells.keys(catalogue, catalogue + FEATURES as u64), fraction, seed)
            }
            Artifact::Backup => return self.damage_backups(how),
            Artifact::Heap | Artifact::Drive => return Err("world `sim` has no drives".into()),
            Artifact::Index | Artifact::Segment | Artifact::Log | Artifact::Manifest | Artifact::Roles => {
                if !self.damaged.contains(&what) {
                    self.damaged.push(what);
                }
                return Ok(Hit { what: "1 files have other checksums".into(), spread: Vec::new() });
            }
        };
        if keys.is_empty() {
            return Err(format!("there is no {what} to damage"));
        }
        if how == Damage::Delete {
            self.cells.erase(&keys);
        } else {
            self.cells.spoil(&keys);
        }
        // Forged values and other models are written through the store: its replicas take them for ordinary changes.
        let forged = what == Artifact::Values && how == Damage::Forge;
        let through = forged || what == Artifact::Model;
        let spread = keys.iter().filter(|_| through).filter_map(|key| Some((*key, self.cells.cell(*key)?)));
        let things = if matches!(what, Artifact::Object | Artifact::Model) { "files" } else { "records" };
        let words = format!("{} {things} have other checksums", keys.len());
        Ok(Hit { what: words, spread: spread.collect() })
    }

    fn damage_backups(&mut self, how: Damage) -> Result<Hit, String> {
        if self.archives.is_empty() {
            return Err("there is no backup to damage".into());
        }
        let what = format!("{} backups have other checksums", self.archives.len());
        if how == Damage::Delete {
            self.archives.clear();
        }
        self.archives.values_mut().for_each(|a| a.damaged = true);
        Ok(Hit { what, spread: Vec::new() })
    }

    /// A role that nobody granted.
    pub(super) fn intrude(&mut self) {
        let key = STRANGERS + self.cells.keys(STRANGERS, u64::MAX).len() as u64;
        self.cells.put(key, Cell::strange());
    }
}

fn share(count: usize, fraction: f64) -> usize {
    ((count as f64 * fraction).ceil() as usize).min(count)
}

fn first(mut keys: Vec<u64>, fraction: f64) -> Vec<u64> {
    keys.truncate(share(keys.len(), fraction));
    keys
}

/// As many keys, chosen by the seed.
fn some(mut keys: Vec<u64>, fraction: f64, seed: u64) -> Vec<u64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = share(keys.len(), fraction);
    for i in 0..count {
        let left = (keys.len() - i) as u64;
        keys.swap(i, i + (rng.next_u64() % left) as usize);
    }
    keys.truncate(count);
    keys
}
