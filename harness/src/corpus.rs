//! The data of a drill: every record, query and write is a pure function of the seed.
//!
//! So the ledger keeps keys and write numbers only, and values, contents and exact neighbours can be recomputed at
//! any time by anybody. Values are derived from integers, and distances are summed in a fixed order, so every
//! platform makes the same bytes.
//!
//! Vectors lie in clusters, in a space of few latent dimensions, as embeddings do. Seeded records fill all clusters.
//! Load only ever writes to *odd* ones, and golden probe queries ask about *even* ones, so that a healthy store's
//! answers to probes never change while load is running.

mod exact;
mod features;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{ports::Write, scenario::Scenario, topology::Role};

pub use exact::{Neighbours, count_hits, exact_neighbours, squared_distance};
pub use features::{CatalogueRecord, FEATURES, FeatureRow, MODEL_VERSION, MODELS, Table};

const CLUSTERS: u64 = 64;
const LATENT: usize = 12;
const ASIDE: i32 = 4000;

/// Keys of records that load inserts start here, far above any seeded key.
pub const LOADED_KEYS: u64 = 1 << 40;

/// The data of one drill.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Corpus {
    seed: u64,
    /// Dimensions of a vector.
    pub dim: usize,
    /// Vectors before the fault: keys `0..vectors`.
    pub vectors: u64,
    /// Objects before the fault: keys `0..objects`.
    pub objects: u64,
    /// Bytes of an object.
    pub object_size: usize,
    /// Queries of the frozen set.
    pub queries: u64,
    /// Entities with features before the fault: keys `0..entities` of the feature store. 0 where there is none.
    pub entities: u64,
}

/// Independent streams of chance.
#[derive(Clone, Copy)]
enum Stream {
    Center = 1,
    Vector = 2,
    Query = 3,
    Object = 4,
    Operation = 5,
    Mixing = 6,
    Feature = 7,
    Inference = 8,
    Weight = 9,
}

impl Corpus {
    /// The data that a scenario asks for.
    pub fn of(s: &Scenario) -> Self {
        Corpus {
            seed: s.seed,
            dim: s.data.vectors.dim as usize,
            vectors: s.data.vectors.count,
            objects: s.data.objects.count,
            object_size: s.data.objects.size as usize,
            queries: u64::from(s.data.vectors.queries),
            entities: if s.stack.roles.contains(&Role::Feature) { s.data.features.entities } else { 0 },
        }
    }

    fn rng(&self, stream: Stream, a: u64, b: u64) -> ChaCha8Rng {
        let mut key = [0u8; 32];
        let words = [self.seed, stream as u64, a, b];
        for (chunk, word) in key.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }

    /// The vector of a key, as write number `ver` stored it.
    pub fn vector(&self, key: u64, ver: u64) -> Vec<f32> {
        let mut rng = self.rng(Stream::Vector, key, ver);
        self.point(self.cluster(key, ver, &mut rng), &mut rng)
    }

    fn cluster(&self, key: u64, ver: u64, rng: &mut ChaCha8Rng) -> u64 {
        if ver == 0 && key < LOADED_KEYS { key % CLUSTERS } else { rng.next_u64() % (CLUSTERS / 2) * 2 + 1 }
    }

    /// One query of the frozen set. Even-numbered queries ask about even clusters: probes choose from these.
    pub fn query(&self, n: u64) -> Vec<f32> {
        let mut rng = self.rng(Stream::Query, n, 0);
        let cluster = rng.next_u64() % (CLUSTERS / 2) * 2 + n % 2;
        self.point(cluster, &mut rng)
    }

    /// A point near the centre of a cluster: the centre, plus a few latent directions shared by all clusters.
    fn point(&self, cluster: u64, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let mut centre = self.rng(Stream::Center, cluster, 0);
        let mut mixing = self.rng(Stream::Mixing, 0, 0);
        let latent: [i32; LATENT] = std::array::from_fn(|_| small(rng, 200) + small(rng, 200));
        (0..self.dim)
            .map(|i| {
                let mix = mixing.next_u32();
                let (a, b) = ((mix & 0xff) as usize % LATENT, (mix >> 8 & 0xff) as usize % LATENT);
                let signs = (1 - (mix >> 16 & 2) as i32, 1 - (mix >> 18 & 2) as i32);
                let value =
                    small(&mut centre, 1000) + signs.0 * latent[a] + signs.1 * latent[b] + small(rng, 20);
                // In few dimensions clusters overlap; this keeps odd ones away from even ones all the same.
                let value = if i == 0 && cluster % 2 == 1 { value + ASIDE } else { value };
                // Exact: the integer is far below 2^24.
                value as f32 / 1024.0
            })
            .collect()
    }

    /// The bytes of an object, as write number `ver` stored it. They name the vector that the object refers to.
    pub fn object(&self, key: u64, ver: u64) -> Vec<u8> {
        let mut bytes = format!("gameday object {key} write {ver} refers to vector {}\n", self.referred(key))
            .into_bytes();
        let header = bytes.len();
        bytes.resize(self.object_size.max(header), 0);
        self.rng(Stream::Object, key, ver).fill_bytes(&mut bytes[header..]);
        bytes
    }

    /// The vector that an object refers to: one that was there before the fault, and that load leaves alone.
    pub fn referred(&self, object: u64) -> u64 {
        let even = self.vectors.div_ceil(2).max(1);
        // Clusters repeat with an even period, so an even key lies in an even cluster.
        (object.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % even * 2
    }

    /// The number of seeded records of a store.
    pub fn count(&self, role: Role) -> u64 {
        match role {
            Role::Vector => self.vectors,
            Role::Object => self.objects,
            Role::Feature if self.entities > 0 => self.entities + self.catalogue_count(),
            Role::Feature | Role::Gpu => 0,
        }
    }

    /// Write number `n` (from 1) of the load on a store: most insert, some overwrite, few delete. Feature values are
    /// mostly overwritten. A write to the workers is step `n` of their job.
    pub fn operation(&self, role: Role, n: u64) -> Write {
        if role == Role::Gpu {
            return Write { key: n, ver: n, delete: false };
        }
        let mut rng = self.rng(Stream::Operation, role as u64, n);
        let dice = rng.next_u64() % 100;
        let old = match role {
            // Seeded vectors in odd clusters may change; the others are what probes ask about.
            Role::Vector => rng.next_u64() % (self.vectors / 2).max(1) * 2 + 1,
            Role::Feature => rng.next_u64() % self.entities.max(1),
            // Models are stored once and referred to by the registry.
            _ if self.entities > 0 => MODELS + rng.next_u64() % self.objects.saturating_sub(MODELS).max(1),
            _ => rng.next_u64() % self.objects.max(1),
        };
        let exists = old < self.count(role);
        match dice {
            0..80 if role == Role::Feature => Write { key: old, ver: n, delete: false },
            0..10 if exists => Write { key: old, ver: n, delete: false },
            10..15 if exists && role == Role::Vector => Write { key: old, ver: n, delete: true },
            _ => Write { key: LOADED_KEYS + n, ver: n, delete: false },
        }
    }

    /// The object that probe `n` asks for, where no search says which.
    pub fn probed_object(&self, n: u64) -> u64 {
        n.wrapping_mul(7) % self.objects.max(1)
    }

    /// The entities that probe `n` looks up: one batch after the other, so that probes come by every entity.
    pub fn probed_entities(&self, n: u64, batch: u32) -> impl Iterator<Item = u64> + use<> {
        let (batch, entities) = (u64::from(batch), self.entities.max(1));
        (0..batch).map(move |i| n.wrapping_mul(batch).wrapping_add(i) % entities)
    }
}

/// A whole number from `-range` to `range`.
fn small(rng: &mut ChaCha8Rng, range: i32) -> i32 {
    let span = u32::try_from(2 * range + 1).expect("ranges are small");
    i32::try_from(rng.next_u32() % span).expect("ranges are small") - range
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Corpus {
        Corpus { seed: 7, dim: 16, vectors: 1000, objects: 50, object_size: 256, queries: 200, entities: 40 }
    }

    #[test]
    fn equal_seeds_make_equal_bytes() {
        assert_eq!(corpus().vector(5, 0), corpus().vector(5, 0));
        assert_ne!(corpus().vector(5, 0), corpus().vector(5, 1));
        assert_ne!(corpus().object(5, 0), Corpus { seed: 8, ..corpus() }.object(5, 0));
        // Pinned, so that a change of the generator is noticed: journals of old runs would no longer recompute.
        let pinned: Vec<i32> = corpus().vector(3, 0)[..4].iter().map(|x| (x * 1024.0) as i32).collect();
        assert_eq!(pinned, [3783, 311, -118, 577]);
    }

    #[test]
    fn load_leaves_even_clusters_alone() {
        let c = corpus();
        for n in 1..2000 {
            let w = c.operation(Role::Vector, n);
            assert!(w.key >= LOADED_KEYS || w.key % 2 == 1, "{w:?}");
            let key = w.key;
            assert_eq!(c.cluster(key, n, &mut c.rng(Stream::Vector, key, n)) % 2, 1);
        }
        for object in 0..500 {
            assert!(c.referred(object) < c.vectors && c.referred(object).is_multiple_of(2));
        }
    }

    #[test]
    fn objects_have_their_size_and_name_their_vector() {
        let bytes = corpus().object(9, 0);
        assert_eq!(bytes.len(), 256);
        assert!(bytes.starts_with(b"gameday object 9 write 0 refers to vector "));
    }
}
