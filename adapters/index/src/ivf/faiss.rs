//! The lists as FAISS's `IndexIVFFlat`.

use super::Ivf;
use crate::Metric;
use crate::faiss::Writer;

impl Ivf {
    pub(crate) fn to_faiss(&self, metric: Metric, nprobe: u32) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes.reserve(
            4 * (self.data.len() + self.centroids.len()) + 8 * self.ids.len() + 16 * self.starts.len() + 256,
        );
        let lists = self.starts.len() - 1;
        out.word(*b"IwFl");
        out.header(self.dim, self.len(), metric);
        out.size(lists);
        out.size(nprobe as usize);
        out.flat(self.dim, &self.centroids, metric);
        // No map from ids to lists.
        out.bytes.push(0);
        out.size(0);
        out.word(*b"ilar");
        out.size(lists);
        out.size(4 * self.dim);
        out.word(*b"full");
        out.vector(self.starts.windows(2).map(|pair| (pair[1] - pair[0]).to_le_bytes()));
        for pair in self.starts.windows(2) {
            let data = &self.data[pair[0] * self.dim..pair[1] * self.dim];
            out.floats(data);
            out.items(self.ids[pair[0]..pair[1]].iter().map(|id| id.to_le_bytes()));
        }
        out.bytes
    }
}
