//! Packing rows into panels.

use super::{LANES, Lane, Micro, Tier, on_tier};

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
        self.dim = dim;
        self.rows = rows.len();
        let panels = self.rows.div_ceil(LANES);
        // Every value is written below, so nothing needs to be cleared but the panel that is not full.
        self.values.resize(panels * dim, Lane::ZERO);
        if !self.rows.is_multiple_of(LANES) {
            self.values[(panels - 1) * dim..].fill(Lane::ZERO);
        }
        self.norms.resize(panels, Lane::ZERO);
        let mut rows = rows.peekable();
        for panel in self.values.chunks_exact_mut(dim) {
            let mut sixteen: [&[f32]; LANES] = [&[]; LANES];
            let mut taken = 0;
            while taken < LANES && rows.peek().is_some() {
                sixteen[taken] = rows.next().unwrap_or_default();
                taken += 1;
            }
            pack(tier, &sixteen[..taken], centre, panel);
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

on_tier!(fn pack = pack_body(rows: &[&[f32]], centre: Option<&[f32]>, panel: &mut [Lane]));

#[inline(always)]
fn pack_body<M: Micro>(rows: &[&[f32]], centre: Option<&[f32]>, panel: &mut [Lane]) {
    match centre {
        Some(centre) => {
            for (lane, row) in rows.iter().enumerate() {
                for ((out, value), centre) in panel.iter_mut().zip(*row).zip(centre) {
                    out.0[lane] = value - centre;
                }
            }
        }
        None => {
            for (lane, row) in rows.iter().enumerate() {
                for (out, value) in panel.iter_mut().zip(*row) {
                    out.0[lane] = *value;
                }
            }
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
}
