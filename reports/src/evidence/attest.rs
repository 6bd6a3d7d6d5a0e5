//! A closed run as an in-toto statement of the type test-result, for tools that judge attestations: what was
//! tested with, how it ended, and the sum of every file that says so.
//!
//! `PASSED` is said of a verdict `pass` alone; what nobody proved is `FAILED`, and so is each of its findings. The level
//! of the stack stands beside it, as an annotation: a rehearsal may have passed, and is still no evidence.

use std::{collections::BTreeMap, path::Path};

use harness::{ports::CountsAs, report::Report, scenario::WorldName, verdict::Verdict};
use serde::{Deserialize, Serialize};

use super::{
    dsse::{Envelope, IN_TOTO},
    keys::{Allowed, Signer},
    ledger::{Closed, Declared},
    plain::{self, Links},
    seal::{self, ATTESTATION, SCENARIO, SUMS},
};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// What is stated about a run's files.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Resource>,
    predicate_type: String,
    predicate: TestResult,
}

/// A file and its sum.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Resource {
    name: String,
    digest: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    annotations: Option<Box<Annotations>>,
}

/// How the drill ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TestResult {
    result: String,
    configuration: Vec<Resource>,
    passed_tests: Vec<String>,
    failed_tests: Vec<String>,
}

/// What a policy wants to know beside the result; the predicate leaves room for it at its configuration alone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Annotations {
    run: String,
    scenario: String,
    overrides: Vec<String>,
    world: WorldName,
    level: CountsAs,
    verdict: Verdict,
    headline: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flaw: Option<String>,
    operator: String,
    gameday: String,
}

/// The names of what passed, and of what did not.
type Tests = (Vec<String>, Vec<String>);

/// Each finding by its name.
fn tests(report: &Report) -> Tests {
    let of = |passed: bool| {
        let these = report.findings.iter().filter(|f| (f.verdict == Verdict::Pass) == passed);
        these.map(|f| format!("{} of {}", f.objective, f.subject)).collect()
    };
    (of(true), of(false))
}

fn resource(name: &str, sha256: &str) -> Resource {
    let digest = BTreeMap::from([("sha256".to_owned(), sha256.to_owned())]);
    Resource { name: name.to_owned(), digest, annotations: None }
}

fn statement(
    declared: &Declared,
    (verdict, headline): (Verdict, &str),
    sums: &BTreeMap<String, String>,
    of_sums: &str,
    (passed_tests, failed_tests): Tests,
) -> Statement {
    let d = declared.clone();
    let annotations = Annotations {
        run: d.run,
        scenario: d.scenario,
        overrides: d.overrides,
        world: d.world,
        level: d.counts_as,
        verdict,
        headline: headline.to_owned(),
        flaw: d.flaw,
        operator: d.operator,
        gameday: d.gameday,
    };
    let scenario = resource(SCENARIO, &d.scenario_sha256);
    let subject = sums.iter().map(|(name, sum)| resource(name, sum)).chain([resource(SUMS, of_sums)]);
    Statement {
        kind: STATEMENT.into(),
        subject: subject.collect(),
        predicate_type: TEST_RESULT.into(),
        predicate: TestResult {
            result: if verdict == Verdict::Pass { "PASSED" } else { "FAILED" }.into(),
            configuration: vec![Resource { annotations: Some(Box::new(annotations)), ..scenario }],
            passed_tests,
            failed_tests,
        },
    }
}

/// The file for a run that has ended, signed. `sums` is the text of its `SHA256SUMS`; without a report nothing was
/// judged.
pub(super) fn attest(
    declared: &Declared,
    ended: (Verdict, &str),
    sums: &str,
    report: Option<&Report>,
    signer: &Signer,
) -> Vec<u8> {
    let listed = seal::parse_sums(sums).expect("sums of ours can be read");
    let of_sums = harness::journal::digest(sums.as_bytes());
    let statement = statement(declared, ended, &listed, &of_sums, report.map(tests).unwrap_or_default());
    let payload = serde_json::to_vec(&statement).expect("a statement is plain data");
    Envelope::sign(IN_TOTO, &payload, signer).bytes()
}

/// Whether a run's envelope was signed by its operator, and states what the ledger and the sums say. Answers with all
/// that is wrong.
pub(super) fn check(
    file: &[u8],
    (declared, closed): (&Declared, &Closed),
    listed: &BTreeMap<String, String>,
    at: &str,
    allowed: &Allowed,
) -> Vec<String> {
    let (envelope, payload) = match Envelope::payload(IN_TOTO, file) {
        Ok(opened) => opened,
        Err(why) => return vec![why],
    };
    let mut wrong: Vec<String> =
        envelope.check(&payload, &declared.operator, at, allowed).err().into_iter().collect();
    let said = match read(&payload) {
        Ok(said) => said,
        Err(why) => return [wrong, vec![why]].concat(),
    };
    let tests = (said.predicate.passed_tests.clone(), said.predicate.failed_tests.clone());
    let right = statement(declared, (closed.verdict, &closed.headline), listed, &closed.sums, tests);
    let mut same = |what: &str, equal: bool| {
        if !equal {
            wrong.push(format!("its {what}"));
        }
    };
    same("type is not that of a statement of ours", said.kind == right.kind);
    same("predicate is of another type than ours", said.predicate_type == right.predicate_type);
    same("subjects are not the files of SHA256SUMS with their sums", said.subject == right.subject);
    same("result is not the verdict that is in the ledger", said.predicate.result == right.predicate.result);
    same(
        "configuration is not what was declared and closed in the ledger",
        said.predicate.configuration == right.predicate.configuration,
    );
    wrong
}

fn read(payload: &[u8]) -> Result<Statement, String> {
    serde_json::from_slice(payload).map_err(|e| format!("it holds no statement of a test's result: {e}"))
}

/// Whether the tests of a run's envelope are other findings than those that its journal gives.
pub(super) fn other_tests(folder: &Path, report: &Report) -> Option<String> {
    let file = plain::read(&folder.join(ATTESTATION), Links::Refused, plain::SMALL).ok()?;
    let (_, payload) = Envelope::payload(IN_TOTO, &file).ok()?;
    let said = read(&payload).ok()?.predicate;
    let other = (said.passed_tests, said.failed_tests) != tests(report);
    other.then(|| "its tests are not what the journal gives".to_owned())
}
