//! One schedule of questions: probes of a service, or writes to a store.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::Law;

/// So many bad probes make a service count as down,
const DOWN: usize = 3;
/// among so many in a row. The monitor wants them without a good one between; but a probe's line is written before the
/// monitor hears of it, so that the two orders may differ by a few neighbours.
const AMONG: usize = 8;
/// So many bad probes in a row in the journal are three in a row for the monitor, in whatever order it heard of them.
const FELT: usize = 2 * AMONG;

/// What has been seen of a schedule. Ticks are never skipped, however late they are.
#[derive(Debug)]
pub(super) struct Schedule {
    period: Duration,
    /// When number 0 is due.
    start_us: Option<u64>,
    numbers: Numbers,
    /// The newest probes: whether bad, and when they were done.
    newest: VecDeque<(bool, u64)>,
    down_us: Option<u64>,
    good_since_us: Option<u64>,
    /// Bad probes in a row since a fault was meant to strike, and when so many of them were written down that nobody can
    /// have missed it.
    bad_in_a_row: usize,
    felt_us: Option<u64>,
}

impl Schedule {
    pub(super) fn new(period: Duration) -> Schedule {
        Schedule {
            period,
            start_us: None,
            numbers: Numbers::default(),
            newest: VecDeque::new(),
            down_us: None,
            good_since_us: None,
            bad_in_a_row: 0,
            felt_us: None,
        }
    }

    pub(super) fn began(&self) -> bool {
        self.start_us.is_some()
    }

    /// Exact: the clock makes the same sum.
    fn offset_us(&self, n: u64) -> Option<u64> {
        u64::try_from(self.period.as_nanos().checked_mul(n.into())? / 1000).ok()
    }

    /// Number `n`: when it was due, sent, done, and written down. The schedule began no earlier than `quiet_us`.
    pub(super) fn take(&mut self, n: u64, stamps: [u64; 4], quiet_us: u64) -> Law {
        let [due_us, sent_us, done_us, at_us] = stamps;
        if sent_us < due_us {
            return super::broken("sent before it was due");
        }
        if done_us < sent_us {
            return super::broken("answered before it was sent");
        }
        if at_us < done_us {
            return super::broken("written down before it was answered");
        }
        let start_us = self.offset_us(n).and_then(|offset| due_us.checked_sub(offset));
        let Some(start_us) = start_us.filter(|s| *s >= quiet_us && self.start_us.is_none_or(|own| own == *s))
        else {
            return super::broken("not on its schedule");
        };
        if !self.numbers.add(n) {
            return super::broken("there already is one of this number");
        }
        self.start_us = Some(start_us);
        Ok(())
    }

    /// How a probe was answered, in the order of the journal.
    pub(super) fn answered(&mut self, good: bool, done_us: u64) {
        if good {
            self.good_since_us = Some(self.good_since_us.map_or(done_us, |g| g.min(done_us)));
        }
        self.newest.push_back((!good, done_us));
        if self.newest.len() > AMONG {
            self.newest.pop_front();
        }
        let bad = || self.newest.iter().filter(|(bad, _)| *bad).map(|(_, at)| *at);
        if !good && bad().count() >= DOWN {
            self.down_us = self.down_us.max(bad().max());
        }
    }

    /// One more probe after a fault, in the order of the journal.
    pub(super) fn felt(&mut self, good: bool, at_us: u64) {
        self.bad_in_a_row = if good { 0 } else { self.bad_in_a_row.saturating_add(1) };
        if self.bad_in_a_row >= FELT {
            self.felt_us.get_or_insert(at_us);
        }
    }

    /// When the service had surely been felt to be down.
    pub(super) fn felt_us(&self) -> Option<u64> {
        self.felt_us
    }

    /// Whether the service was down at some time since.
    pub(super) fn down_since(&self, since_us: u64) -> bool {
        self.down_us.is_some_and(|at| at >= since_us)
    }

    /// When the first good answer came.
    pub(super) fn good_since_us(&self) -> Option<u64> {
        self.good_since_us
    }

    /// Whether every number is there, up to the moment when no more were asked for.
    pub(super) fn whole(&self, stopped_us: u64) -> Law {
        let Some(last) = self.numbers.all_up_to() else { return super::broken("have a gap, or never began") };
        let next_us =
            self.offset_us(last.saturating_add(1)).zip(self.start_us).map(|(o, s)| o.saturating_add(s));
        match next_us.is_some_and(|next_us| next_us >= stopped_us) {
            true => Ok(()),
            false => super::broken("end long before they were stopped"),
        }
    }
}

/// A set of numbers as ranges: they come nearly in order, so that there is hardly ever more than one.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<u64, u64>);

impl Numbers {
    /// `false` if it is there already.
    fn add(&mut self, n: u64) -> bool {
        let (mut from, mut to) = (n, n);
        if let Some((before, end)) = self.0.range(..=n).next_back().map(|(a, b)| (*a, *b)) {
            if end >= n {
                return false;
            }
            if end + 1 == n {
                from = before;
            }
        }
        if let Some(end) = n.checked_add(1).and_then(|after| self.0.remove(&after)) {
            to = end;
        }
        self.0.insert(from, to);
        true
    }

    /// The last number, if all from 0 to it are there.
    fn all_up_to(&self) -> Option<u64> {
        self.0.get(&0).copied().filter(|_| self.0.len() == 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_a_set(all in prop::collection::vec(prop_oneof![0u64..40, Just(u64::MAX), Just(u64::MAX - 1)], 0..80)) {
            let (mut numbers, mut set) = (Numbers::default(), std::collections::BTreeSet::new());
            for n in all {
                prop_assert_eq!(numbers.add(n), set.insert(n));
            }
            let last = set.last().copied().filter(|last| set.len() as u128 == u128::from(*last) + 1);
            prop_assert_eq!(numbers.all_up_to(), last);
        }
    }

    #[test]
    fn a_schedule_is_kept_to_the_microsecond() {
        let mut s = Schedule::new(Duration::from_secs_f64(1.0 / 3.0));
        assert_eq!(s.take(3, [1_000_099, 1_000_099, 1_000_200, 1_000_200], 100), Ok(()));
        assert_eq!(s.take(1, [333_433, 333_433, 400_000, 1_000_300], 100), Ok(()));
        for (n, stamps) in [
            (1, [333_433, 333_433, 400_000, 1_000_300]),
            (2, [666_767, 666_767, 700_000, 1_000_300]),
            (2, [666_766, 666_765, 700_000, 1_000_300]),
            (2, [666_766, 700_000, 699_999, 1_000_300]),
            (2, [666_766, 700_000, 1_000_400, 1_000_300]),
            (u64::MAX, [u64::MAX; 4]),
        ] {
            assert!(s.take(n, stamps, 100).is_err(), "{n} {stamps:?}");
        }
        assert!(s.whole(0).is_err());
        for (n, due) in [(0, 100), (2, 666_766)] {
            assert_eq!(s.take(n, [due, due, due, 1_000_300], 100), Ok(()));
        }
        assert_eq!((s.whole(1_333_433), s.whole(1_333_434).is_err()), (Ok(()), true));
    }
}
