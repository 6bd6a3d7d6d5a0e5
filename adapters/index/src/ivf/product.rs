//! Training and coding of the parts of `IVF_PQ`: a k-means of its own for each place, on one thread each.

use super::codes::Placed;
use super::kmeans::Sums;
use crate::bulk::assign::Centres;
use crate::bulk::exact::will_do;
use crate::bulk::narrow::coarse::Coarse;
use crate::bulk::narrow::sharp::{Scratch, Sharp};
use crate::bulk::rows::Rows;
use crate::crew;
use crate::draw::Draw;
use crate::engine::{BuildError, Progress};
use crate::tile::Panels;

/// Parts to choose from in each place: as many as a byte can name.
pub(super) const PARTS: usize = 256;

const ROUNDS: usize = 12;

/// More training vectors for each part than this do not improve it (FAISS's `max_points_per_centroid`).
const TRAINING_PER_PART: usize = 256;

/// Rows coded at a time.
const BLOCK: usize = 480;

/// The parts of all `m` places, place after place, and the codes of all rows in the order of the lists.
pub(super) fn build(
    placed: Placed<'_>,
    m: usize,
    seed: u64,
    progress: &mut Progress<'_>,
) -> Result<(Vec<f32>, Vec<u8>), BuildError> {
    let (n, dim) = (placed.order.len(), placed.rows.dim);
    let width = dim / m;
    let sample: Vec<u32> = Draw::new(seed, *b"ivf part")
        .sample(n, PARTS * TRAINING_PER_PART)
        .into_iter()
        .map(|at| at as u32)
        .collect();
    let mut parts = vec![0.0; PARTS * dim];
    // Place after place first: each is one thread's work.
    let mut by_place = vec![0u8; n * m];
    let items: Vec<_> =
        parts.chunks_mut(PARTS * width).zip(by_place.chunks_mut(n.max(1))).enumerate().collect();
    crew::each(items.into_iter(), progress, Vec::new, |data: &mut Vec<f32>, (place, (parts, codes))| {
        data.clear();
        for &row in placed.order {
            data.extend(placed.part(row, place * width, width));
        }
        let rows = Rows { dim: width, data };
        train(rows, &sample, parts);
        code(rows, Rows { dim: width, data: parts }, codes);
    })?;
    let mut codes = vec![0; n * m];
    for (place, of) in by_place.chunks_exact(n.max(1)).enumerate() {
        for (out, code) in codes[place..].iter_mut().step_by(m).zip(of) {
            *out = *code;
        }
    }
    Ok((parts, codes))
}

/// k-means of the sampled rows.
fn train(rows: Rows<'_>, sample: &[u32], parts: &mut [f32]) {
    if sample.is_empty() {
        return;
    }
    // With fewer rows than parts, some are there twice.
    for (part, row) in parts.chunks_exact_mut(rows.dim).zip(sample.iter().cycle()) {
        part.copy_from_slice(rows.row(*row));
    }
    if sample.len() <= PARTS {
        return;
    }
    let grid = Coarse::alone(rows, sample);
    let mut assigned: Vec<u32> = Vec::new();
    let mut again = vec![0; sample.len()];
    let mut sums = Sums::default();
    for _ in 0..ROUNDS {
        let around = Rows { dim: rows.dim, data: parts };
        let found = grid.as_ref().and_then(|grid| grid.nearest_alone(around, &mut again));
        if found.is_none() || !will_do(rows, sample, around, 1, &again) {
            Centres::of(around).nearest(rows, sample, 1, &mut Panels::default(), &mut again);
        }
        if assigned.is_empty() {
            sums = Sums::of(rows, sample, &again, PARTS);
            assigned.clone_from(&again);
        } else {
            sums.follow(rows, sample, &assigned, &again);
            assigned.copy_from_slice(&again);
        }
        sums.means(parts);
    }
}

/// The nearest part of each row, exactly.
fn code(rows: Rows<'_>, parts: Rows<'_>, codes: &mut [u8]) {
    let centres = Centres::of(parts);
    let sharp = Sharp::of(&centres, parts);
    let mut scratch = Scratch::default();
    let mut panels = Panels::default();
    let mut found = [0; BLOCK];
    let all: Vec<u32> = (0..rows.len() as u32).collect();
    for (list, codes) in all.chunks(BLOCK).zip(codes.chunks_mut(BLOCK)) {
        let found = &mut found[..list.len()];
        match &sharp {
            Some(sharp) => sharp.nearest(rows, list, &mut scratch, found),
            None => centres.nearest(rows, list, 1, &mut panels, found),
        }
        codes.iter_mut().zip(&*found).for_each(|(code, found)| *code = *found as u8);
    }
}
