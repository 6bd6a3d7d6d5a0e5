//! Open-loop load: a schedule of writes that never waits for answers.
//!
//! One task a store owns its schedule and its ledger. A write that gets no answer in time is of unknown outcome; one
//! that was refused surely did not happen.

use std::collections::BTreeMap;

use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::{Stage, watch::Update};
use crate::{
    clock::Tick,
    journal::{Acked, EventKind, Wrote},
    ledger::Ledger,
    ports::{PortError, System},
    time::Rate,
    topology::Role,
};

/// The load on all stores.
#[derive(Debug)]
pub(super) struct Load {
    stop: watch::Sender<bool>,
    tasks: Vec<(Role, JoinHandle<Ledger>)>,
}

impl Load {
    /// Starts one schedule a store.
    pub(super) fn start(stage: &Stage, tell: &mpsc::UnboundedSender<Update>) -> Load {
        let judged = stage.plan.judged_writes();
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        for (store, count) in stage.plan.stores() {
            let mut ledger = Ledger::default();
            ledger.seeded(count);
            let rate = stage.plan.scenario.load.of(store);
            let place = judged.iter().position(|r| *r == store).map(|i| stage.plan.services.len() + i);
            let tell = place.map(|place| (place, tell.clone()));
            let task = tokio::spawn(run(stage.clone(), store, rate, (ledger, tell), stopped.clone()));
            tasks.push((store, task));
        }
        Load { stop, tasks }
    }

    /// Stops the schedules, waits for writes under way, and hands over the ledgers.
    pub(super) async fn finish(mut self) -> BTreeMap<Role, Ledger> {
        self.stop.send_replace(true);
        let mut ledgers = BTreeMap::new();
        for (store, task) in &mut self.tasks {
            ledgers.insert(*store, task.await.expect("load tasks do not panic"));
        }
        ledgers
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|(_, task)| task.abort());
    }
}

async fn run(
    stage: Stage,
    store: Role,
    rate: Option<Rate>,
    (mut ledger, tell): (Ledger, Option<Tell>),
    mut stopped: watch::Receiver<bool>,
) -> Ledger {
    let (Some(rate), Some(system)) = (rate, stage.host.system(store)) else { return ledger };
    let mut schedule = stage.clock.metronome(rate.period());
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|s| *s) => break,
            Some(done) = under_way.join_next() => keep(&mut ledger, tell.as_ref(), done),
            tick = schedule.tick() => {
                under_way.spawn(write(stage.clone(), system.clone(), store, tick));
            }
        }
    }
    while let Some(done) = under_way.join_next().await {
        keep(&mut ledger, tell.as_ref(), done);
    }
    ledger
}

/// Where the storm hears of the end of every write, and under which number.
type Tell = (usize, mpsc::UnboundedSender<Update>);

fn keep(ledger: &mut Ledger, tell: Option<&Tell>, done: Result<Wrote, tokio::task::JoinError>) {
    let wrote = done.expect("write tasks do not panic");
    ledger.wrote(&wrote);
    if let Some((service, tell)) = tell {
        let Wrote { done_us, due_us, outcome, .. } = wrote;
        let update = Update { service: *service, done_us, due_us, good: outcome == Acked::Ok };
        // Nobody listens any more once the storm is over.
        let _ = tell.send(update);
    }
}

async fn write(stage: Stage, system: std::sync::Arc<dyn System>, store: Role, tick: Tick) -> Wrote {
    let op = stage.corpus.operation(store, tick.n + 1);
    let sent_us = stage.clock.now_us();
    let outcome = match timeout(stage.plan.write_timeout(store).std(), system.write(op)).await {
        Ok(Ok(())) => Acked::Ok,
        Ok(Err(PortError::Definite(_))) => Acked::Fail,
        Ok(Err(PortError::Indefinite(_))) | Err(_) => Acked::Info,
    };
    let done_us = stage.clock.now_us();
    if outcome != Acked::Ok {
        stage.own.vouch().await;
    }
    let (key, ver, delete, due_us) = (op.key, op.ver, op.delete, tick.due_us);
    let wrote = Wrote { store, key, ver, delete, due_us, sent_us, done_us, outcome };
    // A journal that cannot be written ends the drill; see `Journal::failed`.
    drop(stage.journal.record(EventKind::Wrote(wrote.clone())));
    wrote
}
