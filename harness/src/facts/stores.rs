//! What the stores hold: the copies that users were routed to, read three times; references from one store to another;
//! and where all regions take writes, every region's copy.

use super::{EVIDENCE_MAX, Facts};
use crate::{
    corpus::{Corpus, MODELS},
    journal::{ReadBack, ReadEnd, Resumed},
    ledger::{Account, Ledger, Survivors},
    ports::{Reading, Routes},
    topology::Role,
};

/// One copy that users were routed to when the load had stopped.
#[derive(Debug, Default)]
pub struct CopyFacts {
    /// Whose copy.
    pub region: String,
    /// After recovery, before any undo.
    pub users: Readout,
    /// After its restart, before any undo.
    pub restarted: Readout,
    /// After the undo.
    pub undone: Readout,
    /// How the job whose checkpoints it holds was taken up anew, and the event that says so.
    pub resumed: Option<(u64, Resumed)>,
}

/// One reading of a copy.
#[derive(Debug, Default)]
pub struct Readout {
    /// The ledger compared with it; `None` if it was not read in full.
    pub account: Option<Account>,
    /// Why it was not read in full.
    pub unread: Option<String>,
    /// The events that prove it.
    pub evidence: Vec<u64>,
    pub(super) survivors: Survivors,
    attempt: u32,
}

impl CopyFacts {
    pub(super) fn page(&mut self, page: &ReadBack, seq: u64) {
        match page.pass {
            ReadBack::USERS => self.users.page(page, seq),
            ReadBack::RESTARTED => self.restarted.page(page, seq),
            _ => self.undone.page(page, seq),
        }
    }

    pub(super) fn finish(&mut self, ledger: &Ledger) {
        [&mut self.users, &mut self.restarted, &mut self.undone].into_iter().for_each(|r| r.finish(ledger));
    }
}

impl Readout {
    fn page(&mut self, page: &ReadBack, seq: u64) {
        // The last attempt counts.
        if page.attempt != self.attempt {
            *self = Readout { attempt: page.attempt, ..Readout::default() };
        }
        self.survivors.page(page);
        if self.evidence.len() < EVIDENCE_MAX || page.end.is_some() {
            self.evidence.push(seq);
        }
    }

    fn finish(&mut self, ledger: &Ledger) {
        self.account = self.survivors.complete().then(|| ledger.account(&self.survivors));
        self.unread = match &self.survivors.end {
            Some(ReadEnd::Incomplete(why)) => Some(why.clone()),
            Some(ReadEnd::Complete) if self.account.is_some() => None,
            Some(ReadEnd::Complete) => Some("its pages contradict each other".into()),
            None => Some("it was never read back".into()),
        };
    }

    /// Why it cannot be judged; empty if it can.
    pub fn why_unread(&self) -> &str {
        self.unread.as_deref().unwrap_or_default()
    }
}

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
    /// In which region, where users of several are concerned.
    pub region: Option<String>,
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

    /// Users are routed there: what is read back from here on are these copies.
    pub(super) fn routed(&mut self, routes: Routes, seq: u64) {
        for (role, region) in self.plan.copies(&routes) {
            if let Some(store) = self.store_mut(role) {
                store.copies.push(CopyFacts { region, ..CopyFacts::default() });
            }
        }
        self.routes = Some((seq, routes));
    }

    pub(super) fn copy_mut(&mut self, store: Option<Role>, region: Option<&str>) -> Option<&mut CopyFacts> {
        let store = self.store_mut(store?)?;
        store.copies.iter_mut().find(|c| Some(c.region.as_str()) == region)
    }

    /// References from one store to another, region by region as users see them; where no region has both, between the
    /// copies that there are.
    pub(super) fn references(&self) -> Vec<Dangling> {
        let pairs = [
            (Role::Object, Role::Vector, "object to vector"),
            (Role::Feature, Role::Vector, "feature to vector"),
            (Role::Object, Role::Feature, "model to object"),
        ];
        let copies = |role| self.stores.iter().find(|s| s.store == role).map(|s| &s.copies);
        let mut all = Vec::new();
        for (role, other, what) in pairs {
            let (Some(from), Some(to)) = (copies(role), copies(other)) else { continue };
            let together = |a: &CopyFacts| to.iter().find(|b| b.region == a.region);
            let mut seen: Vec<_> = from.iter().filter_map(|a| Some((a, together(a)?))).collect();
            if seen.is_empty() {
                seen.extend(from.first().zip(to.first()));
            }
            if seen.is_empty() {
                all.push(Dangling { what, region: None, gone: None });
            }
            let several = seen.len() > 1;
            for (a, b) in seen {
                let read = |c: &'_ CopyFacts| c.users.survivors.complete();
                let gone = (read(a) && read(b)).then(|| self.gone(role, what, a, b));
                all.push(Dangling { what, region: several.then(|| a.region.clone()), gone });
            }
        }
        all
    }

    fn gone(&self, role: Role, what: &str, from: &CopyFacts, to: &CopyFacts) -> Vec<u64> {
        let corpus = Corpus::of(&self.plan.scenario);
        let (from, to) = (&from.users.survivors, &to.users.survivors);
        if what == "model to object" {
            // A model is the very object whose checksum the registry holds.
            return (0..MODELS).filter(|m| from.get(*m) != Some(Reading::Ver(0))).collect();
        }
        let refers = |key: &u64| role == Role::Object || *key < corpus.entities;
        from.keys().filter(refers).filter(|key| to.get(corpus.referred(*key)).is_none()).collect()
    }
}
