//! The feature store's data: rows of entities, the catalogue beside them, and the inference that workers answer.
//!
//! The catalogue is what makes a feature store more than a table of numbers: definitions with versions, dependencies
//! of features on sources and of models on features, which model works with which definitions, the registry of models
//! with the checksum of each model's object, and the roles that may touch any of it. Each of its records has a key, so
//! that the ledger accounts for it like for any other: an altered definition is corrupt, a removed one lost, a role
//! that nobody granted unexpected.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Corpus, Stream, small};

/// Features of an entity.
pub const FEATURES: usize = 8;

/// Models of the registry: each is the object of that key.
pub const MODELS: u64 = 3;

/// The version of every model, which works with the definitions that there are.
pub const MODEL_VERSION: u32 = 1;

const SOURCES: usize = 3;
const INPUTS: usize = 16;
const HIDDEN: usize = 16;
const OUTPUTS: usize = 4;

/// The features of an entity.
#[derive(Clone, PartialEq, Debug)]
pub struct FeatureRow {
    /// When the values were true, in microseconds since 1970. Rises with the number of the write.
    pub event_us: i64,
    /// One value for each feature.
    pub values: [f64; FEATURES],
}

/// Which table of the catalogue a record belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// Feature definitions, with versions.
    Definition,
    /// What depends on what: feature on source, model on feature version.
    Dependency,
    /// Which model version works with which definitions.
    Compatibility,
    /// Rows of the model registry.
    Model,
    /// Roles and what they may do.
    Role,
}

/// One record of the catalogue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatalogueRecord {
    /// Its table.
    pub table: Table,
    /// Unique within the table.
    pub name: String,
    /// The rest of it, as JSON with keys in a fixed order.
    pub body: String,
}

fn record(table: Table, name: String, body: &impl Serialize) -> CatalogueRecord {
    let body = serde_json::to_string(body).expect("plain data can always be written");
    CatalogueRecord { table, name, body }
}

#[derive(Serialize)]
struct Definition {
    version: u32,
    entity: &'static str,
    dtype: &'static str,
    source: String,
    critical: bool,
}

#[derive(Serialize)]
struct Dependency {
    of: String,
    on: String,
    version: u32,
}

#[derive(Serialize)]
struct Compatibility {
    model: String,
    model_version: u32,
    definitions: u32,
}

#[derive(Serialize)]
struct Model {
    version: u32,
    stage: &'static str,
    object: u64,
    sha256: String,
}

#[derive(Serialize)]
struct Grants {
    grants: Vec<&'static str>,
}

impl Corpus {
    /// The features of an entity, as write number `ver` stored them.
    pub fn features(&self, entity: u64, ver: u64) -> FeatureRow {
        let mut rng = self.rng(Stream::Feature, entity, ver);
        let values = std::array::from_fn(|f| {
            let (centre, spread) = (1000 * (f as i32 + 1), 100 * (f as i32 + 1));
            // The sum of three is bell-shaped enough for tests of distribution. Exact: far below 2^53.
            let noise = small(&mut rng, spread) + small(&mut rng, spread) + small(&mut rng, spread);
            f64::from(centre + noise) / 1024.0
        });
        let ver = i64::try_from(ver).unwrap_or(i64::MAX / 2_000);
        FeatureRow { event_us: ver.saturating_mul(1_000).saturating_add(1_700_000_000_000_000), values }
    }

    /// How many records the catalogue has.
    pub fn catalogue_count(&self) -> u64 {
        let features = FEATURES as u64;
        // definitions, their sources, models' features, compatibility, models, roles
        features + features + MODELS * features + MODELS + MODELS + ROLES.len() as u64
    }

    /// The n-th record of the catalogue: key `entities + n` of the feature store.
    pub fn catalogue(&self, n: u64) -> Option<CatalogueRecord> {
        let (features, mut n) = (FEATURES as u64, n);
        let mut within = |count: u64| {
            let at = (n < count).then_some(n);
            n = n.wrapping_sub(count);
            at
        };
        if let Some(f) = within(features) {
            let body = Definition {
                version: 1,
                entity: "user",
                dtype: "float64",
                source: format!("events_{}", f as usize % SOURCES),
                critical: f < features / 2,
            };
            return Some(record(Table::Definition, format!("feature_{f}"), &body));
        }
        if let Some(f) = within(features) {
            let (of, on) = (format!("feature_{f}"), format!("events_{}", f as usize % SOURCES));
            let name = format!("{of} on {on}");
            return Some(record(Table::Dependency, name, &Dependency { of, on, version: 1 }));
        }
        if let Some(at) = within(MODELS * features) {
            let (of, on) = (format!("model_{}", at / features), format!("feature_{}", at % features));
            let name = format!("{of} on {on}");
            return Some(record(Table::Dependency, name, &Dependency { of, on, version: 1 }));
        }
        if let Some(m) = within(MODELS) {
            let body =
                Compatibility { model: format!("model_{m}"), model_version: MODEL_VERSION, definitions: 1 };
            return Some(record(Table::Compatibility, format!("model_{m} {MODEL_VERSION}"), &body));
        }
        if let Some(m) = within(MODELS) {
            let sha256 = Sha256::digest(self.object(m, 0)).iter().map(|b| format!("{b:02x}")).collect();
            let body = Model { version: MODEL_VERSION, stage: "production", object: m, sha256 };
            return Some(record(Table::Model, format!("model_{m}"), &body));
        }
        let (name, grants) = ROLES.get(usize::try_from(within(u64::MAX)?).ok()?)?;
        Some(record(Table::Role, (*name).into(), &Grants { grants: grants.to_vec() }))
    }

    /// The input of the n-th inference.
    pub fn inference_input(&self, n: u64) -> Vec<f32> {
        let mut rng = self.rng(Stream::Inference, n, 0);
        (0..INPUTS).map(|_| small(&mut rng, 1000) as f32 / 1024.0).collect()
    }

    /// The weights of the network: of each layer, a row of one weight an input for each output.
    pub fn weights(&self) -> [Vec<Vec<f32>>; 2] {
        let layer = |n: u64, inputs: usize, outputs: usize| {
            let mut rng = self.rng(Stream::Weight, n, 0);
            let mut row = || (0..inputs).map(|_| small(&mut rng, 1000) as f32 / 4096.0).collect();
            (0..outputs).map(|_| row()).collect()
        };
        [layer(0, INPUTS, HIDDEN), layer(1, HIDDEN, OUTPUTS)]
    }

    /// What an inference answers: a small network with one hidden layer, its weights from the seed. Workers may sum
    /// in another order, so answers agree to 1e-5 only.
    pub fn inference(&self, input: &[f32]) -> Vec<f32> {
        let layer = |weights: &[Vec<f32>], input: &[f32]| -> Vec<f32> {
            weights.iter().map(|row| input.iter().zip(row).map(|(x, w)| x * w).sum()).collect()
        };
        let [hidden, output] = self.weights();
        let hidden: Vec<f32> = layer(&hidden, input).into_iter().map(|x| x.max(0.0)).collect();
        layer(&output, &hidden)
    }
}

/// Roles and what each may do.
const ROLES: [(&str, &[&str]); 4] = [
    ("admin", &["define", "read", "write"]),
    ("ingest", &["write"]),
    ("serving", &["read"]),
    ("training", &["read"]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn corpus() -> Corpus {
        Corpus { seed: 7, dim: 16, vectors: 1000, objects: 50, object_size: 256, queries: 200, entities: 40 }
    }

    #[test]
    fn the_catalogue_has_as_many_records_as_it_says_each_once() {
        let c = corpus();
        let all: Vec<_> = (0..c.catalogue_count()).map(|n| c.catalogue(n).unwrap()).collect();
        let names: BTreeSet<_> = all.iter().map(|r| (r.table, r.name.clone())).collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(c.catalogue(c.catalogue_count()), None);
        assert_eq!(c.catalogue(u64::MAX), None);
    }

    #[test]
    fn equal_seeds_make_equal_rows_and_answers() {
        let c = corpus();
        assert_eq!(c.features(3, 0), c.features(3, 0));
        assert_ne!(c.features(3, 0).values, c.features(3, 1).values);
        assert!(c.features(3, 0).event_us < c.features(3, 1).event_us);
        let input = c.inference_input(5);
        assert_eq!(c.inference(&input).len(), OUTPUTS);
        assert_eq!(c.inference(&input), c.inference(&input));
        assert_ne!(c.inference(&input), c.inference(&c.inference_input(6)));
    }
}
