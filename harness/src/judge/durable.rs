//! Durability: what users read after recovery is there after a restart as well.
//!
//! A process that answers from memory hides what has rotted on its disk. So every copy that users are routed to is
//! restarted, asked again, and compared with its first reading: nothing may be worse. What was never loaded was never
//! proved.

use std::collections::BTreeSet;

use super::{
    Finding,
    data::{some, subject},
    quality::{BASELINES_APART, counted_again, recall},
};
use crate::{
    act::Act,
    facts::{CopyFacts, Facts, StoreFacts},
    journal::Phase,
    topology::Role,
    verdict::Verdict::{Fail, Pass, Unknown},
};

pub(super) fn finding(facts: &Facts, store: &StoreFacts, copy: &CopyFacts) -> Finding {
    let required = if store.store == Role::Gpu {
        "the job goes on from its newest checkpoint"
    } else {
        "the same after a restart"
    };
    let finding = Finding::new("durable", &subject(store, copy), required);
    if facts.entered_us(Phase::Restart).is_none() {
        return finding
            .because(Unknown, "it was never restarted: the drill was broken off before; play it to its end");
    }
    let restarts = restarts(facts, store.store, &copy.region);
    let finding = finding.evidence(restarts.iter().flat_map(|s| s.evidence.iter().copied()));
    if let Some(why) = restarts.iter().flat_map(|s| &s.acts).find(|a| !a.outcome.observed()) {
        return finding
            .measured(why.outcome.text().to_owned())
            .because(Fail, format!("{} and it did not come back", why.act));
    }
    if restarts.iter().any(|s| s.acts.is_empty()) || restarts.is_empty() {
        return finding.because(Unknown, "its restart is not in the journal; play the drill to its end");
    }
    if store.store == Role::Gpu
        && let Some(bad) = job(store, copy, &finding)
    {
        return bad;
    }
    let finding = finding.evidence(copy.restarted.evidence.iter().copied());
    let Some(before) = &copy.users.account else {
        return finding.because(
            Unknown,
            "the reading before the restart is missing, so there is nothing to compare with",
        );
    };
    let Some(after) = &copy.restarted.account else {
        let why = copy.restarted.why_unread();
        return finding
            .measured("not readable")
            .because(Fail, format!("it could be read in full before its restart, and not after it: {why}"));
    };
    let worse: BTreeSet<u64> = after.harm().difference(&before.harm()).copied().collect();
    let more: BTreeSet<u64> = after.excess().difference(&before.excess()).copied().collect();
    let finding = finding.measured(format!("{} records worse, {} too many", worse.len(), more.len()));
    if !worse.is_empty() {
        let why = "acknowledged records were there before the restart, and gone or damaged after it";
        return finding.because(Fail, format!("{why}: {}", some(worse)));
    }
    if !more.is_empty() {
        let why = "records that nobody wrote, or that are there twice, were found after the restart";
        return finding.because(Fail, format!("{why}: {}", some(more)));
    }
    match store.store {
        Role::Vector => index(facts, copy, finding),
        Role::Gpu => {
            finding.because(Pass, "every checkpoint was there again, and the job went on from the newest")
        }
        Role::Object | Role::Feature => finding.because(Pass, "everything was there again after the restart"),
    }
}

/// The restarts of the nodes that hold a copy.
fn restarts<'a>(facts: &'a Facts, role: Role, region: &str) -> Vec<&'a crate::facts::StepFacts> {
    let nodes = facts.plan.restarted(&[(role, region.to_owned())]);
    let restart = |s: &&crate::facts::StepFacts| {
        let [Act::Restart { node }] = &s.planned[..] else { return false };
        nodes.contains(node) && facts.entered_us(Phase::Restart).is_some_and(|at| s.began_us >= at)
    };
    facts.steps.iter().filter(restart).collect()
}

/// What is wrong with how the job was taken up anew.
fn job(store: &StoreFacts, copy: &CopyFacts, finding: &Finding) -> Option<Finding> {
    let Some((seq, resumed)) = &copy.resumed else {
        return Some(
            finding
                .clone()
                .because(Unknown, "nobody tried to take up the job anew; play the drill to its end"),
        );
    };
    let finding = finding.clone().evidence([*seq]);
    let newest = store.ledger.newest_acked();
    match resumed.from {
        None => {
            let why = resumed.why.as_deref().unwrap_or("no reason is given");
            Some(finding.because(Fail, format!("the job could not be taken up anew: {why}")))
        }
        Some(from) if from < newest => Some(
            finding.measured(format!("resumed from step {from}")).because(
                Fail,
                format!("step {newest} was acknowledged, and the job that was taken up anew knows nothing after step {from}"),
            ),
        ),
        Some(_) => None,
    }
}

/// A vector store has to answer queries as before, too.
fn index(facts: &Facts, copy: &CopyFacts, finding: Finding) -> Finding {
    let pass = |n: u8| facts.quality_after.get(&(n, copy.region.clone()));
    let Some((seq, before)) = pass(3) else {
        return finding.because(Unknown, "the queries were not asked before the restart");
    };
    let Some((again_seq, after)) = pass(4) else {
        return finding
            .because(Unknown, "the queries were not asked after the restart; play the drill to its end");
    };
    let finding = finding.evidence([*seq, *again_seq]);
    if after.failed > before.failed {
        let why = format!("{} of {} queries got no answer after the restart", after.failed, after.hits.len());
        return finding.because(Fail, why);
    }
    let (was, is) = (recall(&before.hits, before.k), recall(&after.hits, after.k));
    if was - is > BASELINES_APART {
        let why = format!("recall was {was:.3} before the restart and is {is:.3} after it");
        return finding.because(Fail, why);
    }
    if let Err(why) = counted_again(facts) {
        return finding.because(Unknown, format!("no drill writes such a journal: {why}"));
    }
    finding
        .because(Pass, "every record was there again after the restart, and queries were answered as before")
}
