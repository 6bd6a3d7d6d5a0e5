//! Which centres are nearest to each row: the first step of partitioning, and all of k-means.
//!
//! One centre is found exactly, the first of equals. Several are found by **packed keys**: the bits of a non-negative
//! distance, its low ten replaced by the number of the centre, sort as integers do, so a sorted list in each SIMD lane
//! needs nothing but minima and maxima. Distances that differ by less than a part in 8,192 count as equal.

use super::narrow::sharp::Sharp;
use super::rows::Rows;
use crate::crew;
use crate::engine::{BuildError, Progress};
use crate::tile::{LANES, Lane, Micro, Panels, ROWS, Tier, Tile, WIDE, on_tier};

/// Centres a packed key can number.
pub(crate) const MOST_CENTRES: usize = 1 << INDEX_BITS;
/// The most centres found for a row.
pub(crate) const MOST_NEAREST: usize = 16;
pub(crate) const INDEX_BITS: u32 = 10;
const INDEX: u32 = (1 << INDEX_BITS) - 1;

/// Rows packed at a time, at most.
const BLOCK: usize = 10 * WIDE * LANES;
/// Their values; they and a block of centres stay in the second-level cache, and leave some of it to others.
const BLOCK_VALUES: usize = 192 * 1_024;
/// Values of centres met by a block of rows before the next ones come.
const CENTRE_VALUES: usize = 64 * 1_024;

/// Fewer centres, or rows, than this are not worth being rounded first.
const WORTH_A_GRID: usize = 64;

/// A list of integers for each of sixteen lanes.
type Keys = [u32; LANES];

/// The `f` nearest of `centres` to each of the listed `rows`, nearest first: row after row.
///
/// With `f` above 1 there are at most [`MOST_CENTRES`] centres and `f` is at most [`MOST_NEAREST`] and at most the
/// number of centres.
pub(crate) fn nearest_centres(
    rows: Rows<'_>,
    list: &[u32],
    centres: Rows<'_>,
    f: usize,
    progress: &mut Progress<'_>,
) -> Result<Vec<u32>, BuildError> {
    let packed = Centres::of(centres);
    let mut out = vec![0u32; list.len() * f];
    let worth_it = f == 1 && centres.len() >= WORTH_A_GRID && list.len() >= WORTH_A_GRID;
    if let Some(sharp) = worth_it.then(|| Sharp::of(&packed, centres)).flatten() {
        let items = list.chunks(BLOCK).zip(out.chunks_mut(BLOCK));
        crew::each(items, progress, Default::default, |scratch, (list, out)| {
            sharp.nearest(rows, list, scratch, out);
        })?;
        return Ok(out);
    }
    let block = block(rows.dim);
    let items = list.chunks(block).zip(out.chunks_mut(block * f));
    crew::each(items, progress, Panels::default, |points, (list, out)| {
        packed.nearest(rows, list, f, points, out);
    })?;
    Ok(out)
}

/// Rows of so many values that are packed at a time: whole tiles.
fn block(dim: usize) -> usize {
    const TILE: usize = WIDE * LANES;
    (BLOCK_VALUES / dim / TILE * TILE).clamp(TILE, BLOCK)
}

/// Packed centres.
#[derive(Debug)]
pub(crate) struct Centres {
    tier: Tier,
    centre: Vec<f32>,
    panels: Panels,
    dim: usize,
}

impl Centres {
    pub(crate) fn of(centres: Rows<'_>) -> Self {
        Self::on(Tier::detect(), centres)
    }

    /// Packed for these instructions.
    pub(crate) fn on(tier: Tier, centres: Rows<'_>) -> Self {
        let centre = Self::centre(centres);
        let mut panels = Panels::default();
        panels.fill(tier, centres.dim, centres.data.chunks_exact(centres.dim), Some(&centre));
        Self { tier, centre, panels, dim: centres.dim }
    }

    /// The point all distances are measured from: among the centres.
    pub(crate) fn centre(centres: Rows<'_>) -> Vec<f32> {
        centres.centre(0..centres.len() as u32)
    }

    /// The instructions it is packed for.
    pub(crate) fn tier(&self) -> Tier {
        self.tier
    }

    /// The point all distances are measured from.
    pub(crate) fn origin(&self) -> &[f32] {
        &self.centre
    }

    /// As [`nearest_centres`], on this thread.
    pub(crate) fn nearest(
        &self,
        rows: Rows<'_>,
        list: &[u32],
        f: usize,
        points: &mut Panels,
        out: &mut [u32],
    ) {
        points.fill(self.tier, self.dim, list.iter().map(|&at| rows.row(at)), Some(&self.centre));
        match f {
            1 => one(self.tier, self, points, out),
            2..=4 => some::<4>(self.tier, self, points, f, out),
            5..=8 => some::<8>(self.tier, self, points, f, out),
            9..=12 => some::<12>(self.tier, self, points, f, out),
            _ => some::<16>(self.tier, self, points, f, out),
        }
    }

    /// Panels of centres met at a time.
    fn block(&self) -> usize {
        (CENTRE_VALUES / LANES / self.dim).max(1)
    }

    /// Calls `meet(first centre, first panel of rows, panels, tile)` for all tiles of centres with rows.
    #[inline(always)]
    fn tiles<M: Micro>(&self, points: &Panels, mut meet: impl FnMut(usize, usize, usize, &Tile)) {
        let mut tile: Tile = [[Lane::ZERO; WIDE]; ROWS];
        let mut from = 0;
        while from < self.panels.count() {
            let to = (from + self.block()).min(self.panels.count());
            let mut at = 0;
            while at < points.count() {
                let wide = WIDE.min(points.count() - at);
                for panel in from..to {
                    for half in 0..LANES / ROWS {
                        M::tile(self.panels.panel(panel), half, points.panels(at, wide), &mut tile);
                        meet(panel * LANES + half * ROWS, at, wide, &tile);
                    }
                }
                at += wide;
            }
            from = to;
        }
    }
}

on_tier!(fn one = one_body(centres: &Centres, points: &Panels, out: &mut [u32]));

#[expect(clippy::needless_range_loop, reason = "lanes of several arrays side by side become vectors")]
#[inline(always)]
fn one_body<M: Micro>(centres: &Centres, points: &Panels, out: &mut [u32]) {
    let mut best = vec![(Lane([f32::INFINITY; LANES]), [0u32; LANES]); points.count()];
    centres.tiles::<M>(points, |first, at, wide, tile| {
        for (row, tile) in tile.iter().enumerate() {
            let norm = centres.panels.norms()[first / LANES].0[first % LANES + row];
            for (panel, (distances, numbers)) in best[at..at + wide].iter_mut().enumerate() {
                for lane in 0..LANES {
                    // The row's own length is left out: it is the same for all centres.
                    let distance = (-2.0f32).mul_add(tile[panel].0[lane], norm);
                    let nearer = distance < distances.0[lane];
                    distances.0[lane] = if nearer { distance } else { distances.0[lane] };
                    numbers[lane] = if nearer { (first + row) as u32 } else { numbers[lane] };
                }
            }
        }
    });
    for (out, (_, numbers)) in out.chunks_mut(LANES).zip(&best) {
        out.copy_from_slice(&numbers[..out.len()]);
    }
}

fn some<const F: usize>(tier: Tier, centres: &Centres, points: &Panels, f: usize, out: &mut [u32]) {
    let mut lists = vec![[[u32::MAX; LANES]; F]; points.count()];
    lists_of::<F>(tier, centres, points, &mut lists);
    for (at, out) in out.chunks_exact_mut(f).enumerate() {
        for (out, keys) in out.iter_mut().zip(&lists[at / LANES]) {
            // A key of a filling row says infinity; values that overflow may leave nothing else.
            *out = (keys[at % LANES] & INDEX).min(centres.panels.len() as u32 - 1);
        }
    }
}

on_tier!(fn lists_of<F> = lists_body(centres: &Centres, points: &Panels, lists: &mut [[Keys; F]]));

#[inline(always)]
fn lists_body<M: Micro, const F: usize>(centres: &Centres, points: &Panels, lists: &mut [[Keys; F]]) {
    centres.tiles::<M>(points, |first, at, wide, tile| {
        for panel in 0..wide {
            let (list, lengths) = (&mut lists[at + panel], &points.norms()[at + panel]);
            let mut sorted = *list;
            for (row, tile) in tile.iter().enumerate() {
                let norm = centres.panels.norms()[first / LANES].0[first % LANES + row];
                insert(&mut sorted, keys(&tile[panel], norm, lengths, [(first + row) as u32; LANES]));
            }
            *list = sorted;
        }
    });
}

/// Packed keys: the squared distances of a lane of pairs, with `numbers` in their low bits.
#[inline(always)]
pub(crate) fn keys(products: &Lane, norm: f32, norms: &Lane, numbers: Keys) -> Keys {
    let mut keys = [0; LANES];
    for lane in 0..LANES {
        let distance = (-2.0f32).mul_add(products.0[lane], norm + norms.0[lane]);
        // Rounding may leave a little less than nothing; what overflowed to no number counts as nothing too.
        let distance = if distance > 0.0 { distance } else { 0.0 };
        keys[lane] = distance.to_bits() & !INDEX | numbers[lane];
    }
    keys
}

/// Puts each lane's key into its sorted list, whose greatest falls out.
#[inline(always)]
pub(crate) fn insert<const F: usize>(sorted: &mut [Keys; F], mut keys: Keys) {
    for place in sorted.iter_mut() {
        for lane in 0..LANES {
            let less = place[lane].min(keys[lane]);
            keys[lane] = place[lane].max(keys[lane]);
            place[lane] = less;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;
    use std::ops::ControlFlow;

    /// Checked in double precision: whatever was found is as near as what should have been, within a key's rounding.
    #[test]
    fn the_nearest_centres_are_found() {
        let mut draw = Draw::new(1, *b"assign  ");
        let mut values = |count: usize| -> Vec<f32> {
            // Far from the origin, where squares cancel.
            (0..count).map(|_| 500.0 + (draw.next() >> 40) as f32 / 1_048_576.0).collect()
        };
        for (n, k, dim) in [(1, 1, 1), (500, 40, 5), (1_000, 1_024, 33), (700, 100, 128)] {
            let (data, centres) = (values(n * dim), values(k * dim));
            let (rows, centres) = (Rows { dim, data: &data }, Rows { dim, data: &centres });
            let list: Vec<u32> = (0..n as u32).rev().collect();
            let mut heard = |_| ControlFlow::Continue(());
            for f in [1, 2, 3, 8, 12, 16].into_iter().filter(|&f| f <= k) {
                let found = nearest_centres(rows, &list, centres, f, &mut Progress::new(&mut heard)).unwrap();
                for (at, found) in list.iter().zip(found.chunks_exact(f)) {
                    let distance = |centre: u32| -> f64 {
                        let pairs = rows.row(*at).iter().zip(centres.row(centre));
                        pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
                    };
                    let mut exact: Vec<f64> = (0..k as u32).map(distance).collect();
                    exact.sort_by(f64::total_cmp);
                    for (exact, found) in exact.iter().zip(found) {
                        let allowed = exact * (1.0 + 1.0 / 4_096.0) + 1e-3;
                        assert!(distance(*found) <= allowed, "{n} x {dim}, {k} centres, {f} found");
                    }
                    let mut apart = found.to_vec();
                    apart.sort_unstable();
                    apart.dedup();
                    assert_eq!(apart.len(), f, "no centre twice");
                }
            }
        }
    }

    /// `cargo test --release -p index --lib -- --ignored --nocapture as_fast`: billions of operations in a CPU second
    /// of one thread, packing and choosing included, to be held against a matrix product of the same shape.
    #[test]
    #[ignore = "a measurement, not a check"]
    fn how_fast_as_fast_as() {
        use crate::bulk::narrow::sharp::Scratch;
        use std::time::Instant;
        let mut draw = Draw::new(1, *b"speed   ");
        for dim in [128, 384, 768] {
            let (n, k) = (24_000, 1_024);
            let mut values = |count: usize| -> Vec<f32> {
                (0..count).map(|_| (draw.next() >> 40) as f32 / 16_777_216.0).collect()
            };
            let (data, centres) = (values(n * dim), values(k * dim));
            let (rows, centres) = (Rows { dim, data: &data }, Rows { dim, data: &centres });
            let list: Vec<u32> = (0..n as u32).collect();
            let floats = Centres::of(centres);
            let sharp = Sharp::of(&floats, centres).expect("a grid for values of moderate size");
            let (mut points, mut scratch, mut out) = (Panels::default(), Scratch::default(), vec![0; BLOCK]);
            let mut best = [f64::INFINITY; 2];
            for _ in 0..7 {
                let began = Instant::now();
                list.chunks(BLOCK)
                    .for_each(|list| floats.nearest(rows, list, 1, &mut points, &mut out[..list.len()]));
                best[0] = best[0].min(began.elapsed().as_secs_f64());
                let began = Instant::now();
                list.chunks(BLOCK)
                    .for_each(|list| sharp.nearest(rows, list, &mut scratch, &mut out[..list.len()]));
                best[1] = best[1].min(began.elapsed().as_secs_f64());
            }
            let work = 2.0 * (n * k * dim) as f64 / 1e9;
            let [floats, grid] = best.map(|seconds| work / seconds);
            println!(
                "{dim} values: floats {floats:.0} GF/s, by 16 bits and floats where needed {grid:.0} GF/s"
            );
        }
    }
}
