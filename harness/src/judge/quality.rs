//! Quality: recall after recovery as a share of recall before, on the same queries.
//!
//! Two numbers. End to end: the truth is everything acknowledged, so lost vectors count. Index only: the truth is
//! what the store holds, so a bad index shows even where nothing is lost. Each is a ratio of means over paired
//! queries, judged on its one-sided 95 % lower bound (bootstrap over queries, with the drill's seed).

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::Finding;
use crate::{
    facts::Facts,
    journal::Quality,
    verdict::Verdict::{Fail, Pass, Unknown},
};

/// Below this, recall before the fault was too poor for a comparison.
const BASELINE_MIN: f64 = 0.8;

/// Two passes that differ by more than this measured two things.
pub(super) const BASELINES_APART: f64 = 0.01;

const RESAMPLES: usize = 1000;

/// Sums of the exact search up to which a pass is counted again whenever it is judged: a second or so. Larger ones are
/// counted again where evidence is verified.
const RECOUNT_MAX: u64 = 2_000_000_000;

/// A ratio with its one-sided 95 % lower bound.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ratio {
    /// After divided by before.
    pub point: f64,
    /// The true ratio is above this with 95 % confidence.
    pub lower: f64,
}

impl Ratio {
    /// Of the means of paired samples.
    pub fn of(before: &[f64], after: &[f64], seed: u64) -> Option<Ratio> {
        let n = before.len();
        if n == 0 || n != after.len() || before.iter().sum::<f64>() <= 0.0 {
            return None;
        }
        let point = after.iter().sum::<f64>() / before.iter().sum::<f64>();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut resampled: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let (mut b, mut a) = (0.0, 0.0);
                for _ in 0..n {
                    let i = (rng.next_u64() % n as u64) as usize;
                    (b, a) = (b + before[i], a + after[i]);
                }
                (b > 0.0).then_some(a / b)
            })
            .collect();
        resampled.sort_by(f64::total_cmp);
        Some(Ratio { point, lower: resampled[resampled.len() / 20] })
    }
}

/// The mean recall of one pass, of hits against all neighbours.
pub fn recall(hits: &[u32], k: u32) -> f64 {
    if hits.is_empty() || k == 0 {
        return 0.0;
    }
    hits.iter().map(|h| f64::from(*h)).sum::<f64>() / (hits.len() as f64 * f64::from(k))
}

/// The ratios of the pass after recovery to the better of the two before: end to end, and index only; of the copy that
/// answered worst.
pub(crate) fn ratios(facts: &Facts) -> Option<(Ratio, Ratio)> {
    ratios_of(facts, &facts.quality.get(&3)?.1)
}

fn ratios_of(facts: &Facts, after: &Quality) -> Option<(Ratio, Ratio)> {
    let pass = |n: u8| facts.quality.get(&n).map(|(_, q)| q);
    let (first, second) = (pass(1)?, pass(2)?);
    let before = |hits: fn(&Quality) -> &[u32]| -> Vec<f64> {
        hits(first).iter().zip(hits(second)).map(|(a, b)| f64::from(*a.max(b))).collect()
    };
    let after_of = |hits: &[u32]| -> Vec<f64> { hits.iter().map(|h| f64::from(*h)).collect() };
    let seed = facts.began.scenario.seed;
    let end_to_end = Ratio::of(&before(|q| &q.hits), &after_of(&after.hits), seed)?;
    let index_only = Ratio::of(&before(|q| &q.hits_stored), &after_of(&after.hits_stored), seed)?;
    Some((end_to_end, index_only))
}

/// Why two passes before the fault are no baseline: queries without an answer, or another recall.
pub(crate) fn unsteady(first: &Quality, second: &Quality) -> Option<String> {
    let unanswered = first.failed.max(second.failed);
    if unanswered > 0 {
        return Some(format!("{unanswered} of {} queries got no answer before the fault", first.hits.len()));
    }
    let (one, two) = (recall(&first.hits, first.k), recall(&second.hits, second.k));
    let apart = (one - two).abs() > BASELINES_APART;
    apart.then(|| format!("recall was {one:.3} and then {two:.3} before the fault"))
}

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let users = facts.plan.services.iter().filter_map(|s| s.objectives.quality);
    let limit = users.chain(facts.plan.objectives.quality).max_by(f64::total_cmp);
    let after: Vec<&(u64, Quality)> =
        facts.quality_after.iter().filter(|((pass, _), _)| *pass == 3).map(|(_, q)| q).collect();
    let Some(limit) = limit else {
        return after.into_iter().filter_map(|(seq, q)| unanswered(*seq, q)).collect();
    };
    if after.is_empty() {
        return vec![finding(facts, limit, "vector", None)];
    }
    let several = after.len() > 1;
    let subject = |q: &Quality| match q.region.as_ref().filter(|_| several) {
        Some(region) => format!("vector in {region}"),
        None => "vector".into(),
    };
    after.into_iter().map(|q| finding(facts, limit, &subject(&q.1), Some(q))).collect()
}

fn unanswered(seq: u64, after: &Quality) -> Option<Finding> {
    let failed = after.failed;
    let finding = Finding::new("quality", "vector", "every query answered after recovery").evidence([seq]);
    (failed > 0).then(|| finding.because(Unknown, format!("{failed} queries got no answer after recovery")))
}

fn finding(facts: &Facts, limit: f64, subject: &str, after: Option<&(u64, Quality)>) -> Finding {
    let required = format!("at least {limit} of the recall before, as a lower 95% bound");
    let finding = Finding::new("quality", subject, required);
    let before = facts.quality.iter().filter(|(pass, _)| **pass < 3).map(|(_, (seq, _))| *seq);
    let finding = finding.evidence(before.chain(after.map(|(seq, _)| *seq)));
    let Some(((_, before), (_, after))) = facts.quality.get(&1).zip(after) else {
        return finding.because(Unknown, "the queries were not asked both before and after");
    };
    let baseline = recall(&before.hits, before.k);
    let Some((_, again)) = facts.quality.get(&2) else {
        return finding.because(Unknown, "the queries were asked only once before the fault");
    };
    if let Some(why) = unsteady(before, again) {
        return finding.because(Unknown, format!("{why}: not a steady baseline"));
    }
    let least = baseline.min(recall(&again.hits, again.k));
    if facts.best_before - least > BASELINES_APART {
        let best = facts.best_before;
        let why =
            format!("recall was {best:.3} and fell to {least:.3} before the fault: not a steady baseline");
        return finding.because(Unknown, why);
    }
    if baseline < BASELINE_MIN {
        let why = format!(
            "recall was {baseline:.3} before the fault, under {BASELINE_MIN}: there was nothing to lose"
        );
        return finding.because(Unknown, why);
    }
    if after.failed > 0 {
        let why = format!("{} of {} queries got no answer after recovery", after.failed, after.hits.len());
        return finding.because(Unknown, why);
    }
    let Some((end_to_end, index_only)) = ratios_of(facts, after) else {
        return finding.because(Unknown, "the two passes do not have the same queries");
    };
    let finding = finding.measured(format!(
        "end to end {:.4} (lower bound {:.4}), index only {:.4} (lower bound {:.4})",
        end_to_end.point, end_to_end.lower, index_only.point, index_only.lower
    ));
    // Hits are the harness's word; the answers are raw, and what follows from them is counted again.
    if end_to_end.lower >= limit
        && index_only.lower >= limit
        && let Err(why) = counted_again(facts)
    {
        return finding.because(Unknown, format!("no drill writes such a journal: {why}"));
    }
    if end_to_end.lower >= limit && index_only.lower >= limit {
        finding.because(
            Pass,
            format!(
                "recall@{} is back: {:.4} before, {:.4} after",
                before.k,
                baseline,
                recall(&after.hits, after.k)
            ),
        )
    } else {
        finding.because(
            Fail,
            format!(
                "recall@{} was {:.4} before and is {:.4} after",
                before.k,
                baseline,
                recall(&after.hits, after.k)
            ),
        )
    }
}

/// Whether the hits that the journal tells follow from its answers, where counting them again does not take too long.
pub(super) fn counted_again(facts: &Facts) -> Result<(), String> {
    if facts.recount_work() <= RECOUNT_MAX { facts.recount() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_answers_have_a_ratio_of_one() {
        let r = Ratio::of(&[10.0; 300], &[10.0; 300], 1).unwrap();
        assert_eq!((r.point, r.lower), (1.0, 1.0));
        assert_eq!(Ratio::of(&[], &[], 1), None);
        assert_eq!(Ratio::of(&[0.0], &[1.0], 1), None);
    }

    #[test]
    fn the_lower_bound_is_below_the_point_and_near_it() {
        let after: Vec<f64> = (0..500).map(|i| if i % 10 == 0 { 5.0 } else { 10.0 }).collect();
        let r = Ratio::of(&[10.0; 500], &after, 1).unwrap();
        assert!((r.point - 0.95).abs() < 1e-9 && r.lower < r.point && r.lower > 0.93, "{r:?}");
    }
}
