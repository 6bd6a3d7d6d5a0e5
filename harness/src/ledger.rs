//! The ledger of writes: what was acknowledged, and what a later reading of the store says about it.
//!
//! A write ends as `ok`, `fail` (surely did not happen) or `info` (nobody knows). An `info` write may take effect at
//! any later time, so it stays concurrent with everything after it; `fail` writes must never be seen. A key reads
//! correctly if it shows a write that no acknowledged write has overwritten: one that was sent after the other was
//! answered. Everything else is a loss, and is counted once per key:
//! `acked = intact + lost + corrupt`.

mod history;

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;

use crate::{
    journal::{Acked, ReadBack, ReadEnd, Wrote},
    ports::Reading,
};

pub use history::{History, Sight};

/// No page lists more records.
const RANGE_MAX: u64 = 10_000;

/// One write as the ledger keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    key: u64,
    ver: u64,
    sent_us: u64,
    done_us: u64,
    outcome: Acked,
    delete: bool,
}

/// How long acknowledged writes took, counted from the time they were due: a slow store cannot hide behind a client
/// that waits for it. Microseconds, to three digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Latency {
    /// Half of them took at most this long.
    pub p50_us: u64,
    /// 99 % of them.
    pub p99_us: u64,
    /// 99.9 % of them.
    pub p999_us: u64,
    /// All of them.
    pub max_us: u64,
}

/// All writes to one store.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ledger {
    seeded: u64,
    entries: Vec<Entry>,
    latency: Option<Histogram<u64>>,
}

/// What a store held, as one pass of reading it back found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Survivors {
    found: BTreeMap<u64, Reading>,
    /// Seeded records with their seeded value, as inclusive ranges.
    seeded: Vec<(u64, u64)>,
    duplicate: Vec<u64>,
    garbled: bool,
    /// How the reading ended; `None` if it never did.
    pub end: Option<ReadEnd>,
}

/// The ledger compared with a store.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Account {
    /// Keys whose last state was acknowledged.
    pub acked: u64,
    /// Of these, keys that read as they should.
    pub intact: u64,
    /// Of these, keys that do not, with a value of an older or refused write, or without any.
    pub lost: Vec<u64>,
    /// Of these, keys with a value that no write had.
    pub corrupt: Vec<u64>,
    /// Keys that show a write of unknown outcome: allowed.
    pub recovered: Vec<u64>,
    /// Keys that show a refused write, or one that never was.
    pub unexpected: Vec<u64>,
    /// Keys stored more than once.
    pub duplicate: Vec<u64>,
    /// When the oldest acknowledged write that is lost or corrupt was acknowledged; 0 for a seeded one.
    pub oldest_loss_us: Option<u64>,
    /// The same for the newest.
    pub newest_loss_us: Option<u64>,
    /// Whether a newer write survived while an older one was lost: a time span then understates the harm.
    pub scattered: bool,
}

impl Account {
    /// Whether something is wrong here that was right there: a record lost or damaged, or one too many.
    pub fn worse_than(&self, before: &Account) -> bool {
        !self.harm().is_subset(&before.harm()) || !self.excess().is_subset(&before.excess())
    }

    /// Keys that are lost or damaged.
    pub fn harm(&self) -> BTreeSet<u64> {
        self.lost.iter().chain(&self.corrupt).copied().collect()
    }

    /// Keys that should not be there, or not twice.
    pub fn excess(&self) -> BTreeSet<u64> {
        self.unexpected.iter().chain(&self.duplicate).copied().collect()
    }
}

/// What a key should read as.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Expect {
    /// Acknowledged states that nothing has overwritten: write number, or `None` for absence; with ack time.
    ok: Vec<(Option<u64>, u64)>,
    /// States that a write of unknown outcome may have left.
    maybe: Vec<Option<u64>>,
}

impl Expect {
    fn allows(&self, state: Option<u64>) -> bool {
        self.ok.iter().any(|(s, _)| *s == state) || self.maybe.contains(&state)
    }
}

impl Ledger {
    /// Records `0..count` were stored and acknowledged before everything else.
    pub fn seeded(&mut self, count: u64) {
        self.seeded = count;
    }

    /// One write ended.
    pub fn wrote(&mut self, w: &Wrote) {
        if w.outcome == Acked::Ok {
            let latency =
                self.latency.get_or_insert_with(|| Histogram::new(3).expect("three digits are allowed"));
            // It grows as it must; `saturating_record` would cut off at its present size.
            latency.record(w.done_us.saturating_sub(w.due_us)).expect("a growing histogram holds any stamp");
        }
        self.entries.push(Entry {
            key: w.key,
            ver: w.ver,
            sent_us: w.sent_us,
            done_us: w.done_us,
            outcome: w.outcome,
            delete: w.delete,
        });
    }

    /// Acknowledged writes of the load whose acknowledgement came in this span.
    pub fn acked_between(&self, from_us: u64, to_us: u64) -> u64 {
        self.entries
            .iter()
            .filter(|e| e.outcome == Acked::Ok && (from_us..=to_us).contains(&e.done_us))
            .count() as u64
    }

    /// Writes of the load by outcome: ok, fail, info.
    pub fn outcomes(&self) -> [u64; 3] {
        let mut counts = [0; 3];
        for e in &self.entries {
            counts[e.outcome as usize] += 1;
        }
        counts
    }

    /// How long acknowledged writes took; `None` if there were none.
    pub fn latency(&self) -> Option<Latency> {
        let h = self.latency.as_ref()?;
        let at = |quantile| h.value_at_quantile(quantile);
        Some(Latency { p50_us: at(0.5), p99_us: at(0.99), p999_us: at(0.999), max_us: h.max() })
    }

    /// How long acknowledged writes took, from the time they were due, in microseconds.
    fn by_key(&self) -> BTreeMap<u64, Vec<Entry>> {
        let mut keys: BTreeMap<u64, Vec<Entry>> = BTreeMap::new();
        for e in &self.entries {
            keys.entry(e.key).or_default().push(*e);
        }
        keys
    }

    fn expect(&self, key: u64, entries: &[Entry]) -> Expect {
        let seed = Entry { key, ver: 0, sent_us: 0, done_us: 0, outcome: Acked::Ok, delete: false };
        let all = (key < self.seeded).then_some(&seed).into_iter().chain(entries);
        let mut expect = Expect::default();
        // The newest acknowledged write, and the newest but for it: what overwrites a write is another one.
        let acked = || entries.iter().filter(|o| o.outcome == Acked::Ok);
        let newest = acked().max_by_key(|o| o.sent_us);
        let second = acked().filter(|o| newest.is_some_and(|n| n.ver != o.ver)).max_by_key(|o| o.sent_us);
        for e in all {
            let other = newest.filter(|n| n.ver != e.ver).or(second.filter(|o| o.ver != e.ver));
            let overwritten = || other.is_some_and(|o| o.sent_us >= e.done_us);
            let state = (!e.delete).then_some(e.ver);
            match e.outcome {
                Acked::Ok if !overwritten() => expect.ok.push((state, e.done_us)),
                Acked::Info => expect.maybe.push(state),
                Acked::Ok | Acked::Fail => {}
            }
        }
        expect
    }

    /// The number of the newest acknowledged write; 0 if there was none.
    pub fn newest_acked(&self) -> u64 {
        self.entries.iter().filter(|e| e.outcome == Acked::Ok).map(|e| e.ver).max().unwrap_or(0)
    }

    /// The records that a store must hold now: key and write number. Keys with a write of unknown outcome, or with
    /// concurrent ones, are left aside and listed apart.
    pub fn certain(&self) -> (Vec<(u64, u64)>, Vec<u64>) {
        let written = self.by_key();
        let mut certain: Vec<(u64, u64)> =
            (0..self.seeded).filter(|k| !written.contains_key(k)).map(|k| (k, 0)).collect();
        let mut aside = Vec::new();
        for (key, entries) in &written {
            let expect = self.expect(*key, entries);
            match (&expect.ok[..], expect.maybe.is_empty()) {
                ([(Some(ver), _)], true) => certain.push((*key, *ver)),
                ([(None, _)] | [], true) => {}
                _ => aside.push(*key),
            }
        }
        certain.sort_unstable();
        (certain, aside)
    }

    /// Compares the ledger with what a store held.
    pub fn account(&self, survivors: &Survivors) -> Account {
        let mut account = Account { duplicate: survivors.duplicate.clone(), ..Account::default() };
        let written = self.by_key();
        let mut losses: Vec<(u64, u64)> = Vec::new();
        let mut newest_intact_us = 0;
        let untouched = (0..self.seeded).filter(|k| !written.contains_key(k)).map(|k| (k, &[][..]));
        for (key, entries) in untouched.chain(written.iter().map(|(k, e)| (*k, &e[..]))) {
            let expect = self.expect(key, entries);
            let reading = survivors.get(key);
            let acked_us = expect.ok.iter().map(|(_, at)| *at).min();
            account.acked += u64::from(acked_us.is_some());
            let state = match reading {
                Some(Reading::Corrupt) => {
                    if let Some(at) = acked_us {
                        account.corrupt.push(key);
                        losses.push((at, key));
                    } else {
                        account.unexpected.push(key);
                    }
                    continue;
                }
                Some(Reading::Ver(v)) => Some(v),
                None => None,
            };
            if expect.maybe.contains(&state) && state.is_some() {
                account.recovered.push(key);
            }
            let known = state.is_none_or(|v| {
                (v == 0 && key < self.seeded)
                    || entries.iter().any(|e| e.ver == v && e.outcome != Acked::Fail)
            });
            if !known {
                account.unexpected.push(key);
            }
            match acked_us {
                Some(_) if expect.allows(state) => {
                    account.intact += 1;
                    newest_intact_us =
                        newest_intact_us.max(expect.ok.iter().map(|(_, at)| *at).max().unwrap_or(0));
                }
                Some(at) => {
                    account.lost.push(key);
                    losses.push((at, key));
                }
                // Never acknowledged: a refused write that is seen was counted above, an older value of the key
                // cannot exist.
                None => {}
            }
        }
        for key in survivors.keys().filter(|k| *k >= self.seeded && !written.contains_key(k)) {
            account.unexpected.push(key);
        }
        account.unexpected.sort_unstable();
        account.oldest_loss_us = losses.iter().map(|l| l.0).min();
        account.newest_loss_us = losses.iter().map(|l| l.0).max();
        account.scattered = account.oldest_loss_us.is_some_and(|oldest| newest_intact_us > oldest);
        account
    }
}

impl Survivors {
    /// Adds one page.
    pub fn page(&mut self, page: &ReadBack) {
        for (from, to) in &page.seeded {
            // Ranges come in order and are no longer than a page: anything else would be a forgery.
            let follows = self.seeded.last().is_none_or(|(_, last)| from > last);
            if from > to || to - from >= RANGE_MAX || !follows {
                self.garbled = true;
            } else {
                self.seeded.push((*from, *to));
            }
        }
        self.found.extend(page.written.iter().map(|(k, v)| (*k, Reading::Ver(*v))));
        self.found.extend(page.corrupt.iter().map(|k| (*k, Reading::Corrupt)));
        self.duplicate.extend(&page.duplicate);
        if page.end.is_some() {
            self.end.clone_from(&page.end);
        }
    }

    /// Whether everything was read.
    pub fn complete(&self) -> bool {
        self.end == Some(ReadEnd::Complete) && !self.garbled
    }

    /// What is stored under a key.
    pub fn get(&self, key: u64) -> Option<Reading> {
        if let Some(reading) = self.found.get(&key) {
            return Some(*reading);
        }
        let at = self.seeded.partition_point(|(_, to)| *to < key);
        self.seeded.get(at).filter(|(from, _)| *from <= key).map(|_| Reading::Ver(0))
    }

    /// Every key with a value, seeded ones first.
    pub fn keys(&self) -> impl Iterator<Item = u64> {
        self.seeded.iter().flat_map(|(from, to)| *from..=*to).chain(self.found.keys().copied())
    }

    /// Keys that read differently in another copy.
    pub fn differing(&self, other: &Survivors) -> Vec<u64> {
        let differs = |key: &u64| self.get(*key) != other.get(*key);
        let mut keys: Vec<u64> = self.keys().chain(other.keys()).filter(differs).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Records with an honest value: key and write number, in key order.
    pub fn records(&self) -> Vec<(u64, u64)> {
        let seeded = self.seeded.iter().flat_map(|(from, to)| *from..=*to).map(|k| (k, 0));
        let written = self.found.iter().filter_map(|(k, r)| match r {
            Reading::Ver(v) => Some((*k, *v)),
            Reading::Corrupt => None,
        });
        let mut all: Vec<(u64, u64)> = seeded.chain(written).collect();
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests;
