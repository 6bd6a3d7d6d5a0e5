//! A fault that other hands have ended, while the drill's own steps did nothing: what comes back is nobody's doing.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use harness::{
    act::Act,
    clock::Clock,
    drill::{drill, stop},
    journal::{EventKind, Journal},
    ports::{Effect, EnvironmentError, Host, Routes, System},
    report::Report,
    sim::{SimHost, began},
    topology::Role,
    verdict::Verdict::{Pass, Unknown},
};

use super::{KILL, events, judged, loaded, short};

/// A world in which somebody lets a frozen process go on, so long after it was frozen.
#[derive(Debug)]
struct Hands {
    inner: SimHost,
    after: Option<Duration>,
}

#[async_trait]
impl Host for Hands {
    async fn launch(&self) -> Result<Vec<String>, EnvironmentError> {
        self.inner.launch().await
    }
    async fn act(&self, act: &Act) -> Effect {
        if let (Act::Pause { node }, Some(after)) = (act, self.after) {
            let (inner, node) = (self.inner.clone(), node.clone());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                inner.act(&Act::Resume { node }).await;
            });
        }
        self.inner.act(act).await
    }
    fn system(&self, role: Role) -> Option<Arc<dyn System>> {
        self.inner.system(role)
    }
    fn system_for(&self, service: &str, role: Role) -> Option<Arc<dyn System>> {
        self.inner.system_for(service, role)
    }
    fn system_in(&self, region: &str, role: Role) -> Option<Arc<dyn System>> {
        self.inner.system_in(region, role)
    }
    async fn holds(&self, act: &Act) -> Option<bool> {
        self.inner.holds(act).await
    }
    fn routes(&self) -> Routes {
        self.inner.routes()
    }
    async fn teardown(&self) -> Result<(), EnvironmentError> {
        self.inner.teardown().await
    }
}

fn play(text: &str, after: Option<Duration>) -> (Vec<u8>, Report) {
    let loaded = loaded(text);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let bytes = runtime.block_on(async {
        let clock = Clock::simulated();
        let journal = Journal::in_memory(clock, None);
        let host = Arc::new(Hands { inner: SimHost::new(&loaded.plan, None), after });
        let (_stopper, stop) = stop();
        let began = began(&loaded.scenario, String::new(), Vec::new());
        drill(&loaded.plan, began, host, &journal, clock, stop).await.unwrap();
        journal.bytes()
    });
    let report = judged(&bytes);
    (bytes, report)
}

fn frozen(hold: &str, act: &str) -> String {
    KILL.replace(
        "inject = { kill = { node = \"east/vector\" } }",
        &format!("for = \"{hold}\"\ninject = {{ pause = {{ node = \"east/vector\" }} }}"),
    )
    .replace("act = { restart = { node = \"east/vector\" } }", act)
    .replace("rpo = \"0s\"\n", "")
}

#[test]
fn a_fault_that_others_ended_is_credited_to_nobody() {
    let (bytes, report) = play(&frozen("20s", "act = { none = {} }"), Some(Duration::from_millis(1500)));
    assert_eq!(report.verdict, Unknown, "{:#?}", short(&report));
    let effect = report.findings.iter().find(|f| f.objective == "effect").unwrap();
    assert!(effect.why.contains("lifted early"), "{effect:#?}");
    let early = |k: &EventKind| matches!(k, EventKind::LiftedEarly { .. });
    assert_eq!(events(&bytes).iter().filter(|e| early(&e.kind)).count(), 1);
}

#[test]
fn a_fault_that_its_own_time_or_a_step_ends_is_not_lifted_early() {
    for text in [
        frozen("2s", "act = { none = {} }"),
        frozen("20s", "act = { restart = { node = \"east/vector\" } }"),
        KILL.to_owned(),
    ] {
        let (bytes, report) = play(&text, None);
        assert_eq!(report.verdict, Pass, "{:#?}", short(&report));
        assert!(events(&bytes).iter().all(|e| !matches!(e.kind, EventKind::LiftedEarly { .. })));
    }
}
