//! The same meeting by the matrix unit, sixteen centres with sixteen rows at a time.
//!
//! `unsafe` is for calling functions compiled for an instruction set that the processor was asked about.

use super::{Bases, CENTRE_WORDS, Least, Packed};
use crate::tile::amx::{DEEP, Sums, Unit};
use crate::tile::{Counts, LANES, Words, least_of};

/// See [`super::meet`]; `PAIRS` is 1 where values are cut in halves.
///
/// # Safety
/// The tier [`crate::tile::Tier::Amx`] was detected.
#[expect(unsafe_code, reason = "functions compiled for a detected instruction set")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512vnni")]
pub(super) fn meet<const PAIRS: usize>(
    centres: &Packed,
    bases: &Bases,
    points: &[Words],
    least: &mut [Least],
) {
    let width = centres.width;
    // SAFETY: the caller detected the tier.
    let unit = unsafe { Unit::set_up(width / (1 + PAIRS)) };
    let block = (CENTRE_WORDS / LANES / width).max(1).next_multiple_of(2);
    let lines = (1 + PAIRS) * (width / (1 + PAIRS)).div_ceil(DEEP) * LANES;
    let turned = |panel: usize| &centres.turned[panel * lines..][..lines];
    let columns = |panel: usize| &points[panel * width..][..width];
    let (all, panels) = (centres.turned.len() / lines, least.len());
    let mut from = 0;
    while from < all {
        let to = (from + block).min(all);
        for at in (0..panels).step_by(if PAIRS == 1 { 1 } else { 2 }) {
            if PAIRS == 1 {
                let mut sums: [Sums; 3] = [[Counts::ZERO; LANES]; 3];
                for panel in from..to {
                    unit.halves(turned(panel), columns(at), &mut sums);
                    both(bases, &sums, panel * LANES, &mut least[at]);
                }
                continue;
            }
            let mut sums: [Sums; 4] = [[Counts::ZERO; LANES]; 4];
            for panel in (from..to).step_by(2) {
                // Where there is no second one the first is met twice.
                let others = ((panel + 1).min(to - 1), (at + 1).min(panels - 1));
                unit.quads([turned(panel), turned(others.0)], [columns(at), columns(others.1)], &mut sums);
                for (sums, (panel, at)) in
                    sums.iter().zip([(panel, at), (panel, others.1), (others.0, at), (others.0, others.1)])
                {
                    let of = &bases.bases[panel * LANES..][..LANES];
                    let (shift, keep) = (bases.shift, !bases.numbers);
                    least_of(sums, of, shift, keep, (panel * LANES) as i32, &mut least[at].first);
                }
            }
        }
        from = to;
    }
}

/// The keys of sums of halves, taken into the least and the second least.
#[inline(always)]
fn both(bases: &Bases, sums: &[Sums; 3], first: usize, least: &mut Least) {
    let (mut nearest, mut next) = (least.first, least.second);
    let of = &bases.bases[first..][..LANES];
    let [high, cross, low] = sums;
    for (row, &base) in of.iter().enumerate() {
        for lane in 0..LANES {
            let product = (high[row].0[lane].wrapping_shl(16))
                .wrapping_add(cross[row].0[lane].wrapping_shl(8))
                .wrapping_add(low[row].0[lane]);
            let key = base.wrapping_sub(product) & !bases.numbers | (first + row) as i32;
            next.0[lane] = next.0[lane].min(nearest.0[lane].max(key));
            nearest.0[lane] = nearest.0[lane].min(key);
        }
    }
    *least = Least { first: nearest, second: next };
}
