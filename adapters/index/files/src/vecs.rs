//! `.fvecs` and `.bvecs`: each row is a 32-bit count and as many values.

use crate::input::{Input, Stored};
use crate::{FileError, Found, Rows};
use std::io::{BufReader, Read, Seek};

/// More values in a vector than can be indexed.
const MOST: i32 = 65_536;

pub(crate) fn read(input: &Input, stored: Stored) -> Result<Found, FileError> {
    let first = i32::from_le_bytes(input.array("the first count", 0)?);
    if !(1..=MOST).contains(&first) {
        let what =
            format!("a vector of {first} values, where 1 to {MOST} can be; it is no file of this format");
        return Err(input.damaged(0, what));
    }
    let dim = first as usize;
    let width = if stored == Stored::U8 { dim } else { 4 * dim };
    let rows = input.length() / (4 + width as u64);
    let mut out = Vec::with_capacity(rows as usize * dim);
    let mut from = input.file();
    from.rewind().map_err(|source| failed(input, source))?;
    let mut from = BufReader::with_capacity(1 << 20, from);
    let (mut count, mut row) = ([0; 4], vec![0; width]);
    let mut at = 0;
    while at < input.length() {
        input.holds("the count of a row", at, 4)?;
        from.read_exact(&mut count).map_err(|source| failed(input, source))?;
        let found = i32::from_le_bytes(count);
        if found != first {
            let found = usize::try_from(found)
                .map_err(|_| input.damaged(at, format!("a vector of {found} values")))?;
            return Err(FileError::Uneven {
                path: input.path().to_owned(),
                row: out.len() / dim,
                found,
                dim,
            });
        }
        input.holds("a row", at + 4, width as u128)?;
        from.read_exact(&mut row).map_err(|source| failed(input, source))?;
        stored.convert(&row, &mut out);
        at += 4 + width as u64;
    }
    Ok(Found { dim, rows: Rows::Memory(out), ids: None })
}

fn failed(input: &Input, source: std::io::Error) -> FileError {
    FileError::Io { path: input.path().to_owned(), source }
}
