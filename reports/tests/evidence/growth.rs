//! How evidence grows: declared first, closed once, reviewed by another; power cuts in between.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use reports::evidence::{
    Whose,
    keys::{Duty, Signer},
    ledger::{Closed, Kind},
    review,
    store::Store,
};

use crate::stand::{As, Stand};

#[test]
fn a_power_cut_at_any_moment_of_an_append_leaves_a_folder_that_opens() {
    let mut stand = Stand::new();
    stand.play("r1", As::Simulated);
    let old = |name: &str| fs::read(stand.file(name)).unwrap();
    let (runs, head, sig) = (old("runs.jsonl"), old("HEAD"), old("HEAD.sig"));
    stand.declare("r2", As::Simulated);
    let new = |name: &str| fs::read(stand.file(name)).unwrap();
    let (runs2, head2, sig2) = (new("runs.jsonl"), new("HEAD"), new("HEAD.sig"));
    let torn = &runs2[..runs2.len() - 7];
    // Ledger, head, signature, next head, next signature, in the order in which they are written.
    let moments: [[Option<&[u8]>; 5]; 7] = [
        [Some(&runs), Some(&head), Some(&sig), None, None],
        [Some(&runs), Some(&head), Some(&sig), Some(&head2), None],
        [Some(&runs), Some(&head), Some(&sig), Some(&head2), Some(&sig2)],
        [Some(torn), Some(&head), Some(&sig), Some(&head2), Some(&sig2)],
        [Some(&runs2), Some(&head), Some(&sig), Some(&head2), Some(&sig2)],
        [Some(&runs2), Some(&head2), Some(&sig), None, Some(&sig2)],
        [Some(&runs2), Some(&head2), Some(&sig2), None, None],
    ];
    for (i, moment) in moments.iter().enumerate() {
        let names = ["runs.jsonl", "HEAD", "HEAD.sig", ".next-HEAD", ".next-HEAD.sig"];
        for (name, bytes) in names.iter().zip(moment) {
            match bytes {
                Some(bytes) => fs::write(stand.file(name), bytes).unwrap(),
                None => drop(fs::remove_file(stand.file(name))),
            }
        }
        let entries = stand.store().ledger().entries.len();
        assert_eq!(entries, if i < 4 { 2 } else { 3 }, "moment {i}");
        let problems = stand.problems();
        // Before the line was written, the folder of the run that was to come is not explained yet.
        let kept: Vec<&String> = problems.iter().filter(|p| !p.contains("/r2:")).collect();
        assert!(kept.is_empty(), "moment {i}: {kept:?}");
    }
}

#[test]
fn nothing_is_signed_because_it_lies_there() {
    let mut stand = Stand::new();
    stand.play("r1", As::Simulated);
    let store = stand.store();
    let closed = Kind::Closed(Closed {
        run: "r9".into(),
        verdict: harness::verdict::Verdict::Pass,
        headline: "PASS".into(),
        sums: String::new(),
        sig: String::new(),
        attestation: None,
    });
    let line = store.ledger().next("2026-11-22T00:00:00Z".into(), closed);
    drop(store);
    let mut bytes = fs::read(stand.file("runs.jsonl")).unwrap();
    bytes.extend(line);
    fs::write(stand.file("runs.jsonl"), bytes).unwrap();
    let refused = Store::open(&stand.path(), &stand.allowed).unwrap_err();
    assert_eq!(refused.whose, Whose::Evidence, "{refused}");
}

#[test]
fn a_run_that_was_declared_and_never_closed_is_seen_and_contradictions_are_found() {
    let mut stand = Stand::new();
    stand.declare("r1", As::Simulated);
    let checked = stand.verify(None, true);
    assert!(checked.problems.is_empty() && checked.remarks[0].contains("counts as failed"), "{checked:?}");
    stand.play("r2", As::Simulated);
    let again = stand.store().ledger().closed("r2").unwrap().clone();
    let now = stand.now;
    stand.store().append(now, Kind::Closed(again.clone()), &stand.operator).unwrap();
    let stray = Closed { run: "never".into(), ..again };
    stand.store().append(now, Kind::Closed(stray), &stand.operator).unwrap();
    let problems = stand.problems().join("\n");
    assert!(problems.contains("runs.jsonl:4: run r2 was closed before"), "{problems}");
    assert!(problems.contains("runs.jsonl:5: run never was never declared"), "{problems}");
}

#[test]
fn a_review_needs_another_person_and_everything_filled() {
    let mut stand = Stand::new();
    stand.play("r1", As::RealMissed);
    let now = stand.now;
    let try_it = |signer: &Signer, words: &str| {
        review::review(&mut stand.store(), "r1", words, signer, &stand.allowed, now).map_err(|t| t.what)
    };
    assert!(try_it(&stand.reviewer, "seen").unwrap_err().contains("lacks scenario.threat"));
    stand.fill("r1");
    let record = stand.file("r1").join("record.toml");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.split("[[finding]]\nwhat").next().unwrap()).unwrap();
    assert!(try_it(&stand.reviewer, "seen").unwrap_err().contains("has no [[finding]]"));
    fs::write(&record, text.replace("2027-01-31", "2026-02-30")).unwrap();
    assert!(try_it(&stand.reviewer, "seen").unwrap_err().contains("no day of the calendar"));
    fs::write(&record, text.replacen("\"as the plan says", "\"requires-operator-input", 1)).unwrap();
    assert!(try_it(&stand.reviewer, "seen").unwrap_err().contains("lacks scenario.threat"));
    fs::write(&record, text).unwrap();
    assert!(try_it(&stand.reviewer, "Requires Operator Input").unwrap_err().contains("without a word"));
    assert!(try_it(&stand.operator, "seen").unwrap_err().contains("cannot review it"));
    assert!(try_it(&stand.reviewer, "  ").unwrap_err().contains("without a word"));
    let stranger = Signer::generate("nobody@example.org").unwrap();
    assert!(try_it(&stranger, "seen").unwrap_err().contains("not be believed"));
    try_it(&stand.reviewer, "seen").unwrap();
    assert_eq!(stand.problems(), Vec::<String>::new());
    // What was reviewed is frozen.
    fs::write(&record, fs::read_to_string(&record).unwrap() + "# later\n").unwrap();
    assert!(stand.problems().join("\n").contains("record.toml: it is not what was reviewed"));
}

fn later(stand: &Stand, seconds: i64) -> SystemTime {
    let span = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { stand.now - span } else { stand.now + span }
}

const DAY: i64 = 86_400;

/// A quarter in which the stand's drills lie, and one long after.
fn quarters(stand: &Stand) -> [usize; 2] {
    let checked = stand.verify(None, false);
    let within =
        |from: &str, until: &str| checked.runs.iter().filter(|r| r.declared_within(from, until)).count();
    [
        within("2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        within("2031-10-01T00:00:00Z", "2032-01-01T00:00:00Z"),
    ]
}

#[test]
fn one_run_with_the_clock_in_the_future_does_not_stamp_the_ledger_for_good() {
    let mut stand = Stand::new();
    stand.play("before", As::Real);
    let right = stand.now;
    stand.now = later(&stand, 5 * 365 * DAY);
    stand.play("ahead", As::Real);
    stand.now = right;
    // Nobody knows yet which clock is wrong. The run counts where it may belong, and its time is not shown.
    let checked = stand.verify(None, true);
    assert_eq!(checked.problems, []);
    assert!(
        checked.remarks.iter().any(|r| r.contains("and this machine's clock says")),
        "{:?}",
        checked.remarks
    );
    assert_eq!(quarters(&stand), [2, 0]);
    assert!(!reports::metrics::render(&checked.runs[1..], None).contains("timestamp_seconds"));
    // Nothing is begun, and nothing is stamped with a time that no clock showed.
    let declared = stand.store().ledger().entries[0].kind.clone();
    let refused = stand.store().append(stand.now, declared, &stand.operator).unwrap_err();
    assert_eq!(refused.whose, Whose::Environment);
    assert!(
        refused.what.contains("the clock of this machine says")
            && refused.remedy.contains("--clock-was-ahead")
    );
    let amend =
        |words: (&str, bool), at| review::amend(&mut stand.store(), "ahead", words, &stand.operator, at);
    assert!(amend(("power", false), stand.now).is_err());
    assert!(
        amend(("the battery was dead", true), later(&stand, 6 * 365 * DAY))
            .unwrap_err()
            .what
            .contains("no line")
    );
    amend(("the battery was dead", true), stand.now).unwrap();
    stand.play("after", As::Real);
    let checked = stand.verify(None, true);
    assert_eq!(checked.problems, []);
    assert!(checked.remarks.iter().any(|r| r.contains("and line 5 after it")), "{:?}", checked.remarks);
    let json: serde_json::Value = serde_json::from_str(&checked.json(true, false)).unwrap();
    let believed: Vec<_> = (0..3).map(|i| json["runs"][i]["stamps_believed"].as_bool().unwrap()).collect();
    assert_eq!(believed, [true, false, true]);
    assert_eq!(quarters(&stand), [3, 0]);
    // Years later it is still not the newest drill.
    stand.now = later(&stand, 6 * 365 * DAY);
    assert_eq!(quarters(&stand), [3, 0]);
    let stamp = reports::evidence::unix_of(&checked.runs[2].declared_at).unwrap();
    let metrics = reports::metrics::render(&stand.verify(None, true).runs, None);
    assert!(metrics.contains(&format!("last_run_timestamp_seconds{{service=\"rag\",scenario=\"short_freeze\",counts_as=\"production\"}} {stamp}")), "{metrics}");
}

#[test]
fn a_clock_that_goes_back_during_a_drill_does_not_lose_it() {
    let mut stand = Stand::new();
    stand.play("r1", As::Real);
    stand.declare("r2", As::Real);
    let right = stand.now;
    stand.now = later(&stand, -400 * DAY);
    stand.close("r2", &crate::stand::real("r2"));
    stand.now = right;
    let checked = stand.verify(None, true);
    assert_eq!(checked.problems, []);
    assert!(
        checked.remarks.iter().any(|r| r.starts_with("runs.jsonl:4: it is stamped 2025-")),
        "{:?}",
        checked.remarks
    );
    // It ended after it was declared, and that is all that is known.
    let run = &checked.runs[1];
    assert_eq!((run.ended_unix(), run.closed_doubt.is_some()), (run.declared_unix(), true));
    stand.play("r3", As::Real);
    assert_eq!(stand.problems(), Vec::<String>::new());
    // A second or two, as clocks are set every day, is said and no more.
    stand.now = later(&stand, -122);
    stand.play("r4", As::Real);
    let checked = stand.verify(None, true);
    assert_eq!(checked.problems, []);
    assert!(
        checked.remarks.iter().any(|r| r.contains("the clock went back by 2 s")),
        "{:?}",
        checked.remarks
    );
}

#[test]
fn a_clock_before_1970_is_an_error() {
    let mut stand = Stand::new();
    stand.play("r1", As::Simulated);
    let kind = stand.store().ledger().entries[1].kind.clone();
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    for at in [SystemTime::UNIX_EPOCH - Duration::from_secs(1), last] {
        let refused = stand.store().append(at, kind.clone(), &stand.operator).unwrap_err();
        assert_eq!((refused.whose, refused.what.contains("before 1970")), (Whose::Environment, true));
        stand.fill("r1");
        let review = review::review(&mut stand.store(), "r1", "seen", &stand.reviewer, &stand.allowed, at);
        assert!(review.unwrap_err().what.contains("before 1970"));
    }
    stand.now = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert!(stand.verify(None, true).remarks.iter().any(|r| r.contains("is not believed")));
}

#[test]
fn keys_are_private_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/operator.key");
    let signer = Signer::generate("ops@example.org").unwrap();
    signer.store(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Signer::load(&path).unwrap().fingerprint(), signer.fingerprint());
    assert!(signer.store(&path).unwrap_err().what.contains("already"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Signer::load(&path).unwrap_err().what.contains("others may read"));
    for wrong in ["", "a b", "a\"b", "a,b", "*"] {
        assert!(Signer::generate(wrong).is_err(), "{wrong}");
    }
    assert!(signer.allowed_line(Duty::Reviewer).contains("gameday-review@v1"));
}
