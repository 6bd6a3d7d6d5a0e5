//! What is known of a drill while it runs. Pure: events in, rows and lines out.

use std::{collections::BTreeMap, time::Duration};

use harness::{
    act::Outcome,
    journal::{Acked, Event, EventKind, Phase, Progress},
    plan::{Cue, Plan, StepKind, Trigger},
    time::human_us,
    topology::Role,
};
use reports::clean;

/// What the view needs of one event.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    at_us: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Phase(Phase),
    Begun { step: String },
    Acted { step: String, what: String, seen: bool },
    Undone { step: String, what: String, seen: bool },
    Asked { service: String, bad: Option<String> },
    Acked(Role),
    Detected(String),
    Noted(String),
    Aborted(String),
    Progress(Progress),
}

impl From<Progress> for Sight {
    fn from(progress: Progress) -> Sight {
        Sight { at_us: progress.at_us, what: What::Progress(progress) }
    }
}

impl Sight {
    /// What is worth showing of an event.
    pub(super) fn of(event: &Event) -> Option<Sight> {
        let text = |outcome: &Outcome| match outcome {
            Outcome::Observed(what) => what.clone(),
            Outcome::NotObserved(why) => format!("NOT OBSERVED: {why}"),
            Outcome::Failed(why) => format!("FAILED: {why}"),
        };
        let what = match &event.kind {
            EventKind::Entered(phase) => What::Phase(*phase),
            EventKind::Intended(i) if i.why != StepKind::Setup => What::Begun { step: i.step.clone() },
            EventKind::Acted(a) => What::Acted {
                step: a.step.clone(),
                what: format!("{}: {}", a.act, text(&a.outcome)),
                seen: a.outcome.observed(),
            },
            EventKind::Undone(a) => What::Undone {
                step: a.step.clone(),
                what: format!("{}: {}", a.act, text(&a.outcome)),
                seen: a.outcome.observed(),
            },
            EventKind::Probed(p) => What::Asked { service: p.service.clone(), bad: p.bad.clone() },
            EventKind::Wrote(w) if w.outcome == Acked::Ok => What::Acked(w.store),
            EventKind::Detected { service } => What::Detected(service.clone()),
            EventKind::Noted(note) => What::Noted(note.clone()),
            EventKind::Aborted(why) => What::Aborted(why.clone()),
            _ => return None,
        };
        Some(Sight { at_us: event.at_us, what })
    }
}

/// How a row is to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    /// What the drill is doing.
    Title,
    /// Nothing special.
    Plain,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
}

/// One row of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// The whole table.
#[derive(Debug)]
pub(super) struct Board {
    now_us: u64,
    name: String,
    phase: Option<(Phase, u64)>,
    /// How far it is, and when that was last told.
    progress: Option<Progress>,
    told_us: u64,
    aborted: Option<String>,
    services: Vec<Service>,
    steps: Vec<Step>,
    acked: BTreeMap<Role, u64>,
}

#[derive(Debug)]
struct Service {
    name: String,
    asked: u64,
    bad: u64,
    bad_since_us: Option<u64>,
    why: String,
    turns: u32,
}

#[derive(Debug)]
struct Step {
    name: String,
    kind: StepKind,
    due: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Waits,
    Acts(u64),
    Did(String, bool),
}

/// In lines, progress is told so often.
const TOLD_EVERY_US: u64 = 5_000_000;

/// A service that comes and goes would fill the log: after this many turns it is no longer told.
const TURNS_MAX: u32 = 20;

impl Board {
    pub(super) fn new(plan: &Plan) -> Board {
        let service = |name: &String| Service {
            name: name.clone(),
            asked: 0,
            bad: 0,
            bad_since_us: None,
            why: String::new(),
            turns: 0,
        };
        Board {
            now_us: 0,
            name: plan.scenario.name.clone(),
            phase: None,
            progress: None,
            told_us: 0,
            aborted: None,
            services: plan.services.iter().map(|s| service(&s.name)).collect(),
            steps: plan.cues.iter().map(step).collect(),
            acked: plan.stores().into_iter().map(|(role, _)| (role, 0)).collect(),
        }
    }

    /// Takes one event in, and answers with a line if it is important.
    pub(super) fn take(&mut self, sight: &Sight) -> Option<String> {
        self.now_us = self.now_us.max(sight.at_us);
        let line = match &sight.what {
            What::Phase(phase) => {
                self.phase = Some((*phase, sight.at_us));
                (self.progress, self.told_us) = (None, sight.at_us);
                Some(format!("phase      {phase}"))
            }
            What::Begun { step } => {
                self.set(step, State::Acts(sight.at_us));
                None
            }
            What::Acted { step, what, seen } => self.set(step, State::Did(what.clone(), *seen)).map(|kind| {
                let kind = if kind == StepKind::Fault { "FAULT" } else { "recovery" };
                format!("{kind:<10} {step}: {what}")
            }),
            What::Undone { step, what, seen } => self
                .set(step, State::Did(format!("undone, {what}"), *seen))
                .map(|_| format!("undo       {step}: {what}")),
            What::Asked { service, bad } => self.asked(service, bad.as_deref(), sight.at_us),
            What::Acked(store) => {
                *self.acked.entry(*store).or_default() += 1;
                None
            }
            What::Progress(progress) => self.progressed(*progress),
            What::Detected(service) => Some(format!("detected   {service} is down")),
            What::Noted(note) => Some(format!("note       {note}")),
            What::Aborted(why) => {
                self.aborted = Some(why.clone());
                Some(format!("GIVEN UP   {why}"))
            }
        };
        line.map(|l| clean(&format!("{}  {l}", stamp(sight.at_us))))
    }

    /// In a table it is always seen; in lines it is told now and then.
    fn progressed(&mut self, progress: Progress) -> Option<String> {
        self.progress = Some(progress);
        let due = progress.at_us >= self.told_us.saturating_add(TOLD_EVERY_US) && progress.done < progress.of;
        due.then(|| {
            self.told_us = progress.at_us;
            format!("so far     {}", so_far(&progress))
        })
    }

    fn set(&mut self, name: &str, state: State) -> Option<StepKind> {
        let step = self.steps.iter_mut().find(|s| s.name == name)?;
        step.state = state;
        Some(step.kind)
    }

    fn asked(&mut self, name: &str, bad: Option<&str>, at_us: u64) -> Option<String> {
        let s = self.services.iter_mut().find(|s| s.name == name)?;
        s.asked += 1;
        s.bad += u64::from(bad.is_some());
        let line = match (bad, s.bad_since_us) {
            (Some(why), None) => {
                (s.bad_since_us, s.why) = (Some(at_us), why.to_owned());
                format!("BAD        {name}: {why}")
            }
            (None, Some(since)) => {
                s.bad_since_us = None;
                format!("good       {name} answers again, after {}", human_us(at_us.saturating_sub(since)))
            }
            _ => return None,
        };
        s.turns += 1;
        match s.turns.cmp(&TURNS_MAX) {
            std::cmp::Ordering::Less => Some(line),
            std::cmp::Ordering::Equal => Some(format!("{line} (comes and goes: no more of this is told)")),
            std::cmp::Ordering::Greater => None,
        }
    }

    /// The table as it stands, so long after the last event: the drill, its services, its steps.
    pub(super) fn rows(&self, quiet_for: Duration) -> Vec<Row> {
        let now_us = self.now_us.saturating_add(u64::try_from(quiet_for.as_micros()).unwrap_or(0));
        let mut rows = vec![self.title(now_us)];
        rows.extend(self.services.iter().map(|s| self.service(s, now_us)));
        rows.extend(self.steps.iter().map(|s| self.step(s, now_us)));
        rows.into_iter().map(|r| Row { text: clean(&r.text), ..r }).collect()
    }

    fn title(&self, now_us: u64) -> Row {
        let (now, name) = (human_us(now_us), &self.name);
        if let Some(why) = &self.aborted {
            return Row { text: format!("{name}  {now}  given up ({why}); undoing"), tone: Tone::Bad };
        }
        let phase = self.phase.map_or("starting".into(), |(phase, since)| {
            let far = self.progress.as_ref().map_or(String::new(), |p| format!(": {}", so_far(p)));
            format!("{phase} for {}{far}", human_us(now_us.saturating_sub(since)))
        });
        let acked: Vec<String> = self.acked.iter().map(|(role, n)| format!("{n} {role}")).collect();
        Row { text: format!("{name}  {now}  {phase}  writes acked: {}", acked.join(", ")), tone: Tone::Title }
    }

    fn service(&self, s: &Service, now_us: u64) -> Row {
        let name = &s.name;
        match s.bad_since_us {
            Some(since) => {
                let long = human_us(now_us.saturating_sub(since));
                Row { text: format!("  {name:<18} BAD for {long}: {}", s.why), tone: Tone::Bad }
            }
            None if s.asked == 0 => Row { text: format!("  {name:<18} not asked yet"), tone: Tone::Plain },
            None => Row {
                text: format!("  {name:<18} good ({} of {} probes bad)", s.bad, s.asked),
                tone: Tone::Good,
            },
        }
    }

    fn step(&self, s: &Step, now_us: u64) -> Row {
        let kind = if s.kind == StepKind::Fault { "FAULT" } else { "recovery" };
        let (text, tone) = match &s.state {
            State::Waits => (s.due.clone(), Tone::Plain),
            State::Acts(since) => {
                (format!("under way for {}", human_us(now_us.saturating_sub(*since))), Tone::Plain)
            }
            State::Did(what, true) => (what.clone(), Tone::Plain),
            State::Did(what, false) => (what.clone(), Tone::Bad),
        };
        Row { text: format!("  {kind:<8} {:<18} {text}", s.name), tone }
    }
}

fn step(cue: &Cue) -> Step {
    let due = match &cue.trigger {
        Trigger::At(at) => format!("due {at} into the storm"),
        Trigger::Detected(_) => "due once the outage is detected".into(),
        Trigger::After(step) => format!("due after {step}"),
    };
    Step { name: cue.name.clone(), kind: cue.kind, due, state: State::Waits }
}

fn so_far(p: &Progress) -> String {
    format!("{} of {} {}", p.done, p.of, p.what)
}

fn stamp(us: u64) -> String {
    format!("{:>7}.{:03} s", us / 1_000_000, us / 1000 % 1000)
}

#[cfg(test)]
mod tests {
    use harness::journal::Probed;

    use super::*;

    const DRILL: &[u8] = include_bytes!("../../../tests/fixtures/good.toml");

    fn board() -> Board {
        Board::new(&harness::diagnose::load(DRILL, &[]).unwrap().plan)
    }

    fn probe(at_us: u64, bad: Option<&str>) -> Sight {
        let bad = bad.map(str::to_owned);
        let kind = EventKind::Probed(Probed {
            service: "rag".into(),
            n: 0,
            due_us: 0,
            sent_us: 0,
            done_us: 0,
            bad,
            shown: Default::default(),
        });
        Sight::of(&Event { seq: 0, at_us, prev: String::new(), kind }).unwrap()
    }

    #[test]
    fn only_the_turns_of_a_service_are_told() {
        let mut board = board();
        assert_eq!(board.take(&probe(1_000_000, None)), None);
        assert_eq!(
            board.take(&probe(2_000_000, Some("gone"))).unwrap(),
            "      2.000 s  BAD        rag: gone"
        );
        assert_eq!(board.take(&probe(2_500_000, Some("gone"))), None);
        let good = board.take(&probe(4_000_000, None)).unwrap();
        assert_eq!(good, "      4.000 s  good       rag answers again, after 2.00 s");
        let told = (0..1000).filter(|n| board.take(&probe(5_000_000, (n % 2 == 0).then_some("x"))).is_some());
        assert_eq!(told.count(), 18);
    }

    #[test]
    fn progress_is_seen_at_once_in_the_table_and_told_now_and_then_in_lines() {
        let mut board = board();
        let at = |us, done| Sight::from(Progress { at_us: us, what: "vectors", done, of: 1000 });
        assert_eq!(board.take(&at(1_000_000, 10)), None);
        assert_eq!(board.take(&at(6_000_000, 250)).unwrap(), "      6.000 s  so far     250 of 1000 vectors");
        assert_eq!(board.take(&at(6_500_000, 260)), None);
        assert_eq!(board.take(&at(20_000_000, 1000)), None, "the next phase tells that it is done");
        let seed = Event { seq: 0, at_us: 0, prev: String::new(), kind: EventKind::Entered(Phase::Seed) };
        let mut board = Board::new(&harness::diagnose::load(DRILL, &[]).unwrap().plan);
        board.take(&Sight::of(&seed).unwrap());
        board.take(&at(1_000_000, 10));
        let title = &board.rows(Duration::ZERO)[0].text;
        assert!(title.contains("seed for 1.00 s: 10 of 1000 vectors"), "{title}");
    }

    #[test]
    fn the_table_shows_for_how_long_a_service_is_bad() {
        let mut board = board();
        board.take(&probe(2_000_000, Some("gone\u{1b}[2J")));
        let rows = board.rows(Duration::from_millis(1500));
        assert_eq!(
            rows[1],
            Row { text: "  rag                BAD for 1.50 s: gone\u{fffd}[2J".into(), tone: Tone::Bad }
        );
        assert_eq!(rows.len(), 1 + 2 + 2);
        assert!(rows[3].text.contains("due 2s into the storm"));
    }
}
