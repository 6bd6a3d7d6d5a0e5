//! From the facts of a restore drill to findings. What could not be judged is `unknown`, never left out.

mod answers;
mod canaries;
mod places;

use super::{
    event::{Pass, Place, Task, Witnessed},
    facts::{At, Facts, INVENTORY},
};
use crate::{
    journal::Ending,
    judge::Finding,
    time::human_us,
    verdict::Verdict::{Fail, Pass as Good, Unknown},
};

pub(super) use answers::{Compared, compared as answered, least};
pub(super) use canaries::count;

/// Judges everything.
pub(super) fn findings(f: &Facts) -> Vec<Finding> {
    let mut all = vec![conduct(f)];
    all.extend(alarms(f));
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

fn conduct(f: &Facts) -> Finding {
    let finding = Finding::new("conduct", "drill", "played to its end");
    if let Some(breach) = &f.breach {
        return finding.measured("not played by gameday").because(Unknown, breach.as_str());
    }
    if let Some(why) = &f.aborted {
        return finding.measured("given up").because(Unknown, why.as_str());
    }
    match f.ending {
        Some(Ending::Complete) => finding.measured("complete").because(Good, ""),
        Some(Ending::Aborted) => finding.measured("given up").because(Unknown, "nobody wrote down why"),
        Some(Ending::Environment) => {
            finding.measured("not played").because(Unknown, "the environment failed")
        }
        None => finding.measured("cut short").because(Unknown, "the journal breaks off: the harness died"),
    }
}

/// A drill that began although its alarm was bad, or went on although it had to end, is none.
fn alarms(f: &Facts) -> Vec<Finding> {
    let alarm = &f.began.stack.alarm;
    let before = f.stages.get(1).map_or(f.end_us, |(_, at)| *at);
    let of = |id: &str| f.asked.iter().filter(|a| a.is.service == id).collect::<Vec<_>>();
    let start = alarm.forbid_start.as_ref().map(|id| {
        let finding = Finding::new("steady", id, "good before anything happens");
        let asked: Vec<_> = of(id).into_iter().filter(|a| a.at_us <= before).collect();
        let bad = asked.iter().rev().find_map(|a| a.is.bad.as_ref().map(|why| (why, a.seq)));
        let finding = finding.measured(format!("{} answers", asked.len()));
        match (asked.is_empty(), bad) {
            (true, _) => finding.because(Unknown, "it was never asked"),
            (false, Some((why, seq))) => {
                finding.evidence([seq]).because(Unknown, format!("it was bad: {why}"))
            }
            (false, None) => finding.because(Good, ""),
        }
    });
    let end = alarm.end_run.as_ref().map(|end| {
        let finding = Finding::new("alarm", &end.probe, format!("never bad for {}", end.bad_for));
        let asked = of(&end.probe);
        let (mut since, mut longest): (Option<u64>, u64) = (None, 0);
        for a in &asked {
            since = a.is.bad.as_ref().map(|_| since.unwrap_or(a.is.sent_us));
            longest = longest.max(since.map_or(0, |at| a.at_us.saturating_sub(at)));
        }
        longest = longest.max(since.map_or(0, |at| f.end_us.saturating_sub(at)));
        let finding = finding.measured(format!(
            "{} answers, bad for {} at the longest",
            asked.len(),
            human_us(longest)
        ));
        if asked.is_empty() {
            finding.because(Unknown, "it was never asked")
        } else if longest >= end.bad_for.us() {
            finding.because(Unknown, "it was bad for longer than the run may go on")
        } else {
            finding.because(Good, "")
        }
    });
    start.into_iter().chain(end).collect()
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
        "{} rows before, {} {pass}; at least {} of them differ",
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
