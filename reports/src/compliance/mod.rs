//! What a period of drills amounts to: key figures, each with its n, its interval, and the runs that it rests on.
//!
//! A policy says from which level of stack on a run counts: production alone, unless it is said otherwise. Runs of a lower
//! level, rehearsals and drills with a planted flaw are named as left out. Every run of the accepted levels that was
//! *declared* in the period counts: one that was never closed, or left no journal, has failed. What nobody measured is a
//! gap, never a pass.

pub mod cost;
mod drills;
pub mod stats;

use harness::ports::CountsAs;
use serde::Serialize;

use crate::evidence::verify::Run;
use cost::Cost;

/// A period, and the moment at which it is looked at. All are RFC 3339 stamps; `until` is not part of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Period {
    /// Its name.
    pub name: String,
    /// Its first moment.
    pub from: String,
    /// The moment after its last.
    pub until: String,
    /// When it is looked at: its end, or now if that has not come.
    pub as_of: String,
}

/// Whether a figure is where it has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Met,
    /// It is not.
    Missed,
    /// Nobody measured it.
    NotMeasured,
}

/// One key figure.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Kpi {
    /// Its name.
    pub name: &'static str,
    /// What is required.
    pub required: &'static str,
    /// Whether it holds.
    pub state: State,
    /// What was measured.
    pub measured: String,
    /// Of how many.
    pub n: usize,
    /// What the few trials allow to say.
    pub interval: Option<String>,
    /// What falls short, by name.
    pub gaps: Vec<String>,
    /// The runs that it rests on.
    pub runs: Vec<String>,
}

impl Kpi {
    pub(super) fn new(name: &'static str, required: &'static str) -> Kpi {
        Kpi {
            name,
            required,
            state: State::NotMeasured,
            measured: "nothing".into(),
            n: 0,
            interval: None,
            gaps: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Met exactly if something was measured, it is enough, and nothing falls short.
    pub(super) fn decide(mut self, measured: String, enough: bool) -> Kpi {
        self.state = if enough && self.gaps.is_empty() { State::Met } else { State::Missed };
        self.measured = match self.gaps.len() {
            // The figure alone would look met.
            n if enough && n > 0 => format!("{measured}, and {n} short"),
            _ => measured,
        };
        self
    }
}

/// The runs of one level, whatever the policy accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Level {
    /// Which.
    pub level: CountsAs,
    /// Runs that were declared in the period, less those with a planted flaw.
    pub declared: usize,
    /// Of these, passed.
    pub passed: usize,
    /// Whether the figures rest on them.
    pub counts: bool,
}

/// All key figures of a period.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Answer {
    /// Which.
    pub period: Period,
    /// The lowest level that the figures rest on.
    pub accepted: CountsAs,
    /// Every level by itself, the highest first.
    pub levels: Vec<Level>,
    /// Runs that were declared in the period and count.
    pub counted: usize,
    /// Runs of the period that do not count, each with the reason.
    pub left_out: Vec<String>,
    /// The figures.
    pub kpis: Vec<Kpi>,
}

impl Answer {
    /// Whether every figure is where it has to be.
    pub fn complies(&self) -> bool {
        self.kpis.iter().all(|k| k.state == State::Met)
    }
}

/// Why a run does not count where this level and higher ones are accepted; `None` if it does.
pub fn left_out(run: &Run, accepted: CountsAs) -> Option<String> {
    match (run.declared.counts_as, &run.declared.flaw) {
        (CountsAs::Rehearsal, _) => Some("a rehearsal is never evidence of a production stack".into()),
        (_, Some(_)) => Some("a flaw was planted: it tests gameday, not a stack".into()),
        (level, None) if level < accepted => {
            Some(format!("its level is {level}, and nothing below {accepted} was accepted"))
        }
        _ => None,
    }
}

/// Judges a period by verified runs whose numbers were rebuilt, of the accepted level and higher ones.
pub fn judge(runs: &[Run], period: Period, accepted: CountsAs, cost: Option<&Cost>) -> Answer {
    let within: Vec<&Run> = runs.iter().filter(|r| r.declared_within(&period.from, &period.until)).collect();
    let counts = |r: &&&Run| left_out(r, accepted).is_none();
    let left_out = within.iter().filter_map(|r| {
        left_out(r, accepted)
            .map(|why| format!("{} ({} in {}): {why}", r.declared.run, r.declared.scenario, r.declared.world))
    });
    let levels = CountsAs::ALL.into_iter().rev().map(|level| {
        let of = |r: &&&Run| r.declared.counts_as == level && r.declared.flaw.is_none();
        Level {
            level,
            declared: within.iter().filter(of).count(),
            passed: within.iter().filter(of).filter(|r| drills::passed(r)).count(),
            counts: level > CountsAs::Rehearsal && level >= accepted,
        }
    });
    let real: Vec<&Run> = within.iter().filter(counts).copied().collect();
    let ever: Vec<&Run> = runs.iter().filter(|r| r.declared_from() <= period.as_of.as_str()).collect();
    let ever: Vec<&Run> = ever.iter().filter(counts).copied().collect();
    let kpis = vec![
        drills::objectives(&real),
        drills::success(&real),
        drills::quality(&real),
        drills::documentation(&real),
        cost::kpi(cost),
        drills::recent(&ever, &period.as_of),
        drills::critical_rto(&real),
        drills::critical_rpo(&real),
    ];
    Answer {
        accepted,
        levels: levels.collect(),
        counted: real.len(),
        left_out: left_out.collect(),
        kpis,
        period,
    }
}

/// For people.
pub fn text(answer: &Answer) -> String {
    let Period { name, from, until, as_of } = &answer.period;
    let short = answer.kpis.iter().filter(|k| k.state != State::Met).count();
    let mut text = match short {
        0 => format!("COMPLIES: all {} figures of {name} are where they have to be\n", answer.kpis.len()),
        _ => format!("FALLS SHORT: {short} of {} figures of {name}\n", answer.kpis.len()),
    };
    text.push_str(&format!("  period {from} to {until}, looked at as of {as_of}\n"));
    text.push_str(&format!(
        "  accepted: {}; runs that count: {}; left out: {}\n",
        match answer.accepted {
            CountsAs::Production => "production alone".into(),
            level => format!("{level} and higher"),
        },
        answer.counted,
        answer.left_out.len()
    ));
    for Level { level, declared, passed, counts } in &answer.levels {
        let word = match (counts, level) {
            (true, _) => "counts",
            (false, CountsAs::Rehearsal) => "never counts",
            (false, _) => "left out",
        };
        let level = level.word();
        text.push_str(&format!("    {level:<10}  {declared} declared, {passed} passed: {word}\n"));
    }
    if answer.counted == 0 {
        text.push_str(
            "  nothing of this period counts: gameday's own worlds are rehearsals, whatever their verdict\n",
        );
    }
    for kpi in &answer.kpis {
        let word = match kpi.state {
            State::Met => "MET",
            State::Missed => "MISSED",
            State::NotMeasured => "NOT MEASURED",
        };
        text.push_str(&format!(
            "\n{word:<12}  {}: {} (n = {}); required: {}\n",
            kpi.name, kpi.measured, kpi.n, kpi.required
        ));
        text.extend(kpi.interval.iter().map(|i| format!("              {i}\n")));
        text.extend(kpi.gaps.iter().map(|g| format!("              short: {g}\n")));
        if !kpi.runs.is_empty() {
            text.push_str(&format!("              rests on: {}\n", kpi.runs.join(", ")));
        }
    }
    if !answer.left_out.is_empty() {
        text.push_str("\nLEFT OUT\n");
        text.extend(answer.left_out.iter().map(|l| format!("  {l}\n")));
    }
    text.push_str("\nRuns are not independent draws; intervals say what the count alone allows, at best.\n");
    text.split_inclusive('\n').map(|line| crate::clean(line.trim_end()) + "\n").collect()
}

/// For programs.
pub fn json(answer: &Answer) -> String {
    serde_json::to_string_pretty(answer).expect("an answer is plain data") + "\n"
}
