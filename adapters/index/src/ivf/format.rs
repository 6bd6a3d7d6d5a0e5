//! The file of an IVF index, all little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic, `IVFFLAT` and a zero |
//! | 4 | version, 1 |
//! | 4 | metric, 0 for squared Euclid |
//! | 4, 4 | `dim`, `nlist` as asked for |
//! | 8 | `n`, number of vectors |
//! | 8 each | length of each list; there are `min(nlist, n)` |
//! | 4 each | centroids, list after list |
//! | 8 each | ids, list after list |
//! | 4 each | vectors in the order of the ids |

use super::{Ivf, lists};
use crate::file::LoadError;
use crate::reader::{Reader, finite_f32s, u64s};
use crate::vectors::{MAX_DIM, repeated};

const MAGIC: [u8; 8] = *b"IVFFLAT\0";
const VERSION: u32 = 1;
const METRIC_L2: u32 = 0;

impl Ivf {
    pub(crate) fn to_bytes(&self, nlist: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(
            32 + 8 * self.starts.len() + 8 * self.ids.len() + 4 * (self.centroids.len() + self.data.len()),
        );
        out.extend_from_slice(&MAGIC);
        for value in [VERSION, METRIC_L2, self.dim as u32, nlist] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        let lengths = self.starts.windows(2).map(|pair| (pair[1] - pair[0]) as u64);
        let sizes = std::iter::once(self.len() as u64).chain(lengths);
        out.extend(sizes.flat_map(u64::to_le_bytes));
        out.extend(self.centroids.iter().flat_map(|value| value.to_le_bytes()));
        out.extend(self.ids.iter().flat_map(|id| id.to_le_bytes()));
        out.extend(self.data.iter().flat_map(|value| value.to_le_bytes()));
        out
    }

    pub(crate) fn from_bytes(bytes: &[u8], nlist: u32) -> Result<Self, LoadError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(LoadError::Malformed("it does not begin as an IVF file does"));
        }
        expect("version", VERSION, reader.u32()?)?;
        expect("metric", METRIC_L2, reader.u32()?)?;
        let dim = reader.u32()? as usize;
        expect("nlist", nlist, reader.u32()?)?;
        let n = reader.size()?;
        if !(1..=MAX_DIM).contains(&dim) || n >= u32::MAX as usize {
            return Err(LoadError::Malformed("the dimension or the number of vectors is impossible"));
        }
        let lists = lists(nlist, n);
        let starts = starts(reader.items(lists, 8)?, n)?;
        let mut centroids = Vec::new();
        finite_f32s(reader.items(lists, 4 * dim)?, &mut centroids)?;
        let ids: Vec<u64> = u64s(reader.items(n, 8)?).collect();
        let mut data = Vec::new();
        finite_f32s(reader.items(n, 4 * dim)?, &mut data)?;
        reader.end()?;
        if repeated(&ids).is_some() {
            return Err(LoadError::Malformed("an id occurs twice"));
        }
        Ok(Self { dim, centroids, starts, ids, data })
    }
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
