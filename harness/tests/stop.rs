//! A drill that is stopped early, at whatever moment, pays its debts, leaves a readable journal, and never passes.

use std::{io::Cursor, sync::Arc, time::Duration};

use harness::{
    clock::Clock,
    diagnose::load,
    drill::{drill, stop},
    facts::Facts,
    journal::{Ending, Event, Journal, Reader, open_debts},
    report::Report,
    sim::{SimHost, began},
    verdict::Verdict,
};

const SCENARIO: &str = r#"
name = "stopped"
[stack]
regions = ["east"]
roles = ["vector", "object"]
[data]
vectors = { count = 100, dim = 4, queries = 200 }
objects = { count = 20, size = 64 }
[load]
vector = "40/s"
object = "10/s"
[[service]]
name = "rag"
uses = ["vector", "object"]
probe = { search = {}, get = {}, every = "50ms", timeout = "300ms" }
[[fault]]
at = "500ms"
inject = { pause = { node = "east/vector" } }
[[fault]]
at = "700ms"
for = "600ms"
inject = { cut = { to = "east/object", mode = "blackhole" } }
[[recover]]
when = "detected"
act = { restart = { node = "east/vector" } }
[objectives]
rto = "4s"
rpo = "0s"
stable_for = "500ms"
"#;

const REGIONS: &str = r#"
name = "stopped-regions"
[stack]
regions = ["east", "west"]
roles = ["vector", "object", "feature", "gpu"]
pattern = "hot-standby"
[data]
vectors = { count = 100, dim = 4, queries = 200 }
objects = { count = 20, size = 64 }
features = { entities = 20 }
[load]
vector = "40/s"
object = "10/s"
feature = "20/s"
gpu = "10/s"
[[service]]
name = "rag"
uses = ["vector", "object"]
probe = { search = { k = 1 }, get = {}, every = "50ms", timeout = "300ms" }
[[service]]
name = "recommendation"
uses = ["feature", "gpu"]
probe = { lookup = {}, infer = {}, every = "50ms", timeout = "300ms" }
[[fault]]
at = "300ms"
for = "400ms"
inject = { split = { regions = ["east", "west"] } }
[[fault]]
at = "800ms"
for = "600ms"
inject = { stall = { node = "west/feature" } }
[[fault]]
at = "1500ms"
inject = { region = { region = "east" } }
[[recover]]
when = "detected"
act = { failover = { to = "west" } }
[objectives]
rto = "6s"
rpo = "1s"
stable_for = "500ms"
"#;

fn stopped_after(ms: u64, scenario: &str) -> (Ending, Vec<u8>) {
    let loaded = load(scenario.as_bytes(), &[]).expect("the scenario is valid");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can be built");
    runtime.block_on(async {
        let clock = Clock::simulated();
        let journal = Journal::in_memory(clock, None);
        let host = Arc::new(SimHost::new(&loaded.plan, None));
        let began = began(&loaded.scenario, String::new(), Vec::new());
        let (stopper, stop) = stop();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            stopper.stop("asked to");
        });
        let ending =
            drill(&loaded.plan, began, host, &journal, clock, stop).await.expect("memory can be written");
        (ending, journal.bytes())
    })
}

#[test]
fn stopping_at_any_moment_pays_every_debt_and_never_passes() {
    at_any_moment(SCENARIO, 12_000, 75);
}

#[test]
fn so_it_does_with_two_regions() {
    at_any_moment(REGIONS, 18_000, 200);
}

fn at_any_moment(scenario: &str, until_ms: u64, step: usize) {
    let mut endings = Vec::new();
    for ms in (0..until_ms).step_by(step) {
        let (ending, journal) = stopped_after(ms, scenario);
        let events: Vec<Event> = Reader::new(Cursor::new(&journal))
            .collect::<Result<_, _>>()
            .expect("a fresh journal can be read");
        assert_eq!(open_debts(&events), vec![], "stopped after {ms} ms");
        let facts = Facts::of(Reader::new(Cursor::new(&journal))).expect("a fresh journal can be read");
        assert_eq!(facts.odd, None, "stopped after {ms} ms");
        let report = Report::of(&facts);
        assert_eq!(
            ending == Ending::Complete,
            report.verdict == Verdict::Pass,
            "{ms} ms: {:#?}",
            report.findings
        );
        endings.push(ending);
    }
    // The last ones come after the drill's own end, or the loop would have shown nothing about a whole drill.
    assert_eq!(endings.last(), Some(&Ending::Complete));
    assert_eq!(endings.first(), Some(&Ending::Aborted));
}

#[test]
fn an_abort_condition_ends_the_drill() {
    let hopeless = SCENARIO.replace("act = { restart = { node = \"east/vector\" } }", "act = { none = {} }");
    for (condition, words) in [
        ("service_down_for = \"1s\"", "rag was down for longer than 1s"),
        ("storm_longer_than = \"2s\"", "the storm lasted longer than 2s"),
    ] {
        let text = format!("{hopeless}\n[abort]\n{condition}\n");
        let (ending, journal) = stopped_after(100_000, &text);
        let report = Report::read(Cursor::new(&journal)).unwrap();
        assert_eq!((ending, report.verdict), (Ending::Aborted, Verdict::Unknown), "{:#?}", report.findings);
        assert!(report.findings.iter().any(|f| f.why.contains(words)), "{:#?}", report.findings);
    }
    // Without the condition the objective is missed.
    let (ending, journal) = stopped_after(100_000, &hopeless);
    assert_eq!(ending, Ending::Complete);
    assert_eq!(Report::read(Cursor::new(&journal)).unwrap().verdict, Verdict::Fail);
}
