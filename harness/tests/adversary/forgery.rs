//! A generator of forged journals that knows the grammar.
//!
//! Each starts from an honest journal of a drill that must fail or stay unknown, makes one or two edits that a forger
//! would make to have it look like a pass, and chains it anew. Not one of them may pass.
//!
//! Some lies no reader of one file can tell, because a drill could have written every line of them. They are made by
//! `consistently`, each with its name, are no edits of the generator, and a test below shows that they are what they
//! are said to be: what helps against them are signatures and time stamps, not grammar.

use std::{collections::BTreeSet, io::Cursor};

use harness::{
    act::Outcome,
    facts::Facts,
    journal::{Acked, Ending, EventKind, Phase, Probed, ReadBack, ReadEnd, Reader},
    ports::Reading,
    report::Report,
    sim::Flaw,
    time::Dur,
    topology::Role,
    verdict::Verdict,
};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{KILL, chained, drills, events, journal, short};

type Lines = Vec<(u64, EventKind)>;

/// Chance from a seed.
struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n.max(1) as u64) as usize
    }

    /// One of the places where this holds.
    fn place(&mut self, all: &Lines, holds: impl Fn(&EventKind) -> bool) -> Option<usize> {
        let places: Vec<usize> = (0..all.len()).filter(|i| holds(&all[*i].1)).collect();
        (!places.is_empty()).then(|| places[self.below(places.len())])
    }
}

/// An honest journal that does not pass.
struct Base {
    name: String,
    lines: Lines,
    /// Keys that the first read-back shows lost, corrupt, unexpected or twice, by store.
    harmed: BTreeSet<(Role, u64)>,
}

fn lines(bytes: &[u8]) -> Lines {
    events(bytes).into_iter().map(|e| (e.at_us, e.kind)).collect()
}

fn base(name: &str, text: &str, flaw: Option<Flaw>) -> Base {
    let bytes = journal(text, flaw);
    let report = Report::read(Cursor::new(&bytes)).unwrap();
    assert_ne!(report.verdict, Verdict::Pass, "{name} is no base");
    let facts = Facts::of(Reader::new(Cursor::new(&bytes))).unwrap();
    assert_eq!(facts.odd, None, "{name} is honest");
    let copies = facts.stores.iter().flat_map(|s| s.copies.iter().map(|c| (s.store, c)));
    let readings = copies.flat_map(|(store, c)| [&c.users, &c.restarted].map(|r| (store, r)));
    let harmed = readings.filter_map(|(store, r)| Some((store, r.account.as_ref()?)));
    let harmed = harmed.flat_map(|(store, a)| {
        let keys = a.lost.iter().chain(&a.corrupt).chain(&a.unexpected).chain(&a.duplicate);
        keys.map(move |key| (store, *key)).collect::<Vec<_>>()
    });
    Base { name: name.into(), harmed: harmed.collect(), lines: lines(&bytes) }
}

fn bases() -> Vec<Base> {
    let quality = format!("{KILL}\nquality = 0.98");
    let rebuild = "[[recover]]\nafter = \"restart\"\nact = { rebuild = { node = \"east/vector\" } }\n";
    let rebuilt = format!("{quality}\n{rebuild}");
    let unsteady = KILL
        .replace("at = \"1s\"", "at = \"1s\"\nfor = \"2s\"")
        .replace("act = { restart = { node = \"east/vector\" } }", "act = { none = {} }");
    let aborted = format!("{KILL}[abort]\nservice_down_for = \"300ms\"\n");
    let mut all: Vec<Base> = [
        Flaw::ForgetsAcked,
        Flaw::NeverWakes,
        Flaw::Flaps,
        Flaw::ResurrectsRefused,
        Flaw::HangingSearch,
        Flaw::SilentFault,
        Flaw::CorruptsValues,
        Flaw::DuplicatesRecords,
    ]
    .into_iter()
    .map(|flaw| base(flaw.word(), &quality, Some(flaw)))
    .collect();
    all.push(base("wrong-after-rebuild", &rebuilt, Some(Flaw::WrongAfterRebuild)));
    all.push(base("late", &unsteady.replace("rto = \"4s\"", "rto = \"1s\""), None));
    all.push(base("given-up", &aborted, None));
    all.push(base("split-brain", &drills::split_and_failover(), Some(Flaw::SplitBrain)));
    all.push(base("stale-features", &drills::quiet_compromise(), Some(Flaw::StaleFeatures)));
    all
}

fn probe(kind: &EventKind) -> Option<&Probed> {
    match kind {
        EventKind::Probed(p) => Some(p),
        _ => None,
    }
}

fn is_bad(kind: &EventKind) -> bool {
    probe(kind).is_some_and(|p| p.bad.is_some())
}

fn page(kind: &EventKind) -> Option<&ReadBack> {
    match kind {
        EventKind::ReadBack(page) => Some(page),
        _ => None,
    }
}

fn entered(all: &Lines, phase: Phase) -> Option<usize> {
    all.iter().position(|(_, k)| *k == EventKind::Entered(phase))
}

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

/// Removes what `gone` says.
fn drop_all(all: &mut Lines, gone: impl Fn(&EventKind) -> bool) -> bool {
    let before = all.len();
    all.retain(|(_, k)| !gone(k));
    all.len() < before
}

type Edit = fn(&mut Lines, &mut Dice, &BTreeSet<(Role, u64)>) -> bool;

/// What a forger does, and its name.
const EDITS: &[(&str, Edit)] = &[
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
    ("the fault removed", |all, _, _| {
        drop_all(all, |k| match k {
            EventKind::Intended(i) => i.step.starts_with("fault"),
            EventKind::Acted(a) | EventKind::Undone(a) => a.step.starts_with("fault"),
            _ => false,
        })
    }),
    ("an act that failed removed", |all, _, _| {
        drop_all(all, |k| matches!(k, EventKind::Acted(a) if !a.outcome.observed()))
    }),
    ("a fault of nothing", |all, _, _| {
        let mut any = false;
        for (_, kind) in all.iter_mut() {
            if let EventKind::Intended(i) = kind
                && i.step.starts_with("fault")
            {
                i.acts.clear();
                any = true;
            }
        }
        drop_all(all, |k| matches!(k, EventKind::Acted(a) if a.step.starts_with("fault"))) && any
    }),
    ("an act replaced by a copy of one that was seen", |all, dice, _| {
        let Some(good) = dice.place(all, |k| matches!(k, EventKind::Acted(a) if a.outcome.observed())) else {
            return false;
        };
        let copy = all[good].1.clone();
        let Some(bad) = dice.place(all, |k| matches!(k, EventKind::Acted(a) if !a.outcome.observed())) else {
            return false;
        };
        all[bad].1 = copy;
        true
    }),
    ("an act that failed told again as seen", |all, _, _| {
        let Some(bad) =
            all.iter().position(|(_, k)| matches!(k, EventKind::Acted(a) if !a.outcome.observed()))
        else {
            return false;
        };
        let mut copy = all[bad].clone();
        if let EventKind::Acted(a) = &mut copy.1 {
            a.outcome = Outcome::Observed("seen at last".into());
        }
        all.insert(bad + 1, copy);
        true
    }),
    ("a step that was never planned", |all, dice, _| {
        let Some(at) = dice.place(all, |k| matches!(k, EventKind::Intended(i) if !i.acts.is_empty())) else {
            return false;
        };
        let mut copy = all[at].clone();
        if let EventKind::Intended(i) = &mut copy.1 {
            i.step.push_str("-again");
        }
        all.insert(at, copy);
        true
    }),
    ("a phase removed", |all, dice, _| {
        let Some(at) = dice.place(all, |k| matches!(k, EventKind::Entered(p) if *p != Phase::Storm)) else {
            return false;
        };
        all.remove(at);
        true
    }),
    ("a phase with all that happened in it removed", |all, dice, _| {
        let Some(at) = dice.place(all, |k| matches!(k, EventKind::Entered(p) if *p < Phase::Teardown)) else {
            return false;
        };
        let next = all[at + 1..].iter().position(|(_, k)| matches!(k, EventKind::Entered(_)));
        let Some(next) = next else { return false };
        all.drain(at..=at + next);
        true
    }),
    ("the storm cut short", |all, _, _| {
        let Some(over) = entered(all, Phase::ReadBack) else { return false };
        let Some(first) = all.iter().position(|(_, k)| is_bad(k)).filter(|first| *first < over) else {
            return false;
        };
        all.drain(first..over);
        true
    }),
    ("given up, and nobody says so", |all, _, _| {
        let dropped = drop_all(all, |k| matches!(k, EventKind::Aborted(_)));
        if let Some((_, EventKind::Ended(ending))) = all.last_mut() {
            *ending = Ending::Complete;
        }
        dropped
    }),
    ("an end that was revised", |all, _, _| {
        let Some((at_us, EventKind::Ended(ending))) = all.last().cloned() else { return false };
        all.push((at_us, EventKind::Ended(Ending::Complete)));
        ending != Ending::Complete || all.len() > 1
    }),
    ("time that goes back", |all, dice, _| {
        let at = dice.below(all.len() - 2) + 1;
        let to = all[at].0 / 2;
        all[at].0 = to;
        to < all[at - 1].0
    }),
    ("the whole storm earlier", |all, _, _| {
        let (Some(from), Some(to)) = (entered(all, Phase::Storm), entered(all, Phase::ReadBack)) else {
            return false;
        };
        for (at_us, _) in &mut all[from..to] {
            *at_us = at_us.saturating_sub(3_000_000);
        }
        true
    }),
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
    ("a plan without the service", |all, _, _| {
        let EventKind::Began(began) = &mut all[0].1 else { return false };
        began.scenario.service.len() > 1 && began.scenario.service.pop().is_some()
    }),
    ("a plan with rarer probes", |all, _, _| {
        let EventKind::Began(began) = &mut all[0].1 else { return false };
        began.scenario.service.iter_mut().for_each(|s| s.probe.every = Dur::from_millis(200));
        true
    }),
    ("a plan with other data", |all, _, _| {
        let EventKind::Began(began) = &mut all[0].1 else { return false };
        began.scenario.seed += 1;
        true
    }),
    ("a plan with fewer records", |all, _, _| {
        let EventKind::Began(began) = &mut all[0].1 else { return false };
        began.scenario.data.vectors.count /= 2;
        true
    }),
    ("a plan without the fault's end", |all, _, _| {
        let EventKind::Began(began) = &mut all[0].1 else { return false };
        began.scenario.recover.pop().is_some()
    }),
    ("one line moved", |all, dice, _| {
        let from = dice.below(all.len() - 1) + 1;
        let line = all.remove(from);
        let to = dice.below(all.len() - 1) + 1;
        all.insert(to, line);
        true
    }),
    ("one line twice", |all, dice, _| {
        let at = dice.below(all.len() - 1) + 1;
        let line = all[at].clone();
        all.insert(at, line);
        true
    }),
    ("one line dropped", |all, dice, _| {
        all.remove(dice.below(all.len() - 1) + 1);
        true
    }),
];

fn each_harmed(
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
fn due(all: &Lines, store: Role, key: u64) -> Option<Reading> {
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

/// What a reader says of a forged journal: whether the grammar names a line of it, or it cannot be read at all.
#[track_caller]
fn refused(base: &Base, names: &[&str], all: Lines) -> bool {
    let bytes = chained(all);
    let Ok(facts) = Facts::of(Reader::new(Cursor::new(&bytes))) else { return true };
    let report = Report::of(&facts);
    assert_ne!(report.verdict, Verdict::Pass, "{}: {names:?}: {:#?}", base.name, short(&report));
    facts.odd.is_some()
}

/// Every edit of every drill that it applies to.
#[test]
fn no_edit_makes_any_drill_pass() {
    let bases = bases();
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(7));
    let (mut made, mut lines) = (0, 0);
    for (name, edit) in EDITS {
        let mut applied = 0;
        for base in &bases {
            let mut all = base.lines.clone();
            if edit(&mut all, &mut dice, &base.harmed) {
                applied += 1;
                lines += usize::from(refused(base, &[name], all));
            }
        }
        assert!(applied > 0, "`{name}` applies to no drill");
        made += applied;
    }
    eprintln!("{made} journals with one edit: of {lines} a line is named");
    assert!(made >= 300 && lines * 10 >= made * 8, "{made} {lines}");
}

const FORGED: usize = 300;

#[test]
fn three_hundred_forged_journals_and_not_one_passes() {
    let bases = bases();
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(19));
    let (mut made, mut lines) = (0, 0);
    while made < FORGED {
        let base = &bases[dice.below(bases.len())];
        let mut all = base.lines.clone();
        let mut names = Vec::new();
        while names.len() < 2 {
            let (name, edit) = EDITS[dice.below(EDITS.len())];
            if all.len() > 3 && edit(&mut all, &mut dice, &base.harmed) {
                names.push(name);
            }
        }
        made += 1;
        lines += usize::from(refused(base, &names, all));
    }
    eprintln!("{made} journals with two edits: of {lines} a line is named");
    assert!(lines * 10 >= made * 8, "{lines}");
}

/// The bytes of a closed journal, and more.
#[test]
fn nothing_may_follow_the_end() {
    let whole = journal(KILL, None);
    for more in ["x", "\n", "{\"seq\":0", "\0\0\0", "not an event\n"] {
        let report = Report::read(Cursor::new([&whole[..], more.as_bytes()].concat())).unwrap();
        let lines = whole.iter().filter(|b| **b == b'\n').count();
        let conduct = &report.findings[0];
        assert_eq!((report.verdict, conduct.verdict), (Verdict::Unknown, Verdict::Unknown), "{more:?}");
        assert!(
            conduct.why.contains(&format!("line {}: something after the end", lines + 1)),
            "{}",
            conduct.why
        );
    }
}

/// Lies that are told consistently. The grammar takes them, as it must: an honest drill could have written the same.
fn consistently(kind: &str, all: &mut Lines, harmed: &BTreeSet<(Role, u64)>) {
    match kind {
        "bad probes rewritten as good ones at the same moment, once three of them were bad" => {
            let detected = all.iter().position(|(_, k)| matches!(k, EventKind::Detected { .. })).unwrap();
            for (_, kind) in &mut all[detected..] {
                if let EventKind::Probed(p) = kind {
                    (p.bad, p.done_us) = (None, p.done_us.min(p.sent_us + 2_000));
                }
            }
        }
        "lost writes rewritten as writes of unknown outcome" => {
            assert!(each_harmed(all, harmed, |w| w.outcome = Acked::Info));
        }
        "an act that was not seen, told as seen" => {
            for (_, kind) in all {
                if let EventKind::Acted(a) = kind {
                    a.outcome = Outcome::Observed("it is so".into());
                }
            }
        }
        "what was lost, told as read" => {
            for (store, key) in harmed {
                let Some(Reading::Ver(ver)) = due(all, *store, *key).filter(|_| *key > 1 << 40) else {
                    continue;
                };
                let page = all.iter_mut().find_map(|(_, k)| match k {
                    EventKind::ReadBack(p) if (p.pass, p.store) == (1, Some(*store)) && p.end.is_some() => {
                        Some(p)
                    }
                    _ => None,
                });
                let page = page.unwrap();
                page.written.retain(|(k, _)| k != key);
                page.written.push((*key, ver));
                page.written.sort_unstable();
            }
        }
        "easier limits in the plan inside" => {
            let EventKind::Began(began) = &mut all[0].1 else { unreachable!() };
            began.scenario.objectives.rto = Some(Dur::from_secs(3600));
        }
        _ => unreachable!("{kind}"),
    }
}

#[test]
fn what_no_reader_of_one_file_can_tell() {
    let text = format!("{KILL}\nquality = 0.98");
    for (flaw, kind) in [
        (Flaw::Flaps, "bad probes rewritten as good ones at the same moment, once three of them were bad"),
        (Flaw::ForgetsAcked, "lost writes rewritten as writes of unknown outcome"),
        (Flaw::SilentFault, "an act that was not seen, told as seen"),
        (Flaw::ForgetsAcked, "what was lost, told as read"),
        (Flaw::Flaps, "easier limits in the plan inside"),
    ] {
        let mut base = base(kind, &text, Some(flaw));
        consistently(kind, &mut base.lines, &base.harmed);
        let facts = Facts::of(Reader::new(Cursor::new(chained(base.lines)))).unwrap();
        assert_eq!(facts.odd, None, "{kind}");
    }
}
