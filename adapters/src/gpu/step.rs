//! One step of the job: its shards handed out side by side, and a sample of the results checked by other workers.
//!
//! A worker has one shard at a time. A shard whose worker fails goes back; one that takes long is given to an idle
//! worker as well (a backup task: Dean and Ghemawat, "MapReduce", OSDI 2004), and the first answer counts. So a step
//! takes no longer than its slowest shard on the fastest workers, and ends as long as one worker is left.
//!
//! The sample is the last shard of every worker that had a part in the step: a worker that has begun to compute wrong
//! within the step is caught by it, and so is one that was wrong all along.

use std::collections::{BTreeMap, btree_map::Entry};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use harness::job::{Checkpoint, Job, SHARDS, Sums};
use tokio::time::sleep;

use super::roster::Roster;

/// A worker that has had a shard for so long hangs.
pub(super) const SHARD_LIMIT: Duration = Duration::from_secs(1);
/// A shard under way for so long is given to an idle worker as well.
const BACKUP_AFTER: Duration = Duration::from_millis(40);
/// A worker that takes longer to compute a shard of the sample is not waited for.
const CHECK_LIMIT: Duration = Duration::from_millis(250);
/// How often the roster is looked at while a step waits.
const POLL: Duration = Duration::from_millis(10);

/// Who computes steps, and how.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) job: Job,
    pub(super) roster: Arc<Roster>,
    /// A planted defect: the next shard whose worker is lost is left out.
    pub(super) drops_shard: AtomicBool,
}

/// The sums of a step's shards, and the last shard of each worker that had a part in it.
#[derive(Debug, Default)]
struct Spread {
    sums: BTreeMap<u32, Sums>,
    last: BTreeMap<usize, u32>,
}

/// A shard that a worker has.
#[derive(Debug)]
struct Task {
    worker: usize,
    shard: u32,
    began: Instant,
}

impl Steps {
    /// The step after `before`. Waits for as long as no worker is there.
    pub(super) async fn step(&self, before: &Checkpoint) -> Checkpoint {
        let bytes = before.bytes();
        loop {
            let spread = self.spread(&bytes).await;
            if self.holds(before, &bytes, &spread).await {
                return before.after(spread.sums.into_values());
            }
        }
    }

    async fn spread(&self, before: &[u8]) -> Spread {
        let mut spread = Spread::default();
        let mut tasks: Vec<Task> = Vec::new();
        let mut answers = FuturesUnordered::new();
        while spread.sums.len() < SHARDS as usize {
            self.roster.probe_quarantined(self.job);
            for worker in self.roster.ready() {
                if tasks.iter().any(|t| t.worker == worker) {
                    continue;
                }
                let Some(shard) = next(&spread, &tasks) else { break };
                tasks.push(Task { worker, shard, began: Instant::now() });
                let (client, before) = (self.roster.client(worker), before.to_vec());
                answers.push(async move { (worker, shard, client.shard(before, shard, SHARD_LIMIT).await) });
            }
            let (worker, shard, answer) = tokio::select! {
                Some(answer) = answers.next() => answer,
                () = sleep(POLL) => continue,
            };
            tasks.retain(|t| t.worker != worker);
            match answer {
                Ok(sums) => {
                    if let Entry::Vacant(open) = spread.sums.entry(shard) {
                        open.insert(sums);
                        spread.last.insert(worker, shard);
                    }
                    let slower = tasks.iter().filter(|t| t.shard == shard);
                    slower.for_each(|t| self.roster.slow(t.worker));
                }
                Err(why) => {
                    tracing::debug!("shard {shard}: {why}");
                    self.roster.failed(worker);
                    if self.drops_shard.swap(false, Ordering::Relaxed) {
                        spread.sums.insert(shard, Sums::default());
                    }
                }
            }
        }
        spread
    }

    /// Whether the sample holds. Workers that were wrong are quarantined.
    async fn holds(&self, before: &Checkpoint, bytes: &[u8], spread: &Spread) -> bool {
        let checks = spread.last.iter().map(|(worker, shard)| {
            let sums = &spread.sums[shard];
            self.check(before, bytes, *shard, *worker, sums)
        });
        futures::future::join_all(checks).await.into_iter().all(|held| held)
    }

    /// Has another worker compute the same, and decides between the two if they differ.
    async fn check(&self, before: &Checkpoint, bytes: &[u8], shard: u32, worker: usize, sums: &Sums) -> bool {
        if self.roster.is_alone(worker) {
            // There is nobody whose word could stand against it.
            return true;
        }
        let mut said = vec![(worker, sums.clone())];
        for other in self.roster.ready().into_iter().filter(|w| *w != worker) {
            match self.roster.client(other).shard(bytes.to_vec(), shard, CHECK_LIMIT).await {
                Ok(second) if second == *sums => return true,
                Ok(second) => {
                    said.push((other, second));
                    break;
                }
                Err(_) => self.roster.failed(other),
            }
        }
        // The two differ, or nobody else is there right now: then the driver itself is the second.
        let Some(own) = self.own(before, shard).await else { return false };
        let liars: Vec<usize> = said.iter().filter(|(_, sums)| *sums != own).map(|(w, _)| *w).collect();
        for liar in &liars {
            tracing::warn!("worker {liar} computed shard {shard} of step {} wrong", before.step + 1);
            self.roster.quarantine(*liar);
        }
        liars.is_empty()
    }

    /// What the driver itself makes of a shard.
    async fn own(&self, before: &Checkpoint, shard: u32) -> Option<Sums> {
        let (job, before) = (self.job, before.clone());
        tokio::task::spawn_blocking(move || job.shard(&before, shard)).await.ok()
    }
}

/// What an idle worker takes: a shard that nobody has, or else the one that somebody has had for too long.
fn next(spread: &Spread, tasks: &[Task]) -> Option<u32> {
    let open = || (0..SHARDS).filter(|shard| !spread.sums.contains_key(shard));
    let holders = |shard: &u32| tasks.iter().filter(|t| t.shard == *shard).count();
    let late = |shard: &u32| {
        let newest = tasks.iter().filter(|t| t.shard == *shard).map(|t| t.began).max();
        newest.is_none_or(|began| began.elapsed() > BACKUP_AFTER)
    };
    open().find(|shard| holders(shard) == 0).or_else(|| open().filter(late).min_by_key(holders))
}
