//! Nearest centres by differences of values, one pair after the other; and whether they are needed.
//!
//! All fast ways measure from one origin, on one grid or by squares less twice a product. Of rows that lie together far away
//! from it little is left: two groups 10,000 times as far apart as they are wide, and all centres in one of them look alike.
//! So some answers are compared with exact ones first, and where they are not nearly as good all rows are asked again here.
//! It takes ten times as long, on data that needs it and on no other.

use super::rows::Rows;
use crate::crew;
use crate::distance::Kernel;
use crate::engine::{BuildError, Progress};
use crate::key::Key;

/// Rows that are asked for their nearest centre exactly.
const ASKED: usize = 64;
/// How many times as far, squared, as the nearest centre the one found may be in the mean.
const ROUGH: f64 = 1.1;
/// Rows done at a time.
const CHUNK: usize = 256;

/// Whether centres found are nearly as near as the nearest ones, of some rows spread over the list; `found` has the `f`
/// nearest of each row, of which the first counts.
pub(crate) fn will_do(rows: Rows<'_>, list: &[u32], centres: Rows<'_>, f: usize, found: &[u32]) -> bool {
    let kernel = Kernel::detect();
    let (mut rough, mut exact) = (0.0, 0.0);
    let mut distances = Vec::new();
    for at in (0..list.len()).step_by(list.len().div_ceil(ASKED).max(1)) {
        kernel.all(rows.row(list[at]), centres.data, &mut distances);
        let nearest = distances.iter().copied().fold(f32::INFINITY, f32::min);
        // Each row counts alike, however far it lies from all centres.
        if nearest > 0.0 {
            rough += f64::from(distances[found[at * f] as usize] / nearest);
            exact += 1.0;
        }
    }
    rough <= exact * ROUGH
}

/// The `f` nearest centres of all rows, nearest first: row after row.
pub(crate) fn nearest_centres(
    rows: Rows<'_>,
    centres: Rows<'_>,
    f: usize,
    progress: &mut Progress<'_>,
) -> Result<Vec<u32>, BuildError> {
    let kernel = Kernel::detect();
    let mut out = vec![0u32; rows.len() * f];
    let items = rows.data.chunks(CHUNK * rows.dim).zip(out.chunks_mut(CHUNK * f));
    crew::each(
        items,
        progress,
        Default::default,
        |(distances, keys): &mut (Vec<f32>, Vec<Key>), (rows_, out)| {
            for (row, out) in rows_.chunks_exact(rows.dim).zip(out.chunks_exact_mut(f)) {
                kernel.all(row, centres.data, distances);
                keys.clear();
                keys.extend((0..).zip(&*distances).map(|(centre, distance)| Key::new(*distance, centre)));
                keys.select_nth_unstable(f - 1);
                keys[..f].sort_unstable();
                out.iter_mut().zip(&*keys).for_each(|(out, key)| *out = key.position());
            }
        },
    )?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::assign;
    use crate::draw::Draw;
    use std::ops::ControlFlow;

    #[test]
    fn two_groups_far_apart_need_differences_and_one_does_not() {
        let mut draw = Draw::new(1, *b"exact   ");
        let mut value = || (draw.next() >> 40) as f32 / 16_777_216.0;
        let mut heard = |_| ControlFlow::Continue(());
        for (apart, needed) in [(0.0, false), (1e5, true)] {
            let mut some = |n: usize| -> Vec<f32> {
                (0..n * 16).map(|at| value() + if at / 16 % 2 == 0 { apart } else { 0.0 }).collect()
            };
            let (data, centres) = (some(2_000), some(100));
            let (rows, centres) = (Rows { dim: 16, data: &data }, Rows { dim: 16, data: &centres });
            let list: Vec<u32> = (0..2_000).collect();
            let mut progress = Progress::new(&mut heard);
            let fast = assign::nearest_centres(rows, &list, centres, 3, &mut progress).unwrap();
            assert_eq!(will_do(rows, &list, centres, 3, &fast), !needed, "{apart}");
            let exact = nearest_centres(rows, centres, 3, &mut progress).unwrap();
            assert!(will_do(rows, &list, centres, 3, &exact));
            for (row, found) in exact.chunks_exact(3).enumerate() {
                let mut all = Vec::new();
                Kernel::detect().all(rows.row(row as u32), centres.data, &mut all);
                let mut sorted: Vec<u32> = (0..100).collect();
                sorted.sort_by(|a, b| all[*a as usize].total_cmp(&all[*b as usize]));
                assert_eq!(found, &sorted[..3]);
            }
        }
    }
}
