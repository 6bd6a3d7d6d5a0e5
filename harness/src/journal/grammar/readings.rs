//! Readings of the stores: which are planned, in which order, page by page.
//!
//! A reading's pages come without another's between them, and every planned reading comes to an end of its own: broken
//! off is an end too. Where all regions take writes, the copies of a store are read again until they agree.

use std::collections::VecDeque;

use super::{Law, broken};
use crate::{
    journal::{ReadBack, ReadEnd},
    plan::Plan,
    ports::Routes,
    scenario::Pattern,
    topology::Role,
};

/// Copies of one store that are read one after the other.
#[derive(Clone, Debug)]
struct Round {
    pass: u8,
    store: Role,
    /// Whose.
    regions: Vec<String>,
    attempt: u32,
    /// Whether all of it may be read again, as the next attempt.
    repeats: bool,
}

impl Round {
    /// Whether it has been read once, and need not be read again.
    fn may_end(&self) -> bool {
        self.repeats && self.attempt > 0
    }

    /// Whether a page is of the copy whose turn it is.
    fn fits(&self, page: &ReadBack, read: usize) -> bool {
        page.pass == self.pass
            && page.store == Some(self.store)
            && page.region.is_some()
            && page.region.as_ref() == self.regions.get(read)
            && page.attempt == self.attempt
    }
}

/// Everything that one phase reads.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// The one that is being read, and those to come.
    rounds: VecDeque<Round>,
    /// How many copies of the first of them are read.
    read: usize,
    /// Whether a page has come and not the last one.
    open: bool,
    /// The greatest key of the pages before.
    last: Option<u64>,
}

impl Readings {
    /// Before any undo: what users read, a copy that follows another one perhaps again; and then every region's copy where
    /// all of them take writes.
    pub(super) fn first(plan: &Plan, routes: &Routes, copies: &[(Role, String)]) -> Readings {
        let follows = |(store, region): &(Role, String)| routes.homes.get(store) != Some(region);
        let mut rounds: VecDeque<Round> =
            copies.iter().map(|copy| round(ReadBack::USERS, copy, follows(copy))).collect();
        if plan.scenario.stack.pattern == Pattern::ActiveActive {
            let stores = plan.stores().into_iter().map(|(store, _)| store).filter(|s| s.replicates());
            let (pass, regions) = (ReadBack::COPIES, plan.topology.regions.clone());
            let all = |store| Round { pass, store, regions: regions.clone(), attempt: 0, repeats: true };
            rounds.extend(stores.map(all));
        }
        Readings { rounds, ..Readings::default() }
    }

    /// The same copies after the restart, perhaps again until they are as before; or after the undo, once.
    pub(super) fn again(pass: u8, copies: &[(Role, String)]) -> Readings {
        let rounds = copies.iter().map(|copy| round(pass, copy, pass == ReadBack::RESTARTED)).collect();
        Readings { rounds, ..Readings::default() }
    }

    pub(super) fn all_read(&self) -> Law {
        let begun = self.rounds.front().filter(|_| self.open || self.read > 0);
        let left = begun.or_else(|| self.rounds.iter().find(|round| !round.may_end()));
        left.map_or(Ok(()), |r| Err(format!("the {} store was not read back to an end", r.store)))
    }

    /// One page.
    pub(super) fn page(&mut self, page: &ReadBack) -> Law {
        // A round that may be read again need not be.
        let between = self.read == 0 && !self.open;
        let skips = between && self.rounds.front().is_some_and(|r| r.may_end() && !r.fits(page, 0));
        let Some(round) = self.rounds.get(usize::from(skips)) else {
            return broken("a reading that was not planned");
        };
        if !round.fits(page, self.read) {
            return broken("a page of a reading whose turn it is not");
        }
        let last = if self.open { self.last } else { None };
        let greatest = in_order(page, last)?;
        if skips {
            self.rounds.pop_front();
        }
        (self.open, self.last) = (page.end.is_none(), greatest);
        if !self.open {
            self.next();
        }
        Ok(())
    }

    fn next(&mut self) {
        self.read += 1;
        let Some(round) = self.rounds.front_mut() else { return };
        if self.read == round.regions.len() {
            self.read = 0;
            if round.repeats {
                round.attempt += 1;
            } else {
                self.rounds.pop_front();
            }
        }
    }
}

fn round(pass: u8, (store, region): &(Role, String), repeats: bool) -> Round {
    Round { pass, store: *store, regions: vec![region.clone()], attempt: 0, repeats }
}

/// Keys go up, from page to page and within one, and each stands in one list. Answers with the greatest so far.
fn in_order(page: &ReadBack, last: Option<u64>) -> Result<Option<u64>, String> {
    let wrong = || Err("a page whose records are not in order".to_owned());
    // A store that does not keep the order breaks its reading off, and its page shows why.
    if matches!(page.end, Some(ReadEnd::Incomplete(_))) {
        return Ok(last);
    }
    // A key that follows the one before it, with the seeded value as well, would have been of the same range.
    let ranges = page.seeded.iter().all(|(from, to)| from <= to)
        && page.seeded.windows(2).all(|w| w[0].1.checked_add(1).is_some_and(|after| after < w[1].0));
    let written: Vec<u64> = page.written.iter().map(|(key, _)| *key).collect();
    let up = |keys: &[u64]| keys.windows(2).all(|w| w[0] < w[1]);
    if !ranges || !up(&written) || !up(&page.corrupt) || !page.duplicate.is_sorted() {
        return wrong();
    }
    if page.written.iter().any(|(_, ver)| *ver == 0) {
        return Err("a record with the value of write 0 that does not count as seeded".to_owned());
    }
    let seeded = |key: &u64| {
        let at = page.seeded.partition_point(|(_, to)| to < key);
        page.seeded.get(at).is_some_and(|(from, _)| from <= key)
    };
    let twice = |key: &u64| {
        seeded(key) || (page.corrupt.binary_search(key).is_ok() && written.binary_search(key).is_ok())
    };
    if written.iter().chain(&page.corrupt).any(twice) {
        return wrong();
    }
    let listed = |key: &u64| {
        seeded(key) || written.binary_search(key).is_ok() || page.corrupt.binary_search(key).is_ok()
    };
    if !page.duplicate.iter().all(listed) {
        return Err("a record that is stored twice and not once".to_owned());
    }
    let ends = [page.seeded.first().map(|r| r.0), written.first().copied(), page.corrupt.first().copied()];
    let least = ends.into_iter().flatten().min();
    if least.is_some_and(|least| last.is_some_and(|last| least <= last)) {
        return wrong();
    }
    let ends = [page.seeded.last().map(|r| r.1), written.last().copied(), page.corrupt.last().copied()];
    Ok(ends.into_iter().flatten().max().or(last))
}
