//! The page of a very long drill: a journal of a million events, half of its answers bad, each for a long reason, with
//! thousands of notes. Whatever its length, the page has to stay one that a browser opens at once.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Seek as _, Write as _},
    time::Instant,
};

use harness::{
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

/// A simulated drill whose storm is repeated, later and later, until it has that many events; chained anew.
fn grow(file: File, events: usize) -> usize {
    let loaded = diagnose::load(include_bytes!("evidence/drill.toml"), &[]).expect("the fixture is right");
    let journal = sim::rehearse(&loaded, sim::began(&loaded.scenario, String::new(), Vec::new()), None, None);
    let all: Vec<Event> = Reader::new(&journal[..]).collect::<Result<_, _>>().expect("it was just made");
    let storms = |e: &Event| matches!(e.kind, EventKind::Probed(_) | EventKind::Wrote(_));
    let storm: Vec<&Event> = all.iter().filter(|e| storms(e)).collect();
    let last = all.iter().rposition(storms).expect("there is a storm");
    let span = all[last].at_us;
    let missing = events - all.len() - NOTES;
    let rounds = (missing.div_ceil(storm.len())) as u64;
    let repeated = (0..missing).map(|i| {
        let (round, mut event) = ((i / storm.len() + 1) as u64, storm[i % storm.len()].clone());
        event.at_us += round * span;
        match &mut event.kind {
            EventKind::Probed(p) => {
                p.n += round * 1_000_000;
                for at in [&mut p.due_us, &mut p.sent_us, &mut p.done_us] {
                    *at += round * span;
                }
                p.bad = (i % 2 == 0).then(|| format!("{i} <&\"'> ").repeat(8));
            }
            EventKind::Wrote(w) => {
                (w.key, w.ver) = (w.key + round * 1_000_000, w.ver + round * 1_000_000);
                for at in [&mut w.due_us, &mut w.sent_us, &mut w.done_us] {
                    *at += round * span;
                }
            }
            _ => {}
        }
        event
    });
    let note = |i: usize| Event {
        seq: 0,
        at_us: all[last].at_us + rounds * span,
        prev: String::new(),
        kind: EventKind::Noted(format!("note {i} <script>alert(1)</script> ").repeat(6)),
    };
    let later = all[last + 1..].iter().cloned().map(|mut e| {
        e.at_us += rounds * span;
        e
    });
    let whole = all[..=last].iter().cloned().chain(repeated).chain((0..NOTES).map(note)).chain(later);
    let (mut out, mut prev, mut seq) = (BufWriter::new(file), String::new(), 0);
    for mut event in whole {
        (event.seq, event.prev) = (seq, prev);
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
