//! Stores that consist of something else after the storm, by journals in which everything else is in order.

use std::io::Cursor;

use harness::{
    inventory::Inventory,
    journal::{EventKind, Inventoried, Phase, When},
    judge::Finding,
    ports::EXPLAINED,
    report::Report,
    scenario::WorldName,
    topology::Role,
    verdict::Verdict::{self, Fail, Pass, Unknown},
};

use super::{chained, forged::honest, short};

type Items<'a> = &'a [(&'a str, &'a str)];

fn listed(when: When, items: Result<Items<'_>, &str>) -> EventKind {
    let (items, none) = match items {
        Ok(items) => {
            let mut all = Inventory::default();
            items.iter().for_each(|(name, definition)| all.add(name, definition));
            (Some(all), None)
        }
        Err(why) => (None, Some(why.to_owned())),
    };
    let region = "east".to_owned();
    EventKind::Inventoried(Box::new(Inventoried { when, store: Role::Vector, region, items, none }))
}

/// An honest drill of a world whose stores consist of something, with these lists before and after; after the restart the
/// store is what it was after recovery.
fn drill(
    before: Option<Result<Items<'_>, &str>>,
    after: Option<Result<Items<'_>, &str>>,
) -> Vec<(u64, EventKind)> {
    restarted(before, after, after)
}

fn restarted(
    before: Option<Result<Items<'_>, &str>>,
    after: Option<Result<Items<'_>, &str>>,
    restarted: Option<Result<Items<'_>, &str>>,
) -> Vec<(u64, EventKind)> {
    let mut all = Vec::new();
    for (at_us, mut kind) in honest() {
        if let EventKind::Began(began) = &mut kind {
            began.world = WorldName::Local;
        }
        let list = match &kind {
            EventKind::Entered(Phase::Storm) => before.map(|items| listed(When::Before, items)),
            EventKind::Entered(Phase::Restart) => after.map(|items| listed(When::After, items)),
            EventKind::Entered(Phase::Undo) => restarted.map(|items| listed(When::Restarted, items)),
            _ => None,
        };
        all.extend(list.map(|list| (at_us, list)));
        all.push((at_us, kind));
    }
    all
}

fn finding(events: Vec<(u64, EventKind)>) -> (Verdict, Finding) {
    let report = Report::read(Cursor::new(chained(events))).unwrap();
    let found = report.findings.iter().find(|f| f.subject.starts_with("inventory of"));
    (report.verdict, found.unwrap_or_else(|| panic!("{:#?}", short(&report))).clone())
}

const WAS: Items<'_> = &[("index of gameday", "hnsw m=16"), ("role reader", "login")];

#[test]
fn the_same_again_passes() {
    let (verdict, finding) = finding(drill(Some(Ok(WAS)), Some(Ok(WAS))));
    assert_eq!((verdict, finding.verdict, finding.evidence.len()), (Pass, Pass, 2), "{finding:#?}");
}

#[test]
fn what_differs_fails_and_is_named() {
    for (is, told) in [
        (
            &[("index of gameday", "ivf_flat"), WAS[1]][..],
            "index of gameday is another (ivf_flat), and was (hnsw m=16)",
        ),
        (&[WAS[0]], "role reader is gone (login)"),
        (&[WAS[0], WAS[1], ("role intruder", "superuser")], "role intruder is new (superuser)"),
    ] {
        let (verdict, finding) = finding(drill(Some(Ok(WAS)), Some(Ok(is))));
        assert_eq!((verdict, finding.measured.as_str()), (Fail, told), "{finding:#?}");
    }
}

#[test]
fn what_a_restart_brings_to_light_fails_too() {
    let is = &[WAS[0], WAS[1], ("view stranger", "select 0")][..];
    let report =
        Report::read(Cursor::new(chained(restarted(Some(Ok(WAS)), Some(Ok(WAS)), Some(Ok(is)))))).unwrap();
    let failed: Vec<&str> =
        report.findings.iter().filter(|f| f.verdict == Fail).map(|f| f.subject.as_str()).collect();
    assert_eq!(failed, ["inventory of east/vector, after its restart"], "{:#?}", short(&report));
    let (verdict, _) = finding(restarted(Some(Ok(WAS)), Some(Ok(WAS)), None));
    assert_eq!(verdict, Unknown);
}

#[test]
fn what_nobody_listed_is_unknown() {
    let refused = Err("the server is gone");
    for (before, after) in [
        (None, Some(Ok(WAS))),
        (Some(Ok(WAS)), None),
        (None, None),
        (Some(refused), Some(Ok(WAS))),
        (Some(Ok(WAS)), Some(refused)),
    ] {
        let (verdict, finding) = finding(drill(before, after));
        assert_eq!((verdict, finding.verdict), (Unknown, Unknown), "{finding:#?}");
    }
}

#[test]
fn only_a_recovery_step_that_lists_it_explains_a_difference() {
    let is = &[("index of gameday", "ivf_flat"), WAS[1]][..];
    for (step, item, expected) in [
        ("restart", "index of gameday", Pass),
        ("restart", "index of", Fail),
        ("fault-0-kill", "index of gameday", Fail),
    ] {
        let mut all = drill(Some(Ok(WAS)), Some(Ok(is)));
        for (_, kind) in &mut all {
            if let EventKind::Acted(acted) = kind
                && acted.step == step
            {
                acted.facts.insert(EXPLAINED.to_owned(), format!("something else\n{item}"));
            }
        }
        let (verdict, finding) = finding(all);
        assert_eq!((verdict, finding.verdict), (expected, expected), "{finding:#?}");
        assert_eq!(finding.measured.contains("by step `restart`"), expected == Pass, "{finding:#?}");
    }
}

#[test]
fn a_list_in_another_phase_or_of_nothing_is_no_drills() {
    let early = {
        let mut all = drill(Some(Ok(WAS)), Some(Ok(WAS)));
        let at = all.iter().position(|(_, k)| *k == EventKind::Entered(Phase::Storm)).unwrap();
        let at_us = all[at].0;
        all.insert(at + 1, (at_us, listed(When::After, Ok(WAS))));
        all
    };
    let nowhere = {
        let mut all = drill(Some(Ok(WAS)), Some(Ok(WAS)));
        for (_, kind) in &mut all {
            if let EventKind::Inventoried(list) = kind {
                list.region = "nowhere".to_owned();
            }
        }
        all
    };
    for forged in [early, nowhere] {
        let report = Report::read(Cursor::new(chained(forged))).unwrap();
        assert_eq!(report.verdict, Unknown, "{:#?}", short(&report));
    }
}
