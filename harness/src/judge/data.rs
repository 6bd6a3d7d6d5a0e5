//! RPO, integrity and references: what became of every acknowledged record.

use super::Finding;
use crate::{
    facts::{Facts, StoreFacts},
    journal::Phase,
    ledger::Account,
    scenario::Pattern,
    time::{Dur, human_us},
    topology::{LinkState, NodeId, NodeState, Role},
    verdict::Verdict::{Fail, Pass, Unknown},
};

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut all: Vec<Finding> = facts.stores.iter().filter_map(|s| rpo(facts, s)).collect();
    all.extend(facts.stores.iter().map(|s| integrity(facts, s)));
    all.extend(references(facts));
    all.extend(convergence(facts));
    all
}

/// The strictest RPO of anybody who uses the store.
fn limit(facts: &Facts, store: Role) -> Option<Dur> {
    let users = facts.plan.services.iter().filter(|s| s.uses.contains(&store));
    users.filter_map(|s| s.objectives.rpo).chain(facts.plan.objectives.rpo).min()
}

/// RPO actual: from the oldest lost acknowledged write to the last fault, or to the newest lost one if that is later.
pub(crate) fn actual_us(account: &Account, struck_us: u64) -> u64 {
    match (account.oldest_loss_us, account.newest_loss_us) {
        (Some(oldest), Some(newest)) => struck_us.max(newest).saturating_sub(oldest),
        _ => 0,
    }
}

fn rpo(facts: &Facts, store: &StoreFacts) -> Option<Finding> {
    let limit = limit(facts, store.store)?;
    let t0_us = facts.t0_us()?;
    let finding = Finding::new("rpo", store.store.word(), format!("at most {limit}"));
    let finding = finding.evidence(store.evidence.iter().copied());
    let Some(account) = &store.account else {
        let why = store.unread.as_deref().unwrap_or("it was never read back");
        return Some(finding.because(Unknown, format!("the store could not be read back in full: {why}")));
    };
    let (lost, corrupt) = (account.lost.len(), account.corrupt.len());
    let actual_us = actual_us(account, facts.last_t0_us().unwrap_or(t0_us));
    // What was stored before everything else is older than any span, and damage is no loss of recent writes.
    let beyond = corrupt > 0 || account.oldest_loss_us == Some(0);
    let from_us = if limit.us() == 0 { 0 } else { t0_us.saturating_sub(limit.us()) };
    let exercised = store.ledger.acked_between(from_us, t0_us);
    let finding = finding.measured(format!(
        "{} ({lost} lost, {corrupt} corrupt of {} acknowledged; {exercised} writes in the window before the fault)",
        human_us(actual_us),
        account.acked,
    ));
    let missed = if limit.us() == 0 { lost + corrupt > 0 } else { beyond || actual_us > limit.us() };
    Some(if missed {
        finding.because(Fail, "acknowledged records of more than the allowed span are gone or damaged")
    } else if exercised == 0 {
        finding.because(
            Unknown,
            "no write was acknowledged in the window before the fault, so nothing could be lost",
        )
    } else if facts.entered_us(Phase::Storm).is_none() {
        finding.because(Unknown, "there was no storm")
    } else {
        finding.because(Pass, "every acknowledged record of that span was read back with its value")
    })
}

fn integrity(facts: &Facts, store: &StoreFacts) -> Finding {
    let finding =
        Finding::new("integrity", store.store.word(), "no refused write, no stranger, no record twice");
    let finding = finding.evidence(store.evidence.iter().copied());
    let Some(account) = &store.account else {
        let why = store.unread.as_deref().unwrap_or("it was never read back");
        return finding.because(Unknown, format!("the store could not be read back in full: {why}"));
    };
    let (unexpected, duplicate) = (account.unexpected.len(), account.duplicate.len());
    let finding = finding.measured(format!("{unexpected} unexpected, {duplicate} duplicate"));
    // Where an RPO is judged, damaged records are judged there.
    let corrupt = if limit(facts, store.store).is_none() { account.corrupt.len() } else { 0 };
    if corrupt > 0 {
        return finding
            .because(Fail, format!("{corrupt} acknowledged records have values that no write had"));
    }
    let bad =
        |a: &Account| a.lost.iter().chain(&a.corrupt).copied().collect::<std::collections::BTreeSet<u64>>();
    if let Some(second) = &store.second
        && unexpected + duplicate == 0
        && !bad(second).is_subset(&bad(account))
    {
        return finding
            .because(Unknown, "records that were there before the undo were gone or damaged after it");
    }
    if unexpected + duplicate > 0 {
        finding
            .because(Fail, "the store holds records that it refused, that nobody wrote, or that it has twice")
    } else {
        finding.because(Pass, "the store holds nothing that it should not")
    }
}

fn references(facts: &Facts) -> impl Iterator<Item = Finding> {
    facts.dangling.iter().map(|d| {
        let finding = Finding::new("references", d.what, "every reference finds its target");
        // The last page of each store that was read says that all of it was.
        let ends = facts.stores.iter().filter(|s| d.what.contains(s.store.word()));
        let finding = finding.evidence(ends.filter_map(|s| s.evidence.last().copied()));
        match &d.gone {
            None => finding.because(Unknown, "the stores could not both be read back in full"),
            Some(gone) if gone.is_empty() => {
                finding.measured("none dangling").because(Pass, "every target is there")
            }
            Some(gone) => {
                let measured = format!("{} refer to something that is gone or is another", gone.len());
                finding.measured(measured).because(Fail, "the stores no longer agree with each other")
            }
        }
    })
}

/// Where every region takes writes, their copies of each store agree in the end.
fn convergence(facts: &Facts) -> Vec<Finding> {
    let stack = &facts.plan.scenario.stack;
    if stack.pattern != Pattern::ActiveActive {
        return Vec::new();
    }
    let stores = facts.stores.iter().map(|s| s.store).filter(|s| s.replicates());
    stores.filter_map(|store| converged(facts, store)).collect()
}

fn converged(facts: &Facts, store: Role) -> Option<Finding> {
    // A region that is still lost when users are asked cannot agree with anybody, and is not expected to.
    let reached = |region: &&String| {
        let up = |n: &NodeId| facts.state.nodes.get(n) == Some(&NodeState::Running);
        let open = |n: &NodeId| facts.state.links.get(n) == Some(&LinkState::Open);
        let heard = |n: &NodeId| {
            facts
                .state
                .peers
                .iter()
                .all(|((from, to), l)| (to != n && from != &n.region) || *l == LinkState::Open)
        };
        facts.plan.topology.of(region, store).all(|n| up(n) && open(n) && heard(n))
    };
    let regions: Vec<&String> = facts.plan.topology.regions.iter().filter(reached).collect();
    if regions.len() < 2 {
        return None;
    }
    let finding = Finding::new("convergence", store.word(), "every region's copy holds the same");
    let copies: Vec<_> = facts.copies.iter().filter(|c| c.store == store).collect();
    let finding = finding.evidence(copies.iter().flat_map(|c| c.evidence.iter().copied()));
    if copies.len() < regions.len() || copies.iter().any(|c| !c.survivors.complete()) {
        return Some(finding.because(Unknown, "not every region's copy could be read in full"));
    }
    let differ: usize = copies.windows(2).map(|w| w[0].survivors.differing(&w[1].survivors).len()).sum();
    let finding = finding.measured(format!("{differ} records differ between {} regions", copies.len()));
    Some(if differ == 0 {
        finding.because(Pass, "the copies have converged")
    } else {
        finding.because(Fail, "the regions do not hold the same, long after the load has stopped")
    })
}
