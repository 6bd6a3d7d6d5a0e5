//! Journals of restore drills: one that passes, and what each single thing that goes wrong makes of it.

mod searched;

use super::{
    event::{
        Canaries, Debt, Event, FORMAT, Holds, Identified, Nonce, Pass, Place, Planted, Ran, RestoreBegan,
        RestoreEvent as E, Stage, Sum, Task, Witnessed,
    },
    facts::INVENTORY,
    *,
};
use crate::{journal::Ending, report::Report, verdict::Verdict};

const START: u64 = 1_800_000_000_000_000;
const MINUTE: u64 = 60_000_000;

const STACK: &str = r#"
name = "rag"
level = "staging"
[allow]
components = ["db"]
[component]
db = { product = "postgres", dsn_env = "DB_DSN" }
[canary]
db = { table = "gameday_canary" }
[witness]
orders = { component = "db", sql = "select id from orders where at < $T0" }
users = { component = "db", sql = "select id from users" }
"#;

const DRILL: &str = r#"
kind = "restore"
name = "restore_db"
stack_file = "stack.toml"
source = "db"
scratch = { product = "postgres", dsn_env = "SCRATCH_DSN" }
restore = { run = ["./restore"], env = ["SCRATCH_DSN"], limit = "5m" }
cleanup = { run = ["./empty"], env = ["SCRATCH_DSN"] }
restart = { run = ["./restart"] }
[objectives]
rto = "2m"
rpo = "15m"
durable = true
"#;

fn read(drill: &str, stack: &str) -> Drill {
    let stack = super::stack(stack.as_bytes()).unwrap();
    super::drill(drill.as_bytes(), &[], |_| Ok(stack.clone())).unwrap()
}

fn sum(rows: &[&str]) -> Sum {
    // What a line adds does not matter here: that equal lines add the same does.
    let mut groups: Vec<(u16, u64, String)> = rows
        .iter()
        .map(|r| {
            let digest = crate::journal::digest(r.as_bytes());
            (u16::from_str_radix(&digest[..2], 16).unwrap(), 1, digest)
        })
        .collect();
    groups.sort();
    groups.dedup_by_key(|g| g.0);
    Sum { rows: groups.iter().map(|g| g.1).sum(), bytes: 0, groups }
}

fn witnessed(witness: &str, pass: Pass, rows: &[&str]) -> E {
    E::Witnessed(Box::new(Witnessed { witness: witness.into(), pass, sum: Some(sum(rows)), none: None }))
}

fn unread(witness: &str, pass: Pass) -> E {
    E::Witnessed(Box::new(Witnessed {
        witness: witness.into(),
        pass,
        sum: None,
        none: Some("denied".into()),
    }))
}

/// Canaries planted so many minutes before the drill.
fn canaries(pass: Pass, ages: &[u64]) -> E {
    let planted = |age: &u64| {
        let at_unix_us = START - age * MINUTE;
        let (id, digest) = (format!("c-{at_unix_us}"), crate::journal::digest(&age.to_be_bytes()));
        Planted { at_unix_us, store_unix_us: Some(at_unix_us), id, digest }
    };
    let mut list: Vec<Planted> = ages.iter().map(planted).collect();
    list.sort();
    E::Canaries(Box::new(Canaries {
        pass,
        count: list.len() as u64,
        list,
        clock_ahead_us: Some(0),
        none: None,
    }))
}

fn said(place: Place, after: bool, started: &str) -> E {
    let oid = if place == Place::Source { "1" } else { "2" };
    let facts =
        [("system_identifier", "7"), ("database_oid", oid), ("started", started), ("in_recovery", "false")];
    let facts = facts.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    E::Identified(Identified { place, after, facts, none: None })
}

fn nonce(written: Place, after: bool, seen: Option<bool>) -> E {
    E::Nonce(Nonce { written, after, seen, why: String::new() })
}

/// A record of ours, written, looked for and removed.
fn looked(written: Place, after: bool) -> [E; 3] {
    let id = format!("{}{}", if written == Place::Source { "a" } else { "b" }, u8::from(after));
    let debt = Debt { id, place: written, what: "canary".into() };
    [E::Intended(debt.clone()), nonce(written, after, Some(false)), E::Paid(debt)]
}

fn holds(after: bool, count: Option<u64>) -> E {
    E::Holds(Holds { after, things: Vec::new(), count, unreachable: None })
}

/// Stamps are set when the journal is made: a command begins with the event before it.
fn ran(what: Task, code: Option<i32>) -> E {
    E::Ran(Ran { what, began_us: u64::MAX, code, how: "ended".into(), printed: 0 })
}

fn in_recovery(mut said: E) -> E {
    if let E::Identified(i) = &mut said {
        i.facts.insert("in_recovery".into(), "true".into());
    }
    said
}

const ROWS: [&str; 4] = ["a", "b", "c", "d"];

fn played() -> Vec<E> {
    let asked = |after: bool| [Place::Source, Place::Scratch].into_iter().flat_map(move |p| looked(p, after));
    let mut all = vec![
        E::Entered(Stage::Prepare),
        said(Place::Source, false, "monday"),
        said(Place::Scratch, false, "tuesday"),
    ];
    all.extend(asked(false));
    all.extend([
        ran(Task::CleanupBefore, Some(0)),
        holds(false, Some(0)),
        E::Entered(Stage::Before),
        witnessed("orders", Pass::Before, &ROWS),
        witnessed("users", Pass::Before, &ROWS),
        witnessed(INVENTORY, Pass::Before, &["table"]),
        canaries(Pass::Before, &[30, 20, 10, 5]),
        witnessed("orders", Pass::Empty, &[]),
        unread("users", Pass::Empty),
        E::Entered(Stage::Restore),
        ran(Task::Restore, Some(0)),
        E::Entered(Stage::Verify),
        witnessed("orders", Pass::Restored, &ROWS),
        witnessed("users", Pass::Restored, &ROWS),
        canaries(Pass::Restored, &[30, 20, 10]),
        said(Place::Source, true, "monday"),
        said(Place::Scratch, true, "tuesday"),
    ]);
    all.extend(asked(true));
    all.extend([
        E::Entered(Stage::Restart),
        ran(Task::Restart, Some(0)),
        E::Entered(Stage::VerifyAgain),
        witnessed("orders", Pass::Restarted, &ROWS),
        witnessed("users", Pass::Restarted, &ROWS),
        canaries(Pass::Restarted, &[30, 20, 10]),
        said(Place::Scratch, true, "wednesday"),
        E::Entered(Stage::Cleanup),
        ran(Task::CleanupAfter, Some(0)),
        holds(true, Some(0)),
        E::Entered(Stage::After),
        witnessed("orders", Pass::After, &ROWS),
        witnessed("users", Pass::After, &ROWS),
        witnessed(INVENTORY, Pass::After, &["table"]),
        E::Ended(Ending::Complete),
    ]);
    all
}

/// Each event a second after the one before.
fn judged(events: Vec<E>) -> Report {
    judged_of(&read(DRILL, STACK), events)
}

fn judged_of(drill: &Drill, events: Vec<E>) -> Report {
    let drill = drill.clone();
    let began = RestoreBegan {
        format: FORMAT,
        run: "r".into(),
        started: "2027-01-15T08:00:00Z".into(),
        started_unix_us: START,
        gameday: "0".into(),
        drill_sha256: String::new(),
        stack_sha256: String::new(),
        drill: drill.restore,
        stack: drill.stack,
        overrides: Vec::new(),
        machine: String::new(),
        rehearsed: false,
    };
    let all = std::iter::once(E::RestoreBegan(Box::new(began))).chain(events);
    let all = all.enumerate().map(|(i, mut kind)| {
        let at_us = i as u64 * 1_000_000;
        if let E::Ran(ran) = &mut kind
            && ran.began_us == u64::MAX
        {
            ran.began_us = at_us - 1_000_000;
        }
        Ok(Event { seq: i as u64, at_us, prev: String::new(), kind })
    });
    Report::of_restore(&Facts::of(all).unwrap())
}

/// The same with one event replaced; by nothing, if it is dropped.
fn with(find: impl Fn(&E) -> bool, by: Option<E>) -> Vec<E> {
    let mut all = played();
    let at = all.iter().position(find).expect("there is such an event");
    match by {
        Some(by) => all[at] = by,
        None => drop(all.remove(at)),
    }
    all
}

fn is_witness(name: &'static str, pass: Pass) -> impl Fn(&E) -> bool {
    move |e| matches!(e, E::Witnessed(w) if w.witness == name && w.pass == pass)
}

fn is_canaries(pass: Pass) -> impl Fn(&E) -> bool {
    move |e| matches!(e, E::Canaries(c) if c.pass == pass)
}

fn is_ran(task: Task) -> impl Fn(&E) -> bool {
    move |e| matches!(e, E::Ran(r) if r.what == task)
}

fn verdict(report: &Report, objective: &str) -> Verdict {
    let of = report.findings.iter().filter(|f| f.objective == objective).map(|f| f.verdict);
    Verdict::worst(of)
}

#[test]
fn a_drill_that_went_well_passes_and_says_by_how_much() {
    let report = judged(played());
    let doubts: Vec<_> = report.findings.iter().filter(|f| f.verdict != Verdict::Pass).collect();
    assert_eq!(report.verdict, Verdict::Pass, "{doubts:?}");
    let r = report.restore.unwrap();
    assert_eq!((r.rto_us, r.command_us), (Some(5_000_000), Some(1_000_000)));
    assert_eq!(r.age_us, Some((5 * MINUTE, 10 * MINUTE)));
    assert_eq!((r.canaries, r.canaries_back, r.canaries_harmed), (4, 3, 0));
    assert_eq!(r.share_back(), Some(1.0));
}

#[test]
fn each_thing_that_goes_wrong_has_its_finding() {
    use Verdict::{Fail, Unknown};
    let is_after = |after: bool| move |e: &E| matches!(e, E::Holds(h) if h.after == after);
    let is_nonce = |after: bool| move |e: &E| matches!(e, E::Nonce(n) if n.after == after);
    let less = &ROWS[..3];
    let other = ["a", "b", "c", "D"];
    let table: Vec<(&str, Vec<E>, &str, Verdict)> = vec![
        (
            "a row is gone",
            with(is_witness("orders", Pass::Restored), Some(witnessed("orders", Pass::Restored, less))),
            "data",
            Fail,
        ),
        (
            "a row was changed",
            with(is_witness("orders", Pass::Restored), Some(witnessed("orders", Pass::Restored, &other))),
            "data",
            Fail,
        ),
        (
            "nothing is there",
            with(is_witness("users", Pass::Restored), Some(unread("users", Pass::Restored))),
            "data",
            Fail,
        ),
        ("nobody looked", with(is_witness("users", Pass::Restored), None), "data", Unknown),
        (
            "it was not taken before",
            with(is_witness("users", Pass::Before), Some(unread("users", Pass::Before))),
            "data",
            Unknown,
        ),
        (
            "it was empty before",
            with(is_witness("users", Pass::Before), Some(witnessed("users", Pass::Before, &[]))),
            "data",
            Unknown,
        ),
        (
            "the command failed",
            with(is_ran(Task::Restore), Some(ran(Task::Restore, Some(1)))),
            "restore",
            Fail,
        ),
        ("the command never ended", with(is_ran(Task::Restore), Some(ran(Task::Restore, None))), "rto", Fail),
        (
            "yesterday's dump",
            with(is_canaries(Pass::Restored), Some(canaries(Pass::Restored, &[30]))),
            "rpo",
            Fail,
        ),
        (
            "nobody knows how old",
            with(is_canaries(Pass::Restored), Some(canaries(Pass::Restored, &[30, 20]))),
            "rpo",
            Unknown,
        ),
        (
            "a canary is missing in the middle",
            with(is_canaries(Pass::Restored), Some(canaries(Pass::Restored, &[30, 10]))),
            "canaries",
            Fail,
        ),
        (
            "no canary came back",
            with(is_canaries(Pass::Restored), Some(canaries(Pass::Restored, &[]))),
            "canaries",
            Fail,
        ),
        (
            "a canary that nobody planted",
            with(is_canaries(Pass::Restored), Some(canaries(Pass::Restored, &[30, 20, 15, 10]))),
            "canaries",
            Fail,
        ),
        (
            "no canary was planted",
            with(is_canaries(Pass::Before), Some(canaries(Pass::Before, &[]))),
            "canaries",
            Unknown,
        ),
        (
            "the restart took a row",
            with(is_witness("users", Pass::Restarted), Some(witnessed("users", Pass::Restarted, less))),
            "durable",
            Fail,
        ),
        (
            "the restart took a canary",
            with(is_canaries(Pass::Restarted), Some(canaries(Pass::Restarted, &[30, 20]))),
            "durable",
            Fail,
        ),
        (
            "it did not come back",
            with(is_witness("users", Pass::Restarted), Some(unread("users", Pass::Restarted))),
            "durable",
            Fail,
        ),
        (
            "the restart command failed",
            with(is_ran(Task::Restart), Some(ran(Task::Restart, Some(1)))),
            "durable",
            Fail,
        ),
        (
            "it was not restarted",
            with(
                |e| *e == said(Place::Scratch, true, "wednesday"),
                Some(said(Place::Scratch, true, "tuesday")),
            ),
            "durable",
            Unknown,
        ),
        (
            "the source lost a row",
            with(is_witness("users", Pass::After), Some(witnessed("users", Pass::After, less))),
            "source",
            Fail,
        ),
        (
            "the source lost a table",
            with(is_witness(INVENTORY, Pass::After), Some(witnessed(INVENTORY, Pass::After, &[]))),
            "source",
            Fail,
        ),
        ("nobody looked at the source", with(is_witness("users", Pass::After), None), "source", Unknown),
        ("it was not empty", with(is_after(false), Some(holds(false, Some(3)))), "empty", Unknown),
        ("nobody looked whether it was", with(is_after(false), None), "empty", Unknown),
        ("a copy is left", with(is_after(true), Some(holds(true, Some(3)))), "cleanup", Fail),
        ("nobody looked what is left", with(is_after(true), Some(holds(true, None))), "cleanup", Unknown),
        (
            "the clean-up failed",
            with(is_ran(Task::CleanupAfter), Some(ran(Task::CleanupAfter, Some(1)))),
            "cleanup",
            Fail,
        ),
        (
            "it is the source",
            with(is_nonce(true), Some(nonce(Place::Source, true, Some(true)))),
            "apart",
            Fail,
        ),
        (
            "it was the source",
            with(is_nonce(false), Some(nonce(Place::Source, false, Some(true)))),
            "apart",
            Unknown,
        ),
        (
            "one server",
            with(|e| *e == said(Place::Scratch, true, "tuesday"), Some(said(Place::Scratch, true, "monday"))),
            "apart",
            Fail,
        ),
        (
            "given up",
            with(|e| *e == E::Entered(Stage::After), Some(E::Aborted("Ctrl-C".into()))),
            "conduct",
            Unknown,
        ),
        ("it breaks off", with(|e| matches!(e, E::Ended(_)), None), "conduct", Unknown),
        (
            "it ended early",
            with(|e| *e == E::Ended(Ending::Complete), Some(E::Ended(Ending::Aborted))),
            "conduct",
            Unknown,
        ),
        (
            "out of place",
            with(is_canaries(Pass::Before), Some(canaries(Pass::Restored, &[30]))),
            "conduct",
            Unknown,
        ),
        (
            "a record is left",
            with(
                |e| *e == E::Entered(Stage::After),
                Some(E::Intended(Debt { id: "1".into(), place: Place::Source, what: "canary".into() })),
            ),
            "cleanup",
            Fail,
        ),
        (
            "it reads the same where nothing is",
            with(is_witness("orders", Pass::Empty), Some(witnessed("orders", Pass::Empty, &ROWS))),
            "data",
            Unknown,
        ),
        (
            "it follows another server",
            with(
                |e| *e == said(Place::Scratch, true, "wednesday"),
                Some(in_recovery(said(Place::Scratch, true, "wednesday"))),
            ),
            "apart",
            Unknown,
        ),
        (
            "no canary of the run was written",
            with(|e| *e == nonce(Place::Source, true, Some(false)), Some(nonce(Place::Source, true, None))),
            "apart",
            Unknown,
        ),
        (
            "a restore that began late",
            with(
                is_ran(Task::Restore),
                Some(E::Ran(Ran {
                    what: Task::Restore,
                    began_us: 60_000_000,
                    code: Some(0),
                    how: String::new(),
                    printed: 0,
                })),
            ),
            "conduct",
            Unknown,
        ),
        (
            "a record with a name of somebody else",
            with(
                |e| *e == E::Entered(Stage::After),
                Some(E::Intended(Debt {
                    id: "x; drop table y".into(),
                    place: Place::Scratch,
                    what: "marker".into(),
                })),
            ),
            "conduct",
            Unknown,
        ),
        (
            "a partition went",
            with(is_witness(INVENTORY, Pass::After), Some(witnessed(INVENTORY, Pass::After, &["other"]))),
            "source",
            Fail,
        ),
    ];
    for (what, events, objective, expected) in table {
        let report = judged(events);
        assert_eq!(verdict(&report, objective), expected, "{what}: {:#?}", report.findings);
        assert_ne!(report.verdict, Verdict::Pass, "{what}");
    }
}

#[test]
fn nobody_tells_the_places_apart_unless_something_was_looked_for() {
    for after in [false, true] {
        let all = played();
        let none: Vec<E> =
            all.iter().filter(|e| !matches!(e, E::Nonce(n) if n.after == after)).cloned().collect();
        assert_eq!(verdict(&judged(none), "apart"), Verdict::Unknown);
        let blind = all.iter().map(|e| match e {
            E::Nonce(n) if n.after == after => nonce(n.written, after, None),
            other => other.clone(),
        });
        assert_eq!(verdict(&judged(blind.collect()), "apart"), Verdict::Unknown);
    }
}

#[test]
fn a_table_that_came_is_no_loss() {
    let more = with(
        is_witness(INVENTORY, Pass::After),
        Some(witnessed(INVENTORY, Pass::After, &["table", "partition"])),
    );
    assert_eq!(judged(more).verdict, Verdict::Pass);
}

#[test]
fn a_journal_cut_anywhere_is_no_pass() {
    let all = played();
    for end in 0..all.len() {
        assert_ne!(judged(all[..end].to_vec()).verdict, Verdict::Pass, "{end}");
    }
}

#[test]
fn dropping_any_reading_is_no_pass() {
    let all = played();
    for i in 0..all.len() {
        // Where two proofs say the same, one may be missing.
        if matches!(all[i], E::Nonce(_) | E::Identified(_) | E::Intended(_) | E::Paid(_)) {
            continue;
        }
        let mut less = all.clone();
        let gone = less.remove(i);
        assert_ne!(judged(less).verdict, Verdict::Pass, "without {gone:?}");
    }
}

#[test]
fn ages_go_by_whichever_clock_makes_a_canary_older() {
    // Whoever plants has a clock that is 20 minutes ahead: by the store's the newest canary is 30 minutes old, not 10.
    let late = |pass: Pass, ages: &[u64]| {
        let E::Canaries(mut c) = canaries(pass, ages) else { unreachable!() };
        c.list.iter_mut().for_each(|p| p.store_unix_us = Some(p.at_unix_us - 20 * MINUTE));
        E::Canaries(c)
    };
    let mut all = with(is_canaries(Pass::Before), Some(late(Pass::Before, &[30, 20, 10, 5])));
    let at = all.iter().position(is_canaries(Pass::Restored)).unwrap();
    all[at] = late(Pass::Restored, &[30, 20, 10]);
    assert_eq!(verdict(&judged(all), "rpo"), Verdict::Fail);
}

#[test]
fn what_cannot_be_a_drill_is_refused_with_the_place_and_the_fix() {
    let table = [
        (
            "[witness]\norders",
            "[witness]\n# orders",
            "users = { component = \"db\"",
            "# users = {",
            "no witness says what must come back",
        ),
        ("", "", "components = [\"db\"]", "components = []", "does not allow drills on `db`"),
        ("", "", "[canary]\ndb = { table = \"gameday_canary\" }", "", "RPO is counted on canaries"),
    ];
    for (a, b, c, d, message) in table {
        let text = if a.is_empty() { STACK.to_owned() } else { STACK.replace(a, b) };
        let stack = super::stack(text.replace(c, d).as_bytes()).unwrap();
        let found = super::drill(DRILL.as_bytes(), &[], |_| Ok(stack.clone())).unwrap_err();
        assert!(
            found.iter().any(|d| d.message.contains(message) && d.span.is_some()),
            "{message}: {found:?}"
        );
    }
    let stack = super::stack(STACK.as_bytes()).unwrap();
    for (from, to, message) in [
        ("env = [\"SCRATCH_DSN\"], limit", "env = [\"DB_DSN\"], limit", "opens component `db`"),
        ("dsn_env = \"SCRATCH_DSN\" }", "dsn_env = \"DB_DSN\" }", "opens the source as well"),
        ("restart = { run = [\"./restart\"] }\n", "", "nobody says how the scratch place is restarted"),
        ("source = \"db\"", "source = \"dbs\"", "there is no component `dbs`"),
        ("rto = \"2m\"", "rto = \"0s\"", "nothing is restored in no time"),
        ("product = \"postgres\", dsn_env = \"SCRATCH_DSN\"", "product = \"s3\"", "another product"),
        ("rpo = \"15m\"\n", "", "speaks of $T0"),
        ("run = [\"./restore\"]", "run = []", "no program is named"),
    ] {
        let text = DRILL.replace(from, to);
        assert_ne!(text, DRILL, "{from}");
        let found = super::drill(text.as_bytes(), &[], |_| Ok(stack.clone())).unwrap_err();
        assert!(
            found.iter().any(|d| d.message.contains(message) && d.span.is_some()),
            "{message}: {found:?}"
        );
    }
    for (from, to, message) in [
        ("dsn_env = \"DB_DSN\"", "dsn_env = \"postgres://u:p@h/d\"", "no name of a variable"),
        ("level = \"staging\"", "level = \"production\"", "two alarms"),
        ("select id from users", "select 1; drop table users", "not one query"),
        ("table = \"gameday_canary\"", "table = \"a; drop\"", "no plain name of a table"),
        ("db = { table", "dbx = { table", "there is no component `dbx`"),
        ("product = \"postgres\"", "product = \"postgras\"", "cannot be `postgras`"),
    ] {
        let text = STACK.replacen(from, to, 1);
        assert_ne!(text, STACK, "{from}");
        let found = super::stack(text.as_bytes()).unwrap_err();
        assert!(
            found.iter().any(|d| d.message.contains(message) && d.span.is_some()),
            "{message}: {found:?}"
        );
    }
}
