//! Workers and job as a drill's users reach them: the door [`System`].
//!
//! A write is a step of the job, `Ok` once its checkpoint is stored. What is stored counts as a step only if it has
//! the very bytes of the undisturbed job. Nothing is ever refused for good: a step that was asked for may be run at
//! any later time, so every failure is one of unknown outcome.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use harness::job::Job;
use harness::ports::{Page, PortError, Reading, System, Write};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::Flaw;
use super::checkpoints::Checkpoints;
use super::driver::{Ask, Driver};
use super::roster::Roster;
use super::step::Steps;
use super::truth::{STEPS_MAX, Truth};
use crate::s3::{S3, S3Error};

/// One call of the object store.
const STORE_LIMIT: Duration = Duration::from_secs(2);
/// An inference without an answer for so long is asked of the next worker as well.
const HEDGE_AFTER: Duration = Duration::from_millis(100);
/// An inference without an answer for so long gets none.
const INFER_LIMIT: Duration = Duration::from_secs(2);
/// Checkpoints read at a time.
const SIDE_BY_SIDE: usize = 8;
/// Objects with names that no step has are told under keys from here on.
const FOREIGN: u64 = 1 << 52;

/// The workers of one region, the driver of their job, and the object store that keeps its checkpoints.
#[derive(Debug)]
pub struct GpuSystem {
    job: Job,
    roster: Arc<Roster>,
    checkpoints: Checkpoints,
    truth: Truth,
    flaw: Option<Flaw>,
    done: Arc<AtomicU64>,
    driver: OnceLock<(mpsc::UnboundedSender<Ask>, AbortHandle)>,
}

impl GpuSystem {
    /// Workers at these addresses, and checkpoints in the bucket that `objects` reaches; it is made when it is
    /// missing. The driver starts with the first write.
    pub fn new(workers: &[SocketAddr], objects: S3, job: Job, flaw: Option<Flaw>) -> Self {
        Self {
            job,
            roster: Arc::new(Roster::new(workers)),
            checkpoints: Checkpoints::new(objects.within(STORE_LIMIT)),
            truth: Truth::new(job),
            flaw,
            done: Arc::default(),
            driver: OnceLock::new(),
        }
    }

    fn driver(&self) -> &mpsc::UnboundedSender<Ask> {
        let start = || {
            let (ask, asked) = mpsc::unbounded_channel();
            let drops_shard = AtomicBool::new(self.flaw == Some(Flaw::LostShard));
            let driver = Driver {
                job: self.job,
                steps: Steps { job: self.job, roster: self.roster.clone(), drops_shard },
                checkpoints: self.checkpoints.clone(),
                asked,
                done: self.done.clone(),
            };
            (ask, tokio::spawn(driver.run()).abort_handle())
        };
        &self.driver.get_or_init(start).0
    }

    async fn reading(&self, step: u64) -> Result<Option<Reading>, PortError> {
        let stored = self.checkpoints.stored(step).await.map_err(|e| port(&e))?;
        let Some((body, matches)) = stored else { return Ok(None) };
        let right = self.truth.agrees(step, &body).await;
        Ok(match matches {
            // Nobody resumes from a checkpoint without its checksum: for recovery it is not there.
            None if right => None,
            Some(true) if right => Some(Reading::Ver(step)),
            _ => Some(Reading::Corrupt),
        })
    }
}

impl Drop for GpuSystem {
    fn drop(&mut self) {
        if let Some((_, driver)) = self.driver.get() {
            driver.abort();
        }
    }
}

fn port(error: &S3Error) -> PortError {
    PortError::Indefinite(error.to_string())
}

#[async_trait]
impl System for GpuSystem {
    async fn write(&self, write: Write) -> Result<(), PortError> {
        let Write { key, ver, delete } = write;
        if delete || ver != key || !(1..STEPS_MAX).contains(&key) {
            return Err(PortError::Definite(format!("write {ver} of key {key} is no step of a job")));
        }
        let done = key <= self.done.load(Ordering::Relaxed);
        if done && self.checkpoints.valid(key).await.map_err(|e| port(&e))?.is_some() {
            return Ok(());
        }
        let (stored, is_stored) = oneshot::channel();
        let gone = || PortError::Indefinite("the driver is gone".into());
        self.driver().send(Ask { step: key, stored }).map_err(|_| gone())?;
        is_stored.await.map_err(|_| gone())
    }

    async fn read(&self, key: u64) -> Result<Option<Reading>, PortError> {
        self.reading(key).await
    }

    async fn survivors(&self, after: Option<u64>, limit: usize) -> Result<Page, PortError> {
        let (steps, foreign) = self.checkpoints.steps(None).await.map_err(|e| port(&e))?;
        let beyond = |key: &u64| after.is_none_or(|after| *key > after);
        let mut keys: Vec<u64> = steps.into_iter().chain(FOREIGN..FOREIGN + foreign).filter(beyond).collect();
        keys.sort_unstable();
        let more = keys.len() > limit.max(1);
        keys.truncate(limit.max(1));
        let next = keys.last().copied().filter(|_| more);
        let read = |key| async move {
            let reading = if key < FOREIGN { self.reading(key).await? } else { Some(Reading::Corrupt) };
            Ok::<_, PortError>((key, reading))
        };
        let read: Vec<_> = futures::stream::iter(keys).map(read).buffered(SIDE_BY_SIDE).try_collect().await?;
        let items = read.into_iter().filter_map(|(key, reading)| Some((key, reading?))).collect();
        Ok(Page { items, next })
    }

    /// As a driver does that knows nothing: from the newest valid checkpoint, one step on, which is not stored.
    async fn resume_job(&self) -> Result<u64, PortError> {
        let newest = self.checkpoints.newest(None, u64::MAX).await.map_err(|e| port(&e))?;
        let state = newest.unwrap_or_else(|| self.job.start());
        let steps = Steps { job: self.job, roster: self.roster.clone(), drops_shard: AtomicBool::new(false) };
        let next = steps.step(&state).await;
        if self.truth.agrees(next.step, &next.bytes()).await {
            return Ok(state.step);
        }
        let why =
            format!("step {} came out wrong when the job was taken up from step {}", next.step, state.step);
        Err(PortError::Definite(why))
    }

    /// Asks the workers in turn; one that does not answer soon is not waited for alone (hedged requests: Dean and
    /// Barroso, "The tail at scale", CACM 2013).
    async fn infer(&self, input: &[f32]) -> Result<Vec<f32>, PortError> {
        self.roster.probe_quarantined(self.job);
        let mut rest = self.roster.by_trust().into_iter();
        let mut asked = FuturesUnordered::new();
        let mut why = "every worker is quarantined: it computed wrong".to_owned();
        loop {
            let newest = rest.next();
            if let Some(worker) = newest {
                let call = self.roster.client(worker);
                asked.push(async move { (worker, call.infer(input.to_vec(), INFER_LIMIT).await) });
            }
            tokio::select! {
                answer = asked.next() => match answer {
                    Some((_, Ok(output))) => return Ok(output),
                    Some((worker, Err(e))) => {
                        self.roster.avoid(worker);
                        why = e.to_string();
                    }
                    None => return Err(PortError::Indefinite(why)),
                },
                () = sleep(HEDGE_AFTER), if newest.is_some() => newest.into_iter().for_each(|w| self.roster.avoid(w)),
            }
        }
    }
}
