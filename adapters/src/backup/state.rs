//! The state that a chain of changes leads to: enough of it to compare with a manifest and with a node.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::vectordb::{Census, Change, Record};

type Print = [u8; 32];

/// Every key's newest change, the vector by its fingerprint.
#[derive(Debug, Default)]
pub(super) struct State {
    keys: HashMap<u64, (u64, Option<Print>)>,
    census: Census,
}

impl State {
    /// Changes come in the order of their writes.
    pub(super) fn add(&mut self, change: &Change) {
        let Change { key, ver, ref vector, .. } = *change;
        let print = vector.as_ref().map(|vector| fingerprint(key, ver, vector));
        self.census.add(key, ver, print.is_some());
        if let Some((old, print)) = self.keys.insert(key, (ver, print)) {
            self.census.remove(key, old, print.is_some());
        }
    }

    pub(super) fn census(&self) -> Census {
        self.census
    }

    /// Whether a record is the very one that the state holds.
    pub(super) fn holds(&self, record: &Record) -> bool {
        let Record { key, ver, vector } = record;
        self.keys.get(key).is_some_and(|(_, print)| *print == Some(fingerprint(*key, *ver, vector)))
    }
}

fn fingerprint(key: u64, ver: u64, vector: &[f32]) -> Print {
    let mut sha = Sha256::new();
    sha.update(key.to_le_bytes());
    sha.update(ver.to_le_bytes());
    for value in vector {
        sha.update(value.to_bits().to_le_bytes());
    }
    sha.finalize().into()
}
