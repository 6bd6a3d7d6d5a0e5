//! Edits of what was asked: probes, detection, and when.

use harness::journal::{EventKind, Phase, Probed};
use harness::topology::Role;

use super::lines::*;

pub(super) const EDITS: &[(&str, Edit)] = &[
    ("bad probes replaced by copies of good ones", |all, dice, _| {
        each_bad(all, dice, |p, good| *p = good.clone())
    }),
    ("the same, with their own numbers", |all, dice, _| {
        each_bad(all, dice, |p, good| *p = Probed { n: p.n, ..good.clone() })
    }),
    ("bad probes that look good and are of another service", |all, dice, _| {
        each_bad(all, dice, |p, _| {
            p.bad = None;
            p.service.push('x');
        })
    }),
    ("bad probes good at the beginning of time", |all, dice, _| {
        each_bad(all, dice, |p, _| *p = Probed { due_us: 0, sent_us: 0, done_us: 0, bad: None, ..p.clone() })
    }),
    ("bad probes good in the future", |all, dice, _| {
        each_bad(all, dice, |p, _| {
            let ahead = 3_600_000_000;
            *p = Probed {
                due_us: p.due_us + ahead,
                sent_us: p.sent_us + ahead,
                done_us: p.done_us + ahead,
                bad: None,
                ..p.clone()
            }
        })
    }),
    ("bad probes answered before they were sent", |all, dice, _| {
        each_bad(all, dice, |p, _| {
            *p = Probed { done_us: p.due_us, sent_us: p.due_us + 1, bad: None, ..p.clone() }
        })
    }),
    ("a good probe that shows nothing", |all, dice, _| {
        let shows = |kind: &EventKind| matches!(kind, EventKind::Probed(p) if !p.shown.is_empty());
        let Some(at) = dice.place(all, shows) else { return false };
        if let EventKind::Probed(p) = &mut all[at].1 {
            p.shown.clear();
        }
        true
    }),
    ("a good probe that shows a record that it was not asked for", |all, dice, _| {
        let shows =
            |kind: &EventKind| matches!(kind, EventKind::Probed(p) if p.shown.contains_key(&Role::Feature));
        let Some(at) = dice.place(all, shows) else { return false };
        if let EventKind::Probed(p) = &mut all[at].1 {
            p.shown.entry(Role::Feature).or_default()[0].0 += 1;
        }
        true
    }),
    ("bad probes dropped", |all, _, _| drop_all(all, is_bad)),
    ("bad probes dropped and the rest renumbered", |all, _, _| {
        let dropped = drop_all(all, is_bad);
        let mut next = std::collections::BTreeMap::new();
        for (_, kind) in all {
            if let EventKind::Probed(p) = kind {
                let n = next.entry(p.service.clone()).or_insert(0);
                p.n = *n;
                *n += 1;
            }
        }
        dropped
    }),
    ("some bad probes dropped", |all, dice, _| {
        let Some(first) = dice.place(all, is_bad) else { return false };
        let mut at = 0;
        all.retain(|(_, k)| {
            at += 1;
            at <= first || !is_bad(k)
        });
        true
    }),
    ("bad probes moved before the fault", |all, _, _| {
        let Some(storm) = entered(all, Phase::Storm) else { return false };
        let at_us = all[storm].0;
        let (bad, rest): (Lines, Lines) = std::mem::take(all).into_iter().partition(|(_, k)| is_bad(k));
        *all = rest;
        let any = !bad.is_empty();
        for (i, (_, kind)) in bad.into_iter().enumerate() {
            all.insert(storm + i, (at_us, kind));
        }
        any
    }),
    ("everything asked after the first bad probe dropped", |all, _, _| {
        let Some(first) = all.iter().position(|(_, k)| is_bad(k)) else { return false };
        let mut at = 0;
        all.retain(|(_, k)| {
            at += 1;
            at <= first || !matches!(k, EventKind::Probed(_) | EventKind::Detected { .. })
        });
        true
    }),
    ("a service never asked", |all, _, _| drop_all(all, |k| probe(k).is_some())),
    ("good probes of a service that does not exist", |all, dice, _| {
        let Some(at) = dice.place(all, |k| probe(k).is_some_and(|p| p.bad.is_none())) else { return false };
        let mut copy = all[at].clone();
        if let EventKind::Probed(p) = &mut copy.1 {
            p.service = "another".into();
        }
        all.insert(at, copy);
        true
    }),
    ("detection without bad probes", |all, dice, _| {
        let Some(storm) = entered(all, Phase::Storm) else { return false };
        let Some(at) = dice.place(all, |k| probe(k).is_some()) else { return false };
        let service = probe(&all[at].1).map(|p| p.service.clone()).unwrap();
        let at_us = all[storm].0;
        all.insert(storm + 1, (at_us, EventKind::Detected { service }));
        true
    }),
];

/// Every bad probe becomes what `with` makes of it and of a good one of the same service.
fn each_bad(all: &mut Lines, dice: &mut Dice, with: impl Fn(&mut Probed, &Probed)) -> bool {
    let good: Vec<Probed> =
        all.iter().filter_map(|(_, k)| probe(k)).filter(|p| p.bad.is_none()).cloned().collect();
    let mut any = false;
    for (_, kind) in all {
        if let EventKind::Probed(p) = kind
            && p.bad.is_some()
        {
            let good: Vec<&Probed> = good.iter().filter(|g| g.service == p.service).collect();
            if !good.is_empty() {
                with(p, good[dice.below(good.len())]);
                any = true;
            }
        }
    }
    any
}
