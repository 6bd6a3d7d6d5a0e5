//! Whether values are distributed as they were: population stability index and Kolmogorov-Smirnov. Pure.
//!
//! Both look at a feature as a whole. They see a bulk shift, and are blind to a few rows whose values changed places:
//! the distribution is the very same. That is what digests are for.

/// Bins of the index, each with a tenth of the baseline.
const BINS: usize = 10;
/// From here on practitioners call it a shift.
const PSI_SHIFT: f64 = 0.2;
/// The 0.999 quantile of chi-squared with nine degrees of freedom: what chance alone makes of the index.
const CHI_SQUARED: f64 = 27.88;
/// The coefficient of the Kolmogorov-Smirnov bound at a level of 0.001.
const KS_BOUND: f64 = 1.949;

/// The population stability index of `now` against `base`, and what it must exceed to mean anything: in small samples
/// chance alone makes it large.
pub(super) fn psi(base: &[f64], now: &[f64]) -> (f64, f64) {
    if base.is_empty() || now.is_empty() {
        return (0.0, f64::INFINITY);
    }
    let base = sorted(base);
    let edges: Vec<f64> = (1..BINS).map(|bin| base[bin * base.len() / BINS]).collect();
    let shares = |values: &[f64]| {
        let mut counts = [0_usize; BINS];
        values.iter().for_each(|value| counts[edges.partition_point(|edge| edge <= value)] += 1);
        // Half a value in each bin beforehand: an empty one is no proof that it always will be.
        counts.map(|count| (count as f64 + 0.5) / (values.len() as f64 + 0.5 * BINS as f64))
    };
    let (was, is) = (shares(&base), shares(now));
    let psi = was.iter().zip(is).map(|(was, is)| (is - was) * (is / was).ln()).sum();
    (psi, PSI_SHIFT.max(CHI_SQUARED * (1.0 / base.len() as f64 + 1.0 / now.len() as f64)))
}

/// The largest distance of the two empirical distributions, and what it must exceed at a level of 0.001.
pub(super) fn ks(base: &[f64], now: &[f64]) -> (f64, f64) {
    if base.is_empty() || now.is_empty() {
        return (0.0, f64::INFINITY);
    }
    let (base, now) = (sorted(base), sorted(now));
    let (n, m) = (base.len() as f64, now.len() as f64);
    let (mut i, mut j, mut most) = (0, 0, 0.0_f64);
    while i < base.len() && j < now.len() {
        let at = base[i].min(now[j]);
        while i < base.len() && base[i] <= at {
            i += 1;
        }
        while j < now.len() && now[j] <= at {
            j += 1;
        }
        most = most.max((i as f64 / n - j as f64 / m).abs());
    }
    (most, KS_BOUND * (1.0 / n + 1.0 / m).sqrt())
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The n-th of `count` values of a bell-shaped distribution; streams differ by chance only.
    fn bell(stream: u64, count: u64) -> Vec<f64> {
        use rand_chacha::rand_core::{Rng, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(stream);
        (0..count).map(|_| (0..3).map(|_| (rng.next_u64() % 2001) as f64 - 1000.0).sum()).collect()
    }

    #[test]
    fn known_values() {
        let base: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!((psi(&base, &base).0, ks(&base, &base).0), (0.0, 0.0));
        let late: Vec<f64> = (50..150).map(f64::from).collect();
        assert!((ks(&base, &late).0 - 0.5).abs() < 1e-12);
        // Five bins lose their tenth, the last one gets all of it.
        let (none, all) = (0.5 / 105.0, 60.5 / 105.0);
        let expected = 5.0 * (none - 0.1) * f64::ln(none / 0.1) + (all - 0.1) * f64::ln(all / 0.1);
        assert!((psi(&base, &late).0 - expected).abs() < 1e-9);
        let apart: Vec<f64> = (500..600).map(f64::from).collect();
        assert!((ks(&base, &apart).0 - 1.0).abs() < 1e-12);
        assert_eq!(psi(&[], &base).0 + ks(&base, &[]).0, 0.0);
    }

    #[test]
    fn chance_is_no_shift_and_a_shift_is_none_of_chance() {
        for count in [20, 200, 2000] {
            for stream in 0..50 {
                let (base, now) = (bell(stream, count), bell(stream + 1000, count));
                let (p, k) = (psi(&base, &now), ks(&base, &now));
                assert!(p.0 < p.1 && k.0 < k.1, "{count} values, stream {stream}: {p:?} {k:?}");
            }
        }
        let base = bell(1, 2000);
        let mut now = bell(2, 2000);
        now.iter_mut().take(600).for_each(|value| *value += 2500.0);
        let (p, k) = (psi(&base, &now), ks(&base, &now));
        assert!(p.0 > p.1 && k.0 > k.1, "{p:?} {k:?}");
    }
}
