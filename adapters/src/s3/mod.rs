//! Object storage: a node that speaks S3 over plain files, and a client for any S3 server.
//!
//! The client knows nothing of the node: the same code talks to a product, and the tests of this module are the
//! contract both sides keep.

mod answers;
mod catalog;
mod change;
mod changelog;
mod client;
mod durable;
mod error;
mod inventory;
#[cfg(test)]
mod kill_tests;
mod places;
#[cfg(test)]
mod process_tests;
#[cfg(test)]
mod replica_laws;
#[cfg(test)]
mod replica_tests;
mod replicated;
mod server;
mod staging;
mod store;
#[cfg(test)]
mod store_tests;
mod system;
#[cfg(test)]
mod tests;

pub use client::{Head, Listed, Page, S3};
pub use error::S3Error;
#[cfg(feature = "docker")]
pub(crate) use inventory::in_order;
pub use server::{Server, ServerConfig, ServerError, serve};
pub use system::{Administration, ObjectSystem};
pub(crate) use system::{key_of, name as name_of};

use std::fmt;

/// The key pair a client signs with and a server checks.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The public half, sent with each request.
    pub access: String,
    /// The secret half, never sent and never printed.
    pub secret: String,
}

impl Keys {
    /// A key pair.
    pub fn new(access: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { access: access.into(), secret: secret.into() }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("access", &self.access).field("secret", &"***").finish()
    }
}
