//! MinIO as role `object`: one server, one drive, no redundancy but what the scenario's pattern gives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use harness::corpus::Corpus;
use harness::ports::System;

use super::milvus::ROOT;
use super::stand::{Blueprint, Disk};
use crate::features::acts::Buckets;
use crate::milvus::Storage;
use crate::s3::{Keys, ObjectSystem, S3, S3Error};

/// The bucket that the drill's objects are in.
const BUCKET: &str = "gameday";
/// The bucket that backups go to.
pub(super) const BACKUPS: &str = "gameday-backups";
/// The bucket that a Milvus of the region keeps its segments and index files in.
pub(super) const MILVUS: &str = "gameday-milvus";
/// The bucket in which readiness is tried: what is in the others is users'.
const READY: &str = "gameday-ready";
/// Where the server listens, inside.
const PORT: u16 = 9000;
/// Longer than any limit of the harness, which ends a call by dropping it.
const USERS_LIMIT: Duration = Duration::from_secs(60);
/// One call of the harness's own, past the link.
const OWN_LIMIT: Duration = Duration::from_secs(30);
/// One attempt at being a user.
const READY_LIMIT: Duration = Duration::from_secs(1);

/// A MinIO server.
#[derive(Debug)]
pub(super) struct Minio {
    keys: Keys,
    /// Past the link.
    pub(super) data: S3,
    /// Past the link.
    pub(super) backups: S3,
    /// A Milvus's, past the link.
    pub(super) milvus: S3,
    ready: S3,
}

impl Minio {
    /// A server published at `addr`, which does not have to run yet.
    pub(super) fn new(addr: SocketAddr, keys: Keys) -> Result<Self, S3Error> {
        let bucket = |name| Ok(S3::new(&format!("http://{addr}"), name, &keys)?.within(OWN_LIMIT));
        let (data, backups, ready) = (bucket(BUCKET)?, bucket(BACKUPS)?, bucket(READY)?);
        let milvus = bucket(MILVUS)?;
        Ok(Self { keys, data, backups, milvus, ready: ready.within(READY_LIMIT) })
    }

    /// What it needs of a container.
    pub(super) fn blueprint(&self, image: String) -> Blueprint {
        Blueprint {
            image,
            user: None,
            cmd: ["server", "/data", "--address", ":9000"].map(str::to_owned).to_vec(),
            env: vec![
                format!("MINIO_ROOT_USER={}", self.keys.access),
                format!("MINIO_ROOT_PASSWORD={}", self.keys.secret),
                // No console, no look for updates: nothing but what a drill uses.
                "MINIO_BROWSER=off".into(),
                "MINIO_UPDATE=off".into(),
            ],
            port: PORT,
            more: Vec::new(),
            disk: Disk { at: "/data" },
            memory: 1 << 30,
            nano_cpus: 2_000_000_000,
        }
    }

    /// Does what users do, for real: writes an object and reads it back. Health addresses answer before that works.
    pub(super) async fn ready(&self) -> Result<String, String> {
        let body = format!("ready at {:?}", std::time::SystemTime::now()).into_bytes();
        match self.ready.put("ready", body.clone()).await {
            Err(S3Error::Refused { code, .. }) if code == "NoSuchBucket" => {
                self.ready.create_bucket().await.map_err(|e| e.to_string())?;
                self.ready.put("ready", body.clone()).await.map_err(|e| e.to_string())?;
            }
            put => drop(put.map_err(|e| e.to_string())?),
        }
        match self.ready.get("ready").await.map_err(|e| e.to_string())? {
            Some(read) if read == body => Ok("an object written was read back".into()),
            _ => Err("an object written was not read back".into()),
        }
    }

    /// Where a feature store's models and backups are.
    pub(super) fn buckets(&self) -> Buckets<'_> {
        Buckets { models: &self.data, backups: &self.backups }
    }

    /// Where a Milvus on the same network, to which this server is `host`, keeps its objects.
    pub(super) fn storage(&self, host: String) -> Storage {
        Storage { host, port: PORT, bucket: MILVUS.into(), root: ROOT.into(), keys: self.keys.clone() }
    }

    /// Makes what its users find there from the first moment on; what is there already stays.
    pub(super) async fn provide(&self) -> Result<(), String> {
        for bucket in [&self.data, &self.backups, &self.milvus] {
            bucket.create_bucket().await.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// The store as its users reach it, at the far end of a link.
    pub(super) fn system(&self, link: SocketAddr, corpus: Arc<Corpus>) -> Result<Arc<dyn System>, S3Error> {
        let s3 = S3::new(&format!("http://{link}"), BUCKET, &self.keys)?;
        Ok(Arc::new(ObjectSystem::new(s3.within(USERS_LIMIT), corpus)))
    }
}
