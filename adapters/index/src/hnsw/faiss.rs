//! The graph as FAISS's `IndexHNSWFlat`.

use super::Hnsw;
use super::format::level_multiplier;
use crate::Metric;
use crate::sink::Sink;
use std::io::{self, Write};

/// Levels less likely than this are left out, as FAISS does it.
const RARE: f64 = 1e-9;

impl Hnsw {
    pub(crate) fn write_faiss(
        &self,
        metric: Metric,
        ef_construction: u32,
        ef: u32,
        to: &mut dyn Write,
    ) -> io::Result<()> {
        let graph = &self.graph;
        let (n, m, dim) = (graph.len(), graph.m, graph.dim);
        let mut out = Sink::new(to);
        out.bytes(b"IxMp");
        out.header(dim, n, metric);
        out.bytes(b"IHNf");
        out.header(dim, n, metric);

        let top = graph.entry.map_or(0, |entry| graph.level(entry));
        let multiplier = level_multiplier(m as u32);
        let probability =
            |level: usize| (-(level as f64) / multiplier).exp() * (1.0 - (-1.0 / multiplier).exp());
        let levels = (0..).take_while(|&level| level <= top || probability(level) >= RARE).count();
        out.vector((0..levels).map(|level| probability(level).to_le_bytes()))?;
        // Room for the links of all layers up to each.
        let room = |layers: usize| if layers == 0 { 0 } else { (layers + 1) * m };
        out.vector((0..levels + 1).map(|layers| (room(layers) as i32).to_le_bytes()))?;
        let layers = |node: usize| graph.level(node as u32) + 1;
        out.vector((0..n).map(|node| (layers(node) as i32).to_le_bytes()))?;
        let mut end = 0;
        let mut offsets = vec![0u64];
        offsets.extend((0..n).map(|node| {
            end += room(layers(node)) as u64;
            end
        }));
        out.vector(offsets.iter().map(|offset| offset.to_le_bytes()))?;
        out.size(end as usize);
        for node in 0..n as u32 {
            for level in 0..=graph.level(node) {
                let links = graph.links(node, level);
                out.items(links.iter().map(|link| link.to_le_bytes()))?;
                out.items((links.len()..graph.room(level)).map(|_| (-1i32).to_le_bytes()))?;
            }
        }
        out.int(graph.entry.map_or(-1, |entry| entry as i32));
        out.int(graph.entry.map_or(-1, |_| top as i32));
        out.int(ef_construction as i32);
        out.int(ef as i32);
        // The width of a beam, which FAISS no longer has but still writes.
        out.int(1);

        out.flat(dim, &graph.data, metric)?;
        out.vector(graph.ids.iter().map(|id| id.to_le_bytes()))?;
        out.end()
    }
}
