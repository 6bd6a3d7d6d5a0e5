//! An object store as its users reach it: the door [`System`] in front of an [`S3`] client.
//!
//! Objects are named by their key in twenty digits, so a listing is in key order; what has any other name is a stranger,
//! and is listed under keys from [`STRANGE`] on. A body counts as the value of the
//! write that its first line names only if all of its bytes are that write's.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use harness::corpus::Corpus;
use harness::inventory::Inventory;
use harness::ports::{Page, PortError, Reading, System, Write};

use super::{S3, S3Error, inventory};

/// Keys of what nobody wrote.
const STRANGE: u64 = 1 << 52;
/// Strangers that an inventory names.
const STRANGERS_NAMED: usize = 200;
/// Strangers that are listed; more would say nothing new.
const STRANGE_MAX: usize = 10_000;
/// Objects read at a time.
const SIDE_BY_SIDE: usize = 8;

/// Who else can tell what a server consists of, where S3 has no words for it.
#[async_trait]
pub trait Administration: Send + Sync + std::fmt::Debug {
    /// Adds what it knows: users, and what each of them may do.
    async fn inventory(&self, to: &mut Inventory) -> Result<(), String>;
}

/// An object store that holds objects of a corpus in one bucket.
#[derive(Debug)]
pub struct ObjectSystem {
    s3: S3,
    corpus: Arc<Corpus>,
    administration: Option<Arc<dyn Administration>>,
}

impl ObjectSystem {
    /// The bucket that the client reaches. The client's limit has to be longer than any of its callers'.
    pub fn new(s3: S3, corpus: Arc<Corpus>) -> Self {
        Self { s3, corpus, administration: None }
    }

    /// With somebody who knows more of the server than its users do.
    #[must_use]
    pub fn administered(self, by: Arc<dyn Administration>) -> Self {
        Self { administration: Some(by), ..self }
    }

    /// Names after `after` that are no keys, as far as there is room for them.
    async fn strangers(&self) -> Result<Vec<String>, PortError> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.s3.list("", after.as_deref()).await.map_err(|e| port(&e))?;
            let strange = page.objects.iter().filter(|o| known(&o.key).is_none());
            found.extend(strange.map(|o| o.key.clone()));
            after = page.objects.last().map(|o| o.key.clone());
            if !page.more || found.len() >= STRANGE_MAX {
                found.truncate(STRANGE_MAX);
                return Ok(found);
            }
        }
    }

    /// The next keys after a name, and whether there may be more.
    async fn keys(&self, after: Option<u64>, limit: usize) -> Result<(Vec<u64>, bool), PortError> {
        let mut after = after.map(name);
        loop {
            let page = self.s3.list("", after.as_deref()).await.map_err(|e| port(&e))?;
            let mut keys: Vec<u64> = page.objects.iter().filter_map(|o| known(&o.key)).collect();
            let more = page.more || keys.len() > limit;
            keys.truncate(limit);
            // A page of nothing but strangers is no end.
            if !keys.is_empty() || !more {
                return Ok((keys, more));
            }
            after = page.objects.last().map(|o| o.key.clone());
        }
    }
}

/// The key of an object that a drill may have written.
fn known(name: &str) -> Option<u64> {
    key_of(name).filter(|key| *key < STRANGE)
}

/// The name of an object.
pub(crate) fn name(key: u64) -> String {
    format!("{key:020}")
}

/// The key of an object.
pub(crate) fn key_of(name: &str) -> Option<u64> {
    let digits = name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit());
    name.parse().ok().filter(|_| digits)
}

fn port(error: &S3Error) -> PortError {
    let why = error.to_string();
    if error.definite() { PortError::Definite(why) } else { PortError::Indefinite(why) }
}

fn reading(corpus: &Corpus, key: u64, body: &[u8]) -> Reading {
    match claimed(key, body) {
        Some(ver) if corpus.object(key, ver) == body => Reading::Ver(ver),
        _ => Reading::Corrupt,
    }
}

/// The write number in the first line, `gameday object KEY write NUMBER refers to ..`.
fn claimed(key: u64, body: &[u8]) -> Option<u64> {
    let rest = body.strip_prefix(format!("gameday object {key} write ").as_bytes())?;
    let digits = rest.iter().take(21).position(|b| *b == b' ')?;
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[async_trait]
impl System for ObjectSystem {
    async fn write(&self, write: Write) -> Result<(), PortError> {
        let name = name(write.key);
        let done = if write.delete {
            self.s3.delete(&name).await
        } else {
            self.s3.put(&name, self.corpus.object(write.key, write.ver)).await.map(drop)
        };
        done.map_err(|e| port(&e))
    }

    async fn read(&self, key: u64) -> Result<Option<Reading>, PortError> {
        let body = self.s3.get(&name(key)).await.map_err(|e| port(&e))?;
        Ok(body.map(|body| reading(&self.corpus, key, &body)))
    }

    async fn survivors(&self, after: Option<u64>, limit: usize) -> Result<Page, PortError> {
        let limit = limit.max(1);
        if let Some(from) = after.map(|after| after.saturating_add(1)).filter(|from| *from >= STRANGE) {
            let end = STRANGE + self.strangers().await?.len() as u64;
            let items: Vec<_> = (from..end).take(limit).map(|key| (key, Reading::Corrupt)).collect();
            let next = items.last().map(|(key, _)| *key).filter(|last| last + 1 < end);
            return Ok(Page { items, next });
        }
        let (keys, more) = self.keys(after, limit).await?;
        let next = match keys.last() {
            Some(last) if more => Some(*last),
            // Behind the last of them are the strangers.
            _ => (!self.strangers().await?.is_empty()).then_some(STRANGE - 1),
        };
        let read = |key| async move { Ok::<_, PortError>((key, self.read(key).await?)) };
        let read: Vec<(u64, Option<Reading>)> =
            futures::stream::iter(keys).map(read).buffered(SIDE_BY_SIDE).try_collect().await?;
        // What was removed since it was listed is not there.
        let items = read.into_iter().filter_map(|(key, reading)| Some((key, reading?))).collect();
        Ok(Page { items, next })
    }

    async fn inventory(&self) -> Result<Option<Inventory>, PortError> {
        let mut all = Inventory::default();
        inventory::add(&self.s3, &mut all).await.map_err(|e| port(&e))?;
        for stranger in self.strangers().await?.into_iter().take(STRANGERS_NAMED) {
            all.add(format!("stranger {stranger:?} in bucket {}", self.s3.name()), "");
        }
        if let Some(administration) = &self.administration {
            administration.inventory(&mut all).await.map_err(PortError::Indefinite)?;
        }
        Ok(Some(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::diagnose::load;

    #[test]
    fn a_body_is_known_by_all_of_its_bytes() {
        let text = include_str!("../../../scenarios/vector_index_corruption.toml");
        let corpus = Corpus::of(&load(text.as_bytes(), &[]).unwrap().scenario);
        let good = corpus.object(5, 12);
        assert_eq!(reading(&corpus, 5, &good), Reading::Ver(12));
        assert_eq!(reading(&corpus, 6, &good), Reading::Corrupt);
        for at in (0..good.len()).step_by(97).chain([good.len() - 1]) {
            let mut bent = good.clone();
            bent[at] ^= 4;
            assert_eq!(reading(&corpus, 5, &bent), Reading::Corrupt, "byte {at}");
        }
        for cut in [&good[..good.len() - 1], &good[..30], &[]] {
            assert_eq!(reading(&corpus, 5, cut), Reading::Corrupt);
        }
        let huge = b"gameday object 5 write 99999999999999999999999 refers to vector 1\n";
        assert_eq!(reading(&corpus, 5, huge), Reading::Corrupt);
    }

    #[test]
    fn names_keep_the_order_of_keys() {
        for key in [0, 7, 1 << 40, u64::MAX] {
            assert_eq!(key_of(&name(key)), Some(key));
        }
        assert!(name(9) < name(10) && name(10) < name(u64::MAX));
        for wrong in ["7", "x", "+0000000000000000007", "99999999999999999999"] {
            assert_eq!(key_of(wrong), None, "{wrong}");
        }
    }
}
