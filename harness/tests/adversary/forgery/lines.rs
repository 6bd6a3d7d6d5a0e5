//! What every edit needs: chance from a seed, and ways to find and drop lines.

use std::collections::BTreeSet;

use harness::{
    journal::{EventKind, Phase, Probed, ReadBack},
    topology::Role,
};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

pub(super) type Lines = Vec<(u64, EventKind)>;

/// Chance from a seed.
pub(super) struct Dice(pub(super) ChaCha8Rng);

impl Dice {
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n.max(1) as u64) as usize
    }

    /// One of the places where this holds.
    pub(super) fn place(&mut self, all: &Lines, holds: impl Fn(&EventKind) -> bool) -> Option<usize> {
        let places: Vec<usize> = (0..all.len()).filter(|i| holds(&all[*i].1)).collect();
        (!places.is_empty()).then(|| places[self.below(places.len())])
    }
}

pub(super) fn probe(kind: &EventKind) -> Option<&Probed> {
    match kind {
        EventKind::Probed(p) => Some(p),
        _ => None,
    }
}

pub(super) fn is_bad(kind: &EventKind) -> bool {
    probe(kind).is_some_and(|p| p.bad.is_some())
}

pub(super) fn page(kind: &EventKind) -> Option<&ReadBack> {
    match kind {
        EventKind::ReadBack(page) => Some(page),
        _ => None,
    }
}

pub(super) fn entered(all: &Lines, phase: Phase) -> Option<usize> {
    all.iter().position(|(_, k)| *k == EventKind::Entered(phase))
}

/// Removes what `gone` says.
pub(super) fn drop_all(all: &mut Lines, gone: impl Fn(&EventKind) -> bool) -> bool {
    let before = all.len();
    all.retain(|(_, k)| !gone(k));
    all.len() < before
}

/// What a forger does to the lines of a drill, of which these keys were harmed; whether it applies.
pub(super) type Edit = fn(&mut Lines, &mut Dice, &BTreeSet<(Role, u64)>) -> bool;
