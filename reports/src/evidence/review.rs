//! A second person looks at a closed run and says so, with another key.
//!
//! `review.md` quotes the hash of the run's `SHA256SUMS` and of `record.toml`, so that the signature under it covers
//! both. A review is what a person did: gameday writes down that it happened, never that it was a good one.

use std::{fs, path::Path, time::SystemTime};

use harness::{journal::digest, verdict::Verdict};

use super::{
    Trouble, compact,
    keys::{self, Allowed, Signer},
    ledger::{Amended, Closed, Head, Kind, Reviewed},
    record,
    seal::{RECORD, REVIEW, REVIEW_SIG, SUMS, SUMS_SIG},
    store::Store,
};

/// Writes, signs and puts on record a review of a run.
///
/// # Errors
/// If the run is not closed, its files do not verify, the reviewer is its operator, required fields are not filled, or
/// a drill that did not pass has no finding.
pub fn review(
    store: &mut Store,
    run: &str,
    words: &str,
    signer: &Signer,
    allowed: &Allowed,
    at: SystemTime,
) -> Result<Head, Trouble> {
    let folder = store.path().join(run);
    let shown = folder.display();
    let (declared, closed) = match (store.ledger().declared(run), store.ledger().closed(run)) {
        (Some(declared), Some(closed)) => (declared, closed.clone()),
        (None, _) => {
            return Err(Trouble::usage(
                format!("the ledger of `{}` knows no run `{run}`", store.path().display()),
                "name a run's folder",
            ));
        }
        (Some(_), None) => {
            return Err(Trouble::usage(
                format!("run {run} was never closed"),
                "it counts as failed; play it again",
            ));
        }
    };
    let stamp = super::stamp(at);
    let (wrong, by) = super::seal::check(&folder, &closed, &stamp, allowed);
    if let Some((file, why)) = wrong.first() {
        return Err(Trouble::evidence(format!("{shown}/{file}: {why}"), "there is nothing left to review"));
    }
    let own = fs::read(folder.join(SUMS_SIG)).is_ok_and(|sig| signs_with(&sig, signer));
    if own || by.as_deref() == Some(signer.identity()) || declared.operator == signer.identity() {
        return Err(Trouble::usage(
            format!("{} played run {run}, and cannot review it", signer.identity()),
            "let a second person review it with a key of their own: gameday evidence keygen --reviewer",
        ));
    }
    let path = folder.join(RECORD);
    let text = fs::read_to_string(&path).map_err(|e| Trouble::read(&path, &e))?;
    let filled = record::completeness(&text).map_err(|why| {
        Trouble::usage(format!("{}: {why}", path.display()), "correct it, and review again")
    })?;
    if !filled.missing.is_empty() {
        return Err(Trouble::usage(
            format!("{} lacks {}", path.display(), filled.missing.join(", ")),
            "fill them in, by hand: gameday never does; then review again",
        ));
    }
    if closed.verdict != Verdict::Pass && filled.actions == 0 {
        return Err(Trouble::usage(
            format!("run {run} ended {}, and {} has no [[finding]]", closed.verdict, path.display()),
            "write down what must be put right, by whom and until when; then review again",
        ));
    }
    if words.trim().is_empty() {
        return Err(Trouble::usage(
            "a review without a word says nothing",
            "say what was looked at with --statement",
        ));
    }
    let review = text_of(run, signer.identity(), &stamp, &closed, &digest(text.as_bytes()), words);
    let signature = signer.sign(keys::REVIEW, review.as_bytes());
    // Whether others will believe it is found out now, not by the auditor.
    allowed.check(keys::REVIEW, review.as_bytes(), signature.as_bytes(), &compact(&stamp)).map_err(
        |why| {
            Trouble::usage(
                format!("the review would not be believed: {why}"),
                "add its line to the file of signers",
            )
        },
    )?;
    for (name, text) in [(REVIEW, &review), (REVIEW_SIG, &signature)] {
        let path = folder.join(name);
        super::replace_file(&path, text.as_bytes()).map_err(|e| Trouble::write(&path, &e))?;
    }
    let entry = Reviewed {
        run: run.to_owned(),
        reviewer: signer.identity().to_owned(),
        record: digest(text.as_bytes()),
        review: digest(review.as_bytes()),
        sig: digest(signature.as_bytes()),
    };
    store.append(at, Kind::Reviewed(entry), signer)
}

/// Puts a word about a run on record; nothing that is on record changes.
///
/// # Errors
/// If there is no such run, or nothing is said.
pub fn amend(
    store: &mut Store,
    run: &str,
    reason: &str,
    signer: &Signer,
    at: SystemTime,
) -> Result<Head, Trouble> {
    if store.ledger().declared(run).is_none() {
        return Err(Trouble::usage(format!("the ledger knows no run `{run}`"), "name a run's folder"));
    }
    if reason.trim().is_empty() {
        return Err(Trouble::usage("an amendment needs a reason", "say why with --reason"));
    }
    let by = signer.identity().to_owned();
    store.append(
        at,
        Kind::Amended(Amended { run: run.to_owned(), by, reason: reason.trim().to_owned() }),
        signer,
    )
}

fn signs_with(signature: &[u8], signer: &Signer) -> bool {
    let line = signer.allowed_line(keys::Duty::Operator);
    let own = Allowed::parse(&line).expect("a line of ours can be read");
    own.made(signature)
}

fn text_of(run: &str, who: &str, at: &str, closed: &Closed, record: &str, words: &str) -> String {
    format!(
        "# Review of {run}\n\n- reviewer: {who}\n- reviewed: {at}\n- verdict of the drill: {}\n- {SUMS}: {}\n- \
         {RECORD}: {record}\n\n{}\n",
        closed.headline,
        closed.sums,
        crate::clean(words.trim()),
    )
}

/// Checks a review. Answers with what is wrong: a file and why.
pub(super) fn check(
    folder: &Path,
    (at, reviewed): &(String, Reviewed),
    closed: &Closed,
    operator: Option<&str>,
    allowed: &Allowed,
) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    let read = |name: &str| fs::read(folder.join(name)).unwrap_or_default();
    let (text, signature) = (read(REVIEW), read(REVIEW_SIG));
    for (name, bytes, said) in [
        (RECORD, &read(RECORD), &reviewed.record),
        (REVIEW, &text, &reviewed.review),
        (REVIEW_SIG, &signature, &reviewed.sig),
    ] {
        if digest(bytes) != *said {
            wrong.push((name, "it is not what was reviewed; amend and review again".to_owned()));
        }
    }
    match allowed.check(keys::REVIEW, &text, &signature, &compact(at)) {
        Err(why) => wrong.push((REVIEW_SIG, why)),
        Ok(who) if who != reviewed.reviewer => {
            wrong.push((
                REVIEW_SIG,
                format!("{who} signed what the ledger says {} reviewed", reviewed.reviewer),
            ));
        }
        Ok(who) if Some(who) == operator || allowed.same_key(&signature, &read(SUMS_SIG)) => {
            wrong.push((REVIEW_SIG, "the operator reviewed the own drill".to_owned()));
        }
        Ok(_) => {}
    }
    let text = String::from_utf8_lossy(&text);
    for hash in [&closed.sums, &reviewed.record] {
        if !text.contains(hash.as_str()) {
            wrong.push((REVIEW, format!("it does not quote {hash}")));
        }
    }
    wrong
}
