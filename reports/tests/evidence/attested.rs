//! The statement that other tools read says what the ledger and the sums say, or it is found.

use std::fs;

use harness::journal::digest;
use reports::evidence::{
    dsse::{Envelope, IN_TOTO},
    keys::Signer,
    ledger::Closed,
    seal::{self, ATTESTATION},
};
use serde_json::{Value, json};

use crate::stand::{As, Stand, journal};

fn statement(stand: &Stand, run: &str) -> Value {
    let bytes = fs::read(stand.file(run).join(ATTESTATION)).expect("the stand works");
    let (_, payload) = Envelope::payload(IN_TOTO, &bytes).expect("an envelope of ours");
    serde_json::from_slice(&payload).expect("a statement of ours")
}

#[test]
fn a_run_is_stated_with_all_of_its_files() {
    let mut stand = Stand::new();
    stand.play("good", As::Staging);
    stand.play("missed", As::RealMissed);
    assert_eq!(stand.problems(), Vec::<String>::new());
    let said = statement(&stand, "good");
    assert_eq!(said["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(said["predicateType"], "https://in-toto.io/attestation/test-result/v0.1");
    let sums = fs::read_to_string(stand.file("good").join("SHA256SUMS")).unwrap();
    let of_sums = [("SHA256SUMS".to_owned(), digest(sums.as_bytes()))];
    let listed: Vec<_> = seal::parse_sums(&sums).unwrap().into_iter().chain(of_sums).collect();
    let subjects: Vec<_> = said["subject"].as_array().unwrap().iter().collect();
    assert_eq!(subjects.len(), listed.len());
    for (subject, (name, sum)) in subjects.into_iter().zip(listed) {
        assert_eq!(*subject, json!({ "name": name, "digest": { "sha256": sum } }));
    }
    assert_eq!(said["predicate"]["result"], "PASSED");
    assert_eq!(said["predicate"]["failedTests"], json!([]));
    assert!(said["predicate"]["passedTests"].as_array().unwrap().contains(&json!("rto of rag")));
    let with = &said["predicate"]["configuration"][0];
    assert_eq!(with["digest"]["sha256"], digest(&fs::read(stand.file("good/scenario.toml")).unwrap()));
    assert_eq!(
        (&with["annotations"]["level"], &with["annotations"]["verdict"]),
        (&"staging".into(), &"pass".into())
    );
    let said = statement(&stand, "missed");
    assert_eq!(said["predicate"]["result"], "FAILED");
    assert!(said["predicate"]["failedTests"].as_array().unwrap().contains(&json!("rto of rag")));
    assert_eq!(said["predicate"]["configuration"][0]["annotations"]["verdict"], "fail");
}

/// A run whose operator put another file on record than gameday wrote.
fn forged(how: As, forge: impl Fn(&Stand, &mut Closed)) -> (Stand, String) {
    let mut stand = Stand::new();
    stand.declare("r1", how);
    stand.close_with("r1", &journal(how, "r1"), forge);
    let problems = stand.problems().join("\n");
    (stand, problems)
}

/// Signs another statement, and puts its hash on record.
fn restated(how: As, change: impl Fn(&mut Value)) -> String {
    let (_, problems) = forged(how, |stand, closed| {
        let mut said = statement(stand, "r1");
        change(&mut said);
        let bytes = Envelope::sign(IN_TOTO, said.to_string().as_bytes(), &stand.operator).bytes();
        fs::write(stand.file("r1").join(ATTESTATION), &bytes).expect("the stand works");
        closed.attestation = Some(digest(&bytes));
    });
    problems
}

#[test]
fn a_statement_that_says_more_than_the_ledger_is_found() {
    assert_eq!(restated(As::Staging, |_| {}), "");
    let level =
        |v: &mut Value| v["predicate"]["configuration"][0]["annotations"]["level"] = "production".into();
    assert!(restated(As::Staging, level).contains("its configuration is not what was declared"));
    let result = |v: &mut Value| v["predicate"]["result"] = "PASSED".into();
    assert!(restated(As::RealMissed, result).contains("its result is not the verdict"));
    let verdict =
        |v: &mut Value| v["predicate"]["configuration"][0]["annotations"]["verdict"] = "pass".into();
    assert!(restated(As::RealMissed, verdict).contains("its configuration is not"));
    let fewer = |v: &mut Value| drop(v["subject"].as_array_mut().unwrap().remove(0));
    assert!(restated(As::Staging, fewer).contains("its subjects are not the files of SHA256SUMS"));
    let other = |v: &mut Value| v["subject"][0]["digest"]["sha256"] = digest(b"another").into();
    assert!(restated(As::Staging, other).contains("its subjects are not the files of SHA256SUMS"));
    let passed = |v: &mut Value| v["predicate"]["failedTests"] = json!([]);
    assert!(restated(As::RealMissed, passed).contains("its tests are not what the journal gives"));
    let kind = |v: &mut Value| v["predicateType"] = "https://slsa.dev/provenance/v1".into();
    assert!(restated(As::Staging, kind).contains("its predicate is of another type"));
    let nothing = |v: &mut Value| *v = json!({});
    assert!(restated(As::Staging, nothing).contains("it holds no statement"));
}

#[test]
fn an_envelope_of_somebody_else_or_of_another_run_is_found() {
    let stranger = Signer::generate("ops@example.org").unwrap();
    let (_, problems) = forged(As::Staging, |stand, closed| {
        let said = statement(stand, "r1").to_string();
        let bytes = Envelope::sign(IN_TOTO, said.as_bytes(), &stranger).bytes();
        fs::write(stand.file("r1").join(ATTESTATION), &bytes).unwrap();
        closed.attestation = Some(digest(&bytes));
    });
    assert!(problems.contains("attestation.dsse.json: no key of ops@example.org made it"), "{problems}");
    let mut stand = Stand::new();
    stand.play("good", As::Staging);
    stand.play("missed", As::RealMissed);
    let bytes = fs::read(stand.file("good").join(ATTESTATION)).unwrap();
    fs::write(stand.file("missed").join(ATTESTATION), bytes).unwrap();
    let problems = stand.problems().join("\n");
    assert!(problems.contains("attestation.dsse.json: it is not what the ledger says it was"), "{problems}");
    fs::remove_file(stand.file("missed").join(ATTESTATION)).unwrap();
    let problems = stand.problems().join("\n");
    assert!(problems.contains("attestation.dsse.json"), "{problems}");
}

/// An older gameday wrote no envelope; one that lies there and is not on record was added.
#[test]
fn a_run_without_an_envelope_is_as_it_ever_was() {
    let (stand, problems) = forged(As::Staging, |_, closed| closed.attestation = None);
    assert!(problems.contains("attestation.dsse.json: it is not covered by the signature"), "{problems}");
    fs::remove_file(stand.file("r1").join(ATTESTATION)).unwrap();
    assert_eq!(stand.problems(), Vec::<String>::new());
    assert!(!fs::read_to_string(stand.file("runs.jsonl")).unwrap().contains("attestation"));
}
