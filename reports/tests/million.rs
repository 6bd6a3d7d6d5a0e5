//! The page of a very long drill: a journal of a million events, half of its answers bad, each for a long reason, with
//! thousands of notes. Whatever its length, the page has to stay one that a browser opens at once.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, BufWriter, Seek as _, Write as _},
    time::Instant,
};

use harness::{
    corpus::Corpus,
    diagnose,
    facts::Facts,
    journal::{Event, EventKind, Reader, digest},
    report::Report,
    sim,
};
use reports::Format;

const EVENTS: usize = 1_000_000;
const NOTES: usize = 20_000;
/// What a report may have, in bytes.
const PAGE_MAX: usize = 2_000_000;

/// What the schedules of the fixture have in common: each of them has a whole number of turns in it.
const ROUND_US: u64 = 1_000_000;

/// A simulated drill whose last second of storm is repeated, later and later, until it has that many events; chained
/// anew.
fn grow(file: File, events: usize) -> usize {
    let loaded = diagnose::load(include_bytes!("evidence/drill.toml"), &[]).expect("the fixture is right");
    let corpus = Corpus::of(&loaded.scenario);
    let journal = sim::rehearse(&loaded, sim::began(&loaded.scenario, String::new(), Vec::new()), None, None);
    let all: Vec<Event> = Reader::new(&journal[..]).collect::<Result<_, _>>().expect("it was just made");
    // Whose schedule an event is of, and when it was due.
    let due = |e: &Event| match &e.kind {
        EventKind::Probed(p) => Some((p.service.clone(), p.due_us)),
        EventKind::Wrote(w) => Some((w.store.to_string(), w.due_us)),
        _ => None,
    };
    let last = all.iter().rposition(|e| due(e).is_some()).expect("there is a storm");
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for (whose, at_us) in all.iter().filter_map(due) {
        let end_us = ends.entry(whose).or_default();
        *end_us = at_us.max(*end_us);
    }
    let newest = |e: &&Event| due(e).is_some_and(|(whose, at_us)| at_us + ROUND_US > ends[&whose]);
    let round: Vec<&Event> = all.iter().filter(newest).collect();
    let whose: Vec<Option<String>> = round.iter().map(|e| due(e).map(|(whose, _)| whose)).collect();
    let turns: Vec<u64> = whose.iter().map(|w| whose.iter().filter(|v| *v == w).count() as u64).collect();
    let rounds = (events - all.len() - NOTES) / round.len();
    let notes = events - all.len() - rounds * round.len();
    let repeated = (0..rounds * round.len()).map(|i| {
        let (times, at) = ((i / round.len() + 1) as u64, i % round.len());
        let (later_us, further) = (times * ROUND_US, times * turns[at]);
        let mut event = round[at].clone();
        event.at_us += later_us;
        match &mut event.kind {
            EventKind::Probed(p) => {
                p.n += further;
                for at in [&mut p.due_us, &mut p.sent_us, &mut p.done_us] {
                    *at += later_us;
                }
                p.bad = (i % 2 == 0).then(|| format!("{i} <&\"'> ").repeat(8));
            }
            EventKind::Wrote(w) => {
                let op = corpus.operation(w.store, w.ver + further);
                (w.key, w.ver, w.delete) = (op.key, op.ver, op.delete);
                for at in [&mut w.due_us, &mut w.sent_us, &mut w.done_us] {
                    *at += later_us;
                }
            }
            _ => {}
        }
        event
    });
    let later_us = rounds as u64 * ROUND_US;
    let note = |i: usize| Event {
        seq: 0,
        at_us: all[last].at_us + later_us,
        prev: String::new(),
        kind: EventKind::Noted(format!("note {i} <script>alert(1)</script> ").repeat(6)),
    };
    let later = all[last + 1..].iter().cloned().map(|mut e| {
        e.at_us += later_us;
        if let EventKind::Acted(acted) | EventKind::Undone(acted) = &mut e.kind {
            acted.began_us += later_us;
        }
        e
    });
    let whole = all[..=last].iter().cloned().chain(repeated).chain((0..notes).map(note)).chain(later);
    let (mut out, mut prev, mut seq, mut last_us) = (BufWriter::new(file), String::new(), 0, 0);
    for mut event in whole {
        // Rounds overlap by the time that an answer takes.
        last_us = event.at_us.max(last_us);
        (event.seq, event.prev, event.at_us) = (seq, prev, last_us);
        let line = serde_json::to_string(&event).expect("events can be written");
        prev = digest(line.as_bytes());
        writeln!(out, "{line}").expect("the disk has room");
        seq += 1;
    }
    out.flush().expect("the disk has room");
    usize::try_from(seq).expect("it was counted")
}

/// The most memory that this process ever had, in megabytes.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number of kilobytes") / 1_000
}

#[test]
fn the_page_of_a_million_events_stays_small() {
    let mut file = tempfile::tempfile().expect("a temporary file");
    let written = grow(file.try_clone().expect("a second handle"), EVENTS);
    assert_eq!(written, EVENTS);
    let (bytes, made_mb) = (file.metadata().expect("it is open").len(), peak_mb());

    let began = Instant::now();
    file.rewind().expect("a file can be rewound");
    let facts = Facts::of(Reader::new(BufReader::with_capacity(1 << 20, &file))).expect("it is chained");
    assert_eq!(facts.odd, None, "it follows the grammar");
    let mut report = Report::of(&facts);
    file.rewind().expect("a file can be rewound");
    report.cite(BufReader::with_capacity(1 << 20, &file)).expect("it can be read");
    let judged = began.elapsed();
    let began = Instant::now();
    let page = Format::Html.render(&report);
    let drawn = began.elapsed();
    eprintln!(
        "{EVENTS} events, {} MB: judged and quoted in {judged:.1?}, drawn in {drawn:.1?}, {} bytes of HTML; memory {} MB, \
         {made_mb} MB of it before",
        bytes / 1_000_000,
        page.len(),
        peak_mb(),
    );
    assert_eq!(report.events, EVENTS as u64);
    assert!(page.len() < PAGE_MAX, "{} bytes", page.len());
    assert!(!page.contains("<script>"), "what notes say is escaped");
    assert!(page.ends_with("</html>\n") && page.contains("more, in result.json"));
    assert!(peak_mb() < 500, "{} MB for a journal of {} MB", peak_mb(), bytes / 1_000_000);
}
