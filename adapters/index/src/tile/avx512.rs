//! The tile with 24 running sums in 512-bit registers.

use super::{LANES, Lane, ROWS, Tile};
use std::arch::x86_64::{
    __m512, _mm512_fmadd_ps, _mm512_load_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_store_ps,
};

#[target_feature(enable = "avx512f")]
pub(super) fn tile(a: &[Lane], half: usize, b: &[Lane], out: &mut Tile) {
    match b.len() / a.len().max(1) {
        1 => wide::<1>(a, half, b, out),
        2 => wide::<2>(a, half, b, out),
        _ => wide::<3>(a, half, b, out),
    }
}

#[expect(
    unsafe_code,
    reason = "aligned loads and stores of whole lanes, and reads whose bounds are asserted"
)]
#[target_feature(enable = "avx512f")]
fn wide<const N: usize>(a: &[Lane], half: usize, b: &[Lane], out: &mut Tile) {
    let dim = a.len();
    assert!(b.len() == N * dim && half < LANES / ROWS);
    let a: *const f32 = a.as_ptr().cast();
    let b: *const f32 = b.as_ptr().cast();
    let mut sums: [[__m512; N]; ROWS] = [[_mm512_setzero_ps(); N]; ROWS];
    for k in 0..dim {
        let mut columns = [_mm512_setzero_ps(); N];
        for (panel, column) in columns.iter_mut().enumerate() {
            // SAFETY: `panel * dim + k` is a lane of `b`, whose length was asserted; lanes are aligned to 64 bytes.
            *column = unsafe { _mm512_load_ps(b.add((panel * dim + k) * LANES)) };
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `k` is a lane of `a`, and `half * ROWS + row` is below `LANES`.
            let value = unsafe { _mm512_set1_ps(*a.add(k * LANES + half * ROWS + row)) };
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = _mm512_fmadd_ps(value, column, *sum);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        for (lane, sum) in out.iter_mut().zip(sums) {
            // SAFETY: a lane is sixteen values, aligned to 64 bytes.
            unsafe { _mm512_store_ps(lane.0.as_mut_ptr(), sum) };
        }
    }
}
