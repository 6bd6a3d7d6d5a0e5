//! Benchmarks of gameday itself.
//!
//! `cargo bench -p benches` times the pure parts with criterion: checking scenarios, judging journals, simulating
//! drills. The binaries measure what criterion cannot: `schedule` the open loop's own lateness, `memory` the peak of
//! judging a large journal, `outage` the measured against the true outage of a paused node. `rebuild` is the comparison
//! of index builds with their peers, which the program offers as `gameday bench index`.

pub mod rebuild;

use std::{io::Write as _, sync::Arc, time::Duration};

use async_trait::async_trait;
use harness::{
    act::Act,
    diagnose::{Loaded, load},
    ports::{Effect, EnvironmentError, Host, Page, PortError, Reading, Routes, System, Write},
    topology::Role,
};

/// A drill of ten minutes: a fault, a wait, a repair.
pub const TEN_MINUTES: &str = r#"
name = "ten_minutes"
[stack]
regions = ["east"]
roles = ["vector", "object"]
[load]
vector = "20/s"
object = "2/s"
[[service]]
name = "rag"
uses = ["vector", "object"]
probe = { search = {}, every = "100ms" }
[[fault]]
at = "60s"
inject = { kill = { node = "east/vector" } }
[[recover]]
at = "8m"
act = { restart = { node = "east/vector" } }
[objectives]
rto = "9m"
rpo = "0s"
stable_for = "100s"
"#;

/// A scenario that loads.
pub fn scenario(text: &str) -> Loaded {
    load(text.as_bytes(), &[]).expect("the benchmark's scenario is valid")
}

/// A journal with about this many events, of a simulated drill whose probes fill it.
pub fn journal(events: usize) -> Vec<u8> {
    let loaded = scenario(TEN_MINUTES);
    let small = harness::sim::rehearse(
        &loaded,
        harness::sim::began(&loaded.scenario, String::new(), vec![]),
        None,
        None,
    );
    grow(&small, events)
}

/// Repeats the storm of a journal until it has that many events, and chains it anew.
fn grow(journal: &[u8], events: usize) -> Vec<u8> {
    use harness::journal::{Event, EventKind, Reader};
    let all: Vec<Event> =
        Reader::new(journal).collect::<Result<_, _>>().expect("a fresh journal can be read");
    let repeats = |e: &Event| matches!(e.kind, EventKind::Probed(_) | EventKind::Wrote(_));
    let missing = events.saturating_sub(all.len());
    let storm: Vec<&Event> = all.iter().filter(|e| repeats(e)).collect();
    let last = all.iter().rposition(repeats).expect("there is a storm");
    let extra = (0..missing).map(|i| (i / storm.len() + 1, storm[i % storm.len()]));
    let shifted = extra.map(|(round, e)| {
        let mut e = e.clone();
        match &mut e.kind {
            EventKind::Probed(p) => p.n += round as u64 * 1_000_000,
            EventKind::Wrote(w) => {
                (w.key, w.ver) = (w.key + round as u64 * 1_000_000, w.ver + round as u64 * 1_000_000)
            }
            _ => {}
        }
        e
    });
    let mut out = Vec::new();
    let mut prev = String::new();
    let whole = all[..=last].iter().cloned().chain(shifted).chain(all[last + 1..].iter().cloned());
    for (seq, mut event) in whole.enumerate() {
        (event.seq, event.prev) = (seq as u64, std::mem::take(&mut prev));
        let line = serde_json::to_string(&event).expect("events can be written");
        prev = harness::journal::digest(line.as_bytes());
        writeln!(out, "{line}").expect("memory can be written");
    }
    out
}

/// A host whose store answers at once and keeps nothing: what remains is the harness's own time.
#[derive(Clone, Debug, Default)]
pub struct NullHost;

#[async_trait]
impl Host for NullHost {
    async fn launch(&self) -> Result<Vec<String>, EnvironmentError> {
        Ok(Vec::new())
    }

    async fn act(&self, _: &Act) -> Effect {
        Effect::observed("nothing")
    }

    fn system(&self, role: Role) -> Option<Arc<dyn System>> {
        (role == Role::Object).then(|| Arc::new(NullHost) as Arc<dyn System>)
    }

    fn routes(&self) -> Routes {
        Routes::default()
    }

    async fn teardown(&self) -> Result<(), EnvironmentError> {
        Ok(())
    }
}

#[async_trait]
impl System for NullHost {
    async fn write(&self, _: Write) -> Result<(), PortError> {
        Ok(())
    }

    async fn read(&self, _: u64) -> Result<Option<Reading>, PortError> {
        Ok(Some(Reading::Ver(0)))
    }

    async fn survivors(&self, _: Option<u64>, _: usize) -> Result<Page, PortError> {
        Ok(Page::default())
    }
}

/// The machine, for the figures' caption.
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .map_or("unknown", |l| l.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores")
}

/// Minimum, median and maximum of some durations, in milliseconds.
pub fn spread(mut samples: Vec<Duration>) -> String {
    samples.sort();
    let ms = |d: &Duration| d.as_secs_f64() * 1e3;
    match (samples.first(), samples.get(samples.len() / 2), samples.last()) {
        (Some(a), Some(b), Some(c)) => {
            format!("median {:.1} ms ({:.1} to {:.1}, n={})", ms(b), ms(a), ms(c), samples.len())
        }
        _ => "no samples".into(),
    }
}
