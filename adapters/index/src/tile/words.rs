//! Rows in few bits: panels of 32-bit words, each holding two or four values that follow each other in a row.
//!
//! Sums of integers have one result in any order, so every tier agrees by nature; and a word is multiplied in one
//! instruction (VNNI), so these tiles are two and four times as fast as those of floats.
//!
//! **Pairs** are two signed 16-bit values. **Halves** are the same values cut in two for the matrix unit, which knows
//! bytes: words of their high bytes, then words of their low bytes. **Quads** are four bytes: unsigned ones of at most
//! 127 in the columns (`b`), signed ones of at least -127 in the rows (`a`), so that no pair of products exceeds 16 bits.
//! What does not fill a word is zero.

use super::{LANES, Micro, ROWS, Tier, WIDE, on_tier};

/// One word of each row of a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(crate) struct Words(pub(crate) [u32; LANES]);

impl Words {
    pub(crate) const ZERO: Self = Self([0; LANES]);
}

/// One sum for each row of a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(crate) struct Counts(pub(crate) [i32; LANES]);

impl Counts {
    pub(crate) const ZERO: Self = Self([0; LANES]);
}

/// Dot products of words: `[row][panel]`.
pub(crate) type WordTile = [[Counts; WIDE]; ROWS];

/// What a word holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Two signed values of 16 bits.
    Pairs,
    /// Values of 16 bits as high bytes (signed), and behind all of them low bytes (unsigned), four a word.
    Halves,
    /// Four signed bytes: for rows.
    Signed,
    /// Four bytes, 64 more than the value: for columns.
    Raised,
}

/// What is added to values of [`Form::Raised`].
pub(crate) const RAISE: i32 = 64;

impl Form {
    /// Values of 16 bits, as this tier multiplies them fastest.
    pub(crate) fn fine(tier: Tier) -> Self {
        match tier {
            #[cfg(target_arch = "x86_64")]
            Tier::Amx => Self::Halves,
            _ => Self::Pairs,
        }
    }

    /// The least and the greatest value.
    pub(crate) fn ends(self) -> (f32, f32) {
        match self {
            Self::Pairs | Self::Halves => (-32_767.0, 32_767.0),
            Self::Signed => (-127.0, 127.0),
            Self::Raised => (-64.0, 63.0),
        }
    }

    /// Parts of a row that lie one behind the other.
    pub(crate) fn planes(self) -> usize {
        if self == Self::Halves { 2 } else { 1 }
    }

    /// Words of a row of `dim` values, with those that this tier wants to be filled up.
    pub(crate) fn width(self, tier: Tier, dim: usize) -> usize {
        let words = dim.div_ceil(if self == Self::Pairs { 2 } else { 4 });
        match tier {
            #[cfg(target_arch = "x86_64")]
            Tier::Amx => self.planes() * super::amx::padded(words),
            _ => self.planes() * words,
        }
    }

    /// Squared lengths of the rows of a panel of 16-bit values.
    pub(crate) fn squares(self, panel: &[Words]) -> [i32; LANES] {
        let mut sums = [0i32; LANES];
        let mut add = |lane: usize, values: [i32; 2]| {
            let squares = values.map(|value| value.wrapping_mul(value));
            sums[lane] = sums[lane].wrapping_add(squares[0]).wrapping_add(squares[1]);
        };
        match self {
            Self::Halves => {
                let (high, low) = panel.split_at(panel.len() / 2);
                for (high, low) in high.iter().zip(low) {
                    for lane in 0..LANES {
                        let (high, low) = (high.0[lane].to_le_bytes(), low.0[lane].to_le_bytes());
                        let value = |at: usize| i32::from(high[at] as i8) << 8 | i32::from(low[at]);
                        add(lane, [value(0), value(1)]);
                        add(lane, [value(2), value(3)]);
                    }
                }
            }
            _ => {
                for words in panel {
                    for (lane, &word) in words.0.iter().enumerate() {
                        let (a, b) = pair_of(word);
                        add(lane, [a, b]);
                    }
                }
            }
        }
        sums
    }
}

/// Rounds `(row - centre) * scale` and packs up to sixteen rows into a panel of zeros.
pub(crate) fn pack_words(
    tier: Tier,
    form: Form,
    rows: &[&[f32]],
    centre: &[f32],
    scale: f32,
    panel: &mut [Words],
) {
    let whole = <&[&[f32]; LANES]>::try_from(rows).ok();
    let done = whole.map_or(0, |rows| turn_words(tier, form, rows, centre, scale, panel));
    if done == centre.len() {
        return;
    }
    for (lane, row) in rows.iter().enumerate() {
        let (row, centre) = (&row[done..], &centre[done..]);
        match form {
            Form::Pairs => pairs_of(tier, row, centre, scale, lane, &mut panel[done / 2..]),
            Form::Halves => {
                let (high, low) = panel.split_at_mut(panel.len() / 2);
                halves_of(tier, row, centre, scale, lane, &mut high[done / 4..], &mut low[done / 4..]);
            }
            Form::Signed => signed_of(tier, row, centre, scale, lane, &mut panel[done / 4..]),
            Form::Raised => raised_of(tier, row, centre, scale, lane, &mut panel[done / 4..]),
        }
    }
}

/// The same of as many values of sixteen rows as this tier takes at once; answers how many those are.
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "functions compiled for a detected instruction set")
)]
fn turn_words(
    tier: Tier,
    form: Form,
    rows: &[&[f32]; LANES],
    centre: &[f32],
    scale: f32,
    panel: &mut [Words],
) -> usize {
    match tier {
        // SAFETY: the tiers exist only where AVX-512F and AVX-512BW were detected.
        #[cfg(target_arch = "x86_64")]
        Tier::Vnni | Tier::Amx => unsafe { super::avx512::turn_words(form, rows, centre, scale, panel) },
        _ => 0,
    }
}

on_tier!(fn pairs_of = pairs_body(row: &[f32], centre: &[f32], scale: f32, lane: usize, panel: &mut [Words]));
on_tier!(fn halves_of = halves_body(
    row: &[f32],
    centre: &[f32],
    scale: f32,
    lane: usize,
    high: &mut [Words],
    low: &mut [Words],
));
on_tier!(fn signed_of = signed_body(row: &[f32], centre: &[f32], scale: f32, lane: usize, panel: &mut [Words]));
on_tier!(fn raised_of = raised_body(row: &[f32], centre: &[f32], scale: f32, lane: usize, panel: &mut [Words]));

/// Values rounded at a time.
const CHUNK: usize = 64;

#[inline(always)]
fn pairs_body<M: Micro>(row: &[f32], centre: &[f32], scale: f32, lane: usize, panel: &mut [Words]) {
    let chunks = row.chunks(CHUNK).zip(centre.chunks(CHUNK)).zip(panel.chunks_mut(CHUNK / 2));
    for ((row, centre), panel) in chunks {
        let rounded = rounded(row, centre, scale, Form::Pairs.ends());
        for (at, out) in panel.iter_mut().enumerate() {
            out.0[lane] = (rounded[2 * at] as u32 & 0xffff) | (rounded[2 * at + 1] as u32) << 16;
        }
    }
}

#[inline(always)]
fn halves_body<M: Micro>(
    row: &[f32],
    centre: &[f32],
    scale: f32,
    lane: usize,
    high: &mut [Words],
    low: &mut [Words],
) {
    let planes = high.chunks_mut(CHUNK / 4).zip(low.chunks_mut(CHUNK / 4));
    for ((row, centre), (high, low)) in row.chunks(CHUNK).zip(centre.chunks(CHUNK)).zip(planes) {
        let rounded = rounded(row, centre, scale, Form::Halves.ends());
        quads(&rounded.map(|value| value >> 8), lane, high);
        quads(&rounded, lane, low);
    }
}

#[inline(always)]
fn signed_body<M: Micro>(row: &[f32], centre: &[f32], scale: f32, lane: usize, panel: &mut [Words]) {
    let chunks = row.chunks(CHUNK).zip(centre.chunks(CHUNK)).zip(panel.chunks_mut(CHUNK / 4));
    for ((row, centre), panel) in chunks {
        let rounded = rounded(row, centre, scale, Form::Signed.ends());
        quads(&rounded, lane, panel);
    }
}

#[inline(always)]
fn raised_body<M: Micro>(row: &[f32], centre: &[f32], scale: f32, lane: usize, panel: &mut [Words]) {
    let chunks = row.chunks(CHUNK).zip(centre.chunks(CHUNK)).zip(panel.chunks_mut(CHUNK / 4));
    for ((row, centre), panel) in chunks {
        let mut rounded = rounded(row, centre, scale, Form::Raised.ends());
        rounded[..row.len()].iter_mut().for_each(|value| *value += RAISE);
        quads(&rounded, lane, panel);
    }
}

#[inline(always)]
fn rounded(row: &[f32], centre: &[f32], scale: f32, (least, most): (f32, f32)) -> [i32; CHUNK] {
    let mut out = [0; CHUNK];
    for at in 0..row.len() {
        let value = ((row[at] - centre[at]) * scale).round_ties_even();
        let value = if value > least { value } else { least };
        let value = if value < most { value } else { most };
        out[at] = value as i32;
    }
    out
}

#[inline(always)]
fn quads(values: &[i32; CHUNK], lane: usize, panel: &mut [Words]) {
    for (out, quad) in panel.iter_mut().zip(values.as_chunks::<4>().0) {
        let [a, b, c, d] = quad.map(|value| value as u32 & 0xff);
        out.0[lane] = a | b << 8 | c << 16 | d << 24;
    }
}

/// The sum of the products of the values of two words.
#[inline(always)]
pub(super) fn pair(a: u32, b: u32) -> i32 {
    let ((a, c), (b, d)) = (pair_of(a), pair_of(b));
    (a * b).wrapping_add(c * d)
}

#[inline(always)]
fn pair_of(word: u32) -> (i32, i32) {
    (i32::from(word as u16 as i16), i32::from((word >> 16) as u16 as i16))
}

/// The same of a word of signed bytes with one of unsigned bytes.
#[inline(always)]
pub(super) fn quad(a: u32, b: u32) -> i32 {
    let mut sum = 0;
    for shift in [0, 8, 16, 24] {
        sum += i32::from((a >> shift) as u8 as i8) * ((b >> shift) & 0xff) as i32;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;
    use crate::tile::Micro;

    on_tier!(fn pairs_tile = pairs_with(a: &[Words], half: usize, b: &[Words], out: &mut WordTile));
    on_tier!(fn quads_tile = quads_with(a: &[Words], half: usize, b: &[Words], out: &mut WordTile));

    #[inline(always)]
    fn pairs_with<M: Micro>(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
        M::pairs(a, half, b, out);
    }

    #[inline(always)]
    fn quads_with<M: Micro>(a: &[Words], half: usize, b: &[Words], out: &mut WordTile) {
        M::quads(a, half, b, out);
    }

    fn panel(form: Form, dim: usize, rows: &[f32]) -> Vec<Words> {
        let centre = vec![0.0; dim];
        let words = form.width(Tier::Portable, dim);
        let mut out = vec![Words::ZERO; words * rows.len().div_ceil(LANES * dim)];
        let rows: Vec<&[f32]> = rows.chunks_exact(dim).collect();
        for (rows, panel) in rows.chunks(LANES).zip(out.chunks_exact_mut(words)) {
            pack_words(Tier::Portable, form, rows, &centre, 1.0, panel);
            for tier in Tier::available() {
                let mut same = vec![Words::ZERO; words];
                pack_words(tier, form, rows, &centre, 1.0, &mut same);
                assert!(same == panel, "{tier:?} packs {form:?} of {dim} otherwise");
            }
        }
        out
    }

    #[test]
    fn halves_are_the_same_values() {
        let mut draw = Draw::new(1, *b"halves  ");
        for dim in (1..20).chain([63, 64, 65, 130, 192]) {
            let rows: Vec<f32> =
                (0..40 * dim).map(|_| (draw.next() % 4_001) as f32 - 2_000.0 + 0.25).collect();
            let (pairs, halves) = (panel(Form::Pairs, dim, &rows), panel(Form::Halves, dim, &rows));
            let panels = |form: Form, words: &[Words]| -> Vec<[i32; LANES]> {
                words.chunks_exact(form.width(Tier::Portable, dim)).map(|panel| form.squares(panel)).collect()
            };
            let squares = panels(Form::Pairs, &pairs);
            assert_eq!(panels(Form::Halves, &halves), squares, "{dim} values");
            for (at, row) in rows.chunks_exact(dim).enumerate() {
                let square: f64 = row.iter().map(|value| f64::from(value.round_ties_even()).powi(2)).sum();
                assert_eq!(squares[at / LANES][at % LANES], square as i32, "{dim} values");
            }
        }
    }

    #[test]
    fn every_tier_gives_the_sum_of_the_products() {
        let mut draw = Draw::new(1, *b"words   ");
        for dim in (1..20).chain([63, 64, 65, 130]) {
            let mut values = |count: usize, most: u64| -> Vec<f32> {
                // The extremes often, for that is where sums overflow.
                let mut value = || match draw.next() % 4 {
                    0 => -(most as f32),
                    1 => most as f32,
                    _ => (draw.next() % (2 * most + 1)) as f32 - most as f32,
                };
                (0..count).map(|_| value()).collect()
            };
            for (rows, columns, by) in [(Form::Pairs, Form::Pairs, 2_047), (Form::Signed, Form::Raised, 127)]
            {
                let (a, b) = (values(16 * dim, by), values(48 * dim, if by == 127 { 63 } else { by }));
                let (packed_a, packed_b) = (panel(rows, dim, &a), panel(columns, dim, &b));
                for (half, wide) in [(0, 1), (1, 2), (0, 3), (1, 3)] {
                    for tier in Tier::available() {
                        let mut out = [[Counts::ZERO; WIDE]; ROWS];
                        let b_panels = &packed_b[..wide * packed_a.len()];
                        match rows {
                            Form::Pairs => pairs_tile(tier, &packed_a, half, b_panels, &mut out),
                            _ => quads_tile(tier, &packed_a, half, b_panels, &mut out),
                        }
                        for (row, column) in
                            (0..ROWS).flat_map(|row| (0..wide * LANES).map(move |c| (row, c)))
                        {
                            let (x, y) = (&a[(half * ROWS + row) * dim..][..dim], &b[column * dim..][..dim]);
                            let raise = if rows == Form::Pairs { 0.0 } else { 64.0 };
                            let sum: f64 =
                                x.iter().zip(y).map(|(x, y)| f64::from(*x) * (f64::from(*y) + raise)).sum();
                            let found = out[row][column / LANES].0[column % LANES];
                            assert_eq!(f64::from(found), sum, "{tier:?}, {rows:?}, {dim} values");
                        }
                    }
                }
            }
        }
    }
}
