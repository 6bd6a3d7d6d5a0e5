//! Laws that hold for every scenario and every journal.

use std::io::Cursor;

use harness::{
    act::{Artifact, CutMode, Damage, Direction, EngineChoice, RestoreScope},
    diagnose::Loaded,
    journal::{Event, Reader, open_debts},
    plan::{Plan, StepKind},
    report::Report,
    scenario::{Fault, FaultStep, RecoverStep, Remedy, Scenario, When},
    sim::{Flaw, began, rehearse},
    time::Dur,
    topology::State,
    verdict::Verdict,
};
use proptest::{prelude::*, sample::select};

const BASE: &str = r#"
name = "random"
[stack]
regions = ["east"]
roles = ["vector", "object"]
[data]
vectors = { count = 200, dim = 4, queries = 200 }
objects = { count = 20, size = 64 }
[backup]
full = ["vector"]
[load]
vector = "40/s"
object = "10/s"
[[service]]
name = "rag"
uses = ["vector", "object"]
probe = { search = {}, get = {}, every = "50ms", timeout = "300ms" }
[[fault]]
at = "1s"
inject = { kill = { node = "east/vector" } }
[objectives]
rto = "4s"
rpo = "0s"
quality = 0.98
stable_for = "500ms"
"#;

fn base() -> Scenario {
    harness::diagnose::load(BASE.as_bytes(), &[]).expect("the base is valid").scenario
}

fn node() -> impl Strategy<Value = String> {
    select(vec!["east/vector", "east/object"]).prop_map(str::to_owned)
}

fn fault() -> impl Strategy<Value = Fault> {
    let vector = || "east/vector".to_owned();
    let files = select(vec![Artifact::Index, Artifact::Segment, Artifact::Log, Artifact::Manifest]);
    prop_oneof![
        node().prop_map(|node| Fault::Kill { node }),
        node().prop_map(|node| Fault::Stop { node }),
        node().prop_map(|node| Fault::Pause { node }),
        node().prop_map(|node| Fault::Restart { node }),
        files.prop_map(move |what| Fault::Corrupt { node: vector(), what, how: Damage::Flip, fraction: 0.1 }),
        Just(Fault::Corrupt {
            node: "east/object".into(),
            what: Artifact::Object,
            how: Damage::Zero,
            fraction: 0.1
        }),
        (
            node(),
            select(vec![CutMode::Refuse, CutMode::Blackhole]),
            select(vec![Direction::Both, Direction::ToNode, Direction::FromNode])
        )
            .prop_map(|(to, mode, direction)| Fault::Cut { to, mode, direction }),
        (node(), 1u64..500).prop_map(|(to, ms)| Fault::Delay { to, by: Dur::from_millis(ms) }),
    ]
}

prop_compose! {
    fn fault_step(i: usize)(
        inject in fault(),
        at in 0u64..3000,
        hold in prop::option::of(100u64..3000),
        after: bool,
    ) -> FaultStep {
        let follows = (after && i > 0).then(|| format!("f{}", i - 1));
        let at = follows.is_none().then_some(Dur::from_millis(at));
        FaultStep { name: Some(format!("f{i}")), at, after: follows, hold: hold.map(Dur::from_millis), inject }
    }
}

fn remedy() -> impl Strategy<Value = Remedy> {
    let vector = || "east/vector".to_owned();
    prop_oneof![
        node().prop_map(|node| Remedy::Restart { node }),
        Just(Remedy::Restore { node: vector(), scope: RestoreScope::Full }),
        Just(Remedy::Rebuild { node: vector(), engine: EngineChoice::Auto }),
        Just(Remedy::None {}),
    ]
}

prop_compose! {
    fn recover_step()(act in remedy(), detected: bool, at in 0u64..5000, priority in 0..3, limit in 1u64..10) -> RecoverStep {
        use harness::scenario::Priority::{BusinessCritical, Critical, Operational};
        let priority = [Critical, BusinessCritical, Operational][priority as usize];
        let (when, at) = if detected { (Some(When::Detected), None) } else { (None, Some(Dur::from_millis(at))) };
        RecoverStep { name: None, when, at, after: None, priority, limit: Dur::from_secs(limit), act }
    }
}

prop_compose! {
    fn scenario()(
        faults in (1usize..4).prop_flat_map(|n| (0..n).map(fault_step).collect::<Vec<_>>()),
        recover in prop::collection::vec(recover_step(), 0..3),
        seed: u64,
    ) -> Scenario {
        Scenario { fault: faults, recover, seed, ..base() }
    }
}

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
        // Everything has a limit: launch, seeding, settling, a storm of at most some dozen seconds, undo, teardown.
        prop_assert!(events.last().unwrap().at_us < 400_000_000);
        let report = Report::read(Cursor::new(&journal)).unwrap();
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
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn inject_then_undo_restores_the_topology(faults in prop::collection::vec(fault(), 1..8)) {
        let fault = |(i, inject)| FaultStep {
            name: Some(format!("f{i}")), at: Some(Dur::from_secs(1)), after: None, hold: None, inject,
        };
        let scenario = Scenario { fault: faults.into_iter().enumerate().map(fault).collect(), ..base() };
        let plan = Plan::compile(&scenario).unwrap();
        let healthy = State::healthy(&plan.topology);
        let mut state = healthy.clone();
        let cues: Vec<_> = plan.cues.iter().filter(|c| c.kind == StepKind::Fault).collect();
        cues.iter().flat_map(|c| &c.acts).for_each(|a| state.apply(a));
        cues.iter().rev().flat_map(|c| &c.undo).for_each(|a| state.apply(a));
        prop_assert_eq!(state, healthy);
    }
}

/// A drill that passes, as short as they get.
fn passing() -> Vec<u8> {
    let mut scenario = base();
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
