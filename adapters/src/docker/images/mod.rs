//! Which image plays a role: a catalogue, and what can be done about an image that is not there.
//!
//! An image is looked for in this order: the one that was asked for (`--image`, or `GAMEDAY_IMAGE_<ROLE>`), the
//! official one if the engine has it, the one that a recipe here built. Nothing is ever pulled or built in the
//! middle of a drill, and no digest is written here: what ran is what the engine says of the image that it ran.

mod build;
mod node;
mod pull;

use std::collections::BTreeMap;

use harness::ports::EnvironmentError;
use harness::topology::Role;
use serde::Serialize;

use super::engine::missing;
use super::{Engine, environment};

pub use build::{base, build, device};
pub use node::{NODE, companion, node, node_tag};
pub use pull::pull;

/// The image that the built ones stand on.
pub const BASE: &str = "gameday/base:bookworm";
/// The base with an OpenCL device (PoCL, on the processor): what workers stand on where the OpenCL engine lies beside
/// this program.
pub const DEVICE: &str = "gameday/opencl:bookworm";
/// How to get images.
const GET: &str = "run `gameday images build`, or `gameday images pull` where a registry answers";

/// The image of a role.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    /// The role.
    pub role: Role,
    /// The product.
    pub product: &'static str,
    /// What its makers publish. Which of them were ever run is in the README, not here.
    pub official: &'static str,
    /// What the recipe makes.
    pub built: &'static str,
    /// The version that the recipe asks for.
    pub version: &'static str,
    recipe: &'static str,
}

/// Every image there is.
pub const CATALOGUE: [Card; 3] = [
    Card {
        role: Role::Object,
        product: "minio",
        official: "minio/minio:RELEASE.2025-09-07T16-13-09Z",
        built: "gameday/minio:2026-02-12-mc",
        version: "v0.0.0-20260212201848-7aac2a2c5b7c",
        recipe: include_str!("../recipes/minio.sh"),
    },
    Card {
        role: Role::Feature,
        product: "postgres",
        official: "postgres:15",
        built: "gameday/postgres:15",
        version: "15",
        recipe: include_str!("../recipes/postgres.sh"),
    },
    Card {
        role: Role::Vector,
        product: "milvus",
        official: "milvusdb/milvus:v2.3.5",
        built: "gameday/milvus:2.3.5",
        version: "2.3.5",
        recipe: include_str!("../recipes/milvus.sh"),
    },
];

/// Images asked for instead of the catalogue's, by role.
pub type Choices = BTreeMap<Role, String>;

/// What an operator chose by environment, under what the command line says.
///
/// # Errors
/// If an image is named in a way that no engine takes.
pub fn choices(given: &[(Role, String)]) -> Result<Choices, EnvironmentError> {
    let named = |card: &Card| Some((card.role, std::env::var(variable(card.role)).ok()?));
    let all: Choices = CATALOGUE.iter().filter_map(named).chain(given.iter().cloned()).collect();
    for (role, image) in &all {
        if !plausible(image) {
            let what = format!("`{image}` is no image that could play the role {role}");
            return Err(environment(what, "give it as name, name:tag or name@sha256:digest"));
        }
    }
    Ok(all)
}

/// The variable that names a role's image.
fn variable(role: Role) -> String {
    format!("GAMEDAY_IMAGE_{}", role.to_string().to_uppercase())
}

fn plausible(image: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"./:_-@".contains(&b);
    let first = image.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    first && image.len() <= 256 && image.bytes().all(plain)
}

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// As it was asked for.
    pub image: String,
    /// The engine's name for its content.
    pub id: String,
    /// The registry's name for its content, if it came from one.
    pub digest: Option<String>,
    /// Bytes.
    pub size: i64,
}

impl Found {
    /// In one line, for a journal.
    pub(super) fn words(&self) -> String {
        let id = self.id.strip_prefix("sha256:").unwrap_or(&self.id);
        let content = self.digest.clone().unwrap_or_else(|| format!("id {}", id.get(..12).unwrap_or(id)));
        format!("{} ({content})", self.image)
    }
}

/// An image, if the engine has it.
///
/// # Errors
/// If the engine does not say.
pub async fn look(engine: &Engine, image: &str) -> Result<Option<Found>, EnvironmentError> {
    match engine.docker().inspect_image(image).await {
        Ok(seen) => Ok(Some(Found {
            image: image.to_owned(),
            id: seen.id.unwrap_or_default(),
            digest: seen.repo_digests.and_then(|all| all.into_iter().next()),
            size: seen.size.unwrap_or_default(),
        })),
        Err(e) if missing(&e) => Ok(None),
        Err(e) => Err(environment(format!("image {image}: {e}"), "see that the engine is well")),
    }
}

/// The image that plays a role.
///
/// # Errors
/// If the engine does not have it.
pub async fn resolve(engine: &Engine, role: Role, choices: &Choices) -> Result<Found, EnvironmentError> {
    if let Some(chosen) = choices.get(&role) {
        return look(engine, chosen).await?.ok_or_else(|| {
            let what = format!("image `{chosen}`, asked for to play the role {role}, is not in the engine");
            environment(what, format!("run `docker pull {chosen}`, or leave the choice to gameday"))
        });
    }
    let Some(card) = CATALOGUE.iter().find(|card| card.role == role) else {
        let what = format!("there is no image for the role {role} yet");
        return Err(environment(what, "use `--world local` for this scenario"));
    };
    for image in [card.official, card.built] {
        if let Some(found) = look(engine, image).await? {
            return Ok(found);
        }
    }
    let what = format!("neither {} nor {} is in the engine", card.official, card.built);
    Err(environment(what, GET))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_as_an_engine_takes_them() {
        for good in ["minio/minio:RELEASE.2025-09-07T16-13-09Z", "a", "host:5000/a/b@sha256:00ff"] {
            assert!(plausible(good), "{good}");
        }
        for bad in ["", "-v", "a b", "a;b", "$(x)", "../x", &"x".repeat(300)] {
            assert!(!plausible(bad), "{bad}");
        }
        let wrong = choices(&[(Role::Object, "no image!".into())]).unwrap_err();
        assert!(wrong.what.contains("no image!"), "{wrong}");
    }

    #[test]
    fn the_catalogue_is_sound() {
        for card in CATALOGUE {
            assert!(plausible(card.official) && plausible(card.built), "{card:?}");
            assert!(card.recipe.contains(BASE), "{}", card.product);
        }
        assert!(build::DEVICE_RECIPE.contains(BASE) && plausible(DEVICE));
    }
}
