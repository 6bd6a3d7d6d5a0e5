//! Roughly the nearest centre, by bytes: for the rounds of k-means, which need no more.
//!
//! The rows are rounded once, and met with ever new centres. A value far out of the ordinary is cut off. A grid that holds
//! rows far apart may be too coarse for those that lie together: so whoever uses an answer asks first whether it
//! [`will_do`](crate::bulk::exact::will_do).

use super::{BLOCK, Bases, Least, Packed, fill, meet, moderate};
use crate::bulk::rows::Rows;
use crate::crew;
use crate::engine::{BuildError, Progress};
use crate::tile::{Form, LANES, RAISE, Tier, Words};

/// Rows that are looked at to choose the grid.
const LOOKED_AT: usize = 1_024;
/// Where a grid is for few rows, and used once.
const GLANCED_AT: usize = 256;

/// Rows on the grid.
#[derive(Debug)]
pub(crate) struct Coarse {
    tier: Tier,
    origin: Vec<f32>,
    scale: f32,
    packed: Packed,
    len: usize,
}

impl Coarse {
    /// Rounds the listed rows, which are in random order; `None` where there is no sensible grid for them.
    pub(crate) fn of(
        rows: Rows<'_>,
        list: &[u32],
        progress: &mut Progress<'_>,
    ) -> Result<Option<Self>, BuildError> {
        Self::on(Tier::detect(), rows, list, progress)
    }

    fn on(
        tier: Tier,
        rows: Rows<'_>,
        list: &[u32],
        progress: &mut Progress<'_>,
    ) -> Result<Option<Self>, BuildError> {
        let looked_at = &list[..list.len().min(LOOKED_AT)];
        let Some(mut coarse) = Self::empty(tier, rows, list.len(), looked_at) else { return Ok(None) };
        let (origin, scale) = (&coarse.origin, coarse.scale);
        let words = coarse.packed.words.chunks_mut(BLOCK / LANES * coarse.packed.width);
        crew::each(
            list.chunks(BLOCK).zip(words),
            progress,
            || (),
            |(), (list, words)| {
                fill(tier, Form::Raised, list.iter().map(|&at| rows.row(at)), origin, scale, words);
            },
        )?;
        Ok(Some(coarse))
    }

    /// The same on this thread.
    pub(crate) fn alone(rows: Rows<'_>, list: &[u32]) -> Option<Self> {
        Self::filled(Tier::detect(), rows, list, &list[..list.len().min(LOOKED_AT)])
    }

    /// The same of rows that are in any order.
    pub(crate) fn alone_of_any(tier: Tier, rows: Rows<'_>, list: &[u32]) -> Option<Self> {
        let looked_at: Vec<u32> =
            list.iter().step_by(list.len().div_ceil(GLANCED_AT).max(1)).copied().collect();
        Self::filled(tier, rows, list, &looked_at)
    }

    fn filled(tier: Tier, rows: Rows<'_>, list: &[u32], looked_at: &[u32]) -> Option<Self> {
        let mut coarse = Self::empty(tier, rows, list.len(), looked_at)?;
        let each = list.iter().map(|&at| rows.row(at));
        fill(coarse.tier, Form::Raised, each, &coarse.origin, coarse.scale, &mut coarse.packed.words);
        Some(coarse)
    }

    /// The grid, and room for the rows.
    fn empty(tier: Tier, rows: Rows<'_>, len: usize, looked_at: &[u32]) -> Option<Self> {
        let origin = rows.centre(looked_at.iter().copied());
        let scale = scale(looked_at.iter().map(|&at| rows.row(at)), &origin, f64::from(RAISE - 1))?;
        let mut packed = Packed::of(tier, Form::Raised, std::iter::empty(), &origin, scale);
        packed.words.resize(len.div_ceil(LANES) * packed.width, Words::ZERO);
        Some(Self { tier, origin, scale, packed, len })
    }

    /// The nearest of `centres` to each of the first `count` rows; `None` where there is no sensible grid for them.
    pub(crate) fn nearest(
        &self,
        centres: Rows<'_>,
        count: usize,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Vec<u32>>, BuildError> {
        let Some(around) = self.around(centres) else { return Ok(None) };
        let mut out = vec![0u32; count.min(self.len)];
        let items = out.chunks_mut(BLOCK).zip(self.packed.words.chunks(BLOCK / LANES * self.packed.width));
        crew::each(items, progress, Vec::new, |least, (out, words)| self.meet(&around, words, least, out))?;
        Ok(Some(out))
    }

    /// The same on this thread, for as many rows as `out` takes.
    pub(crate) fn nearest_alone(&self, centres: Rows<'_>, out: &mut [u32]) -> Option<()> {
        let around = self.around(centres)?;
        let mut least = Vec::new();
        let words = self.packed.words.chunks(BLOCK / LANES * self.packed.width);
        out.chunks_mut(BLOCK).zip(words).for_each(|(out, words)| self.meet(&around, words, &mut least, out));
        Some(())
    }

    fn meet(&self, around: &(Packed, Bases), words: &[Words], least: &mut Vec<Least>, out: &mut [u32]) {
        let (packed, bases) = around;
        least.clear();
        least.resize(words.len() / self.packed.width, Least::NONE);
        meet::<0>(self.tier, packed, bases, words, least);
        for (out, least) in out.chunks_mut(LANES).zip(&*least) {
            for (out, key) in out.iter_mut().zip(least.first.0) {
                *out = (key & bases.numbers) as u32;
            }
        }
    }

    /// Centres on a grid of their own.
    fn around(&self, centres: Rows<'_>) -> Option<(Packed, Bases)> {
        let each = || centres.data.chunks_exact(centres.dim);
        let scale = scale(each(), &self.origin, 127.0)?;
        let packed = Packed::of(self.tier, Form::Signed, each(), &self.origin, scale);
        let ratio = f64::from(self.scale) / f64::from(scale);
        // Half the squared length, and what the raise adds to products; beside them the greatest product.
        let figures: Vec<(f64, f64)> = (0..centres.len())
            .map(|at| {
                let values = || packed.row(at).flat_map(u32::to_le_bytes).map(|byte| f64::from(byte as i8));
                let square: f64 = values().map(|value| value * value).sum();
                let sum: f64 = values().sum();
                let most: f64 = values().map(f64::abs).sum();
                (square / 2.0 * ratio + f64::from(RAISE) * sum, 127.0 * most)
            })
            .collect();
        let most = figures.iter().fold(1.0f64, |most, (base, product)| most.max(base.abs() + product));
        if most > f64::from(1 << 30) {
            return None;
        }
        let mut bases = Bases::default();
        let shift = ((1u32 << 30) / most.ceil() as u32).ilog2().min(super::bits(centres.len()));
        bases.fill(shift, figures.iter().map(|(base, _)| *base));
        Some((packed, bases))
    }
}

/// Steps of the grid for a distance of 1: all but the outermost values of nearly all rows lie within `most` steps.
fn scale<'r>(rows: impl Iterator<Item = &'r [f32]>, origin: &[f32], most: f64) -> Option<f32> {
    let mut peaks: Vec<f32> = rows
        .map(|row| {
            row.iter().zip(origin).fold(0.0f32, |peak, (value, origin)| peak.max((value - origin).abs()))
        })
        .collect();
    peaks.sort_unstable_by(f32::total_cmp);
    let peak = f64::from(*peaks.get(peaks.len() * 49 / 50)?);
    moderate(peak).then_some((most / peak) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;
    use std::ops::ControlFlow;

    #[test]
    fn every_tier_finds_the_same_centres_and_hardly_farther_ones_than_the_nearest() {
        let mut draw = Draw::new(1, *b"coarse  ");
        // A sum of four draws: bell-shaped, as values of vectors are.
        let mut value = || (0..4).map(|_| (draw.next() >> 48) as f32 / 65_536.0 - 0.5).sum::<f32>();
        for (n, k, dim) in [(700, 64, 1), (1_000, 100, 13), (600, 200, 64), (500, 1_030, 130)] {
            let data: Vec<f32> = (0..n * dim).map(|_| 20.0 + value()).collect();
            let centres: Vec<f32> = (0..k * dim).map(|_| 20.0 + value()).collect();
            let (rows, centres) = (Rows { dim, data: &data }, Rows { dim, data: &centres });
            let list: Vec<u32> = (0..n as u32).rev().collect();
            let mut heard = |_| ControlFlow::Continue(());
            let mut found = |tier| {
                let mut progress = Progress::new(&mut heard);
                let coarse = Coarse::on(tier, rows, &list, &mut progress).unwrap().unwrap();
                coarse.nearest(centres, n, &mut progress).unwrap().unwrap()
            };
            let expected = found(Tier::Portable);
            assert!(Tier::available().into_iter().all(|tier| found(tier) == expected), "{n} x {dim}");
            let (mut exact, mut rough) = (0.0, 0.0);
            for (&row, &centre) in list.iter().zip(&expected) {
                let distance = |centre: u32| -> f64 {
                    let pairs = rows.row(row).iter().zip(centres.row(centre));
                    pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
                };
                rough += distance(centre);
                exact += (0..k as u32).map(distance).fold(f64::INFINITY, f64::min);
            }
            assert!(
                rough <= exact * 1.01 + 0.01 * n as f64,
                "{n} x {dim}, {k} centres: {rough}, not {exact}"
            );
        }
    }

    #[test]
    fn there_is_no_grid_for_rows_that_are_all_alike_or_boundless() {
        let mut heard = |_| ControlFlow::Continue(());
        let mut grid = |value: f32| {
            let data = [value, -value].repeat(50);
            let rows = Rows { dim: 1, data: &data };
            let list: Vec<u32> = (0..100).collect();
            Coarse::of(rows, &list, &mut Progress::new(&mut heard)).unwrap().is_some()
        };
        assert!(grid(1.0) && !grid(0.0) && !grid(f32::MAX) && !grid(1e-40));
    }
}
