//! All pairs of a rounded leaf by the matrix unit: 32 rows with 32 columns at a time.
//!
//! `unsafe` is for calling functions compiled for an instruction set that the processor was asked about.

use super::super::narrow::fill;
use super::super::rows::Rows;
use super::{Grid, Lists, NEAR, NONE, finish, meet};
use crate::tile::amx::{self, Sums, Unit};
use crate::tile::{Counts, Form, LANES, Lane, Tier, Words};

/// The rows of a leaf as bytes.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    /// Words of a row.
    width: usize,
    len: usize,
    /// As columns of a product, and as rows: see [`amx::turn`].
    columns: Vec<Words>,
    lines: Vec<Words>,
    /// Squared lengths; rows that fill up the last panel are infinitely long.
    norms: Vec<Lane>,
}

impl Bytes {
    /// Finds the four least keys of each row of a leaf.
    ///
    /// # Safety
    /// The tier [`Tier::Amx`] was detected.
    #[expect(unsafe_code, reason = "functions compiled for a detected instruction set")]
    #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512vnni")]
    pub(super) unsafe fn pairs(
        &mut self,
        rows: Rows<'_>,
        members: &[u32],
        grid: &Grid,
        lists: &mut Vec<Lists>,
        out: &mut [u32],
    ) {
        let panels = members.len().div_ceil(LANES);
        (self.width, self.len) = (Form::Signed.width(Tier::Amx, rows.dim), members.len());
        self.columns.clear();
        self.columns.resize(panels * self.width, Words::ZERO);
        let each = members.iter().map(|&at| rows.row(at));
        fill(Tier::Amx, Form::Signed, each, &grid.origin, grid.scale, &mut self.columns);
        // SAFETY: the caller detected the tier.
        unsafe { amx::turn(&self.columns, self.width, &mut self.lines) };
        // SAFETY: as above.
        let unit = unsafe { Unit::set_up(self.width) };
        self.measure(&unit, panels);
        lists.clear();
        lists.resize(panels, NONE);
        for own in (0..panels).step_by(2) {
            self.rows(&unit, own, lists, out);
        }
    }

    /// Squared lengths: of each panel with itself.
    #[inline(always)]
    fn measure(&mut self, unit: &Unit, panels: usize) {
        let mut sums: [Sums; 4] = [[Counts::ZERO; LANES]; 4];
        self.norms.clear();
        for panel in 0..panels {
            unit.signed([self.line(panel); 2], [self.column(panel); 2], &mut sums);
            let mut norms = Lane([f32::INFINITY; LANES]);
            let count = LANES.min(self.len - panel * LANES);
            for (row, (norm, sums)) in norms.0[..count].iter_mut().zip(&sums[0]).enumerate() {
                *norm = sums.0[row] as f32;
            }
            self.norms.push(norms);
        }
    }

    /// The rows of two panels with all columns that are not behind them.
    #[inline(always)]
    fn rows(&self, unit: &Unit, own: usize, lists: &mut [Lists], out: &mut [u32]) {
        let panels = lists.len();
        let mut sums: [Sums; 4] = [[Counts::ZERO; LANES]; 4];
        let mut found = [[NONE; LANES]; 2];
        // Where there is no second one the first is met twice.
        let next = |panel: usize| (panel + 1).min(panels - 1);
        for at in (own..panels).step_by(2) {
            let (rows, columns) = ([own, next(own)], [at, next(at)]);
            unit.signed(rows.map(|p| self.line(p)), columns.map(|p| self.column(p)), &mut sums);
            for (place, sums) in sums.iter().enumerate() {
                let (row, column) = (own + place / 2, at + place % 2);
                if row < panels && column < panels && row <= column {
                    self.tile(sums, row, column, &mut found[place / 2], &mut lists[column]);
                }
            }
        }
        for (panel, found) in (own..panels).zip(&mut found) {
            let first = panel * LANES;
            let count = LANES.min(self.len - first);
            finish(&mut found[..count], &lists[panel], 0, &mut out[first * NEAR..]);
        }
    }

    #[inline(always)]
    fn tile(&self, sums: &Sums, row: usize, column: usize, found: &mut [Lists; LANES], below: &mut Lists) {
        let (norms, lengths) = (&self.norms[row].0, &self.norms[column]);
        let mut list = *below;
        for (at, (sums, found)) in sums.iter().zip(found).enumerate() {
            // Exact: see `Grid`.
            let products = Lane(sums.0.map(|sum| sum as f32));
            let this = row * LANES + at;
            meet(&products, norms[at], this, lengths, column, found, &mut list);
        }
        *below = list;
    }

    fn column(&self, panel: usize) -> &[Words] {
        &self.columns[panel * self.width..][..self.width]
    }

    fn line(&self, panel: usize) -> &[Words] {
        let lines = self.width.div_ceil(amx::DEEP) * LANES;
        &self.lines[panel * lines..][..lines]
    }
}
