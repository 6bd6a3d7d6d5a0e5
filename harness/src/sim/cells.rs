//! The records of one simulated store: what each key reads as, and which write made it so.
//!
//! A deleted record leaves a tombstone with the number of its delete, so that a replica or a restore never takes an
//! older value for a newer one.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    corpus::{Corpus, squared_distance},
    ports::{Reading, Write},
    topology::Role,
};

/// What nobody wrote has keys from here on.
pub(super) const STRANGERS: u64 = 1 << 52;

/// One record, or the tombstone of one.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Cell {
    /// The write that made it.
    pub(super) ver: u64,
    /// `None`: deleted.
    pub(super) reading: Option<Reading>,
    /// Where it is, in a vector store.
    vector: Arc<[f32]>,
}

impl Cell {
    pub(super) fn of(role: Role, write: Write, corpus: &Corpus) -> Cell {
        let stored = !write.delete;
        let vector = if role == Role::Vector && stored {
            corpus.vector(write.key, write.ver).into()
        } else {
            Arc::default()
        };
        Cell { ver: write.ver, reading: stored.then_some(Reading::Ver(write.ver)), vector }
    }

    /// What an intruder leaves behind.
    pub(super) fn strange() -> Cell {
        Cell { ver: 0, reading: Some(Reading::Corrupt), vector: Arc::default() }
    }
}

/// All records of a store.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Cells(BTreeMap<u64, Cell>);

impl Cells {
    pub(super) fn get(&self, key: u64) -> Option<Reading> {
        self.0.get(&key)?.reading
    }

    /// Stores a record, and answers with what it replaced.
    pub(super) fn put(&mut self, key: u64, cell: Cell) -> Option<Cell> {
        self.0.insert(key, cell)
    }

    /// Stores a record unless a later write is there already: the last writer wins.
    pub(super) fn put_newer(&mut self, key: u64, cell: Cell) -> Option<Cell> {
        match self.0.get(&key) {
            Some(held) if held.ver > cell.ver => Some(held.clone()),
            _ => self.put(key, cell),
        }
    }

    /// Makes a key what it was.
    pub(super) fn put_back(&mut self, key: u64, before: Option<Cell>) {
        match before {
            Some(cell) => self.0.insert(key, cell),
            None => self.0.remove(&key),
        };
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many records are stored.
    pub(super) fn len(&self) -> usize {
        self.live(0).count()
    }

    fn live(&self, from: u64) -> impl Iterator<Item = (u64, Reading, &Cell)> {
        self.0.range(from..).filter_map(|(key, cell)| Some((*key, cell.reading?, cell)))
    }

    /// Keys that hold something, from one key up to another.
    pub(super) fn keys(&self, from: u64, to: u64) -> Vec<u64> {
        self.live(from).map(|(key, ..)| key).take_while(|key| *key < to).collect()
    }

    /// A copy of one record, or of its tombstone.
    pub(super) fn cell(&self, key: u64) -> Option<Cell> {
        self.0.get(&key).cloned()
    }

    /// Turns records into values that nobody wrote.
    pub(super) fn spoil(&mut self, keys: &[u64]) {
        for key in keys {
            self.0.entry(*key).and_modify(|c| c.reading = Some(Reading::Corrupt));
        }
    }

    /// Removes records without a trace.
    pub(super) fn erase(&mut self, keys: &[u64]) {
        keys.iter().for_each(|key| drop(self.0.remove(key)));
    }

    /// How many records have values that nobody wrote, from one key up to another.
    pub(super) fn spoilt(&self, from: u64, to: u64) -> usize {
        let range = self.live(from).take_while(|(key, ..)| *key < to);
        range.filter(|(_, reading, _)| *reading == Reading::Corrupt).count()
    }

    /// What is newer in `held`, and can be believed, is stored on top.
    pub(super) fn overlay(&mut self, held: Cells) {
        for (key, cell) in held.0 {
            let older = self.0.get(&key).is_none_or(|own| own.ver < cell.ver);
            if older && key < STRANGERS && cell.reading != Some(Reading::Corrupt) {
                self.0.insert(key, cell);
            }
        }
    }

    /// Everything of `other` that can be believed and that no later write of its own overrules.
    pub(super) fn merge(&mut self, other: &Cells) {
        for (key, cell) in other.0.range(..STRANGERS).filter(|(_, c)| c.reading != Some(Reading::Corrupt)) {
            self.put_newer(*key, cell.clone());
        }
    }

    /// Strangers of `other`.
    pub(super) fn adopt_strangers(&mut self, other: &Cells) {
        self.0.extend(other.0.range(STRANGERS..).map(|(key, cell)| (*key, cell.clone())));
    }

    /// How many records differ from those of an earlier copy.
    pub(super) fn changed_since(&self, before: &Cells) -> usize {
        self.0.iter().filter(|(key, cell)| before.0.get(key) != Some(cell)).count()
    }

    /// A page of records after a key, and where the next page begins.
    pub(super) fn page(
        &self,
        after: Option<u64>,
        limit: usize,
        doubled: &[u64],
    ) -> (Vec<(u64, Reading)>, Option<u64>) {
        let from = after.map_or(0, |a| a.saturating_add(1));
        let mut items = Vec::new();
        let mut last = None;
        for (key, reading, _) in self.live(from).take(limit) {
            items.push((key, reading));
            if doubled.contains(&key) {
                items.push((key, reading));
            }
            last = Some(key);
        }
        let more = last.filter(|l| self.live(l.saturating_add(1)).next().is_some());
        (items, more)
    }

    /// The nearest records, nearest first.
    pub(super) fn nearest(&self, query: &[f32], k: usize) -> Vec<u64> {
        let mut all: Vec<(f32, u64)> =
            self.live(0).map(|(key, _, cell)| (squared_distance(query, &cell.vector), key)).collect();
        let wanted = k.min(all.len());
        if wanted > 0 && wanted < all.len() {
            all.select_nth_unstable_by(wanted - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        }
        all.truncate(wanted);
        all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.into_iter().map(|(_, key)| key).collect()
    }
}
