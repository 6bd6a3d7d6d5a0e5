//! The merged view of segments and log, in memory: what reads are answered from.
//!
//! Invariants: `unsealed` holds the keys written after `sealed`, `unindexed` those written after `indexed`; `by_lsn`
//! holds every key once, by the lsn of its newest write, and no two keys share an lsn. Tombstones are never dropped.

use super::ann::{Ann, distance};
use super::census::Census;
use super::codec::Entry;
use super::wire::{Change, Hit, PAGE_BYTES, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<u64, Entry>,
    by_lsn: BTreeMap<u64, u64>,
    census: Census,
    last: u64,
    sealed: u64,
    indexed: u64,
    unsealed: BTreeSet<u64>,
    unindexed: BTreeSet<u64>,
}

impl Table {
    /// A table whose writes up to `sealed` are in segments.
    pub(super) fn new(sealed: u64) -> Self {
        Self { last: sealed, sealed, ..Self::default() }
    }

    /// Keeps the newest write of the key, in whatever order writes come.
    pub(super) fn apply(&mut self, key: u64, entry: Entry) {
        self.last = self.last.max(entry.lsn);
        let old = self.entries.get(&key);
        if old.is_some_and(|old| old.lsn >= entry.lsn) {
            return;
        }
        if let Some(old) = old {
            self.by_lsn.remove(&old.lsn);
            self.census.remove(key, old.ver, old.vector.is_some());
        }
        self.by_lsn.insert(entry.lsn, key);
        self.census.add(key, entry.ver, entry.vector.is_some());
        if entry.lsn > self.sealed {
            self.unsealed.insert(key);
        }
        if entry.lsn > self.indexed {
            self.unindexed.insert(key);
        }
        self.entries.insert(key, entry);
    }

    /// Writes up to `lsn` are in segments now.
    pub(super) fn seal(&mut self, lsn: u64) {
        self.sealed = lsn;
        self.unsealed = self.newer(lsn);
    }

    /// Writes up to `lsn` are in the index now.
    pub(super) fn index(&mut self, lsn: u64) {
        self.indexed = lsn;
        self.unindexed = self.newer(lsn);
    }

    fn newer(&self, lsn: u64) -> BTreeSet<u64> {
        self.by_lsn.range((Bound::Excluded(lsn), Bound::Unbounded)).map(|(_, key)| *key).collect()
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn live(&self) -> u64 {
        self.census.live
    }

    pub(super) fn census(&self) -> Census {
        self.census
    }

    /// The write number that a key shows, be it a deletion's.
    pub(super) fn ver(&self, key: u64) -> Option<u64> {
        self.entries.get(&key).map(|entry| entry.ver)
    }

    pub(super) fn unindexed(&self) -> u64 {
        self.unindexed.len() as u64
    }

    pub(super) fn unsealed(&self) -> usize {
        self.unsealed.len()
    }

    /// Every key with its newest write, tombstones included.
    pub(super) fn all(&self) -> Vec<(u64, Entry)> {
        self.entries.iter().map(|(key, entry)| (*key, entry.clone())).collect()
    }

    /// The writes no segment has.
    pub(super) fn to_seal(&self) -> Vec<(u64, Entry)> {
        self.unsealed.iter().filter_map(|key| Some((*key, self.entries.get(key)?.clone()))).collect()
    }

    pub(super) fn get(&self, key: u64) -> Option<Record> {
        let entry = self.entries.get(&key)?;
        Some(Record { key, ver: entry.ver, vector: entry.vector.as_ref()?.to_vec() })
    }

    /// Up to `limit` records after the key `after`, and the key the next page begins after.
    pub(super) fn page(&self, after: Option<u64>, limit: usize) -> (Vec<Record>, Option<u64>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut records: Vec<Record> = Vec::new();
        let mut bytes = 0;
        for key in self.entries.range((from, Bound::Unbounded)).map(|(key, _)| *key) {
            let Some(record) = self.get(key) else { continue };
            if records.len() >= limit.max(1) || bytes >= PAGE_BYTES {
                let next = records.last().map(|record| record.key);
                return (records, next);
            }
            bytes += record.vector.len() * 4 + 24;
            records.push(record);
        }
        (records, None)
    }

    /// Up to `limit` keys whose newest write is after `since` and not after `until`, in the order of lsns, and
    /// whether there are more.
    pub(super) fn changes(&self, since: u64, until: u64, limit: usize) -> (Vec<Change>, bool) {
        let mut changes: Vec<Change> = Vec::new();
        let mut bytes = 0;
        let newer = self.by_lsn.range((Bound::Excluded(since), Bound::Unbounded));
        for (lsn, key) in newer.take_while(|(lsn, _)| **lsn <= until) {
            let Some(entry) = self.entries.get(key) else { continue };
            if changes.len() >= limit.max(1) || bytes >= PAGE_BYTES {
                return (changes, true);
            }
            let vector = entry.vector.as_ref().map(|vector| vector.to_vec());
            bytes += vector.as_ref().map_or(0, |vector| vector.len() * 4) + 32;
            changes.push(Change { lsn: *lsn, key: *key, ver: entry.ver, vector });
        }
        (changes, false)
    }

    /// The `k` nearest: by the index where it is current, exactly for everything it does not know.
    pub(super) fn search(&self, ann: Option<&Ann>, query: &[f32], k: usize) -> Result<Vec<Hit>, String> {
        let current = |id| {
            self.entries.get(&id).is_some_and(|entry| entry.vector.is_some() && entry.lsn <= self.indexed)
        };
        let mut found = match ann {
            Some(ann) => ann.search(query, k, &current)?,
            None => self.scan(query, self.entries.keys()),
        };
        if ann.is_some() {
            found.extend(self.scan(query, self.unindexed.iter()));
        }
        found.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        found.truncate(k);
        let ver = |key| self.entries.get(&key).map_or(0, |entry| entry.ver);
        Ok(found.into_iter().map(|(key, distance)| Hit { key, ver: ver(key), distance }).collect())
    }

    fn scan<'a>(&self, query: &[f32], keys: impl Iterator<Item = &'a u64>) -> Vec<(u64, f32)> {
        keys.filter_map(|key| Some((*key, distance(query, self.entries.get(key)?.vector.as_ref()?))))
            .collect()
    }
}
