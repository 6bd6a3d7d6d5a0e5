//! The feature store as its users reach it: the door [`System`] in front of a [`Holder`].
//!
//! Keys `0..entities` are entities, `entities..entities + catalogue` records of the catalogue, all others entities
//! again. What is there and has no key of its own (a role that nobody granted, a row under a key of the catalogue)
//! is listed under keys from [`STRANGE`] on, and so is what no key can name at all. A value counts as that of a write only if all of it is that write's; the
//! number stored beside it is a hint where to look, never proof.

use std::sync::Arc;

use async_trait::async_trait;
use harness::corpus::{CatalogueRecord, Corpus};
use harness::inventory::Inventory;
use harness::ports::{Page, PortError, Reading, System, Write};

use super::client::{CallError, Client};
use super::holder::Holder;
use super::item::{Item, Key, Record, Row, Stored, Table};

/// Keys of what nobody wrote.
const STRANGE: u64 = 1 << 52;
/// No entity has a larger key.
const LAST: u64 = STRANGE - 1;
/// Strange rows that are listed; more would say nothing new.
const STRANGE_MAX: u32 = 10_000;

/// A feature store that holds the features and the catalogue of a corpus.
#[derive(Debug)]
pub struct FeatureSystem<H = Client> {
    holder: H,
    corpus: Arc<Corpus>,
    catalogue: Vec<CatalogueRecord>,
}

impl<H: Holder> FeatureSystem<H> {
    /// The store that the holder reaches. The holder's limit has to be longer than any of its callers'.
    pub fn new(holder: H, corpus: Arc<Corpus>) -> Self {
        let catalogue = (0..corpus.catalogue_count()).filter_map(|n| corpus.catalogue(n)).collect();
        Self { holder, corpus, catalogue }
    }

    /// The first key after the catalogue.
    fn behind(&self) -> u64 {
        self.corpus.entities + self.catalogue.len() as u64
    }

    fn record(&self, key: u64) -> Option<&CatalogueRecord> {
        let n = key.checked_sub(self.corpus.entities)?;
        self.catalogue.get(usize::try_from(n).ok()?)
    }

    fn item(&self, write: Write) -> Item {
        let Write { key, ver, delete } = write;
        match self.record(key) {
            Some(record) => Item::Record(Record {
                table: record.table.into(),
                name: record.name.clone(),
                ver,
                event_us: 0,
                body: (!delete).then(|| record.body.clone()),
            }),
            None => {
                let row = self.corpus.features(key, ver);
                Item::Row(Row { key, ver, event_us: row.event_us, values: (!delete).then_some(row.values) })
            }
        }
    }

    fn reading(&self, key: u64, stored: &Stored) -> Option<Reading> {
        if stored.item.deleted() {
            // A deletion that no write made is a stranger like any other.
            return (!stored.verifies()).then_some(Reading::Corrupt);
        }
        let (ver, delete) = (stored.item.ver(), false);
        let wanted = self.item(Write { key, ver, delete });
        // Digests cover every bit of both.
        let same = stored.item.digest() == wanted.digest() && stored.digest == wanted.digest();
        Some(if same { Reading::Ver(ver) } else { Reading::Corrupt })
    }

    /// Entities `from..=to`; whether that was all of them.
    async fn entities(&self, from: u64, to: u64, limit: u32, page: &mut Page) -> Result<bool, PortError> {
        let (found, more) = self.holder.page(from, to, limit).await.map_err(port)?;
        let mut last = None;
        for stored in &found {
            let Item::Row(row) = &stored.item else { return Err(confused()) };
            if row.key < from || row.key > to || last.is_some_and(|last| row.key < last) {
                return Err(PortError::Indefinite(format!("key {} is out of order in a page", row.key)));
            }
            last = Some(row.key);
            page.items.extend(self.reading(row.key, stored).map(|reading| (row.key, reading)));
        }
        page.next = last.filter(|_| more);
        Ok(page.next.is_none())
    }

    /// Records of the catalogue from `from` on that have a key, and how many more have none.
    async fn records(&self) -> Result<(Vec<(u64, Reading)>, u64), PortError> {
        let found = self.holder.catalogue().await.map_err(port)?;
        let mut known = Vec::new();
        let mut strange = 0;
        for stored in found.iter().filter(|stored| !stored.item.deleted() || !stored.verifies()) {
            let Item::Record(record) = &stored.item else { return Err(confused()) };
            let place = self.catalogue.iter().position(|k| names(k, record));
            match place {
                Some(n) => {
                    let key = self.corpus.entities + n as u64;
                    known.extend(self.reading(key, stored).map(|reading| (key, reading)));
                }
                None => strange += 1,
            }
        }
        known.sort_by_key(|(key, _)| *key);
        Ok((known, strange))
    }

    /// Rows under keys that no entity has.
    async fn strange_rows(&self) -> Result<u64, PortError> {
        let mut count = 0;
        let mut ranges = vec![(STRANGE, u64::MAX)];
        if !self.catalogue.is_empty() {
            ranges.push((self.corpus.entities, self.behind() - 1));
        }
        for (from, to) in ranges {
            let (found, _) = self.holder.page(from, to, STRANGE_MAX).await.map_err(port)?;
            count += found.iter().filter(|s| !s.item.deleted() || !s.verifies()).count() as u64;
        }
        Ok(count)
    }
}

fn names(known: &CatalogueRecord, record: &Record) -> bool {
    Table::from(known.table) == record.table && known.name == record.name
}

fn port(error: CallError) -> PortError {
    let why = error.to_string();
    if error.is_definite() { PortError::Definite(why) } else { PortError::Indefinite(why) }
}

fn confused() -> PortError {
    PortError::Indefinite("an answer of another kind".into())
}

#[async_trait]
impl<H: Holder> System for FeatureSystem<H> {
    async fn write(&self, write: Write) -> Result<(), PortError> {
        if write.key > LAST {
            return Err(PortError::Definite(format!("key {} is no entity's", write.key)));
        }
        self.holder.put(vec![self.item(write)]).await.map_err(port)
    }

    async fn read(&self, key: u64) -> Result<Option<Reading>, PortError> {
        let name = match self.record(key) {
            Some(record) => Key::Record(record.table.into(), record.name.clone()),
            None => Key::Row(key),
        };
        let found = self.holder.get(&name).await.map_err(port)?;
        Ok(found.and_then(|stored| self.reading(key, &stored)))
    }

    async fn survivors(&self, after: Option<u64>, limit: usize) -> Result<Page, PortError> {
        let from = after.map_or(0, |after| after.saturating_add(1));
        let limit = u32::try_from(limit.max(1)).unwrap_or(u32::MAX);
        let mut page = Page::default();
        let (entities, behind) = (self.corpus.entities, self.behind());
        if from < entities {
            if self.entities(from, entities - 1, limit, &mut page).await? {
                page.next = Some(entities - 1);
            }
            return Ok(page);
        }
        if from < behind {
            let (known, _) = self.records().await?;
            page.items = known.into_iter().filter(|(key, _)| *key >= from).take(limit as usize).collect();
            let full = page.items.len() == limit as usize;
            page.next = page.items.last().map(|(key, _)| *key).filter(|_| full).or(Some(behind - 1));
            return Ok(page);
        }
        if from < STRANGE {
            if self.entities(from, LAST, limit, &mut page).await? {
                page.next = Some(LAST);
            }
            return Ok(page);
        }
        let nameless = self.holder.strangers().await.map_err(port)?.len() as u64;
        let strange = self.records().await?.1 + self.strange_rows().await? + nameless;
        let end = STRANGE.saturating_add(strange);
        page.items = (from..end).take(limit as usize).map(|key| (key, Reading::Corrupt)).collect();
        page.next = page.items.last().map(|(key, _)| *key).filter(|last| last + 1 < end);
        Ok(page)
    }

    async fn inventory(&self) -> Result<Option<Inventory>, PortError> {
        self.holder.inventory().await.map(Some).map_err(port)
    }
}
