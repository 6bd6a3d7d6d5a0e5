//! The graph in a file of FAISS: an `IndexHNSWFlat`, by itself or in an `IndexIDMap`, by whomever it was written.
//!
//! What FAISS keeps and does not need here, such as the likelihood of each level, is read over. Offsets and room are those
//! that follow from the levels, or the file is refused: so nothing is allocated that the file does not pay for.

use super::Hnsw;
use super::graph::{Graph, MAX_LEVEL};
use crate::file::LoadError;
use crate::reader::{Reader, finite_f32s, u32s, u64s};
use crate::vectors::{MAX_DIM, repeated};
use crate::{IndexSpec, Kind, Metric};

const L2: u32 = 1;
const INNER_PRODUCT: u32 = 0;
/// Where there is no link.
const NONE: u32 = u32::MAX;
const FLAT: [&[u8; 4]; 3] = [b"IxF2", b"IxFI", b"IxFl"];
const BEYOND: LoadError =
    LoadError::Malformed("levels, offsets and links of the graph contradict each other");

/// Whether bytes begin as a file of FAISS does: a flat index, a map, a graph or lists.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    [b"Ix", b"IH", b"Iw"].iter().any(|letters| bytes.starts_with(*letters))
}

impl Hnsw {
    /// The graph and what it was built with; `metric` must be that of the file, of which cosine is an inner product.
    pub(crate) fn from_faiss(bytes: &[u8], metric: Metric) -> Result<(Self, Kind), LoadError> {
        let mut reader = Reader::new(bytes);
        let mut word: [u8; 4] = reader.array()?;
        let map = [b"IxMp", b"IxM2"].contains(&&word);
        if map {
            header(&mut reader, metric)?;
            word = reader.array()?;
        }
        if word != *b"IHNf" {
            return Err(LoadError::Malformed("it is another kind of FAISS's than IndexHNSWFlat"));
        }
        let (dim, n) = header(&mut reader, metric)?;
        let links = Links::read(&mut reader, n)?;
        let data = flat(&mut reader, metric, (dim, n))?;
        let ids =
            if map { u64s(vector(&mut reader, 8)?).collect() } else { (0..n as u64).collect::<Vec<_>>() };
        reader.end()?;
        if ids.len() != n || repeated(&ids).is_some() {
            return Err(LoadError::Malformed("there is not one id for each vector, or one occurs twice"));
        }
        let kind = links.kind()?;
        let mut graph = Graph::new(dim, links.m, ids, data, &links.levels);
        links.put(&mut graph)?;
        Ok((Self::new(graph), kind))
    }
}

/// Dimension and number of vectors.
fn header(reader: &mut Reader<'_>, metric: Metric) -> Result<(usize, usize), LoadError> {
    let (dim, n) = (reader.u32()? as usize, reader.size()?);
    // Two numbers of no use, and whether it is trained.
    reader.items(17, 1)?;
    let (found, expected) = (reader.u32()?, if metric == Metric::L2 { L2 } else { INNER_PRODUCT });
    if found != expected {
        let (expected, found) = (expected.into(), found.into());
        return Err(LoadError::Mismatch { name: "metric_type", expected, found });
    }
    if !(1..=MAX_DIM).contains(&dim) || n >= NONE as usize {
        return Err(LoadError::Malformed("the dimension or the number of vectors is impossible"));
    }
    Ok((dim, n))
}

/// A count, and so many items of `width` bytes.
fn vector<'a>(reader: &mut Reader<'a>, width: usize) -> Result<&'a [u8], LoadError> {
    let count = reader.size()?;
    reader.items(count, width)
}

fn flat(reader: &mut Reader<'_>, metric: Metric, expected: (usize, usize)) -> Result<Vec<f32>, LoadError> {
    let word: [u8; 4] = reader.array()?;
    if !FLAT.contains(&&word) || header(reader, metric)? != expected {
        return Err(LoadError::Malformed("the vectors of the graph are no flat index of as many"));
    }
    let values = vector(reader, 4)?;
    if values.len() / 4 != expected.0 * expected.1 {
        return Err(LoadError::Malformed("there are more or fewer values than vectors have"));
    }
    let mut data = Vec::with_capacity(values.len() / 4);
    finite_f32s(values, &mut data)?;
    Ok(data)
}

/// The links of a graph in its file.
struct Links<'a> {
    m: usize,
    levels: Vec<usize>,
    neighbors: &'a [u8],
    entry: u32,
    top: u32,
    ef_construction: u32,
    ef: u32,
}

impl<'a> Links<'a> {
    fn read(reader: &mut Reader<'a>, n: usize) -> Result<Self, LoadError> {
        let _likelihood = vector(reader, 8)?;
        let room: Vec<u32> = u32s(vector(reader, 4)?).take(MAX_LEVEL + 2).collect();
        let layers = vector(reader, 4)?;
        let offsets = vector(reader, 8)?;
        let neighbors = vector(reader, 4)?;
        let [entry, top, ef_construction, ef, _beam] =
            [reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?];
        let m = *room.get(1).ok_or(BEYOND)? as usize / 2;
        if layers.len() != 4 * n || offsets.len() != 8 * (n + 1) {
            return Err(BEYOND);
        }
        let levels: Vec<usize> = u32s(layers).map(|layers| (layers as usize).wrapping_sub(1)).collect();
        let sound = levels.iter().all(|&level| level <= MAX_LEVEL)
            && room.iter().zip(0..).all(|(&room, layers)| room as usize == width(m, layers));
        let ends = levels.iter().scan(0, |end, level| {
            *end += width(m, level + 1) as u64;
            Some(*end)
        });
        if !sound || !u64s(offsets).eq(std::iter::once(0).chain(ends.clone())) {
            return Err(BEYOND);
        }
        if ends.last().unwrap_or(0) != neighbors.len() as u64 / 4 {
            return Err(BEYOND);
        }
        Ok(Self { m, levels, neighbors, entry, top, ef_construction, ef })
    }

    /// What it was built with, if that is within what is known here.
    fn kind(&self) -> Result<Kind, LoadError> {
        let (m, ef_construction, ef) = (self.m as u32, self.ef_construction, self.ef.max(1));
        let kind = Kind::Hnsw { m, ef_construction, ef };
        IndexSpec { kind, ..IndexSpec::hnsw() }.validate()?;
        Ok(kind)
    }

    fn put(&self, graph: &mut Graph) -> Result<(), LoadError> {
        graph.entry = self.entry()?;
        let mut rest = self.neighbors;
        for (node, &level) in (0..).zip(&self.levels) {
            for layer in 0..=level {
                let (block, behind) = rest.split_at(4 * graph.room(layer));
                rest = behind;
                let links: Vec<u32> = u32s(block).take_while(|link| *link != NONE).collect();
                let beyond = |&link: &u32| link as usize >= graph.len() || graph.level(link) < layer;
                if links.iter().any(beyond) {
                    return Err(LoadError::Malformed("a link leads to no node of its layer"));
                }
                graph.set_links(node, layer, links.into_iter());
            }
        }
        Ok(())
    }

    fn entry(&self) -> Result<Option<u32>, LoadError> {
        let Some(&highest) = self.levels.iter().max() else { return Ok(None) };
        if self.levels.get(self.entry as usize) == Some(&highest) && self.top as usize == highest {
            Ok(Some(self.entry))
        } else {
            Err(LoadError::Malformed("the entry is not on the top layer"))
        }
    }
}

/// Room for the links of so many layers of a node.
fn width(m: usize, layers: usize) -> usize {
    if layers == 0 { 0 } else { (layers + 1) * m }
}
