//! Figures derived from a result: what table, plot and comparison have in common.

use super::{
    result::{BuildFigures, ContenderResult, Results},
    stats::{At, Spread, at_recall, exponent, median, spread},
};

/// The recalls at which speeds are compared.
pub const RECALLS: [f64; 3] = [0.95, 0.97, 0.99];
/// From this share of the machine on, taken by others, a time is noted as disturbed.
pub const BUSY: f64 = 0.10;

/// Build time in seconds.
pub fn seconds(c: &ContenderResult) -> Option<Spread> {
    of(c, |b| b.seconds)
}

/// Processor time of a build in seconds: what is left to go by on a busy machine.
pub fn cpu_seconds(c: &ContenderResult) -> Option<f64> {
    of(c, |b| b.cpu_seconds).map(|s| s.median)
}

/// Peak memory in bytes.
pub fn peak_bytes(c: &ContenderResult) -> Option<f64> {
    of(c, |b| b.peak_bytes as f64).map(|s| s.median)
}

/// Memory that the build took beyond what was there before it (the vectors), in bytes.
pub fn extra_bytes(c: &ContenderResult) -> Option<f64> {
    of(c, |b| b.peak_bytes.saturating_sub(b.before_bytes) as f64).map(|s| s.median)
}

/// Share of all processors that others took while it was built: 0 to 1.
pub fn foreign(c: &ContenderResult, cores: u32) -> Option<f64> {
    let all = f64::from(cores.max(1));
    of(c, |b| (b.foreign_seconds + b.stolen_seconds) / (b.seconds * all)).map(|s| s.median)
}

/// Whether every round wrote the same bytes; `None` of fewer than two.
pub fn deterministic(c: &ContenderResult) -> Option<bool> {
    let (first, rest) = c.builds.split_first()?;
    (!rest.is_empty()).then(|| rest.iter().all(|b| b.file_digest == first.file_digest))
}

/// `(setting, recall, queries a second)`, medians over the rounds.
pub fn curve(c: &ContenderResult) -> Vec<(u32, f64, f64)> {
    let of = |s: &super::result::SearchFigures| Some((s.setting, median(&s.recall)?, median(&s.qps)?));
    c.searches.iter().filter_map(of).collect()
}

/// Queries a second at a recall.
pub fn at(c: &ContenderResult, recall: f64) -> At {
    let points: Vec<(f64, f64)> = curve(c).into_iter().map(|(_, r, q)| (r, q)).collect();
    at_recall(&points, recall)
}

/// How many times as fast as another one it is: the ratios of builds of the same round, which the same noise hit.
pub fn times_as_fast(c: &ContenderResult, other: &ContenderResult) -> Option<Spread> {
    let pairs = c.builds.iter().zip(&other.builds);
    let ratios: Vec<f64> = pairs.map(|(a, b)| b.seconds / a.seconds).collect();
    spread(&ratios)
}

/// Where the recall of two differs most at one setting, and by how much.
pub fn worst_recall(c: &ContenderResult, other: &ContenderResult) -> Option<(u32, f64)> {
    let theirs = curve(other);
    let differences = curve(c).into_iter().filter_map(|(setting, recall, _)| {
        let (_, their, _) = theirs.iter().find(|(s, ..)| *s == setting)?;
        Some((setting, recall - their))
    });
    differences.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
}

/// How its build time grows with the number of vectors, over all sets of one family (`scale-...`).
pub fn growth(results: &Results, name: &str, kind: &str) -> Option<f64> {
    let mut points = Vec::new();
    for set in results.sets.iter().filter(|s| s.name.starts_with("scale-")) {
        let c = set.contenders.iter().find(|c| c.name == name && c.kind == kind);
        if let Some(s) = c.and_then(seconds) {
            points.push((set.vectors as f64, s.median));
        }
    }
    exponent(&points)
}

/// The pairs `(name, kind)` in the order in which they first appear.
pub fn names(results: &Results) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for c in results.sets.iter().flat_map(|s| &s.contenders) {
        let pair = (c.name.clone(), c.kind.clone());
        if !all.contains(&pair) {
            all.push(pair);
        }
    }
    all
}

fn of(c: &ContenderResult, figure: impl Fn(&BuildFigures) -> f64) -> Option<Spread> {
    let figures: Vec<f64> = c.builds.iter().map(figure).collect();
    spread(&figures)
}
