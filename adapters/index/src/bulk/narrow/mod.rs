//! The nearest centre by integers: rows and centres are rounded to a grid, and what is compared are whole numbers.
//!
//! Twice as fast as floats where 16 bits are kept (`sharp`, which asks floats wherever the grid is too coarse to tell, so
//! that its answers are theirs) and four times where 8 are (`coarse`, for the rounds of k-means). Integers have one sum in
//! any order: all tiers agree.
//!
//! A **key** is half the squared distance to a centre, less what is the same for all centres, with the number of the
//! centre in its low bits; so the least key is the nearest centre, and the first of equals.

pub(crate) mod coarse;
#[cfg(target_arch = "x86_64")]
mod matrix;
pub(crate) mod sharp;

#[cfg(target_arch = "x86_64")]
use crate::tile::amx;
use crate::tile::{Counts, Form, LANES, Micro, ROWS, Tier, WIDE, WordTile, Words, on_tier, pack_words};

/// Words of centres met by a block of rows before the next ones come: they stay in the second-level cache.
const CENTRE_WORDS: usize = 64 * 1_024;

/// Rows met at a time.
const BLOCK: usize = 30 * LANES;

/// Rows on the grid, in panels.
#[derive(Debug)]
struct Packed {
    form: Form,
    /// Words of a row.
    width: usize,
    words: Vec<Words>,
    /// The same for the matrix unit, on that tier alone: see [`amx::turn`].
    turned: Vec<Words>,
}

impl Packed {
    /// Packs the distances of rows from `origin`, times `scale`.
    #[cfg_attr(
        target_arch = "x86_64",
        expect(unsafe_code, reason = "a function compiled for a detected instruction set")
    )]
    fn of<'r>(
        tier: Tier,
        form: Form,
        rows: impl ExactSizeIterator<Item = &'r [f32]>,
        origin: &[f32],
        scale: f32,
    ) -> Self {
        let width = form.width(tier, origin.len());
        let mut words = vec![Words::ZERO; rows.len().div_ceil(LANES) * width];
        fill(tier, form, rows, origin, scale, &mut words);
        let mut turned = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if tier == Tier::Amx {
            // SAFETY: the tier exists only where all that it needs was detected.
            unsafe { amx::turn(&words, width / form.planes(), &mut turned) };
        }
        Self { form, width, words, turned }
    }

    /// The words of one row.
    fn row(&self, at: usize) -> impl Iterator<Item = u32> + '_ {
        self.words[at / LANES * self.width..][..self.width].iter().map(move |words| words.0[at % LANES])
    }
}

/// Writes rows into panels of zeros.
pub(super) fn fill<'r>(
    tier: Tier,
    form: Form,
    mut rows: impl Iterator<Item = &'r [f32]>,
    origin: &[f32],
    scale: f32,
    words: &mut [Words],
) {
    let width = form.width(tier, origin.len());
    for panel in words.chunks_exact_mut(width) {
        let mut sixteen = [[].as_slice(); LANES];
        let mut taken = 0;
        for (place, row) in sixteen.iter_mut().zip(rows.by_ref()) {
            *place = row;
            taken += 1;
        }
        pack_words(tier, form, &sixteen[..taken], origin, scale, panel);
    }
}

/// What is compared beside the products: one number for each centre.
#[derive(Debug, Default)]
struct Bases {
    /// Whatever does not depend on the row, shifted; for rows that fill up the last panel the most there is.
    bases: Vec<i32>,
    /// By how much products are shifted.
    shift: u32,
    /// The low bits, which hold the number.
    numbers: i32,
}

impl Bases {
    fn fill(&mut self, shift: u32, bases: impl ExactSizeIterator<Item = f64>) {
        self.numbers = (1 << bits(bases.len())) - 1;
        self.shift = shift;
        let places = bases.len().next_multiple_of(LANES);
        let unit = f64::from(1u32 << shift);
        self.bases.clear();
        self.bases.extend(bases.map(|base| (base * unit).round() as i32));
        self.bases.resize(places, i32::MAX);
    }
}

/// Bits that number so many centres, and those that fill up the last panel.
fn bits(centres: usize) -> u32 {
    usize::BITS - (centres.next_multiple_of(LANES) - 1).leading_zeros()
}

/// The least key of each of sixteen rows, and the second least.
#[derive(Debug, Clone, Copy)]
struct Least {
    first: Counts,
    second: Counts,
}

impl Least {
    const NONE: Self = Self { first: Counts([i32::MAX; LANES]), second: Counts([i32::MAX; LANES]) };
}

/// Never met: there are as many bases as centres, and those that fill up the last panel.
const NO_BASES: [i32; ROWS] = [i32::MAX; ROWS];

/// Meets panels of rows with all centres; `PAIRS` is 1 where values have 16 bits, and the second least is wanted.
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "functions compiled for a detected instruction set")
)]
fn meet<const PAIRS: usize>(
    tier: Tier,
    centres: &Packed,
    bases: &Bases,
    points: &[Words],
    least: &mut [Least],
) {
    match tier {
        // SAFETY: the tier exists only where all that it needs was detected.
        #[cfg(target_arch = "x86_64")]
        Tier::Amx => unsafe { matrix::meet::<PAIRS>(centres, bases, points, least) },
        _ => meet_tiles::<PAIRS>(tier, centres, bases, points, least),
    }
}

on_tier!(
    fn meet_tiles<PAIRS> = meet_body(centres: &Packed, bases: &Bases, points: &[Words], least: &mut [Least])
);

#[inline(always)]
fn meet_body<M: Micro, const PAIRS: usize>(
    centres: &Packed,
    bases: &Bases,
    points: &[Words],
    least: &mut [Least],
) {
    let mut tile: WordTile = [[Counts::ZERO; WIDE]; ROWS];
    let width = centres.width;
    let panels = centres.words.len() / width;
    let block = (CENTRE_WORDS / LANES / width).max(1);
    let mut from = 0;
    while from < panels {
        let to = (from + block).min(panels);
        let mut at = 0;
        while at < least.len() {
            let wide = WIDE.min(least.len() - at);
            let points = &points[at * width..][..wide * width];
            for panel in from..to {
                let words = &centres.words[panel * width..][..width];
                for half in 0..LANES / ROWS {
                    if PAIRS == 1 {
                        M::pairs(words, half, points, &mut tile);
                    } else {
                        M::quads(words, half, points, &mut tile);
                    }
                    let first = panel * LANES + half * ROWS;
                    let of = bases.bases[first..].first_chunk().unwrap_or(&NO_BASES);
                    for (column, least) in least[at..at + wide].iter_mut().enumerate() {
                        if PAIRS == 1 {
                            both(bases, of, &tile, column, first, least);
                        } else {
                            let (shift, keep) = (bases.shift, !bases.numbers);
                            M::least(&tile, column, of, shift, keep, first as i32, &mut least.first);
                        }
                    }
                }
            }
            at += wide;
        }
        from = to;
    }
}

/// The keys of a tile, taken into the least and the second least.
#[inline(always)]
fn both(bases: &Bases, of: &[i32; ROWS], tile: &WordTile, column: usize, first: usize, least: &mut Least) {
    let (mut nearest, mut next) = (least.first, least.second);
    for (row, (tile, &base)) in tile.iter().zip(of).enumerate() {
        for lane in 0..LANES {
            let key = base.wrapping_sub(tile[column].0[lane]) & !bases.numbers | (first + row) as i32;
            next.0[lane] = next.0[lane].min(nearest.0[lane].max(key));
            nearest.0[lane] = nearest.0[lane].min(key);
        }
    }
    *least = Least { first: nearest, second: next };
}

/// The squared length of a row, measured from `origin`, to a part in a hundred.
fn square(row: &[f32], origin: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (row, origin) in row.chunks(LANES).zip(origin.chunks(LANES)) {
        for ((sum, value), origin) in sums.iter_mut().zip(row).zip(origin) {
            *sum += (value - origin) * (value - origin);
        }
    }
    sums.iter().sum()
}

/// Whether figures of this size neither vanish nor overflow on the way.
pub(super) fn moderate(size: f64) -> bool {
    (1e-15..1e15).contains(&size)
}
