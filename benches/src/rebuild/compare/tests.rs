//! What follows from two results, and what is never concluded.

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
        untold(&all, &less).contains("UNTOLD   gameday-opencl hnsw on clustered-128: not in the baseline")
    );
    let mut more = sample();
    more.sets.push(SetResult { name: "glove-100".into(), ..more.sets[0].clone() });
    assert!(untold(&all, &more).contains("gameday-cpu hnsw on glove-100: in the baseline, not measured now"));
    assert!(untold(&more, &all).contains("gameday-cpu hnsw on glove-100: not in the baseline"));
    // Another kind is another index.
    let mut other = sample();
    other.sets[0].contenders[1].kind = "ivf_flat".into();
    let text = untold(&other, &all);
    assert!(text.contains("gameday-cpu ivf_flat") && text.contains("gameday-cpu hnsw"), "{text}");
    // One of two data sets has other bytes.
    let mut changed = more.clone();
    changed.sets[1].digest = "00".into();
    assert!(untold(&more, &changed).contains("gameday-cpu hnsw on glove-100: the data set has other bytes"));
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
