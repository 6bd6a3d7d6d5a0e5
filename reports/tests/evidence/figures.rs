//! Key figures and metrics from real-looking evidence, whole.

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
    let answer = compliance::judge(&checked.runs, period, Some(&cost));
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
    let answer = compliance::judge(&checked.runs, period("2026-12-31T00:00:00Z"), None);
    assert!(!answer.complies());
    insta::assert_snapshot!("falls_short", compliance::text(&answer));
}

#[test]
fn rehearsals_never_count() {
    let stand = quarter(&[("sim", As::Simulated)]);
    let checked = stand.verify(None, true);
    let answer = compliance::judge(&checked.runs, period("2026-12-31T00:00:00Z"), None);
    assert_eq!((answer.real, answer.left_out.len()), (0, 1));
    assert!(answer.kpis.iter().all(|k| k.state == State::NotMeasured));
}

#[test]
fn ninety_days_are_enough_and_one_second_more_is_not() {
    let stand = quarter(&[("r1", As::Real)]);
    let checked = stand.verify(None, true);
    let closed = checked.runs[0].closed.clone().unwrap().0;
    let at = reports::evidence::time_of(&closed).unwrap() + std::time::Duration::from_secs(90 * 86_400);
    for (late, state) in [(0, State::Met), (1, State::Missed)] {
        let as_of = reports::evidence::stamp(at + std::time::Duration::from_secs(late));
        let answer = compliance::judge(&checked.runs, period(&as_of), None);
        let days = answer.kpis.iter().find(|k| k.name.starts_with("days")).unwrap();
        assert_eq!(days.state, state, "{days:?}");
    }
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
        (bill.replace("900", "NaN"), "cannot be"),
    ] {
        let said = cost::focus(wrong.as_bytes(), "bill.csv", "purpose=dr", &period).unwrap_err().what;
        assert!(said.contains(why), "{said}");
    }
    for (wrong, why) in [
        (COSTS.replace("100.0", "\"x\""), "costs.toml:4"),
        (COSTS.replace("2026Q4", "2026Q3"), "it is about 2026Q3"),
        (COSTS.replace("100.0", "inf"), "cannot be"),
        (COSTS.replace("100.0", "-1.0").replace("20.0", "0.0"), "cannot be"),
    ] {
        let said = cost::table(&wrong, "costs.toml", &period).unwrap_err().what;
        assert!(said.contains(why), "{said}");
    }
}
