//! Real vectors, as `gameday bench setup --data` leaves them in `sources/`: shuffled with a seed, brought to unit length, and
//! split into base and queries.
//!
//! Embeddings are computed in floating point by a library that sums as the processor likes, so their last bits differ
//! between machines: their digest is recorded, not pinned, and results of two machines say which they used.

use std::path::Path;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{Spec, files, metric::norm};
use crate::rebuild::Trouble;

/// Base and queries of a file in `sources/`.
pub(super) fn rows(
    cache: &Path,
    file: &str,
    half: bool,
    spec: &Spec,
) -> Result<(Vec<f32>, Vec<f32>), Trouble> {
    let path = cache.join("data/sources").join(file);
    let remedy = "fetch it once: gameday bench setup --data";
    if !path.is_file() {
        return Err(Trouble::environment(format!("data set {}: it was never fetched", spec.name), remedy));
    }
    let all = if half { files::read_halves(&path) } else { files::read_rows(&path) };
    let all = all.map_err(|e| Trouble::environment(format!("{}: {e}", path.display()), remedy))?;
    let needed = spec.vectors + spec.queries;
    let there = all.len() / spec.dim;
    if there < needed || !all.len().is_multiple_of(spec.dim) || all.iter().any(|x| !x.is_finite()) {
        let what =
            format!("{} holds {there} sound rows of {}, {needed} are needed", path.display(), spec.dim);
        return Err(Trouble::environment(what, format!("remove it and {remedy}")));
    }
    let mut order: Vec<usize> = (0..there).filter(|r| norm(&all[r * spec.dim..][..spec.dim]) > 0.0).collect();
    shuffle(&mut order);
    if order.len() < needed {
        let what = format!("{} holds too many rows without direction", path.display());
        return Err(Trouble::environment(what, format!("remove it and {remedy}")));
    }
    let mut rows = Vec::with_capacity(needed * spec.dim);
    for at in &order[..needed] {
        let row = &all[at * spec.dim..][..spec.dim];
        let length = norm(row);
        rows.extend(row.iter().map(|x| x / length));
    }
    let queries = rows.split_off(spec.vectors * spec.dim);
    Ok((rows, queries))
}

/// With a seed that is always the same.
pub(super) fn shuffle(order: &mut [usize]) {
    let mut rng = ChaCha8Rng::seed_from_u64(2026);
    for last in (1..order.len()).rev() {
        let to = ((u128::from(rng.next_u64()) * (last as u128 + 1)) >> 64) as usize;
        order.swap(last, to);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::rebuild::data::find;

    #[test]
    fn what_is_no_such_file_is_refused_with_a_remedy() {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir_all(cache.path().join("data/sources")).unwrap();
        let path = cache.path().join("data/sources/glove.f32");
        for bytes in [vec![], vec![1, 2, 3], vec![0; 400 * 100]] {
            fs::write(&path, &bytes).unwrap();
            let error = rows(cache.path(), "glove.f32", false, find("glove-100").unwrap()).unwrap_err();
            assert!(error.remedy.contains("bench setup --data"), "{error}");
        }
    }

    #[test]
    fn a_shuffle_keeps_every_row() {
        let mut order: Vec<usize> = (0..1000).collect();
        shuffle(&mut order);
        assert_ne!(order[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        order.sort_unstable();
        assert!(order.iter().enumerate().all(|(i, x)| i == *x));
    }
}
