//! Whoever holds features, product by product: what users, audits, backups and restores need of it.
//!
//! The shape of an answer is that of [`Client`]'s; every error says whether the call could have happened.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use harness::inventory::Inventory;

use super::client::{CallError, Client};
use super::item::{Item, Key, Stored};
use super::replace::{Replaced, Rules};
use super::wire::{Strike, Struck};

/// Replacing everything takes as long as it takes.
const LONG: Duration = Duration::from_secs(1800);

/// A product that holds rows and a catalogue.
#[async_trait]
pub trait Holder: Send + Sync + Debug {
    /// What is stored under a key; a deletion is something, too.
    async fn get(&self, key: &Key) -> Result<Option<Stored>, CallError>;

    /// Rows of entities `from..=to` in the order of keys, at most `limit`; and whether there may be later ones.
    async fn page(&self, from: u64, to: u64, limit: u32) -> Result<(Vec<Stored>, bool), CallError>;

    /// The whole catalogue, in the order of tables and names.
    async fn catalogue(&self) -> Result<Vec<Stored>, CallError>;

    /// Keys that were written and are not there, not even as a deletion.
    async fn missing(&self) -> Result<Vec<Key>, CallError>;

    /// What is stored and has no key, by name: users never ask for it.
    async fn strangers(&self) -> Result<Vec<String>, CallError>;

    /// What the product consists of for its users, beside rows and catalogue.
    async fn inventory(&self) -> Result<Inventory, CallError>;

    /// Stores states, each if it is newer than what is there. They are durable then.
    async fn put(&self, items: Vec<Item>) -> Result<(), CallError>;
}

/// A product that an operator restores, and that an intruder with its password strikes.
#[async_trait]
pub trait Operated: Holder {
    /// Begins a restore, and ends any that is under way. Answers its number.
    async fn begin(&self) -> Result<u64, CallError>;

    /// Hands over a part of a backup.
    async fn stage(&self, restore: u64, items: Vec<Item>) -> Result<(), CallError>;

    /// Replaces what is held by what was staged, in one transaction, however long that takes.
    async fn replace(&self, restore: u64, rules: Rules) -> Result<Replaced, CallError>;

    /// Lets an intruder strike; the seed chooses the victims. Answered after the store was read again.
    async fn strike(&self, strike: Strike, seed: u64) -> Result<Struck, CallError>;
}

#[async_trait]
impl Holder for Client {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, CallError> {
        match key {
            Key::Row(key) => self.row(*key).await,
            Key::Record(table, name) => self.record(*table, name.clone()).await,
        }
    }

    async fn page(&self, from: u64, to: u64, limit: u32) -> Result<(Vec<Stored>, bool), CallError> {
        let page = self.rows(from, to, limit).await?;
        Ok((page.rows, page.more))
    }

    async fn catalogue(&self) -> Result<Vec<Stored>, CallError> {
        Client::catalogue(self).await
    }

    async fn missing(&self) -> Result<Vec<Key>, CallError> {
        Client::missing(self).await
    }

    async fn strangers(&self) -> Result<Vec<String>, CallError> {
        Client::strangers(self).await
    }

    async fn inventory(&self) -> Result<Inventory, CallError> {
        Client::inventory(self).await
    }

    async fn put(&self, items: Vec<Item>) -> Result<(), CallError> {
        self.apply(items).await.map(drop)
    }
}

#[async_trait]
impl Operated for Client {
    async fn begin(&self) -> Result<u64, CallError> {
        Client::begin(self).await
    }

    async fn stage(&self, restore: u64, items: Vec<Item>) -> Result<(), CallError> {
        Client::stage(self, restore, items).await.map(drop)
    }

    async fn replace(&self, restore: u64, rules: Rules) -> Result<Replaced, CallError> {
        Client::replace(&self.within(LONG), restore, rules).await
    }

    async fn strike(&self, strike: Strike, seed: u64) -> Result<Struck, CallError> {
        Client::strike(self, strike, seed).await
    }
}
