//! What the stamps of a ledger are worth. They are one machine's clock, and a clock may be wrong.
//!
//! No stamp is ever invented to keep them in order. Where the clock stands before what the ledger has reached, nothing
//! new is begun (`refuse`): either the clock is behind now, or it was ahead before, and only a person can say which
//! (an amendment with `clock_was_ahead`). A run that is already begun is closed with whatever the clock says, since a
//! drill must not be lost to it. Stamps that cannot be right, because a later line or the clock of whoever verifies
//! stands before them, are not believed (`judge`): of such a line only the span is known in which it was written.

use std::{collections::BTreeMap, time::SystemTime};

use super::{
    Trouble, Whose,
    ledger::{Entry, Kind},
    time_of, unix_of,
};

/// Clocks are set by so much now and then, and those of two machines differ by it: seconds.
pub const STEP: u64 = 300;

/// When a line was written whose stamp is not believed: not before the one, not after the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// RFC 3339.
    pub from: String,
    /// RFC 3339.
    pub until: String,
}

/// What is found about stamps. Lines are counted from 0.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Stamps {
    /// Lines that are not believed.
    pub(super) doubted: BTreeMap<usize, Span>,
    /// What no gameday would have written.
    pub(super) wrong: Vec<(usize, String)>,
    /// What must be known.
    pub(super) remarks: Vec<(usize, String)>,
}

/// Whether a line moves the ledger on in time. Closings do not: they are written whatever the clock says.
fn counts(kind: &Kind) -> bool {
    !matches!(kind, Kind::Closed(_))
}

fn says_ahead(kind: &Kind) -> bool {
    matches!(kind, Kind::Amended(a) if a.clock_was_ahead)
}

/// The time that a ledger has reached; empty at its beginning.
fn reached(entries: &[Entry]) -> &str {
    entries.iter().fold("", |last, e| match &e.kind {
        kind if says_ahead(kind) => &e.at,
        kind if counts(kind) => last.max(&e.at),
        _ => last,
    })
}

fn seconds(stamp: &str) -> u64 {
    unix_of(stamp).unwrap_or(0)
}

/// Why a line may not be appended now.
pub(super) fn refuse(entries: &[Entry], now: &str, kind: &Kind) -> Option<Trouble> {
    let last = reached(entries);
    let behind = seconds(last).saturating_sub(seconds(now));
    if says_ahead(kind) {
        return (behind == 0).then(|| {
            Trouble::usage(
                format!("no line of the ledger is stamped later than now ({now})"),
                "set this machine's clock right first; amend without --clock-was-ahead if it is",
            )
        });
    }
    (counts(kind) && behind > STEP).then(|| Trouble {
        whose: Whose::Environment,
        what: format!("the ledger has reached {last}, and the clock of this machine says {now}"),
        remedy:
            "set the clock right; if it is right now, it was ahead before: put that on record with `gameday \
                 evidence amend FOLDER RUN --clock-was-ahead --reason \"..\"`"
                .into(),
    })
}

/// Which stamps are believed by whoever looks `now`.
pub(super) fn judge(entries: &[Entry], now: SystemTime) -> Stamps {
    let mut found = Stamps::default();
    let mut last = 0;
    for (i, entry) in entries.iter().enumerate() {
        let at = seconds(&entry.at);
        if says_ahead(&entry.kind) {
            found.remarks.push((i, "it says that the clock was ahead before".into()));
            last = at;
        } else if counts(&entry.kind) {
            if at + STEP < last {
                found.wrong.push((i, "it is older than the line before it".into()));
            } else if at < last {
                found.remarks.push((i, format!("the clock went back by {} s", last - at)));
            }
            last = last.max(at);
        }
    }
    let latest = ceilings(entries, now, &mut found);
    floors(entries, &latest, &mut found);
    found
}

/// Finds stamps that lie after a later line, or after now. Answers with the latest moment at which each can have been
/// written.
fn ceilings(entries: &[Entry], now: SystemTime, found: &mut Stamps) -> Vec<String> {
    let clock = super::stamp(now).unwrap_or_else(|_| "1970-01-01T00:00:00Z".into());
    let (mut ceiling, mut whose) = (clock, "this machine's clock says".to_owned());
    let mut latest = vec![String::new(); entries.len()];
    for (i, entry) in entries.iter().enumerate().rev() {
        latest[i].clone_from(&ceiling);
        if seconds(&entry.at) > seconds(&ceiling) + STEP {
            let why = format!("it is stamped {}, and {whose} {ceiling}: the stamp is not believed", entry.at);
            found.remarks.push((i, why));
            found.doubted.insert(i, Span { from: String::new(), until: ceiling.clone() });
        } else if counts(&entry.kind) && entry.at < ceiling {
            ceiling.clone_from(&entry.at);
            whose = format!("line {} after it", i + 1);
        }
    }
    latest
}

/// Finds closings that lie before an earlier line, and the earliest moment of all that is not believed.
fn floors(entries: &[Entry], latest: &[String], found: &mut Stamps) {
    let mut floor = "1970-01-01T00:00:00Z";
    for (i, entry) in entries.iter().enumerate() {
        if let Some(span) = found.doubted.get_mut(&i) {
            span.from = floor.to_owned();
        } else if counts(&entry.kind) {
            floor = floor.max(&entry.at);
        } else if seconds(&entry.at) + STEP < seconds(floor) {
            let why =
                format!("it is stamped {}, after {floor} before it: the stamp is not believed", entry.at);
            found.remarks.push((i, why));
            found.doubted.insert(i, Span { from: floor.to_owned(), until: latest[i].clone() });
        }
    }
}

impl Span {
    /// Whether it may lie in a period; `until` is not part of the period.
    pub fn meets(&self, from: &str, until: &str) -> bool {
        self.from.as_str() < until && self.until.as_str() >= from
    }
}

/// Seconds since 1970 of a stamp that is believed.
pub(super) fn believed(at: &str, doubt: Option<&Span>) -> Option<u64> {
    doubt.is_none().then(|| time_of(at).and_then(|_| unix_of(at))).flatten()
}
