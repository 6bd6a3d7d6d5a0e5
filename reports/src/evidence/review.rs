//! A second person looks at a closed run and says so, with another key.
//!
//! `review.md` quotes the hash of the run's `SHA256SUMS` and of `record.toml`, so that the signature under it covers
//! both. A review is what a person did: gameday writes down that it happened, never that it was a good one.

use std::{path::Path, time::SystemTime};

use harness::{journal::digest, verdict::Verdict};

use super::{
    Trouble,
    keys::{self, Allowed, Signer},
    ledger::{Amended, Closed, Head, Kind, Reviewed},
    plain::{self, Links},
    record,
    seal::{self, RECORD, REVIEW, REVIEW_SIG, SUMS, SUMS_SIG},
    stamps,
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
    let stamp = super::stamp(at)?;
    let (wrong, by) = seal::check(&folder, (declared, &closed), &stamp, allowed);
    if let Some((file, why)) = wrong.first() {
        return Err(Trouble::evidence(format!("{shown}/{file}: {why}"), "there is nothing left to review"));
    }
    let own = read(&folder, SUMS_SIG).is_ok_and(|sig| signer.made(&sig));
    if own || by.as_deref() == Some(signer.identity()) || declared.operator == signer.identity() {
        return Err(Trouble::usage(
            format!("{} played run {run}, and cannot review it", signer.identity()),
            "let a second person review it with a key of their own: gameday evidence keygen --reviewer",
        ));
    }
    let path = folder.join(RECORD);
    let text = read(&folder, RECORD).map_err(|e| Trouble::unread(&path, &e))?;
    let text = String::from_utf8(text).map_err(|_| {
        Trouble::usage(format!("{}: it is not text in UTF-8", path.display()), "write it again")
    })?;
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
    if !record::says_something(words) {
        return Err(Trouble::usage(
            "a review without a word of your own says nothing",
            "say what was looked at with --statement",
        ));
    }
    let review = text_of(run, signer.identity(), &stamp, &closed, &digest(text.as_bytes()), words);
    let signature = signer.sign(keys::REVIEW, review.as_bytes());
    // Whether others will believe it is found out now, not by the auditor.
    let who = signer.identity();
    allowed.check(who, keys::REVIEW, review.as_bytes(), signature.as_bytes(), &stamp).map_err(|why| {
        Trouble::usage(
            format!("the review would not be believed: {why}"),
            "add its line to the file of signers",
        )
    })?;
    let entry = Kind::Reviewed(Reviewed {
        run: run.to_owned(),
        reviewer: signer.identity().to_owned(),
        record: digest(text.as_bytes()),
        review: digest(review.as_bytes()),
        sig: digest(signature.as_bytes()),
    });
    // Nothing is left in the folder that the ledger would not explain.
    if let Some(why) = stamps::refuse(&store.ledger().entries, &stamp, &entry) {
        return Err(why);
    }
    for (name, text) in [(REVIEW, &review), (REVIEW_SIG, &signature)] {
        let path = folder.join(name);
        super::replace_file(&path, text.as_bytes()).map_err(|e| Trouble::write(&path, &e))?;
    }
    store.append(at, entry, signer)
}

/// Puts a word about a run on record; nothing that is on record changes. `clock_was_ahead` says that lines which are
/// stamped later than now were stamped by a clock that was ahead.
///
/// # Errors
/// If there is no such run, or nothing is said.
pub fn amend(
    store: &mut Store,
    run: &str,
    (reason, clock_was_ahead): (&str, bool),
    signer: &Signer,
    at: SystemTime,
) -> Result<Head, Trouble> {
    if store.ledger().declared(run).is_none() {
        return Err(Trouble::usage(format!("the ledger knows no run `{run}`"), "name a run's folder"));
    }
    if !record::says_something(reason) {
        return Err(Trouble::usage("an amendment needs a reason", "say why with --reason"));
    }
    let (run, by, reason) = (run.to_owned(), signer.identity().to_owned(), reason.trim().to_owned());
    store.append(at, Kind::Amended(Amended { run, by, reason, clock_was_ahead }), signer)
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>, plain::Unread> {
    plain::read(&folder.join(name), Links::Refused, plain::SMALL)
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
    for name in [RECORD, REVIEW, REVIEW_SIG] {
        if let Err(why) = read(folder, name) {
            wrong.push((name, why.to_string()));
        }
    }
    let read = |name: &str| read(folder, name).unwrap_or_default();
    let (text, signature) = (read(REVIEW), read(REVIEW_SIG));
    for (name, bytes, said) in [
        (RECORD, &read(RECORD), &reviewed.record),
        (REVIEW, &text, &reviewed.review),
        (REVIEW_SIG, &signature, &reviewed.sig),
    ] {
        let right = |bytes: &[u8]| digest(bytes) == *said;
        if !right(bytes) {
            let converted = plain::line_ends_converted(bytes, right);
            let why = if converted {
                seal::CONVERTED
            } else {
                "it is not what was reviewed; amend and review again"
            };
            wrong.push((name, why.to_owned()));
        }
    }
    let who = reviewed.reviewer.as_str();
    match allowed.check(who, keys::REVIEW, &text, &signature, at) {
        Err(why) => wrong.push((REVIEW_SIG, why)),
        Ok(()) if Some(who) == operator || Allowed::same_key(&signature, &read(SUMS_SIG)) => {
            wrong.push((REVIEW_SIG, "the operator reviewed the own drill".to_owned()));
        }
        Ok(()) => {}
    }
    let text = String::from_utf8_lossy(&text);
    for hash in [&closed.sums, &reviewed.record] {
        if !text.contains(hash.as_str()) {
            wrong.push((REVIEW, format!("it does not quote {hash}")));
        }
    }
    wrong
}
