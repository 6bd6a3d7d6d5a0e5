//! Milvus as its users reach it: the door [`System`] in front of a [`Client`].
//!
//! A record counts as the value of a write only if its vector has the very bits of that write; `ver` is a hint where
//! to look, never proof.

use std::sync::Arc;

use async_trait::async_trait;
use harness::corpus::Corpus;
use harness::inventory::Inventory;
use harness::ports::{Page, PortError, Reading, System, Write};

use super::together::Together;
use super::{Client, Row};

/// Keys of what nobody can have written: a negative key is no record's.
const STRANGE: u64 = 1 << 62;
/// Strangers that an inventory names.
const STRANGERS_NAMED: usize = 200;

/// A collection that holds records of a corpus.
#[derive(Debug)]
pub struct MilvusSystem {
    client: Client,
    corpus: Arc<Corpus>,
    together: Together,
}

impl MilvusSystem {
    /// The collection that the client reaches.
    pub fn new(client: Client, corpus: Arc<Corpus>) -> Self {
        Self { client, corpus, together: Together::default() }
    }
}

fn reading(corpus: &Corpus, row: &Row) -> Reading {
    let wanted = corpus.vector(row.key, row.ver);
    let same = row.vector.len() == wanted.len()
        && row.vector.iter().zip(&wanted).all(|(a, b)| a.to_bits() == b.to_bits());
    if same { Reading::Ver(row.ver) } else { Reading::Corrupt }
}

#[async_trait]
impl System for MilvusSystem {
    async fn write(&self, write: Write) -> Result<(), PortError> {
        let Write { key, ver, delete } = write;
        let done = if delete {
            self.client.delete(key).await
        } else if ver == 0 {
            // Seeded once, before everything else: an upsert would look for a row to remove.
            let row = Row { key, ver, vector: self.corpus.vector(key, ver) };
            self.together.insert(&self.client, row).await
        } else {
            self.client.upsert(&[Row { key, ver, vector: self.corpus.vector(key, ver) }]).await
        };
        done.map_err(PortError::from)
    }

    async fn read(&self, key: u64) -> Result<Option<Reading>, PortError> {
        match self.client.get(key).await? {
            None => Ok(None),
            Some(row) if row.key == key => Ok(Some(reading(&self.corpus, &row))),
            Some(row) => Err(PortError::Indefinite(format!("asked for {key}, got {}", row.key))),
        }
    }

    async fn survivors(&self, after: Option<u64>, limit: usize) -> Result<Page, PortError> {
        if let Some(from) = after.map(|after| after.saturating_add(1)).filter(|from| *from >= STRANGE) {
            let end = STRANGE + self.client.strangers().await?.len() as u64;
            let items: Vec<_> = (from..end).take(limit).map(|key| (key, Reading::Corrupt)).collect();
            let next = items.last().map(|(key, _)| *key).filter(|last| last + 1 < end);
            return Ok(Page { items, next });
        }
        let rows = self.client.page(after, limit).await?;
        if let Some(row) = rows.iter().find(|row| after.is_some_and(|after| row.key <= after)) {
            return Err(PortError::Indefinite(format!("key {} is out of place in a page", row.key)));
        }
        // A page may be short though more follows: it ends where one of the segments has told all that it may.
        let next = match rows.last() {
            Some(row) => Some(row.key),
            // Behind the last of them are the strangers.
            None => (!self.client.strangers().await?.is_empty()).then_some(STRANGE - 1),
        };
        let corpus = self.corpus.clone();
        // Thousands of vectors are computed: not on a thread that others' answers wait for.
        let items = tokio::task::spawn_blocking(move || {
            rows.iter().map(|row| (row.key, reading(&corpus, row))).collect()
        });
        Ok(Page { items: items.await.map_err(|e| PortError::Indefinite(e.to_string()))?, next })
    }

    async fn inventory(&self) -> Result<Option<Inventory>, PortError> {
        let mut all = self.client.inventory().await?;
        for key in self.client.strangers().await?.into_iter().take(STRANGERS_NAMED) {
            all.add(format!("stranger {key} in collection {}", self.client.collection), "");
        }
        Ok(Some(all))
    }

    async fn search(&self, query: &[f32], k: usize) -> Result<Vec<u64>, PortError> {
        Ok(self.client.search(query, k).await?)
    }
}
