//! Time and peak memory of judging a journal of a million events. The journal is made first, in a child process, so
//! that its making does not count.

use std::{
    fs::File,
    io::BufReader,
    process::Command,
    time::{Duration, Instant},
};

use benches::{journal, machine, spread};
use harness::report::Report;

const EVENTS: usize = 1_000_000;
const RUNS: usize = 5;

#[expect(clippy::print_stdout, reason = "the figures are the output")]
fn main() {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("make"), Some(path)) => {
            std::fs::write(path, journal(EVENTS)).expect("the journal can be written")
        }
        (Some("judge"), Some(path)) => judge(&path),
        _ => {
            let path = std::env::temp_dir().join(format!("gameday-memory-{}.jsonl", std::process::id()));
            for step in ["make", "judge"] {
                let exe = std::env::current_exe().expect("this program has a path");
                let done =
                    Command::new(exe).arg(step).arg(&path).status().expect("this program can be started");
                assert!(done.success(), "{step} failed");
            }
            std::fs::remove_file(&path).expect("the journal can be removed");
            println!("{}", machine());
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures are the output")]
fn judge(path: &str) {
    let mut took: Vec<Duration> = Vec::new();
    let mut events = 0;
    for _ in 0..RUNS {
        let began = Instant::now();
        let file = BufReader::with_capacity(1 << 20, File::open(path).expect("the journal can be opened"));
        events = Report::read(file).expect("the journal is whole").events;
        took.push(began.elapsed());
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("unknown").trim();
    let bytes = std::fs::metadata(path).map_or(0, |m| m.len());
    println!("report of {events} events ({} MB): {}, peak memory {peak}", bytes / 1_000_000, spread(took));
}
