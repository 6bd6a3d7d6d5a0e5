//! What users may have been shown of a key at a moment: the ledger's answer while writes went on.

use std::collections::BTreeMap;

use super::{Entry, Ledger};
use crate::journal::Acked;

/// The writes of a ledger by key.
#[derive(Debug)]
pub struct History {
    seeded: u64,
    keys: BTreeMap<u64, Vec<Entry>>,
}

/// What it says that an answer showed a certain write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sight {
    /// A write that no acknowledged one had overwritten when it was asked for, or one of unknown outcome.
    Allowed,
    /// An older one; when the writes that had overwritten it were acknowledged, in microseconds.
    Older(Vec<u64>),
    /// A write that was refused, that removed the record, that was sent after the answer, or that nobody sent.
    Never,
}

impl Ledger {
    /// Its writes by key.
    pub fn history(&self) -> History {
        History { seeded: self.seeded, keys: self.by_key() }
    }
}

impl History {
    /// Judges that write `ver` of `key` was shown by an answer that was asked for, and came, at these moments.
    pub fn sight(&self, key: u64, ver: u64, (sent_us, done_us): (u64, u64)) -> Sight {
        let all = self.keys.get(&key).map_or(&[][..], |entries| entries);
        let acked_us = match all.iter().find(|e| e.ver == ver) {
            None if ver == 0 && key < self.seeded => 0,
            Some(e) if e.delete || e.outcome == Acked::Fail || e.sent_us > done_us => return Sight::Never,
            Some(e) if e.outcome == Acked::Info => return Sight::Allowed,
            Some(e) => e.done_us,
            None => return Sight::Never,
        };
        let overwrites = |e: &&Entry| {
            e.outcome == Acked::Ok && e.ver != ver && e.sent_us >= acked_us && e.done_us < sent_us
        };
        let acked: Vec<u64> = all.iter().filter(overwrites).map(|e| e.done_us).collect();
        if acked.is_empty() { Sight::Allowed } else { Sight::Older(acked) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{journal::Wrote, topology::Role};

    fn history(writes: &[(u64, u64, u64, Acked)]) -> History {
        let mut ledger = Ledger::default();
        ledger.seeded(10);
        for (ver, sent_us, done_us, outcome) in writes.iter().copied() {
            let (store, due_us) = (Role::Feature, sent_us);
            ledger.wrote(&Wrote { store, key: 3, ver, delete: ver == 9, due_us, sent_us, done_us, outcome });
        }
        ledger.history()
    }

    #[test]
    fn what_was_overwritten_before_it_was_asked_for_is_older() {
        let h = history(&[(1, 100, 110, Acked::Ok), (2, 200, 210, Acked::Ok), (3, 205, 300, Acked::Ok)]);
        for (ver, sent_us, sight) in [
            (0, 110, Sight::Allowed),
            (0, 111, Sight::Older(vec![110])),
            (0, 250, Sight::Older(vec![110, 210])),
            (1, 210, Sight::Allowed),
            (1, 211, Sight::Older(vec![210])),
            (1, 400, Sight::Older(vec![210, 300])),
            // Concurrent with each other: either may be the last.
            (2, 400, Sight::Allowed),
            (3, 400, Sight::Allowed),
            (3, 190, Sight::Allowed),
        ] {
            assert_eq!(h.sight(3, ver, (sent_us, sent_us + 20)), sight, "write {ver} at {sent_us}");
        }
        assert_eq!(h.sight(4, 0, (400, 420)), Sight::Allowed, "a key that nobody wrote to");
    }

    #[test]
    fn what_never_happened_is_never_shown() {
        let h = history(&[(1, 100, 110, Acked::Fail), (2, 200, 900, Acked::Info), (9, 300, 310, Acked::Ok)]);
        assert_eq!(h.sight(3, 1, (400, 420)), Sight::Never, "refused");
        assert_eq!(h.sight(3, 2, (950, 960)), Sight::Allowed, "of unknown outcome: it may come at any time");
        assert_eq!(h.sight(3, 2, (150, 160)), Sight::Never, "not yet sent");
        assert_eq!(h.sight(3, 9, (400, 420)), Sight::Never, "a removal has no value");
        assert_eq!(h.sight(3, 7, (400, 420)), Sight::Never, "nobody sent it");
        assert_eq!(h.sight(12, 0, (400, 420)), Sight::Never, "never seeded");
    }
}
