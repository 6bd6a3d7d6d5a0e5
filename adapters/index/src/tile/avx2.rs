//! The tile in pieces of four rows and one panel: eight running sums in 256-bit registers, of sixteen.

use super::{Counts, LANES, Lane, ROWS, Tile, WordTile, Words};
use std::arch::x86_64::{
    __m256, __m256i, _mm256_add_epi32, _mm256_fmadd_ps, _mm256_load_ps, _mm256_load_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_setzero_si256, _mm256_store_ps, _mm256_store_si256,
};

const PIECE: usize = 4;

#[target_feature(enable = "avx2,fma")]
pub(super) fn tile(a: &[Lane], half: usize, b: &[Lane], out: &mut Tile) {
    for (panel, b) in b.chunks_exact(a.len().max(1)).enumerate() {
        for first in (0..ROWS).step_by(PIECE) {
            piece(a, half * ROWS + first, b, panel, &mut out[first..first + PIECE]);
        }
    }
}

#[expect(unsafe_code, reason = "aligned loads and stores of half lanes, and reads whose bounds are asserted")]
#[target_feature(enable = "avx2,fma")]
fn piece(a: &[Lane], first: usize, b: &[Lane], panel: usize, out: &mut [[Lane; super::WIDE]]) {
    let dim = a.len();
    assert!(b.len() == dim && first + PIECE <= LANES);
    let a: *const f32 = a.as_ptr().cast();
    let b: *const f32 = b.as_ptr().cast();
    let mut sums: [[__m256; 2]; PIECE] = [[_mm256_setzero_ps(); 2]; PIECE];
    for k in 0..dim {
        // SAFETY: `k` is a lane of `b`; its halves are aligned to 32 bytes.
        let columns =
            unsafe { [_mm256_load_ps(b.add(k * LANES)), _mm256_load_ps(b.add(k * LANES + LANES / 2))] };
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `k` is a lane of `a`, and `first + row` is below `LANES`.
            let value = unsafe { _mm256_set1_ps(*a.add(k * LANES + first + row)) };
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = _mm256_fmadd_ps(value, column, *sum);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        for (at, sum) in sums.into_iter().enumerate() {
            // SAFETY: half a lane is eight values, aligned to 32 bytes.
            unsafe { _mm256_store_ps(out[panel].0.as_mut_ptr().add(at * LANES / 2), sum) };
        }
    }
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn pairs(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
    words::<false>(a, half, b, out);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn quads(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
    words::<true>(a, half, b, out);
}

#[target_feature(enable = "avx2,fma")]
fn words<const QUADS: bool>(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
    for (panel, b) in b.chunks_exact(a.len().max(1)).enumerate() {
        for first in (0..ROWS).step_by(PIECE) {
            word_piece::<QUADS>(a, half * ROWS + first, b, panel, &mut out[first..first + PIECE]);
        }
    }
}

#[expect(unsafe_code, reason = "aligned loads and stores of half lanes, and reads whose bounds are asserted")]
#[target_feature(enable = "avx2,fma")]
fn word_piece<const QUADS: bool>(
    a: &[Words],
    first: usize,
    b: &[Words],
    panel: usize,
    out: &mut [[Counts; super::WIDE]],
) {
    let dim = a.len();
    assert!(b.len() == dim && first + PIECE <= LANES);
    let a: *const i32 = a.as_ptr().cast();
    let b: *const i32 = b.as_ptr().cast();
    let ones = _mm256_set1_epi16(1);
    let mut sums: [[__m256i; 2]; PIECE] = [[_mm256_setzero_si256(); 2]; PIECE];
    for k in 0..dim {
        // SAFETY: `k` is a lane of `b`; its halves are aligned to 32 bytes.
        let columns = unsafe {
            [
                _mm256_load_si256(b.add(k * LANES).cast()),
                _mm256_load_si256(b.add(k * LANES + LANES / 2).cast()),
            ]
        };
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `k` is a lane of `a`, and `first + row` is below `LANES`.
            let value = unsafe { _mm256_set1_epi32(*a.add(k * LANES + first + row)) };
            for (sum, column) in sums.iter_mut().zip(columns) {
                let product = if QUADS {
                    // Unsigned bytes are at most 127: two products fit into 16 bits.
                    _mm256_madd_epi16(_mm256_maddubs_epi16(column, value), ones)
                } else {
                    _mm256_madd_epi16(column, value)
                };
                *sum = _mm256_add_epi32(*sum, product);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        for (at, sum) in sums.into_iter().enumerate() {
            // SAFETY: half a lane is eight values, aligned to 32 bytes.
            unsafe { _mm256_store_si256(out[panel].0.as_mut_ptr().add(at * LANES / 2).cast(), sum) };
        }
    }
}
