//! The passes over the frozen queries: twice before anything else is asked, perhaps again until they agree; and of every
//! copy that users are routed to once after recovery, and once after its restart.

use super::{Law, broken};
use crate::{
    journal::{Phase, Quality},
    plan::Plan,
    topology::Role,
};

/// Pairs of passes before the fault.
const PAIRS_MAX: u32 = 20;

#[derive(Debug)]
pub(super) struct Answers {
    /// Whether there is a store that can be searched.
    searched: bool,
    /// Passes before the fault.
    before: u32,
    /// Passes after recovery, by number and region.
    after: Vec<(u8, String)>,
}

impl Answers {
    pub(super) fn new(plan: &Plan) -> Answers {
        let searched = plan.roles().contains(&Role::Vector);
        Answers { searched, before: 0, after: Vec::new() }
    }

    /// Whether the passes before the fault may be over.
    pub(super) fn settled(&self) -> bool {
        !self.searched || (self.before > 0 && self.before.is_multiple_of(2))
    }

    pub(super) fn all_before(&self) -> Law {
        if self.settled() { Ok(()) } else { broken("queries that were not asked twice before the fault") }
    }

    /// Whether every copy that users search has answered pass 3 or 4.
    pub(super) fn all_after(&self, pass: u8, copies: &[(Role, String)]) -> Law {
        let mut searched = copies.iter().filter(|(role, _)| *role == Role::Vector);
        match searched.all(|(_, region)| self.after.contains(&(pass, region.clone()))) {
            true => Ok(()),
            false => broken("queries that were not asked after recovery"),
        }
    }

    /// One pass. `asked`: whether probes or load have begun.
    pub(super) fn pass(
        &mut self,
        plan: &Plan,
        q: &Quality,
        (phase, asked): (Option<Phase>, bool),
        copies: &[(Role, String)],
    ) -> Law {
        shape(plan, q)?;
        match (q.pass, phase) {
            (1 | 2, Some(Phase::Settle)) if asked || !self.searched => broken("queries out of turn"),
            (1 | 2, Some(Phase::Settle)) => {
                if u32::from(q.pass) != self.before % 2 + 1 || self.before >= 2 * PAIRS_MAX {
                    return broken("queries out of turn");
                }
                self.before += 1;
                Ok(())
            }
            (3, Some(Phase::Quality)) | (4, Some(Phase::Restart)) => {
                let entry = q.region.clone().map(|region| (q.pass, region));
                let of_users = |(_, region): &(u8, String)| copies.contains(&(Role::Vector, region.clone()));
                match entry.filter(|e| of_users(e) && !self.after.contains(e)) {
                    Some(entry) => self.after.push(entry),
                    None => return broken("queries out of turn"),
                }
                Ok(())
            }
            _ => broken("queries in another phase"),
        }
    }
}

/// What follows from the numbers alone. Which keys are right is counted again by [`crate::facts::Facts::recount`]; that
/// a key is unknown is no breach, since a stranger's record may be found by a search.
fn shape(plan: &Plan, q: &Quality) -> Law {
    let v = &plan.scenario.data.vectors;
    if q.k != v.k || [&q.hits, &q.hits_stored].iter().any(|h| h.len() != q.answers.len()) {
        return broken("another number of queries");
    }
    if q.answers.len() != v.queries as usize {
        return broken("another number of queries");
    }
    let fits = |hits: &[u32]| hits.iter().zip(&q.answers).all(|(h, a)| *h <= q.k && *h as usize <= a.len());
    if !fits(&q.hits) || !fits(&q.hits_stored) {
        return broken("more hits than answers");
    }
    let empty = q.answers.iter().filter(|a| a.is_empty()).count();
    if q.failed as usize != empty {
        return broken("another number of queries without an answer than failed");
    }
    // Before the fault everything acknowledged is stored, and no more is asked for than counts.
    if q.pass < 3
        && (q.region.is_some() || q.hits != q.hits_stored || q.answers.iter().any(|a| a.len() > q.k as usize))
    {
        return broken("answers that no query before the fault has");
    }
    Ok(())
}
