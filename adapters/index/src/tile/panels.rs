//! Packing rows into panels.

use super::{Form, LANES, Lane, Micro, Tier, on_tier};
use crate::distance::prefetch;

/// Packed rows and their squared lengths. Rows that fill up the last panel are zero and infinitely long, so that no
/// distance to them is ever the least.
#[derive(Debug, Default)]
pub(crate) struct Panels {
    dim: usize,
    rows: usize,
    values: Vec<Lane>,
    norms: Vec<Lane>,
}

impl Panels {
    /// Packs `rows`, less `centre` where there is one, replacing what was held.
    pub(crate) fn fill<'r>(
        &mut self,
        tier: Tier,
        dim: usize,
        rows: impl ExactSizeIterator<Item = &'r [f32]>,
        centre: Option<&[f32]>,
    ) {
        self.fill_rounded(tier, dim, rows, centre, 0.0);
    }

    /// The same, with values that are multiplied by `scale` and rounded as [`Form::Signed`](super::Form::Signed) has
    /// them; a scale of 0 leaves them as they are.
    pub(crate) fn fill_rounded<'r>(
        &mut self,
        tier: Tier,
        dim: usize,
        mut rows: impl ExactSizeIterator<Item = &'r [f32]>,
        centre: Option<&[f32]>,
        scale: f32,
    ) {
        self.dim = dim;
        self.rows = rows.len();
        let panels = self.rows.div_ceil(LANES);
        // Every value is written below, so nothing needs to be cleared but the panel that is not full.
        self.values.resize(panels * dim, Lane::ZERO);
        if !self.rows.is_multiple_of(LANES) {
            self.values[(panels - 1) * dim..].fill(Lane::ZERO);
        }
        self.norms.resize(panels, Lane::ZERO);
        let mut next = [[].as_slice(); LANES];
        let mut taken = take(&mut rows, &mut next);
        for panel in self.values.chunks_exact_mut(dim) {
            let (sixteen, full) = (next, taken);
            taken = take(&mut rows, &mut next);
            pack(tier, &sixteen, full, centre, panel);
            if scale > 0.0 {
                round(tier, scale, panel);
            }
        }
        for (panel, norms) in self.values.chunks_exact(dim).zip(&mut self.norms) {
            square(tier, panel, norms);
        }
        if let Some(last) = self.norms.last_mut() {
            let full = self.rows - (panels - 1) * LANES;
            last.0[full..].fill(f32::INFINITY);
        }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Number of panels, the last perhaps not full.
    pub(crate) fn count(&self) -> usize {
        self.norms.len()
    }

    /// One lane for each value of a row.
    pub(crate) fn panel(&self, at: usize) -> &[Lane] {
        &self.values[at * self.dim..][..self.dim]
    }

    /// Several panels, as they follow each other.
    pub(crate) fn panels(&self, at: usize, count: usize) -> &[Lane] {
        &self.values[at * self.dim..][..count * self.dim]
    }

    #[cfg(test)]
    pub(crate) fn values(&self) -> &[Lane] {
        &self.values
    }

    /// Squared lengths of the rows, less the centre.
    pub(crate) fn norms(&self) -> &[Lane] {
        &self.norms
    }
}

/// Takes the rows of the next panel, and asks for them before they are needed: they lie anywhere.
fn take<'r>(rows: &mut impl Iterator<Item = &'r [f32]>, sixteen: &mut [&'r [f32]; LANES]) -> usize {
    let mut taken = 0;
    for (place, row) in sixteen.iter_mut().zip(rows) {
        prefetch(row);
        *place = row;
        taken += 1;
    }
    taken
}

on_tier!(fn pack = pack_body(
    rows: &[&[f32]; LANES],
    full: usize,
    centre: Option<&[f32]>,
    panel: &mut [Lane],
));

#[inline(always)]
fn pack_body<M: Micro>(rows: &[&[f32]; LANES], full: usize, centre: Option<&[f32]>, panel: &mut [Lane]) {
    let done = if full == LANES { M::turn(rows, centre, panel) } else { 0 };
    let panel = &mut panel[done..];
    for (lane, row) in rows[..full].iter().enumerate() {
        match centre {
            Some(centre) => {
                for ((out, value), centre) in panel.iter_mut().zip(&row[done..]).zip(&centre[done..]) {
                    out.0[lane] = value - centre;
                }
            }
            None => {
                for (out, value) in panel.iter_mut().zip(&row[done..]) {
                    out.0[lane] = *value;
                }
            }
        }
    }
}

on_tier!(fn round = round_body(scale: f32, panel: &mut [Lane]));

#[inline(always)]
fn round_body<M: Micro>(scale: f32, panel: &mut [Lane]) {
    let (least, most) = Form::Signed.ends();
    for lane in panel {
        for value in &mut lane.0 {
            let rounded = (*value * scale).round_ties_even();
            // What is no number becomes the least.
            let rounded = if rounded > least { rounded } else { least };
            *value = if rounded < most { rounded } else { most };
        }
    }
}

on_tier!(fn square = square_body(panel: &[Lane], norms: &mut Lane));

#[inline(always)]
fn square_body<M: Micro>(panel: &[Lane], norms: &mut Lane) {
    let mut sums = Lane::ZERO;
    for lane in panel {
        for (sum, value) in sums.0.iter_mut().zip(lane.0) {
            *sum = value.mul_add(value, *sum);
        }
    }
    *norms = sums;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_that_is_not_full_is_filled_with_rows_infinitely_long() {
        let rows: Vec<f32> = (0..34u16).map(f32::from).collect();
        let mut panels = Panels::default();
        for tier in Tier::available() {
            panels.fill(tier, 2, rows.chunks_exact(2), Some(&[1.0, 1.0]));
            assert_eq!((panels.len(), panels.count()), (17, 2));
            assert_eq!(panels.panel(0)[1].0[3], 6.0);
            assert_eq!(panels.norms()[0].0[3], 61.0);
            assert_eq!(panels.panel(1)[0].0[..2], [31.0, 0.0]);
            assert_eq!(panels.norms()[1].0[..2], [31.0f32 * 31.0 + 32.0 * 32.0, f32::INFINITY]);
        }
    }

    #[test]
    fn every_tier_packs_each_value_into_its_place() {
        for (dim, n) in [(1, 16), (15, 33), (16, 16), (17, 40), (48, 31), (100, 17)] {
            let rows: Vec<f32> = (0..dim * n).map(|at| (at * at % 8_191) as f32 - 4_000.0).collect();
            let centre: Vec<f32> = (0..dim).map(|at| at as f32 / 8.0).collect();
            for (tier, centre) in
                Tier::available().into_iter().flat_map(|t| [(t, None), (t, Some(centre.as_slice()))])
            {
                let mut panels = Panels::default();
                panels.fill(tier, dim, rows.chunks_exact(dim), centre);
                for (at, value) in rows.iter().enumerate() {
                    let (row, k) = (at / dim, at % dim);
                    let expected = value - centre.map_or(0.0, |c| c[k]);
                    assert_eq!(
                        panels.panel(row / LANES)[k].0[row % LANES],
                        expected,
                        "{tier:?} {dim}: value {k} of {row}"
                    );
                }
                let filling =
                    panels.panel(panels.count() - 1).iter().flat_map(|lane| &lane.0[(n - 1) % LANES + 1..]);
                assert!(filling.into_iter().all(|value| *value == 0.0));
            }
        }
    }
}
