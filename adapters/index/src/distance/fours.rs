//! Distances to four rows at a time, for AVX-512: what is loaded of the query serves all four, their sums do not wait for
//! each other, and all four are folded by the same instructions. The order of every sum is that of `one`.

use super::{AHEAD, LANES, one, prefetch};
use std::arch::x86_64::{
    __m512, __mmask16, _mm_storeu_ps, _mm512_add_ps, _mm512_castps512_ps128, _mm512_loadu_ps,
    _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_permutexvar_ps, _mm512_set_epi32, _mm512_setzero_ps,
    _mm512_shuffle_f32x4, _mm512_shuffle_ps, _mm512_sub_ps,
};

const FOUR: usize = 4;
/// Values of a register.
const HALF: usize = LANES / 2;

/// See `Kernel::rows`; rows that are `FAR` are asked for beforehand.
#[target_feature(enable = "avx512f")]
pub(super) fn listed<const PRODUCT: bool, const FAR: bool>(
    query: &[f32],
    data: &[f32],
    rows: &[u32],
    out: &mut Vec<f32>,
) {
    let dim = query.len();
    let row = |at: u32| &data[at as usize * dim..][..dim];
    // Every one is written below.
    out.resize(rows.len(), 0.0);
    if FAR {
        rows.iter().take(AHEAD).for_each(|&at| prefetch(row(at)));
    }
    let (fours, rest) = rows.as_chunks::<FOUR>();
    let (out_fours, out_rest) = out.as_chunks_mut::<FOUR>();
    let mut coming = rows.iter().skip(AHEAD);
    for (four, out) in fours.iter().zip(out_fours) {
        if FAR {
            coming.by_ref().take(FOUR).for_each(|&at| prefetch(row(at)));
        }
        four_of::<PRODUCT>(query, four.map(row), out);
    }
    match rest {
        [] => {}
        &[one_left] => out_rest[0] = one::<PRODUCT>(query, row(one_left)),
        &[first, ..] => {
            let mut four = [first; FOUR];
            four[..rest.len()].copy_from_slice(rest);
            let mut found = [0.0; FOUR];
            four_of::<PRODUCT>(query, four.map(row), &mut found);
            out_rest.copy_from_slice(&found[..rest.len()]);
        }
    }
}

#[expect(unsafe_code, reason = "loads and a store whose bounds are asserted")]
#[inline]
#[target_feature(enable = "avx512f")]
fn four_of<const PRODUCT: bool>(query: &[f32], rows: [&[f32]; FOUR], out: &mut [f32; FOUR]) {
    let dim = query.len();
    assert!(rows.iter().all(|row| row.len() == dim));
    let (mut low, mut high) = ([_mm512_setzero_ps(); FOUR], [_mm512_setzero_ps(); FOUR]);
    let whole = dim / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        // SAFETY: `at + LANES` values are within `whole`, which the query has, and every row.
        let load = |of: &[f32], at: usize| unsafe { _mm512_loadu_ps(of.as_ptr().add(at)) };
        let (a, b) = (load(query, at), load(query, at + HALF));
        for ((low, high), row) in low.iter_mut().zip(&mut high).zip(rows) {
            *low = add::<PRODUCT>(*low, a, load(row, at));
            *high = add::<PRODUCT>(*high, b, load(row, at + HALF));
        }
    }
    if whole < dim {
        let left = dim - whole;
        let mask = |left: usize| -> __mmask16 { if left < HALF { (1 << left) - 1 } else { __mmask16::MAX } };
        let (first, second) = (mask(left), mask(left.saturating_sub(HALF)));
        // SAFETY: only what is left of the query, and of every row, is read.
        let load = |of: &[f32], at: usize, mask: __mmask16| unsafe {
            _mm512_maskz_loadu_ps(mask, of.as_ptr().wrapping_add(at))
        };
        let (a, b) = (load(query, whole, first), load(query, whole + HALF, second));
        for ((low, high), row) in low.iter_mut().zip(&mut high).zip(rows) {
            *low = add::<PRODUCT>(*low, a, load(row, whole, first));
            *high = add::<PRODUCT>(*high, b, load(row, whole + HALF, second));
        }
    }
    let mut sums = low;
    for (sum, high) in sums.iter_mut().zip(high) {
        *sum = _mm512_add_ps(*sum, high);
    }
    let folded = fold(sums);
    // SAFETY: four values are written to four.
    unsafe { _mm_storeu_ps(out.as_mut_ptr(), _mm512_castps512_ps128(folded)) };
    if PRODUCT {
        out.iter_mut().for_each(|product| *product = 1.0 - *product);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add<const PRODUCT: bool>(sum: __m512, a: __m512, b: __m512) -> __m512 {
    let factors = if PRODUCT {
        (a, b)
    } else {
        let difference = _mm512_sub_ps(a, b);
        (difference, difference)
    };
    _mm512_add_ps(sum, _mm512_mul_ps(factors.0, factors.1))
}

/// The sums of sixteen values each, in halves; in the first four lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn fold([a, b, c, d]: [__m512; FOUR]) -> __m512 {
    // Eight values of two rows, then four of all: quarters of a register.
    let halves = |x, y| _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(x, y), _mm512_shuffle_f32x4::<0xee>(x, y));
    let (ab, cd) = (halves(a, b), halves(c, d));
    let quarters = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xdd>(ab, cd));
    // Within each quarter.
    let pairs = _mm512_add_ps(quarters, _mm512_shuffle_ps::<0x4e>(quarters, quarters));
    let ones = _mm512_add_ps(pairs, _mm512_shuffle_ps::<0xb1>(pairs, pairs));
    _mm512_permutexvar_ps(_mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0), ones)
}
