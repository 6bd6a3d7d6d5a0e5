//! Products of many vectors with many: rows packed so that processors multiply sixteen at a time.
//!
//! A **panel** is 16 rows side by side: value `k` of all sixteen, then value `k + 1`. A **tile** is the dot products of
//! half a panel with one to three panels. Each product is one chain of fused multiply-adds, `k` from 0 up, so its bits
//! depend on the two rows alone: not on the instruction set, the tile, or the device. The OpenCL engine keeps the
//! same order, and a test holds every tier to it.
//!
//! `unsafe` is for calling functions compiled for an instruction set that the processor was asked about.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod panels;
mod words;

pub(crate) use panels::Panels;
use std::sync::OnceLock;
pub(crate) use words::{Counts, Form, RAISE, WordTile, Words, pack_words};

/// Rows of a panel.
pub(crate) const LANES: usize = 16;
/// Rows of a tile: half a panel.
pub(crate) const ROWS: usize = 8;
/// Panels of a tile, at most.
pub(crate) const WIDE: usize = 3;

/// One value of each row of a panel.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
pub(crate) struct Lane(pub(crate) [f32; LANES]);

impl Lane {
    pub(crate) const ZERO: Self = Self([0.0; LANES]);
}

/// Dot products: `[row][panel]`.
pub(crate) type Tile = [[Lane; WIDE]; ROWS];

/// An instruction set this processor is known to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Whatever the compiler makes of plain loops.
    Portable,
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The same, with VNNI.
    #[cfg(target_arch = "x86_64")]
    Vnni,
    /// The same, with the matrix unit for bytes; all that is not bytes is done as `Vnni` does it.
    #[cfg(target_arch = "x86_64")]
    Amx,
}

impl Tier {
    /// The fastest tier this processor runs.
    pub(crate) fn detect() -> Self {
        static BEST: OnceLock<Tier> = OnceLock::new();
        *BEST.get_or_init(|| *Self::available().last().expect("the portable tier is always there"))
    }

    /// Every tier this processor runs, slowest first.
    pub(crate) fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "one tier only"))]
        let mut tiers = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let fused = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if fused {
                tiers.push(Self::Avx2);
            }
            if fused && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                tiers.push(Self::Avx512);
                if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni") {
                    tiers.push(Self::Vnni);
                    if amx::granted() {
                        tiers.push(Self::Amx);
                    }
                }
            }
        }
        tiers
    }
}

impl Tier {
    /// The name a report shows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Portable => "fp32 portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "fp32 avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "fp32 avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => "fp32 avx512, int8 vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Amx => "fp32 avx512, int8 amx",
        }
    }
}

/// Whether this process may use the processor's matrix unit for bytes (AMX). The first call asks the system for it, for
/// all threads.
pub fn matrix_unit() -> bool {
    #[cfg(target_arch = "x86_64")]
    let granted = Tier::detect() == Tier::Amx;
    #[cfg(not(target_arch = "x86_64"))]
    let granted = false;
    granted
}

/// The products of rows `half * 8 ..` of panel `a` with up to three panels that follow each other in `b`.
///
/// Inlined into functions compiled for the tier `T`, so that what they do with the tile is compiled for it too.
pub(crate) trait Micro: Copy {
    fn tile(a: &[Lane], half: usize, b: &[Lane], out: &mut Tile);

    /// Turns sixteen rows, less the centre, into the lanes of a panel; answers how many values of each it took.
    #[inline(always)]
    fn turn(_rows: &[&[f32]; LANES], _centre: Option<&[f32]>, _panel: &mut [Lane]) -> usize {
        0
    }

    /// The same of words of 16-bit values.
    fn pairs(a: &[Words], half: usize, b: &[Words], out: &mut WordTile);

    /// The same of words of bytes: signed ones in `a`, unsigned ones of at most 127 in `b`.
    fn quads(a: &[Words], half: usize, b: &[Words], out: &mut WordTile);

    /// The least, in each lane of one panel of a tile, of `base - (product << shift)` with the bits of `keep`, and the
    /// number of the row in the others; or what was less before.
    #[inline(always)]
    fn least(
        tile: &WordTile,
        panel: usize,
        bases: &[i32; ROWS],
        shift: u32,
        keep: i32,
        first: i32,
        least: &mut Counts,
    ) {
        let mut found = *least;
        for ((tile, &base), number) in tile.iter().zip(bases).zip(first..) {
            for lane in 0..LANES {
                let key = base.wrapping_sub(tile[panel].0[lane].wrapping_shl(shift)) & keep | number;
                found.0[lane] = found.0[lane].min(key);
            }
        }
        *least = found;
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain;

impl Micro for Plain {
    #[inline(always)]
    fn tile(a: &[Lane], half: usize, b: &[Lane], out: &mut Tile) {
        let dim = a.len();
        for (panel, b) in b.chunks_exact(dim).enumerate() {
            for (row, out) in out.iter_mut().enumerate() {
                let mut sums = Lane::ZERO;
                for (a, b) in a.iter().zip(b) {
                    let value = a.0[half * ROWS + row];
                    for (sum, b) in sums.0.iter_mut().zip(b.0) {
                        *sum = value.mul_add(b, *sum);
                    }
                }
                out[panel] = sums;
            }
        }
    }

    #[inline(always)]
    fn pairs(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
        plain_words(a, half, b, out, words::pair);
    }

    #[inline(always)]
    fn quads(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
        plain_words(a, half, b, out, words::quad);
    }
}

#[inline(always)]
fn plain_words(a: &[Words], half: usize, b: &[Words], out: &mut WordTile, product: impl Fn(u32, u32) -> i32) {
    for (panel, b) in b.chunks_exact(a.len()).enumerate() {
        for (row, out) in out.iter_mut().enumerate() {
            let mut sums = Counts::ZERO;
            for (a, b) in a.iter().zip(b) {
                for (sum, b) in sums.0.iter_mut().zip(b.0) {
                    *sum = sum.wrapping_add(product(a.0[half * ROWS + row], b));
                }
            }
            out[panel] = sums;
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2;

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "functions compiled for a detected instruction set")]
impl Micro for Avx2 {
    #[inline(always)]
    fn tile(a: &[Lane], half: usize, b: &[Lane], out: &mut Tile) {
        // SAFETY: only functions that `on_tier!` compiled for AVX2 and FMA name this type, and it calls them only
        // where both were detected.
        unsafe { avx2::tile(a, half, b, out) }
    }

    #[inline(always)]
    fn pairs(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
        // SAFETY: as above.
        unsafe { avx2::pairs(a, half, b, out) }
    }

    #[inline(always)]
    fn quads(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
        // SAFETY: as above.
        unsafe { avx2::quads(a, half, b, out) }
    }
}

#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512;

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "functions compiled for a detected instruction set")]
impl Micro for Avx512 {
    #[inline(always)]
    fn tile(a: &[Lane], half: usize, b: &[Lane], out: &mut Tile) {
        // SAFETY: as above, for AVX-512F, which implies them.
        unsafe { avx512::tile(a, half, b, out) }
    }

    #[inline(always)]
    fn turn(rows: &[&[f32]; LANES], centre: Option<&[f32]>, panel: &mut [Lane]) -> usize {
        // SAFETY: as above, for AVX-512F.
        unsafe { avx512::turn(rows, centre, panel) };
        panel.len() / LANES * LANES
    }

    #[inline(always)]
    fn pairs(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
        // SAFETY: as above, for AVX-512F, which implies them.
        unsafe { avx2::pairs(a, half, b, out) }
    }

    #[inline(always)]
    fn quads(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
        // SAFETY: as above, for AVX-512F, which implies them.
        unsafe { avx2::quads(a, half, b, out) }
    }
}

#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vnni;

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "functions compiled for a detected instruction set")]
impl Micro for Vnni {
    #[inline(always)]
    fn tile(a: &[Lane], half: usize, b: &[Lane], out: &mut Tile) {
        // SAFETY: as above, for AVX-512F, AVX-512BW and VNNI.
        unsafe { avx512::tile(a, half, b, out) }
    }

    #[inline(always)]
    fn turn(rows: &[&[f32]; LANES], centre: Option<&[f32]>, panel: &mut [Lane]) -> usize {
        // SAFETY: as above, for AVX-512F.
        unsafe { avx512::turn(rows, centre, panel) };
        panel.len() / LANES * LANES
    }

    #[inline(always)]
    fn pairs(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
        // SAFETY: as above, for AVX-512F, AVX-512BW and VNNI.
        unsafe { avx512::pairs(a, half, b, out) }
    }

    #[inline(always)]
    fn quads(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
        // SAFETY: as above, for AVX-512F, AVX-512BW and VNNI.
        unsafe { avx512::quads(a, half, b, out) }
    }

    #[inline(always)]
    fn least(
        tile: &WordTile,
        panel: usize,
        bases: &[i32; ROWS],
        shift: u32,
        keep: i32,
        first: i32,
        least: &mut Counts,
    ) {
        // SAFETY: as above.
        unsafe { avx512::least(tile.iter().map(|row| &row[panel]), bases, shift, keep, first, least) }
    }
}

/// As [`Micro::least`], of sixteen rows.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn least_of(
    sums: &amx::Sums,
    bases: &[i32],
    shift: u32,
    keep: i32,
    first: i32,
    least: &mut Counts,
) {
    avx512::least(sums.iter(), bases, shift, keep, first, least);
}

/// Defines `$name(tier, ..)`: the generic function `$body::<Micro>`, compiled for each tier, called for the one given.
/// The one constant it may have is passed on.
macro_rules! on_tier {
    ($(#[$doc:meta])* $vis:vis fn $name:ident $(<$n:ident>)? = $body:ident ( $($arg:ident : $type:ty),* $(,)? )) => {
        $(#[$doc])*
        #[cfg_attr(
            target_arch = "x86_64",
            expect(unsafe_code, reason = "functions compiled for a detected instruction set")
        )]
        $vis fn $name $(<const $n: usize>)? (tier: $crate::tile::Tier, $($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<const $n: usize>)? ($($arg: $type),*) {
                $body::<$crate::tile::Avx2 $(, $n)?>($($arg),*);
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512vl")]
            fn avx512 $(<const $n: usize>)? ($($arg: $type),*) {
                $body::<$crate::tile::Avx512 $(, $n)?>($($arg),*);
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512vnni")]
            fn vnni $(<const $n: usize>)? ($($arg: $type),*) {
                $body::<$crate::tile::Vnni $(, $n)?>($($arg),*);
            }
            match tier {
                $crate::tile::Tier::Portable => $body::<$crate::tile::Plain $(, $n)?>($($arg),*),
                // SAFETY: the tier exists only where AVX2 and FMA were detected.
                #[cfg(target_arch = "x86_64")]
                $crate::tile::Tier::Avx2 => unsafe { avx2 $(::<$n>)? ($($arg),*) },
                // SAFETY: the tier exists only where AVX-512F and AVX-512VL were detected.
                #[cfg(target_arch = "x86_64")]
                $crate::tile::Tier::Avx512 => unsafe { avx512 $(::<$n>)? ($($arg),*) },
                // SAFETY: the tier exists only where AVX-512F, VL, BW and VNNI were detected.
                #[cfg(target_arch = "x86_64")]
                $crate::tile::Tier::Vnni | $crate::tile::Tier::Amx => unsafe { vnni $(::<$n>)? ($($arg),*) },
            }
        }
    };
}
pub(crate) use on_tier;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;

    on_tier!(fn tile_of = tile_with(a: &[Lane], half: usize, b: &[Lane], out: &mut Tile));

    #[inline(always)]
    fn tile_with<M: Micro>(a: &[Lane], half: usize, b: &[Lane], out: &mut Tile) {
        M::tile(a, half, b, out);
    }

    #[test]
    fn every_tier_and_width_gives_identical_bits_and_the_product() {
        let mut draw = Draw::new(1, *b"tiles   ");
        for dim in (1..40).chain([96, 128, 384]) {
            let rows: Vec<f32> =
                (0..64 * dim).map(|_| (draw.next() >> 40) as f32 / 65_536.0 - 128.0).collect();
            let mut panels = Panels::default();
            panels.fill(Tier::Portable, dim, rows.chunks_exact(dim), None);
            for (half, wide) in [(0, 1), (1, 2), (0, 3), (1, 3)] {
                let b = &panels.values()[dim..][..wide * dim];
                let mut expected = [[Lane::ZERO; WIDE]; ROWS];
                Plain::tile(panels.panel(0), half, b, &mut expected);
                for tier in Tier::available() {
                    let mut out = [[Lane::ZERO; WIDE]; ROWS];
                    tile_of(tier, panels.panel(0), half, b, &mut out);
                    assert!(out == expected, "{tier:?}, {dim} values, half {half}, {wide} panels");
                }
                for row in 0..ROWS {
                    for column in 0..wide * LANES {
                        let (a, b) =
                            (&rows[(half * ROWS + row) * dim..][..dim], &rows[(16 + column) * dim..][..dim]);
                        let exact: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                        let size: f64 =
                            a.iter().zip(b).map(|(a, b)| (f64::from(*a) * f64::from(*b)).abs()).sum();
                        let found = expected[row][column / LANES].0[column % LANES];
                        assert!((f64::from(found) - exact).abs() <= size * 1e-4);
                    }
                }
            }
        }
    }
}
