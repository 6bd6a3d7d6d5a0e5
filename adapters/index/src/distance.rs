//! Distance kernels: one body, compiled once for each instruction set, chosen once for each process.
//!
//! Floating-point sums depend on their order, so the order is part of the format: `LANES` running sums, value
//! `i` goes to sum `i % LANES`, multiply then add (never fused), and the sums are folded in halves. Wider
//! registers then change the speed and not one bit of the result; a test holds every tier to that.
//!
//! `unsafe` is for calling functions compiled for an instruction set that the processor
//! was asked about, and prefetching.

#[cfg(target_arch = "x86_64")]
mod fours;

use crate::Metric;
use std::sync::OnceLock;

const LANES: usize = 32;

/// Rows asked for ahead of the one in work.
pub(crate) const AHEAD: usize = 4;

/// An instruction set this processor is known to have. Made only by [`Kernel::detect`] (and its tests).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tier {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// What a distance is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Space {
    /// Squared Euclidean distance.
    L2,
    /// One less the inner product, as hnswlib has it.
    Product,
}

/// The distance functions of the best tier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel {
    tier: Tier,
    space: Space,
}

impl Kernel {
    /// The fastest kernel this processor runs, for the distances of `metric`; under cosine all vectors have length one.
    pub(crate) fn of(metric: Metric) -> Self {
        match metric {
            Metric::L2 => Self::detect(),
            Metric::InnerProduct | Metric::Cosine => Self { space: Space::Product, ..Self::detect() },
        }
    }

    /// The fastest kernel this processor runs, for squared Euclidean distances.
    pub(crate) fn detect() -> Self {
        static BEST: OnceLock<Kernel> = OnceLock::new();
        *BEST.get_or_init(|| *Self::available().last().expect("the portable tier is always there"))
    }

    /// Every kernel this processor runs, slowest first.
    fn available() -> Vec<Self> {
        let kernel = |tier| Self { tier, space: Space::L2 };
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "one tier only"))]
        let mut tiers = vec![kernel(Tier::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                tiers.push(kernel(Tier::Avx2));
            }
            if is_x86_feature_detected!("avx512f") {
                tiers.push(kernel(Tier::Avx512));
            }
        }
        tiers
    }

    /// The distance of two vectors of one length.
    #[cfg_attr(
        target_arch = "x86_64",
        expect(unsafe_code, reason = "functions compiled for a detected instruction set")
    )]
    #[inline]
    pub(crate) fn distance(self, a: &[f32], b: &[f32]) -> f32 {
        match (self.tier, self.space) {
            (Tier::Portable, Space::L2) => one::<false>(a, b),
            (Tier::Portable, Space::Product) => one::<true>(a, b),
            // SAFETY: the tier exists only where AVX2 was detected.
            #[cfg(target_arch = "x86_64")]
            (Tier::Avx2, Space::L2) => unsafe { avx2::one::<false>(a, b) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Tier::Avx2, Space::Product) => unsafe { avx2::one::<true>(a, b) },
            // SAFETY: the tier exists only where AVX-512F was detected.
            #[cfg(target_arch = "x86_64")]
            (Tier::Avx512, Space::L2) => unsafe { avx512::one::<false>(a, b) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Tier::Avx512, Space::Product) => unsafe { avx512::one::<true>(a, b) },
        }
    }

    /// Distances from `query` to the `rows` of `data`, in their order, replacing what `out` held.
    pub(crate) fn rows(self, query: &[f32], data: &[f32], rows: &[u32], out: &mut Vec<f32>) {
        self.listed::<true>(query, data, rows, out);
    }

    /// The same of rows that were asked for a moment ago, and are still near.
    pub(crate) fn near_rows(self, query: &[f32], data: &[f32], rows: &[u32], out: &mut Vec<f32>) {
        self.listed::<false>(query, data, rows, out);
    }

    #[cfg_attr(
        target_arch = "x86_64",
        expect(unsafe_code, reason = "functions compiled for a detected instruction set")
    )]
    fn listed<const FAR: bool>(self, query: &[f32], data: &[f32], rows: &[u32], out: &mut Vec<f32>) {
        match (self.tier, self.space) {
            (Tier::Portable, Space::L2) => listed::<false, FAR>(query, data, rows, out),
            (Tier::Portable, Space::Product) => listed::<true, FAR>(query, data, rows, out),
            // SAFETY: the tier exists only where AVX2 was detected.
            #[cfg(target_arch = "x86_64")]
            (Tier::Avx2, Space::L2) => unsafe { avx2::listed::<false, FAR>(query, data, rows, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Tier::Avx2, Space::Product) => unsafe { avx2::listed::<true, FAR>(query, data, rows, out) },
            // SAFETY: the tier exists only where AVX-512F was detected.
            #[cfg(target_arch = "x86_64")]
            (Tier::Avx512, Space::L2) => unsafe { fours::listed::<false, FAR>(query, data, rows, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Tier::Avx512, Space::Product) => unsafe { fours::listed::<true, FAR>(query, data, rows, out) },
        }
    }

    /// Distances from `query` to every row of `data`, replacing what `out` held.
    #[cfg_attr(
        target_arch = "x86_64",
        expect(unsafe_code, reason = "functions compiled for a detected instruction set")
    )]
    pub(crate) fn all(self, query: &[f32], data: &[f32], out: &mut Vec<f32>) {
        match (self.tier, self.space) {
            (Tier::Portable, Space::L2) => all::<false>(query, data, out),
            (Tier::Portable, Space::Product) => all::<true>(query, data, out),
            // SAFETY: the tier exists only where AVX2 was detected.
            #[cfg(target_arch = "x86_64")]
            (Tier::Avx2, Space::L2) => unsafe { avx2::all::<false>(query, data, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Tier::Avx2, Space::Product) => unsafe { avx2::all::<true>(query, data, out) },
            // SAFETY: the tier exists only where AVX-512F was detected.
            #[cfg(target_arch = "x86_64")]
            (Tier::Avx512, Space::L2) => unsafe { avx512::all::<false>(query, data, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Tier::Avx512, Space::Product) => unsafe { avx512::all::<true>(query, data, out) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! tier {
    ($name:ident, $features:literal, { $($more:item)* }) => {
        mod $name {
            $($more)*

            #[target_feature(enable = $features)]
            pub(super) fn one<const PRODUCT: bool>(a: &[f32], b: &[f32]) -> f32 {
                super::one::<PRODUCT>(a, b)
            }

            #[target_feature(enable = $features)]
            pub(super) fn all<const PRODUCT: bool>(query: &[f32], data: &[f32], out: &mut Vec<f32>) {
                super::all::<PRODUCT>(query, data, out);
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
tier!(avx2, "avx2", {
    #[target_feature(enable = "avx2")]
    pub(super) fn listed<const PRODUCT: bool, const FAR: bool>(
        query: &[f32],
        data: &[f32],
        rows: &[u32],
        out: &mut Vec<f32>,
    ) {
        super::listed::<PRODUCT, FAR>(query, data, rows, out);
    }
});
#[cfg(target_arch = "x86_64")]
tier!(avx512, "avx512f", {});

// Plain loops, for what is called from them must be inlined to be compiled for the tier: a closure handed to the
// standard library is not.

#[inline(always)]
fn listed<const PRODUCT: bool, const FAR: bool>(
    query: &[f32],
    data: &[f32],
    rows: &[u32],
    out: &mut Vec<f32>,
) {
    let dim = query.len();
    out.clear();
    out.resize(rows.len(), 0.0);
    for &row in rows.iter().take(if FAR { AHEAD } else { 0 }) {
        prefetch(&data[row as usize * dim..][..dim]);
    }
    for (at, distance) in out.iter_mut().enumerate() {
        if FAR && let Some(&coming) = rows.get(at + AHEAD) {
            prefetch(&data[coming as usize * dim..][..dim]);
        }
        *distance = one::<PRODUCT>(query, &data[rows[at] as usize * dim..][..dim]);
    }
}

/// Asks for a row before it is needed: the rows a graph asks for lie anywhere, and no processor can guess.
///
/// The first half kilobyte is enough; what follows in order the processor fetches by itself.
#[inline(always)]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "a prefetch reads nothing"))]
pub(crate) fn prefetch<T>(row: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64;
        let start = row.as_ptr().cast::<i8>();
        for line in 0..size_of_val(row).div_ceil(LINE).min(8) {
            // SAFETY: a hint; it has no effect on memory, and every x86-64 processor has it (SSE).
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line * LINE)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

#[inline(always)]
fn all<const PRODUCT: bool>(query: &[f32], data: &[f32], out: &mut Vec<f32>) {
    out.clear();
    out.resize(data.len() / query.len(), 0.0);
    for (distance, row) in out.iter_mut().zip(data.chunks_exact(query.len())) {
        *distance = one::<PRODUCT>(query, row);
    }
}

#[inline(always)]
fn one<const PRODUCT: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        sums = add::<PRODUCT>(sums, a, b);
    }
    if !a_rest.is_empty() {
        // Padding with zeros adds zeros, the same ones in every tier.
        let (mut a, mut b) = ([0.0; LANES], [0.0; LANES]);
        a[..a_rest.len()].copy_from_slice(a_rest);
        b[..b_rest.len()].copy_from_slice(b_rest);
        sums = add::<PRODUCT>(sums, &a, &b);
    }
    if PRODUCT { 1.0 - fold(sums) } else { fold(sums) }
}

#[inline(always)]
fn add<const PRODUCT: bool>(mut sums: [f32; LANES], a: &[f32; LANES], b: &[f32; LANES]) -> [f32; LANES] {
    for lane in 0..LANES {
        let difference = a[lane] - b[lane];
        sums[lane] += if PRODUCT { a[lane] * b[lane] } else { difference * difference };
    }
    sums
}

#[inline(always)]
fn fold(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;

    fn values(draw: &mut Draw, count: usize) -> Vec<f32> {
        (0..count).map(|_| (draw.next() >> 40) as f32 / 65_536.0 - 128.0).collect()
    }

    #[test]
    fn every_tier_gives_identical_bits() {
        let mut draw = Draw::new(1, *b"tiers   ");
        let kernels = Kernel::available();
        let products: Vec<Kernel> =
            kernels.iter().map(|kernel| Kernel { space: Space::Product, ..*kernel }).collect();
        let mut out = Vec::new();
        let list = [2, 0, 1, 1, 0, 2, 2, 1, 0, 0, 1];
        for dim in (1..=200).chain([768, 1_000]) {
            for tiers in [&kernels, &products] {
                let portable = tiers[0];
                let (query, data) = (values(&mut draw, dim), values(&mut draw, dim * 3));
                let expected: Vec<u32> =
                    data.chunks_exact(dim).map(|row| portable.distance(&query, row).to_bits()).collect();
                for tier in tiers {
                    let one = data.chunks_exact(dim).map(|row| tier.distance(&query, row).to_bits());
                    assert!(one.eq(expected.iter().copied()), "{tier:?}, {dim} values");
                    for near in [false, true] {
                        match near {
                            false => tier.rows(&query, &data, &list, &mut out),
                            true => tier.near_rows(&query, &data, &list, &mut out),
                        }
                        let expected = list.iter().map(|&row| expected[row as usize]);
                        assert!(out.iter().map(|d| d.to_bits()).eq(expected), "{tier:?} rows, {dim}");
                    }
                    tier.all(&query, &data, &mut out);
                    assert!(
                        out.iter().map(|d| d.to_bits()).eq(expected.iter().copied()),
                        "{tier:?} all, {dim}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_sum_is_the_squared_distance() {
        let mut draw = Draw::new(2, *b"tiers   ");
        for dim in [1, 31, 32, 33, 100] {
            let (a, b) = (values(&mut draw, dim), values(&mut draw, dim));
            let exact: f64 = a.iter().zip(&b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
            let error = (f64::from(Kernel::detect().distance(&a, &b)) - exact).abs();
            assert!(error <= exact * 1e-5, "{dim} values: off by {error} of {exact}");
        }
    }
}
