//! The file of an IVF index, all little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic: `IVFFLAT`, `IVFSQ8` or `IVFPQ`, filled up with zeros |
//! | 4 | version, 1 |
//! | 4 | metric, 0 for squared Euclid |
//! | 4, 4 | `dim`, `nlist` as asked for |
//! | 4 | `m`; `IVFPQ` only |
//! | 8 | `n`, number of vectors |
//! | 8 each | length of each list; there are `min(nlist, n)` |
//! | 4 each | centroids, list after list |
//! | 8 each | ids, list after list |
//! | | what `codes` says, in the order of the ids |
//!
//! The last part is, of `IVFFLAT`: vectors; of `IVFSQ8`: `dim` least differences, `dim` ranges, then `dim` bytes a vector;
//! of `IVFPQ`: 256 parts for each of the `m` places, then `m` bytes a vector.

use super::codes::Codes;
use super::product::PARTS;
use super::{Ivf, lists, nlist};
use crate::Kind;
use crate::file::LoadError;
use crate::reader::{Reader, finite_f32s, u64s};
use crate::sink::Sink;
use crate::vectors::{MAX_DIM, repeated};
use std::io::{self, Write};

const VERSION: u32 = 1;
const METRIC_L2: u32 = 0;

fn magic(kind: Kind) -> [u8; 8] {
    match kind {
        Kind::IvfSq8 { .. } => *b"IVFSQ8\0\0",
        Kind::IvfPq { .. } => *b"IVFPQ\0\0\0",
        Kind::IvfFlat { .. } | Kind::Hnsw { .. } => *b"IVFFLAT\0",
    }
}

impl Ivf {
    pub(crate) fn write(&self, kind: Kind, to: &mut dyn Write) -> io::Result<()> {
        let mut out = Sink::new(to);
        out.bytes(&magic(kind));
        for value in [VERSION, METRIC_L2, self.dim as u32, nlist(kind)] {
            out.number(value);
        }
        if let Kind::IvfPq { m, .. } = kind {
            out.number(m);
        }
        let lengths = self.starts.windows(2).map(|pair| (pair[1] - pair[0]) as u64);
        let sizes = std::iter::once(self.len() as u64).chain(lengths);
        out.items(sizes.map(u64::to_le_bytes))?;
        out.floats(&self.centroids)?;
        out.items(self.ids.iter().map(|id| id.to_le_bytes()))?;
        match &self.codes {
            Codes::Flat(data) => out.floats(data)?,
            Codes::Sq8 { least, range, codes } => {
                out.floats(least)?;
                out.floats(range)?;
                out.codes(codes)?;
            }
            Codes::Pq { parts, codes, .. } => {
                out.floats(parts)?;
                out.codes(codes)?;
            }
        }
        out.end()
    }

    pub(crate) fn from_bytes(bytes: &[u8], kind: Kind) -> Result<Self, LoadError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != magic(kind) {
            return Err(LoadError::Malformed("it does not begin as an IVF file of its kind does"));
        }
        expect("version", VERSION, reader.u32()?)?;
        expect("metric", METRIC_L2, reader.u32()?)?;
        let dim = reader.u32()? as usize;
        expect("nlist", nlist(kind), reader.u32()?)?;
        if let Kind::IvfPq { m, .. } = kind {
            expect("m", m, reader.u32()?)?;
            if !dim.is_multiple_of(m as usize) {
                return Err(LoadError::Malformed("the dimension cannot be cut into so many parts"));
            }
        }
        let n = reader.size()?;
        if !(1..=MAX_DIM).contains(&dim) || n >= u32::MAX as usize {
            return Err(LoadError::Malformed("the dimension or the number of vectors is impossible"));
        }
        let lists = lists(nlist(kind), n);
        let starts = starts(reader.items(lists, 8)?, n)?;
        let values = |reader: &mut Reader<'_>, rows: usize| -> Result<Vec<f32>, LoadError> {
            let mut out = Vec::new();
            finite_f32s(reader.items(rows, 4 * dim)?, &mut out)?;
            Ok(out)
        };
        let centroids = values(&mut reader, lists)?;
        let ids: Vec<u64> = u64s(reader.items(n, 8)?).collect();
        let codes = match kind {
            Kind::IvfFlat { .. } | Kind::Hnsw { .. } => Codes::Flat(values(&mut reader, n)?),
            Kind::IvfSq8 { .. } => Codes::Sq8 {
                least: values(&mut reader, 1)?,
                range: values(&mut reader, 1)?,
                codes: reader.items(n, dim)?.to_vec(),
            },
            Kind::IvfPq { m, .. } => Codes::Pq {
                m: m as usize,
                parts: values(&mut reader, PARTS)?,
                codes: reader.items(n, m as usize)?.to_vec(),
            },
        };
        reader.end()?;
        if repeated(&ids).is_some() {
            return Err(LoadError::Malformed("an id occurs twice"));
        }
        Ok(Self { dim, centroids, starts, ids, codes })
    }
}

impl Ivf {
    /// What a file was built with; `None` if it does not begin as one of ours.
    pub(crate) fn kind_of(bytes: &[u8]) -> Option<Result<Kind, LoadError>> {
        let mut reader = Reader::new(bytes);
        let word: [u8; 8] = reader.array().ok()?;
        let kinds = [
            Kind::IvfFlat { nlist: 0, nprobe: 0 },
            Kind::IvfSq8 { nlist: 0, nprobe: 0 },
            Kind::IvfPq { nlist: 0, nprobe: 0, m: 0 },
        ];
        let kind = kinds.into_iter().find(|kind| magic(*kind) == word)?;
        Some(built_with(kind, &mut reader))
    }
}

/// The parameters of a kind in the rest of a header; a search reads an eighth of the lists.
fn built_with(kind: Kind, reader: &mut Reader<'_>) -> Result<Kind, LoadError> {
    let [_version, _metric, _dim, nlist] = [reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?];
    let nprobe = nlist.div_ceil(8);
    Ok(match kind {
        Kind::IvfSq8 { .. } => Kind::IvfSq8 { nlist, nprobe },
        Kind::IvfPq { .. } => Kind::IvfPq { nlist, nprobe, m: reader.u32()? },
        Kind::IvfFlat { .. } | Kind::Hnsw { .. } => Kind::IvfFlat { nlist, nprobe },
    })
}

fn expect(name: &'static str, expected: u32, found: u32) -> Result<(), LoadError> {
    let (expected, found) = (u64::from(expected), u64::from(found));
    if expected == found { Ok(()) } else { Err(LoadError::Mismatch { name, expected, found }) }
}

/// First rows from lengths, which must add up to `n`.
fn starts(lengths: &[u8], n: usize) -> Result<Vec<usize>, LoadError> {
    let mut starts = vec![0];
    let mut end = 0u64;
    for length in u64s(lengths) {
        end = end.checked_add(length).filter(|end| *end <= n as u64).ok_or(LoadError::Malformed(UNEVEN))?;
        starts.push(end as usize);
    }
    if end == n as u64 { Ok(starts) } else { Err(LoadError::Malformed(UNEVEN)) }
}

const UNEVEN: &str = "the lists do not add up to the number of vectors";
