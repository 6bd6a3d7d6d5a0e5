//! Reading every store back, a page at a time, at the strongest consistency, values compared.

use std::{collections::BTreeMap, io};

use tokio::time::timeout;

use super::Stage;
use crate::{
    journal::{EventKind, ReadBack, ReadEnd},
    ledger::Survivors,
    ports::{Page, Reading},
    time::Dur,
    topology::Role,
};

/// Records of one page.
const PAGE: usize = 2000;
/// One page may take this long.
const PAGE_LIMIT: Dur = Dur::from_secs(30);
/// One store may take this long.
const STORE_LIMIT: Dur = Dur::from_secs(1800);

impl Stage {
    pub(super) async fn read_back(&self, pass: u8) -> io::Result<BTreeMap<Role, Survivors>> {
        let mut all = BTreeMap::new();
        for (store, _) in self.plan.stores() {
            let mut survivors = Survivors::default();
            self.read_store(pass, store, &mut survivors).await?;
            all.insert(store, survivors);
        }
        Ok(all)
    }

    async fn read_store(&self, pass: u8, store: Role, survivors: &mut Survivors) -> io::Result<()> {
        let deadline_us = self.clock.now_us().saturating_add(STORE_LIMIT.us());
        let mut after = None;
        let mut last = None;
        loop {
            let (page, end, next) = match self.page(store, after).await {
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
            let event = compact(pass, store, &page, &mut last, end.clone());
            survivors.page(&event);
            self.journal.record(EventKind::ReadBack(event))?;
            if end.is_some() {
                return Ok(());
            }
            after = next;
        }
    }

    async fn page(&self, store: Role, after: Option<u64>) -> Result<Page, String> {
        let system = self.host.system(store).ok_or_else(|| format!("no {store} store is there"))?;
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
fn compact(pass: u8, store: Role, page: &Page, last: &mut Option<u64>, end: Option<ReadEnd>) -> ReadBack {
    let mut event = ReadBack { pass, store: Some(store), end, ..ReadBack::default() };
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
