//! The lists as FAISS's `IndexIVFFlat`, `IndexIVFScalarQuantizer` or `IndexIVFPQ`.

use super::Ivf;
use super::codes::Codes;
use crate::sink::Sink;
use crate::{Kind, Metric};
use std::io::{self, Write};

/// FAISS's names of the kind of scalar quantizer, and of how its ranges were found: 8 bits, least and greatest.
const QT_8BIT: i32 = 0;
const RANGE_MINMAX: i32 = 0;

const BITS: usize = 8;

impl Ivf {
    pub(crate) fn write_faiss(&self, metric: Metric, kind: Kind, to: &mut dyn Write) -> io::Result<()> {
        let nprobe = match kind {
            Kind::IvfFlat { nprobe, .. } | Kind::IvfSq8 { nprobe, .. } | Kind::IvfPq { nprobe, .. } => nprobe,
            Kind::Hnsw { .. } => unreachable!("a graph has no lists; spec and body are made together"),
        };
        let (word, width) = match &self.codes {
            Codes::Flat(_) => (*b"IwFl", 4 * self.dim),
            Codes::Sq8 { .. } => (*b"IwSq", self.dim),
            Codes::Pq { m, .. } => (*b"IwPQ", *m),
        };
        let lists = self.starts.len() - 1;
        let mut out = Sink::new(to);
        out.bytes(&word);
        out.header(self.dim, self.len(), metric);
        out.size(lists);
        out.size(nprobe as usize);
        out.flat(self.dim, &self.centroids, metric)?;
        // No map from ids to lists.
        out.bytes(&[0]);
        out.size(0);
        match &self.codes {
            Codes::Flat(_) => {}
            Codes::Sq8 { least, range, .. } => {
                out.int(QT_8BIT);
                out.int(RANGE_MINMAX);
                // An argument of other ways to find a range.
                out.int(0);
                out.size(self.dim);
                out.size(width);
                out.size(2 * self.dim);
                out.floats(least)?;
                out.floats(range)?;
                out.size(width);
                out.flag(true);
            }
            Codes::Pq { m, parts, .. } => {
                out.flag(true);
                out.size(width);
                out.size(self.dim);
                out.size(*m);
                out.size(BITS);
                out.size(parts.len());
                out.floats(parts)?;
            }
        }
        out.bytes(b"ilar");
        out.size(lists);
        out.size(width);
        out.bytes(b"full");
        out.vector(self.starts.windows(2).map(|pair| (pair[1] - pair[0]).to_le_bytes()))?;
        for pair in self.starts.windows(2) {
            match &self.codes {
                Codes::Flat(data) => out.floats(&data[pair[0] * self.dim..pair[1] * self.dim])?,
                Codes::Sq8 { codes, .. } | Codes::Pq { codes, .. } => {
                    out.codes(&codes[pair[0] * width..pair[1] * width])?;
                }
            }
            out.items(self.ids[pair[0]..pair[1]].iter().map(|id| id.to_le_bytes()))?;
        }
        out.end()
    }
}
