//! A restore drill while it runs: a line for each thing worth knowing, and what its commands print. Always on stderr.

use std::sync::Arc;

use adapters::own::command::Show;
use harness::{
    journal::Observer,
    own::{
        RestoreEvent,
        event::{Nonce, Place},
    },
    time::human_us,
};

use crate::say;

/// What the journal calls after each event.
pub(super) fn observer(wanted: bool) -> Option<Observer<RestoreEvent>> {
    wanted.then(|| {
        let mut last = String::new();
        let observe: Observer<RestoreEvent> = Box::new(move |event| {
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

fn words(event: &RestoreEvent) -> Option<String> {
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
