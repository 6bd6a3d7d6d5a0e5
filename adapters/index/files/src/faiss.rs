//! A flat index of FAISS (`IndexFlatL2`, `IndexFlatIP`, `IndexFlat`), by itself or in an `IndexIDMap` or `IndexIDMap2`.
//!
//! All little-endian: a word of four letters; the dimension in 32 bits; the number of vectors and two numbers of no use in 64
//! bits; a byte; the metric in 32 bits, and an argument in 32 more of a metric above 1. In a map the index itself follows, then
//! its ids. In a flat index a 64-bit count of the values follows, then the values.

use crate::ids;
use crate::input::{Input, Stored};
use crate::{FileError, Found};

const MAPS: [[u8; 4]; 2] = [*b"IxMp", *b"IxM2"];
const FLAT: [[u8; 4]; 3] = [*b"IxF2", *b"IxFI", *b"IxFl"];

/// Whether a file that begins so is read here.
pub(crate) fn is_word(word: [u8; 4]) -> bool {
    MAPS.contains(&word) || FLAT.contains(&word)
}

pub(crate) fn read(input: &Input) -> Result<Found, FileError> {
    let mut at = 0;
    let word = input.array("the word of an index", at)?;
    let map = MAPS.contains(&word);
    if map {
        header(input, &mut at)?;
    }
    let word: [u8; 4] = input.array("the word of an index", at)?;
    if !FLAT.contains(&word) {
        let found = format!("an index of FAISS's kind `{}`", word.escape_ascii());
        return Err(
            input.unsuitable(found, "only flat ones hold vectors as they were: IndexFlat, IndexIDMap")
        );
    }
    let begin = at;
    let (dim, n) = header(input, &mut at)?;
    let count = u64::from_le_bytes(input.array("the count of values", at)?);
    at += 8;
    if dim == 0 || u128::from(n) * u128::from(dim) != u128::from(count) {
        let what = format!("{n} vectors of {dim} values do not make {count} values");
        return Err(input.damaged(begin, what));
    }
    let rows = input.rows(at, Stored::F32, n, dim as usize)?;
    at += 4 * count;
    let ids = if map { Some(mapped(input, &mut at, n)?) } else { None };
    input.ends(at)?;
    Ok(Found { dim: dim as usize, rows, ids })
}

/// Dimension and number of vectors of the index at a place, which moves behind its header.
fn header(input: &Input, at: &mut u64) -> Result<(u32, u64), FileError> {
    let head: [u8; 37] = input.array("the header of an index", *at)?;
    let number = |from: usize| i64::from_le_bytes(std::array::from_fn(|byte| head[from + byte]));
    let short = |from: usize| i32::from_le_bytes(std::array::from_fn(|byte| head[from + byte]));
    let (Ok(dim), Ok(n)) = (u32::try_from(short(4)), u64::try_from(number(8))) else {
        return Err(input.damaged(*at + 4, "a dimension or a number of vectors below zero"));
    };
    *at += if short(33) > 1 { 41 } else { 37 };
    Ok((dim, n))
}

/// The ids of a map.
fn mapped(input: &Input, at: &mut u64, n: u64) -> Result<Vec<u64>, FileError> {
    let count = u64::from_le_bytes(input.array("the count of ids", *at)?);
    if count != n {
        return Err(input.damaged(*at, format!("{count} ids for {n} vectors")));
    }
    *at += 8;
    input.holds("the ids", *at, u128::from(n) * 8)?;
    let bytes = input.bytes("the ids", *at, n * 8)?;
    *at += n * 8;
    let signed = bytes.as_chunks().0.iter().map(|id| i64::from_le_bytes(*id));
    ids::positive(input.path(), signed)
}
