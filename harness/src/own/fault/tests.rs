//! Journals of fault drills: one that passes, and what each single thing that goes wrong makes of it.

mod mistakes;

use super::{
    event::{
        Canaries, Command, Event, FORMAT, FaultBegan, FaultEvent as E, Look, Looked, Pass, Ran, Sown, Stage,
        Task, Witnessed,
    },
    *,
};
use crate::{
    journal::{Ending, Probed},
    own::event::{Asked, Planted, Sum},
    report::Report,
    verdict::Verdict::{self, Fail, Pass as Good, Unknown},
};

const START: u64 = 1_800_000_000_000_000;
const S: u64 = 1_000_000;

const STACK: &str = r#"
name = "shop"
level = "staging"
[allow]
components = ["db"]
[component]
db = { product = "postgres", dsn_env = "DB_DSN" }
cache = { product = "command" }
[service.orders]
uses = ["db"]
priority = "critical"
probe = { every = "500ms", timeout = "1s", tcp = { address = "127.0.0.1:5432" } }
[canary]
db = { table = "gameday_canary" }
[witness]
orders = { component = "db", sql = "select id from orders where at < $T0" }
"#;

const DRILL: &str = r#"
kind = "fault"
name = "db_crash"
stack_file = "stack.toml"
[[fault]]
name = "crash"
component = "db"
inject = { command = { run = ["./crash"] } }
observe = { run = ["./is-down"] }
undo = { run = ["./start"] }
[[recover]]
name = "runbook"
when = "detected"
component = "db"
act = { command = { run = ["./start"] } }
[objectives]
rto = "30s"
rpo = "0s"
stable_for = "3s"
"#;

fn read(drill: &str, stack: &str) -> Drill {
    let stack = crate::own::stack(stack.as_bytes()).unwrap_or_else(|e| panic!("{e:?}"));
    super::drill(drill.as_bytes(), &[], |_| Ok(stack.clone())).unwrap_or_else(|e| panic!("{e:?}"))
}

fn sum(rows: u64) -> Sum {
    let groups =
        if rows == 0 { Vec::new() } else { vec![(0, rows, crate::journal::digest(&rows.to_le_bytes()))] };
    Sum { rows, bytes: 8 * rows, groups }
}

fn witnessed(pass: Pass, rows: u64) -> E {
    E::Witnessed(Box::new(Witnessed { witness: "orders".into(), pass, sum: Some(sum(rows)), none: None }))
}

fn which(task: Task) -> Command {
    Command { task, step: if task == Task::Recover { "runbook".into() } else { "crash".into() } }
}

fn ran(task: Task, began_us: u64, code: i32) -> E {
    E::Ran(Ran {
        command: which(task),
        began_us,
        code: Some(code),
        how: format!("exit code {code}"),
        printed: 0,
    })
}

fn looked(look: Look, began_us: u64, there: Option<bool>) -> E {
    E::Looked(Looked { fault: "crash".into(), look, began_us, there, how: "exit code".into() })
}

fn probe(n: u64, good: bool) -> (u64, E) {
    let due_us = 2 * S + n * S / 2;
    let bad = (!good).then(|| "refused".to_owned());
    let (service, done_us, shown) = ("orders".into(), due_us + 1000, Default::default());
    (done_us, E::Probed(Probed { service, n, due_us, sent_us: due_us, done_us, bad, shown }))
}

fn sown(n: u64, done_us: u64) -> (u64, E) {
    let (component, id, digest) = ("db".into(), format!("c-{n}"), format!("{n:064x}"));
    (done_us, E::Planted(Sown { component, n, id, digest, sent_us: done_us - 1000, done_us, failed: None }))
}

fn canaries(ids: &[u64]) -> E {
    of_pass(Pass::Recovered, ids)
}

fn of_pass(pass: Pass, ids: &[u64]) -> E {
    let planted = |n: &u64| Planted {
        at_unix_us: START + n,
        store_unix_us: None,
        id: format!("c-{n}"),
        digest: format!("{n:064x}"),
    };
    E::Canaries(Box::new(Canaries {
        component: "db".into(),
        pass,
        list: ids.iter().map(planted).collect(),
        none: None,
    }))
}

/// A drill as it should be: steady from 2 s to 8 s, broken at 8 s, back at 11 s, watched until 16 s.
fn events() -> Vec<(u64, E)> {
    let asked =
        Asked { service: "orders".into(), due_us: 19 * S, sent_us: 19 * S, done_us: 19 * S, bad: None };
    let mut all = vec![
        (0, E::Entered(Stage::Prepare)),
        (1000, looked(Look::Before, 500, Some(false))),
        (S, E::Entered(Stage::Before)),
        (S + 1, witnessed(Pass::Before, 100)),
        (2 * S - 1, E::Entered(Stage::Settle)),
        sown(0, 3 * S),
        sown(1, 7 * S),
        (6 * S, E::Entered(Stage::Storm)),
        (8 * S, E::Starts(which(Task::Inject))),
        (8 * S + 100_000, ran(Task::Inject, 8 * S, 0)),
        (8 * S + 200_000, looked(Look::Struck, 8 * S + 100_000, Some(true))),
        (9 * S + 100_000, E::Detected { service: "orders".into() }),
        (9 * S + 200_000, E::Starts(which(Task::Recover))),
        (10 * S + 900_000, ran(Task::Recover, 9 * S + 200_000, 0)),
        sown(2, 12 * S),
        (16 * S, E::Entered(Stage::ReadBack)),
        (16 * S + 1, witnessed(Pass::Recovered, 100)),
        (16 * S + 2, canaries(&[0, 1, 2])),
        (17 * S, E::Entered(Stage::Undo)),
        (17 * S + 1, E::Starts(which(Task::Undo))),
        (17 * S + 2, ran(Task::Undo, 17 * S + 1, 0)),
        (17 * S + 3, looked(Look::Gone, 17 * S + 2, Some(false))),
        (18 * S, E::Entered(Stage::After)),
        (19 * S, E::Asked(asked)),
        (19 * S + 1, witnessed(Pass::Undone, 100)),
        (19 * S + 2, of_pass(Pass::Undone, &[0, 1, 2])),
        (20 * S, E::Ended(Ending::Complete)),
    ];
    all.extend((0..28).map(|n| probe(n, !(13..18).contains(&n))));
    all.sort_by_key(|(at, _)| *at);
    all
}

fn report_of(drill: &str, events: Vec<(u64, E)>) -> Report {
    let d = read(drill, STACK);
    let began = FaultBegan {
        format: FORMAT,
        run: "20261201T000000Z-db_crash-0".into(),
        started: "2026-12-01T00:00:00Z".into(),
        started_unix_us: START,
        gameday: "0.2.0".into(),
        drill_sha256: "0".repeat(64),
        stack_sha256: "1".repeat(64),
        drill: d.fault,
        stack: d.stack,
        overrides: Vec::new(),
        machine: "a machine".into(),
        rehearsed: false,
    };
    let first = (0, E::FaultBegan(Box::new(began)));
    let numbered = std::iter::once(first).chain(events).enumerate();
    let event =
        |(n, (at_us, kind)): (usize, (u64, E))| Ok(Event { seq: n as u64, at_us, prev: String::new(), kind });
    Report::of_fault(&Facts::of(numbered.map(event)).unwrap())
}

fn report(events: Vec<(u64, E)>) -> Report {
    report_of(DRILL, events)
}

/// The drill with some events in place of others: `change` answers `None` to leave one out.
fn changed(change: impl Fn(u64, E) -> Option<E>) -> Report {
    report(events().into_iter().filter_map(|(at, e)| Some((at, change(at, e)?))).collect())
}

fn finding(report: &Report, objective: &str) -> (Verdict, String) {
    let all: Vec<_> = report.findings.iter().filter(|f| f.objective == objective).collect();
    let worst = all.iter().max_by_key(|f| f.verdict).unwrap_or_else(|| panic!("no {objective}"));
    (worst.verdict, worst.why.clone())
}

#[test]
fn a_drill_as_it_should_be_passes() {
    let report = report(events());
    let doubts: Vec<_> = report.findings.iter().filter(|f| f.verdict != Good).collect();
    assert!(doubts.is_empty(), "{doubts:#?}");
    assert_eq!(report.verdict, Good);
    let s = &report.services[0];
    // The last bad question was sent at 10.5 s, the first good answer came at 11.001 s; the fault was issued at 8 s.
    assert_eq!((s.rto_early_us, s.rto_us), (Some(2_500_000), Some(3_001_000)));
    assert_eq!(s.detected_us, Some(1_100_000));
    assert_eq!(report.proves_little, Vec::<String>::new());
}

/// What is changed, the finding that has to say so, and its verdict.
type Case = (&'static str, fn(u64, E) -> Option<E>, &'static str, Verdict);

#[test]
fn nothing_that_goes_wrong_passes() {
    let cases: Vec<Case> = vec![
        (
            "the effect was there before",
            |_, e| match e {
                E::Looked(l) if l.look == Look::Before => Some(E::Looked(Looked { there: Some(true), ..l })),
                e => Some(e),
            },
            "effect",
            Unknown,
        ),
        (
            "nobody looked before",
            |_, e| match e {
                E::Looked(l) if l.look == Look::Before => None,
                e => Some(e),
            },
            "effect",
            Unknown,
        ),
        (
            "the effect was never seen",
            |_, e| match e {
                E::Looked(l) if l.look == Look::Struck => Some(E::Looked(Looked { there: Some(false), ..l })),
                e => Some(e),
            },
            "rto",
            Unknown,
        ),
        (
            "nobody could tell",
            |_, e| match e {
                E::Looked(l) if l.look == Look::Struck => Some(E::Looked(Looked { there: None, ..l })),
                e => Some(e),
            },
            "effect",
            Unknown,
        ),
        (
            "the inject command failed",
            |_, e| match e {
                E::Ran(r) if r.command.task == Task::Inject => Some(E::Ran(Ran { code: Some(1), ..r })),
                e => Some(e),
            },
            "effect",
            Unknown,
        ),
        (
            "the runbook failed",
            |_, e| match e {
                E::Ran(r) if r.command.task == Task::Recover => Some(E::Ran(Ran { code: Some(3), ..r })),
                e => Some(e),
            },
            "recovery",
            Fail,
        ),
        (
            "nobody knows how the runbook ended",
            |_, e| match e {
                E::Ran(r) if r.command.task == Task::Recover => None,
                e => Some(e),
            },
            "recovery",
            Unknown,
        ),
        (
            "the service is bad to the end",
            |at, e| match e {
                E::Probed(p) if at > 11 * S => Some(E::Probed(Probed { bad: Some("refused".into()), ..p })),
                e => Some(e),
            },
            "rto",
            Unknown,
        ),
        (
            "a relapse at the end",
            |_, e| match e {
                E::Probed(p) if p.n == 26 => Some(E::Probed(Probed { bad: Some("refused".into()), ..p })),
                e => Some(e),
            },
            "rto",
            Unknown,
        ),
        (
            "a probe is missing",
            |_, e| match e {
                E::Probed(p) if p.n == 22 => None,
                e => Some(e),
            },
            "rto",
            Unknown,
        ),
        (
            "it was bad before",
            |_, e| match e {
                E::Probed(p) if p.n == 9 => Some(E::Probed(Probed { bad: Some("refused".into()), ..p })),
                e => Some(e),
            },
            "steady",
            Unknown,
        ),
        (
            "a row is gone",
            |_, e| match e {
                E::Witnessed(w) if w.pass == Pass::Recovered => Some(witnessed(Pass::Recovered, 99)),
                e => Some(e),
            },
            "data",
            Fail,
        ),
        (
            "the data cannot be read",
            |_, e| match e {
                E::Witnessed(w) if w.pass == Pass::Recovered => {
                    Some(E::Witnessed(Box::new(Witnessed { sum: None, none: Some("refused".into()), ..*w })))
                }
                e => Some(e),
            },
            "data",
            Fail,
        ),
        (
            "the data was not read again",
            |_, e| match e {
                E::Witnessed(w) if w.pass == Pass::Recovered => None,
                e => Some(e),
            },
            "data",
            Unknown,
        ),
        (
            "a row is gone after the undo",
            |_, e| match e {
                E::Witnessed(w) if w.pass == Pass::Undone => Some(witnessed(Pass::Undone, 99)),
                e => Some(e),
            },
            "data_after",
            Fail,
        ),
        (
            "a canary of before is gone",
            |_, e| match e {
                E::Canaries(c) if c.pass == Pass::Recovered => Some(canaries(&[0, 2])),
                e => Some(e),
            },
            "rpo",
            Fail,
        ),
        (
            "one that was acknowledged after the fault is gone",
            |_, e| match e {
                E::Canaries(c) if c.pass == Pass::Recovered => Some(canaries(&[0, 1])),
                e => Some(e),
            },
            "rpo",
            Fail,
        ),
        (
            "one came back with another value",
            |_, e| match e {
                E::Canaries(mut c) if c.pass == Pass::Recovered => {
                    c.list[1].digest = "f".repeat(64);
                    Some(E::Canaries(c))
                }
                e => Some(e),
            },
            "rpo",
            Fail,
        ),
        (
            "the canaries were not read",
            |_, e| match e {
                E::Canaries(c) if c.pass == Pass::Recovered => None,
                e => Some(e),
            },
            "rpo",
            Unknown,
        ),
        (
            "no canary was there before",
            |_, e| match e {
                E::Planted(s) if s.n < 2 => None,
                E::Canaries(c) if c.pass == Pass::Recovered => Some(canaries(&[2])),
                e => Some(e),
            },
            "rpo",
            Unknown,
        ),
        (
            "the fault is still there",
            |_, e| match e {
                E::Looked(l) if l.look == Look::Gone => Some(E::Looked(Looked { there: Some(true), ..l })),
                e => Some(e),
            },
            "cleanup",
            Fail,
        ),
        (
            "nobody looked whether it is gone",
            |_, e| match e {
                E::Looked(l) if l.look == Look::Gone => None,
                e => Some(e),
            },
            "cleanup",
            Unknown,
        ),
        (
            "the service is bad after the undo",
            |_, e| match e {
                E::Asked(a) => Some(E::Asked(Asked { bad: Some("refused".into()), ..a })),
                e => Some(e),
            },
            "after",
            Fail,
        ),
        (
            "nobody asked it again",
            |_, e| match e {
                E::Asked(_) => None,
                e => Some(e),
            },
            "after",
            Unknown,
        ),
        (
            "it was given up",
            |_, e| match e {
                E::Ended(_) => Some(E::Ended(Ending::Aborted)),
                e => Some(e),
            },
            "conduct",
            Unknown,
        ),
        ("it breaks off", |at, e| (at < 20 * S).then_some(e), "conduct", Unknown),
        (
            "a command that nobody started",
            |_, e| match e {
                E::Starts(c) if c.task == Task::Recover => None,
                e => Some(e),
            },
            "conduct",
            Unknown,
        ),
        (
            "a stage is missing at the end",
            |_, e| match e {
                E::Entered(Stage::After) => None,
                e => Some(e),
            },
            "conduct",
            Unknown,
        ),
    ];
    for (what, change, objective, verdict) in cases {
        let report = changed(change);
        let (found, why) = finding(&report, objective);
        assert_eq!(found, verdict, "{what}: {why}\n{:#?}", report.findings);
        assert!(!why.is_empty(), "{what}: no reason");
        assert!(report.verdict >= verdict, "{what}: {:?}", report.verdict);
    }
}

#[test]
fn what_was_written_after_recovery_may_not_be_lost_whatever_the_rpo() {
    let generous = DRILL.replace("rpo = \"0s\"", "rpo = \"1h\"");
    let with = |there: &[u64]| {
        let all = events().into_iter().map(|(at, e)| {
            (
                at,
                match e {
                    E::Canaries(c) => of_pass(c.pass, there),
                    e => e,
                },
            )
        });
        report_of(&generous, all.collect())
    };
    // One of before the fault may be lost; one that was sent after the runbook had ended may not.
    assert_eq!(with(&[0, 2]).verdict, Good, "{:#?}", with(&[0, 2]).findings);
    let (verdict, why) = finding(&with(&[0, 1]), "rpo");
    assert!(verdict == Fail && why.contains("after recovery had ended"), "{why}");
}

#[test]
fn a_runbook_of_another_time_or_component_does_not_end_a_fault_that_was_to_hold() {
    let two =
        DRILL.replace("inject =", "for = \"2s\"\ninject =").replace("when = \"detected\"", "at = \"0s\"");
    let with = |drill: &str, ran_at: u64| {
        let mut all: Vec<_> = events()
            .into_iter()
            .filter(|(_, e)| {
                !matches!(e, E::Starts(c) if c.task != Task::Inject)
                    && !matches!(e, E::Ran(r) if r.command.task != Task::Inject)
                    && !matches!(e, E::Looked(l) if l.look == Look::Gone)
            })
            .collect();
        all.extend([
            (ran_at, E::Starts(which(Task::Recover))),
            (ran_at + 100, ran(Task::Recover, ran_at, 0)),
            (10 * S + 200_000, looked(Look::Held, 10 * S + 200_000, Some(false))),
            (10 * S + 200_001, E::Starts(which(Task::Undo))),
            (10 * S + 300_000, ran(Task::Undo, 10 * S + 200_001, 0)),
            (10 * S + 400_000, looked(Look::Gone, 10 * S + 300_000, Some(false))),
        ]);
        all.sort_by_key(|(at, _)| *at);
        finding(&report_of(drill, all), "effect").0
    };
    assert_eq!(with(&two, 9 * S), Good);
    assert_eq!(with(&two, 7 * S), Unknown);
    assert_eq!(with(&two, 12 * S), Unknown);
}

#[test]
fn any_single_event_less_never_makes_a_pass_of_other_figures() {
    let whole = report(events());
    for left_out in 0..events().len() {
        let some: Vec<_> =
            events().into_iter().enumerate().filter(|(n, _)| *n != left_out).map(|(_, e)| e).collect();
        let report = report(some);
        if report.verdict == Good {
            let rto = |r: &Report| r.services[0].rto_us;
            assert!(rto(&report) >= rto(&whole), "without event {left_out} it passes, and was faster");
        }
    }
}

#[test]
fn a_fault_that_held_too_short_proves_nothing() {
    let held = DRILL.replace("inject =", "for = \"2s\"\ninject =").replace(
        "when = \"detected\"\ncomponent = \"db\"\nact = { command = { run = [\"./start\"] } }",
        "act = { none = {} }",
    );
    let drill = |there: bool| {
        let mut all: Vec<_> = events()
            .into_iter()
            .filter(|(_, e)| {
                let of = |c: &Command| c.task != Task::Inject;
                !matches!(e, E::Starts(c) if of(c))
                    && !matches!(e, E::Ran(r) if of(&r.command))
                    && !matches!(e, E::Looked(l) if l.look == Look::Gone)
            })
            .collect();
        all.extend([
            (10 * S + 200_000, looked(Look::Held, 10 * S + 200_000, Some(there))),
            (10 * S + 200_001, E::Starts(which(Task::Undo))),
            (10 * S + 300_000, ran(Task::Undo, 10 * S + 200_001, 0)),
            (10 * S + 400_000, looked(Look::Gone, 10 * S + 300_000, Some(false))),
        ]);
        all.sort_by_key(|(at, _)| *at);
        report_of(&held, all)
    };
    assert_eq!(drill(true).verdict, Good, "{:#?}", drill(true).findings);
    assert!(drill(true).services[0].lifted);
    assert_eq!(finding(&drill(false), "effect").0, Unknown);
    assert_eq!(drill(false).verdict, Unknown);
}

#[test]
fn an_undo_that_fails_where_nothing_is_left_to_undo_is_no_failure() {
    let report = changed(|_, e| match e {
        E::Ran(r) if r.command.task == Task::Undo => Some(E::Ran(Ran { code: Some(1), ..r })),
        e => Some(e),
    });
    assert_eq!(report.verdict, Good);
    let cleanup = report.findings.iter().find(|f| f.objective == "cleanup").unwrap();
    assert!(cleanup.measured.contains("though the undo ended with"), "{}", cleanup.measured);
}

#[test]
fn a_runbook_that_was_not_needed_is_told_of() {
    let absorbed = changed(|_, e| match e {
        E::Probed(p) => Some(E::Probed(Probed { bad: None, ..p })),
        E::Detected { .. } => None,
        E::Starts(c) if c.task == Task::Recover => None,
        E::Ran(r) if r.command.task == Task::Recover => None,
        e => Some(e),
    });
    assert_eq!(absorbed.verdict, Good);
    let said = absorbed.proves_little.join("\n");
    assert!(said.contains("never run") && said.contains("no service noticed"), "{said}");
}
