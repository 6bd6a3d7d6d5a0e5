//! Building the graph, layer by layer, each in bulk.
//!
//! Nodes are numbered along the chain of the partition, not as they came: neighbours in space are neighbours in
//! memory, for the build and for every search after it. Labels are the ids, so nobody sees the numbers.

use super::graph::{Graph, levels};
use super::{Hnsw, Outcome, check, reach};
use crate::bulk::partition;
use crate::bulk::prune::Rule;
use crate::bulk::rows::Rows;
use crate::bulk::{ALL, Layer};
use crate::crew;
use crate::device::Device;
use crate::distance::Kernel;
use crate::engine::{BuildError, Progress};
use crate::vectors::{level_rows, unit_rows};
use crate::{IndexSpec, Metric, Vectors};
use std::borrow::Cow;

/// Candidates considered by the search that joins what is out of reach.
const EF: usize = 100;

/// Links on layer 0 may be so many times farther apart than a straight pruning would have them.
const ALPHA: f32 = 1.05;

/// Leaves each node is in. Twelve hold a search of real sentence embeddings level with hnswlib's `ef_construction` of
/// 200; fewer are enough for most other data, and for less.
pub(crate) fn leaves(ef_construction: u32) -> usize {
    (ef_construction as usize * 12).div_ceil(200).clamp(4, 16)
}

pub(crate) fn build(
    vectors: Vectors<'_>,
    spec: &IndexSpec,
    m: u32,
    ef_construction: u32,
    device: &mut Device,
    progress: &mut Progress<'_>,
) -> Result<(Hnsw, Option<Outcome>), BuildError> {
    let IndexSpec { metric, seed, .. } = *spec;
    let (n, m, dim) = (vectors.len(), m as usize, vectors.dim());
    let f = leaves(ef_construction);
    let given = Rows { dim, data: vectors.data() };
    let (stored, worked) = match metric {
        Metric::L2 => (Cow::Borrowed(vectors.data()), None),
        Metric::Cosine => (Cow::Owned(unit_rows(vectors.data(), dim)), None),
        Metric::InnerProduct => (Cow::Borrowed(vectors.data()), Some(level_rows(vectors.data(), dim))),
    };
    let stored = Rows { data: &stored, ..given };
    let worked = worked.as_deref().map(|data| Rows { dim: dim + 1, data });
    let rows = worked.unwrap_or(stored);
    let (order, buckets) = if n > ALL {
        device.prepare(rows.dim, partition::sizes(n, f).1, true, &mut progress.part(0.0, 0.0))?;
        let buckets = partition::buckets(rows, f, seed, device, &mut progress.part(0.0, 0.1))?;
        let order = buckets.order();
        let buckets = buckets.renumber(&order);
        (order, Some(buckets))
    } else {
        ((0..n as u32).collect(), None)
    };
    let data = sorted(stored, &order, &mut progress.part(0.1, 0.12))?;
    let worked = worked.map(|rows| sorted(rows, &order, &mut progress.part(0.12, 0.14))).transpose()?;
    let ids = order.iter().map(|&row| vectors.ids()[row as usize]).collect();
    drop(order);

    let levels = levels(n, m, seed);
    let mut graph = Graph::new(dim, m, ids, data, &levels);
    let top = levels.iter().copied().max().unwrap_or(0);
    graph.entry = levels.iter().position(|&level| level == top).map(|node| node as u32);
    let wide = if worked.is_some() { dim + 1 } else { dim };

    let bottom = Layer { f, rule: Rule { room: 2 * m, alpha: ALPHA }, seed };
    let rows = Rows { dim: wide, data: worked.as_deref().unwrap_or(&graph.data) };
    let links = bottom.links(rows, buckets, device, &mut progress.part(0.14, 0.85))?;
    graph.set_bottom(links.blocks);

    for level in 1..=top {
        let nodes: Vec<u32> = (0..n as u32).filter(|&node| levels[node as usize] >= level).collect();
        let rows = Rows { dim: wide, data: worked.as_deref().unwrap_or(&graph.data) };
        let data = rows.gather(&nodes);
        let layer = Layer { f, rule: Rule { room: m, alpha: 1.0 }, seed: seed ^ level as u64 };
        // Each layer has one in m of the nodes of the one below it.
        let share = 1.0 - 1.0 / (m as f32).powi(level as i32 - 1);
        let mut progress = progress.part(0.85 + 0.12 * share, 0.85 + 0.12 * (1.0 - (1.0 - share) / m as f32));
        let links = layer.links(Rows { dim: wide, data: &data }, None, device, &mut progress)?;
        for (at, &node) in nodes.iter().enumerate() {
            let named: Vec<u32> = links.of(at).iter().map(|&at| nodes[at as usize]).collect();
            graph.set_links(node, level, named.into_iter());
        }
    }
    drop(worked);
    reach::connect_all(&mut graph, Kernel::of(metric), EF, &mut progress.part(0.97, 0.97))?;
    let outcome = check::mend(&mut graph, spec, ef_construction as usize, &mut progress.part(0.97, 1.0))?;
    Ok((Hnsw::new(graph), outcome))
}

/// The rows in a new order.
fn sorted(rows: Rows<'_>, order: &[u32], progress: &mut Progress<'_>) -> Result<Vec<f32>, BuildError> {
    const CHUNK: usize = 4_096;
    let mut out = vec![0.0; order.len() * rows.dim];
    let items = order.chunks(CHUNK).zip(out.chunks_mut(CHUNK * rows.dim));
    crew::each(
        items,
        progress,
        || (),
        |(), (order, out)| {
            for (&row, out) in order.iter().zip(out.chunks_exact_mut(rows.dim)) {
                out.copy_from_slice(rows.row(row));
            }
        },
    )?;
    Ok(out)
}
