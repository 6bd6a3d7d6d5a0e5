//! Key figures and metrics from real-looking evidence, whole.

use harness::ports::CountsAs;
use reports::{
    compliance::{self, Period, State, cost},
    metrics,
};

use crate::stand::{As, Stand};

fn period(as_of: &str) -> Period {
    Period {
        name: "2026Q4".into(),
        from: "2026-10-01T00:00:00Z".into(),
        until: "2027-01-01T00:00:00Z".into(),
        as_of: as_of.into(),
    }
}

const COSTS: &str = "period = \"2026Q4\"\ncurrency = \"EUR\"\ninfrastructure = 1000.0\nrecovery = 100.0\ndrills = 20.0\nasserted_by = \"cfo@example.org\"\n";

fn quarter(how: &[(&str, As)]) -> Stand {
    let mut stand = Stand::new();
    for (run, how) in how {
        stand.play(run, *how);
        stand.review(run);
    }
    stand
}

#[test]
fn a_quarter_that_complies() {
    let stand = quarter(&[("r1", As::Real), ("r2", As::Real), ("sim", As::Simulated)]);
    let checked = stand.verify(None, true);
    assert_eq!(checked.problems, []);
    let period = period("2026-12-31T00:00:00Z");
    let cost = cost::table(COSTS, "costs.toml", &period).unwrap();
    let answer = compliance::judge(&checked.runs, period, CountsAs::Production, Some(&cost));
    assert!(answer.complies(), "{}", compliance::text(&answer));
    insta::assert_snapshot!("complies", compliance::text(&answer));
    insta::assert_snapshot!("metrics", metrics::render(&checked.runs, None));
}

#[test]
fn what_falls_short_is_named() {
    let mut stand = quarter(&[("r1", As::Real), ("missed", As::RealMissed), ("sim", As::Simulated)]);
    stand.declare("vanished", As::Real);
    let checked = stand.verify(None, true);
    assert_eq!(checked.problems, []);
    let answer = compliance::judge(&checked.runs, period("2026-12-31T00:00:00Z"), CountsAs::Production, None);
    assert!(!answer.complies());
    insta::assert_snapshot!("falls_short", compliance::text(&answer));
}

#[test]
fn rehearsals_never_count() {
    let stand = quarter(&[("sim", As::Simulated)]);
    let checked = stand.verify(None, true);
    let answer = compliance::judge(&checked.runs, period("2026-12-31T00:00:00Z"), CountsAs::Production, None);
    assert_eq!((answer.counted, answer.left_out.len()), (0, 1));
    assert!(answer.kpis.iter().all(|k| k.state == State::NotMeasured));
}

#[test]
fn a_policy_says_which_level_counts() {
    let mut stand = quarter(&[
        ("r1", As::Real),
        ("st1", As::Staging),
        ("st2", As::Staging),
        ("th1", As::Disposable),
        ("sim", As::Simulated),
    ]);
    stand.declare("vanished", As::Staging);
    let checked = stand.verify(None, true);
    assert_eq!(checked.problems, []);
    let of = |accepted| {
        let answer = compliance::judge(&checked.runs, period("2026-12-31T00:00:00Z"), accepted, None);
        let success = answer.kpis.iter().find(|k| k.name == "drill success rate").unwrap().clone();
        (answer, success)
    };
    for (accepted, counted, rests_on, rate) in [
        (CountsAs::Production, 1, vec!["r1"], "100.00 % (1 of 1)"),
        (CountsAs::Staging, 4, vec!["r1", "st1", "st2", "vanished"], "75.00 % (3 of 4)"),
        (CountsAs::Disposable, 5, vec!["r1", "st1", "st2", "th1", "vanished"], "80.00 % (4 of 5)"),
    ] {
        let (answer, success) = of(accepted);
        assert_eq!(
            (answer.accepted, answer.counted, answer.left_out.len()),
            (accepted, counted, 6 - counted)
        );
        assert_eq!(success.runs, rests_on);
        assert!(success.measured.starts_with(rate), "{accepted}: {}", success.measured);
        for kpi in &answer.kpis {
            assert!(kpi.runs.iter().all(|r| rests_on.contains(&r.as_str())), "{accepted}: {kpi:?}");
        }
        let levels: Vec<_> = answer.levels.iter().map(|l| (l.level, l.declared, l.passed)).collect();
        let all = [
            (CountsAs::Production, 1, 1),
            (CountsAs::Staging, 3, 2),
            (CountsAs::Disposable, 1, 1),
            (CountsAs::Rehearsal, 1, 1),
        ];
        assert_eq!(levels, all, "what is accepted changes no level's own count");
    }
    insta::assert_snapshot!("accepts_staging", compliance::text(&of(CountsAs::Staging).0));
}

/// Nobody may accept a rehearsal, whatever is asked for.
#[test]
fn a_rehearsal_counts_under_no_policy() {
    let stand = quarter(&[("sim", As::Simulated)]);
    let checked = stand.verify(None, true);
    let answer = compliance::judge(&checked.runs, period("2026-12-31T00:00:00Z"), CountsAs::Rehearsal, None);
    assert_eq!(answer.counted, 0);
    assert!(answer.levels.iter().all(|l| l.counts == (l.level > CountsAs::Rehearsal)));
}

#[test]
fn ninety_days_are_enough_and_one_second_more_is_not() {
    let stand = quarter(&[("r1", As::Real)]);
    let checked = stand.verify(None, true);
    let closed = checked.runs[0].closed.clone().unwrap().0;
    let at = reports::evidence::time_of(&closed).unwrap() + std::time::Duration::from_secs(90 * 86_400);
    for (late, state) in [(0, State::Met), (1, State::Missed)] {
        let as_of = reports::evidence::stamp(at + std::time::Duration::from_secs(late)).unwrap();
        let answer = compliance::judge(&checked.runs, period(&as_of), CountsAs::Production, None);
        let days = answer.kpis.iter().find(|k| k.name.starts_with("days")).unwrap();
        assert_eq!(days.state, state, "{days:?}");
        assert_eq!(days.measured.contains("90 days, "), state == State::Met, "{days:?}");
    }
}

/// What nobody measured is a gap: no share is shown, and none is met.
#[test]
fn costs_that_measure_nothing_are_gaps() {
    let stand = quarter(&[("r1", As::Real)]);
    let checked = stand.verify(None, true);
    let period = period("2026-12-31T00:00:00Z");
    let row =
        |amount: &str, tags: &str| format!("{amount},USD,2026-11-01,\"{}\"\n", tags.replace('"', "\"\""));
    let bill =
        |rows: &[String]| format!("BilledCost,BillingCurrency,ChargePeriodStart,Tags\n{}", rows.concat());
    let dr = |amount: &str| row(amount, "{\"purpose\":\"dr\"}");
    let judged = |bill: &str, tag: &str| {
        let cost = cost::focus(bill.as_bytes(), "bill.csv", tag, &period).unwrap();
        let answer = compliance::judge(&checked.runs, period.clone(), CountsAs::Production, Some(&cost));
        let kpi = answer.kpis.into_iter().find(|k| k.name.starts_with("cost")).unwrap();
        (kpi.state, kpi.measured, kpi.gaps.join("; "))
    };
    let rest = row("500", "{}");
    let (state, measured, gap) = judged(&bill(&[dr("100"), rest.clone()]), "purpose=DR");
    assert_eq!((state, measured.as_str()), (State::NotMeasured, "nothing"));
    assert!(gap.contains("no row of 2026Q4 has the tag purpose=DR; `purpose` is `dr` there"), "{gap}");
    let (state, _, gap) = judged(&bill(&[dr("0"), rest.clone()]), "purpose=dr");
    assert!(state == State::NotMeasured && gap.contains("cost nothing"), "{gap}");
    let flag = row("100", "{\"dr\":true}");
    assert_eq!(judged(&bill(&[flag, rest.clone()]), "dr=true").0, State::Missed);
    // The figure never says another thing than the verdict.
    for (amount, state, shown) in [
        ("88.235", State::Met, "15.00 % (88.23"),
        ("88.24", State::Missed, "15.01 % (88.24"),
        ("0.001", State::Met, "0.01 % (0.00"),
    ] {
        let (found, measured, _) = judged(&bill(&[dr(amount), rest.clone()]), "purpose=dr");
        assert!(found == state && measured.starts_with(shown), "{amount}: {found:?} {measured}");
    }
    let table = COSTS.replace("100.0", "0.0").replace("20.0", "0");
    let cost = cost::table(&table, "costs.toml", &period).unwrap();
    assert!(cost.gap.unwrap().contains("nothing is entered"));
    for tag in ["a=b=c", "purpose", "=dr", " =dr", ""] {
        assert!(cost::focus(bill(&[dr("1")]).as_bytes(), "bill.csv", tag, &period).is_err(), "{tag}");
    }
    // A credit lowers the bill, never what recovery is said to cost.
    let credit = "BilledCost,BillingCurrency,ChargePeriodStart,Tags,ChargeCategory\n\
                  100,USD,2026-11-01,\"{\"\"purpose\"\":\"\"dr\"\"}\",Usage\n-90,USD,2026-11-01,\"{\"\"purpose\"\":\"\"dr\"\"}\",Credit\n\
                  900,USD,2026-11-01,,Usage\n";
    let cost = cost::focus(credit.as_bytes(), "bill.csv", "purpose=dr", &period).unwrap();
    assert_eq!((cost.recovery, cost.infrastructure), (100.0, 910.0));
    // With a byte order mark, as spreadsheets write it.
    let marked = format!("\u{feff}{credit}");
    assert_eq!(cost::focus(marked.as_bytes(), "bill.csv", "purpose=dr", &period).unwrap().recovery, 100.0);
}

#[test]
fn bills() {
    let period = period("2026-12-31T00:00:00Z");
    let bill = "ChargePeriodStart,BilledCost,BillingCurrency,Tags\n\
                2026-10-01T00:00:00Z,900,EUR,\"{\"\"purpose\"\":\"\"web\"\"}\"\n\
                2026-11-01T00:00:00Z,100,EUR,\"{\"\"purpose\"\":\"\"dr\"\"}\"\n\
                2026-09-30T00:00:00Z,5000,EUR,\n";
    let cost = cost::focus(bill.as_bytes(), "bill.csv", "purpose=dr", &period).unwrap();
    assert_eq!((cost.recovery, cost.infrastructure), (100.0, 1000.0));
    for (wrong, why) in [
        (bill.replace("900,EUR", "900,USD"), "bill.csv:3: another currency"),
        (bill.replace("900,", "much,"), "bill.csv:2: `much` is no amount"),
        (bill.replace("BillingCurrency", "Money"), "bill.csv:1: there is no column BillingCurrency"),
        (bill.replace("{", "["), "bill.csv:2: tags"),
        ("ChargePeriodStart,BilledCost,BillingCurrency,Tags\n".into(), "no row"),
        (bill.replace("900", "NaN"), "bill.csv:2: `NaN` is no amount"),
        (bill.replace("900", "inf"), "bill.csv:2: `inf` is no amount"),
        (bill.replace("900", "-900"), "bill.csv:2: -900 is negative"),
        (bill.replace("100", "-100"), "bill.csv:3: -100 is negative"),
        (bill.replace("2026-11-01T00:00:00Z", "11/01/2026"), "bill.csv:3: `11/01/2026` is no date"),
        (bill.replace("2026-09-30T00:00:00Z", "30.09.2026"), "bill.csv:4: `30.09.2026` is no date"),
        (bill.replace("2026-11-01T00", "2026-11-31T00"), "bill.csv:3: `2026-11-31T00:00:00Z` is no date"),
        (
            bill.replace("Tags\n", "Tags,Tags\n").replace("\"\n", "\",\n").replace("R,\n", "R,,\n"),
            "two columns Tags",
        ),
        (bill.replace("900,EUR", "900,"), "bill.csv:2: `` is no currency"),
        (
            bill.replace("{\"\"purpose\"\":\"\"dr\"\"}", "{\"\"purpose\"\":[\"\"dr\"\"]}"),
            "neither text nor number",
        ),
    ] {
        let said = cost::focus(wrong.as_bytes(), "bill.csv", "purpose=dr", &period).unwrap_err().what;
        assert!(said.contains(why), "{said}");
    }
    for (wrong, why) in [
        (COSTS.replace("100.0", "\"x\""), "costs.toml:4"),
        (COSTS.replace("2026Q4", "2026Q3"), "it is about 2026Q3"),
        (COSTS.replace("100.0", "inf"), "cannot be"),
        (COSTS.replace("20.0", "-20.0"), "drills is -20, which cannot be"),
        (COSTS.replace("cfo@example.org", " "), "nobody who vouches"),
        (COSTS.replace("cfo@example.org", "requires-operator-input"), "nobody who vouches"),
        (COSTS.replace("cfo@example.org", "TBD"), "nobody who vouches"),
        (COSTS.replace("EUR", ""), "no currency"),
        (COSTS.replace("100.0", "-1.0").replace("20.0", "0.0"), "cannot be"),
    ] {
        let said = cost::table(&wrong, "costs.toml", &period).unwrap_err().what;
        assert!(said.contains(why), "{said}");
    }
}
