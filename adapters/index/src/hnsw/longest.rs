//! Under an inner product: links to the longest vectors.
//!
//! Nearly all answers are long vectors, wherever the query points, and in space they lie far from each other and from all
//! others: neighbours in space lead there by many steps, and a narrow search ends before. So every node leads to those
//! few of the longest that have the largest product with it, and these are linked with each other by insertion under the
//! inner product, which is how hnswlib links all.

use super::graph::{Graph, levels};
use super::insert;
use crate::Metric;
use crate::bulk::assign::MOST_CENTRES;
use crate::bulk::rows::Rows;
use crate::device::Device;
use crate::distance::Kernel;
use crate::engine::{BuildError, Progress};

/// Links to long vectors, of the room a node has.
const SHARE: usize = 8;
/// Candidates when the longest are linked with each other.
const EF: usize = 200;

/// Links the first nodes to the longest of them; `worked` are their vectors with one more value, by which all of them are
/// equally long.
pub(super) fn link(
    graph: &mut Graph,
    worked: Rows<'_>,
    seed: u64,
    device: &mut Device,
    progress: &mut Progress<'_>,
) -> Result<(), BuildError> {
    let distinct = worked.len();
    let count = MOST_CENTRES.min(distinct / 16);
    let each = graph.room(0) / SHARE;
    if each == 0 || count < 2 * each {
        return Ok(());
    }
    // The longest have least in the value that was added.
    let added = |node: u32| worked.row(node).last().copied().unwrap_or(0.0);
    let mut longest: Vec<u32> = (0..distinct as u32).collect();
    longest.sort_unstable_by(|a, b| added(*a).total_cmp(&added(*b)).then(a.cmp(b)));
    longest.truncate(count);
    let centres = worked.gather(&longest);
    // Without the value of its own, the nearest of vectors equally long are those of the largest product.
    let mut asking = worked.data.to_vec();
    asking.chunks_exact_mut(worked.dim).for_each(|row| row[worked.dim - 1] = 0.0);
    let (dim, rows) = (worked.dim, worked);
    let asking = Rows { data: &asking, ..rows };
    let found = device.nearest_centres(asking, Rows { dim, data: &centres }, each, progress)?;
    for (node, found) in (0..distinct as u32).zip(found.chunks_exact(each)) {
        let mut links = graph.links(node, 0).to_vec();
        links.truncate(graph.room(0) - each);
        for &place in found {
            let long = longest[place as usize];
            if long != node && !links.contains(&long) {
                links.push(long);
            }
        }
        graph.set_links(node, 0, links.into_iter());
    }
    link_together(graph, &longest, seed, progress)
}

/// Links the longest with each other; what they were linked to before keeps the rest of their room.
fn link_together(
    graph: &mut Graph,
    longest: &[u32],
    seed: u64,
    progress: &mut Progress<'_>,
) -> Result<(), BuildError> {
    let (n, m) = (longest.len(), graph.m);
    let data = longest.iter().flat_map(|&node| graph.vector(node)).copied().collect();
    let levels = levels(n, m, seed, None);
    let mut among = Graph::new(graph.dim, m, vec![0; n], data, &levels);
    among.entry = levels.iter().position(|level| Some(level) == levels.iter().max()).map(|at| at as u32);
    insert::insert_all(&mut among, Kernel::of(Metric::InnerProduct), EF, seed, n, progress)?;
    for (at, &node) in longest.iter().enumerate() {
        let mut links: Vec<u32> = among.links(at as u32, 0).iter().map(|&at| longest[at as usize]).collect();
        links.truncate(graph.room(0) / 4 * 3);
        let before = graph.links(node, 0);
        let more: Vec<u32> = before.iter().copied().filter(|link| !links.contains(link)).collect();
        links.extend(more);
        links.truncate(graph.room(0));
        graph.set_links(node, 0, links.into_iter());
    }
    Ok(())
}
