//! Rows of a flat array, all of them or those of a list.

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

    /// The mean of the first sixteen rows of a list: somewhere among them, which is all that keeps differences of
    /// large squares exact. A chain of additions in the order of the list, then one multiplication.
    pub(crate) fn centre(self, list: impl ExactSizeIterator<Item = u32>) -> Vec<f32> {
        let count = list.len().min(16);
        let mut sum = vec![0.0f32; self.dim];
        for at in list.take(count) {
            for (sum, value) in sum.iter_mut().zip(self.row(at)) {
                *sum += value;
            }
        }
        let share = 1.0 / count.max(1) as f32;
        sum.iter_mut().for_each(|value| *value *= share);
        // Values near the largest float overflow their sum; they are then left where they are.
        if sum.iter().any(|value| !value.is_finite()) {
            sum.fill(0.0);
        }
        sum
    }
}
