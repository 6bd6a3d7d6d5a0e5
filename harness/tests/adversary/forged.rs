//! Journals that no drill wrote.

use std::io::Cursor;

use harness::{
    journal::{Acked, Ending, EventKind, Phase},
    report::Report,
    verdict::Verdict,
};

use super::{KILL, chained, events, journal, judged, must_not_pass, short};

pub(super) fn honest() -> Vec<(u64, EventKind)> {
    let text = format!("{KILL}\nquality = 0.98");
    events(&journal(&text, None)).into_iter().map(|e| (e.at_us, e.kind)).collect()
}

/// An error, or a verdict that is no pass.
#[track_caller]
fn no_pass(forged: Vec<(u64, EventKind)>) {
    if let Ok(report) = Report::read(Cursor::new(chained(forged))) {
        assert_ne!(report.verdict, Verdict::Pass, "{:#?}", short(&report));
    }
}

#[test]
fn an_honest_journal_survives_the_forge() {
    let report = Report::read(Cursor::new(chained(honest()))).unwrap();
    assert_eq!(report.verdict, Verdict::Pass, "{:#?}", short(&report));
}

#[test]
fn hits_that_the_answers_do_not_have_are_no_pass() {
    let mut all = honest();
    for (_, kind) in &mut all {
        if let EventKind::Quality(q) = kind
            && q.pass == 3
        {
            q.answers.iter_mut().for_each(Vec::clear);
        }
    }
    no_pass(all);
}

#[test]
fn more_hits_than_neighbours_are_no_pass() {
    let mut all = honest();
    for (_, kind) in &mut all {
        if let EventKind::Quality(q) = kind
            && q.pass == 3
        {
            q.hits.iter_mut().enumerate().for_each(|(i, h)| *h = if i % 2 == 0 { 0 } else { 1000 });
        }
    }
    no_pass(all);
}

#[test]
fn fewer_queries_than_the_scenario_has_are_no_pass() {
    let mut all = honest();
    for (_, kind) in &mut all {
        if let EventKind::Quality(q) = kind {
            q.hits.truncate(1);
            q.hits_stored.truncate(1);
            q.answers.truncate(1);
        }
    }
    no_pass(all);
}

#[test]
fn a_debt_that_was_never_paid_is_no_pass() {
    no_pass(honest().into_iter().filter(|(_, k)| !matches!(k, EventKind::Undone(_))).collect());
}

#[test]
fn a_fault_without_acts_is_no_pass() {
    let mut all = honest();
    all.retain(|(_, k)| !matches!(k, EventKind::Acted(a) if a.step == "fault-0-kill"));
    for (_, kind) in &mut all {
        if let EventKind::Intended(i) = kind
            && i.step == "fault-0-kill"
        {
            i.acts.clear();
        }
    }
    no_pass(all);
}

#[test]
fn a_read_back_after_the_undo_is_no_pass() {
    let mut all = honest();
    let undo = all.iter().position(|(_, k)| *k == EventKind::Entered(Phase::Undo)).unwrap();
    let entered = all.remove(undo);
    let read = all.iter().position(|(_, k)| *k == EventKind::Entered(Phase::ReadBack)).unwrap();
    all.insert(read, entered);
    no_pass(all);
}

#[test]
fn missing_phases_are_no_pass() {
    for phase in [Phase::Launch, Phase::Seed, Phase::ReadBack, Phase::Undo] {
        no_pass(honest().into_iter().filter(|(_, k)| *k != EventKind::Entered(phase)).collect());
    }
}

#[test]
fn an_end_that_was_revised_is_no_pass() {
    let mut all = honest();
    all.insert(all.len() - 1, (0, EventKind::Ended(Ending::Aborted)));
    no_pass(all);
}

#[test]
fn two_beginnings_are_no_pass() {
    let mut all = honest();
    all.insert(5, all[0].clone());
    no_pass(all);
}

#[test]
fn probes_that_are_missing_at_the_end_are_no_pass() {
    // Bad probes after the recovery, dropped with everything after them: the harness went blind in the storm.
    let mut all = honest();
    let half = all.len() / 2;
    let mut seen = 0;
    all.retain(|(_, k)| {
        seen += 1;
        seen < half || !matches!(k, EventKind::Probed(p) if p.n % 2 == 1)
    });
    no_pass(all);
}

/// The second fault takes a write that was acknowledged three seconds before it. Counted from the first fault, long
/// before, that would be no loss at all.
#[test]
fn a_loss_by_the_second_fault_is_counted_from_the_second_fault() {
    let second = "[[fault]]\nat = \"6s\"\nfor = \"100ms\"\ninject = { kill = { node = \"east/vector\" } }\n[[recover]]";
    let text = KILL.replacen("[[recover]]", second, 1).replace("rpo = \"0s\"", "rpo = \"1s\"");
    let text = text.replace("rto = \"4s\"", "rto = \"20s\"");
    let mut all: Vec<(u64, EventKind)> =
        events(&journal(&text, None)).into_iter().map(|e| (e.at_us, e.kind)).collect();
    assert_eq!(judged(&chained(all.clone())).verdict, Verdict::Pass);
    let struck: Vec<u64> = all
        .iter()
        .filter_map(|(_, k)| match k {
            EventKind::Acted(a) if a.step.starts_with("fault") => Some(a.began_us),
            _ => None,
        })
        .collect();
    let (key, acked) = all
        .iter()
        .filter_map(|(_, k)| match k {
            EventKind::Wrote(w) if w.outcome == Acked::Ok && w.key > 1 << 40 => Some((w.key, w.done_us)),
            _ => None,
        })
        .find(|(_, at)| *at > struck[0] + 2_000_000)
        .unwrap();
    assert!(struck[1] > acked + 1_500_000);
    for (_, kind) in &mut all {
        if let EventKind::ReadBack(page) = kind {
            page.written.retain(|(k, _)| *k != key);
        }
    }
    must_not_pass(&judged(&chained(all)));
}
