//! Ids of their own: whole numbers from 0, a different one for each row.

use crate::FileError;
use crate::input::Input;
use crate::npy::{Header, width};
use std::path::Path;

/// The ids in a `.npy`, one for each of so many rows.
pub(crate) fn read(path: &Path, rows: usize) -> Result<Vec<u64>, FileError> {
    let input = Input::open(path)?;
    let header = Header::read(&input)?;
    let kind = header.kind.as_str();
    if !["<i4", "<u4", "<i8", "<u8"].contains(&kind) {
        let remedy = "save them as whole numbers: numpy.save(path, ids.astype('<i8'))";
        return Err(input.unsuitable(format!("ids of type {kind}"), remedy));
    }
    let &[count] = header.shape.as_slice() else {
        let found = format!("an array of shape {:?} where ids should be", header.shape);
        return Err(input.unsuitable(found, "save them in one dimension: ids.reshape(-1)"));
    };
    if count != rows as u64 {
        let ids = usize::try_from(count).unwrap_or(usize::MAX);
        return Err(FileError::IdCount { path: path.to_owned(), ids, rows });
    }
    let bytes = input.bytes("the ids", header.at, count * width(kind))?;
    input.ends(header.at + count * width(kind))?;
    let (short, long) = (bytes.as_chunks().0.iter(), bytes.as_chunks().0.iter());
    let ids = match kind {
        "<i4" => positive(path, short.map(|id| i32::from_le_bytes(*id).into()))?,
        "<u4" => short.map(|id| u32::from_le_bytes(*id).into()).collect(),
        "<i8" => positive(path, long.map(|id| i64::from_le_bytes(*id)))?,
        _ => long.map(|id| u64::from_le_bytes(*id)).collect(),
    };
    different(path, ids)
}

/// Refuses ids below zero.
pub(crate) fn positive(path: &Path, ids: impl Iterator<Item = i64>) -> Result<Vec<u64>, FileError> {
    let unsigned = |(row, id): (usize, i64)| {
        u64::try_from(id).map_err(|_| FileError::Negative { path: path.to_owned(), row, id })
    };
    ids.enumerate().map(unsigned).collect()
}

/// Refuses an id that occurs twice.
pub(crate) fn different(path: &Path, ids: Vec<u64>) -> Result<Vec<u64>, FileError> {
    if ids.is_sorted_by(|a, b| a < b) {
        return Ok(ids);
    }
    let mut sorted: Vec<(u64, usize)> = ids.iter().copied().zip(0..).collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(&[(id, first), (_, second)]) => {
            Err(FileError::Repeated { path: path.to_owned(), id, first, second })
        }
        _ => Ok(ids),
    }
}
