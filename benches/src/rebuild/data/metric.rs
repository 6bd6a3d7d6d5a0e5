//! How far two vectors are from each other, as the exact search measures it.

use harness::corpus::squared_distance;
use serde::{Deserialize, Serialize};

/// How distances are measured. What is smaller is nearer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Squared Euclidean distance.
    #[default]
    L2,
    /// One less the cosine of the angle; rows in the cache are of length one, or of length zero.
    Cosine,
    /// The inner product, negated: the largest product is nearest.
    Ip,
}

impl Metric {
    /// All of them.
    pub const ALL: [Metric; 3] = [Metric::L2, Metric::Cosine, Metric::Ip];

    /// As on the command line, in results and in Python.
    pub fn name(self) -> &'static str {
        match self {
            Metric::L2 => "l2",
            Metric::Cosine => "cosine",
            Metric::Ip => "ip",
        }
    }

    /// What measures a query and a row.
    pub(in crate::rebuild) fn distance(self) -> fn(&[f32], &[f32]) -> f32 {
        match self {
            Metric::L2 => squared_distance,
            Metric::Cosine => cosine,
            Metric::Ip => |query, row| -product(query, row),
        }
    }

    /// As near as the tenth: up to rounding, whatever its sign.
    pub(in crate::rebuild) fn as_near_as(tenth: f32) -> f32 {
        tenth * (1.0 + 1e-6f32.copysign(tenth))
    }
}

impl From<Metric> for index::Metric {
    fn from(metric: Metric) -> Self {
        match metric {
            Metric::L2 => Self::L2,
            Metric::Cosine => Self::Cosine,
            Metric::Ip => Self::InnerProduct,
        }
    }
}

/// Of two rows of length one, half their squared distance is one less their product, and exact where they are near. A row of
/// length zero has no direction: it is at distance one from everything.
fn cosine(query: &[f32], row: &[f32]) -> f32 {
    if row.iter().all(|x| *x == 0.0) { 1.0 } else { squared_distance(query, row) / 2.0 }
}

/// Summed in double precision: products of both signs cancel.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f64; 8];
    let (ca, cb) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (x, y) in ca.0.iter().zip(cb.0) {
        for i in 0..8 {
            lanes[i] += f64::from(x[i]) * f64::from(y[i]);
        }
    }
    let rest: f64 = ca.1.iter().zip(cb.1).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    (lanes.iter().sum::<f64>() + rest) as f32
}

/// The length of a row.
pub(super) fn norm(row: &[f32]) -> f32 {
    row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearer_has_the_smaller_distance() {
        let query = [0.6f32, 0.8, 0.0];
        for (metric, near, far) in [
            (Metric::L2, [0.5f32, 0.8, 0.0], [0.0f32, 0.0, 9.0]),
            (Metric::Cosine, [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]),
            (Metric::Ip, [60.0, 80.0, 0.0], [0.6, 0.8, 0.0]),
        ] {
            let distance = metric.distance();
            assert!(distance(&query, &near) < distance(&query, &far), "{}", metric.name());
        }
        assert_eq!(cosine(&query, &[0.0; 3]), 1.0);
        assert!((cosine(&query, &[0.8, 0.6, 0.0]) - (1.0 - 0.96)).abs() < 1e-6);
    }

    #[test]
    fn products_are_of_all_values() {
        for n in [1, 7, 8, 19] {
            let row: Vec<f32> = (0..n).map(|i| i as f32 - 3.0).collect();
            let expected: f32 = row.iter().map(|x| x * x).sum();
            assert_eq!(product(&row, &row), expected, "{n}");
        }
    }

    #[test]
    fn rounding_counts_for_the_vector_whatever_the_sign() {
        for tenth in [5.0f32, -5.0] {
            assert!(Metric::as_near_as(tenth) > tenth && Metric::as_near_as(tenth) < tenth + 1e-4);
        }
        assert_eq!(Metric::as_near_as(0.0), 0.0);
    }
}
