//! What few trials allow to say about a share.

/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// The Wilson score interval of k in n, at 95 %, two-sided. `n` above 0.
pub fn wilson(k: usize, n: usize) -> (f64, f64) {
    let (k, n) = (k as f64, n as f64);
    let (p, z2) = (k / n, Z * Z);
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// The exact (Clopper-Pearson) lower bound of k in n, at 95 %, one-sided: the share at which k or more successes would
/// come up once in twenty times.
pub fn exact_lower(k: usize, n: usize) -> f64 {
    if k == 0 {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if at_least(k, n, middle) < 0.05 { low = middle } else { high = middle }
    }
    low
}

/// The probability of k or more successes in n.
fn at_least(k: usize, n: usize, p: f64) -> f64 {
    if p <= 0.0 || p >= 1.0 {
        return if p <= 0.0 && k > 0 { 0.0 } else { 1.0 };
    }
    // Logarithms, since the factors leave the range of an f64 long before the product does.
    let mut log = n as f64 * (1.0 - p).ln();
    let odds = p.ln() - (1.0 - p).ln();
    let mut sum = 0.0;
    for i in 0..=n {
        if i >= k {
            sum += log.exp();
        }
        log += odds + ((n - i) as f64).ln() - ((i + 1) as f64).ln();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures computed apart, and in agreement with published tables.
    #[test]
    fn known_figures() {
        let round = |x: f64| (x * 100.0).round();
        for (k, n, low, high, exact) in [
            (4, 4, 51.0, 100.0, 47.0),
            (12, 12, 76.0, 100.0, 78.0),
            (11, 12, 65.0, 99.0, 66.0),
            (19, 20, 76.0, 99.0, 78.0),
            (57, 60, 86.0, 98.0, 88.0),
            (59, 59, 94.0, 100.0, 95.0),
            (190, 200, 91.0, 97.0, 92.0),
        ] {
            let (l, h) = wilson(k, n);
            assert_eq!((round(l), round(h), round(exact_lower(k, n))), (low, high, exact), "{k} of {n}");
        }
    }

    proptest::proptest! {
        #[test]
        fn bounds_hold_the_share(n in 1usize..400, k in 0usize..400) {
            let k = k.min(n);
            let (low, high) = wilson(k, n);
            let p = k as f64 / n as f64;
            proptest::prop_assert!(low <= p + 1e-12 && p <= high + 1e-12);
            proptest::prop_assert!(exact_lower(k, n) <= p + 1e-9);
        }
    }
}
