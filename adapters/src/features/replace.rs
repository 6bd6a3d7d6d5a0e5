//! The node's side of a restore: what was staged replaces everything, in one transaction.
//!
//! The node's own newer writes stay, if they verify: row and log agree, and the digest is that of the row. Whatever
//! does not verify goes, and with it what no write ever made, such as an intruder's role.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use harness::corpus::FEATURES;
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};

use super::commit::{log, put_as};
use super::item::{Digest, Item, Key, Row, Stored, Table};
use super::query::{ROWS, all_stored, begin_timeline, missing_keys, unsigned};
use super::store::{Store, StoreError};

/// Items that a restore may stage.
const STAGED_MAX: usize = 4_000_000;

/// How what was staged replaces what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Of rows that are there, only the values of these features; the rest follows by a second commit.
    pub only: Option<[bool; FEATURES]>,
    /// Newer writes of the catalogue are undone: the backup was chosen for its definitions.
    pub undo_catalogue: bool,
    /// Newer writes of the node's own are replayed on top. Always, but for a defect planted on purpose.
    pub replay: bool,
    /// Roles that nobody granted stay. Never, but for a defect planted on purpose.
    pub keep_roles: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { only: None, undo_catalogue: false, replay: true, keep_roles: false }
    }
}

/// What a restore did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Items that are there now, deletions among them.
    pub items: u64,
    /// Newer writes of the node's own that stayed.
    pub replayed: u64,
    /// Newer writes of the catalogue that were undone, as asked for.
    pub rolled_back: u64,
    /// Writes after the backup that are lost: they do not verify, or are gone.
    pub refused: u64,
    /// Altered or removed items that the backup put right.
    pub repaired: u64,
    /// Roles that nobody granted, removed.
    pub roles_removed: u64,
}

/// What was staged so far.
#[derive(Debug, Default)]
pub(crate) struct Staging(Mutex<(u64, Vec<Item>)>);

impl Staging {
    /// Forgets what an earlier restore left behind.
    pub(crate) fn begin(&self) -> u64 {
        let mut staged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *staged = (staged.0 + 1, Vec::new());
        staged.0
    }

    pub(crate) fn stage(&self, restore: u64, items: Vec<Item>) -> Result<u64, StoreError> {
        let items: Result<Vec<Item>, String> = items.into_iter().map(Item::checked).collect();
        let items = items.map_err(StoreError::Refused)?;
        let mut staged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if staged.0 != restore || staged.1.len() + items.len() > STAGED_MAX {
            let why = format!("restore {restore} is not under way, or stages more than {STAGED_MAX} items");
            return Err(StoreError::Refused(why));
        }
        staged.1.extend(items);
        Ok(staged.1.len() as u64)
    }

    pub(crate) fn staged(&self, restore: u64) -> Result<Vec<Item>, StoreError> {
        let staged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if staged.0 != restore {
            return Err(StoreError::Refused(format!("restore {restore} is not under way")));
        }
        Ok(staged.1.clone())
    }
}

impl Store {
    /// Replaces what the store holds by what was staged, and begins another timeline.
    pub(super) async fn replace(
        &self,
        staging: &Staging,
        restore: u64,
        rules: Rules,
    ) -> Result<Replaced, StoreError> {
        let staged = staging.staged(restore)?;
        let done = self.alone(move |tx| Ok(replace(tx, staged, rules)?)).await?;
        if rules.only.is_none() {
            staging.begin();
        }
        Ok(done)
    }
}

/// What the store has of its own.
#[derive(Debug)]
pub(crate) struct Own {
    /// What is there.
    pub(crate) stored: BTreeMap<Key, Stored>,
    /// Written, and not there.
    pub(crate) missing: Vec<(Key, u64)>,
}

fn replace(tx: &Transaction<'_>, staged: Vec<Item>, rules: Rules) -> rusqlite::Result<Replaced> {
    let own = Own {
        stored: all_stored(tx)?.into_iter().map(|stored| (stored.item.key(), stored)).collect(),
        missing: missing_keys(tx)?,
    };
    let (items, mut done) = own.replaced_by(staged, rules);
    for table in ["changes", ROWS].into_iter().chain(Table::ALL.map(Table::sql)) {
        if table != Table::Roles.sql() || !rules.keep_roles {
            tx.execute(&format!("DELETE FROM {table}"), [])?;
        }
    }
    for (item, digest) in &items {
        put_as(tx, item, digest)?;
        log(tx, item)?;
    }
    begin_timeline(tx)?;
    let count = |table: &str| tx.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
    let counts = std::iter::once(ROWS).chain(Table::ALL.map(Table::sql)).map(count);
    done.items = counts.map(|count| count.and_then(unsigned)).sum::<rusqlite::Result<u64>>()?;
    Ok(done)
}

impl Own {
    /// What the store is to hold afterwards, each with the digest stored beside it, the backup's first; and what
    /// becomes of everything that it held. Whoever stores it counts the items. Pure.
    pub(crate) fn replaced_by(&self, staged: Vec<Item>, rules: Rules) -> (Vec<(Item, Digest)>, Replaced) {
        let backup: BTreeMap<Key, Item> = staged.into_iter().map(|item| (item.key(), item)).collect();
        let (kept, done) = self.sort_out(&backup, rules);
        let kept: BTreeMap<Key, Item> = kept.into_iter().map(|item| (item.key(), item)).collect();
        let mut items = Vec::with_capacity(backup.len() + kept.len());
        for (key, item) in backup.into_iter().filter(|(key, _)| !kept.contains_key(key)) {
            let digest = item.digest();
            let item = match (rules.only, self.stored.get(&key)) {
                (Some(only), Some(there)) => some_of(item, &there.item, only),
                _ => item,
            };
            items.push((item, digest));
        }
        for item in kept.into_values() {
            let digest = item.digest();
            items.push((item, digest));
        }
        (items, done)
    }

    /// The newer writes that stay, and what becomes of everything else.
    fn sort_out(&self, backup: &BTreeMap<Key, Item>, rules: Rules) -> (Vec<Item>, Replaced) {
        let (mut kept, mut done) = (Vec::new(), Replaced::default());
        let backed_up = |key: &Key| backup.get(key).map(Item::ver);
        for (key, stored) in &self.stored {
            let old = backup.get(key).map(|item| (item.event_us(), item.ver(), item.digest()));
            let newer =
                old.is_none_or(|(us, ver, digest): (_, _, Digest)| stored.item.newer_than(us, ver, &digest));
            if stored.verifies() {
                if newer && rules.undo_catalogue && matches!(key, Key::Record(..)) {
                    done.rolled_back += 1;
                } else if newer && rules.replay {
                    kept.push(stored.item.clone());
                }
            } else if stored.logged.is_some() && stored.logged != backed_up(key) {
                done.refused += 1;
            } else if backup.contains_key(key) {
                done.repaired += 1;
            } else if matches!(key, Key::Record(Table::Roles, _)) && !rules.keep_roles {
                done.roles_removed += 1;
            }
        }
        for (key, logged) in &self.missing {
            match backed_up(key) {
                Some(ver) if ver == *logged => done.repaired += 1,
                _ => done.refused += 1,
            }
        }
        done.replayed = kept.len() as u64;
        (kept, done)
    }
}

/// Puts some of the values right and leaves the others as they are. Stored beside it is the digest that the row will
/// verify by once all of them are.
fn some_of(right: Item, there: &Item, only: [bool; FEATURES]) -> Item {
    let (Item::Row(right), Item::Row(there)) = (&right, there) else { return right };
    let (Some(good), Some(old)) = (right.values, there.values) else { return Item::Row(right.clone()) };
    let values = std::array::from_fn(|f| if only[f] { good[f] } else { old[f] });
    Item::Row(Row { values: Some(values), ..right.clone() })
}
