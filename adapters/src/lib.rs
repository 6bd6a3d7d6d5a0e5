//! The outside world of gameday: where nodes run (`local`, `docker`), the systems that play a role, and stacks that gameday did
//! not launch (`own`).
//!
//! A new system is one module here and one word in the catalogue of the worlds that offer it.

pub mod backup;
#[cfg(feature = "docker")]
pub mod docker;
pub mod features;
pub mod gpu;
mod http;
pub mod local;
#[cfg(feature = "own")]
pub mod milvus;
#[cfg(feature = "own")]
pub mod own;
#[cfg(feature = "docker")]
pub mod postgres;
pub mod replica;
mod rpc;
pub mod s3;
#[cfg(test)]
mod trials;
pub mod vectordb;
