//! Recall counted again: the journal holds the answers of the store and what the harness said of them. The answers are
//! raw; how many of them are right follows from the scenario, the ledger and what was read back.

use std::collections::BTreeSet;

use super::Facts;
use crate::{
    corpus::{Corpus, count_hits, exact_neighbours},
    ledger::Survivors,
    topology::Role,
};

impl Facts {
    /// How many sums [`Facts::recount`] takes.
    pub(crate) fn recount_work(&self) -> u64 {
        let v = &self.plan.scenario.data.vectors;
        let factors = [u64::from(v.queries), v.count, u64::from(v.dim), 2];
        factors.into_iter().fold(1, u64::saturating_mul)
    }

    /// Whether the hits of every pass over the frozen queries are those that its answers give against exact search.
    /// Takes as long as the exact search of the drill itself: queries times records.
    ///
    /// # Errors
    /// In words, the first pass whose hits do not follow from the raw events, with the number of its event.
    pub fn recount(&self) -> Result<(), String> {
        self.recounted.get_or_init(|| self.count_again()).clone()
    }

    fn count_again(&self) -> Result<(), String> {
        let Some(store) = self.stores.iter().find(|s| s.store == Role::Vector) else { return Ok(()) };
        let corpus = Corpus::of(&self.plan.scenario);
        let queries: Vec<Vec<f32>> = (0..corpus.queries).map(|n| corpus.query(n)).collect();
        let k = self.plan.scenario.data.vectors.k as usize;
        // As many neighbours as the drill looked for: only there do ties count.
        let most = self.plan.most_neighbours();
        let mut seeded = None;
        let before = self.quality.iter().filter(|(pass, _)| **pass < 3).map(|(_, q)| q);
        for (seq, said) in before.chain(self.quality_after.values()) {
            let pass = said.pass;
            let wrong = |what: &str| {
                Err(format!("event {seq}: {what} of pass {pass} do not follow from its answers"))
            };
            if pass < 3 {
                let truth = seeded.get_or_insert_with(|| {
                    let records: Vec<(u64, u64)> = (0..corpus.vectors).map(|key| (key, 0)).collect();
                    exact_neighbours(&corpus, &queries, &records, most)
                });
                let hits = count_hits(truth, said.answers.iter().map(|a| Some(&a[..])), k);
                if hits != said.hits || hits != said.hits_stored {
                    return wrong("the hits");
                }
                continue;
            }
            let (certain, aside) = store.ledger.certain();
            let aside: BTreeSet<u64> = aside.into_iter().collect();
            let judged: Vec<Vec<u64>> = said
                .answers
                .iter()
                .map(|a| a.iter().copied().filter(|key| !aside.contains(key)).collect())
                .collect();
            let truth = exact_neighbours(&corpus, &queries, &certain, k);
            let hits = count_hits(&truth, judged.iter().map(|a| Some(&a[..])), k);
            if hits != said.hits {
                return wrong("the hits");
            }
            let copy = store.copies.iter().find(|c| Some(&c.region) == said.region.as_ref());
            let read = copy.map(|c| if pass == 3 { &c.users.survivors } else { &c.restarted.survivors });
            let stored = read.filter(|s| s.complete()).map(Survivors::records);
            let hits = match stored {
                Some(stored) if stored != certain => {
                    let truth = exact_neighbours(&corpus, &queries, &stored, k);
                    count_hits(&truth, said.answers.iter().map(|a| Some(&a[..])), k)
                }
                _ => hits,
            };
            if hits != said.hits_stored {
                return wrong("the hits among what is stored");
            }
        }
        Ok(())
    }
}
