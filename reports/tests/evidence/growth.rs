//! How evidence grows: declared first, closed once, reviewed by another; power cuts in between.

use std::fs;

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
    fs::write(&record, text).unwrap();
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
