//! Worlds that lie.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use async_trait::async_trait;
use harness::{
    act::Act,
    clock::Clock,
    corpus::{Corpus, LOADED_KEYS},
    drill::{drill, stop},
    journal::{EventKind, Journal, Phase},
    ports::{Effect, EnvironmentError, Host, Page, PortError, Reading, System, Write},
    report::Report,
    sim::{SimHost, began},
    topology::Role,
};

use super::{KILL, judged, loaded, must_not_pass};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Lie {
    None,
    /// Everything is gone at read-back.
    EmptyAtReadBack,
    /// Every value is corrupt at read-back.
    CorruptAtReadBack,
    /// Searches are refused again, for good, so long after the restart.
    DiesAgain(u64),
    /// Searches answer once a second and are refused otherwise, after the restart.
    LoneGoodAnswers,
    /// After the restart the whole store is the answer, farthest first.
    AnswersEverything,
    /// A hiccup in the second pass of the baseline; after the restart, half of each odd query's answer is wrong.
    PoorBaseline,
    /// Odd queries are refused in so many passes of the baseline; nothing is wrong after the restart.
    SettlesAfter(u64),
    /// From the second pass on, a fifth of each odd query's answer is missing, for good.
    DecaysInBaseline,
    /// Odd queries hang before the storm.
    HangsBeforeStorm,
    /// A key is listed twice, with two values, far apart.
    TwiceFarApart,
    /// Searches are refused once load has stopped.
    DeadAfterStorm,
    /// Searches hang from the start of the storm until the restart.
    HangsFromStorm,
    /// Records vanish with the undo.
    LosesWithUndo,
    /// A client's code panics in the storm.
    PanicsInSearch,
    PanicsInWrite,
    PanicsInAct,
}

#[derive(Debug)]
struct Shared {
    lie: Lie,
    clock: Clock,
    phase: AtomicU64,
    quality: AtomicU64,
    passes: AtomicU64,
    restarted_us: AtomicU64,
    torn_down: Arc<AtomicU64>,
    odd: Vec<Vec<f32>>,
}

impl Shared {
    fn in_phase(&self, phase: Phase) -> bool {
        self.phase.load(SeqCst) >= phase as u64
    }
    fn since_restart(&self) -> Option<u64> {
        let at = self.restarted_us.load(SeqCst);
        (at > 0).then(|| self.clock.now_us() - at)
    }
}

#[derive(Debug)]
struct Liar {
    inner: SimHost,
    shared: Arc<Shared>,
}

#[async_trait]
impl Host for Liar {
    async fn launch(&self) -> Result<Vec<String>, EnvironmentError> {
        self.inner.launch().await
    }
    async fn act(&self, act: &Act) -> Effect {
        assert!(self.shared.lie != Lie::PanicsInAct || !matches!(act, Act::Kill { .. }), "a bug of a client");
        let effect = self.inner.act(act).await;
        if matches!(act, Act::Start { .. } | Act::Restart { .. }) {
            self.shared.restarted_us.store(self.shared.clock.now_us(), SeqCst);
        }
        effect
    }
    fn system(&self, role: Role) -> Option<Arc<dyn System>> {
        let inner = self.inner.system(role)?;
        Some(Arc::new(LyingSystem { inner, shared: self.shared.clone() }))
    }
    fn routes(&self) -> harness::ports::Routes {
        self.inner.routes()
    }
    async fn teardown(&self) -> Result<(), EnvironmentError> {
        self.shared.torn_down.fetch_add(1, SeqCst);
        self.inner.teardown().await
    }
}

#[derive(Debug)]
struct LyingSystem {
    inner: Arc<dyn System>,
    shared: Arc<Shared>,
}

fn refused<T>() -> Result<T, PortError> {
    Err(PortError::Definite("refused".into()))
}

#[async_trait]
impl System for LyingSystem {
    async fn write(&self, write: Write) -> Result<(), PortError> {
        let bug = self.shared.lie == Lie::PanicsInWrite && self.shared.in_phase(Phase::Storm);
        assert!(!bug, "a bug of a client");
        self.inner.write(write).await
    }
    async fn read(&self, key: u64) -> Result<Option<Reading>, PortError> {
        self.inner.read(key).await
    }
    async fn survivors(&self, after: Option<u64>, limit: usize) -> Result<Page, PortError> {
        let mut page = self.inner.survivors(after, limit).await?;
        match self.shared.lie {
            Lie::EmptyAtReadBack => page = Page::default(),
            Lie::CorruptAtReadBack => page.items.iter_mut().for_each(|i| i.1 = Reading::Corrupt),
            Lie::TwiceFarApart => {
                if let Some((key, _)) = page.items.iter().find(|i| i.0 >= LOADED_KEYS).copied() {
                    page.items.insert(0, (key, Reading::Ver(999_999)));
                }
            }
            Lie::LosesWithUndo if self.shared.in_phase(Phase::Undo) => page.items.truncate(50),
            _ => {}
        }
        Ok(page)
    }
    async fn search(&self, query: &[f32], k: usize) -> Result<Vec<u64>, PortError> {
        let s = &self.shared;
        let restarted = s.since_restart();
        match (s.lie, restarted) {
            (Lie::DiesAgain(after_us), Some(since)) if since > after_us => return refused(),
            (Lie::LoneGoodAnswers, Some(since)) if since % 5_000_000 > 1_000_000 => return refused(),
            (Lie::AnswersEverything, Some(_)) => {
                let mut all = self.inner.search(query, 1_000_000).await?;
                all.reverse();
                return Ok(all);
            }
            (Lie::PoorBaseline, restarted) if s.odd.iter().any(|q| q == query) => {
                if restarted.is_some() {
                    let mut answer = self.inner.search(query, k).await?;
                    answer.truncate(k / 2);
                    return Ok(answer);
                }
                if s.quality.load(SeqCst) == 1 {
                    return refused();
                }
            }
            (Lie::DecaysInBaseline, _) if s.passes.load(SeqCst) > 0 && s.odd.iter().any(|q| q == query) => {
                let mut answer = self.inner.search(query, k).await?;
                answer.truncate(k * 4 / 5);
                return Ok(answer);
            }
            (Lie::HangsBeforeStorm, _) if !s.in_phase(Phase::Storm) && s.odd.iter().any(|q| q == query) => {
                std::future::pending().await
            }
            (Lie::SettlesAfter(passes), _)
                if s.passes.load(SeqCst) < passes && s.odd.iter().any(|q| q == query) =>
            {
                return refused();
            }
            (Lie::DeadAfterStorm, _) if s.in_phase(Phase::ReadBack) => return refused(),
            (Lie::PanicsInSearch, _) if s.in_phase(Phase::Storm) => panic!("a bug of a client"),
            (Lie::HangsFromStorm, None) if s.in_phase(Phase::Storm) => std::future::pending().await,
            _ => {}
        }
        self.inner.search(query, k).await
    }
}

fn told(text: &str, lie: Lie) -> Report {
    told_by(text, lie, &Arc::default())
}

fn told_by(text: &str, lie: Lie, torn_down: &Arc<AtomicU64>) -> Report {
    let loaded = loaded(text);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let bytes = runtime.block_on(async {
        let clock = Clock::simulated();
        let corpus = Corpus::of(&loaded.scenario);
        let shared = Arc::new(Shared {
            lie,
            clock,
            phase: AtomicU64::new(0),
            quality: AtomicU64::new(0),
            passes: AtomicU64::new(0),
            restarted_us: AtomicU64::new(0),
            torn_down: torn_down.clone(),
            odd: (0..corpus.queries).filter(|n| n % 2 == 1).map(|n| corpus.query(n)).collect(),
        });
        let seen = shared.clone();
        let journal = Journal::in_memory(
            clock,
            Some(Box::new(move |event| match &event.kind {
                EventKind::Entered(phase) => seen.phase.store(*phase as u64, SeqCst),
                EventKind::Quality(q) => {
                    seen.passes.fetch_add(1, SeqCst);
                    seen.quality.store(q.pass.into(), SeqCst);
                }
                _ => {}
            })),
        );
        let host = Arc::new(Liar { inner: SimHost::new(&loaded.plan, None), shared });
        let (_stopper, stop) = stop();
        let began = began(&loaded.scenario, String::new(), Vec::new());
        drill(&loaded.plan, began, host, &journal, clock, stop).await.unwrap();
        journal.bytes()
    });
    judged(&bytes)
}

#[test]
fn without_a_lie_it_passes() {
    assert_eq!(told(KILL, Lie::None).verdict, harness::verdict::Verdict::Pass);
}

/// Seeded records are older than everything: losing all of them can never be within an RPO.
#[test]
fn losing_every_seeded_record_is_not_within_an_rpo_of_minutes() {
    for rpo in ["1m", "5m", "1h"] {
        must_not_pass(&told(
            &KILL.replace("rpo = \"0s\"", &format!("rpo = \"{rpo}\"")),
            Lie::EmptyAtReadBack,
        ));
    }
}

/// Corruption is no loss of recent writes: no RPO allows it, and without an RPO it is not allowed either.
#[test]
fn a_store_full_of_corrupt_values_does_not_pass_without_an_rpo() {
    must_not_pass(&told(&KILL.replace("rpo = \"0s\"", ""), Lie::CorruptAtReadBack));
}

#[test]
fn a_service_that_dies_again_after_its_stable_window_does_not_pass() {
    must_not_pass(&told(KILL, Lie::DiesAgain(700_000)));
}

/// With a period longer than `stable_for`, one good answer would be a window.
#[test]
fn one_good_answer_among_bad_ones_is_no_recovery() {
    let text = KILL
        .replace("every = \"50ms\"", "every = \"1s\"")
        .replace("rto = \"4s\"", "rto = \"20s\"")
        .replace("at = \"1s\"", "at = \"5s\"")
        .replace("stable_for = \"500ms\"", "stable_for = \"100ms\"");
    if harness::diagnose::load(text.as_bytes(), &[]).is_ok() {
        must_not_pass(&told(&text, Lie::LoneGoodAnswers));
    }
}

#[test]
fn a_search_that_answers_with_everything_is_no_good_answer() {
    must_not_pass(&told(KILL, Lie::AnswersEverything));
}

#[test]
fn a_hiccup_while_the_baseline_is_measured_does_not_lower_the_bar() {
    must_not_pass(&told(&format!("{KILL}\nquality = 0.98"), Lie::PoorBaseline));
}

/// A store that moves its data about when it was filled is given time; one that never settles proves nothing.
#[test]
fn a_baseline_is_taken_anew_until_it_is_steady_but_not_for_ever() {
    let text = format!("{KILL}\nquality = 0.98");
    let again = |report: &Report| report.notes.iter().filter(|n| n.ends_with("asked again")).count();
    let settled = told(&text, Lie::SettlesAfter(3));
    assert_eq!((settled.verdict, again(&settled)), (harness::verdict::Verdict::Pass, 2));
    let never = told(&text, Lie::SettlesAfter(u64::MAX));
    assert_eq!((never.verdict, again(&never)), (harness::verdict::Verdict::Unknown, 19));
    // What was lost while the baseline was taken is no lower bar.
    let decayed = told(&text, Lie::DecaysInBaseline);
    assert_eq!((decayed.verdict, again(&decayed)), (harness::verdict::Verdict::Unknown, 1));
    // Answers that never come take long: the time to settle is the limit, not the number of times.
    let silent = told(&text, Lie::HangsBeforeStorm);
    assert_eq!(silent.verdict, harness::verdict::Verdict::Unknown);
    assert!(again(&silent) < 19, "{:?}", silent.notes);
}

#[test]
fn a_key_that_is_listed_twice_is_found_wherever_it_is_listed() {
    must_not_pass(&told(KILL, Lie::TwiceFarApart));
}

/// The journal itself shows that no query got an answer after recovery.
#[test]
fn a_store_in_which_no_search_works_after_the_storm_does_not_pass() {
    must_not_pass(&told(KILL, Lie::DeadAfterStorm));
    must_not_pass(&told(&format!("{KILL}\nrto_ends = \"verified\""), Lie::DeadAfterStorm));
}

/// Probes that were due well before t0 and hung: the fault did not do that.
#[test]
fn a_service_that_hung_before_the_fault_was_not_steady() {
    let text = KILL.replace("timeout = \"300ms\"", "timeout = \"2s\"");
    must_not_pass(&told(&text, Lie::HangsFromStorm));
}

#[test]
fn records_that_vanish_with_the_undo_are_no_pass() {
    must_not_pass(&told(KILL, Lie::LosesWithUndo));
}

/// Whatever goes wrong in a client, the debts are paid and the stack is thrown away.
#[test]
fn a_panic_in_a_client_leaves_no_fault_behind() {
    let mut left = Vec::new();
    for lie in [Lie::PanicsInSearch, Lie::PanicsInWrite, Lie::PanicsInAct] {
        let torn_down = Arc::new(AtomicU64::new(0));
        let told = std::panic::catch_unwind(|| told_by(KILL, lie, &torn_down));
        if torn_down.load(SeqCst) == 0 {
            left.push(lie);
        }
        if let Ok(report) = told {
            must_not_pass(&report);
        }
    }
    assert_eq!(left, [], "never torn down");
}
