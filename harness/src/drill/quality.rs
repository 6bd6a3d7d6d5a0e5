//! The frozen query set: asked twice before the fault, after recovery and after the restart, and the golden queries of probes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::{task::JoinSet, time::timeout};

use super::{Break, Stage, readback::Readings};
use crate::{
    corpus::{Neighbours, count_hits, exact_neighbours},
    journal::{EventKind, Quality},
    judge::unsteady,
    ledger::{Ledger, Survivors},
    plan::SETTLE_LIMIT,
    ports::System,
    time::Dur,
    topology::Role,
};

/// One query may take this long.
const QUERY_LIMIT: Dur = Dur::from_secs(2);
/// A pass over all queries may take this long; what is not asked by then got no answer.
const PASS_LIMIT: Dur = Dur::from_secs(600);
/// Queries under way at once.
const SIDE_BY_SIDE: usize = 8;
/// Times that a baseline is taken, until one is steady or the time to settle is over, and the pause between two of them.
const BASELINES: u32 = 20;
const BETWEEN_BASELINES: Dur = Dur::from_secs(1);
/// Probes take turns with this many golden queries.
const GOLDEN_MAX: usize = 64;

/// Queries with known answers that the healthy stack answered well.
#[derive(Debug, Default)]
pub(super) struct Golden(Vec<GoldenQuery>);

/// One of them.
#[derive(Debug)]
pub(super) struct GoldenQuery {
    pub(super) vector: Vec<f32>,
    pub(super) neighbours: Neighbours,
}

impl Golden {
    /// The query of the n-th probe.
    pub(super) fn query(&self, n: u64) -> Option<&GoldenQuery> {
        let i = usize::try_from(n).ok()?.checked_rem(self.0.len())?;
        self.0.get(i)
    }
}

impl Stage {
    /// Asks the frozen queries twice, and chooses the golden ones among those that were answered well.
    ///
    /// A store that was filled a moment ago may still move its data about: as long as the two passes differ they are made
    /// anew, for a while. All of them stand in the journal, and the last two count.
    pub(super) async fn baseline(&self) -> Result<Arc<Golden>, Break> {
        if self.host.system(Role::Vector).is_none() {
            return Ok(Arc::default());
        }
        let queries = self.queries();
        let records: Vec<(u64, u64)> = (0..self.corpus.vectors).map(|k| (k, 0)).collect();
        let truth = self.exact(&queries, records, self.plan.most_neighbours()).await;
        let deadline_us = self.clock.now_us().saturating_add(SETTLE_LIMIT.us());
        for _ in 1..BASELINES {
            let (first, second, answers) = self.two_passes(&queries, &truth).await?;
            let unsteady = unsteady(&first, &second).filter(|_| self.clock.now_us() < deadline_us);
            let Some(why) = unsteady else {
                return Ok(Arc::new(self.golden(queries, truth, &answers)));
            };
            self.journal.record(EventKind::Noted(format!("{why}; the queries are asked again")))?;
            self.clock.until(self.clock.now_us().saturating_add(BETWEEN_BASELINES.us())).await;
        }
        let (_, _, answers) = self.two_passes(&queries, &truth).await?;
        Ok(Arc::new(self.golden(queries, truth, &answers)))
    }

    async fn two_passes(
        &self,
        queries: &[Vec<f32>],
        truth: &[Neighbours],
    ) -> Result<(Quality, Quality, Vec<Vec<u64>>), Break> {
        let (one, _) = self.pass_before(1, queries, truth).await?;
        let (two, answers) = self.pass_before(2, queries, truth).await?;
        Ok((one, two, answers))
    }

    /// What one pass before the fault found, and each answer in full.
    async fn pass_before(
        &self,
        pass: u8,
        queries: &[Vec<f32>],
        truth: &[Neighbours],
    ) -> Result<(Quality, Vec<Vec<u64>>), Break> {
        let k = self.k();
        let system = self.host.system(Role::Vector);
        let answers = self.ask_all(system, queries, self.plan.most_neighbours()).await;
        let hits: Vec<u32> = count(truth, &answers, k);
        let failed = failures(&answers);
        let whole: Vec<Vec<u64>> = answers.into_iter().map(Option::unwrap_or_default).collect();
        let answers = whole.iter().map(|a| first(a, k)).collect();
        let k = self.k_journal();
        let quality = Quality { pass, region: None, k, hits_stored: hits.clone(), hits, answers, failed };
        self.journal.record(EventKind::Quality(Box::new(quality.clone())))?;
        Ok((quality, whole))
    }

    /// Even-numbered queries only: load never writes where they look.
    fn golden(&self, queries: Vec<Vec<f32>>, truth: Vec<Neighbours>, answers: &[Vec<u64>]) -> Golden {
        let searches = || self.plan.services.iter().filter_map(|s| s.probe.search.as_ref());
        let good = |n: &Neighbours, answer: &[u64]| {
            searches().all(|s| {
                let k = s.k as usize;
                let hits = n.nearest(k).hits(&first(answer, k));
                f64::from(hits) / k as f64 >= s.min_recall
            })
        };
        let all = queries.into_iter().zip(truth).zip(answers).step_by(2);
        let golden = all.filter(|((_, n), a)| good(n, a)).take(GOLDEN_MAX);
        Golden(golden.map(|((vector, neighbours), _)| GoldenQuery { vector, neighbours }).collect())
    }

    /// Asks the frozen queries after recovery, of every copy that users are routed to.
    pub(super) async fn quality_after(
        &self,
        pass: u8,
        ledgers: &BTreeMap<Role, Ledger>,
        read: &Readings,
    ) -> Result<(), Break> {
        let Some(ledger) = ledgers.get(&Role::Vector) else { return Ok(()) };
        for ((_, region), survivors) in read.iter().filter(|((role, _), _)| *role == Role::Vector) {
            self.quality_of(pass, region, ledger, survivors).await?;
        }
        Ok(())
    }

    /// The truth is everything that was acknowledged; records of unknown outcome are left aside.
    async fn quality_of(
        &self,
        pass: u8,
        region: &str,
        ledger: &Ledger,
        survivors: &Survivors,
    ) -> Result<(), Break> {
        let (certain, aside) = ledger.certain();
        let aside: BTreeSet<u64> = aside.into_iter().collect();
        let queries = self.queries();
        let k = self.k();
        let system = self.host.system_in(region, Role::Vector);
        let answers = self.ask_past(system, &aside, &queries, k).await;
        let truth = self.exact(&queries, certain.clone(), k).await;
        let without =
            |a: &Vec<u64>| a.iter().copied().filter(|key| !aside.contains(key)).collect::<Vec<u64>>();
        let judged: Vec<Option<Vec<u64>>> = answers.iter().map(|a| a.as_ref().map(without)).collect();
        let hits = count(&truth, &judged, k);
        let stored = Some(survivors).filter(|s| s.complete()).map(Survivors::records);
        let hits_stored = match stored {
            Some(stored) if stored == certain => hits.clone(),
            Some(stored) => count(&self.exact(&queries, stored, k).await, &answers, k),
            // Not read in full: the finding that judges the index is then unknown for that reason.
            None => hits.clone(),
        };
        let failed = failures(&answers);
        let answers = answers.into_iter().map(Option::unwrap_or_default).collect();
        let (k, region) = (self.k_journal(), Some(region.to_owned()));
        let quality = Quality { pass, region, k, hits, hits_stored, answers, failed };
        Ok(self.journal.record(EventKind::Quality(Box::new(quality)))?)
    }

    /// The exact neighbours of each query. Found beside the runtime: links, followers and monitors live on it.
    async fn exact(&self, queries: &[Vec<f32>], records: Vec<(u64, u64)>, k: usize) -> Vec<Neighbours> {
        let (corpus, queries) = (self.corpus.clone(), queries.to_vec());
        let search = move || exact_neighbours(&corpus, &queries, &records, k);
        tokio::task::spawn_blocking(search).await.expect("a search does not panic")
    }

    /// The answer to each query, until `k` records of it are none that are left aside, or there are no more. Those may take
    /// any number of places, so a query whose answer is full of them is asked again, for more.
    async fn ask_past(
        &self,
        system: Option<Arc<dyn System>>,
        aside: &BTreeSet<u64>,
        queries: &[Vec<f32>],
        k: usize,
    ) -> Vec<Option<Vec<u64>>> {
        let most = k + aside.len();
        let enough = |answer: &[u64]| {
            answer
                .iter()
                .enumerate()
                .filter(|(_, key)| !aside.contains(key))
                .map(|(at, _)| at + 1)
                .nth(k.saturating_sub(1))
        };
        let mut asked = most.min(2 * k);
        let mut answers = self.ask_all(system.clone(), queries, asked).await;
        while asked < most {
            let full =
                |a: &Option<Vec<u64>>| a.as_ref().is_some_and(|a| a.len() >= asked && enough(a).is_none());
            let again: Vec<usize> = (0..queries.len()).filter(|i| full(&answers[*i])).collect();
            if again.is_empty() {
                break;
            }
            asked = most.min(asked * 4);
            let some: Vec<Vec<f32>> = again.iter().map(|i| queries[*i].clone()).collect();
            let more = self.ask_all(system.clone(), &some, asked).await;
            again.into_iter().zip(more).for_each(|(i, answer)| answers[i] = answer);
        }
        // Of long answers the journal keeps what is judged.
        for answer in answers.iter_mut().flatten().filter(|a| a.len() > 2 * k) {
            answer.truncate(enough(answer).unwrap_or(answer.len()));
        }
        answers
    }

    fn queries(&self) -> Vec<Vec<f32>> {
        (0..self.corpus.queries).map(|n| self.corpus.query(n)).collect()
    }

    fn k(&self) -> usize {
        self.plan.scenario.data.vectors.k as usize
    }

    fn k_journal(&self) -> u32 {
        self.plan.scenario.data.vectors.k
    }

    /// The answer to each query, in order; `None` for one that failed.
    async fn ask_all(
        &self,
        system: Option<Arc<dyn System>>,
        queries: &[Vec<f32>],
        k: usize,
    ) -> Vec<Option<Vec<u64>>> {
        let mut answers: Vec<Option<Vec<u64>>> = vec![None; queries.len()];
        let Some(system) = system else { return answers };
        let mut under_way: JoinSet<(usize, Option<Vec<u64>>)> = JoinSet::new();
        let deadline_us = self.clock.now_us().saturating_add(PASS_LIMIT.us());
        for (i, query) in queries.iter().enumerate() {
            if self.clock.now_us() > deadline_us {
                break;
            }
            if under_way.len() >= SIDE_BY_SIDE
                && let Some(Ok((i, answer))) = under_way.join_next().await
            {
                answers[i] = answer;
            }
            self.journal.progress("queries", (i - under_way.len()) as u64, queries.len() as u64);
            let (system, query, own) = (system.clone(), query.clone(), self.own.clone());
            under_way.spawn(async move {
                let answer = timeout(QUERY_LIMIT.std(), system.search(&query, k)).await;
                let answer = answer.ok().and_then(Result::ok);
                if answer.is_none() {
                    own.vouch().await;
                }
                (i, answer)
            });
        }
        while let Some(Ok((i, answer))) = under_way.join_next().await {
            answers[i] = answer;
        }
        answers
    }
}

fn first(answer: &[u64], k: usize) -> Vec<u64> {
    answer.iter().copied().take(k).collect()
}

fn count(truth: &[Neighbours], answers: &[Option<Vec<u64>>], k: usize) -> Vec<u32> {
    count_hits(truth, answers.iter().map(Option::as_deref), k)
}

fn failures(answers: &[Option<Vec<u64>>]) -> u32 {
    u32::try_from(answers.iter().filter(|a| a.as_ref().is_none_or(Vec::is_empty)).count()).unwrap_or(u32::MAX)
}
