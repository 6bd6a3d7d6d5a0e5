//! The nearest centres of many rows, by themselves: what partitioning and k-means spend their time on. Benchmarks put it
//! beside the matrix products of others.

use std::ops::ControlFlow;

use crate::Vectors;
use crate::bulk::assign::{MOST_CENTRES, MOST_NEAREST, nearest_centres};
use crate::bulk::narrow::coarse::Coarse;
use crate::bulk::rows::Rows;
use crate::engine::Progress;

/// The positions of the `f` nearest `centres` of each of `rows`, nearest first, row after row; by all processors.
///
/// One is found exactly, the first of equals, by whatever kernel is fastest; several by FP32 products, where distances
/// that differ by less than a part in 8,192 count as equal. `None` if the dimensions differ, there are no centres, `f` is
/// not from 1 to 16 and at most their number, or several are asked of more than 1,024.
pub fn nearest(rows: Vectors<'_>, centres: Vectors<'_>, f: usize) -> Option<Vec<u32>> {
    let fits = rows.dim() == centres.dim() && (1..=MOST_NEAREST.min(centres.len())).contains(&f);
    if !fits || f > 1 && centres.len() > MOST_CENTRES {
        return None;
    }
    let list: Vec<u32> = (0..rows.len() as u32).collect();
    let mut heard = |_| ControlFlow::Continue(());
    nearest_centres(
        Rows { dim: rows.dim(), data: rows.data() },
        &list,
        Rows { dim: centres.dim(), data: centres.data() },
        f,
        &mut Progress::new(&mut heard),
    )
    .ok()
}

/// Rows rounded to bytes, once for many rounds of k-means.
#[derive(Debug)]
pub struct Rounded {
    dim: usize,
    coarse: Coarse,
    rows: usize,
}

impl Rounded {
    /// Rounds them, by all processors; `None` if they are all alike or boundless.
    pub fn of(rows: Vectors<'_>) -> Option<Self> {
        let list: Vec<u32> = (0..rows.len() as u32).collect();
        let mut heard = |_| ControlFlow::Continue(());
        let all = Rows { dim: rows.dim(), data: rows.data() };
        let coarse = Coarse::of(all, &list, &mut Progress::new(&mut heard)).ok()??;
        Some(Self { dim: rows.dim(), coarse, rows: list.len() })
    }

    /// The positions of a nearest centre of each row, as near as bytes can tell; `None` if the dimensions differ, or there
    /// is no sensible grid for the centres.
    pub fn nearest(&self, centres: Vectors<'_>) -> Option<Vec<u32>> {
        if centres.dim() != self.dim || centres.is_empty() {
            return None;
        }
        let mut heard = |_| ControlFlow::Continue(());
        let centres = Rows { dim: centres.dim(), data: centres.data() };
        self.coarse.nearest(centres, self.rows, &mut Progress::new(&mut heard)).ok()?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first_and_nonsense_is_refused() {
        let (ids, data) = ([0, 1, 2], [0.0, 0.0, 10.0, 0.0, 0.0, 7.0]);
        let centres = Vectors::new(2, &ids, &data).unwrap();
        let rows = Vectors::new(2, &ids[..2], &[9.0, 1.0, 1.0, 5.0]).unwrap();
        assert_eq!(nearest(rows, centres, 1), Some(vec![1, 2]));
        assert_eq!(nearest(rows, centres, 2), Some(vec![1, 0, 2, 0]));
        assert_eq!(nearest(rows, centres, 4), None);
        assert_eq!(nearest(rows, centres, 0), None);
        let wide = Vectors::new(3, &ids[..2], &data).unwrap();
        assert_eq!(nearest(wide, centres, 1), None);
        let rounded = Rounded::of(centres).unwrap();
        assert_eq!(rounded.nearest(centres), Some(vec![0, 1, 2]));
        assert_eq!(rounded.nearest(wide), None);
        assert!(Rounded::of(Vectors::new(2, &ids[..2], &[0.0; 4]).unwrap()).is_none());
    }
}
