//! Canaries: which came back, and so how old the data is that did.

use std::collections::{BTreeMap, BTreeSet};

use super::subject;
use crate::{
    judge::Finding,
    own::{
        event::{Pass, Planted, Task},
        facts::Facts,
    },
    time::human_us,
    verdict::Verdict::{Fail, Pass as Good, Unknown},
};

/// What became of the canaries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Count {
    /// Planted before the drill, as the source knows them.
    pub(crate) planted: u64,
    /// Came back as they were.
    pub(crate) back: u64,
    /// Older than one that came back, and gone.
    pub(crate) lost: u64,
    /// Came back with another value.
    pub(crate) corrupt: u64,
    /// Came back, and nobody had planted them.
    pub(crate) strange: u64,
    /// How old the data is that came back: at least and at most, in microseconds, at the start of the drill.
    pub(crate) age_us: Option<(u64, u64)>,
    /// How far two neighbouring canaries are apart where the backup ends.
    pub(crate) gap_us: u64,
}

/// By whichever clock makes it older: that of who planted, or that of the store.
fn age(c: &Planted, ahead_us: Option<i64>, now_us: u64) -> i128 {
    let mine = i128::from(now_us) - i128::from(c.at_unix_us);
    let theirs = c.store_unix_us.zip(ahead_us);
    let theirs = theirs.map(|(at, ahead)| i128::from(now_us) + i128::from(ahead) - i128::from(at));
    theirs.map_or(mine, |t| t.max(mine))
}

pub(crate) fn count(f: &Facts, pass: Pass) -> Option<Count> {
    let (before, now) = (f.canaries.get(&Pass::Before)?, f.canaries.get(&pass)?);
    if before.is.none.is_some() || now.is.none.is_some() {
        return None;
    }
    let start_us = f.began.started_unix_us;
    let ahead = before.is.clock_ahead_us;
    let past: Vec<&Planted> = before.is.list.iter().filter(|c| c.at_unix_us <= start_us).collect();
    let found: BTreeMap<&String, &Planted> = now.is.list.iter().map(|c| (&c.id, c)).collect();
    let intact =
        |c: &Planted| found.get(&c.id).is_some_and(|r| r.digest == c.digest && r.at_unix_us == c.at_unix_us);
    let newest = past.iter().rposition(|c| intact(c));
    let mut count = Count { planted: past.len() as u64, ..Count::default() };
    for (i, c) in past.iter().enumerate() {
        match found.contains_key(&c.id) {
            true if intact(c) => count.back += 1,
            true => count.corrupt += 1,
            false if newest.is_some_and(|n| i < n) => count.lost += 1,
            false => {}
        }
    }
    // What the source has pruned since may still be in its backup, and what was planted meanwhile may be, too.
    let oldest = before.is.list.first().map_or(u64::MAX, |c| c.at_unix_us);
    let known: BTreeSet<&String> = before.is.list.iter().map(|c| &c.id).collect();
    let strange = |c: &&Planted| !known.contains(&c.id) && (oldest..=start_us).contains(&c.at_unix_us);
    count.strange = now.is.list.iter().filter(strange).count() as u64;
    if let Some(n) = newest {
        let whole = |age: i128| u64::try_from(age.max(0)).unwrap_or(u64::MAX);
        let late = age(past[n], ahead, start_us);
        let early = past.get(n + 1).map_or(0, |c| age(c, ahead, start_us).min(late));
        count.age_us = Some((whole(early), whole(late)));
        count.gap_us = whole(late - early);
    }
    Some(count)
}

pub(super) fn canary_events(f: &Facts, pass: Pass) -> Vec<u64> {
    [Pass::Before, pass].iter().filter_map(|p| f.canaries.get(p)).map(|c| c.seq).collect()
}

/// Whether the canaries of a pass are whole; `None` if the stack has none.
pub(super) fn canaries(f: &Facts, pass: Pass) -> Option<Finding> {
    f.drill.canary()?;
    let finding = Finding::new("canaries", subject(f), "each that the backup held, unchanged");
    let finding = finding.evidence(canary_events(f, pass));
    let unread = [Pass::Before, pass].iter().find_map(|p| match f.canaries.get(p) {
        None => Some(format!("they were not read {p}")),
        Some(c) => c.is.none.as_ref().map(|why| format!("they could not be read {p}: {why}")),
    });
    if let Some(why) = unread {
        let gone = f.canaries.get(&pass).is_some_and(|c| c.is.none.is_some());
        let restored = f.ran.get(&Task::Restore).is_some_and(|r| r.is.code == Some(0));
        let hint = match pass {
            Pass::Restored => {
                "; a backup that is older than the first canary holds none: take one, and drill again"
            }
            _ => "",
        };
        return Some(finding.because(if gone && restored { Fail } else { Unknown }, why + hint));
    }
    let c = count(f, pass)?;
    let text = format!(
        "{} of {} back, {} newer than the backup, {} lost, {} changed, {} that nobody planted",
        c.back,
        c.planted,
        c.planted.saturating_sub(c.back + c.lost + c.corrupt),
        c.lost,
        c.corrupt,
        c.strange
    );
    let finding = finding.measured(text);
    Some(if c.lost + c.corrupt + c.strange > 0 {
        finding.because(Fail, "the backup has holes, or holds what nobody planted")
    } else if c.planted == 0 {
        let hint = "none was planted before the drill: run `gameday canary plant` by cron, at least twice within the RPO";
        finding.because(Unknown, hint)
    } else if c.back == 0 {
        finding.because(Fail, "none came back")
    } else {
        finding.because(Good, "")
    })
}

pub(super) fn rpo(f: &Facts) -> Option<Finding> {
    let rpo = f.began.drill.objectives.rpo?;
    let finding = Finding::new("rpo", subject(f), format!("at most {rpo}"));
    let finding = finding.evidence(canary_events(f, Pass::Restored));
    let Some((early, late)) = count(f, Pass::Restored).and_then(|c| c.age_us) else {
        let nothing = count(f, Pass::Restored).is_some_and(|c| c.planted > 0);
        let restored = f.ran.get(&Task::Restore).is_some_and(|r| r.is.code == Some(0));
        let verdict = if nothing && restored { Fail } else { Unknown };
        return Some(finding.because(verdict, "no canary says how old the backup is"));
    };
    let text = match early {
        0 => format!("at most {} (every canary came back)", human_us(late)),
        _ => format!("the backup is between {} and {} old", human_us(early), human_us(late)),
    };
    let finding = finding.measured(text);
    Some(if late <= rpo.us() {
        finding.because(Good, "")
    } else if early > rpo.us() {
        finding.because(Fail, "a canary that had to be back is not")
    } else {
        let hint = "no canary lies near the limit: plant them more often, at least every half of the RPO";
        finding.because(Unknown, hint)
    })
}
