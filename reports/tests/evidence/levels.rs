//! The level of a stack is what was signed, and one that its world can have.

use std::fs;

use harness::{journal::EventKind, ports::CountsAs, scenario::WorldName};
use reports::evidence::ledger::{Entry, Head};

use crate::{
    stand::{As, Stand, journal},
    tampering::{chained, rewritten},
};

/// Only what gameday did not launch is anything but a rehearsal, whoever signs it.
#[test]
fn a_world_that_cannot_count_as_that_is_found() {
    for (how, world, counts_as) in [
        (As::Simulated, WorldName::Sim, CountsAs::Production),
        (As::Real, WorldName::Local, CountsAs::Staging),
        (As::Real, WorldName::Docker, CountsAs::Disposable),
        (As::Real, WorldName::Own, CountsAs::Rehearsal),
    ] {
        let journal = rewritten(&journal(how, "r1"), |kind| {
            if let EventKind::Began(began) = kind {
                (began.world, began.counts_as) = (world, counts_as);
            }
        });
        let mut stand = Stand::new();
        stand.declare_with("r1", how, |d| (d.world, d.counts_as) = (world, counts_as));
        stand.close("r1", &journal);
        let at_first = stand.verify(None, false).problems;
        assert!(at_first.iter().any(|p| p.what.contains("it claims to")), "{world}: {at_first:?}");
        let problems = stand.problems().join("\n");
        assert!(problems.contains("journal.jsonl: it claims to"), "{world}: {problems}");
    }
}

/// A level that is raised after the fact, where it is declared or where it was played.
#[test]
fn a_level_that_is_raised_is_found() {
    let raised = |kind: &mut EventKind| {
        if let EventKind::Began(began) = kind {
            began.counts_as = CountsAs::Production;
        }
    };
    // By the holder of the key: ledger and journal no longer say the same.
    for in_ledger in [true, false] {
        let mut stand = Stand::new();
        let said = if in_ledger { CountsAs::Production } else { CountsAs::Staging };
        stand.declare_with("r1", As::Staging, |d| d.counts_as = said);
        let played = journal(As::Staging, "r1");
        stand.close("r1", &if in_ledger { played } else { rewritten(&played, raised) });
        assert_eq!(stand.verify(None, false).problems, []);
        let problems = stand.problems().join("\n");
        assert!(problems.contains("its worth is not what was declared before the drill"), "{problems}");
    }
    // By anybody else: what was signed is no longer what lies there.
    let mut stand = Stand::new();
    stand.play("r1", As::Staging);
    assert_eq!(stand.problems(), Vec::<String>::new());
    let higher = |file: &str| {
        let before = fs::read_to_string(stand.file(file)).unwrap();
        let after = before.replacen("\"staging\"", "\"production\"", 1);
        assert_ne!(before, after);
        after
    };
    let found = |says: &str| {
        let problems = stand.problems().join("\n");
        assert!(problems.contains(says), "{says}: {problems}");
    };
    let (played, ledger) = (higher("r1/journal.jsonl"), higher("runs.jsonl"));
    let before = fs::read(stand.file("r1/journal.jsonl")).unwrap();
    fs::write(stand.file("r1/journal.jsonl"), played).unwrap();
    found("journal.jsonl: it was changed after it was signed");
    fs::write(stand.file("r1/journal.jsonl"), before).unwrap();
    fs::write(stand.file("runs.jsonl"), &ledger).unwrap();
    found("it does not follow from the line before it");
    let entries = ledger.lines().map(|l| serde_json::from_str::<Entry>(l).unwrap());
    let (chained, ledger) = chained(entries);
    fs::write(stand.file("runs.jsonl"), &chained).unwrap();
    fs::write(stand.file("HEAD"), Head::of(&ledger, &chained).text()).unwrap();
    found("HEAD.sig: it is not a signature over these bytes");
}
