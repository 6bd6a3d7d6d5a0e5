//! RPO, integrity and references: what became of every acknowledged record.

use std::collections::BTreeSet;

use super::{Finding, durable};
use crate::{
    facts::{CopyFacts, Facts, StoreFacts},
    journal::Phase,
    ledger::Account,
    plan::CONVERGE_LIMIT,
    scenario::Pattern,
    time::human_us,
    topology::{LinkState, NodeId, NodeState, Role},
    verdict::Verdict::{self, Fail, Pass, Unknown},
};

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut all: Vec<Finding> = Vec::new();
    for store in &facts.stores {
        if store.copies.is_empty() {
            all.push(unread(store));
        }
        all.extend(store.copies.iter().filter_map(|copy| rpo(facts, store, copy)));
    }
    for store in &facts.stores {
        all.extend(store.copies.iter().map(|copy| integrity(facts, store, copy)));
    }
    for store in &facts.stores {
        all.extend(store.copies.iter().map(|copy| durable::finding(facts, store, copy)));
    }
    all.extend(references(facts));
    all.extend(convergence(facts));
    all
}

/// The store, and where users of several regions read it, whose copy.
pub(super) fn subject(store: &StoreFacts, copy: &CopyFacts) -> String {
    match store.copies.len() {
        1 => store.store.word().to_owned(),
        _ => format!("{} in {}", store.store, copy.region),
    }
}

fn unread(store: &StoreFacts) -> Finding {
    Finding::new("integrity", store.store.word(), "read back as users are routed to it").because(
        Unknown,
        "it was never read back: the drill was broken off before, or the router knew no region for it",
    )
}

/// RPO actual: from the oldest lost acknowledged write to the last fault, or to the newest lost one if that is later.
pub(crate) fn actual_us(account: &Account, struck_us: u64) -> u64 {
    match (account.oldest_loss_us, account.newest_loss_us) {
        (Some(oldest), Some(newest)) => struck_us.max(newest).saturating_sub(oldest),
        _ => 0,
    }
}

fn rpo(facts: &Facts, store: &StoreFacts, copy: &CopyFacts) -> Option<Finding> {
    let limit = facts.plan.rpo_of(store.store)?;
    let t0_us = facts.t0_us()?;
    let finding = Finding::new("rpo", &subject(store, copy), format!("at most {limit}"));
    let finding = finding.evidence(copy.users.evidence.iter().copied());
    let Some(account) = &copy.users.account else {
        let why = copy.users.why_unread();
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
    if let Some(newest) = account.newest_loss_us.filter(|at| *at > facts.settled_us(store.store)) {
        let why = format!(
            "a write acknowledged {} after the first fault is gone or damaged, when every fault and every recovery of \
             the store had ended: no objective allows that",
            human_us(newest.saturating_sub(t0_us))
        );
        return Some(finding.because(Fail, why));
    }
    let missed = if limit.us() == 0 { lost + corrupt > 0 } else { beyond || actual_us > limit.us() };
    Some(if missed {
        finding.because(Fail, "acknowledged records of more than the allowed span are gone or damaged")
    } else if exercised == 0 {
        finding.because(
            Unknown,
            "no write was acknowledged in the window before the fault, so nothing could be lost; write more, or begin \
             the faults later",
        )
    } else if facts.entered_us(Phase::Storm).is_none() {
        finding.because(Unknown, "there was no storm")
    } else {
        finding.because(Pass, "every acknowledged record of that span was read back with its value")
    })
}

fn integrity(facts: &Facts, store: &StoreFacts, copy: &CopyFacts) -> Finding {
    let finding =
        Finding::new("integrity", &subject(store, copy), "no refused write, no stranger, no record twice");
    let finding = finding.evidence(copy.users.evidence.iter().copied());
    let Some(account) = &copy.users.account else {
        let why = copy.users.why_unread();
        return finding.because(Unknown, format!("the store could not be read back in full: {why}"));
    };
    let (unexpected, duplicate) = (account.unexpected.len(), account.duplicate.len());
    let finding = finding.measured(format!("{unexpected} unexpected, {duplicate} duplicate"));
    // Where an RPO is judged, damaged records are judged there.
    let corrupt = if facts.plan.rpo_of(store.store).is_none() { account.corrupt.len() } else { 0 };
    if corrupt > 0 {
        return finding
            .because(Fail, format!("{corrupt} acknowledged records have values that no write had"));
    }
    if unexpected + duplicate > 0 {
        let keys = some(account.excess());
        let why = "the store holds records that it refused, that nobody wrote, or that it has twice";
        return finding.because(Fail, format!("{why}: {keys}"));
    }
    match undone(copy) {
        None => finding.because(Pass, "the store holds nothing that it should not"),
        Some((verdict, why)) => finding.evidence(copy.undone.evidence.iter().copied()).because(verdict, why),
    }
}

/// What is wrong with the reading after the undo. It is planned where the drill was played to its end, and never ignored.
fn undone(copy: &CopyFacts) -> Option<(Verdict, String)> {
    // What was worse after the restart already is judged there.
    let before = [&copy.users, &copy.restarted].into_iter().filter_map(|r| r.account.as_ref());
    let known = |keys: fn(&Account) -> BTreeSet<u64>| before.clone().flat_map(keys).collect();
    let (harm, excess): (BTreeSet<u64>, BTreeSet<u64>) = (known(Account::harm), known(Account::excess));
    let Some(second) = &copy.undone.account else {
        return Some((
            Unknown,
            format!("it could not be read in full after the undo: {}", copy.undone.why_unread()),
        ));
    };
    let strangers: BTreeSet<u64> = second.excess().difference(&excess).copied().collect();
    if !strangers.is_empty() {
        let why = "records that nobody wrote, or that are there twice, were found after the undo";
        return Some((Fail, format!("{why}: {}", some(strangers))));
    }
    let worse: BTreeSet<u64> = second.harm().difference(&harm).copied().collect();
    (!worse.is_empty()).then(|| {
        let why = "records that were there before the undo were gone or damaged after it";
        (Unknown, format!("{why}: {}", some(worse)))
    })
}

/// The first few of some keys, and how many more there are.
pub(super) fn some(keys: impl IntoIterator<Item = u64>) -> String {
    const SHOWN: usize = 8;
    let keys: Vec<u64> = keys.into_iter().collect();
    let first: Vec<String> = keys.iter().take(SHOWN).map(u64::to_string).collect();
    let more = keys.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("key {}{more}", first.join(", "))
}

fn references(facts: &Facts) -> impl Iterator<Item = Finding> {
    facts.dangling.iter().map(|d| {
        let subject = d.region.as_ref().map_or(d.what.to_owned(), |region| format!("{} in {region}", d.what));
        let finding = Finding::new("references", &subject, "every reference finds its target");
        // The last page of each store that was read says that all of it was.
        let ends = facts.stores.iter().filter(|s| d.what.contains(s.store.word())).flat_map(|s| &s.copies);
        let finding = finding.evidence(ends.filter_map(|c| c.users.evidence.last().copied()));
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
        let passes = |l: &LinkState| match l {
            LinkState::Open => true,
            LinkState::Delayed(by) => *by < CONVERGE_LIMIT,
            LinkState::Cut(..) => false,
        };
        let open = |n: &NodeId| facts.state.links.get(n).is_some_and(passes);
        let heard = |n: &NodeId| {
            facts.state.peers.iter().all(|((from, to), l)| (to != n && from != &n.region) || passes(l))
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
