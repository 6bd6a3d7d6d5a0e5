//! What the stores say of each other: references from one to another, and copies of one in several regions.

use super::Facts;
use crate::{
    corpus::{Corpus, MODELS},
    journal::ReadBack,
    ledger::Survivors,
    ports::Reading,
    topology::Role,
};

/// One region's copy of a store.
#[derive(Debug)]
pub struct Copy {
    /// Which store.
    pub store: Role,
    /// Whose copy.
    pub region: String,
    /// What it holds.
    pub survivors: Survivors,
    /// The events that prove it.
    pub evidence: Vec<u64>,
    attempt: u32,
}

/// References from one store to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dangling {
    /// Such as `object to vector`.
    pub what: &'static str,
    /// Keys whose target is gone; `None` if a store could not be read in full.
    pub gone: Option<Vec<u64>>,
}

impl Facts {
    pub(super) fn copy(&mut self, page: &ReadBack, seq: u64) {
        let (Some(store), Some(region)) = (page.store, page.region.clone()) else { return };
        let found = self.copies.iter().position(|c| c.store == store && c.region == region);
        let at = found.unwrap_or(self.copies.len());
        if self.copies.get(at).is_none_or(|c| c.attempt < page.attempt) {
            let (survivors, evidence) = (Survivors::default(), Vec::new());
            let fresh = Copy { store, region, survivors, evidence, attempt: page.attempt };
            self.copies.splice(at..self.copies.len().min(at + 1), [fresh]);
        }
        let copy = &mut self.copies[at];
        copy.survivors.page(page);
        if page.end.is_some() {
            copy.evidence.push(seq);
        }
    }

    pub(super) fn references(&self) -> Vec<Dangling> {
        let has = |role| self.stores.iter().any(|s| s.store == role);
        let read = |role| {
            self.stores.iter().find(|s| s.store == role).map(|s| &s.passes[0]).filter(|s| s.complete())
        };
        let corpus = Corpus::of(&self.plan.scenario);
        let mut all = Vec::new();
        for (role, what) in [(Role::Object, "object to vector"), (Role::Feature, "feature to vector")] {
            if !has(role) || !has(Role::Vector) {
                continue;
            }
            let gone = read(role).zip(read(Role::Vector)).map(|(from, to)| {
                let refers = |key: &u64| role == Role::Object || *key < corpus.entities;
                from.keys().filter(refers).filter(|key| to.get(corpus.referred(*key)).is_none()).collect()
            });
            all.push(Dangling { what, gone });
        }
        if has(Role::Feature) && has(Role::Object) {
            // A model is the very object whose checksum the registry holds.
            let gone = read(Role::Object)
                .map(|objects| (0..MODELS).filter(|m| objects.get(*m) != Some(Reading::Ver(0))).collect());
            all.push(Dangling { what: "model to object", gone });
        }
        all
    }
}
