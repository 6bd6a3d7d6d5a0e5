//! The file of an HNSW index: exactly what hnswlib 0.8 writes with `saveIndex` and opens with `load_index`.
//!
//! All little-endian. `size` is an unsigned 64-bit number.
//!
//! | bytes | field of hnswlib | value |
//! |---|---|---|
//! | 8 | `offsetLevel0_` | 0 |
//! | 8 | `max_elements_` | number of nodes (hnswlib may write more) |
//! | 8 | `cur_element_count` | number of nodes |
//! | 8 | `size_data_per_element_` | 4 + 8 `m` + 4 `dim` + 8 |
//! | 8 | `label_offset_` | 4 + 8 `m` + 4 `dim` |
//! | 8 | `offsetData_` | 4 + 8 `m` |
//! | 4 | `maxlevel_` | top layer, -1 without nodes |
//! | 4 | `enterpoint_node_` | entry, -1 without nodes |
//! | 8, 8, 8 | `maxM_`, `maxM0_`, `M_` | `m`, 2 `m`, `m` |
//! | 8 | `mult_` | 1 / ln `m`, a double |
//! | 8 | `ef_construction_` | `max(ef_construction, m)` |
//!
//! Then for each node its layer 0: a 32-bit count, room for 2 `m` 32-bit links, the vector, the 64-bit id. Then
//! for each node a 32-bit length in bytes and that many bytes of upper layers, each a count and room for `m` links.
//!
//! Two things hnswlib can write are refused: nodes marked as deleted, and a label that occurs twice.

use super::Hnsw;
use super::graph::{Graph, MAX_LEVEL};
use crate::Kind;
use crate::file::LoadError;
use crate::reader::{Reader, finite_f32s, u32s};
use crate::sink::Sink;
use crate::vectors::{MAX_DIM, repeated};
use std::io::{self, Write};

const NOBODY: u32 = u32::MAX;
/// Where `M_` stands in the header.
const PARAMETERS_AT: usize = 6 * 8 + 2 * 4 + 2 * 8;

impl Hnsw {
    pub(crate) fn write(&self, ef_construction: u32, to: &mut dyn Write) -> io::Result<()> {
        let graph = &self.graph;
        let (n, m) = (graph.len(), graph.m);
        let links = 4 + 8 * m;
        let node = links + 4 * graph.dim + 8;
        let mut out = Sink::new(to);
        for value in [0, n, n, node, node - 8, links] {
            out.size(value);
        }
        out.int(graph.entry.map_or(-1, |entry| graph.level(entry) as i32));
        out.number(graph.entry.unwrap_or(NOBODY));
        for value in [m, 2 * m, m] {
            out.size(value);
        }
        out.bytes(&level_multiplier(m as u32).to_le_bytes());
        out.size(m.max(ef_construction as usize));
        for node in 0..n as u32 {
            block(graph, node, 0, &mut out);
            out.floats(graph.vector(node))?;
            out.bytes(&graph.ids[node as usize].to_le_bytes());
        }
        for node in 0..n as u32 {
            let level = graph.level(node);
            out.number((level * (4 + 4 * m)) as u32);
            for level in 1..=level {
                block(graph, node, level, &mut out);
            }
            out.look()?;
        }
        out.end()
    }

    pub(crate) fn from_bytes(bytes: &[u8], m: u32, ef_construction: u32) -> Result<Self, LoadError> {
        let mut reader = Reader::new(bytes);
        let header = Header::read(&mut reader, m, ef_construction)?;
        let m = m as usize;
        let links_len = 4 + 8 * m;
        let node_len = links_len + 4 * header.dim + 8;
        let nodes = reader.items(header.n, node_len)?.chunks_exact(node_len);
        let mut ids = Vec::with_capacity(header.n);
        let mut data = Vec::with_capacity(header.n * header.dim);
        for node in nodes.clone() {
            let (vector, id) = node[links_len..].split_at(4 * header.dim);
            finite_f32s(vector, &mut data)?;
            ids.push(Reader::new(id).u64()?);
        }
        if repeated(&ids).is_some() {
            return Err(LoadError::Malformed("an id occurs twice"));
        }
        let upper = upper_blocks(&mut reader, header.n, m)?;
        let levels: Vec<usize> = upper.iter().map(|blocks| blocks.len() / (4 + 4 * m)).collect();
        let mut graph = Graph::new(header.dim, m, ids, data, &levels);
        graph.entry = header.entry(&levels)?;
        for (node, (bottom, upper)) in nodes.zip(upper).enumerate() {
            set_links(&mut graph, node as u32, 0, &bottom[..links_len])?;
            for (at, block) in upper.chunks_exact(4 + 4 * m).enumerate() {
                set_links(&mut graph, node as u32, at + 1, block)?;
            }
        }
        Ok(Self::new(graph))
    }

    /// What a file was built with, as its header says; searches consider a hundred candidates.
    pub(crate) fn kind_of(bytes: &[u8]) -> Result<Kind, LoadError> {
        let mut reader = Reader::new(bytes);
        reader.items(PARAMETERS_AT, 1)?;
        let (m, _multiplier, ef) = (reader.u64()?, reader.u64()?, reader.u64()?);
        // Whatever is too large for us is still so.
        let [m, ef_construction] = [m, ef].map(|value| u32::try_from(value).unwrap_or(u32::MAX));
        Ok(Kind::Hnsw { m, ef_construction, ef: 100 })
    }
}

fn block(graph: &Graph, node: u32, level: usize, out: &mut Sink<'_>) {
    let links = graph.links(node, level);
    out.number(links.len() as u32);
    for &link in links {
        out.number(link);
    }
    for _ in links.len()..graph.room(level) {
        out.number(0);
    }
}

/// What the header says beyond the parameters it must agree with.
struct Header {
    n: usize,
    dim: usize,
    top: u32,
    entry: u32,
}

impl Header {
    fn read(reader: &mut Reader<'_>, m: u32, ef_construction: u32) -> Result<Self, LoadError> {
        let [offset, max, n, node, label, links] = {
            let mut sizes = [0; 6];
            for size in &mut sizes {
                *size = reader.size()?;
            }
            sizes
        };
        let (top, entry) = (reader.u32()?, reader.u32()?);
        let [max_m, max_m0, stored_m] = [reader.u64()?, reader.u64()?, reader.u64()?];
        let multiplier = f64::from_le_bytes(reader.array()?);
        let stored_ef = reader.u64()?;
        agree("m", u64::from(m), stored_m)?;
        agree("ef_construction", u64::from(ef_construction.max(m)), stored_ef)?;
        let values = label.checked_sub(links).ok_or(LoadError::Malformed("the offsets are out of order"))?;
        let dim = values / 4;
        let expected = level_multiplier(m);
        let sound = offset == 0
            && max >= n
            && n < NOBODY as usize
            && (1..=MAX_DIM).contains(&dim)
            && values % 4 == 0
            && links == 4 + 8 * m as usize
            && label.checked_add(8) == Some(node)
            && (max_m, max_m0) == (stored_m, 2 * stored_m)
            && (multiplier - expected).abs() <= expected * 1e-9;
        if sound {
            Ok(Self { n, dim, top, entry })
        } else {
            Err(LoadError::Malformed("the header contradicts itself"))
        }
    }

    /// The entry, which must be on the top layer.
    fn entry(&self, levels: &[usize]) -> Result<Option<u32>, LoadError> {
        let Some(highest) = levels.iter().max() else {
            let nobody = self.entry == NOBODY && self.top == NOBODY;
            return if nobody { Ok(None) } else { Err(LoadError::Malformed("an empty index has an entry")) };
        };
        let level = levels.get(self.entry as usize);
        if level == Some(highest) && self.top as usize == *highest {
            Ok(Some(self.entry))
        } else {
            Err(LoadError::Malformed("the entry is not on the top layer"))
        }
    }
}

fn agree(name: &'static str, expected: u64, found: u64) -> Result<(), LoadError> {
    if expected == found { Ok(()) } else { Err(LoadError::Mismatch { name, expected, found }) }
}

/// The bytes of each node's upper layers: whole blocks, and nothing behind the last.
fn upper_blocks<'a>(reader: &mut Reader<'a>, n: usize, m: usize) -> Result<Vec<&'a [u8]>, LoadError> {
    let mut upper = Vec::with_capacity(n);
    for _ in 0..n {
        let len = reader.u32()? as usize;
        if !len.is_multiple_of(4 + 4 * m) || len / (4 + 4 * m) > MAX_LEVEL {
            return Err(LoadError::Malformed("the upper layers of a node have an impossible length"));
        }
        upper.push(reader.items(len, 1)?);
    }
    reader.end()?;
    Ok(upper)
}

fn set_links(graph: &mut Graph, node: u32, level: usize, block: &[u8]) -> Result<(), LoadError> {
    let count = Reader::new(block).u32()? as usize;
    if count > graph.room(level) {
        return Err(LoadError::Malformed("a node has too many links, or is marked as deleted"));
    }
    let links = u32s(&block[4..][..4 * count]);
    for link in u32s(&block[4..][..4 * count]) {
        if link as usize >= graph.len() || graph.level(link) < level {
            return Err(LoadError::Malformed("a link leads to no node of its layer"));
        }
    }
    graph.set_links(node, level, links);
    Ok(())
}

/// `1 / ln(m)` from additions, multiplications and divisions only: these have one result on every platform.
pub(super) fn level_multiplier(m: u32) -> f64 {
    // ln(m) = exponent * ln(2) + 2 * artanh(t), where m = 2^exponent * (1 + t) / (1 - t).
    let exponent = m.ilog2();
    let fraction = f64::from(m) / f64::from(1u32 << exponent);
    let t = (fraction - 1.0) / (fraction + 1.0);
    let mut sum = 0.0;
    for odd in (0..32).rev().map(|at| f64::from(2 * at + 1)) {
        sum = sum * t * t + 1.0 / odd;
    }
    1.0 / (f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * t * sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_multiplier_is_the_reciprocal_of_the_logarithm() {
        for m in 2..=256 {
            let exact = 1.0 / f64::from(m).ln();
            assert!((level_multiplier(m) - exact).abs() < 1e-15 * 4.0, "{m}");
        }
    }
}
