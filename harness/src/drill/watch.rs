//! Probes: questions with known answers, on a fixed schedule that never stops asking.
//!
//! One task a service owns its schedule; each question is a task of its own, so that a hung one is a bad probe at its
//! deadline and never delays the next.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::{Stage, quality::Golden};
use crate::{
    clock::Tick,
    journal::{EventKind, Probed, Shown},
    plan::ServicePlan,
    ports::{INFERENCE_TOLERANCE, Reading, System},
    topology::Role,
};

/// Probes of inference take turns with this many inputs.
const INFERENCES: u64 = 64;

/// How one probe ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    /// Which service, by its place in the plan; behind them, whose writes, by its place in `Plan::judged_writes`.
    pub(super) service: usize,
    /// When the answer came, or the deadline passed.
    pub(super) done_us: u64,
    /// When it was due.
    pub(super) due_us: u64,
    /// Whether the answer was a good one.
    pub(super) good: bool,
}

/// The probes of all services.
#[derive(Debug)]
pub(super) struct Watch {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    /// The end of every probe and of every write, in order of their ends.
    pub(super) updates: mpsc::UnboundedReceiver<Update>,
    /// For the load, whose writes are questions too.
    pub(super) tell: mpsc::UnboundedSender<Update>,
}

impl Watch {
    /// Starts one schedule a service.
    pub(super) fn start(stage: &Stage, golden: &Arc<Golden>) -> Watch {
        let (stop, stopped) = watch::channel(false);
        let (send, updates) = mpsc::unbounded_channel();
        let services = 0..stage.plan.services.len();
        let task = |s| tokio::spawn(run(stage.clone(), s, golden.clone(), send.clone(), stopped.clone()));
        let tasks = services.map(task).collect();
        Watch { stop, tasks, updates, tell: send }
    }

    /// Stops the schedules and waits for questions under way.
    pub(super) async fn finish(mut self) {
        self.stop.send_replace(true);
        for task in &mut self.tasks {
            task.await.expect("probe tasks do not panic");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn run(
    stage: Stage,
    service: usize,
    golden: Arc<Golden>,
    updates: mpsc::UnboundedSender<Update>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut schedule = stage.clock.metronome(stage.plan.services[service].probe.every.std());
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|s| *s) => break,
            Some(done) = under_way.join_next() => done.expect("probe tasks do not panic"),
            tick = schedule.tick() => {
                under_way.spawn(ask(stage.clone(), service, golden.clone(), updates.clone(), tick));
            }
        }
    }
    while let Some(done) = under_way.join_next().await {
        done.expect("probe tasks do not panic");
    }
}

async fn ask(
    stage: Stage,
    service: usize,
    golden: Arc<Golden>,
    updates: mpsc::UnboundedSender<Update>,
    tick: Tick,
) {
    let plan = &stage.plan.services[service];
    let sent_us = stage.clock.now_us();
    let answer = timeout(plan.probe.timeout.std(), question(&stage, plan, &golden, tick.n)).await;
    let done_us = stage.clock.now_us();
    let (shown, bad) = match answer {
        Ok(Ok(shown)) => (shown, None),
        Ok(Err(why)) => (Shown::new(), Some(why)),
        Err(_) => (Shown::new(), Some(format!("no answer within {}", plan.probe.timeout))),
    };
    if bad.is_some() {
        stage.own.vouch().await;
    }
    let update = Update { service, done_us, due_us: tick.due_us, good: bad.is_none() };
    let (n, due_us) = (tick.n, tick.due_us);
    let probed = Probed { service: plan.name.clone(), n, due_us, sent_us, done_us, bad, shown };
    // A journal that cannot be written ends the drill; see `Journal::failed`.
    drop(stage.journal.record(EventKind::Probed(probed)));
    // Nobody listens any more once the storm is over.
    let _ = updates.send(update);
}

/// Asks what the probe asks; says which writes the answer showed, or what is wrong with it. Whether what it showed was
/// new enough is judged from the journal, where the whole ledger is known.
async fn question(stage: &Stage, plan: &ServicePlan, golden: &Golden, n: u64) -> Result<Shown, String> {
    let mut shown = Shown::new();
    let system = |role| {
        let found = stage.host.system_for(&plan.name, role);
        found.ok_or_else(|| format!("no {role} node is there"))
    };
    let mut object = stage.corpus.probed_object(n);
    if let Some(search) = &plan.probe.search {
        let (k, min) = (search.k as usize, search.min_recall);
        let best = ask_vectors(system(Role::Vector)?.as_ref(), golden, k, min, n).await?;
        object = best % stage.corpus.objects.max(1);
    }
    if let Some(lookup) = &plan.probe.lookup {
        let store = system(Role::Feature)?;
        let entities = stage.corpus.probed_entities(n, lookup.batch);
        let asked = entities.map(|entity| ask_record(store.as_ref(), "entity", entity));
        shown.insert(Role::Feature, futures::future::try_join_all(asked).await?);
    }
    if plan.probe.infer.is_some() {
        ask_inference(stage, system(Role::Gpu)?.as_ref(), n).await?;
    }
    if plan.probe.get.is_some() {
        let record = ask_record(system(Role::Object)?.as_ref(), "object", object).await?;
        shown.insert(Role::Object, vec![record]);
    }
    Ok(shown)
}

async fn ask_vectors(
    system: &dyn System,
    golden: &Golden,
    k: usize,
    min: f64,
    n: u64,
) -> Result<u64, String> {
    let query = golden.query(n).ok_or("no golden query met its recall before the fault")?;
    let answer = system.search(&query.vector, k).await.map_err(|e| e.to_string())?;
    let hits = query.neighbours.nearest(k).hits(&answer[..k.min(answer.len())]);
    let recall = f64::from(hits) / k as f64;
    if recall < min {
        return Err(format!("recall {recall:.2} is under {min:.2}"));
    }
    answer.first().copied().ok_or_else(|| "the answer is empty".into())
}

async fn ask_record(system: &dyn System, what: &str, key: u64) -> Result<(u64, u64), String> {
    match system.read(key).await.map_err(|e| e.to_string())? {
        // The store has compared its value with what that write stored.
        Some(Reading::Ver(ver)) => Ok((key, ver)),
        Some(Reading::Corrupt) => Err(format!("{what} {key} has a value that was never written")),
        None => Err(format!("{what} {key} is gone")),
    }
}

async fn ask_inference(stage: &Stage, system: &dyn System, n: u64) -> Result<(), String> {
    let input = stage.corpus.inference_input(n % INFERENCES);
    let known = stage.corpus.inference(&input);
    let answer = system.infer(&input).await.map_err(|e| e.to_string())?;
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= INFERENCE_TOLERANCE;
    if answer.len() == known.len() && answer.iter().zip(&known).all(near) {
        return Ok(());
    }
    Err(format!("inference answered {answer:?}, and {known:?} is right"))
}
