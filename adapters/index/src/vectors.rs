//! The input of a build: ids and row-major `f32` values, checked once so that nothing behind has to.
//!
//! Invariants of a [`Vectors`]: `1 <= dim <= MAX_DIM`, `data.len() == ids.len() * dim`, ids unique, values finite.
//! Ids are unique because a filter that speaks of ids could not tell two versions of one apart.

use std::fmt;

/// The largest dimension accepted.
pub(crate) const MAX_DIM: usize = 65_536;

/// Checked, borrowed vectors.
#[derive(Clone, Copy)]
pub struct Vectors<'a> {
    dim: usize,
    ids: &'a [u64],
    data: &'a [f32],
}

impl<'a> Vectors<'a> {
    /// `data` holds one row of `dim` values for each id.
    ///
    /// # Errors
    /// Lengths that do not fit, a dimension of zero or beyond 65,536, a repeated id, NaN or infinity.
    pub fn new(dim: usize, ids: &'a [u64], data: &'a [f32]) -> Result<Self, VectorsError> {
        if !(1..=MAX_DIM).contains(&dim) {
            return Err(VectorsError::Dim(dim));
        }
        if ids.len() >= u32::MAX as usize {
            return Err(VectorsError::TooMany(ids.len()));
        }
        if ids.len().checked_mul(dim) != Some(data.len()) {
            return Err(VectorsError::Length { ids: ids.len(), dim, values: data.len() });
        }
        if let Some(at) = data.iter().position(|value| !value.is_finite()) {
            return Err(VectorsError::NotFinite { row: at / dim, id: ids[at / dim], value: data[at] });
        }
        if let Some(id) = repeated(ids) {
            return Err(VectorsError::Repeated(id));
        }
        Ok(Self { dim, ids, data })
    }

    /// Values in each vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no vector at all.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The ids, in the order of the rows.
    pub fn ids(&self) -> &'a [u64] {
        self.ids
    }

    /// The values, row after row.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }
}

impl fmt::Debug for Vectors<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vectors").field("len", &self.len()).field("dim", &self.dim).finish_non_exhaustive()
    }
}

/// The first row so long that a squared distance from it may be infinite; `None` is the rule.
pub(crate) fn too_far(vectors: Vectors<'_>) -> Option<usize> {
    // Two vectors as long as that and opposite each other are at the largest float; sums are rounded.
    let longest = f64::from(f32::MAX) / 4.0 * (1.0 - 1e-3);
    let widest = vectors.data.iter().fold(0.0f32, |widest, value| widest.max(value.abs()));
    if f64::from(widest).powi(2) * vectors.dim as f64 <= longest {
        return None;
    }
    let square = |row: &[f32]| -> f64 { row.iter().map(|value| f64::from(*value).powi(2)).sum() };
    vectors.data.chunks_exact(vectors.dim).position(|row| square(row) > longest)
}

/// The rows scaled to length one; those of length zero stay zero, at distance one from everything.
///
/// Lengths are sums in double precision in the order of the values: one result on every platform.
pub(crate) fn unit_rows(data: &[f32], dim: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(data.len());
    for row in data.chunks_exact(dim) {
        let squares: f64 = row.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
        let scale = if squares > 0.0 { squares.sqrt() } else { 1.0 };
        out.extend(row.iter().map(|value| (f64::from(*value) / scale) as f32));
    }
    out
}

/// The rows with one more value, which makes all of them equally long: neighbours in space are then those whose inner
/// products with any third vector are alike.
pub(crate) fn level_rows(data: &[f32], dim: usize) -> Vec<f32> {
    let square = |row: &[f32]| -> f64 { row.iter().map(|value| f64::from(*value) * f64::from(*value)).sum() };
    let longest = data.chunks_exact(dim).map(square).fold(0.0, f64::max);
    let mut out = Vec::with_capacity(data.len() / dim * (dim + 1));
    for row in data.chunks_exact(dim) {
        out.extend_from_slice(row);
        out.push((longest - square(row)).max(0.0).sqrt() as f32);
    }
    out
}

/// An id that occurs twice, if there is one.
pub(crate) fn repeated(ids: &[u64]) -> Option<u64> {
    if ids.is_sorted_by(|a, b| a < b) {
        return None;
    }
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// Why vectors were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VectorsError {
    /// The dimension is zero or too large.
    #[error("a vector of {0} values cannot be indexed: use 1 to {MAX_DIM}")]
    Dim(usize),
    /// More vectors than positions in the file format.
    #[error("{0} vectors are too many for one index: split them")]
    TooMany(usize),
    /// Ids and values do not belong together.
    #[error("{ids} ids of dimension {dim} do not make {values} values: pass `dim` values for each id")]
    Length {
        /// Ids given.
        ids: usize,
        /// Dimension given.
        dim: usize,
        /// Values given.
        values: usize,
    },
    /// An id occurs twice.
    #[error("id {0} occurs twice: keep only its newest vector")]
    Repeated(u64),
    /// A value is NaN or infinite.
    #[error(
        "row {row} (id {id}) contains {value}: only finite values have distances; mend it, or leave it out"
    )]
    NotFinite {
        /// Which row, from 0.
        row: usize,
        /// Whose vector.
        id: u64,
        /// The value.
        value: f32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_defect_is_refused_by_name() {
        assert_eq!(Vectors::new(0, &[], &[]).unwrap_err(), VectorsError::Dim(0));
        assert_eq!(
            Vectors::new(2, &[1], &[0.0]).unwrap_err(),
            VectorsError::Length { ids: 1, dim: 2, values: 1 }
        );
        assert_eq!(Vectors::new(1, &[5, 4, 5], &[0.0; 3]).unwrap_err(), VectorsError::Repeated(5));
        let infinite = Vectors::new(1, &[5, 4], &[0.0, f32::INFINITY]).unwrap_err();
        assert_eq!(infinite, VectorsError::NotFinite { row: 1, id: 4, value: f32::INFINITY });
        assert!(Vectors::new(1, &[1], &[f32::NAN]).is_err());
        assert!(Vectors::new(3, &[], &[]).unwrap().is_empty());
    }
}
