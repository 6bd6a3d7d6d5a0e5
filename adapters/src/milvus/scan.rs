//! Looking at everything that a collection holds: its keys with their numbers, and rows by their keys.

use std::collections::BTreeMap;

use async_trait::async_trait;
use milvus::proto::common::ConsistencyLevel;

use super::client::{KEY, VECTOR, VER, longs, rows};
use super::{Client, MilvusError, Row};
use crate::backup::Rows;
use crate::vectordb::Record;

/// Rows asked for at once; Milvus answers with at most 16,384.
const PAGE: usize = 10_000;
/// Rows with their vectors asked for, or stored, at once: some megabytes.
const BATCH: usize = 5_000;

impl Client {
    /// Every key, and the number of the write that it shows. What is written meanwhile may or may not be among them.
    pub async fn versions(&self) -> Result<BTreeMap<u64, u64>, MilvusError> {
        let mut all = BTreeMap::new();
        let mut after: i64 = -1;
        let mut rest = None;
        loop {
            let fields =
                self.query(format!("{KEY} > {after}"), vec![KEY.into(), VER.into()], Some(PAGE)).await?;
            let column = |name: &str| fields.iter().find(|field| field.field_name == name).and_then(longs);
            let (keys, vers) = (column(KEY).unwrap_or_default(), column(VER).unwrap_or_default());
            if keys.len() != vers.len() {
                return Err(MilvusError::Garbled(format!("{} keys, {} numbers", keys.len(), vers.len())));
            }
            for (key, ver) in keys.iter().zip(vers) {
                let number = |n: i64| u64::try_from(n).map_err(|e| MilvusError::Garbled(e.to_string()));
                if *key <= after {
                    return Err(MilvusError::Garbled(format!("key {key} is out of place in a page")));
                }
                all.insert(number(*key)?, number(*ver)?);
            }
            // A page may be short though more follows: it ends where one of the segments has told all that it may. And
            // whoever writes one new key after the other never lets a page be empty: all that was counted is enough.
            match keys.iter().max() {
                Some(_) if rest.is_some_and(|rest| keys.len() as u64 >= rest) => return Ok(all),
                Some(last) => after = *last,
                None => return Ok(all),
            }
            // What was counted behind an earlier page says nothing of what is behind this one.
            rest = match keys.len() < PAGE / 2 {
                true => Some(self.count_of(format!("{KEY} > {after}")).await?),
                false => None,
            };
        }
    }

    /// Rows whose write has a higher number, as far as the server shows them by now; nothing if they are too many for
    /// one answer.
    pub async fn newer(&self, ver: u64) -> Result<Option<Vec<Row>>, MilvusError> {
        let output = vec![KEY.into(), VER.into(), VECTOR.into()];
        let level = ConsistencyLevel::Eventually;
        let found = rows(&self.query_at(level, format!("{VER} > {ver}"), output, Some(BATCH)).await?)?;
        Ok((found.len() < BATCH).then_some(found))
    }

    /// The rows of these keys, as far as they are there.
    pub async fn rows_of(&self, keys: &[u64]) -> Result<Vec<Row>, MilvusError> {
        let mut found = Vec::with_capacity(keys.len());
        for some in keys.chunks(BATCH) {
            let list: Vec<String> = some.iter().map(u64::to_string).collect();
            let output = vec![KEY.into(), VER.into(), VECTOR.into()];
            found.extend(rows(&self.query(format!("{KEY} in [{}]", list.join(",")), output, None).await?)?);
        }
        Ok(found)
    }

    /// Stores rows, each in the place of one with its key, as many as there are.
    pub async fn upsert_all(&self, all: &[Row]) -> Result<(), MilvusError> {
        for some in all.chunks(BATCH) {
            self.upsert(some).await?;
        }
        Ok(())
    }

    /// Removes rows, as many as there are.
    pub async fn delete_all(&self, all: &[u64]) -> Result<(), MilvusError> {
        for some in all.chunks(BATCH) {
            self.delete_some(some).await?;
        }
        Ok(())
    }

    /// Stores rows whose keys are new, as many as there are.
    pub async fn insert_all(&self, all: &[Row]) -> Result<(), MilvusError> {
        for some in all.chunks(BATCH) {
            self.insert(some).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Rows for Client {
    async fn versions(&self) -> Result<BTreeMap<u64, u64>, String> {
        Client::versions(self).await.map_err(|e| e.to_string())
    }

    async fn fetch(&self, keys: &[u64]) -> Result<Vec<Record>, String> {
        let rows = self.rows_of(keys).await.map_err(|e| e.to_string())?;
        Ok(rows.into_iter().map(|Row { key, ver, vector }| Record { key, ver, vector }).collect())
    }
}
