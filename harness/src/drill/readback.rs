//! Reading the stores back, a page at a time, at the strongest consistency, values compared.
//!
//! What is read are the copies that users are routed to, not the one that happens to be the primary. A copy that follows
//! another one may lag behind for a moment after the load has stopped: it is read again until nothing is missing, within
//! a limit, and the last reading counts.

use std::{collections::BTreeMap, io};

use tokio::time::timeout;

use super::Stage;
use crate::{
    journal::{EventKind, ReadBack, ReadEnd},
    ledger::{Ledger, Survivors},
    plan::CONVERGE_LIMIT,
    ports::{Page, PortError, Reading, Routes},
    scenario::Pattern,
    time::Dur,
    topology::Role,
};

/// Records of one page.
const PAGE: usize = 2000;
/// One page may take this long.
const PAGE_LIMIT: Dur = Dur::from_secs(30);
/// One store may take this long.
const STORE_LIMIT: Dur = Dur::from_secs(1800);

/// Copies that differ are read again after this long.
const READ_AGAIN: Dur = Dur::from_millis(500);

/// A store in a region: what users are routed to.
pub(super) type Copy = (Role, String);

/// What each copy was found to hold.
pub(super) type Readings = BTreeMap<Copy, Survivors>;

/// What one attempt to read a copy has found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) survivors: Survivors,
    /// The store answered that it cannot be read: to wait for it helps less than with one that does not answer.
    pub(super) refused: bool,
}

/// What is read.
#[derive(Clone, Debug)]
pub(super) struct What {
    pub(super) pass: u8,
    pub(super) store: Role,
    pub(super) region: String,
    attempt: u32,
}

impl What {
    pub(super) fn new(pass: u8, copy: &Copy) -> What {
        What { pass, store: copy.0, region: copy.1.clone(), attempt: 0 }
    }
}

impl Stage {
    /// Every copy that users are routed to, before any undo.
    pub(super) async fn read_users(
        &self,
        copies: &[Copy],
        routes: &Routes,
        ledgers: &BTreeMap<Role, Ledger>,
    ) -> io::Result<Readings> {
        let mut all = Readings::new();
        for copy in copies {
            let follows = routes.homes.get(&copy.0) != Some(&copy.1);
            let ledger = ledgers.get(&copy.0);
            let within = |found: &Found| {
                let s = &found.survivors;
                let behind = |ledger: &Ledger| !ledger.account(s).lost.is_empty();
                (follows && s.complete() && ledger.is_some_and(behind)).then_some(CONVERGE_LIMIT)
            };
            all.insert(copy.clone(), self.read_until(What::new(ReadBack::USERS, copy), within).await?);
        }
        Ok(all)
    }

    /// The same copies after the undo, once.
    pub(super) async fn read_undone(&self, copies: &[Copy]) -> io::Result<()> {
        for copy in copies {
            self.read_until(What::new(ReadBack::UNDONE, copy), |_| None).await?;
        }
        Ok(())
    }

    /// Reads a copy again and again until it is as wanted. `within`: how long after the first reading began a copy that
    /// was found so may still become what is wanted; none if it is.
    pub(super) async fn read_until(
        &self,
        mut what: What,
        within: impl Fn(&Found) -> Option<Dur>,
    ) -> io::Result<Survivors> {
        let began_us = self.clock.now_us();
        loop {
            let found = self.read_store(&what).await?;
            let more =
                within(&found).filter(|limit| self.clock.now_us() < began_us.saturating_add(limit.us()));
            if more.is_none() {
                return Ok(found.survivors);
            }
            what.attempt += 1;
            self.clock.until(self.clock.now_us().saturating_add(READ_AGAIN.us())).await;
        }
    }

    /// Where every region takes writes, reads the copy of each, again and again until they agree or the limit is
    /// reached: copies converge, they are not equal at every moment.
    pub(super) async fn read_copies(&self) -> io::Result<()> {
        if self.plan.scenario.stack.pattern != Pattern::ActiveActive {
            return Ok(());
        }
        for (store, _) in self.plan.stores().into_iter().filter(|(s, _)| s.replicates()) {
            let deadline_us = self.clock.now_us().saturating_add(CONVERGE_LIMIT.us());
            for attempt in 0.. {
                let mut copies = Vec::new();
                for region in &self.plan.topology.regions {
                    let what = What { pass: ReadBack::COPIES, store, region: region.clone(), attempt };
                    copies.push(self.read_store(&what).await?.survivors);
                }
                let agree = copies.windows(2).all(|w| w[0].differing(&w[1]).is_empty());
                let unread = copies.iter().any(|c| !c.complete());
                if agree || unread || self.clock.now_us() > deadline_us {
                    break;
                }
                self.clock.until(self.clock.now_us().saturating_add(READ_AGAIN.us())).await;
            }
        }
        Ok(())
    }

    async fn read_store(&self, what: &What) -> io::Result<Found> {
        let (mut survivors, mut refused) = (Survivors::default(), false);
        let deadline_us = self.clock.now_us().saturating_add(STORE_LIMIT.us());
        let mut after = None;
        let mut last = None;
        loop {
            let read = self.page(what, after).await;
            if read.is_err() {
                self.own.vouch().await;
            }
            let (page, end, next) = match read {
                Err(error) => {
                    refused = matches!(error, PortError::Definite(_));
                    (Page::default(), Some(ReadEnd::Incomplete(error.to_string())), None)
                }
                Ok(page) if page.next.is_some() && page.next <= after => {
                    let why = "the store's pages do not go forward".to_owned();
                    (page, Some(ReadEnd::Incomplete(why)), None)
                }
                Ok(page) if !in_order(&page, after) => {
                    let why = "the store's records do not come in key order".to_owned();
                    (page, Some(ReadEnd::Incomplete(why)), None)
                }
                Ok(page) if page.next.is_some() && self.clock.now_us() > deadline_us => {
                    let why = format!("reading took longer than {STORE_LIMIT}");
                    (page, Some(ReadEnd::Incomplete(why)), None)
                }
                Ok(page) => {
                    let (end, next) = (page.next.is_none().then_some(ReadEnd::Complete), page.next);
                    (page, end, next)
                }
            };
            let event = compact(what, &page, &mut last, end.clone());
            survivors.page(&event);
            self.journal.record(EventKind::ReadBack(event))?;
            if end.is_some() {
                return Ok(Found { survivors, refused });
            }
            after = next;
        }
    }

    async fn page(&self, what: &What, after: Option<u64>) -> Result<Page, PortError> {
        let What { store, region, .. } = what;
        let system = self.host.system_in(region, *store);
        let none = || PortError::Definite(format!("no {store} store is there in {region}"));
        let read = timeout(PAGE_LIMIT.std(), system.ok_or_else(none)?.survivors(after, PAGE)).await;
        read.unwrap_or_else(|_| Err(PortError::Indefinite(format!("a page took longer than {PAGE_LIMIT}"))))
    }
}

/// Whether keys never go back, so that a key that is stored twice is listed next to itself.
fn in_order(page: &Page, after: Option<u64>) -> bool {
    let keys = || page.items.iter().map(|(key, _)| *key);
    keys().is_sorted()
        && keys().next().is_none_or(|first| after.is_none_or(|a| first > a))
        && page.next.is_none_or(|next| keys().next_back().is_none_or(|last| last <= next))
}

/// Seeded values as ranges, the rest one by one. `last`: the last key of the page before.
fn compact(what: &What, page: &Page, last: &mut Option<u64>, end: Option<ReadEnd>) -> ReadBack {
    let What { pass, store, region, attempt } = what.clone();
    let region = Some(region);
    let mut event = ReadBack { pass, store: Some(store), region, attempt, end, ..ReadBack::default() };
    for (key, reading) in &page.items {
        if *last == Some(*key) {
            event.duplicate.push(*key);
            continue;
        }
        *last = Some(*key);
        match reading {
            Reading::Ver(0) => match event.seeded.last_mut() {
                Some((_, to)) if to.checked_add(1) == Some(*key) => *to = *key,
                _ => event.seeded.push((*key, *key)),
            },
            Reading::Ver(ver) => event.written.push((*key, *ver)),
            Reading::Corrupt => event.corrupt.push(*key),
        }
    }
    event
}
