//! What the charts of a report draw: bands of good, slow and bad answers, latency over time, steps as spans.
//!
//! Everything is bounded, whatever the length of the journal: a service has at most [`COLUMNS`] bands and [`POINTS`]
//! points, and the worst answer of a column wins, so that no outage disappears. It is computed from the facts alone and
//! is no part of `result.json`; whoever wants the raw figures reads the journal.

use crate::{
    act::Outcome,
    facts::{Facts, Outage, ProbeRecord, ServiceFacts, StepFacts},
    journal::Phase,
    plan::{ServicePlan, StepKind},
};

use super::{
    cited::Cited,
    skipped::{Skipped, skipped},
};

/// The most bands of one service before they are drawn in columns.
pub const COLUMNS: u64 = 240;
/// The most points of a curve.
pub const POINTS: u64 = 96;
/// An answer is slow if it took more than this times what 99 % took before the fault.
pub const SLOWER: u64 = 3;
/// Faster answers are never slow, in microseconds: nobody notices them.
pub const NOTICED_US: u64 = 10_000;

/// What is drawn. All stamps are microseconds since the drill began.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Drawing {
    /// The drawing begins here: when services are first asked.
    pub from_us: u64,
    /// It ends here.
    pub to_us: u64,
    /// The first fault was issued.
    pub t0_us: Option<u64>,
    /// Phases by name, with their spans.
    pub phases: Vec<(String, u64, u64)>,
    /// One for each service, in the plan's order.
    pub lanes: Vec<Lane>,
    /// Faults and recovery steps, in the order in which they began.
    pub steps: Vec<Step>,
    /// What was not measured or not done, and why.
    pub skipped: Vec<Skipped>,
    /// The journal's lines that findings and steps name as their evidence.
    pub cited: Vec<Cited>,
    /// SHA-256 of the journal's last line: the head of its chain.
    pub head: Option<String>,
}

/// One service over time.
#[derive(Clone, PartialEq, Debug)]
pub struct Lane {
    /// Its name.
    pub service: String,
    /// Good answers that took longer are slow.
    pub slow_us: u64,
    /// Whether that is an objective; else it comes from the answers before the fault.
    pub slow_is_objective: bool,
    /// In order; where there is a hole, nobody asked.
    pub bands: Vec<Band>,
    /// In order, over the whole drawing; columns without a good answer are there, too.
    pub latency: Vec<Point>,
    /// Before the fault, until the service was stable again, and after that.
    pub spans: Vec<(&'static str, Point)>,
}

/// How answers were.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Answers {
    /// Right and in time.
    Good,
    /// Right, but late.
    Slow,
    /// Wrong, refused, or none.
    Bad,
}

/// A span in which all answers were alike, or the worst of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Band {
    /// The worst of it.
    pub state: Answers,
    /// The first probe was due.
    pub from_us: u64,
    /// The next band begins, or the last probe's period ends.
    pub to_us: u64,
    /// Probes.
    pub asked: u64,
    /// Slow ones among them.
    pub slow: u64,
    /// Bad ones among them.
    pub bad: u64,
}

/// Latency of the good answers of a span, from the time they were due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Point {
    /// From here.
    pub from_us: u64,
    /// To here.
    pub to_us: u64,
    /// Good answers.
    pub good: u64,
    /// Bad ones.
    pub bad: u64,
    /// Half took at most this, then 90 %, 99 %, and the slowest; `None` without a good answer.
    pub quantiles_us: Option<[u64; 4]>,
}

/// A fault or a recovery step.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// A fault, else a recovery step.
    pub fault: bool,
    /// Issued.
    pub began_us: u64,
    /// Its last act had been seen to take effect, or had failed.
    pub ended_us: Option<u64>,
    /// Lifted or undone.
    pub until_us: Option<u64>,
    /// Whether every act was seen to take effect.
    pub observed: bool,
    /// Each act in words, with what was seen.
    pub acts: Vec<(String, String)>,
    /// The events that prove it.
    pub evidence: Vec<u64>,
}

pub(super) fn drawing(facts: &Facts) -> Drawing {
    let asked = facts.services.iter().filter_map(|s| s.probes.first()).map(|p| p.due_us).min();
    let from_us = facts.entered_us(Phase::Settle).or(asked).unwrap_or(0).min(u64::MAX - 1);
    let to_us = facts.end_us.max(from_us + 1);
    let ends = facts.phases.iter().skip(1).map(|(_, at)| *at).chain([facts.end_us]);
    let phases = facts.phases.iter().zip(ends).map(|((p, at), end)| (p.to_string(), *at, end.max(*at)));
    let services = facts.plan.services.iter().zip(&facts.services);
    let steps = facts.steps.iter().filter(|s| s.kind != StepKind::Setup);
    Drawing {
        from_us,
        to_us,
        t0_us: facts.t0_us(),
        phases: phases.collect(),
        lanes: services.map(|(plan, s)| lane(&watched(facts, plan, s), from_us, to_us)).collect(),
        steps: steps.map(step).collect(),
        skipped: skipped(facts),
        cited: Vec::new(),
        head: None,
    }
}

fn step(s: &StepFacts) -> Step {
    let seen = |a: &crate::journal::Acted| match &a.outcome {
        Outcome::Observed(what) => what.clone(),
        Outcome::NotObserved(why) => format!("NOT OBSERVED: {why}"),
        Outcome::Failed(why) => format!("FAILED: {why}"),
    };
    Step {
        name: s.name.clone(),
        fault: s.kind == StepKind::Fault,
        began_us: s.acts.first().map_or(s.began_us, |a| a.began_us),
        ended_us: s.ended_us,
        until_us: s.lifted_us.or_else(|| s.undone.first().map(|a| a.began_us)),
        observed: s.observed(),
        acts: s.acts.iter().map(|a| (a.act.to_string(), seen(a))).collect(),
        evidence: s.evidence.clone(),
    }
}

/// A service as its lane is drawn.
pub(crate) struct Watched<'a> {
    pub(crate) name: &'a str,
    pub(crate) every_us: u64,
    /// An answer that took longer is slow, by an objective.
    pub(crate) limit_us: Option<u64>,
    pub(crate) probes: &'a [ProbeRecord],
    pub(crate) outage: Option<&'a Outage>,
    pub(crate) t0_us: Option<u64>,
}

fn watched<'a>(facts: &Facts, plan: &'a ServicePlan, s: &'a ServiceFacts) -> Watched<'a> {
    Watched {
        name: &s.name,
        every_us: plan.probe.every.us(),
        limit_us: plan.objectives.latency_p99.map(|d| d.us()),
        probes: &s.probes,
        outage: s.outage.as_ref(),
        t0_us: facts.t0_us(),
    }
}

pub(crate) fn lane(s: &Watched<'_>, from_us: u64, to_us: u64) -> Lane {
    let t0_us = s.t0_us.unwrap_or(u64::MAX);
    let before = Point::of(s.probes.iter().filter(|p| p.due_us < t0_us), from_us, t0_us.min(to_us));
    let usual_us = before.quantiles_us.map_or(0, |[_, _, p99, _]| p99);
    let slow_us = s.limit_us.unwrap_or(usual_us.saturating_mul(SLOWER).max(NOTICED_US));
    let mut spans = vec![("before the fault", before)];
    if t0_us <= to_us {
        let stable_us = s.outage.filter(|o| o.bad > 0).map(|o| o.recovered.map_or(to_us, |w| w.late_us));
        let within = |a: u64, b: u64| Point::of(s.probes.iter().filter(|p| (a..b).contains(&p.due_us)), a, b);
        spans.extend(stable_us.map(|t5| ("t0 until stable", within(t0_us, t5))));
        let since = stable_us.unwrap_or(t0_us);
        if since < to_us {
            spans.push(("afterwards", within(since, to_us)));
        }
    }
    let column_us = (to_us - from_us).div_ceil(POINTS).max(s.every_us).max(1);
    Lane {
        service: s.name.to_owned(),
        slow_us,
        slow_is_objective: s.limit_us.is_some(),
        bands: bands(s.probes, slow_us, s.every_us, from_us, to_us),
        latency: points(s.probes, from_us, column_us),
        spans,
    }
}

fn state(p: &ProbeRecord, slow_us: u64) -> Answers {
    match p.good {
        false => Answers::Bad,
        true if p.done_us.saturating_sub(p.due_us) > slow_us => Answers::Slow,
        true => Answers::Good,
    }
}

/// Runs of like answers; if there are too many, of columns by their worst answer.
fn bands(probes: &[ProbeRecord], slow_us: u64, every_us: u64, from_us: u64, to_us: u64) -> Vec<Band> {
    let exact = runs(probes, slow_us, every_us, |p| p.n);
    if exact.len() as u64 <= COLUMNS {
        return exact;
    }
    let width_us = (to_us - from_us).div_ceil(COLUMNS).max(1);
    let mut all =
        runs(probes, slow_us, every_us.max(width_us), |p| p.due_us.saturating_sub(from_us) / width_us);
    // A forged schedule could jump to and fro; ours never does.
    all.truncate(4 * COLUMNS as usize);
    all
}

fn runs(
    probes: &[ProbeRecord],
    slow_us: u64,
    every_us: u64,
    column: impl Fn(&ProbeRecord) -> u64,
) -> Vec<Band> {
    let mut all: Vec<Band> = Vec::new();
    for chunk in probes.chunk_by(|a, b| column(a) == column(b)) {
        let worst = chunk.iter().map(|p| state(p, slow_us)).max().unwrap_or(Answers::Bad);
        let of = |s: Answers| chunk.iter().filter(|p| state(p, slow_us) == s).count() as u64;
        let (first, last) = (chunk[0].due_us, chunk[chunk.len() - 1].due_us);
        let (asked, slow, bad) = (chunk.len() as u64, of(Answers::Slow), of(Answers::Bad));
        // A schedule that is late by more than two questions has a hole.
        let near = |b: &Band| first <= b.to_us.saturating_add(every_us.saturating_mul(2));
        match all.last_mut().filter(|b| near(b)) {
            Some(b) if b.state == worst => {
                b.to_us = last.saturating_add(every_us);
                (b.asked, b.slow, b.bad) = (b.asked + asked, b.slow + slow, b.bad + bad);
                continue;
            }
            Some(b) => b.to_us = first.max(b.from_us),
            None => {}
        }
        let to_us = last.saturating_add(every_us);
        all.push(Band { state: worst, from_us: first, to_us, asked, slow, bad });
    }
    all
}

fn points(probes: &[ProbeRecord], from_us: u64, width_us: u64) -> Vec<Point> {
    let column = |p: &ProbeRecord| p.due_us.saturating_sub(from_us) / width_us;
    let chunks = probes.chunk_by(|a, b| column(a) == column(b));
    let point = |c: &[ProbeRecord]| {
        let start = from_us.saturating_add(column(&c[0]).saturating_mul(width_us));
        Point::of(c.iter(), start, start.saturating_add(width_us))
    };
    // A forged schedule could jump to and fro; ours never does.
    chunks.map(point).take(2 * POINTS as usize).collect()
}

impl Point {
    fn of<'a>(probes: impl Iterator<Item = &'a ProbeRecord>, from_us: u64, to_us: u64) -> Point {
        let (mut took, mut bad): (Vec<u64>, u64) = (Vec::new(), 0);
        for p in probes {
            if p.good { took.push(p.done_us.saturating_sub(p.due_us)) } else { bad += 1 }
        }
        took.sort_unstable();
        let at = |per_cent: usize| took[(took.len() * per_cent).div_ceil(100) - 1];
        let quantiles_us = (!took.is_empty()).then(|| [at(50), at(90), at(99), at(100)]);
        Point { from_us, to_us, good: took.len() as u64, bad, quantiles_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probes every 10 us; `g` good after 1 us, `s` good after 9 us, `b` bad, `.` never sent.
    fn probes(pattern: &str) -> Vec<ProbeRecord> {
        let record = |(n, c): (usize, char)| {
            let (n, due_us) = (n as u64, n as u64 * 10);
            let done_us = due_us + if c == 's' { 9 } else { 1 };
            (c != '.').then_some(ProbeRecord { n, due_us, sent_us: due_us, done_us, good: c != 'b', seq: n })
        };
        pattern.chars().enumerate().filter_map(record).collect()
    }

    fn drawn(pattern: &str) -> Vec<(Answers, u64, u64, u64)> {
        let all = bands(&probes(pattern), 5, 10, 0, pattern.len() as u64 * 10);
        all.iter().map(|b| (b.state, b.from_us, b.to_us, b.asked)).collect()
    }

    #[test]
    fn like_answers_are_one_band_and_nobody_asked_is_a_hole() {
        use Answers::{Bad, Good, Slow};
        assert_eq!(
            drawn("ggbbsg"),
            [(Good, 0, 20, 2), (Bad, 20, 40, 2), (Slow, 40, 50, 1), (Good, 50, 60, 1)]
        );
        assert_eq!(drawn("gg......gg"), [(Good, 0, 20, 2), (Good, 80, 100, 2)]);
        assert_eq!(drawn(""), []);
    }

    #[test]
    fn a_long_drill_is_drawn_in_columns_and_no_bad_answer_disappears() {
        let mut pattern = "gb".repeat(2_000) + &"g".repeat(60_000);
        pattern.replace_range(50_000..50_001, "b");
        let all = bands(&probes(&pattern), 5, 10, 0, pattern.len() as u64 * 10);
        assert!(all.len() as u64 <= COLUMNS, "{}", all.len());
        assert_eq!(all.iter().map(|b| b.bad).sum::<u64>(), 2_001);
        assert!(all.iter().any(|b| b.state == Answers::Bad && (b.from_us..b.to_us).contains(&500_000)));
        assert_eq!(all.iter().map(|b| b.asked).sum::<u64>(), 64_000);
    }

    #[test]
    fn points_have_the_quantiles_of_good_answers() {
        let all = points(&probes(&("g".repeat(99) + "s" + "bb")), 0, 1_000);
        assert_eq!(all[0].quantiles_us, Some([1, 1, 1, 9]));
        assert_eq!((all[0].good, all[0].bad), (100, 0));
        assert_eq!((all[1].good, all[1].bad, all[1].quantiles_us), (0, 2, None));
    }
}
