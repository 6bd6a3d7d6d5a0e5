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

    /// All that is ours was compared, or it is said what was not: never "as good as before" instead.
    fn untold(now: &Results, then: &Results) -> String {
        let c = compare(now, then).unwrap();
        assert!(c.unclear() && !c.regressed(), "{}", c.text());
        let text = c.text();
        assert!(text.contains("UNTOLD") || text.contains("NOTHING") || text.contains("UNCLEAR"), "{text}");
        text
    }

    #[test]
    fn what_only_one_of_the_two_holds_is_untold_and_named() {
        let all = sample();
        let mut less = sample();
        less.sets[0].contenders.remove(0);
        let text = untold(&less, &all);
        assert!(
            text.contains("UNTOLD   gameday-opencl hnsw on clustered-128: in the baseline, not measured now")
        );
        assert!(
            untold(&all, &less)
                .contains("UNTOLD   gameday-opencl hnsw on clustered-128: not in the baseline")
        );
        let mut more = sample();
        more.sets.push(SetResult { name: "glove-100".into(), ..more.sets[0].clone() });
        assert!(
            untold(&all, &more).contains("gameday-cpu hnsw on glove-100: in the baseline, not measured now")
        );
        assert!(untold(&more, &all).contains("gameday-cpu hnsw on glove-100: not in the baseline"));
        // Another kind is another index.
        let mut other = sample();
        other.sets[0].contenders[1].kind = "ivf_flat".into();
        let text = untold(&other, &all);
        assert!(text.contains("gameday-cpu ivf_flat") && text.contains("gameday-cpu hnsw"), "{text}");
        // One of two data sets has other bytes.
        let mut changed = more.clone();
        changed.sets[1].digest = "00".into();
        assert!(
            untold(&more, &changed).contains("gameday-cpu hnsw on glove-100: the data set has other bytes")
        );
        // Peers are shown, and do not decide.
        less = sample();
        less.sets[0].contenders.remove(2);
        let c = compare(&all, &less).unwrap();
        assert!(!c.unclear() && c.text().contains("skipped  hnswlib hnsw"), "{}", c.text());
    }

    #[test]
    fn other_parameters_searchers_and_settings_are_untold() {
        let mut then = sample();
        then.sets[0].contenders[0].params = "M=8".into();
        assert!(untold(&sample(), &then).contains("the baseline was built with M=8 on 2 threads"));
        then = sample();
        then.sets[0].contenders[0].searcher = Some("gameday".into());
        assert!(
            untold(&sample(), &then).contains("NOTHING  gameday-opencl"),
            "times were compared, recall was not"
        );
        let mut now = sample();
        now.sets[0].contenders[0].searches.remove(0);
        assert!(untold(&now, &sample()).contains("not searched now with 16, as in the baseline"));
        // More settings than then are no harm.
        assert!(!compare(&sample(), &now).unwrap().unclear());
    }

    #[test]
    fn a_baseline_that_failed_or_was_disturbed_proves_nothing() {
        let with = |change: fn(&mut ContenderResult)| {
            let mut then = sample();
            change(&mut then.sets[0].contenders[0]);
            then
        };
        untold(&sample(), &with(|c| (c.builds, c.searches) = (Vec::new(), Vec::new())));
        untold(&sample(), &with(|c| c.searches.clear()));
        let busy = with(|c| c.builds.iter_mut().for_each(|b| b.foreign_seconds = b.seconds));
        assert!(untold(&sample(), &busy).contains("now or then"));
        // Slower than even that is slower.
        let mut now = sample();
        now.sets[0].contenders[0].builds.iter_mut().for_each(|b| b.seconds *= 3.0);
        assert!(compare(&now, &busy).unwrap().regressed());
    }

    #[test]
    fn few_builds_leave_open_what_many_would_tell() {
        let few = |mut r: Results, n: usize| {
            r.sets[0].contenders[0].builds.truncate(n);
            r
        };
        // One is no regression and no proof of none; two that are both slower are one.
        assert_eq!(finding(&few(slowed(3.0), 1), &sample()), Finding::Unclear);
        assert_eq!(finding(&slowed(3.0), &few(sample(), 1)), Finding::Unclear);
        assert_eq!(finding(&few(slowed(3.0), 2), &few(sample(), 2)), Finding::Slower);
        // Slower in the median, and the intervals touch: of five that is noise.
        let touching = |n| {
            let mut now = few(slowed(1.5), n);
            now.sets[0].contenders[0].builds[0].seconds = sample().sets[0].contenders[0].builds[0].seconds;
            now
        };
        assert_eq!(finding(&touching(5), &sample()), Finding::Fine);
        assert_eq!(finding(&touching(3), &sample()), Finding::Unclear);
        assert!(untold(&touching(3), &sample()).contains("too few builds"));
        assert_eq!(finding(&few(sample(), 1), &few(sample(), 1)), Finding::Fine);
    }

    #[test]
    fn an_empty_baseline_is_an_error() {
        let mut then = sample();
        then.sets[0].contenders.clear();
        assert!(
            compare(&sample(), &then).unwrap_err().what.contains("gameday-cpu hnsw on clustered-128: not in")
        );
        assert!(compare(&then, &then).unwrap_err().what.contains("neither holds an engine of ours"));
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
