//! Whether the stores still consist of what they consisted of: roles, views, buckets, indexes, and no stranger.
//!
//! Compared are the copy that users had while all was well and each one that they have after recovery. A fault explains
//! nothing: what it changed must be as before. A recovery step explains what it lists itself.

use std::collections::BTreeSet;

use super::Finding;
use crate::{
    facts::{Facts, Listed},
    inventory::Inventory,
    journal::{Phase, When},
    topology::Role,
    verdict::Verdict::{Fail, Pass, Unknown},
};

/// Differences that a finding names; the number of all of them is told.
const NAMED: usize = 100;
/// Letters of a definition that a finding shows.
const SHOWN: usize = 80;

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    if !facts.has_inventory() || facts.entered_us(Phase::Storm).is_none() {
        return Vec::new();
    }
    // Workers hold nothing: their job's checkpoints are objects.
    let stores = facts.stores.iter().map(|s| s.store).filter(|store| *store != Role::Gpu);
    stores.flat_map(|store| of_store(facts, store)).collect()
}

fn of_store(facts: &Facts, store: Role) -> Vec<Finding> {
    let listed = |when: When| {
        let all = facts.inventories.iter();
        all.filter(|l| l.listed.when == when && l.listed.store == store).collect::<Vec<&Listed>>()
    };
    let before = listed(When::Before);
    let (after, restarted) = (listed(When::After), listed(When::Restarted));
    if after.is_empty() || restarted.is_empty() {
        let why = "what the store consists of was not listed after recovery: play the drill to its end";
        return vec![finding(&format!("inventory of {store}")).because(Unknown, why)];
    }
    after.into_iter().chain(restarted).map(|after| of_copy(facts, &before, after)).collect()
}

fn finding(subject: &str) -> Finding {
    Finding::new("integrity", subject, "the store consists of what it consisted of before the faults")
}

fn of_copy(facts: &Facts, before: &[&Listed], after: &Listed) -> Finding {
    let (store, region) = (after.listed.store, &after.listed.region);
    let restarted = if after.listed.when == When::Restarted { ", after its restart" } else { "" };
    let finding = finding(&format!("inventory of {region}/{store}{restarted}"));
    // Users of a region that had none had the copy that was listed first.
    let own = before.iter().rev().find(|b| b.listed.region == *region);
    let Some(before) = own.or(before.first()) else {
        let why = "what the store consists of was not listed before the faults";
        return finding.evidence([after.seq]).because(Unknown, why);
    };
    let finding = finding.evidence([before.seq, after.seq]);
    let (was, is) = match (&before.listed.items, &after.listed.items) {
        (Some(was), Some(is)) => (was, is),
        (None, _) => return finding.because(Unknown, untold("before the faults", before)),
        (_, None) => return finding.because(Unknown, untold("after recovery", after)),
    };
    let (explained, unexplained): (Vec<_>, Vec<_>) = differences(was, is)
        .into_iter()
        .map(|(item, how)| (facts.explained(store, &item), how))
        .partition(|(step, _)| step.is_some());
    let mut measured: Vec<String> = unexplained.iter().take(NAMED).map(|(_, how)| how.clone()).collect();
    if unexplained.len() > NAMED {
        measured.push(format!("and {} more", unexplained.len() - NAMED));
    }
    for (step, how) in explained.iter().take(NAMED) {
        measured.push(format!("{how}, by step `{}`", step.unwrap_or_default()));
    }
    if measured.is_empty() {
        let measured = format!("{} items as they were", is.len());
        return finding.measured(measured).because(Pass, "nothing of it was changed, added or removed");
    }
    let finding = finding.measured(measured.join("; "));
    match unexplained.len() {
        0 => finding.because(Pass, "only what recovery lists was changed"),
        n => finding.because(
            Fail,
            format!("{n} items that no recovery step explains were changed, added or removed"),
        ),
    }
}

fn untold(when: &str, listed: &Listed) -> String {
    let why = listed.listed.none.as_deref().unwrap_or("no reason was given");
    format!("what the store consists of could not be listed {when}: {why}")
}

/// Each item that differs, and how.
fn differences(was: &Inventory, is: &Inventory) -> Vec<(String, String)> {
    let names: BTreeSet<&str> = was.items().chain(is.items()).map(|(name, _)| name).collect();
    let differs = |name: &str| match (was.get(name), is.get(name)) {
        (None, Some(is)) => Some(format!("{name} is new{}", shown(is))),
        (Some(was), None) => Some(format!("{name} is gone{}", shown(was))),
        (Some(was), Some(is)) if was != is => {
            Some(format!("{name} is another{}, and was{}", shown(is), shown(was)))
        }
        _ => None,
    };
    names.into_iter().filter_map(|name| Some((name.to_owned(), differs(name)?))).collect()
}

fn shown(definition: &str) -> String {
    let begin: String = definition.chars().take(SHOWN).collect();
    match (begin.is_empty(), begin.len() < definition.len()) {
        (true, _) => String::new(),
        (_, true) => format!(" ({begin} ..)"),
        (_, false) => format!(" ({begin})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(items: &[(&str, &str)]) -> Inventory {
        let mut all = Inventory::default();
        items.iter().for_each(|(name, definition)| all.add(name, definition));
        all
    }

    #[test]
    fn every_difference_is_named() {
        let was = inventory(&[("role a", "login"), ("view v", "select x"), ("table t", "")]);
        let is = inventory(&[("role a", "login superuser"), ("table t", ""), ("bucket z", "")]);
        let found: Vec<String> = differences(&was, &is).into_iter().map(|(_, how)| how).collect();
        assert_eq!(
            found,
            [
                "bucket z is new",
                "role a is another (login superuser), and was (login)",
                "view v is gone (select x)"
            ]
        );
        assert_eq!(differences(&was, &was), []);
    }
}
