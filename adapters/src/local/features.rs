//! A feature node in the world `local`: what it is told and asked, and the acts that only it knows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::features::{Client, Config};

/// A feature store.
#[derive(Debug)]
pub(super) struct FeatureNode {
    pub(super) dir: PathBuf,
    /// Past the link.
    pub(super) client: Client,
}

impl FeatureNode {
    /// A store at `addr`, which does not have to run yet; each call to it ends within `limit`.
    pub(super) fn new(dir: PathBuf, addr: SocketAddr, limit: Duration) -> Self {
        Self { dir, client: Client::new(addr, limit) }
    }

    /// What its process is told.
    pub(super) fn config(&self, port: u16) -> Config {
        Config { port, lifeline: true, ..Config::new(&self.dir) }
    }

    /// What it says about itself, in words.
    pub(super) async fn status(&self, limit: Duration) -> Result<String, String> {
        let status = self.client.within(limit).status().await.map_err(|e| e.to_string())?;
        Ok(format!("healthy, {} entities, {} records of the catalogue", status.rows, status.records))
    }
}
