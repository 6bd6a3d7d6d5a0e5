//! Edits of what was played: faults, steps, phases, the plan, and the order of lines.

use harness::{
    act::Outcome,
    journal::{Ending, EventKind, Phase},
    plan::StepKind,
    time::Dur,
};

use super::lines::*;

pub(super) const EDITS: &[(&str, Edit)] = &[
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
    ("a service that was down for long, and nobody detected it", |all, _, _| {
        drop_all(all, |k| match k {
            EventKind::Detected { .. } => true,
            EventKind::Intended(i) => i.why == StepKind::Recovery,
            EventKind::Acted(a) => a.step == "restart",
            _ => false,
        })
    }),
    ("queries without an answer told as answered", |all, _, _| {
        let mut any = false;
        for (_, kind) in all {
            if let EventKind::Quality(q) = kind {
                any |= q.failed > 0;
                q.failed = 0;
            }
        }
        any
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
