//! From the facts of a restore drill to findings. What could not be judged is `unknown`, never left out.

mod answers;
mod canaries;
pub(super) mod conduct;
mod places;

use super::{
    event::{Pass, Place, Task, Witnessed},
    facts::{At, Facts, INVENTORY},
};
use crate::{
    judge::Finding,
    time::human_us,
    verdict::Verdict::{Fail, Pass as Good, Unknown},
};

pub(super) use answers::{Compared, compared as answered, least};
pub(super) use canaries::count;

/// Judges everything.
pub(super) fn findings(f: &Facts) -> Vec<Finding> {
    let mut all = vec![conduct::conduct(f.breach.as_deref(), f.aborted.as_deref(), f.ending)];
    let before_us = f.stages.get(1).map_or(f.end_us, |(_, at)| *at);
    all.extend(conduct::alarms(&f.began.stack.alarm, &f.asked, before_us, f.end_us));
    all.push(places::apart(f));
    if f.began.rehearsed {
        all.extend(f.witnesses().iter().map(|w| taken(f, w)));
        all.extend(f.witnesses().iter().filter_map(|w| answers::searched(f, w)));
        return all;
    }
    all.push(places::empty(f));
    all.push(command(f));
    all.extend(f.witnesses().iter().map(|w| data(f, w)));
    all.extend(f.witnesses().iter().filter_map(|w| answers::answers(f, w)));
    all.extend(canaries::canaries(f, Pass::Restored));
    all.push(rto(f));
    all.extend(canaries::rpo(f));
    all.extend(durable(f));
    all.extend(places::source(f));
    all.push(places::cleanup(f));
    all
}

fn subject(f: &Facts) -> &str {
    &f.began.drill.source
}

fn command(f: &Facts) -> Finding {
    let limit = f.began.drill.restore.limit;
    let finding = Finding::new("restore", subject(f), format!("the command ends well within {limit}"));
    let Some(ran) = f.ran.get(&Task::Restore) else { return finding.because(Unknown, "it was never run") };
    let took = human_us(ran.at_us.saturating_sub(ran.is.began_us));
    let finding = finding.measured(format!("{} after {took}", ran.is.how)).evidence([ran.seq]);
    match ran.is.code {
        Some(0) => finding.because(Good, ""),
        // Ended by us, because somebody asked.
        None if f.aborted.is_some() => finding.because(Unknown, "the drill was given up while it ran"),
        _ => {
            let why = format!("the restore command did not end well: {}", ran.is.how);
            finding.because(Fail, why)
        }
    }
}

/// Whether a witness could be taken at all: what a rehearsal says.
fn taken(f: &Facts, witness: &str) -> Finding {
    let finding = Finding::new("witness", witness, "can be read in the source");
    match f.sum(Pass::Before, witness) {
        Some(At { is: Witnessed { sum: Some(sum), .. }, seq, .. }) if sum.rows > 0 => {
            finding.measured(format!("{} rows", sum.rows)).evidence([*seq]).because(Good, "")
        }
        Some(At { is: Witnessed { sum: Some(_), .. }, seq, .. }) => finding
            .measured("no rows")
            .evidence([*seq])
            .because(Unknown, "it is empty, and would prove nothing"),
        Some(w) => finding.evidence([w.seq]).because(Unknown, w.is.none.clone().unwrap_or_default()),
        None => finding.because(Unknown, "it was not read"),
    }
}

/// How a reading compares with that of the source before.
enum Same {
    Yes(String),
    No(String),
    Nobody(String),
}

fn compared(f: &Facts, witness: &str, pass: Pass) -> (Same, Vec<u64>) {
    let Some(before) = f.sum(Pass::Before, witness) else {
        return (Same::Nobody("it was not read before".into()), Vec::new());
    };
    let Some(was) = &before.is.sum else {
        let why = before.is.none.clone().unwrap_or_default();
        return (Same::Nobody(format!("it could not be read before: {why}")), vec![before.seq]);
    };
    if was.rows == 0 && witness != INVENTORY {
        return (Same::Nobody("it was empty before, and proves nothing".into()), vec![before.seq]);
    }
    let Some(now) = f.sum(pass, witness) else {
        return (Same::Nobody(format!("it was not read {pass}")), vec![before.seq]);
    };
    let seqs = vec![before.seq, now.seq];
    let Some(is) = &now.is.sum else {
        if pass == Pass::After {
            let why = now.is.none.clone().unwrap_or_default();
            return (Same::Nobody(format!("it could not be read again: {why}")), seqs);
        }
        return (
            Same::No(format!("it could not be read: {}", now.is.none.clone().unwrap_or_default())),
            seqs,
        );
    };
    if is == was {
        return (Same::Yes(format!("{} rows, each as before", is.rows)), seqs);
    }
    // Tables come and go by night; a table that came is nobody's loss.
    if witness == INVENTORY && is.only_adds_to(was) {
        return (Same::Yes(format!("{} rows as before, and {} more", was.rows, is.rows - was.rows)), seqs);
    }
    let text = format!(
        "{} rows before, {} {pass}; at least {} changed, lost or added",
        was.rows,
        is.rows,
        was.differs_at_least(is)
    );
    (Same::No(text), seqs)
}

fn data(f: &Facts, witness: &str) -> Finding {
    let finding = Finding::new("data", witness, "the same rows as in the source");
    let (same, seqs) = compared(f, witness, Pass::Restored);
    let finding = finding.evidence(seqs);
    let sum = |pass| f.sum(pass, witness).and_then(|w| w.is.sum.as_ref());
    let answered = f.holds.iter().rfind(|h| !h.is.after).is_some_and(|h| h.is.unreachable.is_none());
    if answered && f.sum(Pass::Empty, witness).is_none() {
        return finding.because(Unknown, "nobody looked how it reads in the empty scratch place");
    }
    if sum(Pass::Before).is_some() && sum(Pass::Before) == sum(Pass::Empty) {
        let why = "it read the same in the empty scratch place before: it proves nothing about a restore";
        return finding.because(Unknown, why);
    }
    match same {
        Same::Yes(what) => finding.measured(what).because(Good, ""),
        Same::No(what) if f.ran.get(&Task::Restore).is_some_and(|r| r.is.code == Some(0)) => {
            finding.measured(what).because(Fail, "what was restored is not what the source holds")
        }
        Same::No(what) => finding.measured(what).because(Unknown, "the restore did not end well"),
        Same::Nobody(why) => finding.because(Unknown, why),
    }
}

/// When the last check of what was restored had passed; `None` if one has not.
pub(super) fn verified_us(f: &Facts) -> Option<u64> {
    let mut last = f.ran.get(&Task::Restore).filter(|r| r.is.code == Some(0))?.at_us;
    for witness in f.witnesses() {
        matches!(compared(f, &witness, Pass::Restored).0, Same::Yes(_)).then_some(())?;
        last = last.max(f.sum(Pass::Restored, &witness)?.at_us);
        if let Some(least) = least(f, &witness) {
            answered(f, &witness, Pass::Restored).0.is_good(least).then_some(())?;
            last = last.max(f.searched.get(&(Pass::Restored, witness))?.at_us);
        }
    }
    if f.drill.canary().is_some() {
        let c = count(f, Pass::Restored)?;
        (c.lost + c.corrupt + c.strange == 0 && c.back > 0).then_some(())?;
        last = last.max(f.canaries.get(&Pass::Restored)?.at_us);
    }
    Some(last)
}

fn rto(f: &Facts) -> Finding {
    let rto = f.began.drill.objectives.rto;
    let finding = Finding::new("rto", subject(f), format!("at most {rto}"));
    let Some((ran, began_us)) = f.ran.get(&Task::Restore).zip(f.restore_began_us()) else {
        return finding.because(Unknown, "nothing was restored");
    };
    let finding = finding.evidence([ran.seq]);
    let Some(verified) = verified_us(f) else {
        let doubt = |w: &String| {
            matches!(compared(f, w, Pass::Restored).0, Same::Nobody(_))
                || (least(f, w).is_some() && matches!(answered(f, w, Pass::Restored).0, Compared::Nobody(_)))
        };
        let doubts = f.witnesses().iter().any(doubt);
        let given_up = f.aborted.is_some();
        let verdict = if (doubts && ran.is.code == Some(0)) || given_up { Unknown } else { Fail };
        return finding.measured("never").because(verdict, "what was restored never passed every check");
    };
    let took = verified.saturating_sub(began_us);
    let command = human_us(ran.at_us.saturating_sub(ran.is.began_us));
    let finding = finding.measured(format!("{} (the command took {command})", human_us(took)));
    if took <= rto.us() {
        finding.because(Good, "")
    } else {
        finding.because(Fail, "the data was back too late")
    }
}

fn durable(f: &Facts) -> Option<Finding> {
    if !f.began.drill.objectives.durable {
        return None;
    }
    let finding = Finding::new("durable", "scratch", "all of it is still there after a restart");
    let Some(ran) = f.ran.get(&Task::Restart) else {
        return Some(finding.because(Unknown, "it was never restarted"));
    };
    let finding = finding.evidence([ran.seq]);
    if ran.is.code != Some(0) {
        let verdict = if f.aborted.is_some() { Unknown } else { Fail };
        return Some(
            finding.measured(ran.is.how.clone()).because(verdict, "the restart command did not end well"),
        );
    }
    if let Some(why) = not_restarted(f) {
        return Some(finding.because(Unknown, why));
    }
    let mut rows = 0;
    for witness in f.witnesses() {
        match compared(f, &witness, Pass::Restarted) {
            (Same::Yes(_), _) => {
                rows += f.sum(Pass::Restarted, &witness).and_then(|w| w.is.sum.as_ref()).map_or(0, |s| s.rows)
            }
            (Same::No(what), seqs) => {
                let finding = finding.measured(format!("{witness}: {what}")).evidence(seqs);
                // What was not right before the restart is judged there.
                let worse = matches!(compared(f, &witness, Pass::Restored).0, Same::Yes(_));
                let why = if worse { "the restart took it away" } else { "it was not right before either" };
                return Some(finding.because(if worse { Fail } else { Unknown }, why));
            }
            (Same::Nobody(why), seqs) => {
                return Some(finding.evidence(seqs).because(Unknown, format!("{witness}: {why}")));
            }
        }
        if let Some(least) = least(f, &witness) {
            let (now, seqs) = answered(f, &witness, Pass::Restarted);
            let (verdict, why) = match &now {
                _ if now.is_good(least) => continue,
                Compared::Nobody(why) => (Unknown, why.clone()),
                _ if !answered(f, &witness, Pass::Restored).0.is_good(least) => {
                    (Unknown, "it was not answered as in the source before either".into())
                }
                Compared::Share(..) => (Fail, "since the restart it is answered otherwise".into()),
                Compared::Mute(why) => (Fail, format!("since the restart it gives no answer: {why}")),
            };
            return Some(finding.evidence(seqs).because(verdict, format!("{witness}: {why}")));
        }
    }
    if f.drill.canary().is_some() && count(f, Pass::Restarted) != count(f, Pass::Restored) {
        let finding = finding.evidence(canaries::canary_events(f, Pass::Restarted));
        return Some(
            finding.measured("other canaries than before").because(Fail, "the restart took them away"),
        );
    }
    Some(finding.measured(format!("{rows} rows and the canaries, as before")).because(Good, ""))
}

/// A server that says when it started has to say another moment now.
fn not_restarted(f: &Facts) -> Option<String> {
    if !f.is_server() {
        return None;
    }
    // One of many nodes says when the first and when the last of them was started: each has to be a later one now.
    let starts: Vec<(&String, Option<&String>)> = f
        .identified
        .iter()
        .filter(|i| i.is.place == Place::Scratch && i.is.after)
        .filter_map(|i| Some((i.is.facts.get("started")?, i.is.facts.get("started_last"))))
        .collect();
    match starts.as_slice() {
        [(_, Some(last)), (first, _), ..] if *first > *last => None,
        [(before, None), (after, _), ..] if before != after => None,
        [_, _, ..] => Some("the server says that it has not been restarted".into()),
        _ => Some("nobody knows whether the server was restarted".into()),
    }
}
