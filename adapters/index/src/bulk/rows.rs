//! Rows of a flat array, all of them or those of a list.

/// Rows whose middle is looked for.
const SOME: usize = 16;

/// Vectors a stage works on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) dim: usize,
    pub(crate) data: &'a [f32],
}

impl<'a> Rows<'a> {
    pub(crate) fn len(self) -> usize {
        self.data.len() / self.dim
    }

    pub(crate) fn row(self, at: u32) -> &'a [f32] {
        &self.data[at as usize * self.dim..][..self.dim]
    }

    /// The rows of a list, one after the other.
    pub(crate) fn gather(self, list: &[u32]) -> Vec<f32> {
        list.iter().flat_map(|&at| self.row(at)).copied().collect()
    }

    /// The middle of the first sixteen rows of a list, value by value: somewhere among them, which is all that keeps
    /// differences of large squares exact. A mean would be drawn far away from all the others by a single row.
    pub(crate) fn centre(self, list: impl Iterator<Item = u32>) -> Vec<f32> {
        let rows: Vec<&[f32]> = list.take(SOME).map(|at| self.row(at)).collect();
        let mut values = vec![0.0f32; rows.len()];
        let middle = |at: usize| {
            values.iter_mut().zip(&rows).for_each(|(value, row)| *value = row[at]);
            values.sort_unstable_by(f32::total_cmp);
            // Halves first: the sum of two of the largest floats is infinite.
            match values.len() {
                0 => 0.0,
                n => values[(n - 1) / 2] * 0.5 + values[n / 2] * 0.5,
            }
        };
        (0..self.dim).map(middle).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_far_away_does_not_move_the_centre() {
        let mut data: Vec<f32> = (0..40).map(|at| (at / 2 % 5) as f32).collect();
        let centre = |data: &[f32]| Rows { dim: 2, data }.centre(0..20);
        assert_eq!(centre(&data), [2.0, 2.0]);
        data[..2].copy_from_slice(&[f32::MAX, -f32::MAX]);
        assert!(centre(&data).iter().all(|value| (1.0..=3.0).contains(value)));
        assert_eq!(Rows { dim: 1, data: &[f32::MAX; 4] }.centre(0..4), [f32::MAX]);
        assert_eq!(Rows { dim: 3, data: &[] }.centre(0..0), [0.0; 3]);
    }
}
