//! Filling the stores, building the index and taking backups, before anything breaks.

use tokio::{task::JoinSet, time::timeout};

use super::{Break, Stage};
use crate::{
    act::{Act, Outcome},
    journal::EventKind,
    plan::StepKind,
    ports::{EnvironmentError, Write},
    time::Dur,
    topology::Role,
};

/// Seed writes under way at once.
const SIDE_BY_SIDE: usize = 64;
/// One seed write may take this long.
const WRITE_LIMIT: Dur = Dur::from_secs(30);
/// Building an index, or taking a backup, may take this long.
const SETUP_LIMIT: Dur = Dur::from_secs(1800);

impl Stage {
    pub(super) async fn seed(&self) -> Result<(), Break> {
        for (store, count) in self.plan.stores() {
            self.fill(store, count).await?;
            self.journal.record(EventKind::Seeded { store, count })?;
        }
        for (step, act) in self.plan.preparations() {
            self.set_up(&step, act).await?;
        }
        Ok(())
    }

    async fn fill(&self, store: Role, count: u64) -> Result<(), Break> {
        let system =
            self.host.system(store).ok_or_else(|| environment(format!("no {store} store was launched")))?;
        let mut writes = JoinSet::new();
        let what = records(store);
        for key in 0..count {
            if writes.len() >= SIDE_BY_SIDE {
                check(store, writes.join_next().await)?;
                self.journal.progress(what, key - writes.len() as u64, count);
            }
            let system = system.clone();
            writes.spawn(async move {
                let write = Write { key, ver: 0, delete: false };
                match timeout(WRITE_LIMIT.std(), system.write(write)).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(e)) => Err(e.to_string()),
                    Err(_) => Err(format!("no answer within {WRITE_LIMIT}")),
                }
            });
        }
        while let Some(done) = writes.join_next().await {
            check(store, Some(done))?;
            self.journal.progress(what, count - writes.len() as u64, count);
        }
        Ok(())
    }

    async fn set_up(&self, step: &str, act: Act) -> Result<(), Break> {
        self.intend(step, StepKind::Setup, vec![act.clone()], Vec::new())?;
        let acted = self.perform(step, &act, SETUP_LIMIT).await;
        let outcome = acted.outcome.clone();
        self.journal.record(EventKind::Acted(acted))?;
        match outcome {
            Outcome::Observed(_) => Ok(()),
            other => Err(environment(format!("{act}: {}", other.text()))),
        }
    }
}

/// What a store is filled with.
fn records(store: Role) -> &'static str {
    match store {
        Role::Vector => "vectors",
        Role::Object => "objects",
        Role::Feature => "entities",
        Role::Gpu => "checkpoints",
    }
}

fn check(store: Role, done: Option<Result<Result<(), String>, tokio::task::JoinError>>) -> Result<(), Break> {
    match done {
        Some(Ok(Err(why))) => Err(environment(format!("the {store} store could not be filled: {why}"))),
        Some(Err(e)) => Err(environment(format!("the {store} store could not be filled: {e}"))),
        Some(Ok(Ok(()))) | None => Ok(()),
    }
}

fn environment(what: String) -> Break {
    let remedy = "look at the nodes' logs in the run's folder".into();
    Break::Environment(EnvironmentError { what, remedy })
}
