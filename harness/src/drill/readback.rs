//! Reading every store back, a page at a time, at the strongest consistency, values compared.

use std::{collections::BTreeMap, io};

use tokio::time::timeout;

use super::Stage;
use crate::{
    journal::{EventKind, ReadBack, ReadEnd},
    ledger::Survivors,
    ports::{Page, Reading},
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

/// Copies of active regions must agree within this long after the load has stopped.
const CONVERGE_LIMIT: Dur = Dur::from_secs(15);
/// Copies that differ are read again after this long.
const READ_AGAIN: Dur = Dur::from_millis(500);

/// What is read.
#[derive(Clone, Debug)]
struct What {
    pass: u8,
    store: Role,
    region: Option<String>,
    attempt: u32,
}

impl Stage {
    pub(super) async fn read_back(&self, pass: u8) -> io::Result<BTreeMap<Role, Survivors>> {
        let mut all = BTreeMap::new();
        for (store, _) in self.plan.stores() {
            let what = What { pass, store, region: None, attempt: 0 };
            all.insert(store, self.read_store(&what).await?);
        }
        Ok(all)
    }

    /// Where every region takes writes, reads the copy of each, again and again until they agree or the limit is
    /// reached: copies converge, they are not equal at every moment.
    pub(super) async fn read_copies(&self) -> io::Result<()> {
        if self.plan.scenario.stack.pattern != Pattern::ActiveActive {
            return Ok(());
        }
        for (store, _) in self.plan.stores().into_iter().filter(|(s, _)| s.replicates()) {
            let deadline_us = self.clock.now_us().saturating_add(CONVERGE_LIMIT.us());
            for attempt in 1.. {
                let mut copies = Vec::new();
                for region in &self.plan.topology.regions {
                    let what = What { pass: 1, store, region: Some(region.clone()), attempt };
                    copies.push(self.read_store(&what).await?);
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

    async fn read_store(&self, what: &What) -> io::Result<Survivors> {
        let mut survivors = Survivors::default();
        let deadline_us = self.clock.now_us().saturating_add(STORE_LIMIT.us());
        let mut after = None;
        let mut last = None;
        loop {
            let read = self.page(what, after).await;
            if read.is_err() {
                self.own.vouch().await;
            }
            let (page, end, next) = match read {
                Err(why) => (Page::default(), Some(ReadEnd::Incomplete(why)), None),
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
                return Ok(survivors);
            }
            after = next;
        }
    }

    async fn page(&self, what: &What, after: Option<u64>) -> Result<Page, String> {
        let store = what.store;
        let system = match &what.region {
            Some(region) => self.host.system_in(region, store),
            None => self.host.system(store),
        };
        let system = system.ok_or_else(|| format!("no {store} store is there"))?;
        match timeout(PAGE_LIMIT.std(), system.survivors(after, PAGE)).await {
            Ok(Ok(page)) => Ok(page),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err(format!("a page took longer than {PAGE_LIMIT}")),
        }
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
