//! Building the graph, layer by layer, each in bulk.
//!
//! Nodes are numbered along the chain of the partition, not as they came: neighbours in space are neighbours in
//! memory, for the build and for every search after it. Labels are the ids, so nobody sees the numbers.

use super::copies::{self, Copies};
use super::graph::{Graph, levels};
use super::{Hnsw, Outcome, check, longest, reach};
use crate::bulk::partition;
use crate::bulk::prune::{Lists, Rule};
use crate::bulk::rows::Rows;
use crate::bulk::{FEW, Layer, contrast, few};
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
pub(super) const ALPHA: f32 = 1.05;
/// The same on the layers above, where more links are worth it: a descent keeps one node alone.
const UPPER: f32 = 1.1;

const MOST_LEAVES: usize = 16;

/// Leaves each node is in. Twelve hold a search of real sentence embeddings level with hnswlib's `ef_construction` of
/// 200; fewer are enough for most other data, and for less.
pub(crate) fn leaves(ef_construction: u32) -> usize {
    (ef_construction as usize * 12).div_ceil(200).clamp(4, MOST_LEAVES)
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
    let (m, dim) = (m as usize, vectors.dim());
    let f = leaves(ef_construction);
    let given = Rows { dim, data: vectors.data() };
    let (stored, worked) = match metric {
        Metric::L2 => (Cow::Borrowed(vectors.data()), None),
        Metric::Cosine => (Cow::Owned(unit_rows(vectors.data(), dim)), None),
        Metric::InnerProduct => (Cow::Borrowed(vectors.data()), Some(level_rows(vectors.data(), dim))),
    };
    let stored = Rows { data: &stored, ..given };
    let worked = worked.as_deref().map(|data| Rows { dim: dim + 1, data });
    let numbered =
        Numbered::of(stored, worked.unwrap_or(stored), metric == Metric::Cosine, f, seed, device, progress)?;
    let Numbered { order, distinct, firsts, f, buckets } = numbered;
    let data = sorted(stored, &order, &mut progress.part(0.1, 0.12))?;
    let worked = match worked {
        Some(rows) => Some(sorted(rows, &order[..distinct], &mut progress.part(0.12, 0.14))?),
        None => None,
    };
    let ids = order.iter().map(|&row| vectors.ids()[row as usize]).collect();
    drop(order);

    let length = |node: usize| data[node * dim..][..dim].iter().map(|value| value * value).sum::<f32>();
    let by_length: Option<&dyn Fn(usize) -> f32> = (metric == Metric::InnerProduct).then_some(&length);
    let mut levels = levels(distinct, m, seed, by_length);
    let top = levels.iter().copied().max().unwrap_or(0);
    levels.resize(vectors.len(), 0);
    let mut graph = Graph::new(dim, m, ids, data, &levels);
    graph.entry = levels.iter().position(|&level| level == top).map(|node| node as u32);
    let worked = worked.as_deref().map(|data| Rows { dim: dim + 1, data });
    link(&mut graph, worked, distinct, buckets, Building { m, f, seed, levels: &levels }, device, progress)?;
    copies::hang_all(&mut graph, &firsts, &mut progress.part(0.96, 0.97))?;
    reach::connect_all(&mut graph, Kernel::of(metric), EF, &mut progress.part(0.97, 0.97))?;
    let outcome =
        check::mend(&mut graph, spec, ef_construction as usize, &firsts, &mut progress.part(0.97, 1.0))?;
    Ok((Hnsw::new(graph), outcome))
}

/// Which row is which node.
struct Numbered {
    /// Rows in the order of their nodes: different ones along the chain of the partition, then copies.
    order: Vec<u32>,
    /// How many of them are different.
    distinct: usize,
    /// The node that each of the others is a copy of.
    firsts: Vec<u32>,
    /// Leaves each is in: more where it is hard to find neighbours.
    f: usize,
    /// The buckets of the different ones, where there are so many that they are needed.
    buckets: Option<partition::Buckets>,
}

impl Numbered {
    fn of(
        stored: Rows<'_>,
        rows: Rows<'_>,
        directions: bool,
        f: usize,
        seed: u64,
        device: &mut Device,
        progress: &mut Progress<'_>,
    ) -> Result<Self, BuildError> {
        let Copies { firsts, others } = Copies::find(stored, directions, &mut progress.part(0.0, 0.01))?;
        let distinct = firsts.len();
        let some = if others.is_empty() { Vec::new() } else { rows.gather(&firsts) };
        let rows = if others.is_empty() { rows } else { Rows { data: &some, ..rows } };
        let f = if contrast::is_low(rows, seed) { (f * 4).div_ceil(3).min(MOST_LEAVES) } else { f };
        let (along, buckets) = if !few(rows) {
            device.prepare(
                rows.dim,
                partition::sizes(distinct, f).1,
                true,
                &mut progress.part(0.01, 0.01),
            )?;
            let buckets = partition::buckets(rows, f, seed, device, &mut progress.part(0.01, 0.1))?;
            let along = buckets.order();
            let buckets = buckets.renumber(&along);
            (along, Some(buckets))
        } else {
            ((0..distinct as u32).collect(), None)
        };
        let mut node_of = vec![0; distinct];
        (0..).zip(&along).for_each(|(node, &place)| node_of[place as usize] = node);
        let mut others: Vec<(u32, u32)> =
            others.into_iter().map(|(place, row)| (node_of[place as usize], row)).collect();
        others.sort_unstable();
        let mut order: Vec<u32> = along.into_iter().map(|place| firsts[place as usize]).collect();
        order.extend(others.iter().map(|&(_, row)| row));
        let firsts = others.into_iter().map(|(first, _)| first).collect();
        Ok(Self { order, distinct, firsts, f, buckets })
    }
}

/// What the layers of one graph have in common.
#[derive(Clone, Copy)]
struct Building<'a> {
    m: usize,
    f: usize,
    seed: u64,
    levels: &'a [usize],
}

/// Links the different nodes, from the top layer down: where a layer lies in tight groups, the links of those above lead
/// out of them.
fn link(
    graph: &mut Graph,
    worked: Option<Rows<'_>>,
    distinct: usize,
    buckets: Option<partition::Buckets>,
    Building { m, f, seed, levels }: Building<'_>,
    device: &mut Device,
    progress: &mut Progress<'_>,
) -> Result<(), BuildError> {
    let top = graph.entry.map_or(0, |entry| graph.level(entry));
    let mut above: Vec<(u32, u32)> = Vec::new();
    for level in (1..=top).rev() {
        let nodes: Vec<u32> = (0..distinct as u32).filter(|&node| levels[node as usize] >= level).collect();
        let rows = worked.unwrap_or(Rows { dim: graph.dim, data: &graph.data });
        let data = rows.gather(&nodes);
        let rule = Rule { room: m, alpha: UPPER };
        let layer = Layer { f, all: nodes.len() <= FEW, rule, seed: seed ^ level as u64 };
        // Each layer has one in m of the nodes of the one below it.
        let share = 1.0 / (m as f32).powi(level as i32);
        let mut progress = progress.part(0.14 + 0.12 * share, 0.14 + 0.12 * share * m as f32);
        let at = |node: u32| nodes.binary_search(&node).map_or(0, |at| at as u32);
        let wide = Lists::of_pairs(nodes.len(), above.iter().map(|&(from, to)| (at(from), at(to))));
        let links = layer.links(Rows { data: &data, ..rows }, None, &wide, device, &mut progress)?;
        for (at, &node) in nodes.iter().enumerate() {
            let named: Vec<u32> = links.of(at).iter().map(|&at| nodes[at as usize]).collect();
            above.extend(named.iter().map(|&to| (node, to)));
            graph.set_links(node, level, named.into_iter());
        }
    }
    let bottom = Layer { f, all: buckets.is_none(), rule: Rule { room: 2 * m, alpha: ALPHA }, seed };
    let above = Lists::of_pairs(distinct, above.into_iter());
    let rows = worked.unwrap_or(Rows { dim: graph.dim, data: &graph.data[..distinct * graph.dim] });
    let links = bottom.links(rows, buckets, &above, device, &mut progress.part(0.26, 0.96))?;
    graph.set_bottom(links.blocks);
    if let Some(worked) = worked {
        longest::link(graph, worked, seed, device, &mut progress.part(0.96, 0.96))?;
    }
    Ok(())
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
