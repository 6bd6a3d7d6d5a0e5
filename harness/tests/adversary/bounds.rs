//! Garbage must be refused or judged within two seconds of processor time and 300 MB, and never by a panic.
//!
//! Each case runs in a child process of its own, under limits of its shell, since a case that fails would take the
//! machine's memory with it.

use std::{io::Cursor, process::Command};

use harness::{
    diagnose::load,
    journal::{Acked, EventKind, ReadBack, ReadEnd, Wrote},
    report::Report,
    topology::Role,
};

use super::{KILL, chained, events, journal};

const NAME: &str = "GAMEDAY_GARBAGE";

type Events = Vec<(u64, EventKind)>;

fn honest() -> Events {
    events(&journal(KILL, None)).into_iter().map(|e| (e.at_us, e.kind)).collect()
}

fn read(events: Events) {
    drop(Report::read(Cursor::new(chained(events))));
}

fn page(seeded: Vec<(u64, u64)>) -> EventKind {
    let (store, end) = (Some(Role::Vector), Some(ReadEnd::Complete));
    EventKind::ReadBack(ReadBack {
        pass: 1,
        store,
        region: Some("east".into()),
        seeded,
        end,
        ..ReadBack::default()
    })
}

fn quality(pass: u8, n: usize) -> EventKind {
    let (hits, answers) = (vec![9; n], Vec::new());
    let q = harness::journal::Quality {
        pass,
        region: None,
        k: 10,
        hits_stored: hits.clone(),
        hits,
        answers,
        failed: 0,
    };
    EventKind::Quality(Box::new(q))
}

fn probes(change: impl Fn(usize, &mut harness::journal::Probed)) {
    let mut all = honest();
    let mut i = 0;
    for (_, kind) in &mut all {
        if let EventKind::Probed(p) = kind {
            change(i, p);
            i += 1;
        }
    }
    read(all);
}

fn overwrites(count: u64) {
    let mut all = honest();
    let write = |n: u64| Wrote {
        store: Role::Vector,
        key: 1,
        ver: n + 10_000,
        delete: false,
        due_us: n,
        sent_us: n,
        done_us: n + 1,
        outcome: Acked::Ok,
    };
    all.splice(2..2, (0..count).map(|n| (0, EventKind::Wrote(write(n)))));
    read(all);
}

/// Steps that each wait for the one before.
fn chain(count: usize, after: impl Fn(usize) -> String) -> String {
    let step = |i: usize| {
        format!(
            "[[fault]]\nname=\"s{i}\"\nafter=\"{}\"\ninject={{kill={{node=\"east/vector\"}}}}\n",
            after(i)
        )
    };
    let steps: String = (1..count).map(step).collect();
    KILL.replace("at = \"1s\"", "name = \"s0\"\nat = \"1s\"")
        .replace("[objectives]", &format!("{steps}[objectives]"))
}

fn play(name: &str) {
    match name {
        "seeded_count" => {
            let mut all = honest();
            for (_, kind) in &mut all {
                if let EventKind::Seeded { count, .. } = kind {
                    *count = u64::MAX;
                }
            }
            read(all);
        }
        "seeded_range" => {
            let mut all = honest();
            all.insert(all.len() - 3, (0, page(vec![(0, u64::MAX)])));
            read(all);
        }
        "seeded_ranges_over_each_other" => {
            let mut all = honest();
            all.insert(all.len() - 3, (0, page(vec![(0, 5_000_000); 100_000])));
            read(all);
        }
        "many_queries" => {
            let mut all = honest();
            all.retain(|(_, k)| !matches!(k, EventKind::Quality(_)));
            all.splice(2..2, (1..=3).map(|p| (0, quality(p, 2_000_000))));
            read(all);
        }
        "probe_numbers" => probes(|i, p| p.n = if i % 2 == 0 { 0 } else { u64::MAX }),
        "probe_due_backwards" => probes(|i, p| p.due_us = 1_000_000_000 - i as u64),
        "probe_due_far" => probes(|i, p| p.due_us = if i > 20 { u64::MAX } else { p.due_us }),
        "probe_done_far" => probes(|_, p| p.done_us = u64::MAX),
        "stamps_far" => read(honest().into_iter().map(|(_, k)| (u64::MAX, k)).collect()),
        "acts_far" => {
            let mut all = honest();
            for (_, kind) in &mut all {
                if let EventKind::Acted(a) = kind {
                    a.began_us = u64::MAX;
                }
            }
            read(all);
        }
        "sequence" => {
            let line = chained(honest().into_iter().take(1));
            let text =
                String::from_utf8(line).unwrap().replacen("\"seq\":0", "\"seq\":18446744073709551615", 1);
            drop(Report::read(Cursor::new(text.into_bytes())));
        }
        "same_key" => overwrites(120_000),
        "long_chain" => drop(load(chain(10_000, |i| format!("s{}", i - 1)).as_bytes(), &[])),
        "unknown_steps" => drop(load(chain(10_000, |i| format!("t{i}")).as_bytes(), &[])),
        "many_mistakes" => {
            let text: String = (0..50_000).map(|i| format!("x{i} = 1\n")).collect();
            drop(load(text.as_bytes(), &[]));
        }
        "many_empty_steps" => drop(load("[[fault]]\n".repeat(80_000).as_bytes(), &[])),
        "many_empty_services" => drop(load("[[service]]\nname=1\n".repeat(40_000).as_bytes(), &[])),
        "many_numbers" => drop(load(format!("worlds = [{}]", "1,".repeat(400_000)).as_bytes(), &[])),
        "many_worlds" => drop(load(format!("worlds = [{}]", "\"x\",".repeat(200_000)).as_bytes(), &[])),
        "dotted" => drop(load(format!("{} = 1", vec!["a"; 400_000].join(".")).as_bytes(), &[])),
        "set_dotted" => {
            let path = vec!["a"; 60_000].join(".");
            drop(load(KILL.as_bytes(), &[(path, "1".into())]));
        }
        other => panic!("no case {other}"),
    }
}

/// Not a test of its own: what a child process runs.
#[test]
fn child() {
    let Ok(name) = std::env::var(NAME) else { return };
    play(&name);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    let kb: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kb < 300_000, "{kb} kB");
}

#[track_caller]
fn bounded(name: &str) {
    // One at a time: what these cases take, others would miss.
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock();
    let exe = std::env::current_exe().unwrap();
    // Two seconds in a release build. Dependencies are not optimised in tests, and a busy machine counts twice; what
    // these cases guard against takes minutes, or for ever.
    let script = "ulimit -t 10; ulimit -v 1000000; exec \"$0\" --exact bounds::child --nocapture";
    let out = Command::new("sh").args(["-c", script]).arg(exe).env(NAME, name).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    let tail: String = text.chars().take(600).collect();
    assert!(out.status.success(), "{name}: {}\n{tail}", out.status);
}

macro_rules! cases {
    ($($name:ident),+ $(,)?) => { $(#[test] fn $name() { bounded(stringify!($name)); })+ };
}

cases!(
    seeded_count,
    seeded_range,
    seeded_ranges_over_each_other,
    many_queries,
    probe_numbers,
    probe_due_backwards,
    probe_due_far,
    probe_done_far,
    stamps_far,
    acts_far,
    sequence,
    same_key,
    long_chain,
    unknown_steps,
    many_mistakes,
    many_empty_steps,
    many_empty_services,
    many_numbers,
    many_worlds,
    dotted,
    set_dotted,
);
