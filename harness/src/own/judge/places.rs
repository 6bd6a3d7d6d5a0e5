//! Both places: the scratch place is another one than the source, was empty before, and is after; the source is as it was.

use super::{Same, compared};
use crate::{
    judge::Finding,
    own::{
        event::{Identified, Nonce, Pass, Place, Task},
        facts::{At, Facts, INVENTORY},
    },
    verdict::Verdict::{Fail, Pass as Good, Unknown},
};

/// The scratch place is not the source, before and after: nothing that was written in one is seen in the other.
pub(super) fn apart(f: &Facts) -> Finding {
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
    let source = f.identity(Place::Source, after)?;
    let scratch = f.identified.iter().filter(|i| i.is.place == Place::Scratch && i.is.after == after);
    scratch.into_iter().find_map(|s| Some((one_server(f, &source.is, &s.is)?, vec![source.seq, s.seq])))
}

/// Why two places are one, or too near to each other, by what they say of themselves.
fn one_server(f: &Facts, a: &Identified, b: &Identified) -> Option<String> {
    let equal = |key: &str| a.facts.get(key).is_some_and(|v| b.facts.get(key) == Some(v));
    // To the microsecond; an identifier may be denied to a role.
    let server = equal("started");
    if server && (equal("database_oid") || equal("database")) {
        return Some("both are one database of one server".into());
    }
    let why = "both are databases of one running server: a restart, a full disk or a wrong line would hit the source. \
               Restore to another server, or say `same_server = true`";
    (server && !f.began.drill.scratch.same_server).then(|| why.into())
}

/// How it is known that both are two.
fn proof(f: &Facts, after: bool) -> Result<String, String> {
    let said = f.identity(Place::Scratch, after);
    if said.is_some_and(|s| s.is.facts.get("in_recovery").is_some_and(|v| v == "true")) {
        return Err(
            "the scratch place follows another server, or has not ended its recovery: promote it".into()
        );
    }
    let count =
        |p: Place, key: &str| f.identity(p, after).and_then(|i| i.is.facts.get(key)?.parse::<u64>().ok());
    let more = |key: &str| count(Place::Scratch, key).unwrap_or(0) > count(Place::Source, key).unwrap_or(0);
    if after && more("subscriptions") {
        return Err("the scratch place subscribes to another server: what it holds was not restored".into());
    }
    if after && more("foreign_tables") {
        return Err("the scratch place reads tables of another server: what it shows was not restored".into());
    }
    let known = |p: Place| f.identity(p, after).is_some_and(|i| i.is.facts.contains_key("started"));
    if f.is_postgres() && after && !(known(Place::Source) && known(Place::Scratch)) {
        return Err("nobody knows which servers they are".into());
    }
    let unanswered = f.holds.iter().any(|h| !h.is.after && h.is.unreachable.is_some());
    if !after && unanswered {
        return Ok("nobody answered at the scratch place, and the source did".into());
    }
    let of_source = |n: &&At<Nonce>| n.is.after == after && n.is.written == Place::Source;
    if f.drill.canary().is_some() && !f.nonces.iter().filter(of_source).any(|n| n.is.seen == Some(false)) {
        let why = f.nonces.iter().find(of_source).map_or("nobody tried", |n| &n.is.why);
        return Err(format!("no record of the run was written in the source: {why}"));
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

pub(super) fn empty(f: &Facts) -> Finding {
    let finding = Finding::new("empty", "scratch", "nothing there before the restore");
    let mut restored = f.identified.iter().filter(|i| i.is.place == Place::Scratch && i.is.after);
    if let Some(i) = restored.find(|i| i.is.facts.get("markers").is_some_and(|n| n != "0")) {
        let why = "it bears the mark of an earlier drill: this copy was there before, and was not restored";
        return finding.measured("an earlier copy").evidence([i.seq]).because(Fail, why);
    }
    let marked = |n: &At<Nonce>| n.is.after && n.is.written == Place::Scratch && n.is.seen.is_some();
    if f.is_server()
        && f.ran.get(&Task::Restore).is_some_and(|r| r.is.code == Some(0))
        && !f.nonces.iter().any(marked)
    {
        let why =
            "what was restored takes no writes: nobody could mark it, and so tell it from an earlier copy";
        return finding.because(Unknown, why);
    }
    let Some(h) = f.holds.iter().rfind(|h| !h.is.after) else {
        return finding.because(Unknown, "nobody looked");
    };
    let finding = finding.evidence([h.seq]);
    match (&h.is.unreachable, h.is.count) {
        (Some(_), _) => finding.measured("nobody answered there").because(Good, ""),
        (None, Some(0)) if f.ran.contains_key(&Task::CleanupBefore) => {
            finding.measured("nothing").because(Good, "")
        }
        (None, Some(0)) => finding.because(Unknown, "it was never emptied"),
        (None, Some(n)) => {
            let what = format!("{n} things, such as {}", h.is.things.join(", "));
            finding
                .measured(what)
                .because(Unknown, "what is there already cannot be told from what is restored")
        }
        (None, None) => finding.because(Unknown, "nobody could look"),
    }
}

/// The source is what it was.
pub(super) fn source(f: &Facts) -> Vec<Finding> {
    let mut witnesses = f.witnesses();
    if f.is_server() {
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

pub(super) fn cleanup(f: &Facts) -> Finding {
    let finding = Finding::new("cleanup", "scratch", "emptied, and nothing of gameday's is left anywhere");
    if !f.debts.is_empty() {
        let left: Vec<String> =
            f.debts.iter().map(|d| format!("{} {} in the {}", d.what, d.id, d.place)).collect();
        // Given up because a place went away, nobody can say what is left in it.
        let (verdict, why) = match f.aborted {
            Some(_) => (Unknown, "it may still be there: `gameday heal RUN` removes it"),
            None => (Fail, "it is still there: `gameday heal RUN` removes it"),
        };
        return finding.measured(left.join(", ")).because(verdict, why);
    }
    let Some(ran) = f.ran.get(&Task::CleanupAfter) else {
        let why = match f.restore_began_us() {
            Some(_) => "it was not run: what was restored may still lie there",
            None => "nothing was restored",
        };
        return finding.because(Unknown, why);
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
