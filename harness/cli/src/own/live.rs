//! A restore drill while it runs: a line for each thing worth knowing, and what its commands print. Always on stderr.

use std::{collections::BTreeMap, sync::Arc};

use adapters::own::command::Show;
use harness::{
    journal::{Kind, Observer},
    own::{
        RestoreEvent,
        event::{Nonce, Place},
        fault::{FaultEvent, event::Look},
    },
    time::human_us,
};

use crate::say;

/// What the journal calls after each event.
pub(super) fn observer<K: Kind>(
    wanted: bool,
    mut words: impl FnMut(&K) -> Option<String> + Send + 'static,
) -> Option<Observer<K>> {
    wanted.then(|| {
        let mut last = String::new();
        let observe: Observer<K> = Box::new(move |event| {
            // What is read again until it is right is told when it reads otherwise.
            if let Some(words) = words(&event.kind).filter(|words| *words != last) {
                last.clone_from(&words);
                let at = event.at_us as f64 / 1e6;
                say::err(&format!("{at:>11.3} s  {}\n", reports::clean(&words)));
            }
        });
        observe
    })
}

/// Shows what a command prints.
pub(super) fn show(wanted: bool) -> Option<Show> {
    wanted.then(|| {
        let show: Show =
            Arc::new(|line: &str| say::err(&format!("               | {}\n", reports::clean(line))));
        show
    })
}

/// An event of a restore drill in a line, if it is worth knowing.
pub(super) fn restore(event: &RestoreEvent) -> Option<String> {
    Some(match event {
        RestoreEvent::Entered(stage) => format!("stage      {stage}"),
        RestoreEvent::Ran(ran) => format!("command    {}: {}", ran.what, ran.how),
        RestoreEvent::Nonce(Nonce { written, seen: Some(false), .. }) => {
            let other = if *written == Place::Source { Place::Scratch } else { Place::Source };
            format!("apart      what was written in the {written} is not seen in the {other}")
        }
        RestoreEvent::Nonce(n) => format!("APART?     {}", n.why),
        RestoreEvent::Witnessed(w) => match (&w.sum, &w.none) {
            (Some(sum), _) => format!("read       {}: {} rows {}", w.witness, sum.rows, w.pass),
            (None, why) => format!("UNREAD     {}: {}", w.witness, why.as_deref().unwrap_or("")),
        },
        RestoreEvent::Searched(s) => match &s.none {
            None => {
                let asked: usize = s.answers.iter().map(|a| a.hits.len()).sum();
                format!("searched   {}: {asked} queries {}", s.witness, s.pass)
            }
            Some(why) => format!("NO ANSWER  {}: {why}", s.witness),
        },
        RestoreEvent::Canaries(c) => match &c.none {
            None => format!("canaries   {} {}", c.count, c.pass),
            Some(why) => format!("CANARIES   {why}"),
        },
        RestoreEvent::Holds(h) => match (h.count, &h.unreachable) {
            (Some(0), _) => "scratch    empty".into(),
            (Some(n), _) => format!("SCRATCH    holds {n} things: {}", h.things.join(", ")),
            (None, Some(_)) => "scratch    nobody answers there".into(),
            (None, None) => "SCRATCH    cannot be looked into".into(),
        },
        RestoreEvent::Asked(a) => format!("BAD        {}: {}", a.service, a.bad.as_ref()?),
        RestoreEvent::Noted(note) => format!("note       {note}"),
        RestoreEvent::Aborted(why) => format!("GIVEN UP   {why}"),
        RestoreEvent::RestoreBegan(b) => {
            format!(
                "drill      {} on stack {}, limit {}",
                b.drill.name,
                b.stack.name,
                human_us(b.drill.objectives.rto.us())
            )
        }
        RestoreEvent::Intended(_)
        | RestoreEvent::Paid(_)
        | RestoreEvent::Identified(_)
        | RestoreEvent::Ended(_) => return None,
    })
}

/// What tells the events of a fault drill, a line each: of answers, those that are other than the one before.
pub(super) fn fault() -> impl FnMut(&FaultEvent) -> Option<String> + Send + 'static {
    let mut good: BTreeMap<String, bool> = BTreeMap::new();
    move |event| match event {
        FaultEvent::Probed(p) => {
            let before = good.insert(p.service.clone(), p.bad.is_none());
            match &p.bad {
                Some(why) if before != Some(false) => Some(format!("bad        {}: {why}", p.service)),
                None if before == Some(false) => Some(format!("good       {} answers again", p.service)),
                _ => None,
            }
        }
        other => of_fault(other),
    }
}

fn of_fault(event: &FaultEvent) -> Option<String> {
    Some(match event {
        FaultEvent::FaultBegan(b) => {
            format!(
                "drill      {} on stack {}, limit {}",
                b.drill.name,
                b.stack.name,
                human_us(b.drill.objectives.rto.us())
            )
        }
        FaultEvent::Entered(stage) => format!("stage      {stage}"),
        FaultEvent::Starts(command) => format!("command    {command} begins"),
        FaultEvent::Ran(ran) => format!("command    {}: {}", ran.command, ran.how),
        FaultEvent::Looked(l) => match (l.there, l.look) {
            (Some(true), Look::Struck | Look::Held) => format!("fault      {} is seen {}", l.fault, l.look),
            (Some(true), Look::Before | Look::Gone) => format!("STILL      {} is there {}", l.fault, l.look),
            (Some(false), Look::Before | Look::Gone) => {
                format!("fault      {} is not there {}", l.fault, l.look)
            }
            (Some(false), Look::Struck | Look::Held) => {
                format!("UNSEEN     {} is not there {}", l.fault, l.look)
            }
            (None, _) => format!("UNSEEN     {}: nobody can tell: {}", l.fault, l.how),
        },
        FaultEvent::Detected { service } => format!("DOWN       {service}: three bad answers in a row"),
        FaultEvent::Asked(a) => format!("BAD        {}: {}", a.service, a.bad.as_ref()?),
        FaultEvent::Planted(p) => format!("canary     {}: {}", p.component, p.failed.as_ref()?),
        FaultEvent::Canaries(c) => match &c.none {
            None => format!("canaries   {}: {} of this drill are there", c.component, c.list.len()),
            Some(why) => format!("CANARIES   {}: {why}", c.component),
        },
        FaultEvent::Witnessed(w) => match (&w.sum, &w.none) {
            (Some(sum), _) => format!("read       {}: {} rows {}", w.witness, sum.rows, w.pass),
            (None, why) => format!("UNREAD     {}: {}", w.witness, why.as_deref().unwrap_or("")),
        },
        FaultEvent::Noted(note) => format!("note       {note}"),
        FaultEvent::Aborted(why) => format!("GIVEN UP   {why}"),
        FaultEvent::Probed(_) | FaultEvent::Stalled { .. } | FaultEvent::Ended(_) => return None,
    })
}
