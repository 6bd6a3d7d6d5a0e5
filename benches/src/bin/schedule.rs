//! How late the open loop sends, against its own schedule: 5,000 operations a second for ten seconds.

use std::sync::Arc;

use benches::{NullHost, machine, scenario};
use harness::{
    clock::Clock,
    drill::{drill, stop},
    journal::{EventKind, Journal, Reader},
};
use hdrhistogram::Histogram;

const SCENARIO: &str = r#"
name = "schedule"
[stack]
regions = ["east"]
roles = ["object"]
[data]
objects = { count = 1, size = 64 }
[load]
object = "5000/s"
[[service]]
name = "documents"
uses = ["object"]
probe = { get = {}, every = "10ms", timeout = "100ms" }
[[fault]]
at = "7s"
inject = { delay = { to = "east/object", by = "1ms" } }
[objectives]
rto = "1s"
stable_for = "1s"
"#;

#[expect(clippy::print_stdout, reason = "the figures are the output")]
fn main() {
    let loaded = scenario(SCENARIO);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be built");
    let bytes = runtime.block_on(async {
        let clock = Clock::real();
        let path = std::env::temp_dir().join(format!("gameday-schedule-{}.jsonl", std::process::id()));
        let journal = Journal::create(&path, clock, None).expect("the journal can be created");
        let began = harness::sim::began(&loaded.scenario, String::new(), Vec::new());
        let (_stopper, stop) = stop();
        drill(&loaded.plan, began, Arc::new(NullHost), &journal, clock, stop)
            .await
            .expect("the journal can be written");
        let bytes = std::fs::read(&path).expect("the journal can be read");
        std::fs::remove_file(&path).expect("the journal can be removed");
        bytes
    });
    let mut late: Histogram<u64> = Histogram::new(3).expect("three digits are allowed");
    for event in Reader::new(&bytes[..]).map(|e| e.expect("the journal is whole")) {
        if let EventKind::Wrote(w) = event.kind {
            late.record(w.sent_us.saturating_sub(w.due_us)).expect("a growing histogram holds any stamp");
        }
    }
    let at = |q| late.value_at_quantile(q);
    println!("{}", machine());
    println!(
        "schedule error of {} operations at 5,000/s, journaled: p50 {} us, p99 {} us, p99.9 {} us, max {} us",
        late.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        late.max()
    );
}
