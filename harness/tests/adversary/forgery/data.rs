//! Edits of what was read back, written, seeded, and answered to the frozen queries.

use std::collections::BTreeSet;

use harness::{
    journal::{Acked, EventKind, Phase, ReadBack, ReadEnd},
    ports::Reading,
    topology::Role,
};

use super::lines::*;

pub(super) const EDITS: &[(&str, Edit)] = &[
    ("harmed keys shown by one more page after the end", |all, _, harmed| pages(all, harmed, true)),
    ("harmed keys shown by one more page before the end", |all, _, harmed| pages(all, harmed, false)),
    ("the reading after the restart put into the first", |all, _, _| {
        let Some(first) = entered(all, Phase::Quality) else { return false };
        let at_us = all[first].0;
        let second: Vec<ReadBack> =
            all.iter().filter_map(|(_, k)| page(k)).filter(|p| p.pass == 2).cloned().collect();
        for (i, page) in second.iter().enumerate() {
            all.insert(first + i, (at_us, EventKind::ReadBack(ReadBack { pass: 1, ..page.clone() })));
        }
        !second.is_empty()
    }),
    ("the first read-back removed", |all, _, _| drop_all(all, |k| page(k).is_some_and(|p| p.pass == 1))),
    ("the reading after the restart removed", |all, _, _| {
        drop_all(all, |k| page(k).is_some_and(|p| p.pass == 2))
    }),
    ("the reading after the undo removed", |all, _, _| {
        drop_all(all, |k| page(k).is_some_and(|p| p.pass == 3))
    }),
    ("the first reading shown again after the restart", |all, _, _| {
        let first: Vec<ReadBack> =
            all.iter().filter_map(|(_, k)| page(k)).filter(|p| p.pass == 1).cloned().collect();
        let Some(at) = all.iter().position(|(_, k)| page(k).is_some_and(|p| p.pass == 2)) else {
            return false;
        };
        let at_us = all[at].0;
        drop_all(all, |k| page(k).is_some_and(|p| p.pass == 2));
        // Once whole, and once as one more attempt.
        for (i, page) in first.iter().enumerate() {
            let page = ReadBack { pass: 2, attempt: 1, ..page.clone() };
            all.insert(at + i, (at_us, EventKind::ReadBack(page)));
        }
        true
    }),
    ("a restart that was never made", |all, _, _| {
        drop_all(all, |k| match k {
            EventKind::Intended(i) => i.step.starts_with("restart-east"),
            EventKind::Acted(a) => a.step.starts_with("restart-east"),
            _ => false,
        })
    }),
    ("users routed to another region", |all, _, _| {
        let routes = all.iter_mut().find_map(|(_, k)| match k {
            EventKind::Routes(routes) => Some(routes),
            _ => None,
        });
        let Some(routes) = routes else { return false };
        routes.services.values_mut().for_each(|region| *region = "west".into());
        true
    }),
    ("a stall laid over all that was bad", |all, _, _| {
        let bad = |k: &EventKind| probe(k).is_some_and(|p| p.bad.is_some());
        let Some(first) = all.iter().position(|(_, k)| bad(k)) else { return false };
        let Some(last) = all.iter().rposition(|(_, k)| bad(k)) else { return false };
        let (from_us, to_us) = (all[first].0.saturating_sub(500_000), all[last].0);
        all.insert(last + 1, (to_us, EventKind::Stalled { from_us, to_us }));
        true
    }),
    ("one page removed", |all, dice, _| {
        let Some(at) = dice.place(all, |k| page(k).is_some()) else { return false };
        all.remove(at);
        true
    }),
    ("a reading without its last page", |all, dice, _| {
        let Some(at) = dice.place(all, |k| page(k).is_some_and(|p| p.end.is_some())) else { return false };
        if let EventKind::ReadBack(page) = &mut all[at].1 {
            page.end = None;
        }
        true
    }),
    ("pages of another region", |all, _, _| {
        let mut any = false;
        for (_, kind) in all {
            if let EventKind::ReadBack(page) = kind {
                page.region = Some("elsewhere".into());
                any = true;
            }
        }
        any
    }),
    ("stores swapped", |all, _, _| {
        let mut any = false;
        for (_, kind) in all {
            if let EventKind::ReadBack(ReadBack { store: Some(store), .. }) = kind {
                *store = if *store == Role::Vector { Role::Object } else { Role::Vector };
                any = true;
            }
        }
        any
    }),
    ("harmed writes dropped", |all, _, harmed| {
        drop_all(all, |k| matches!(k, EventKind::Wrote(w) if harmed.contains(&(w.store, w.key))))
    }),
    ("harmed writes dropped and the rest renumbered", |all, _, harmed| {
        let dropped =
            drop_all(all, |k| matches!(k, EventKind::Wrote(w) if harmed.contains(&(w.store, w.key))));
        let mut next = std::collections::BTreeMap::new();
        for (_, kind) in all {
            if let EventKind::Wrote(w) = kind {
                let ver = next.entry(w.store).or_insert(1);
                w.ver = *ver;
                *ver += 1;
            }
        }
        dropped
    }),
    ("harmed writes turned into deletions", |all, _, harmed| {
        each_harmed(all, harmed, |w| w.delete = !w.delete)
    }),
    ("harmed writes under another key", |all, _, harmed| each_harmed(all, harmed, |w| w.key = 1)),
    ("harmed writes of another store", |all, _, harmed| each_harmed(all, harmed, |w| w.store = Role::Gpu)),
    ("harmed writes acknowledged in the past", |all, _, harmed| {
        each_harmed(all, harmed, |w| (w.due_us, w.sent_us, w.done_us) = (0, 0, 0))
    }),
    ("fewer records seeded", |all, _, _| {
        let mut any = false;
        for (_, kind) in all {
            if let EventKind::Seeded { count, .. } = kind {
                *count /= 2;
                any = true;
            }
        }
        any
    }),
    ("no store filled", |all, _, _| drop_all(all, |k| matches!(k, EventKind::Seeded { .. }))),
    ("the answers of before shown as those of after", |all, _, _| {
        let first = all.iter().find_map(|(_, k)| match k {
            EventKind::Quality(q) if q.pass == 1 => Some(q.clone()),
            _ => None,
        });
        each_pass(all, |q| {
            let Some(first) = &first else { return false };
            let after = q.pass == 3 && q.hits != first.hits;
            if after {
                *q = harness::journal::Quality { pass: 3, ..(**first).clone() };
            }
            after
        })
    }),
    ("hits that the answers do not have", |all, _, _| {
        each_pass(all, |q| {
            let k = q.k;
            let fewer = q.pass == 3 && q.hits.iter().any(|h| *h < k);
            if fewer {
                q.hits.iter_mut().zip(&q.answers).for_each(|(h, a)| *h = k.min(a.len() as u32));
                q.hits_stored.clone_from(&q.hits);
            }
            fewer
        })
    }),
    ("a baseline made poor", |all, _, _| {
        each_pass(all, |q| {
            if q.pass < 3 {
                q.hits.iter_mut().for_each(|h| *h = h.saturating_sub(1));
                q.hits_stored.clone_from(&q.hits);
            }
            q.pass < 3
        })
    }),
    ("queries never asked after recovery", |all, _, _| {
        drop_all(all, |k| matches!(k, EventKind::Quality(q) if q.pass == 3))
    }),
];

pub(super) fn each_harmed(
    all: &mut Lines,
    harmed: &BTreeSet<(Role, u64)>,
    with: impl Fn(&mut harness::journal::Wrote),
) -> bool {
    let mut any = false;
    for (_, kind) in all {
        if let EventKind::Wrote(w) = kind
            && harmed.contains(&(w.store, w.key))
        {
            with(w);
            any = true;
        }
    }
    any
}

fn each_pass(all: &mut Lines, with: impl Fn(&mut harness::journal::Quality) -> bool) -> bool {
    let mut any = false;
    for (_, kind) in all {
        if let EventKind::Quality(q) = kind {
            any |= with(q);
        }
    }
    any
}

/// What a key should have read as.
pub(super) fn due(all: &Lines, store: Role, key: u64) -> Option<Reading> {
    let newest = all.iter().rev().find_map(|(_, k)| match k {
        EventKind::Wrote(w) if (w.store, w.key, w.outcome) == (store, key, Acked::Ok) => {
            Some((w.ver, w.delete))
        }
        _ => None,
    });
    match newest {
        Some((_, true)) => None,
        Some((ver, false)) => Some(Reading::Ver(ver)),
        None => (key < 1 << 40).then_some(Reading::Ver(0)),
    }
}

/// One more page of the first read-back, which shows what was harmed as it should be.
fn pages(all: &mut Lines, harmed: &BTreeSet<(Role, u64)>, after: bool) -> bool {
    let Some(store) = harmed.first().map(|(store, _)| *store) else { return false };
    let region = all.iter().find_map(|(_, k)| page(k).filter(|p| p.store == Some(store))?.region.clone());
    let mut extra = ReadBack { pass: 1, store: Some(store), region, ..ReadBack::default() };
    for (_, key) in harmed.iter().filter(|(s, _)| *s == store) {
        match due(all, store, *key) {
            Some(Reading::Ver(0)) => extra.seeded.push((*key, *key)),
            Some(Reading::Ver(ver)) => extra.written.push((*key, ver)),
            _ => {}
        }
    }
    if extra.seeded.is_empty() && extra.written.is_empty() {
        return false;
    }
    let last =
        |k: &EventKind| page(k).is_some_and(|p| p.pass == 1 && p.store == Some(store) && p.end.is_some());
    let Some(end) = all.iter().position(|(_, k)| last(k)) else { return false };
    let at_us = all[end].0;
    if after {
        extra.end = Some(ReadEnd::Complete);
    }
    all.insert(end + usize::from(after), (at_us, EventKind::ReadBack(extra)));
    true
}
