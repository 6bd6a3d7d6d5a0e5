//! A result against an older one: did a rebuild get slower, or its index worse?
//!
//! The rule, for each of our engines on each data set that both results hold with the same bytes and parameters:
//!
//! - **slower** where the ratio of the medians is above 1.10 *and* the intervals of the two are disjoint (see
//!   [`stats::spread`](super::stats::spread)); so neither a steady drift of 5 % nor one slow build is a regression;
//! - **worse** where the recall at any setting that both measured fell by more than 0.005;
//! - what looks slower while others took more than a tenth of the machine is **unclear**: measure again;
//! - times of another machine are not compared at all, recall is.
//!
//! Peers are shown beside it and never judged: where they drifted too, the machine changed, not gameday.

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

/// What a comparison found.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Why times were not compared.
    pub other_machine: Option<String>,
    /// One for each contender of a data set that both results hold, in the order of the table.
    pub rows: Vec<Row>,
    /// What one result holds and the other does not, or not in the same form.
    pub unmatched: Vec<String>,
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
    /// It looks slower, and the machine was busy.
    Unclear,
    /// A rebuild got slower.
    Slower,
    /// Recall fell.
    Worse,
    /// Nothing was compared: other machine and no common recall, or builds that failed.
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
        for u in &self.unmatched {
            let _ = writeln!(out, "  skipped  {u}");
        }
        if self.rows.iter().any(|r| r.ours && r.finding == Finding::Unclear) {
            out.push_str(
                "  UNCLEAR: others took more than a tenth of this machine; measure again when it is quiet\n",
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
    let mut all = Comparison { other_machine, rows: Vec::new(), unmatched: Vec::new() };
    for set in &now.sets {
        let Some(old) = then.sets.iter().find(|s| s.name == set.name) else {
            all.unmatched.push(format!("data set {}: not in the baseline", set.name));
            continue;
        };
        if old.digest != set.digest {
            all.unmatched.push(format!("data set {}: other bytes than in the baseline", set.name));
            continue;
        }
        for c in &set.contenders {
            match old.contenders.iter().find(|o| o.name == c.name && o.kind == c.kind) {
                None => all.unmatched.push(format!("{}: not in the baseline", what(c, set))),
                Some(o) if (&o.params, then.threads) != (&c.params, now.threads) => {
                    let was = format!("{} on {} threads", o.params, then.threads);
                    all.unmatched.push(format!("{}: the baseline was built with {was}", what(c, set)));
                }
                Some(o) => {
                    let noise = foreign(c, now.machine.cores).unwrap_or(0.0);
                    all.rows.push(row(c, o, set, all.other_machine.is_none(), noise));
                }
            }
        }
    }
    for set in &then.sets {
        for o in set.contenders.iter().filter(|o| o.ours) {
            let here = now.sets.iter().find(|s| s.name == set.name);
            if !here.is_some_and(|s| s.contenders.iter().any(|c| c.name == o.name && c.kind == o.kind)) {
                all.unmatched.push(format!("{}: in the baseline, not measured now", what(o, set)));
            }
        }
    }
    if all.rows.iter().any(|r| r.ours) {
        return Ok(all);
    }
    let why = if all.unmatched.is_empty() { "both are empty".into() } else { all.unmatched.join("; ") };
    Err(Trouble::usage(
        format!("the baseline has nothing in common with this run: {why}"),
        "name a baseline of the same data sets, engines and threads",
    ))
}

fn what(c: &ContenderResult, set: &SetResult) -> String {
    format!("{} {} on {}", c.name, c.kind, set.name)
}

fn row(c: &ContenderResult, old: &ContenderResult, set: &SetResult, same_machine: bool, noise: f64) -> Row {
    let times = seconds(c).zip(seconds(old)).filter(|_| same_machine);
    let ratio = times.map(|(new, old)| new.median / old.median);
    let slower = times.is_some_and(|(new, old)| new.median / old.median > SLOWER && new.low > old.high);
    // Another searcher, another recall.
    let before = if c.searcher == old.searcher { curve(old) } else { Vec::new() };
    let falls = curve(c).into_iter().filter_map(|(setting, recall, _)| {
        let (_, was, _) = before.iter().find(|(s, ..)| *s == setting)?;
        Some((was - recall, setting))
    });
    let fell = falls.max_by(|a, b| a.0.total_cmp(&b.0));
    // Rounding must not decide.
    let worse = fell.is_some_and(|(by, _)| by > RECALL_FELL + 1e-9);
    let finding = match (worse, slower, ratio, fell) {
        (true, ..) => Finding::Worse,
        (_, true, ..) if noise > BUSY => Finding::Unclear,
        (_, true, ..) => Finding::Slower,
        (_, _, None, None) => Finding::Nothing,
        // It could be built then, and not now.
        (_, _, None, _) if same_machine => Finding::Nothing,
        _ => Finding::Fine,
    };
    Row { what: what(c, set), ours: c.ours, ratio, fell, finding }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rebuild::result::tests::sample;

    fn slowed(by: f64) -> Results {
        let mut r = sample();
        for b in &mut r.sets[0].contenders[0].builds {
            b.seconds *= by;
        }
        r
    }

    fn finding(now: &Results, then: &Results) -> Finding {
        compare(now, then).unwrap().rows[0].finding
    }

    #[test]
    fn slower_is_beyond_ten_percent_and_beyond_the_spread() {
        let then = sample();
        for (by, expected) in [
            (0.5, Finding::Fine),
            (1.0, Finding::Fine),
            (1.09, Finding::Fine),
            (1.12, Finding::Slower),
            (3.0, Finding::Slower),
        ] {
            assert_eq!(finding(&slowed(by), &then), expected, "{by}");
        }
        // One quick build among slow ones: the intervals touch.
        let mut now = slowed(1.5);
        now.sets[0].contenders[0].builds[0].seconds = then.sets[0].contenders[0].builds[2].seconds;
        assert_eq!(finding(&now, &then), Finding::Fine);
        assert!(!compare(&now, &then).unwrap().regressed());
        assert!(compare(&slowed(3.0), &then).unwrap().regressed());
    }

    #[test]
    fn a_busy_machine_makes_it_unclear_not_slow() {
        let mut now = slowed(2.0);
        for b in &mut now.sets[0].contenders[0].builds {
            b.foreign_seconds = b.seconds * 0.5;
        }
        let c = compare(&now, &sample()).unwrap();
        assert_eq!(c.rows[0].finding, Finding::Unclear);
        assert!(c.unclear() && !c.regressed() && c.text().contains("measure again"));
    }

    #[test]
    fn recall_that_fell_at_one_setting_is_worse() {
        let fall = |by: f64| {
            let mut now = sample();
            now.sets[0].contenders[0].searches[2].recall = vec![0.967 - by; 5];
            now
        };
        assert_eq!(finding(&fall(0.005), &sample()), Finding::Fine);
        assert_eq!(finding(&fall(0.006), &sample()), Finding::Worse);
        let c = compare(&fall(0.006), &sample()).unwrap();
        assert_eq!(c.rows[0].fell.map(|f| f.1), Some(64));
    }

    #[test]
    fn times_of_another_machine_are_not_compared_and_recall_is() {
        let mut now = slowed(9.0);
        now.machine.cores = 64;
        let c = compare(&now, &sample()).unwrap();
        assert_eq!((c.rows[0].finding, c.rows[0].ratio), (Finding::Fine, None));
        assert!(c.unclear() && !c.regressed() && c.text().contains("another machine: cores: 64 now, 2 then"));
        now.sets[0].contenders[0].searches[0].recall = vec![0.5; 5];
        assert!(compare(&now, &sample()).unwrap().regressed());
    }

    #[test]
    fn a_peer_is_never_judged() {
        let mut now = sample();
        now.sets[0].contenders[2].builds.iter_mut().for_each(|b| b.seconds *= 5.0);
        let c = compare(&now, &sample()).unwrap();
        assert!(!c.regressed() && !c.unclear() && c.text().contains("peer     hnswlib hnsw"));
    }

    #[test]
    fn an_engine_that_no_longer_builds_is_no_pass() {
        let mut now = sample();
        now.sets[0].contenders[0].builds.clear();
        now.sets[0].contenders[0].searches.clear();
        let c = compare(&now, &sample()).unwrap();
        assert!(c.unclear() && c.rows[0].finding == Finding::Nothing);
    }

    #[test]
    fn nothing_in_common_is_an_error_and_never_a_pass() {
        let mut then = sample();
        then.sets[0].digest = "00".into();
        let error = compare(&sample(), &then).unwrap_err();
        assert!(error.what.contains("nothing in common") && error.what.contains("other bytes"), "{error}");
        let mut then = sample();
        then.sets[0].contenders.iter_mut().for_each(|c| c.params = "M=8".into());
        assert!(compare(&sample(), &then).unwrap_err().what.contains("M=8"));
        then.sets.clear();
        assert!(compare(&sample(), &then).is_err());
    }

    #[test]
    fn the_text() {
        let mut now = slowed(1.4);
        now.sets[0].contenders[1].searches[0].recall = vec![0.80; 5];
        now.sets[0].contenders.remove(3);
        let mut then = sample();
        then.sets[0].contenders[3].ours = true;
        insta::assert_snapshot!("comparison", compare(&now, &then).unwrap().text());
    }
}
