//! Centres as the kernel for processors reads them: panels of 16 rows side by side, and their squared lengths.

const LANES: usize = 16;

/// Packed rows; those that fill up the last panel are zero and infinitely long.
pub(crate) struct Packed {
    pub(crate) panels: Vec<f32>,
    pub(crate) norms: Vec<f32>,
}

impl Packed {
    /// Packs `rows` of `dim` values, less the centre.
    pub(crate) fn of(rows: &[f32], dim: usize, centre: &[f32]) -> Self {
        let count = rows.len() / dim;
        let padded = count.next_multiple_of(LANES);
        let mut panels = vec![0.0; padded * dim];
        let mut norms = vec![f32::INFINITY; padded];
        for (at, row) in rows.chunks_exact(dim).enumerate() {
            let mut norm = 0.0f32;
            for (k, (value, centre)) in row.iter().zip(centre).enumerate() {
                let value = value - centre;
                norm = value.mul_add(value, norm);
                panels[(at / LANES * dim + k) * LANES + at % LANES] = value;
            }
            norms[at] = norm;
        }
        Self { panels, norms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_side_by_side() {
        let rows: Vec<f32> = (0..34u16).map(f32::from).collect();
        let packed = Packed::of(&rows, 2, &[1.0, 1.0]);
        assert_eq!((packed.panels.len(), packed.norms.len()), (64, 32));
        assert_eq!(packed.panels[16 + 3], 6.0);
        assert_eq!(packed.panels[32], 31.0);
        assert_eq!(
            (packed.norms[3], packed.norms[16], packed.norms[17]),
            (61.0, 31.0 * 31.0 + 1024.0, f32::INFINITY)
        );
    }
}
