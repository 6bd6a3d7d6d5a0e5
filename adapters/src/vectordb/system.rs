//! The vector node as its users reach it: the door [`System`] in front of a [`Client`].
//!
//! A record counts as the value of a write only if its vector has the very bits of that write; the number that the
//! node stored beside it is a hint where to look, never proof.

use std::sync::Arc;

use async_trait::async_trait;
use harness::corpus::Corpus;
use harness::inventory::Inventory;
use harness::ports::{Page, PortError, Reading, System, Write};

use super::{CallError, Client, Record};

/// A vector store that holds records of a corpus.
#[derive(Debug)]
pub struct VectorSystem {
    client: Client,
    corpus: Arc<Corpus>,
}

impl VectorSystem {
    /// The store that the client reaches. The client's limit has to be longer than any of its callers'.
    pub fn new(client: Client, corpus: Arc<Corpus>) -> Self {
        Self { client, corpus }
    }
}

fn port(error: CallError) -> PortError {
    let why = error.to_string();
    if error.is_definite() { PortError::Definite(why) } else { PortError::Indefinite(why) }
}

fn reading(corpus: &Corpus, record: &Record) -> Reading {
    let wanted = corpus.vector(record.key, record.ver);
    let bits = |vector: &[f32]| vector.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    if bits(&record.vector) == bits(&wanted) { Reading::Ver(record.ver) } else { Reading::Corrupt }
}

/// Compares a page with what was written; pages that do not go forward are no answer.
fn page(corpus: &Corpus, after: Option<u64>, page: super::Page) -> Result<Page, PortError> {
    let mut last = after;
    let mut items = Vec::with_capacity(page.records.len());
    for record in &page.records {
        // A key that is stored twice is listed twice, side by side.
        let repeated = !items.is_empty() && last == Some(record.key);
        if last.is_some_and(|last| record.key <= last) && !repeated {
            return Err(PortError::Indefinite(format!("key {} is out of order in a page", record.key)));
        }
        last = Some(record.key);
        items.push((record.key, reading(corpus, record)));
    }
    Ok(Page { items, next: page.next })
}

#[async_trait]
impl System for VectorSystem {
    async fn write(&self, write: Write) -> Result<(), PortError> {
        let Write { key, ver, delete } = write;
        let done = if delete {
            self.client.delete(key, ver).await
        } else {
            self.client.put(Record { key, ver, vector: self.corpus.vector(key, ver) }).await
        };
        done.map(drop).map_err(port)
    }

    async fn read(&self, key: u64) -> Result<Option<Reading>, PortError> {
        match self.client.get(key).await.map_err(port)? {
            None => Ok(None),
            Some(record) if record.key == key => Ok(Some(reading(&self.corpus, &record))),
            Some(record) => Err(PortError::Indefinite(format!("asked for {key}, got {}", record.key))),
        }
    }

    async fn survivors(&self, after: Option<u64>, limit: usize) -> Result<Page, PortError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let found = self.client.survivors(after, limit).await.map_err(port)?;
        let corpus = self.corpus.clone();
        // Thousands of vectors are computed: not on a thread that others' answers wait for.
        tokio::task::spawn_blocking(move || page(&corpus, after, found))
            .await
            .unwrap_or_else(|e| Err(PortError::Indefinite(e.to_string())))
    }

    async fn search(&self, query: &[f32], k: usize) -> Result<Vec<u64>, PortError> {
        let k = u32::try_from(k).map_err(|e| PortError::Definite(e.to_string()))?;
        let hits = self.client.search(query.to_vec(), k).await.map_err(port)?;
        Ok(hits.into_iter().map(|hit| hit.key).collect())
    }

    async fn inventory(&self) -> Result<Option<Inventory>, PortError> {
        let status = self.client.status().await.map_err(port)?;
        let mut all = Inventory::default();
        all.add(format!("collection {}", status.collection), format!("vectors of {} values", status.dim));
        if let Some(index) = &status.index {
            // Who built it, from what and how fast is no part of it.
            all.add(format!("index of {}", status.collection), index.spec.to_string());
        }
        Ok(Some(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectordb::{Point, State};
    use harness::diagnose::load;

    fn corpus() -> Corpus {
        let text = include_str!("../../../scenarios/vector_index_corruption.toml");
        Corpus::of(&load(text.as_bytes(), &[]).unwrap().scenario)
    }

    fn found(records: Vec<Record>) -> super::super::Page {
        super::super::Page { records, next: None, point: Point { timeline: 1, lsn: 1 } }
    }

    #[test]
    fn a_value_is_known_by_its_bits_and_not_by_its_number() {
        let corpus = corpus();
        let good = Record { key: 7, ver: 3, vector: corpus.vector(7, 3) };
        assert_eq!(reading(&corpus, &good), Reading::Ver(3));
        assert_eq!(reading(&corpus, &Record { ver: 4, ..good.clone() }), Reading::Corrupt);
        assert_eq!(reading(&corpus, &Record { key: 8, ..good.clone() }), Reading::Corrupt);
        let mut bent = good.clone();
        bent.vector[0] = f32::from_bits(bent.vector[0].to_bits() ^ 1);
        assert_eq!(reading(&corpus, &bent), Reading::Corrupt);
        assert_eq!(reading(&corpus, &Record { vector: Vec::new(), ..good }), Reading::Corrupt);
    }

    #[test]
    fn pages_go_forward_and_show_duplicates() {
        let corpus = corpus();
        let record = |key| Record { key, ver: 0, vector: corpus.vector(key, 0) };
        let twice = page(&corpus, Some(1), found(vec![record(2), record(2), record(9)])).unwrap();
        assert_eq!(twice.items.iter().map(|i| i.0).collect::<Vec<_>>(), [2, 2, 9]);
        for keys in [vec![2], vec![1], vec![3, 9, 5]] {
            assert!(page(&corpus, Some(2), found(keys.into_iter().map(record).collect())).is_err());
        }
    }

    #[test]
    fn only_silence_is_indefinite() {
        let refused = CallError::Refused { state: State::Degraded, why: "x".into() };
        assert!(matches!(port(refused), PortError::Definite(_)));
        assert!(matches!(port(CallError::NotSent("x".into())), PortError::Definite(_)));
        assert!(matches!(port(CallError::Indefinite("x".into())), PortError::Indefinite(_)));
    }
}
