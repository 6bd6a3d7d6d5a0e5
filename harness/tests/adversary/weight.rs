//! What a pass is worth: drills that prove little say so, a node that is still down is named, and questions that the
//! harness asked late are no good answers.

use std::io::Cursor;

use harness::{
    journal::{EventKind, Phase},
    report::Report,
    verdict::Verdict::{self, Fail, Pass, Unknown},
};

use super::{KILL, chained, events, journal, judged, short};

/// What `check` and the report say of a scenario.
fn said(text: &str) -> (Vec<String>, Report) {
    let planned = super::loaded(text).plan.proves_little();
    let report = judged(&journal(text, None));
    assert!(planned.iter().all(|why| report.proves_little.contains(why)), "{planned:?} {report:#?}");
    (planned, report)
}

#[test]
fn a_sound_drill_proves_what_it_says() {
    let (planned, report) = said(&format!("{KILL}\nquality = 0.98"));
    assert!(planned.is_empty() && report.proves_little.is_empty(), "{:?}", report.proves_little);
    assert!(report.still_down.is_empty(), "{:?}", report.still_down);
}

#[test]
fn limits_that_nothing_could_miss_are_named_before_and_after() {
    for (text, words) in [
        (KILL.replace("\"4s\"", "\"7d\""), "the RTO of `rag` is 7days, more than ten times"),
        (KILL.replace("rpo = \"0s\"", "tier = 2\nrpo = \"20m\""), "the RPO of `rag` is 20m"),
        (format!("{KILL}\nquality = 1e-7"), "allows nearly everything to be lost"),
        (KILL.replace("at = \"1s\"", "at = \"1s\"\nfor = \"100ms\""), "lasts 100ms, less than the 500ms"),
    ] {
        let (planned, _) = said(&text);
        assert!(planned.iter().any(|why| why.contains(words)), "{words}: {planned:?}");
    }
}

#[test]
fn what_only_the_drill_shows_is_in_the_report() {
    let alone = |fault: &str| {
        let (head, tail) = (KILL.find("[[fault]]").unwrap(), KILL.find("[objectives]").unwrap());
        format!("{}{fault}\n{}", &KILL[..head], &KILL[tail..])
    };
    let early =
        KILL.replace("at = \"1s\"", "at = \"10ms\"").replace("40/s", "1/s").replace("rto = \"4s\"", "");
    let slow =
        "[[fault]]\nat = \"1s\"\nfor = \"2s\"\ninject = { delay = { to = \"east/vector\", by = \"1ms\" } }";
    for (text, words) in
        [(early, "writes to vector were acknowledged before"), (alone(slow), "no user felt any fault")]
    {
        let report = judged(&journal(&text, None));
        assert!(
            report.proves_little.iter().any(|why| why.contains(words)),
            "{words}: {:#?}",
            report.proves_little
        );
    }
}

#[test]
fn a_backup_that_rots_and_is_never_restored_proves_little() {
    let rot = "[[fault]]\nat = \"2s\"\ninject = { corrupt = { node = \"east/vector\", what = \"backup\", how = \"swap\" } }\n[[recover]]";
    let text = KILL.replacen("[[recover]]", rot, 1).replacen("[stack]", "worlds = [\"docker\"]\n[stack]", 1);
    let planned = super::loaded(&text).plan.proves_little();
    assert!(planned.iter().any(|why| why.contains("never restored")), "{planned:?}");
}

#[test]
fn a_node_that_nobody_brought_back_is_named() {
    let text = KILL.split("[[recover]]").next().unwrap().to_owned() + "[objectives]\nrto = \"4s\"\n";
    let report = judged(&journal(&text, None));
    assert_eq!(report.verdict, Fail, "{:#?}", short(&report));
    assert_eq!(report.still_down, ["east/vector"]);
}

/// A drill whose harness stood still for four seconds before the fault, though nothing else was wrong.
fn frozen(objectives: &str) -> Report {
    let text = KILL.replace("at = \"1s\"", "at = \"8s\"");
    let text = format!("{text}{objectives}");
    let mut all: Vec<(u64, EventKind)> =
        events(&journal(&text, None)).into_iter().map(|e| (e.at_us, e.kind)).collect();
    let storm_us = all.iter().find(|(_, k)| *k == EventKind::Entered(Phase::Storm)).unwrap().0;
    let (from_us, to_us) = (storm_us + 1_000_000, storm_us + 5_000_000);
    for (at_us, kind) in &mut all {
        if let EventKind::Probed(p) = kind
            && (from_us..to_us).contains(&p.due_us)
        {
            let late_us = to_us - p.sent_us;
            (p.sent_us, p.done_us, *at_us) = (to_us, p.done_us + late_us, *at_us + late_us);
        }
    }
    all.sort_by_key(|(at_us, _)| *at_us);
    Report::read(Cursor::new(chained(all))).unwrap()
}

fn verdict(report: &Report, objective: &str) -> Verdict {
    report
        .findings
        .iter()
        .find(|f| f.objective == objective)
        .unwrap_or_else(|| panic!("{:#?}", short(report)))
        .verdict
}

#[test]
fn questions_that_were_asked_late_are_no_good_answers() {
    // Of some 180 probes, 80 were late and half a dozen bad.
    for (limit, expected) in [(0.1, Pass), (0.85, Unknown), (0.999, Fail)] {
        let report = frozen(&format!("availability = {limit}\n"));
        assert_eq!(verdict(&report, "availability"), expected, "{limit}: {:#?}", short(&report));
    }
    for (limit, expected) in [("10s", Pass), ("250ms", Unknown)] {
        let report = frozen(&format!("latency_p99 = \"{limit}\"\n"));
        assert_eq!(verdict(&report, "latency_p99"), expected, "{limit}: {:#?}", short(&report));
    }
}
