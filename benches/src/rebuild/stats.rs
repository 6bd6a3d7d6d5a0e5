//! The statistics: few builds, so order statistics, and no assumption on how their times are distributed.

/// The middle of some figures, and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// How many figures.
    pub n: usize,
    /// Their median; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// Lower end of the interval that holds the true median with at least 93 %; of fewer than five, the least.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
}

/// Median and interval; `None` of nothing. What is no number is left out.
pub fn spread(figures: &[f64]) -> Option<Spread> {
    let mut sorted: Vec<f64> = figures.iter().copied().filter(|f| f.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let (&low, &high) = (sorted.get(edge(n))?, sorted.get(n - 1 - edge(n))?);
    let median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0;
    Some(Spread { n, median, low, high })
}

/// The median alone.
pub fn median(figures: &[f64]) -> Option<f64> {
    spread(figures).map(|s| s.median)
}

/// How many figures may be cut off at each end so that what is left still holds the median with 93 %: each of `n`
/// figures lies below the true median with one half, so it is a sum of binomial coefficients.
fn edge(n: usize) -> usize {
    let mut below = 0.5f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let mut term = below;
    let mut cut = 0;
    // Cutting `cut + 1` at each end misses the median where no more than these lie on one side of it.
    while 2 * (cut + 1) < n {
        term *= (n - cut) as f64 / (cut + 1) as f64;
        below += term;
        if 2.0 * below > 0.07 {
            break;
        }
        cut += 1;
    }
    cut
}

/// Queries a second at a recall.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum At {
    /// As many, interpolated between two settings.
    Qps(f64),
    /// At least as many: the easiest setting that was tried has more recall already.
    AtLeast(f64),
    /// No setting that was tried reaches the recall.
    NotReached,
}

impl At {
    /// The number, where one was measured.
    pub fn qps(self) -> Option<f64> {
        match self {
            At::Qps(q) => Some(q),
            At::AtLeast(_) | At::NotReached => None,
        }
    }
}

/// Queries a second at `recall`, from `(recall, queries a second)` of some settings; the logarithm of the speed is
/// interpolated between the two settings next to it. A setting that another one beats in both counts for nothing.
pub fn at_recall(settings: &[(f64, f64)], recall: f64) -> At {
    let front = front(settings);
    let Some(after) = front.iter().position(|p| p.0 >= recall) else { return At::NotReached };
    let (r1, q1) = front[after];
    if r1 <= recall {
        return At::Qps(q1);
    }
    if after == 0 {
        return At::AtLeast(q1);
    }
    let (r0, q0) = front[after - 1];
    let part = (recall - r0) / (r1 - r0);
    At::Qps((q0.ln() + part * (q1.ln() - q0.ln())).exp())
}

/// The settings that no other beats, by rising recall and falling speed.
fn front(settings: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<(f64, f64)> =
        settings.iter().copied().filter(|(r, q)| r.is_finite() && q.is_finite() && *q > 0.0).collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
    let mut front: Vec<(f64, f64)> = Vec::new();
    for point in sorted {
        if front.last().is_none_or(|last| point.1 > last.1) {
            front.push(point);
        }
    }
    front.reverse();
    front
}

/// The exponent of growth: the slope of a straight line through `(size, time)` in logarithms. `None` of fewer than
/// two sizes.
pub fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> =
        points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|(x, y)| (x.ln(), y.ln())).collect();
    let n = logs.len() as f64;
    let (mx, my) = (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
    let across: f64 = logs.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
    let square: f64 = logs.iter().map(|p| (p.0 - mx).powi(2)).sum();
    (square > 1e-12).then(|| across / square)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_interval_holds_the_median_with_93_percent() {
        // Of five, 1 - 2 * 2^-5 = 93.75 %; of nine, one less at each end leaves 96.1 %.
        let cut = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2];
        for (n, cut) in cut.into_iter().enumerate() {
            assert_eq!(edge(n), cut, "{n}");
        }
        let s = spread(&[5.0, 1.0, 2.0, 4.0, 3.0]).unwrap();
        assert_eq!(s, Spread { n: 5, median: 3.0, low: 1.0, high: 5.0 });
        assert_eq!(spread(&[2.0, f64::NAN, 4.0]).unwrap().median, 3.0);
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[f64::INFINITY]), None);
    }

    #[test]
    fn speed_is_interpolated_in_logarithms() {
        let curve = [(0.90, 10_000.0), (0.96, 1_000.0), (0.98, 500.0)];
        let At::Qps(q) = at_recall(&curve, 0.93) else { panic!() };
        assert!((q / (10_000.0f64 * 1_000.0).sqrt() - 1.0).abs() < 1e-9, "{q}");
        assert_eq!(at_recall(&curve, 0.98), At::Qps(500.0));
        assert_eq!(at_recall(&curve, 0.90), At::Qps(10_000.0));
        assert_eq!(at_recall(&curve, 0.99), At::NotReached);
        assert_eq!(at_recall(&curve, 0.85), At::AtLeast(10_000.0));
        assert_eq!(at_recall(&[], 0.5), At::NotReached);
    }

    #[test]
    fn a_setting_that_another_beats_in_both_counts_for_nothing() {
        let curve = [(0.90, 10_000.0), (0.91, 300.0), (0.95, 1_000.0), (0.95, 900.0)];
        assert_eq!(front(&curve), [(0.90, 10_000.0), (0.95, 1_000.0)]);
    }

    #[test]
    fn growth_of_n_log_n_lies_a_little_above_one() {
        let n_log_n: Vec<(f64, f64)> = [1e4f64, 1e5, 1e6].iter().map(|n| (*n, n * n.ln())).collect();
        let e = exponent(&n_log_n).unwrap();
        assert!((1.05..1.15).contains(&e), "{e}");
        assert!((exponent(&[(10.0, 1.0), (1000.0, 1e4)]).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(exponent(&[(10.0, 1.0)]), None);
        assert_eq!(exponent(&[(10.0, 1.0), (10.0, 2.0)]), None);
    }

    proptest! {
        #[test]
        fn the_median_lies_in_its_interval_and_the_interval_in_the_figures(f in prop::collection::vec(0.0..1e9f64, 1..40)) {
            let s = spread(&f).unwrap();
            let (min, max) = f.iter().fold((f64::MAX, 0.0f64), |(a, b), x| (a.min(*x), b.max(*x)));
            prop_assert!(min <= s.low && s.low <= s.median && s.median <= s.high && s.high <= max);
        }

        #[test]
        fn more_recall_never_gives_more_speed(
            curve in prop::collection::vec((0.0..1.0f64, 1.0..1e6f64), 0..20),
            a in 0.0..1.0f64,
            b in 0.0..1.0f64,
        ) {
            let speed = |r| match at_recall(&curve, r) {
                At::Qps(q) | At::AtLeast(q) => q,
                At::NotReached => 0.0,
            };
            prop_assert!(speed(a.max(b)) <= speed(a.min(b)) * 1.000_001);
        }
    }
}
