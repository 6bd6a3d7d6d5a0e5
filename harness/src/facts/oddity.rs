//! Journals that contradict themselves or their plan: no drill of ours writes them, so nothing may be concluded from
//! them.

use super::Facts;
use crate::journal::{Ending, EventKind, Phase, ReadBack};

impl Facts {
    /// What cannot follow in a journal of a drill.
    pub(super) fn oddity(&self, kind: &EventKind) -> Option<&'static str> {
        let phase = self.phases.last().map(|(p, _)| *p);
        let v = &self.plan.scenario.data.vectors;
        let queries = v.queries as usize;
        let odd = match kind {
            _ if self.ending.is_some() => "something after the end",
            EventKind::Began(_) => "a second beginning",
            EventKind::Entered(next) if phase.is_some_and(|p| p >= *next) => "a phase out of order",
            EventKind::Seeded { store, count } if !self.plan.stores().contains(&(*store, *count)) => {
                "a store filled with another number of records"
            }
            EventKind::ReadBack(page)
                if phase
                    != Some(match page.pass {
                        ReadBack::RESTARTED => Phase::Restart,
                        ReadBack::UNDONE => Phase::SecondReadBack,
                        _ => Phase::ReadBack,
                    }) =>
            {
                "a read-back in another phase"
            }
            EventKind::Quality(q)
                if phase
                    != Some(match q.pass {
                        4 => Phase::Restart,
                        3 => Phase::Quality,
                        _ => Phase::Settle,
                    }) =>
            {
                "queries in another phase"
            }
            EventKind::Quality(q)
                if q.k != v.k
                    || [q.hits.len(), q.hits_stored.len(), q.answers.len()].iter().any(|n| *n != queries) =>
            {
                "another number of queries"
            }
            EventKind::Quality(q)
                if q.hits.iter().chain(&q.hits_stored).any(|h| *h > q.k)
                    || q.hits.iter().zip(&q.answers).any(|(h, a)| *h as usize > a.len())
                    || q.hits_stored.iter().zip(&q.answers).any(|(h, a)| *h as usize > a.len()) =>
            {
                "more hits than answers"
            }
            EventKind::Stalled { from_us, to_us } if from_us > to_us => "a stall that ends before it begins",
            EventKind::Stalled { .. } if !matches!(phase, Some(Phase::Settle | Phase::Storm)) => {
                "a stall while nobody watched for one"
            }
            EventKind::Inventoried(listed) if !self.fits(listed) => {
                "an inventory in another phase, or of nothing"
            }
            EventKind::Ended(Ending::Complete) if !self.open.is_empty() => "an end with debts",
            EventKind::Ended(Ending::Complete) if !self.all_phases() => "an end without all phases",
            _ => return None,
        };
        Some(odd)
    }

    fn all_phases(&self) -> bool {
        use Phase::{Launch, Quality, ReadBack, Restart, SecondReadBack, Seed, Settle, Teardown, Undo};
        let all = [Launch, Seed, Settle, ReadBack, Quality, Restart, Undo, SecondReadBack, Teardown];
        all.iter().all(|p| self.entered_us(*p).is_some())
    }
}
