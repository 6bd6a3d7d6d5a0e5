//! The nearest centre, exactly: by 16 bits where they can tell, by floats where they cannot.
//!
//! Rounding moves a row by at most `E` and a centre by at most `F`, so a distance is off by at most `E + F`. Where the
//! second nearest is farther than the nearest by more than twice that, and by more than the rounding of floats, floats
//! would find the same centre; all other rows are asked again.

use super::{BLOCK, Bases, Least, Packed, fill, meet, moderate, square};
use crate::bulk::assign::Centres;
use crate::bulk::rows::Rows;
use crate::tile::{Form, LANES, Panels, Words};

/// The longest a rounded vector may be: sums of products then fit into 31 bits.
const LONGEST: f64 = 32_000.0;

/// Lengths are sums of floats: this much more covers their rounding in any dimension.
const SAFE: f64 = 1.01;

/// Half a step of the grid, and the rounding of what is rounded.
const HALF: f64 = 0.51;

/// Centres, as floats and on the grid.
#[derive(Debug)]
pub(crate) struct Sharp<'c> {
    centres: &'c Centres,
    packed: Packed,
    /// Squared lengths of the centres on the grid.
    squares: Vec<f64>,
    /// At least the length of the longest centre.
    longest: f64,
    step: f64,
}

/// What a thread needs.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    points: Panels,
    words: Vec<Words>,
    bases: Bases,
    least: Vec<Least>,
    unsure: Vec<(u32, usize)>,
    again: Vec<u32>,
    answers: Vec<u32>,
}

impl<'c> Sharp<'c> {
    /// Centres that floats know already; `None` where there is no sensible grid for them.
    pub(crate) fn of(centres: &'c Centres, rows: Rows<'_>) -> Option<Self> {
        let each = || rows.data.chunks_exact(rows.dim);
        let longest = each().map(|row| square(row, centres.origin())).fold(0.0, f32::max);
        let longest = f64::from(longest).sqrt() * SAFE;
        if !moderate(longest) {
            return None;
        }
        let scale = (LONGEST / longest) as f32;
        let packed = Packed::of(centres.tier(), Form::fine(centres.tier()), each(), centres.origin(), scale);
        let panels = packed.words.chunks_exact(packed.width);
        let squares = panels.flat_map(|panel| packed.form.squares(panel)).map(f64::from);
        let squares = squares.take(rows.len()).collect();
        Some(Self { centres, packed, squares, longest, step: 1.0 / f64::from(scale) })
    }

    /// As [`Centres::nearest`] with `f` = 1, for at most a block of rows.
    pub(crate) fn nearest(&self, rows: Rows<'_>, list: &[u32], scratch: &mut Scratch, out: &mut [u32]) {
        debug_assert!(list.len() <= BLOCK);
        let origin = self.centres.origin();
        let longest = list.iter().map(|&at| square(rows.row(at), origin)).fold(0.0, f32::max);
        let longest = (f64::from(longest).sqrt() * SAFE).max(self.longest);
        if !moderate(longest) {
            return self.centres.nearest(rows, list, 1, &mut scratch.points, out);
        }
        let scale = (LONGEST / longest) as f32;
        let step = 1.0 / f64::from(scale);
        let each = list.iter().map(|&at| rows.row(at));
        let panels = list.len().div_ceil(LANES);
        scratch.words.clear();
        scratch.words.resize(panels * self.packed.width, Words::ZERO);
        fill(self.centres.tier(), self.packed.form, each, origin, scale, &mut scratch.words);
        scratch.bases.fill(0, self.squares.iter().map(|square| square / 2.0 * self.step / step));
        scratch.least.clear();
        scratch.least.resize(panels, Least::NONE);
        meet::<1>(self.centres.tier(), &self.packed, &scratch.bases, &scratch.words, &mut scratch.least);

        let numbers = scratch.bases.numbers;
        let off = HALF * (rows.dim as f64).sqrt() * (step + self.step);
        let (of_row, of_centre) = (longest, self.longest);
        let floats = (rows.dim + 4) as f64 / f64::from(1u32 << 24) * SAFE;
        let floats = floats * of_centre * (of_centre + 2.0 * of_row);
        scratch.unsure.clear();
        for (panel, (least, words)) in
            scratch.least.iter().zip(scratch.words.chunks_exact(self.packed.width)).enumerate()
        {
            let squares = self.packed.form.squares(words);
            for (lane, place) in (panel * LANES..list.len().min((panel + 1) * LANES)).enumerate() {
                let (first, second) = (least.first.0[lane], least.second.0[lane]);
                let square = |key: f64| {
                    (step * step * f64::from(squares[lane]) + 2.0 * step * self.step * key).max(0.0).sqrt()
                };
                let nearest = square(f64::from(first | numbers) + 1.0) + off;
                let next = square(f64::from(second & !numbers) - 1.0) - off;
                out[place] = (first & numbers) as u32;
                if !(next > nearest && next * next - nearest * nearest > 2.0 * floats) {
                    scratch.unsure.push((list[place], place));
                }
            }
        }
        if scratch.unsure.is_empty() {
            return;
        }
        scratch.again.clear();
        scratch.again.extend(scratch.unsure.iter().map(|(row, _)| *row));
        scratch.answers.clear();
        scratch.answers.resize(scratch.again.len(), 0);
        self.centres.nearest(rows, &scratch.again, 1, &mut scratch.points, &mut scratch.answers);
        for (&(_, place), &answer) in scratch.unsure.iter().zip(&scratch.answers) {
            out[place] = answer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tile::Tier;
    use proptest::prelude::*;

    /// What floats find, and what the grid finds on every tier.
    fn compare(dim: usize, data: &[f32], centres: &[f32]) {
        let (rows, centres) = (Rows { dim, data }, Rows { dim, data: centres });
        let list: Vec<u32> = (0..rows.len() as u32).rev().collect();
        let mut expected = vec![0; list.len()];
        Centres::on(Tier::Portable, centres).nearest(rows, &list, 1, &mut Panels::default(), &mut expected);
        for tier in Tier::available() {
            let floats = Centres::on(tier, centres);
            let Some(sharp) = Sharp::of(&floats, centres) else { continue };
            let mut found = vec![0; list.len()];
            let mut scratch = Scratch::default();
            for (list, found) in list.chunks(BLOCK).zip(found.chunks_mut(BLOCK)) {
                sharp.nearest(rows, list, &mut scratch, found);
            }
            assert!(found == expected, "{tier:?}, {} x {dim}, {} centres", rows.len(), centres.len());
        }
    }

    fn vectors(dim: usize, most: usize) -> impl Strategy<Value = Vec<f32>> {
        // Whole numbers collide and tie; the others come in all sizes, near the origin and far from it.
        let value = prop_oneof![
            (-3i8..4).prop_map(f32::from),
            -1.0f32..1.0,
            (-1.0f32..1.0).prop_map(|value| 1_000.0 + value),
            (-1e3f32..1e3),
        ];
        let one = prop::collection::vec(value, dim);
        prop::collection::vec(one, 1..most).prop_map(|rows| rows.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_grid_finds_what_floats_find(
            (dim, data, centres) in (1usize..70).prop_flat_map(|dim| (Just(dim), vectors(dim, 80), vectors(dim, 140))),
            size in prop_oneof![Just(1.0f32), Just(1e-6), Just(1e6), Just(1e-18), Just(1e18)],
        ) {
            let sized = |values: &[f32]| -> Vec<f32> { values.iter().map(|value| value * size).collect() };
            compare(dim, &sized(&data), &sized(&centres));
        }
    }

    #[test]
    fn ties_outliers_and_long_rows_too() {
        let mut draw = crate::draw::Draw::new(1, *b"sharp   ");
        let mut value = || (draw.next() >> 40) as f32 / 16_777_216.0 - 0.5;
        for (n, k, dim) in [(1_000, 1_024, 16), (500, 100, 768), (40, 65, 4_096)] {
            let mut data: Vec<f32> = (0..n * dim).map(|_| value()).collect();
            let mut centres: Vec<f32> = (0..k * dim).map(|_| value()).collect();
            compare(dim, &data, &centres);
            // Every centre twice, and rows that are centres.
            centres.copy_within(..k / 2 * dim, k / 2 * dim);
            data[..20 * dim].copy_from_slice(&centres[20 * dim..40 * dim]);
            compare(dim, &data, &centres);
            data[7 * dim] = 1e6;
            data[8 * dim] = f32::MAX;
            centres[9 * dim] = -1e4;
            compare(dim, &data, &centres);
        }
        compare(1, &[0.0; 70], &[0.0; 70]);
        compare(2, &[f32::MAX, f32::MIN, 1.0, 0.0].repeat(40), &[f32::MAX, f32::MIN, 1.0, 2.0].repeat(40));
    }
}
