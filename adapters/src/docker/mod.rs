//! The docker world: every node a container of a product that people run, on networks of the run's own.
//!
//! Invariants: whatever the run makes in the engine carries the label `gameday.run`, so it is found and removed by
//! that alone; host ports are on loopback, held from before the first start to the end, so that a restart changes no
//! address; an act is answered only after its effect was seen.
//!
//! The users' links are those of the local world, TCP proxies that the harness owns: the same cuts, delays and
//! observations. Launching is done by `bollard` as well as the faults, because `testcontainers` insists on the
//! newest version of the engine's interface and an engine as packaged by Debian refuses it.
//!
//! | module | what |
//! |---|---|
//! | `engine` | the connection, and what an operator does when there is none |
//! | `images` | which image plays a role; building, pulling, listing |
//! | `stand` | what a container is made of |
//! | `container` | one container: its life, observed |
//! | `product` | what runs in it: a new product goes here |
//! | `minio` | role `object` |
//! | `postgres` | role `feature` |
//! | `feature_moment` | a PostgreSQL back at a point in time |
//! | `accounts` | the users of a MinIO, as its administration tells them |
//! | `mc` | what MinIO is told that S3 has no words for |
//! | `iam` | who may do what in a MinIO |
//! | `bridge` | a link between regions, in a container of its own |
//! | `regions` | acts between regions: fence, promote, rejoin, stall |
//! | `worker` | role `gpu` |
//! | `milvus` | role `vector` |
//! | `vector`, `vector_backup`, `vector_damage` | what operators and faults do to a Milvus |
//! | `vector_moment`, `vector_skew` | metadata, log and objects of a Milvus, of one moment |
//! | `disk` | disks that can run full |
//! | `shell` | commands inside a container |
//! | `objects` | damage to objects, through the users' door |
//! | `host` | the world: launch, teardown, the doors to its stores |
//! | `play` | the acts |
//! | `faults` | what only containers suffer: limits, no network, drives that rot; users' commands |
//! | `sweep` | finding and removing what a run left behind |
//! | `well` | whether the engine is still there and has room |

mod accounts;
mod bridge;
mod container;
mod disk;
mod engine;
mod faults;
mod feature_moment;
mod followers;
mod host;
mod iam;
pub mod images;
mod mc;
mod milvus;
mod minio;
mod objects;
mod play;
mod postgres;
mod product;
mod regions;
mod shell;
mod stand;
pub mod sweep;
mod vector;
mod vector_backup;
mod vector_damage;
mod vector_moment;
mod vector_skew;
mod well;
mod worker;

pub(crate) use bridge::{LINK, link_process};
pub use engine::Engine;
pub use host::{DockerConfig, DockerHost};

/// The label that everything of a run carries; its value is the run's id.
pub const RUN: &str = "gameday.run";
/// The label that names the run's folder, for whoever finds what was left.
pub(crate) const FOLDER: &str = "gameday.folder";

fn environment(what: impl std::fmt::Display, remedy: impl Into<String>) -> harness::ports::EnvironmentError {
    harness::ports::EnvironmentError { what: what.to_string(), remedy: remedy.into() }
}
