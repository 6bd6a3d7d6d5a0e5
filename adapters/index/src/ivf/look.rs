//! Lists, looked at from outside.

use super::Ivf;
use super::codes::Codes;

impl Ivf {
    pub(crate) fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// The vectors, in the order of the ids; `None` where only codes are kept.
    pub(crate) fn vectors(&self) -> Option<&[f32]> {
        match &self.codes {
            Codes::Flat(data) => Some(data),
            Codes::Sq8 { .. } | Codes::Pq { .. } => None,
        }
    }
}
