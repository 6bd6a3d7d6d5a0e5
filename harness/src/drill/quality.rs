//! The frozen query set: asked twice before the fault and once after recovery, and the golden queries of probes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::{task::JoinSet, time::timeout};

use super::{Break, Stage};
use crate::{
    corpus::{Neighbours, count_hits, exact_neighbours},
    journal::{EventKind, Quality},
    judge::unsteady,
    ledger::{Ledger, Survivors},
    plan::SETTLE_LIMIT,
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
        let truth = exact_neighbours(&self.corpus, &queries, &records, self.plan.most_neighbours());
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
        let answers = self.ask_all(queries, self.plan.most_neighbours()).await;
        let hits: Vec<u32> = count(truth, &answers, k);
        let failed = failures(&answers);
        let whole: Vec<Vec<u64>> = answers.into_iter().map(Option::unwrap_or_default).collect();
        let answers = whole.iter().map(|a| first(a, k)).collect();
        let quality = Quality { pass, k: self.k_journal(), hits_stored: hits.clone(), hits, answers, failed };
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

    /// Asks the frozen queries after recovery. The truth is everything that was acknowledged; records of unknown
    /// outcome are left aside.
    pub(super) async fn quality_after(
        &self,
        ledgers: &BTreeMap<Role, Ledger>,
        survivors: &BTreeMap<Role, Survivors>,
    ) -> Result<(), Break> {
        let (Some(ledger), true) = (ledgers.get(&Role::Vector), self.host.system(Role::Vector).is_some())
        else {
            return Ok(());
        };
        let (certain, aside) = ledger.certain();
        let aside: BTreeSet<u64> = aside.into_iter().collect();
        let queries = self.queries();
        let k = self.k();
        // Records left aside may take places in an answer; as many more are asked for, within reason.
        let answers = self.ask_all(&queries, k + aside.len().min(k)).await;
        let truth = exact_neighbours(&self.corpus, &queries, &certain, k);
        let without =
            |a: &Vec<u64>| a.iter().copied().filter(|key| !aside.contains(key)).collect::<Vec<u64>>();
        let judged: Vec<Option<Vec<u64>>> = answers.iter().map(|a| a.as_ref().map(without)).collect();
        let hits = count(&truth, &judged, k);
        let stored = survivors.get(&Role::Vector).filter(|s| s.complete()).map(Survivors::records);
        let hits_stored = match stored {
            Some(stored) if stored == certain => hits.clone(),
            Some(stored) => count(&exact_neighbours(&self.corpus, &queries, &stored, k), &answers, k),
            // Not read in full: the finding that judges the index is then unknown for that reason.
            None => hits.clone(),
        };
        let failed = failures(&answers);
        let answers = answers.into_iter().map(Option::unwrap_or_default).collect();
        let quality = Quality { pass: 3, k: self.k_journal(), hits, hits_stored, answers, failed };
        Ok(self.journal.record(EventKind::Quality(Box::new(quality)))?)
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
    async fn ask_all(&self, queries: &[Vec<f32>], k: usize) -> Vec<Option<Vec<u64>>> {
        let mut answers: Vec<Option<Vec<u64>>> = vec![None; queries.len()];
        let Some(system) = self.host.system(Role::Vector) else { return answers };
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
    u32::try_from(answers.iter().filter(|a| a.is_none()).count()).unwrap_or(u32::MAX)
}
