//! The tile with 24 running sums in 512-bit registers.

use super::{Counts, Form, LANES, Lane, RAISE, ROWS, Tile, WordTile, Words};
use std::arch::x86_64::{
    __m512, __m512i, _MM_HINT_T0, _mm_cvtsi32_si128, _mm_prefetch, _mm512_add_epi32, _mm512_castpd_ps,
    _mm512_castps_pd, _mm512_castsi128_si512, _mm512_castsi256_si512, _mm512_castsi512_ps,
    _mm512_cvtepi32_epi8, _mm512_cvtepi32_epi16, _mm512_cvtps_epi32, _mm512_dpbusd_epi32,
    _mm512_dpwssd_epi32, _mm512_fmadd_ps, _mm512_inserti32x4, _mm512_inserti64x4, _mm512_load_ps,
    _mm512_load_si512, _mm512_loadu_ps, _mm512_max_ps, _mm512_min_epi32, _mm512_min_ps, _mm512_mul_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_f32x4,
    _mm512_sll_epi32, _mm512_srai_epi32, _mm512_store_ps, _mm512_store_si512, _mm512_sub_epi32,
    _mm512_sub_ps, _mm512_ternarylogic_epi32, _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd,
    _mm512_unpacklo_ps,
};

/// Panels longer than the first-level cache come from the second: they are asked for so many values before.
const AHEAD: usize = 16;

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
            // A hint; it has no effect on memory, wherever it points.
            _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add((panel * dim + k + AHEAD) * LANES).cast());
        }
        _mm_prefetch::<_MM_HINT_T0>(a.wrapping_add((k + AHEAD) * LANES).cast());
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

/// See `Micro::turn`: a transposition of sixteen by sixteen values in registers.
#[expect(unsafe_code, reason = "loads whose bounds are asserted, and aligned stores of whole lanes")]
#[target_feature(enable = "avx512f")]
pub(super) fn turn(rows: &[&[f32]; LANES], centre: Option<&[f32]>, panel: &mut [Lane]) {
    let whole = panel.len() / LANES * LANES;
    assert!(rows.iter().all(|row| row.len() >= whole) && centre.is_none_or(|c| c.len() >= whole));
    for at in (0..whole).step_by(LANES) {
        // A row less zero is the row, bit by bit.
        let mut origin = _mm512_setzero_ps();
        if let Some(centre) = centre {
            // SAFETY: `at + LANES` values are within `whole`, which the centre has, and every row below.
            origin = unsafe { _mm512_loadu_ps(centre.as_ptr().add(at)) };
        }
        let mut of = [_mm512_setzero_ps(); LANES];
        for (of, row) in of.iter_mut().zip(rows) {
            // SAFETY: as above.
            *of = _mm512_sub_ps(unsafe { _mm512_loadu_ps(row.as_ptr().add(at)) }, origin);
        }
        for (lane, turned) in panel[at..at + LANES].iter_mut().zip(turned(of)) {
            // SAFETY: a lane is sixteen values, aligned to 64 bytes.
            unsafe { _mm512_store_ps(lane.0.as_mut_ptr(), turned) };
        }
    }
}

/// Turns sixteen rows of sixteen words into columns.
#[expect(unsafe_code, reason = "aligned loads and stores of whole lanes")]
#[target_feature(enable = "avx512f")]
pub(super) fn turn_sixteen(words: &mut [Words; LANES]) {
    let mut of = [_mm512_setzero_ps(); LANES];
    for (of, words) in of.iter_mut().zip(words.iter()) {
        // SAFETY: a lane is sixteen words, aligned to 64 bytes.
        *of = unsafe { _mm512_load_ps(words.0.as_ptr().cast()) };
    }
    for (words, turned) in words.iter_mut().zip(turned(of)) {
        // SAFETY: as above.
        unsafe { _mm512_store_ps(words.0.as_mut_ptr().cast(), turned) };
    }
}

#[target_feature(enable = "avx512f")]
fn turned(of: [__m512; LANES]) -> [__m512; LANES] {
    // Fours of rows: `fours[4 * g + j]` holds, for each quarter `q`, value `4 * q + j` of rows `4 * g ..`.
    let mut fours = of;
    for g in (0..LANES).step_by(4) {
        let low = _mm512_castps_pd(_mm512_unpacklo_ps(of[g], of[g + 1]));
        let high = _mm512_castps_pd(_mm512_unpackhi_ps(of[g], of[g + 1]));
        let low2 = _mm512_castps_pd(_mm512_unpacklo_ps(of[g + 2], of[g + 3]));
        let high2 = _mm512_castps_pd(_mm512_unpackhi_ps(of[g + 2], of[g + 3]));
        fours[g] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, low2));
        fours[g + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, low2));
        fours[g + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high, high2));
        fours[g + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high, high2));
    }
    let mut out = of;
    for j in 0..4 {
        let (a, b, c, d) = (fours[j], fours[4 + j], fours[8 + j], fours[12 + j]);
        // Even and odd quarters of each two, then of each four.
        let (even, odd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
        let (even2, odd2) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
        out[j] = _mm512_shuffle_f32x4::<0x88>(even, even2);
        out[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd, odd2);
        out[8 + j] = _mm512_shuffle_f32x4::<0xdd>(even, even2);
        out[12 + j] = _mm512_shuffle_f32x4::<0xdd>(odd, odd2);
    }
    out
}

/// See `words::pack_words`: of all whole chunks of 64 values; answers how many values those are.
#[expect(unsafe_code, reason = "loads whose bounds are asserted, and aligned stores of whole lanes")]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn turn_words(
    form: Form,
    rows: &[&[f32]; LANES],
    centre: &[f32],
    scale: f32,
    panel: &mut [Words],
) -> usize {
    const CHUNK: usize = 64;
    let whole = centre.len() / CHUNK * CHUNK;
    assert!(rows.iter().all(|row| row.len() >= whole));
    let (least, most) = form.ends();
    let (least, most, scale) = (_mm512_set1_ps(least), _mm512_set1_ps(most), _mm512_set1_ps(scale));
    let raise = _mm512_set1_epi32(if form == Form::Raised { RAISE } else { 0 });
    let words = if form == Form::Pairs { 2 } else { 4 };
    let low = if form == Form::Halves { panel.len() / 2 } else { 0 };
    for at in (0..whole).step_by(CHUNK) {
        // One or two words for each four values of a row.
        let mut of = [[_mm512_setzero_si512(); LANES]; 2];
        for (lane, row) in rows.iter().enumerate() {
            let mut values = [_mm512_setzero_si512(); 4];
            for (part, values) in values.iter_mut().enumerate() {
                // SAFETY: `at + CHUNK` values are within `whole`, which the centre has, and every row.
                let (value, origin) = unsafe {
                    let place = at + part * LANES;
                    (_mm512_loadu_ps(row.as_ptr().add(place)), _mm512_loadu_ps(centre.as_ptr().add(place)))
                };
                let value = _mm512_mul_ps(_mm512_sub_ps(value, origin), scale);
                // What is no number becomes the least.
                let value = _mm512_min_ps(_mm512_max_ps(value, least), most);
                *values = _mm512_add_epi32(_mm512_cvtps_epi32(value), raise);
            }
            if form == Form::Pairs {
                of[0][lane] = words_of(values[0], values[1]);
                of[1][lane] = words_of(values[2], values[3]);
            } else {
                of[0][lane] = bytes_of(values);
                if form == Form::Halves {
                    of[1][lane] = of[0][lane];
                    of[0][lane] = bytes_of(values.map(|value| _mm512_srai_epi32::<8>(value)));
                }
            }
        }
        let places = if form == Form::Pairs {
            [Some(at / words), Some(at / words + LANES)]
        } else {
            [Some(at / words), (form == Form::Halves).then_some(low + at / words)]
        };
        for (of, place) in of.iter().zip(places) {
            let Some(place) = place else { continue };
            let turned = turned(of.map(|of| _mm512_castsi512_ps(of)));
            for (to, turned) in panel[place..place + LANES].iter_mut().zip(turned) {
                // SAFETY: a lane is sixteen words, aligned to 64 bytes.
                unsafe { _mm512_store_ps(to.0.as_mut_ptr().cast(), turned) };
            }
        }
    }
    whole
}

/// Two times sixteen values as 16 bits each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn words_of(a: __m512i, b: __m512i) -> __m512i {
    let low = _mm512_castsi256_si512(_mm512_cvtepi32_epi16(a));
    _mm512_inserti64x4::<1>(low, _mm512_cvtepi32_epi16(b))
}

/// The low bytes of four times sixteen values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn bytes_of([a, b, c, d]: [__m512i; 4]) -> __m512i {
    let first = _mm512_castsi128_si512(_mm512_cvtepi32_epi8(a));
    let second = _mm512_inserti32x4::<1>(first, _mm512_cvtepi32_epi8(b));
    let third = _mm512_inserti32x4::<2>(second, _mm512_cvtepi32_epi8(c));
    _mm512_inserti32x4::<3>(third, _mm512_cvtepi32_epi8(d))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn pairs(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
    match b.len() / a.len().max(1) {
        1 => words::<1, false>(a, half, b, out),
        2 => words::<2, false>(a, half, b, out),
        _ => words::<3, false>(a, half, b, out),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn quads(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
    match b.len() / a.len().max(1) {
        1 => words::<1, true>(a, half, b, out),
        2 => words::<2, true>(a, half, b, out),
        _ => words::<3, true>(a, half, b, out),
    }
}

#[expect(
    unsafe_code,
    reason = "aligned loads and stores of whole lanes, and reads whose bounds are asserted"
)]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn words<const N: usize, const QUADS: bool>(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
    let dim = a.len();
    assert!(b.len() == N * dim && half < LANES / ROWS);
    let a: *const i32 = a.as_ptr().cast();
    let b: *const i32 = b.as_ptr().cast();
    let mut sums: [[__m512i; N]; ROWS] = [[_mm512_setzero_si512(); N]; ROWS];
    for k in 0..dim {
        let mut columns = [_mm512_setzero_si512(); N];
        for (panel, column) in columns.iter_mut().enumerate() {
            // SAFETY: `panel * dim + k` is a lane of `b`, whose length was asserted; lanes are aligned to 64 bytes.
            *column = unsafe { _mm512_load_si512(b.add((panel * dim + k) * LANES).cast()) };
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `k` is a lane of `a`, and `half * ROWS + row` is below `LANES`.
            let value = unsafe { _mm512_set1_epi32(*a.add(k * LANES + half * ROWS + row)) };
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = if QUADS {
                    _mm512_dpbusd_epi32(*sum, column, value)
                } else {
                    _mm512_dpwssd_epi32(*sum, column, value)
                };
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        for (lane, sum) in out.iter_mut().zip(sums) {
            // SAFETY: a lane is sixteen values, aligned to 64 bytes.
            unsafe { _mm512_store_si512(lane.0.as_mut_ptr().cast(), sum) };
        }
    }
}

/// See `Micro::least`; written out, for compilers make halves of it.
#[expect(unsafe_code, reason = "aligned loads and stores of whole lanes")]
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn least<'s>(
    products: impl Iterator<Item = &'s Counts>,
    bases: &[i32],
    shift: u32,
    keep: i32,
    first: i32,
    least: &mut Counts,
) {
    let shift = _mm_cvtsi32_si128(shift as i32);
    let keep = _mm512_set1_epi32(keep);
    // SAFETY: a lane is sixteen values, aligned to 64 bytes.
    let mut found = unsafe { _mm512_load_si512(least.0.as_ptr().cast()) };
    for ((product, &base), number) in products.zip(bases).zip(first..) {
        // SAFETY: as above.
        let product = unsafe { _mm512_load_si512(product.0.as_ptr().cast()) };
        let key = _mm512_sub_epi32(_mm512_set1_epi32(base), _mm512_sll_epi32(product, shift));
        // Of `keep` the key's bits, of the others the number's.
        let key = _mm512_ternarylogic_epi32::<0xca>(keep, key, _mm512_set1_epi32(number));
        found = _mm512_min_epi32(found, key);
    }
    // SAFETY: as above.
    unsafe { _mm512_store_si512(least.0.as_mut_ptr().cast(), found) };
}
