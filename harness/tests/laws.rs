//! Laws that hold for every scenario and every journal.

#[path = "laws/vocabulary.rs"]
mod vocabulary;

use std::io::Cursor;

use harness::{
    act::{Act, Nature},
    diagnose::Loaded,
    facts::Facts,
    journal::{Event, Reader, open_debts},
    plan::{Plan, StepKind},
    report::Report,
    scenario::{RecoverStep, Remedy, Scenario, When},
    sim::{Flaw, began, rehearse},
    time::Dur,
    topology::State,
    verdict::Verdict,
};
use proptest::{prelude::*, sample::select};
use vocabulary::{faults, scenario, small};

fn journal(scenario: &Scenario, flaw: Option<Flaw>) -> Vec<u8> {
    let plan = Plan::compile(scenario).expect("random scenarios are valid");
    let loaded = Loaded { plan, scenario: scenario.clone() };
    rehearse(&loaded, began(scenario, String::new(), Vec::new()), flaw, None)
}

fn events(journal: &[u8]) -> Vec<Event> {
    Reader::new(Cursor::new(journal)).collect::<Result<_, _>>().expect("a fresh journal can be read")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn random_drills_end_and_lose_no_undo(scenario in scenario(), flaw in prop::option::of(select(Flaw::ALL.to_vec()))) {
        let journal = journal(&scenario, flaw);
        let events = events(&journal);
        prop_assert_eq!(open_debts(&events), vec![]);
        // Everything has a limit: launch, seeding, settling, a storm of at most some dozen seconds, reading stores that
        // do not answer, undo, teardown.
        prop_assert!(events.last().unwrap().at_us < 1_500_000_000);
        let facts = Facts::of(Reader::new(Cursor::new(&journal))).unwrap();
        prop_assert_eq!(&facts.odd, &None, "an honest drill breaks the grammar");
        let report = Report::of(&facts);
        prop_assert!(!report.findings.is_empty());
        if flaw == Some(Flaw::SilentFault) {
            prop_assert_ne!(report.verdict, Verdict::Pass);
        }
    }

    #[test]
    fn journals_read_back_as_they_were_written(scenario in scenario()) {
        let journal = journal(&scenario, None);
        let mut again = Vec::new();
        for event in events(&journal) {
            serde_json::to_writer(&mut again, &event).unwrap();
            again.push(b'\n');
        }
        prop_assert!(again == journal);
    }

    #[test]
    fn a_drill_played_again_writes_the_same_journal(scenario in scenario(), flaw in prop::option::of(select(Flaw::ALL.to_vec()))) {
        prop_assert!(journal(&scenario, flaw) == journal(&scenario, flaw));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn inject_then_undo_restores_the_topology(scenario in faults()) {
        let plan = Plan::compile(&scenario).unwrap();
        let healthy = State::healthy(&plan.topology);
        let mut state = healthy.clone();
        let cues: Vec<_> = plan.cues.iter().filter(|c| c.kind == StepKind::Fault).collect();
        cues.iter().flat_map(|c| &c.acts).for_each(|a| state.apply(a));
        cues.iter().rev().flat_map(|c| &c.undo).for_each(|a| state.apply(a));
        prop_assert_eq!(state, healthy);
        for cue in cues {
            for act in cue.acts.iter().filter(|act| act.nature() == Nature::Breaks) {
                // Files that were read once more are no worse for it, and data that was damaged goes with the stack.
                let undone = |undo: &Act| {
                    undo.ends(act) || matches!(undo, Act::Discard { .. }) && undo.node() == act.node()
                };
                prop_assert!(matches!(act, Act::Reload { .. }) || cue.undo.iter().any(undone), "{act}: {:?}", cue.undo);
            }
            for undo in &cue.undo {
                let undoes = matches!(undo, Act::Start { .. }) || undo.nature() == Nature::Undoes;
                prop_assert!(undoes, "{undo}");
            }
        }
    }
}

/// A drill that passes, as short as they get.
fn passing() -> Vec<u8> {
    let mut scenario = small();
    scenario.recover = vec![RecoverStep {
        name: None,
        when: Some(When::Detected),
        at: None,
        after: None,
        priority: Default::default(),
        limit: Dur::from_secs(5),
        act: Remedy::Restart { node: "east/vector".into() },
    }];
    let journal = journal(&scenario, None);
    let report = Report::read(Cursor::new(&journal)).expect("a fresh journal can be read");
    assert_eq!(report.verdict, Verdict::Pass, "{:#?}", report.findings);
    journal
}

#[test]
fn a_journal_cut_at_any_byte_never_panics_and_never_passes() {
    let journal = passing();
    let lines: Vec<usize> =
        journal.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i).collect();
    // Every line's end and its surroundings, and bytes all over the place.
    let cuts = lines.iter().step_by(lines.len() / 60 + 1).flat_map(|i| [*i, i + 1, i / 2 + 1]);
    let end = (journal.len() - 2000)..journal.len();
    for cut in cuts.chain(end.step_by(37)).chain([0, 1, journal.len() - 1]).filter(|c| *c < journal.len()) {
        if let Ok(report) = Report::read(Cursor::new(&journal[..cut])) {
            assert_ne!(report.verdict, Verdict::Pass, "cut at {cut}");
        }
    }
}

#[test]
fn a_changed_dropped_or_swapped_line_is_found() {
    let journal = passing();
    let lines: Vec<&[u8]> = journal.split_inclusive(|b| *b == b'\n').collect();
    let middle = lines.len() / 2;
    let dropped = [&lines[..middle], &lines[middle + 1..]].concat().concat();
    let mut swapped = lines.clone();
    swapped.swap(middle, middle + 1);
    let text = String::from_utf8(journal.clone()).unwrap();
    let changed = text.replacen(r#""entered":"settle""#, r#""entered":"storm""#, 1).into_bytes();
    for altered in [dropped, swapped.concat(), changed] {
        assert!(altered != journal);
        assert!(Report::read(Cursor::new(&altered)).is_err());
    }
}

proptest! {
    #[test]
    fn garbage_is_no_journal(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(Report::read(Cursor::new(&bytes)).is_err());
    }

    #[test]
    fn a_journal_with_any_byte_changed_never_panics(at in 0usize..100_000, byte: u8) {
        thread_local! { static JOURNAL: Vec<u8> = passing(); }
        JOURNAL.with(|j| {
            let mut j = j.clone();
            let at = at % j.len();
            j[at] = byte;
            let _ = Report::read(Cursor::new(&j));
        });
    }
}
