//! `IVF_FLAT`, `IVF_SQ8` and `IVF_PQ`: vectors in lists, one for each centroid of a k-means clustering.
//!
//! A search reads the `nprobe` lists whose centroids are nearest. `kmeans` trains, `codes` is how vectors are stored in the
//! lists, `product` trains the parts of `IVF_PQ`, `format` is the file, `faiss` the export.
//!
//! Invariants: vectors lie list after list, in the order of their positions within a list; there is at least one
//! list unless there are no vectors.

mod codes;
mod faiss;
mod format;
mod kmeans;
mod look;
mod product;

use crate::bulk::rows::Rows;
use crate::device::Device;
use crate::distance::Kernel;
use crate::engine::{BuildError, Progress};
use crate::key::Key;
use crate::searcher::{Neighbor, nearest};
use crate::vectors::unit_rows;
use crate::{IndexSpec, Kind, Metric, Vectors};
use codes::{Codes, Placed};

/// Centroids and the lists around them.
#[derive(Debug)]
pub(crate) struct Ivf {
    dim: usize,
    centroids: Vec<f32>,
    /// First row of each list, and one past the last.
    starts: Vec<usize>,
    ids: Vec<u64>,
    codes: Codes,
}

/// Never more lists than vectors.
fn lists(nlist: u32, n: usize) -> usize {
    n.min(nlist as usize)
}

fn nlist(kind: Kind) -> u32 {
    match kind {
        Kind::IvfFlat { nlist, .. } | Kind::IvfSq8 { nlist, .. } | Kind::IvfPq { nlist, .. } => nlist,
        Kind::Hnsw { .. } => unreachable!("a graph has no lists; spec and body are made together"),
    }
}

/// First place of each list and one past the last, and the rows: list after list, in the order of positions.
fn members(assigned: &[u32], lists: usize) -> (Vec<usize>, Vec<u32>) {
    let mut starts = vec![0; lists + 1];
    for &list in assigned {
        starts[list as usize + 1] += 1;
    }
    for list in 0..lists {
        starts[list + 1] += starts[list];
    }
    let mut ends = starts.clone();
    let mut order = vec![0; assigned.len()];
    for (row, &list) in (0..).zip(assigned) {
        let end = &mut ends[list as usize];
        order[*end] = row;
        *end += 1;
    }
    (starts, order)
}

pub(crate) fn build(
    vectors: Vectors<'_>,
    spec: &IndexSpec,
    device: &mut Device,
    progress: &mut Progress<'_>,
) -> Result<Ivf, BuildError> {
    let dim = vectors.dim();
    if let Kind::IvfPq { m, .. } = spec.kind
        && !dim.is_multiple_of(m as usize)
    {
        return Err(BuildError::Parts { m, dim });
    }
    let lists = lists(nlist(spec.kind), vectors.len());
    let unit = (spec.metric == Metric::Cosine).then(|| unit_rows(vectors.data(), dim));
    let rows = Rows { dim, data: unit.as_deref().unwrap_or(vectors.data()) };
    let clustered = match spec.kind {
        Kind::IvfFlat { .. } => 0.98,
        Kind::IvfSq8 { .. } => 0.9,
        Kind::IvfPq { .. } | Kind::Hnsw { .. } => 0.6,
    };
    let (centroids, assigned) =
        kmeans::cluster(rows, lists, spec.seed, device, &mut progress.part(0.0, clustered))?;
    let (starts, order) = members(&assigned, lists);
    let ids = order.iter().map(|&row| vectors.ids()[row as usize]).collect();
    let placed =
        Placed { rows, centroids: Rows { dim, data: &centroids }, assigned: &assigned, order: &order };
    let codes = Codes::of(placed, spec, &mut progress.part(clustered, 1.0))?;
    Ok(Ivf { dim, centroids, starts, ids, codes })
}

impl Ivf {
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// Reads `nprobe` lists, and further ones only while there are fewer than `k` answers.
    pub(crate) fn search(
        &self,
        kernel: Kernel,
        query: &[f32],
        k: usize,
        nprobe: usize,
        keep: &dyn Fn(u64) -> bool,
    ) -> Vec<Neighbor> {
        let mut distances = Vec::new();
        kernel.all(query, &self.centroids, &mut distances);
        let mut order: Vec<Key> =
            (0..).zip(&distances).map(|(list, distance)| Key::new(*distance, list)).collect();
        order.sort_unstable();
        let mut found = Vec::new();
        let mut decoded = Vec::new();
        for (read, list) in order.iter().map(|key| key.position() as usize).enumerate() {
            if read >= nprobe && found.len() >= k {
                break;
            }
            let rows = self.starts[list]..self.starts[list + 1];
            let centroid = &self.centroids[list * self.dim..][..self.dim];
            kernel.all(query, self.codes.values(rows.clone(), centroid, &mut decoded), &mut distances);
            let answers = self.ids[rows].iter().zip(&distances).filter(|(id, _)| keep(**id));
            found.extend(answers.map(|(id, distance)| Neighbor { id: *id, distance: *distance }));
            if found.len() > 2 * k + 1_024 {
                found = nearest(found, k);
            }
        }
        nearest(found, k)
    }
}
