//! From the facts of a restore drill to findings. What could not be judged is `unknown`, never left out.

use super::{
    event::{Pass, Place, Planted, Task, Witnessed},
    facts::{At, Facts, INVENTORY},
};
use crate::{
    journal::Ending,
    judge::Finding,
    time::human_us,
    verdict::Verdict::{Fail, Pass as Good, Unknown},
};

/// Judges everything.
pub(super) fn findings(f: &Facts) -> Vec<Finding> {
    let mut all = vec![conduct(f)];
    all.extend(alarms(f));
    all.push(apart(f));
    if f.began.rehearsed {
        all.extend(f.witnesses().iter().map(|w| taken(f, w)));
        return all;
    }
    all.push(empty(f));
    all.push(command(f));
    all.extend(f.witnesses().iter().map(|w| data(f, w)));
    all.extend(canaries(f, Pass::Restored));
    all.push(rto(f));
    all.extend(rpo(f));
    all.extend(durable(f));
    all.extend(source(f));
    all.push(cleanup(f));
    all
}

fn subject(f: &Facts) -> &str {
    &f.began.drill.source
}

fn conduct(f: &Facts) -> Finding {
    let finding = Finding::new("conduct", "drill", "played to its end");
    if let Some(breach) = &f.breach {
        return finding.because(Unknown, format!("the journal is none that a drill writes: {breach}"));
    }
    if let Some(why) = &f.aborted {
        return finding.measured("given up").because(Unknown, format!("the drill was given up: {why}"));
    }
    match f.ending {
        Some(Ending::Complete) => finding.measured("complete").because(Good, ""),
        Some(Ending::Aborted) => finding.measured("given up").because(Unknown, "the drill was given up"),
        Some(Ending::Environment) => finding.because(Unknown, "the environment failed"),
        None => finding.because(Unknown, "the journal breaks off: the harness died"),
    }
}

/// A drill that began although its alarm was bad, or went on although it had to end, is none.
fn alarms(f: &Facts) -> Option<Finding> {
    let alarm = &f.began.stack.alarm;
    let id = alarm.forbid_start.as_ref()?;
    let finding = Finding::new("steady", id, "good before anything happens");
    let before = f.stages.get(1).map_or(f.end_us, |(_, at)| *at);
    let asked: Vec<_> = f.asked.iter().filter(|a| a.is.service == *id && a.at_us <= before).collect();
    let bad = asked.iter().rev().find_map(|a| a.is.bad.as_ref().map(|why| (why, a.seq)));
    let finding = finding.measured(format!("{} answers", asked.len()));
    Some(match (asked.is_empty(), bad) {
        (true, _) => finding.because(Unknown, "it was never asked"),
        (false, Some((why, seq))) => finding.evidence([seq]).because(Unknown, format!("it was bad: {why}")),
        (false, None) => finding.because(Good, ""),
    })
}

/// The scratch place is not the source, before and after: nothing that was written in one is seen in the other.
fn apart(f: &Facts) -> Finding {
    let finding = Finding::new("apart", "scratch", "another place than the source, before and after");
    let mut proofs = Vec::new();
    for after in [false, true] {
        if after && f.began.rehearsed {
            continue;
        }
        let when = if after { "after the restore" } else { "before" };
        match same(f, after) {
            Some((why, seqs)) => {
                let verdict = if after { Fail } else { Unknown };
                return finding
                    .measured("the same place")
                    .evidence(seqs)
                    .because(verdict, format!("{when}: {why}"));
            }
            None => match proof(f, after) {
                Ok(how) => proofs.push(format!("{when}: {how}")),
                Err(why) => return finding.because(Unknown, format!("{when}: {why}")),
            },
        }
    }
    finding.measured(proofs.join("; ")).because(Good, "")
}

/// Why both are one, by what they say of themselves or by a record of ours that was seen.
fn same(f: &Facts, after: bool) -> Option<(String, Vec<u64>)> {
    if let Some(n) = f.nonces.iter().find(|n| n.is.after == after && n.is.seen == Some(true)) {
        let other = if n.is.written == Place::Source { "scratch" } else { "source" };
        return Some((
            format!("what was written in the {} was seen in the {other}", n.is.written),
            vec![n.seq],
        ));
    }
    let (a, b) = f.identity(Place::Source, after).zip(f.identity(Place::Scratch, after))?;
    let equal = |key: &str| a.is.facts.get(key).is_some_and(|v| b.is.facts.get(key) == Some(v));
    let server = equal("system_identifier") && equal("started");
    let seqs = vec![a.seq, b.seq];
    if server && equal("database_oid") {
        return Some(("both are one database of one server".into(), seqs));
    }
    if server && !f.began.drill.scratch.same_server {
        let why = "both are databases of one running server: a restart, a full disk or a wrong line would hit the source. \
                   Restore to another server, or say `same_server = true`";
        return Some((why.into(), seqs));
    }
    None
}

/// How it is known that both are two.
fn proof(f: &Facts, after: bool) -> Result<String, String> {
    let unanswered = f.holds.iter().any(|h| !h.is.after && h.is.unreachable.is_some());
    if !after && unanswered {
        return Ok("nobody answered at the scratch place, and the source did".into());
    }
    let asked: Vec<_> = f.nonces.iter().filter(|n| n.is.after == after).collect();
    if let Some(n) = asked.iter().find(|n| n.is.seen == Some(false)) {
        let other = if n.is.written == Place::Source { "scratch" } else { "source" };
        return Ok(format!("what was written in the {} was not seen in the {other}", n.is.written));
    }
    match asked.first() {
        Some(n) => Err(format!("nobody could look: {}", n.is.why)),
        None => Err("nothing was written to tell them apart".into()),
    }
}

fn empty(f: &Facts) -> Finding {
    let finding = Finding::new("empty", "scratch", "nothing there before the restore");
    let Some(h) = f.holds.iter().rfind(|h| !h.is.after) else {
        return finding.because(Unknown, "nobody looked");
    };
    let finding = finding.evidence([h.seq]);
    match (&h.is.unreachable, h.is.count) {
        (Some(_), _) => finding.measured("nobody answered there").because(Good, ""),
        (None, Some(0)) => finding.measured("nothing").because(Good, ""),
        (None, Some(n)) => {
            let what = format!("{n} things, such as {}", h.is.things.join(", "));
            finding
                .measured(what)
                .because(Unknown, "what is there already cannot be told from what is restored")
        }
        (None, None) => finding.because(Unknown, "nobody could look"),
    }
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
        _ => finding.because(Fail, "the restore command did not end well"),
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
        return (
            Same::No(format!("it could not be read: {}", now.is.none.clone().unwrap_or_default())),
            seqs,
        );
    };
    if is == was {
        return (Same::Yes(format!("{} rows, each as before", is.rows)), seqs);
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
    match same {
        Same::Yes(what) => finding.measured(what).because(Good, ""),
        Same::No(what) if f.ran.get(&Task::Restore).is_some_and(|r| r.is.code == Some(0)) => {
            finding.measured(what).because(Fail, "what was restored is not what the source holds")
        }
        Same::No(what) => finding.measured(what).because(Unknown, "the restore did not end well"),
        Same::Nobody(why) => finding.because(Unknown, why),
    }
}

/// What became of the canaries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Count {
    /// Planted before the drill, as the source knows them.
    pub(super) planted: u64,
    /// Came back as they were.
    pub(super) back: u64,
    /// Older than one that came back, and gone.
    pub(super) lost: u64,
    /// Came back with another value.
    pub(super) corrupt: u64,
    /// Came back, and nobody had planted them.
    pub(super) strange: u64,
    /// How old the data is that came back: at least and at most, in microseconds, at the start of the drill.
    pub(super) age_us: Option<(u64, u64)>,
    /// How far two neighbouring canaries are apart where the backup ends.
    pub(super) gap_us: u64,
}

/// By whichever clock makes it older: that of who planted, or that of the store.
fn age(c: &Planted, ahead_us: Option<i64>, now_us: u64) -> i128 {
    let mine = i128::from(now_us) - i128::from(c.at_unix_us);
    let theirs = c.store_unix_us.zip(ahead_us);
    let theirs = theirs.map(|(at, ahead)| i128::from(now_us) + i128::from(ahead) - i128::from(at));
    theirs.map_or(mine, |t| t.max(mine))
}

pub(super) fn count(f: &Facts, pass: Pass) -> Option<Count> {
    let (before, now) = (f.canaries.get(&Pass::Before)?, f.canaries.get(&pass)?);
    if before.is.none.is_some() || now.is.none.is_some() {
        return None;
    }
    let start_us = f.began.started_unix_us;
    let ahead = before.is.clock_ahead_us;
    let past: Vec<&Planted> = before.is.list.iter().filter(|c| c.at_unix_us <= start_us).collect();
    let found: std::collections::BTreeMap<&String, &Planted> =
        now.is.list.iter().map(|c| (&c.id, c)).collect();
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
    let known: std::collections::BTreeSet<&String> = before.is.list.iter().map(|c| &c.id).collect();
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

fn canary_events(f: &Facts, pass: Pass) -> Vec<u64> {
    [Pass::Before, pass].iter().filter_map(|p| f.canaries.get(p)).map(|c| c.seq).collect()
}

/// Whether the canaries of a pass are whole; `None` if the stack has none.
fn canaries(f: &Facts, pass: Pass) -> Option<Finding> {
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
        return Some(finding.because(if gone && restored { Fail } else { Unknown }, why));
    }
    let c = count(f, pass)?;
    let text = format!(
        "{} of {} back, {} lost, {} changed, {} strange",
        c.back, c.planted, c.lost, c.corrupt, c.strange
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

/// When the last check of what was restored had passed; `None` if one has not.
pub(super) fn verified_us(f: &Facts) -> Option<u64> {
    let mut last = f.ran.get(&Task::Restore).filter(|r| r.is.code == Some(0))?.at_us;
    for witness in f.witnesses() {
        matches!(compared(f, &witness, Pass::Restored).0, Same::Yes(_)).then_some(())?;
        last = last.max(f.sum(Pass::Restored, &witness)?.at_us);
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
    let Some(ran) = f.ran.get(&Task::Restore) else {
        return finding.because(Unknown, "nothing was restored");
    };
    let finding = finding.evidence([ran.seq]);
    let Some(verified) = verified_us(f) else {
        let doubts =
            f.witnesses().iter().any(|w| matches!(compared(f, w, Pass::Restored).0, Same::Nobody(_)));
        let given_up = f.aborted.is_some();
        let verdict = if (doubts && ran.is.code == Some(0)) || given_up { Unknown } else { Fail };
        return finding.measured("never").because(verdict, "what was restored never passed every check");
    };
    let took = verified.saturating_sub(ran.is.began_us);
    let command = human_us(ran.at_us.saturating_sub(ran.is.began_us));
    let finding = finding.measured(format!("{} (the command took {command})", human_us(took)));
    if took <= rto.us() {
        finding.because(Good, "")
    } else {
        finding.because(Fail, "the data was back too late")
    }
}

fn rpo(f: &Facts) -> Option<Finding> {
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
    }
    if f.drill.canary().is_some() && count(f, Pass::Restarted) != count(f, Pass::Restored) {
        let finding = finding.evidence(canary_events(f, Pass::Restarted));
        return Some(
            finding.measured("other canaries than before").because(Fail, "the restart took them away"),
        );
    }
    Some(finding.measured(format!("{rows} rows and the canaries, as before")).because(Good, ""))
}

/// A server that says when it started has to say another moment now.
fn not_restarted(f: &Facts) -> Option<String> {
    if !f.is_postgres() {
        return None;
    }
    let starts: Vec<&String> = f
        .identified
        .iter()
        .filter(|i| i.is.place == Place::Scratch && i.is.after)
        .filter_map(|i| i.is.facts.get("started"))
        .collect();
    match starts.as_slice() {
        [.., before, after] if before != after => None,
        [_, _, ..] => Some("the server says that it has not been restarted".into()),
        _ => Some("nobody knows whether the server was restarted".into()),
    }
}

/// The source is what it was.
fn source(f: &Facts) -> Vec<Finding> {
    let mut witnesses = f.witnesses();
    if f.is_postgres() {
        witnesses.insert(INVENTORY.to_owned());
    }
    let one = |witness: &String| {
        let finding = Finding::new("source", witness, "as it was before the drill");
        let (same, seqs) = compared(f, witness, Pass::After);
        let finding = finding.evidence(seqs);
        match same {
            Same::Yes(what) => finding.measured(what).because(Good, ""),
            Same::No(what) => {
                let why = "the source has changed while the drill ran: by the drill's commands, or by users, in which \
                           case ask for rows that nobody changes any more";
                finding.measured(what).because(Fail, why)
            }
            Same::Nobody(why) => finding.because(Unknown, why),
        }
    };
    witnesses.iter().map(one).collect()
}

fn cleanup(f: &Facts) -> Finding {
    let finding = Finding::new("cleanup", "scratch", "emptied, and nothing of gameday's is left anywhere");
    if !f.debts.is_empty() {
        let left: Vec<String> =
            f.debts.iter().map(|d| format!("{} {} in the {}", d.what, d.id, d.place)).collect();
        let why = "it is still there: `gameday heal RUN` removes it";
        return finding.measured(left.join(", ")).because(Fail, why);
    }
    let Some(ran) = f.ran.get(&Task::CleanupAfter) else {
        return finding.because(Unknown, "it was never run");
    };
    let finding = finding.measured(ran.is.how.clone()).evidence([ran.seq]);
    if ran.is.code != Some(0) {
        return finding
            .because(Fail, "the clean-up command did not end well: what was restored may still lie there");
    }
    match f.holds.iter().rfind(|h| h.is.after).map(|h| (&h.is, h.is.count)) {
        Some((h, _)) if h.unreachable.is_some() => {
            finding.measured("nobody answers there any more").because(Good, "")
        }
        Some((_, Some(0))) => finding.measured("nothing is left").because(Good, ""),
        Some((h, Some(n))) => {
            let what = format!("{n} things are left, such as {}", h.things.join(", "));
            finding.measured(what).because(Fail, "a copy of the data is left behind")
        }
        Some((_, None)) | None => finding.because(Unknown, "nobody could look whether it is empty"),
    }
}
