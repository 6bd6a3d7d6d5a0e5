//! A result against an older one: did a rebuild get slower, or its index worse?
//!
//! The rule, for each of our engines on each data set that both results hold with the same bytes and parameters:
//!
//! - **slower** where the ratio of the medians is above 1.10 *and* the intervals of the two are disjoint (see
//!   [`stats::spread`](super::stats::spread)); so neither a steady drift of 5 % nor one slow build is a regression;
//! - **worse** where the recall at any setting that both measured fell by more than 0.005;
//! - what looks slower while others took more than a tenth of the machine is **unclear**: measure again. So is what looks as
//!   fast as a baseline that was measured so, and what fewer than [`ENOUGH`] builds leave open;
//! - times of another machine are not compared at all, recall is;
//! - what only one of the two holds, or holds with other bytes, parameters, searcher or settings, is **untold**.
//!
//! So "nothing got worse" is said only where all that either holds of ours was compared. Peers are shown beside it and
//! never judged: where they drifted too, the machine changed, not gameday.

use std::fmt::Write as _;

use super::{
    Trouble,
    result::{ContenderResult, Results, SetResult},
    summary::{BUSY, curve, foreign, seconds},
};

/// Ratio of medians from which on a rebuild is slower.
pub const SLOWER: f64 = 1.10;
/// By how much recall may fall.
pub const RECALL_FELL: f64 = 0.005;

/// From so many builds on an interval says something about the median; see [`stats::spread`](super::stats::spread).
pub const ENOUGH: usize = 5;

/// What a comparison found.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Why times were not compared.
    pub other_machine: Option<String>,
    /// One for each contender of a data set that both results hold, in the order of the table.
    pub rows: Vec<Row>,
    /// What one result holds and the other does not, or not in the same form.
    pub untold: Vec<Untold>,
}

/// Something that was not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// Who on which data set, and why.
    pub what: String,
    /// Whether it would have been judged.
    pub ours: bool,
}

/// One contender on one data set, now and then.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// `engine kind on set`.
    pub what: String,
    /// Whether it is judged.
    pub ours: bool,
    /// Ratio of the medians of the build time, now to then; `None` where it was not compared.
    pub ratio: Option<f64>,
    /// Largest fall of recall, and at which setting; negative where all rose.
    pub fell: Option<(f64, u32)>,
    /// What follows.
    pub finding: Finding,
}

/// What follows from a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// As good as before, or better.
    Fine,
    /// It looks slower, and the machine was busy; or the baseline's was; or there are too few builds.
    Unclear,
    /// A rebuild got slower.
    Slower,
    /// Recall fell.
    Worse,
    /// Time or recall was not compared though it should be: builds or searches that failed, or another searcher.
    Nothing,
}

impl Comparison {
    /// Whether something got worse.
    pub fn regressed(&self) -> bool {
        self.judged().any(|r| matches!(r.finding, Finding::Slower | Finding::Worse))
    }

    /// Whether something that should have been judged could not be.
    pub fn unclear(&self) -> bool {
        self.other_machine.is_some()
            || self.untold.iter().any(|u| u.ours)
            || self.judged().any(|r| matches!(r.finding, Finding::Unclear | Finding::Nothing))
    }

    fn judged(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|r| r.ours)
    }

    /// For a person, one line a row.
    pub fn text(&self) -> String {
        let mut out = String::from(
            "AGAINST THE BASELINE (slower: ratio of medians above 1.10 and intervals disjoint;\n",
        );
        out.push_str("worse: recall fell by more than 0.005 at some setting; peers are not judged)\n");
        if let Some(why) = &self.other_machine {
            let _ = writeln!(out, "  WARNING  times are not compared, this is another machine: {why}");
        }
        for r in &self.rows {
            let word = match (r.ours, r.finding) {
                (false, _) => "peer",
                (_, Finding::Fine) => "ok",
                (_, Finding::Unclear) => "UNCLEAR",
                (_, Finding::Slower) => "SLOWER",
                (_, Finding::Worse) => "WORSE",
                (_, Finding::Nothing) => "NOTHING",
            };
            let time = r.ratio.map_or("time not compared".into(), |x| format!("time x {x:.3}"));
            let recall = match r.fell {
                Some((fell, at)) => format!("recall {:+.4} at {at}", 0.0 - fell),
                None => "recall not compared".into(),
            };
            let _ = writeln!(out, "  {word:<8} {}: {time}, {recall}", r.what);
        }
        for u in &self.untold {
            let _ = writeln!(out, "  {:<8} {}", if u.ours { "UNTOLD" } else { "skipped" }, u.what);
        }
        let found = |finding| self.judged().any(|r| r.finding == finding);
        if found(Finding::Unclear) {
            out.push_str(
                "  UNCLEAR: others took more than a tenth of this machine, now or then, or there are too few builds;\n    measure again when it is quiet, with --rounds 5\n",
            );
        }
        if found(Finding::Nothing) || self.untold.iter().any(|u| u.ours) {
            out.push_str(
                "  UNTOLD, NOTHING: not compared, so nobody knows whether it got worse; measure what the baseline\n    holds, or keep a new baseline: --json FILE\n",
            );
        }
        out
    }
}

/// Compares `now` with `then`.
///
/// # Errors
/// None of our engines is in both: nothing could be judged, and that must not look like a pass.
pub fn compare(now: &Results, then: &Results) -> Result<Comparison, Trouble> {
    let other_machine = now.machine.differs(&then.machine);
    let mut all = Comparison { other_machine, rows: Vec::new(), untold: Vec::new() };
    for set in &now.sets {
        let old = then.sets.iter().find(|s| s.name == set.name);
        for c in &set.contenders {
            match counterpart(c, now, old.filter(|old| old.digest == set.digest), then) {
                Ok(o) => {
                    let times = all.other_machine.is_none();
                    let (row, settings) = row(c, o, set, times, [(c, now), (o, then)].map(busy));
                    all.untold.extend(settings.map(|what| Untold { what, ours: c.ours }));
                    all.rows.push(row);
                }
                Err(why) => {
                    let other_bytes = old.is_some_and(|old| old.digest != set.digest);
                    let why =
                        if other_bytes { "the data set has other bytes than in the baseline" } else { &why };
                    all.untold.push(Untold { what: format!("{}: {why}", what(c, set)), ours: c.ours });
                }
            }
        }
    }
    for set in &then.sets {
        let here = now.sets.iter().find(|s| s.name == set.name);
        for o in set.contenders.iter().filter(|o| o.ours) {
            if !here.is_some_and(|s| s.contenders.iter().any(|c| c.name == o.name && c.kind == o.kind)) {
                let what = format!("{}: in the baseline, not measured now", what(o, set));
                all.untold.push(Untold { what, ours: o.ours });
            }
        }
    }
    if all.rows.iter().any(|r| r.ours) {
        return Ok(all);
    }
    let why: Vec<&str> = all.untold.iter().filter(|u| u.ours).map(|u| u.what.as_str()).collect();
    let why = if why.is_empty() { "neither holds an engine of ours".into() } else { why.join("; ") };
    Err(Trouble::usage(
        format!("the baseline has nothing in common with this run: {why}"),
        "name a baseline of the same data sets, engines and threads",
    ))
}

/// The same contender in the same data set of the baseline, or why there is none.
fn counterpart<'o>(
    c: &ContenderResult,
    now: &Results,
    old: Option<&'o SetResult>,
    then: &Results,
) -> Result<&'o ContenderResult, String> {
    let same = |o: &&ContenderResult| o.name == c.name && o.kind == c.kind;
    match old.and_then(|old| old.contenders.iter().find(same)) {
        None => Err("not in the baseline".into()),
        Some(o) if (&o.params, then.threads) != (&c.params, now.threads) => {
            Err(format!("the baseline was built with {} on {} threads", o.params, then.threads))
        }
        Some(o) => Ok(o),
    }
}

/// Whether others took much of the machine.
fn busy((c, of): (&ContenderResult, &Results)) -> bool {
    foreign(c, of.machine.cores).is_some_and(|share| share > BUSY)
}

fn what(c: &ContenderResult, set: &SetResult) -> String {
    format!("{} {} on {}", c.name, c.kind, set.name)
}

/// Compares one with what it was, and tells which settings of the baseline nobody searched with now. `busy`: now, then.
fn row(
    c: &ContenderResult,
    old: &ContenderResult,
    set: &SetResult,
    same_machine: bool,
    busy: [bool; 2],
) -> (Row, Option<String>) {
    let times = seconds(c).zip(seconds(old)).filter(|_| same_machine);
    let ratio = times.map(|(new, old)| new.median / old.median);
    let longer = ratio.is_some_and(|ratio| ratio > SLOWER);
    let slower = longer && times.is_some_and(|(new, old)| new.low > old.high);
    let builds = c.builds.len().min(old.builds.len());
    // Another searcher, another recall.
    let before = if c.searcher == old.searcher { curve(old) } else { Vec::new() };
    let here = curve(c);
    let falls = here.iter().filter_map(|&(setting, recall, _)| {
        let (_, was, _) = before.iter().find(|(s, ..)| *s == setting)?;
        Some((was - recall, setting))
    });
    let fell = falls.max_by(|a, b| a.0.total_cmp(&b.0));
    // Rounding must not decide.
    let worse = fell.is_some_and(|(by, _)| by > RECALL_FELL + 1e-9);
    let finding = match (ratio, fell) {
        _ if worse => Finding::Worse,
        // One build on either side may be the one slow build that is no regression.
        _ if slower && (busy[0] || builds < 2) => Finding::Unclear,
        _ if slower => Finding::Slower,
        // It could be built or searched then, and not now; or the other way round.
        (_, None) => Finding::Nothing,
        (None, _) if same_machine => Finding::Nothing,
        _ if longer && builds < ENOUGH => Finding::Unclear,
        // What made the baseline slow may hide that this is slower.
        (Some(_), _) if busy[1] => Finding::Unclear,
        _ => Finding::Fine,
    };
    let unasked: Vec<String> = before
        .iter()
        .filter(|(setting, ..)| !here.is_empty() && here.iter().all(|(s, ..)| s != setting))
        .map(|(setting, ..)| setting.to_string())
        .collect();
    let settings = (!unasked.is_empty() && fell.is_some()).then(|| {
        format!("{}: not searched now with {}, as in the baseline", what(c, set), unasked.join(", "))
    });
    (Row { what: what(c, set), ours: c.ours, ratio, fell, finding }, settings)
}

#[cfg(test)]
mod tests;
