//! The records of one simulated store: what each key reads as, and which write made it so.
//!
//! A deleted record leaves a tombstone with the number of its delete, so that a replica or a restore never takes an
//! older value for a newer one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

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
pub(super) struct Cells {
    all: BTreeMap<u64, Cell>,
    /// Keys of vectors by their first coordinate, so that a search need not look at those that are too far off.
    order: BTreeSet<(i64, u64)>,
}

/// Coordinates are multiples of 1/1024.
fn place(coordinate: f32) -> i64 {
    (coordinate * 1024.0) as i64
}

impl Cells {
    pub(super) fn get(&self, key: u64) -> Option<Reading> {
        self.all.get(&key)?.reading
    }

    /// Stores a record, and answers with what it replaced.
    pub(super) fn put(&mut self, key: u64, cell: Cell) -> Option<Cell> {
        let before = self.remove(key);
        if let Some(x) = cell.vector.first() {
            self.order.insert((place(*x), key));
        }
        self.all.insert(key, cell);
        before
    }

    fn remove(&mut self, key: u64) -> Option<Cell> {
        let cell = self.all.remove(&key)?;
        if let Some(x) = cell.vector.first() {
            self.order.remove(&(place(*x), key));
        }
        Some(cell)
    }

    /// Stores a record unless a later write is there already: the last writer wins.
    pub(super) fn put_newer(&mut self, key: u64, cell: Cell) -> Option<Cell> {
        match self.all.get(&key) {
            Some(held) if held.ver > cell.ver => Some(held.clone()),
            _ => self.put(key, cell),
        }
    }

    /// Makes a key what it was.
    pub(super) fn put_back(&mut self, key: u64, before: Option<Cell>) {
        match before {
            Some(cell) => self.put(key, cell),
            None => self.remove(key),
        };
    }

    pub(super) fn clear(&mut self) {
        *self = Cells::default();
    }

    /// How many records are stored.
    pub(super) fn len(&self) -> usize {
        self.live(0).count()
    }

    fn live(&self, from: u64) -> impl Iterator<Item = (u64, Reading, &Cell)> {
        self.all.range(from..).filter_map(|(key, cell)| Some((*key, cell.reading?, cell)))
    }

    /// Keys that hold something, from one key up to another.
    pub(super) fn keys(&self, from: u64, to: u64) -> Vec<u64> {
        self.live(from).map(|(key, ..)| key).take_while(|key| *key < to).collect()
    }

    /// A copy of one record, or of its tombstone.
    pub(super) fn cell(&self, key: u64) -> Option<Cell> {
        self.all.get(&key).cloned()
    }

    /// Turns records into values that nobody wrote.
    pub(super) fn spoil(&mut self, keys: &[u64]) {
        for key in keys {
            self.all.entry(*key).and_modify(|c| c.reading = Some(Reading::Corrupt));
        }
    }

    /// Removes records without a trace.
    pub(super) fn erase(&mut self, keys: &[u64]) {
        keys.iter().for_each(|key| drop(self.remove(*key)));
    }

    /// How many records have values that nobody wrote, from one key up to another.
    pub(super) fn spoilt(&self, from: u64, to: u64) -> usize {
        let range = self.live(from).take_while(|(key, ..)| *key < to);
        range.filter(|(_, reading, _)| *reading == Reading::Corrupt).count()
    }

    /// What is newer in `held`, and can be believed, is stored on top.
    pub(super) fn overlay(&mut self, held: Cells) {
        for (key, cell) in held.all {
            let older = self.all.get(&key).is_none_or(|own| own.ver < cell.ver);
            if older && key < STRANGERS && cell.reading != Some(Reading::Corrupt) {
                self.put(key, cell);
            }
        }
    }

    /// Everything of `other` that can be believed and that no later write of its own overrules.
    pub(super) fn merge(&mut self, other: &Cells) {
        for (key, cell) in other.all.range(..STRANGERS).filter(|(_, c)| c.reading != Some(Reading::Corrupt)) {
            self.put_newer(*key, cell.clone());
        }
    }

    /// Strangers of `other`.
    pub(super) fn adopt_strangers(&mut self, other: &Cells) {
        self.all.extend(other.all.range(STRANGERS..).map(|(key, cell)| (*key, cell.clone())));
    }

    /// How many records differ from those of an earlier copy.
    pub(super) fn changed_since(&self, before: &Cells) -> usize {
        self.all.iter().filter(|(key, cell)| before.all.get(key) != Some(cell)).count()
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

    /// The nearest records, nearest first; of equally near ones, the lower key.
    pub(super) fn nearest(&self, query: &[f32], k: usize) -> Vec<u64> {
        let mut best: Vec<(f32, u64)> = Vec::new();
        let Some(x) = query.first().copied().filter(|_| k > 0) else { return Vec::new() };
        let mut right = self.order.range((place(x), 0)..).peekable();
        let mut left = self.order.range(..(place(x), 0)).rev().peekable();
        // From the query's place outwards, the nearer side first.
        loop {
            let to_right = right.peek().map(|(at, _)| at - place(x));
            let to_left = left.peek().map(|(at, _)| place(x) - at);
            let next = match (to_right, to_left) {
                (Some(r), Some(l)) if r <= l => right.next(),
                (_, Some(_)) => left.next(),
                (_, None) => right.next(),
            };
            let Some(cell) = next.and_then(|(_, key)| Some((*key, self.all.get(key)?))) else { break };
            let (key, vector) = (cell.0, &cell.1.vector);
            let apart = vector.first().map_or(0.0, |v| (x - v) * (x - v));
            if best.len() >= k && best.last().is_some_and(|worst| apart > worst.0) {
                break;
            }
            let found = (squared_distance(query, vector), key);
            let at = best.partition_point(|b| b.0.total_cmp(&found.0).then(b.1.cmp(&found.1)).is_lt());
            best.insert(at, found);
            best.truncate(k);
        }
        best.into_iter().map(|(_, key)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_what_comparing_them_all_finds() {
        let drill = include_bytes!("../../../scenarios/vector_index_corruption.toml");
        let small = [("data.vectors.count", "500"), ("data.vectors.dim", "8")];
        let small = small.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let corpus = Corpus::of(&crate::diagnose::load(drill, &small).unwrap().scenario);
        let mut cells = Cells::default();
        for key in 0..500 {
            cells.put(key, Cell::of(Role::Vector, Write { key, ver: 0, delete: false }, &corpus));
        }
        for key in (0..500).step_by(7) {
            let write = Write { key, ver: 1 + key, delete: key % 2 == 0 };
            cells.put(key, Cell::of(Role::Vector, write, &corpus));
        }
        for n in 0..200 {
            let query = corpus.query(n);
            let mut all: Vec<(f32, u64)> =
                cells.live(0).map(|(key, _, cell)| (squared_distance(&query, &cell.vector), key)).collect();
            all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let expected: Vec<u64> = all.iter().take(10).map(|(_, key)| *key).collect();
            assert_eq!(cells.nearest(&query, 10), expected, "query {n}");
        }
        assert_eq!(cells.nearest(&corpus.query(0), 1000).len(), cells.len());
    }
}
